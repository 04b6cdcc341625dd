"""CREATE, ALTER and DROP: read from the tokens, done in the catalog and in SQLite."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from .catalog import Catalog, Check, Column, Foreign, Index, Table, physical, quoted
from .lexer import Statement, Token, lex, name_of, split, text_of
from .messages import TsqlError
from .values import parse_type

__all__ = ["Definer"]

Expression = Callable[[str], str]
_numbers = itertools.count(1)
#: The version that brought a type.
SINCE = {"xml": 9, "date": 10, "time": 10, "datetime2": 10, "datetimeoffset": 10}


def unexpected(token: Token) -> TsqlError:
    return TsqlError(102, f"Incorrect syntax near '{token.text}'.")


class _Tokens:
    """The tokens of a statement, read one after the other."""

    def __init__(self, sql: str, tokens: Sequence[Token]) -> None:
        self.sql = sql
        self.tokens = list(tokens)
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return (self.tokens[index].upper or self.tokens[index].text) if index < len(self.tokens) else ""

    def next(self) -> Token:
        if not self:
            raise TsqlError(102, "Incorrect syntax near the end.")
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, *words: str) -> bool:
        """Go past these words, if all of them come next."""
        if all(self.peek(ahead) == word for ahead, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise unexpected(self.next())

    def name(self) -> list[str]:
        parts = [name_of(self.next())]
        while self.take("."):
            parts.append("" if self.peek() == "." else name_of(self.next()))
        return parts

    def inside(self) -> list[Token]:
        """The tokens between the parentheses that come next."""
        self.expect("(")
        start = self.at
        depth = 1
        while depth:
            token = self.next()
            depth += (token.text == "(") - (token.text == ")")
        return self.tokens[start : self.at - 1]

    def names(self) -> list[str]:
        return [name_of(part[0]) for part in split(self.inside())]

    def text(self, tokens: Sequence[Token]) -> str:
        return text_of(self.sql, tokens)


class Definer:
    """Runs data definition in one session.

    Args:
        catalog: of the session's database.
        expression: translates a T-SQL expression into SQLite's.
        forget_identity: called with the physical name of a table that is new or gone.
        major: the version of the server, which has types that an older one lacks.
    """

    def __init__(
        self, catalog: Catalog, expression: Expression, forget_identity: Callable[[str], None], major: int
    ) -> None:
        self.major = major
        self.catalog = catalog
        self.expression = expression
        self.forget_identity = forget_identity

    def run(self, statement: Statement) -> None:
        reader = _Tokens(statement.source, statement.tokens)
        verb = reader.next().upper
        what = reader.next().upper
        if verb == "CREATE" and what in ("UNIQUE", "CLUSTERED", "NONCLUSTERED", "INDEX"):
            self._create_index(reader, what)
            return
        action: Any = getattr(self, f"_{verb}_{what}".lower(), None)
        if action is None:
            raise TsqlError(50000, f"The test server does not know {verb} {what}.")
        action(reader)

    def _own(self, parts: Sequence[str]) -> tuple[str, str]:
        schema = parts[-2] if len(parts) > 1 and parts[-2] else "dbo"
        return schema, parts[-1]

    # Tables

    def _create_table(self, reader: _Tokens) -> None:
        schema, name = self._own(reader.name())
        table = Table(schema, name)
        if self.catalog.table(table.physical) is not None:
            raise TsqlError(2714, f"There is already an object named '{name}' in the database.", 6)
        for item in split(reader.inside()):
            self.item(table, _Tokens(reader.sql, item))
        self.create(table)

    def create(self, table: Table) -> None:
        """Make a table whose definition is complete."""
        for column in table.columns:
            if column.computed is None:
                column.kind  # noqa: B018 - raises Msg 2715 for a type that there is not
        for foreign in table.foreigns:
            self._check_foreign(table, foreign)
        self.catalog.create(table, self.expression)
        self.forget_identity(table.physical)

    def item(self, table: Table, reader: _Tokens) -> None:
        """Read a column or a constraint of a table."""
        name = name_of(reader.next()) if reader.take("CONSTRAINT") else None
        if reader.peek() in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "DEFAULT"):
            self._constraint(table, reader, name, None)
            return
        if name is not None:
            raise unexpected(reader.next())
        self._column(table, reader)

    def _column(self, table: Table, reader: _Tokens) -> None:
        column = Column(name_of(reader.next()), "")
        table.columns.append(column)
        if reader.take("AS"):
            column.computed = reader.text(reader.inside())
            column.type = "nvarchar(4000)"
            return
        column.type = self._type(reader)
        if column.kind.name == "rowversion":
            column.nullable = False
        while reader:
            name = name_of(reader.next()) if reader.take("CONSTRAINT") else None
            if reader.take("NOT", "NULL"):
                column.nullable = False
            elif reader.take("NULL"):
                column.nullable = True
            elif reader.take("IDENTITY"):
                pair = [1, 1]
                if reader.peek() == "(":
                    pair = [int(reader.text(part)) for part in split(reader.inside())]
                column.identity = (pair[0], pair[1])
                column.nullable = False
            elif reader.take("COLLATE"):
                reader.next()
            elif (
                reader.take("ROWGUIDCOL") or reader.take("SPARSE") or reader.take("NOT", "FOR", "REPLICATION")
            ):
                continue
            else:
                self._constraint(table, reader, name, column)

    def _type(self, reader: _Tokens) -> str:
        text = ".".join(reader.name()[-1:])
        if text.upper() == "DOUBLE" and reader.take("PRECISION"):
            text = "double precision"
        if reader.peek() == "(":
            text += f"({reader.text(reader.inside())})"
        since = SINCE.get(text.lower().partition("(")[0], 0)
        if self.major < since:
            raise TsqlError(2715, f"Column, parameter, or variable: Cannot find data type {text.lower()}.", 6)
        return text.lower()

    def _constraint(self, table: Table, reader: _Tokens, name: str | None, column: Column | None) -> None:
        own = [column.name] if column is not None else []
        number = f"{table.name}__{next(_numbers):08X}"
        if reader.take("PRIMARY", "KEY") or reader.take("UNIQUE"):
            is_primary = reader.tokens[reader.at - 1].upper == "KEY"
            reader.take("CLUSTERED")
            reader.take("NONCLUSTERED")
            columns = self._index_columns(reader) if reader.peek() == "(" else [(own[0], False)]
            kind = "PRIMARY KEY" if is_primary else "UNIQUE"
            table.indexes.append(Index(name or f"{'PK' if is_primary else 'UQ'}__{number}", kind, columns))
            if is_primary:
                for key, _ in columns:
                    table.column(key).nullable = False
        elif reader.take("CHECK"):
            table.checks.append(Check(name or f"CK__{number}", reader.text(reader.inside())))
        elif reader.take("DEFAULT"):
            sql = self._default(reader)
            target = column or table.column(name_of(self._after_for(reader)))
            target.default, target.default_name = sql, name or f"DF__{number}"
        elif reader.take("FOREIGN", "KEY") or reader.peek() == "REFERENCES":
            columns = own or [*reader.names()]
            reader.expect("REFERENCES")
            schema, target_name = self._own(reader.name())
            references = reader.names() if reader.peek() == "(" else []
            foreign = Foreign(
                name or f"FK__{number}", list(columns), physical(schema, target_name), references
            )
            while reader.take("ON"):
                event = reader.next().upper
                words = [reader.next().upper]
                if words[0] in ("NO", "SET"):
                    words.append(reader.next().upper)
                setattr(foreign, f"on_{event.lower()}", " ".join(words))
            table.foreigns.append(foreign)
        else:
            raise unexpected(reader.next())

    @staticmethod
    def _after_for(reader: _Tokens) -> Token:
        reader.expect("FOR")
        return reader.next()

    @staticmethod
    def _default(reader: _Tokens) -> str:
        start = reader.at
        if reader.peek() == "(":
            reader.inside()
        else:
            while reader.peek() in ("-", "+"):
                reader.next()
            reader.next()
            if reader.peek() == "(":
                reader.inside()
        return reader.text(reader.tokens[start : reader.at])

    def _check_foreign(self, table: Table, foreign: Foreign) -> None:
        same = foreign.table.lower() == table.physical.lower()
        target = table if same else self.catalog.table(foreign.table)
        if target is None:
            raise TsqlError(
                1767, f"Foreign key '{foreign.name}' references invalid table '{foreign.table}'.", 0
            )
        key = target.primary_key
        if not foreign.references and key is not None:
            foreign.references = [name for name, _ in key.columns]

    def _index_columns(self, reader: _Tokens) -> list[tuple[str, bool]]:
        parts = split(reader.inside())
        return [(name_of(part[0]), part[-1].upper == "DESC") for part in parts]

    def _drop_table(self, reader: _Tokens) -> None:
        if_exists = reader.take("IF", "EXISTS")
        for part in split(reader.tokens[reader.at :]):
            schema, name = self._own(_Tokens(reader.sql, part).name())
            table = self.catalog.table(physical(schema, name))
            if table is None or table.view:
                if if_exists:
                    continue
                raise TsqlError(
                    3701,
                    f"Cannot drop the table '{name}', because it does not exist or you do not have permission.",
                    5,
                )
            for other, foreign in self.catalog.referring(table.physical):
                if other.physical != table.physical:
                    raise TsqlError(
                        3726,
                        f"Could not drop object '{name}' because it is referenced by a FOREIGN KEY constraint "
                        f"('{foreign.name}').",
                    )
            self.catalog.drop(table)
            self.forget_identity(table.physical)

    def _truncate_table(self, reader: _Tokens) -> None:
        schema, name = self._own(reader.name())
        table = self.catalog.require(physical(schema, name), 4701, 'Cannot find the object "{}".')
        if any(other.physical != table.physical for other, _ in self.catalog.referring(table.physical)):
            raise TsqlError(4712, f"Cannot truncate table '{name}' because it is being referenced.")
        self.catalog.conn.execute(f"DELETE FROM {quoted(table.physical)}")
        self.forget_identity(table.physical)

    # Views, schemas

    def _create_view(self, reader: _Tokens) -> None:
        schema, name = self._own(reader.name())
        names = reader.names() if reader.peek() == "(" else []
        reader.expect("AS")
        query = reader.text(reader.tokens[reader.at :])
        table = Table(schema, name, view=query)
        if self.catalog.table(table.physical) is not None:
            raise TsqlError(2714, f"There is already an object named '{name}' in the database.", 3)
        table.columns = self.view_columns(query, names)
        head = f" ({', '.join(map(quoted, names))})" if names else ""
        self.catalog.conn.execute(f"CREATE VIEW {quoted(table.physical)}{head} AS {self.expression(query)}")
        self.catalog.save(table)

    #: Set by the session: the columns of a query.
    view_columns: Callable[[str, list[str]], list[Column]]

    def _drop_view(self, reader: _Tokens) -> None:
        if_exists = reader.take("IF", "EXISTS")
        schema, name = self._own(reader.name())
        table = self.catalog.table(physical(schema, name))
        if table is not None and table.view:
            self.catalog.drop(table)
        elif not if_exists:
            raise TsqlError(3701, f"Cannot drop the view '{name}', because it does not exist.", 5)

    def _create_schema(self, reader: _Tokens) -> None:
        self.catalog.save(Table(name_of(reader.next()), "", view="schema"))

    def _drop_schema(self, reader: _Tokens) -> None:
        if_exists = reader.take("IF", "EXISTS")
        name = name_of(reader.next())
        deleted = self.catalog.conn.execute(
            "DELETE FROM __tds WHERE name = ?", (physical(name, ""),)
        ).rowcount
        if not deleted and not if_exists:
            raise TsqlError(15151, f"Cannot drop the schema '{name}', because it does not exist.")

    # Indexes

    def _create_index(self, reader: _Tokens, first: str) -> None:
        unique = first == "UNIQUE"
        while first != "INDEX":
            first = reader.next().upper
        name = name_of(reader.next())
        reader.expect("ON")
        schema, own = self._own(reader.name())
        table = self.catalog.require(physical(schema, own), 1088, 'Cannot find the object "{}".')
        index = Index(name, "INDEX", self._index_columns(reader), unique)
        if any(other.name.lower() == name.lower() for other in table.indexes):
            raise TsqlError(1913, f"The operation failed because an index with name '{name}' already exists.")
        if reader.take("INCLUDE"):
            index.include = reader.names()
        if reader.take("WHERE"):
            index.where = reader.text(reader.tokens[reader.at :])
        for column, _ in index.columns:
            table.column(column)
        self.catalog.create_index(table, index, self.expression)
        table.indexes.append(index)
        self.catalog.save(table)

    def _drop_index(self, reader: _Tokens) -> None:
        if_exists = reader.take("IF", "EXISTS")
        parts = reader.name()
        if reader.take("ON"):
            target, name = reader.name(), parts[-1]
        else:
            target, name = parts[:-1], parts[-1]
        table = self.catalog.table(physical(*self._own(target)))
        index = next((i for i in (table.indexes if table else []) if i.name.lower() == name.lower()), None)
        if table is None or index is None:
            if if_exists:
                return
            raise TsqlError(3701, f"Cannot drop the index '{name}', because it does not exist.", 7)
        self.catalog.drop_index(table, index)
        table.indexes.remove(index)
        self.catalog.save(table)

    # ALTER TABLE

    def _alter_table(self, reader: _Tokens) -> None:
        schema, own = self._own(reader.name())
        name = physical(schema, own)
        table = self.catalog.require(name, 4902, 'Cannot find the object "{}" because it does not exist.')
        if reader.take("WITH", "NOCHECK") or reader.take("WITH", "CHECK"):
            pass
        if reader.take("ADD"):
            for item in split(reader.tokens[reader.at :]):
                self._add(table, _Tokens(reader.sql, item))
        elif reader.take("DROP", "COLUMN"):
            for item in split(reader.tokens[reader.at :]):
                self._drop_column(table, name_of(item[0]))
        elif reader.take("DROP", "CONSTRAINT") or reader.take("DROP"):
            for item in split(reader.tokens[reader.at :]):
                self._drop_constraint(table, name_of(item[0]))
        elif reader.take("ALTER", "COLUMN"):
            self._alter_column(table, reader)
        elif reader.peek() in ("CHECK", "NOCHECK"):
            return
        else:
            raise unexpected(reader.next())

    def _add(self, table: Table, reader: _Tokens) -> None:
        columns, indexes = len(table.columns), len(table.indexes)
        self.item(table, reader)
        for foreign in table.foreigns:
            self._check_foreign(table, foreign)
        conn = self.catalog.conn
        has_rows = conn.execute(f"SELECT 1 FROM {quoted(table.physical)} LIMIT 1").fetchone() is not None
        for column in table.columns[columns:]:
            column.kind  # noqa: B018 - raises for an unknown type
            if has_rows and not column.nullable and column.default is None and column.identity is None:
                raise TsqlError(
                    4901,
                    "ALTER TABLE only allows columns to be added that can contain nulls, or have a DEFAULT "
                    f"definition specified; column '{column.name}' cannot be added to non-empty table.",
                )
            nullable, column.nullable = column.nullable, True
            conn.execute(
                f"ALTER TABLE {quoted(table.physical)} ADD COLUMN "
                + f"{quoted(column.name)} {self.catalog.ddl(Table('', '', [column]), self.expression).split(quoted(column.name), 1)[1][1:-1]}"
            )
            column.nullable = nullable
            if column.default is not None and not nullable:
                value = self.expression(column.default)
                conn.execute(f"UPDATE {quoted(table.physical)} SET {quoted(column.name)} = {value}")
        self.catalog.redefine(table, self.expression)
        for index in table.indexes[indexes:]:
            self.catalog.create_index(table, index, self.expression)
        self.catalog.save(table)

    def _drop_column(self, table: Table, name: str) -> None:
        column = table.column(name)
        users = [i.name for i in table.indexes if any(c.lower() == name.lower() for c, _ in i.columns)]
        users += [f.name for f in table.foreigns if name.lower() in map(str.lower, f.columns)]
        users += [c.name for c in table.checks if name.lower() in (name_of(t).lower() for t in lex(c.sql))]
        if column.default_name:
            users.append(column.default_name)
        if users:
            raise TsqlError(
                5074, f"ALTER TABLE DROP COLUMN {name} failed because {users[0]} accesses this column."
            )
        self.catalog.conn.execute(f"ALTER TABLE {quoted(table.physical)} DROP COLUMN {quoted(column.name)}")
        table.columns.remove(column)
        self.catalog.redefine(table, self.expression)

    def _drop_constraint(self, table: Table, name: str) -> None:
        for column in table.columns:
            if column.default_name and column.default_name.lower() == name.lower():
                column.default = column.default_name = None
                self.catalog.redefine(table, self.expression)
                return
        for index in table.indexes:
            if index.name.lower() == name.lower():
                self.catalog.drop_index(table, index)
                table.indexes.remove(index)
                self.catalog.save(table)
                return
        for constraints in (table.checks, table.foreigns):
            for constraint in constraints:  # type: ignore[attr-defined]
                if constraint.name.lower() == name.lower():
                    constraints.remove(constraint)  # type: ignore[attr-defined]
                    self.catalog.redefine(table, self.expression)
                    return
        raise TsqlError(3728, f"'{name}' is not a constraint.")

    def _alter_column(self, table: Table, reader: _Tokens) -> None:
        column = table.column(name_of(reader.next()))
        column.type = self._type(reader)
        kind = parse_type(column.type)
        column.nullable = not reader.take("NOT", "NULL")
        target = quoted(table.physical)
        if not column.nullable:
            null = self.catalog.conn.execute(
                f"SELECT 1 FROM {target} WHERE {quoted(column.name)} IS NULL LIMIT 1"
            )
            if null.fetchone() is not None:
                raise TsqlError(
                    515,
                    f"Cannot insert the value NULL into column '{column.name}', table '{table.name}'; "
                    "column does not allow nulls. UPDATE fails.",
                    2,
                )
        self.catalog.redefine(table, self.expression)
        self.catalog.conn.execute(
            f"UPDATE {target} SET {quoted(column.name)} = tds_cast({quoted(column.name)}, ?, ?)",
            (str(kind), column.name),
        )

    # sp_rename

    def rename(self, old: str, new: str, what: str) -> None:
        """Do what sp_rename does.

        Args:
            old: the name in parts, possibly quoted.
            new: the new name, one part.
            what: COLUMN, INDEX, or OBJECT for a table or a constraint.
        """
        parts = _Tokens(old, lex(old)).name()
        failed = TsqlError(
            15248, f"Either the parameter @objname is ambiguous or the claimed @objtype ({what}) is wrong."
        )
        if what in ("COLUMN", "INDEX"):
            table = self.catalog.table(physical(*self._own(parts[:-1])))
            if table is None:
                raise failed
            if what == "COLUMN":
                self._rename_column(table, parts[-1], new)
            else:
                self._rename_index(table, parts[-1], new)
            return
        schema, name = self._own(parts)
        table = self.catalog.table(physical(schema, name))
        if table is not None:
            self._rename_table(table, new)
            return
        for table in self.catalog.tables():
            for constraint in (*table.checks, *table.foreigns):
                if constraint.name.lower() == name.lower():
                    constraint.name = new
                    self.catalog.redefine(table, self.expression)
                    return
            if any(index.name.lower() == name.lower() for index in table.indexes):
                self._rename_index(table, name, new)
                return
        raise TsqlError(15225, f"No item by the name of '{old}' could be found in the current database.")

    def _rename_column(self, table: Table, old: str, new: str) -> None:
        column = table.column(old)
        self.catalog.conn.execute(
            f"ALTER TABLE {quoted(table.physical)} RENAME COLUMN {quoted(column.name)} TO {quoted(new)}"
        )
        for index in table.indexes:
            index.columns = [(new if c.lower() == old.lower() else c, desc) for c, desc in index.columns]
        for foreign in table.foreigns:
            foreign.columns = [new if c.lower() == old.lower() else c for c in foreign.columns]
        for check in table.checks:
            check.sql = check.sql.replace(f"[{column.name}]", f"[{new}]")
        column.name = new
        self.catalog.save(table)
        for other, foreign in list(self.catalog.referring(table.physical)):
            foreign.references = [new if c.lower() == old.lower() else c for c in foreign.references]
            self.catalog.save(other)

    def _rename_index(self, table: Table, old: str, new: str) -> None:
        index = next((i for i in table.indexes if i.name.lower() == old.lower()), None)
        if index is None:
            raise TsqlError(
                15248, "Either the parameter @objname is ambiguous or the claimed @objtype (INDEX) is wrong."
            )
        self.catalog.drop_index(table, index)
        index.name = new
        self.catalog.create_index(table, index, self.expression)
        self.catalog.save(table)

    def _rename_table(self, table: Table, new: str) -> None:
        was = table.physical
        for index in table.indexes:
            self.catalog.drop_index(table, index)
        table.name = new
        self.catalog.conn.execute(f"ALTER TABLE {quoted(was)} RENAME TO {quoted(table.physical)}")
        for index in table.indexes:
            self.catalog.create_index(table, index, self.expression)
        for foreign in table.foreigns:
            if foreign.table.lower() == was.lower():
                foreign.table = table.physical
        self.catalog.save(table, was=was)
        for other, foreign in list(self.catalog.referring(was)):
            foreign.table = table.physical
            self.catalog.save(other)
        self.forget_identity(was)
