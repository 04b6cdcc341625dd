"""CREATE, ALTER and DROP: read from the tokens, done in the catalog and in SQLite."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from .altering import Alters
from .catalog import Catalog, Check, Column, Foreign, Index, Table, physical, quoted
from .lexer import Statement, Token, name_of, split
from .messages import TsqlError
from .reading import TokenReader, unexpected

__all__ = ["Definer"]

Expression = Callable[[str], str]
_numbers = itertools.count(1)
#: The version that brought a type.
SINCE = {"xml": 9, "date": 10, "time": 10, "datetime2": 10, "datetimeoffset": 10}


class Definer(Alters):
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
        reader = TokenReader(statement.source, statement.tokens)
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

    def _create_table(self, reader: TokenReader) -> None:
        schema, name = self._own(reader.name())
        table = Table(schema, name)
        if self.catalog.table(table.physical) is not None:
            raise TsqlError(2714, f"There is already an object named '{name}' in the database.", 6)
        for item in split(reader.inside()):
            self.item(table, TokenReader(reader.sql, item))
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

    def item(self, table: Table, reader: TokenReader) -> None:
        """Read a column or a constraint of a table."""
        name = name_of(reader.next()) if reader.take("CONSTRAINT") else None
        if reader.peek() in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "DEFAULT"):
            self._constraint(table, reader, name, None)
            return
        if name is not None:
            raise unexpected(reader.next())
        self._column(table, reader)

    def _column(self, table: Table, reader: TokenReader) -> None:
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

    def _type(self, reader: TokenReader) -> str:
        text = ".".join(reader.name()[-1:])
        if text.upper() == "DOUBLE" and reader.take("PRECISION"):
            text = "double precision"
        if reader.peek() == "(":
            text += f"({reader.text(reader.inside())})"
        since = SINCE.get(text.lower().partition("(")[0], 0)
        if self.major < since:
            raise TsqlError(2715, f"Column, parameter, or variable: Cannot find data type {text.lower()}.", 6)
        return text.lower()

    def _constraint(self, table: Table, reader: TokenReader, name: str | None, column: Column | None) -> None:
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
    def _after_for(reader: TokenReader) -> Token:
        reader.expect("FOR")
        return reader.next()

    @staticmethod
    def _default(reader: TokenReader) -> str:
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

    def _index_columns(self, reader: TokenReader) -> list[tuple[str, bool]]:
        parts = split(reader.inside())
        return [(name_of(part[0]), part[-1].upper == "DESC") for part in parts]

    def _drop_table(self, reader: TokenReader) -> None:
        if_exists = reader.take("IF", "EXISTS")
        for part in split(reader.tokens[reader.at :]):
            schema, name = self._own(TokenReader(reader.sql, part).name())
            table = self.catalog.table(physical(schema, name))
            if table is None or table.view:
                if if_exists:
                    continue
                raise TsqlError(
                    3701,
                    f"Cannot drop the table '{name}', because it does not exist or you do not have "
                    "permission.",
                    5,
                )
            for other, foreign in self.catalog.referring(table.physical):
                if other.physical != table.physical:
                    raise TsqlError(
                        3726,
                        f"Could not drop object '{name}' because it is referenced by a FOREIGN KEY "
                        f"constraint ('{foreign.name}').",
                    )
            self.catalog.drop(table)
            self.forget_identity(table.physical)

    def _truncate_table(self, reader: TokenReader) -> None:
        schema, name = self._own(reader.name())
        table = self.catalog.require(physical(schema, name), 4701, 'Cannot find the object "{}".')
        if any(other.physical != table.physical for other, _ in self.catalog.referring(table.physical)):
            raise TsqlError(4712, f"Cannot truncate table '{name}' because it is being referenced.")
        self.catalog.conn.execute(f"DELETE FROM {quoted(table.physical)}")
        self.forget_identity(table.physical)

    # Views, schemas

    def _create_view(self, reader: TokenReader) -> None:
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

    def _drop_view(self, reader: TokenReader) -> None:
        if_exists = reader.take("IF", "EXISTS")
        schema, name = self._own(reader.name())
        table = self.catalog.table(physical(schema, name))
        if table is not None and table.view:
            self.catalog.drop(table)
        elif not if_exists:
            raise TsqlError(3701, f"Cannot drop the view '{name}', because it does not exist.", 5)

    def _create_schema(self, reader: TokenReader) -> None:
        self.catalog.save(Table(name_of(reader.next()), "", view="schema"))

    def _drop_schema(self, reader: TokenReader) -> None:
        if_exists = reader.take("IF", "EXISTS")
        name = name_of(reader.next())
        deleted = self.catalog.conn.execute(
            "DELETE FROM __tds WHERE name = ?", (physical(name, ""),)
        ).rowcount
        if not deleted and not if_exists:
            raise TsqlError(15151, f"Cannot drop the schema '{name}', because it does not exist.")

    # Indexes

    def _create_index(self, reader: TokenReader, first: str) -> None:
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

    def _drop_index(self, reader: TokenReader) -> None:
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
