"""INSERT, UPDATE, DELETE and SELECT INTO.

An INSERT's rows are worked out first, converted to their columns' types here, and then put in one by one;
an UPDATE's values are converted by a function in SQLite's statement.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .catalog import Column, Table, physical, quoted
from .clauses import after_top, clauses_of, closing, depth_of, past_hints, rows_of_union
from .lexer import Statement, Token, name_of, split, text_of
from .messages import TsqlError
from .results import Result, Rows
from .values import convert, guess, present

if TYPE_CHECKING:
    from .execute import Session

    Base = Session
else:
    Base = object

__all__ = ["Writes"]

Output = tuple[list[tuple[str, str]], "str | None", list[str]]


class Writes(Base):
    """Mixin of `Session`."""

    def table_of(self, tokens: list[Token]) -> Table:
        """Return the table that a name means."""
        parts = [name_of(token) for token in tokens if token.text != "."]
        return self.catalog.require(physical(parts[-2] if len(parts) > 1 else "dbo", parts[-1]))

    def next_rowversion(self) -> bytes:
        self.store.rowversion += 1
        return self.store.rowversion.to_bytes(8, "big")

    def write(self, statement: Statement, head: str) -> Iterator[Result]:
        """Run a statement that writes; `head` is the WITH clause that stood in front of it."""
        verb = statement.tokens[0].upper
        with self.whole():
            rows, count = getattr(self, f"_{verb.lower()}")(statement, head)
        if rows is not None:
            yield rows
        yield self.done(count, COMMANDS[verb])

    # INSERT

    def _insert(self, statement: Statement, head: str) -> tuple[Rows | None, int]:
        source, tokens = statement.source, statement.tokens
        at = 2 if tokens[1].upper == "INTO" else 1
        end = at + 1
        while end < len(tokens) and tokens[end].text == ".":
            end += 2
        table = self.table_of(tokens[at:end])
        end = past_hints(tokens, end)
        names: list[str] | None = None
        if tokens[end].text == "(" and tokens[end + 1].upper != "SELECT":
            close = closing(tokens, end)
            names = [name_of(part[0]) for part in split(tokens[end + 1 : close])]
            end = close + 1
        output: Output | None = None
        if tokens[end].upper == "OUTPUT":
            stop = next(
                i for i in range(end, len(tokens)) if tokens[i].upper in BODY and not depth_of(tokens[end:i])
            )
            output = self._output(source, tokens[end + 1 : stop], table)
            end = stop
        if tokens[end].upper == "DEFAULT":
            given: list[Any] = [()]
            names = []
        else:
            body = rows_of_union(source, tokens[end:]) or text_of(source, tokens[end:])
            if tokens[end].upper in ("EXEC", "EXECUTE"):
                raise TsqlError(50000, "The test server knows no INSERT ... EXEC.")
            given = self.fetch(self.translator.query(f"{head} {body}".strip()).sql)
        found = self.put(table, names, given, returning=output is not None)
        # SQL Server promises no order of these, so whoever counts on one is to fail here.
        return self._returned(output, table, found[::-1]), len(given)

    def put(self, table: Table, names: list[str] | None, given: list[Any], *, returning: bool) -> list[Any]:
        """Insert rows into a table.

        Args:
            table: where to.
            names: of the columns that the rows give, all but the server's own if None.
            given: as SQLite holds values.
            returning: whether the whole rows are wanted back.
        """
        own = [column for column in table.columns if column.computed is None]
        identity = table.identity
        if names is None:
            own_only = [
                c
                for c in own
                if c.kind.name != "rowversion" and not (c.identity and self.identity_insert != table.physical)
            ]
            names = [column.name for column in own_only]
        columns = [table.column(name) for name in names]
        explicit = any(column is identity for column in columns)
        if explicit and self.identity_insert != table.physical:
            raise TsqlError(
                544,
                f"Cannot insert explicit value for identity column in table '{table.name}' when "
                "IDENTITY_INSERT is set to OFF.",
            )
        if identity is not None and not explicit and self.identity_insert == table.physical:
            raise TsqlError(
                545, f"Explicit value must be specified for identity column in table '{table.name}'."
            )
        if any(column.kind.name == "rowversion" for column in columns):
            raise TsqlError(273, "Cannot insert an explicit value into a timestamp column.")
        if given and len(given[0]) != len(columns):
            raise TsqlError(213, "Column name or number of supplied values does not match table definition.")
        missing = [column for column in own if column not in columns]
        kinds = [(column.kind, column.name) for column in columns]
        every = [*columns, *missing]
        if every:
            names_sql, marks = ", ".join(quoted(c.name) for c in every), ", ".join("?" * len(every))
            sql = f"INSERT INTO {quoted(table.physical)} ({names_sql}) VALUES ({marks})"
        else:
            sql = f"INSERT INTO {quoted(table.physical)} DEFAULT VALUES"
        if returning:
            sql += " RETURNING *"
        found = []
        for row in given:
            values = [convert(value, kind, name) for value, (kind, name) in zip(row, kinds, strict=True)]
            values += [self._default(table, column) for column in missing]
            cursor = self.execute(sql, values)
            if returning:
                found.extend(cursor.fetchall())
            if identity is not None:
                self.identity = int(values[every.index(identity)])
                self.store.seen_identity(table.physical, self.identity)
        return found

    def _default(self, table: Table, column: Column) -> Any:
        if column.identity is not None:
            return self.store.next_identity(table.physical, column, self.conn)
        if column.kind.name == "rowversion":
            return self.next_rowversion()
        if column.default is None:
            return None
        return convert(
            self.fetch(f"SELECT {self.expression(column.default)}")[0][0], column.kind, column.name
        )

    # OUTPUT

    def _output(self, source: str, tokens: list[Token], table: Table) -> Output:
        """Read an OUTPUT clause: what it gives, by which names, and into which table and columns."""
        into: str | None = None
        names: list[str] = []
        index = next((i for i, token in enumerate(tokens) if token.upper == "INTO"), len(tokens))
        if index < len(tokens):
            rest = tokens[index + 1 :]
            into = name_of(rest[0])
            if len(rest) > 1:
                names = [name_of(part[0]) for part in split(rest[2:-1])]
        items: list[tuple[str, str]] = []
        for part in split(tokens[:index]):
            if part[-1].text == "*":
                items += [(column.name, column.name) for column in table.columns]
                continue
            alias = name_of(part[-1])
            if (len(part) > 1 and part[-2].upper == "AS") or (len(part) >= 3 and part[1].text == "."):
                items.append((alias, name_of(part[2]) if part[1].text == "." else text_of(source, part[:-2])))
            else:
                raise TsqlError(50000, "The test server knows OUTPUT of columns only.")
        return items, into, names

    def _returned(self, output: Output | None, table: Table, rows: list[Any]) -> Rows | None:
        if output is None:
            return None
        items, into, names = output
        positions = [
            [c.name.lower() for c in table.columns].index(table.column(name).name.lower())
            for _, name in items
        ]
        kinds = [table.columns[position].kind for position in positions]
        if into is not None:
            raw = [[row[position] for position in positions] for row in rows]
            self.put(self.catalog.require(into), names or None, raw, returning=False)
            return None
        values = [[present(row[p], kind) for p, kind in zip(positions, kinds, strict=True)] for row in rows]
        return Rows([alias for alias, _ in items], kinds, values)

    # UPDATE and DELETE

    def _update(self, statement: Statement, head: str) -> tuple[Rows | None, int]:
        clauses = clauses_of(statement.tokens, ("SET", "OUTPUT", "FROM", "WHERE", "OPTION"))
        target, top = after_top(clauses[""][1:])
        table, alias, source = self._aliased(statement, target, clauses, head)
        output = self._output(statement.source, clauses["OUTPUT"][1:], table) if "OUTPUT" in clauses else None
        scope = {alias.lower(): [(column.name, column.kind) for column in table.columns]}
        sets = []
        for part in split(clauses["SET"][1:]):
            equals = next(i for i, token in enumerate(part) if token.text in ("=", "+=", "-="))
            column = table.column(name_of(part[equals - 1]))
            if column.identity:
                raise TsqlError(8102, f"Cannot update identity column '{column.name}'.")
            if column.kind.name == "rowversion":
                raise TsqlError(272, "Cannot update a timestamp column.")
            sql = text_of(statement.source, part[equals + 1 :])
            if sql.upper() == "DEFAULT":
                sql = column.default or "NULL"
            if part[equals].text != "=":
                sql = f"[{column.name}] {part[equals].text[0]} ({sql})"
            translated = self.translator.expression(sql, {**source[1], **scope})
            literal = str(column.kind).replace("'", "''")
            name = column.name.replace("'", "''")
            sets.append(f"{quoted(column.name)} = tds_cast({translated}, '{literal}', '{name}')")
        sets += [f"{quoted(c.name)} = tds_rowversion()" for c in table.columns if c.type == "rowversion"]
        rows, count = self._changed(
            "UPDATE",
            f"UPDATE {quoted(table.physical)} AS {quoted(alias)} SET {', '.join(sets)}",
            statement,
            table,
            alias,
            source,
            clauses,
            top,
            head,
            output is not None,
        )
        return self._returned(output, table, rows), count

    def _delete(self, statement: Statement, head: str) -> tuple[Rows | None, int]:
        tokens = statement.tokens
        start = 1
        top: str | None = None
        target, top = after_top(tokens[1:])
        start = len(tokens) - len(target)
        rest = tokens[start:]
        if rest and rest[0].upper == "FROM":
            rest = rest[1:]
        clauses = clauses_of(rest, ("OUTPUT", "FROM", "WHERE", "OPTION"))
        table, alias, source = self._aliased(statement, clauses[""], clauses, head)
        output = self._output(statement.source, clauses["OUTPUT"][1:], table) if "OUTPUT" in clauses else None
        rows, count = self._changed(
            "DELETE",
            f"DELETE FROM {quoted(table.physical)} AS {quoted(alias)}",
            statement,
            table,
            alias,
            source,
            clauses,
            top,
            head,
            output is not None,
        )
        return self._returned(output, table, rows), count

    def _changed(
        self,
        verb: str,
        sql: str,
        statement: Statement,
        table: Table,
        alias: str,
        source: Any,
        clauses: dict[str, list[Token]],
        top: str | None,
        head: str,
        returning: bool,
    ) -> tuple[list[Any], int]:
        """Run an UPDATE or DELETE whose rows TOP, a FROM clause or a CTE may choose."""
        where = text_of(statement.source, clauses["WHERE"][1:]) if "WHERE" in clauses else ""
        from_sql, scope, through = source
        scope = {**scope, alias.lower(): [(column.name, column.kind) for column in table.columns]}
        if through is not None:
            sql += f" WHERE rowid IN ({through})"
            if where:
                sql += f" AND ({self.translator.condition(where, scope)})"
        elif from_sql and verb == "UPDATE":
            sql += f" FROM {from_sql}" + (
                f" WHERE {self.translator.condition(where, scope)}" if where else ""
            )
        elif from_sql or top is not None:
            inner = f"SELECT {quoted(alias)}.rowid FROM {quoted(table.physical)} AS {quoted(alias)}"
            inner += f", {from_sql}" if from_sql else ""
            inner += f" WHERE {self.translator.condition(where, scope)}" if where else ""
            sql += f" WHERE rowid IN ({inner}" + (f" LIMIT {top})" if top is not None else ")")
        elif where:
            sql += f" WHERE {self.translator.condition(where, scope)}"
        if head and through is None:
            sql = f"{self._ctes(head)} {sql}"
        if returning:
            sql += " RETURNING *"
        cursor = self.execute(sql, verb=verb)
        rows = cursor.fetchall()
        return rows, len(rows) if returning else cursor.rowcount

    def _ctes(self, head: str) -> str:
        return self.translator.query(f"{head} SELECT 1 AS [x]").sql.removesuffix("SELECT 1 AS `x`").strip()

    def _aliased(
        self, statement: Statement, target: list[Token], clauses: dict[str, list[Token]], head: str
    ) -> tuple[Table, str, tuple[str, dict[str, Any], str | None]]:
        """Find the table that is written: named itself, by its alias in FROM, or through a CTE.

        Returns the table, the alias that the statement knows it by, and the other sources: their SQL, the
        types of their columns, and a query of rowids when a CTE chooses the rows.
        """
        target = target[: past_hints(target, 0) or len(target)]
        target = target[: next((i for i, t in enumerate(target) if t.upper == "WITH"), len(target))]
        names = [token for token in target if token.text != "." and token.upper != "AS"]
        plain = [i for i, t in enumerate(target) if t.text != "."]
        alias = name_of(names[-1])
        if "FROM" in clauses:
            return self._from(statement, alias, clauses["FROM"][1:], target)
        if head:
            found = self._through(head, alias)
            if found is not None:
                return found
        if len(plain) > 1 and (target[plain[-1] - 1].text != "."):
            own = [t for t in target[: plain[-1]] if t.upper != "AS"]
            return self.table_of(own), alias, ("", {}, None)
        table = self.table_of(target)
        return table, table.name, ("", {}, None)

    def _from(
        self, statement: Statement, alias: str, tokens: list[Token], target: list[Token]
    ) -> tuple[Table, str, tuple[str, dict[str, Any], str | None]]:
        table: Table | None = None
        others: list[str] = []
        for part in split(tokens):
            part = part[: next((i for i, t in enumerate(part) if t.upper == "WITH"), len(part))]
            words = [t for t in part if t.upper != "AS"]
            own = words[-1].kind in ("ident", "word") and name_of(words[-1]).lower() == alias.lower()
            if own and not any(t.text == "(" for t in part) and table is None:
                named = words[:-1] if len(words) > 1 and words[-2].text != "." else words
                table = self.table_of(named)
            else:
                others.append(text_of(statement.source, part))
        if table is None:
            table = self.table_of(target)
            alias = table.name
        if not others:
            return table, alias, ("", {}, None)
        sql = self.translator.query(f"SELECT * FROM {', '.join(others)}").sql.removeprefix("SELECT * FROM ")
        scope = self.translator.sources(f"SELECT * FROM {', '.join(others)}")
        return table, alias, (sql, scope, None)

    def _through(
        self, head: str, alias: str
    ) -> tuple[Table, str, tuple[str, dict[str, Any], str | None]] | None:
        """A write through a CTE: which of the table's rows it means."""
        found = self.translator.rowids(head, alias)
        if found is None:
            return None
        name, sql = found
        return self.catalog.require(name), alias, ("", {}, sql)

    # SELECT INTO

    def _select_into(self, statement: Statement, into: int) -> Iterator[Result]:
        tokens = statement.tokens
        end = into + 2
        while end < len(tokens) and tokens[end].text == ".":
            end += 2
        parts = [name_of(token) for token in tokens[into + 1 : end] if token.text != "."]
        gap = " " * (tokens[end - 1].end - tokens[into].start)
        sql = statement.source[tokens[0].start : tokens[into].start] + gap
        sql += statement.source[tokens[end - 1].end : tokens[-1].end]
        query = self.translator.query(sql)
        cursor = self.execute(query.sql)
        values = cursor.fetchall()
        names = query.names or [item[0] for item in cursor.description]
        kinds = query.kinds if len(query.kinds) == len(names) else [None] * len(names)
        table = Table(parts[-2] if len(parts) > 1 else "dbo", parts[-1])
        for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
            table.columns.append(Column(name, str(kind or guess([row[index] for row in values]))))
        with self.whole(), contextlib.suppress(IndexError):
            self.definer.create(table)
            self.put(table, None, values, returning=False)
        yield self.done(len(values))


COMMANDS = {"INSERT": 0xC3, "DELETE": 0xC4, "UPDATE": 0xC5, "MERGE": 0x117}
BODY = {"VALUES", "SELECT", "DEFAULT", "WITH", "EXEC", "EXECUTE"}
