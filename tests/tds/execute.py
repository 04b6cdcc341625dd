"""A session: batches of T-SQL run statement by statement on SQLite.

Transactions are SQLite's own; `transactions` counts them as ``@@TRANCOUNT`` does. An error ends its
statement, some end the batch, and some undo the transaction, as `messages` says.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import functions, information, messages, properties
from .answers import Answers
from .catalog import Catalog, quoted
from .ddl import Definer
from .lexer import Block, If, Statement, Token, lex, name_of, script, split, text_of
from .merging import Merges
from .messages import TsqlError, from_sqlite
from .results import Count, DatabaseChanged, Failed, Result, Rows, TransactionChanged
from .translate import Query, Translator
from .types import Type
from .values import convert, guess, parse_type, present, stored
from .writes import Writes

if TYPE_CHECKING:
    from .server import TDSServer

__all__ = ["Session"]


class Session(Answers, Merges, Writes):
    """One client's state in one database.

    Args:
        server: whose databases these are.
        database: the name of one of them.
    """

    def __init__(self, server: TDSServer, database: str, user: str = "sa") -> None:
        self.server = server
        self.user = user
        #: Waits so many seconds; whether the client called off its statement meanwhile.
        self.interrupted: Callable[[float], bool] = server.closing.wait
        self.nocount = False
        self.transactions = 0
        self.rowcount = 0
        #: What the last procedure returned.
        self.returned = 0
        self.last_error = 0
        self.identity: int | None = None
        self.identity_insert: str | None = None
        self.options: dict[str, str] = {}
        self.parameters: dict[str, tuple[Type, Any]] = {}
        self._raised: Exception | None = None
        self.open(database)

    def open(self, database: str) -> None:
        """Connect to a database of the server."""
        store = self.server.databases[database.lower()]
        self.database = store.name
        self.store = store
        self.conn = conn = store.connect()
        functions.install(
            conn,
            self.functions(),
            self._note,
        )
        self.catalog = Catalog(conn)
        self.translator = Translator(self.catalog, self.database, self._parameter_kind)
        self.definer = Definer(
            self.catalog, self.expression, self.store.forget_identity, self.server.version[0]
        )
        self.definer.view_columns = self._view_columns

    def close(self) -> None:
        """Undo what is open, and let go."""
        self.server.applocks.forget(self)
        self.conn.close()

    # Running

    def run(self, sql: str, parameters: Mapping[str, tuple[Type, Any]] | None = None) -> Iterator[Result]:
        """Run a batch.

        Args:
            sql: the batch.
            parameters: by name with its @, the type and the Python value of each.
        """
        outside = self.parameters
        self.parameters = {name.lower(): value for name, value in (parameters or {}).items()}
        try:
            try:
                statements = script(sql)
            except TsqlError as error:
                yield Failed(error)
                return
            yield from self._sequence(statements)
        except _Abort:
            pass
        finally:
            self.parameters = outside

    def _sequence(self, statements: list[Statement | If | Block]) -> Iterator[Result]:
        for statement in statements:
            if isinstance(statement, Block):
                yield from self._sequence(statement.statements)
            elif isinstance(statement, If):
                try:
                    holds = self._holds(statement.condition)
                except TsqlError as error:
                    yield from self._failed(error)
                    continue
                yield from self._sequence(statement.then if holds else statement.otherwise)
            else:
                yield from self._one(statement)

    def _one(self, statement: Statement) -> Iterator[Result]:
        try:
            error = self.server.injected(statement.sql)
            if error is not None:
                raise error
            results = list(self._statement(statement))
        except TsqlError as error:
            yield from self._failed(error)
        else:
            self.last_error = 0
            yield from results

    def _failed(self, error: TsqlError) -> Iterator[Result]:
        self.last_error = error.number
        yield Failed(error)
        if error.number in messages.ROLLS_BACK and self.transactions:
            yield from self.rollback()
        if error.number in messages.ABORTS_BATCH:
            raise _Abort

    def _holds(self, condition: str) -> bool:
        translated = self.translator.condition(condition)
        information.refresh(self, self.translator.system)
        self.translator.system = set()
        return self.fetch(f"SELECT 1 WHERE {translated}") != []

    def _statement(self, statement: Statement) -> Iterator[Result]:
        words = statement.words(3)
        first = words[0] or statement.tokens[0].text
        action = STATEMENTS.get(first)
        if action is None:
            if statement.tokens[0].kind in ("word", "ident"):
                yield from self._procedure(statement, 0)
                return
            raise TsqlError(102, f"Incorrect syntax near '{statement.tokens[0].text}'.")
        yield from action(self, statement)

    # SQLite

    def fetch(self, sql: str, bound: Any = None) -> list[Any]:
        return self.execute(sql, bound).fetchall()

    def execute(self, sql: str, bound: Any = None, verb: str = "INSERT") -> sqlite3.Cursor:
        """Run SQLite's SQL with the parameters of the batch, and give its errors SQL Server's numbers."""
        self._raised = None
        try:
            if bound is None:
                bound = {name[1:]: stored(value) for name, (_, value) in self.parameters.items()}
            return self.conn.execute(sql, bound)
        except OverflowError:
            raise TsqlError(
                8115, "Arithmetic overflow error converting expression to data type bigint."
            ) from None
        except sqlite3.Error as error:
            raised = self._raised
            if isinstance(raised, TsqlError):
                raise raised from None
            if raised is not None:
                raise TsqlError(50000, f"The test server: {type(raised).__name__}: {raised}") from raised
            if "You did not supply a value for binding" in str(error):
                name = str(error).rstrip(".").split()[-1].strip(":")
                raise TsqlError(137, f'Must declare the scalar variable "@{name}".', 2) from error
            table = str(error).partition("failed: ")[2].split(".")[0]
            raise from_sqlite(error, verb=verb, unique_indexes=self.catalog.unique_names(table)) from error

    def _note(self, error: Exception) -> None:
        self._raised = error

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """All that is done inside, or nothing."""
        self.conn.execute("SAVEPOINT tds_whole")
        try:
            yield
            self.conn.execute("RELEASE tds_whole")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self.conn.execute("ROLLBACK TO tds_whole")
                self.conn.execute("RELEASE tds_whole")
            self.catalog.forget()
            if isinstance(error, sqlite3.Error):
                raise from_sqlite(error) from error
            raise

    def expression(self, sql: str) -> str:
        return self.translator.expression(sql)

    def read(self, query: Query) -> Rows:
        """Run a translated query."""
        information.refresh(self, query.system)
        if self.options.get("FMTONLY") == "ON":
            query.sql = f"SELECT * FROM ({query.sql}) LIMIT 0"
        cursor = self.execute(query.sql)
        values = cursor.fetchall()
        described = [item[0] for item in cursor.description]
        names = query.names if query.names is not None and len(query.names) == len(described) else described
        kinds = []
        for index in range(len(described)):
            known = query.kinds[index] if len(query.kinds) == len(described) else None
            kinds.append(known or guess([row[index] for row in values]))
        rows = [[present(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in values]
        self.rowcount = len(rows)
        return Rows(names, kinds, rows)

    def done(self, count: int | None, command: int = 0xC1) -> Count:
        self.rowcount = count or 0
        return Count(None if self.nocount else count, command)

    # SELECT, SET, DECLARE and the like

    def _select(self, statement: Statement) -> Iterator[Result]:
        tokens = statement.tokens
        if len(tokens) > 2 and tokens[1].kind == "var" and tokens[2].text == "=":
            for part in split(tokens[1:]):
                self._assign(part[0].text, text_of(statement.source, part[2:]))
            yield self.done(1)
            return
        into = _top_level(tokens, "INTO")
        if into is not None and statement.words(1) == ["SELECT"]:
            yield from self._select_into(statement, into)
            return
        rows = self.read(self.translator.query(statement.sql))
        yield rows
        yield self.done(len(rows.values))

    def _with(self, statement: Statement) -> Iterator[Result]:
        verbs = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE")
        places = [place for verb in verbs if (place := _top_level(statement.tokens, verb)) is not None]
        first = min(places, default=0)
        if statement.tokens[first].upper == "SELECT":
            yield from self._select(statement)
            return
        head = text_of(statement.source, statement.tokens[:first])
        yield from self.write(Statement(statement.source, statement.tokens[first:]), head)

    def _write(self, statement: Statement) -> Iterator[Result]:
        yield from self.write(statement, "")

    def _set(self, statement: Statement) -> Iterator[Result]:
        tokens = statement.tokens
        word = tokens[1].upper
        if tokens[1].kind == "var":
            self._assign(tokens[1].text, text_of(statement.source, tokens[3:]))
        elif word == "IDENTITY_INSERT":
            table = self.table_of(tokens[2:-1])
            on = tokens[-1].upper == "ON"
            if on and self.identity_insert not in (None, table.physical):
                raise TsqlError(8107, f"IDENTITY_INSERT is already ON for table '{self.identity_insert}'.")
            if table.identity is None:
                raise TsqlError(8106, f"Table '{table.name}' does not have the identity property.")
            self.identity_insert = table.physical if on else None
        elif word == "NOCOUNT":
            self.nocount = tokens[2].upper == "ON"
        else:
            for name in split(tokens[1:-1]):
                self.options[" ".join(token.text.upper() for token in name)] = tokens[-1].text.upper()
            if word == "TRANSACTION":
                self.options["ISOLATION"] = " ".join(token.text.upper() for token in tokens[4:])
        return iter(())

    def _declare(self, statement: Statement) -> Iterator[Result]:
        for part in split(statement.tokens[1:]):
            name = part[0].text
            rest = [token for token in part[1:] if token.upper != "AS"]
            if rest[0].upper == "TABLE":
                sql = f"CREATE TABLE [{name}] {text_of(statement.source, rest[1:])}"
                found = self.catalog.table(name)
                if found is not None:
                    self.catalog.drop(found)
                self.definer.run(Statement(sql, lex(sql)))
                continue
            equals = next((i for i, token in enumerate(rest) if token.text == "="), len(rest))
            self.parameters[name.lower()] = (parse_type(text_of(statement.source, rest[:equals])), None)
            if equals < len(rest):
                self._assign(name, text_of(statement.source, rest[equals + 1 :]))
        return iter(())

    def _assign(self, name: str, sql: str) -> None:
        if name.lower() not in self.parameters:
            raise TsqlError(137, f'Must declare the scalar variable "{name}".')
        kind = self.parameters[name.lower()][0]
        rows = self.fetch(f"SELECT {self.expression(sql)}")
        self.parameters[name.lower()] = (kind, convert(rows[0][0], kind))

    def _define(self, statement: Statement) -> Iterator[Result]:
        words = statement.words(4)
        if words[1] == "DATABASE":
            name = name_of(next(t for t in statement.tokens[2:] if t.upper not in ("IF", "EXISTS")))
            if words[0] == "CREATE":
                self.server.create_database(name)
            elif words[0] == "DROP":
                self.server.drop_database(name, missing_ok="EXISTS" in words)
        else:
            with self.whole():
                self.definer.run(statement)
        yield self.done(None)

    def _use(self, statement: Statement) -> Iterator[Result]:
        new, old = name_of(statement.tokens[1]), self.database
        if new.lower() not in self.server.databases:
            raise TsqlError(
                911, f"Database '{new}' does not exist. Make sure that the name is entered correctly."
            )
        self.conn.close()
        self.open(new)
        yield DatabaseChanged(new, old)

    def _nothing(self, statement: Statement) -> Iterator[Result]:
        return iter(())

    def _raise(self, statement: Statement) -> Iterator[Result]:
        tokens = [token for token in statement.tokens if token.kind in ("string", "number")]
        number = int(tokens[0].text) if tokens[0].kind == "number" else 50000
        text = next((token.text for token in tokens if token.kind == "string"), "''")
        raise TsqlError(number, text.lstrip("Nn")[1:-1].replace("''", "'"))

    def _wait(self, statement: Statement) -> Iterator[Result]:
        text = statement.tokens[-1].text.strip("'")
        hours, minutes, seconds = text.split(":")
        if self.interrupted(int(hours) * 3600 + int(minutes) * 60 + float(seconds)):
            raise _Abort
        return iter(())

    # Procedures

    def _execute(self, statement: Statement) -> Iterator[Result]:
        tokens = statement.tokens
        is_kept = len(tokens) > 2 and tokens[1].text.startswith("@") and tokens[2].text == "="
        self.returned = 0
        yield from self._procedure(statement, 3 if is_kept else 1)
        if is_kept:
            self._assign(tokens[1].text, str(self.returned))

    def _procedure(self, statement: Statement, start: int) -> Iterator[Result]:
        tokens = statement.tokens
        end = start + 1
        while end + 1 < len(tokens) and tokens[end].text == ".":
            end += 2
        name = name_of(tokens[end - 1])
        arguments: list[Any] = []
        named: dict[str, Any] = {}
        for part in split(tokens[end:]) if end < len(tokens) else []:
            key = part[0].text.lower() if len(part) > 2 and part[1].text == "=" else ""
            sql = text_of(statement.source, part[2:] if key else part)
            value = sql if part[-1].kind == "word" else self.fetch(f"SELECT {self.expression(sql)}")[0][0]
            if key:
                named[key] = value
            else:
                arguments.append(value)
        yield from self.call(name, arguments, named)

    def call(self, name: str, arguments: list[Any], named: dict[str, Any]) -> Iterator[Result]:
        """Run a stored procedure with the values of its arguments."""
        lower = name.lower()
        if lower == "sp_rename":
            old, new = [*arguments, named.get("@objname"), named.get("@newname")][:2]
            what = (arguments[2:] or [named.get("@objtype")])[0] or "OBJECT"
            with self.whole():
                self.definer.rename(str(old), str(new), str(what).upper())
        elif lower in ("sp_getapplock", "sp_releaseapplock"):
            act = self.server.applocks.get if lower == "sp_getapplock" else self.server.applocks.release
            self.returned = act(self, named)
        elif lower in ("sp_executesql",):
            yield from self.run(str(arguments[0]))
        else:
            found = properties.procedure(self, lower, arguments, named)
            if found is None:
                raise TsqlError(2812, f"Could not find stored procedure '{name}'.", 62)
            yield found
            yield self.done(len(found.values))

    # Transactions

    def _begin(self, statement: Statement) -> Iterator[Result]:
        return self.begin()

    def begin(self) -> Iterator[Result]:
        self.transactions += 1
        if self.transactions == 1:
            self.conn.execute("BEGIN")
            yield TransactionChanged("begin")

    def _commit(self, statement: Statement) -> Iterator[Result]:
        return self.commit()

    def commit(self) -> Iterator[Result]:
        if not self.transactions:
            raise TsqlError(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        if self.transactions == 1:
            self.execute("COMMIT", ())
            self.transactions = 0
            yield TransactionChanged("commit")
        else:
            self.transactions -= 1

    def _rollback(self, statement: Statement) -> Iterator[Result]:
        names = [name_of(t) for t in statement.tokens[1:] if t.upper not in ("TRAN", "TRANSACTION", "WORK")]
        return self.rollback(names[0] if names else "")

    def rollback(self, name: str = "") -> Iterator[Result]:
        if not self.transactions:
            raise TsqlError(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.catalog.forget()
        if name:
            try:
                self.conn.execute(f"ROLLBACK TO {quoted(name)}")
            except sqlite3.Error:
                raise TsqlError(
                    6401, f"Cannot roll back {name}. No transaction or savepoint of that name was found."
                ) from None
            return
        self.transactions = 0
        if self.conn.in_transaction:
            self.conn.execute("ROLLBACK")
        yield TransactionChanged("rollback")

    def _save(self, statement: Statement) -> Iterator[Result]:
        return self.save(name_of(statement.tokens[2]))

    def save(self, name: str) -> Iterator[Result]:
        if not self.transactions:
            raise TsqlError(628, "Cannot issue SAVE TRANSACTION when there is no active transaction.", 0)
        if len(name) > 32:
            raise TsqlError(
                103, f"The identifier that starts with '{name[:32]}' is too long. Maximum length is 32."
            )
        self.conn.execute(f"SAVEPOINT {quoted(name)}")
        return iter(())


class _Abort(Exception):
    """The rest of the batch is not run."""


def _top_level(tokens: list[Token], word: str) -> int | None:
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.upper == word:
            return index
    return None


STATEMENTS: dict[str, Callable[[Session, Statement], Iterator[Result]]] = {
    "SELECT": Session._select,
    "(": Session._select,
    "WITH": Session._with,
    **dict.fromkeys(["INSERT", "UPDATE", "DELETE", "MERGE"], Session._write),
    "SET": Session._set,
    "DECLARE": Session._declare,
    **dict.fromkeys(["CREATE", "ALTER", "DROP", "TRUNCATE"], Session._define),
    "USE": Session._use,
    **dict.fromkeys(["PRINT", "RETURN"], Session._nothing),
    **dict.fromkeys(["RAISERROR", "THROW"], Session._raise),
    "WAITFOR": Session._wait,
    **dict.fromkeys(["EXEC", "EXECUTE"], Session._execute),
    "BEGIN": Session._begin,
    "COMMIT": Session._commit,
    "ROLLBACK": Session._rollback,
    "SAVE": Session._save,
}
