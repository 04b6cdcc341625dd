"""ALTER TABLE and sp_rename."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalog import Table, column_sql, physical, quoted
from .lexer import lex, name_of, split
from .messages import TsqlError
from .reading import TokenReader, unexpected
from .values import parse_type

if TYPE_CHECKING:
    from .ddl import Definer

    Base = Definer
else:
    Base = object

__all__ = ["Alters"]


class Alters(Base):
    """Mixin of `Definer`."""

    def _alter_table(self, reader: TokenReader) -> None:
        schema, own = self._own(reader.name())
        name = physical(schema, own)
        table = self.catalog.require(name, 4902, 'Cannot find the object "{}" because it does not exist.')
        if reader.take("WITH", "NOCHECK") or reader.take("WITH", "CHECK"):
            pass
        if reader.take("ADD"):
            for item in split(reader.tokens[reader.at :]):
                self._add(table, TokenReader(reader.sql, item))
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

    def _add(self, table: Table, reader: TokenReader) -> None:
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
                f"ALTER TABLE {quoted(table.physical)} ADD COLUMN {column_sql(column, self.expression)}"
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

    def _alter_column(self, table: Table, reader: TokenReader) -> None:
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
        parts = TokenReader(old, lex(old)).name()
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
