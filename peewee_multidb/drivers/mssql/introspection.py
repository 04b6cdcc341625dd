"""What is in an SQL Server database: tables, views, columns, keys and indexes, on every version since 2000.

The answers have the shapes of Peewee's own engines, so that whatever reads those reads these.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .catalog import SINCE_2005, SINCE_2008, UP_TO_2000, Catalog
from .literals import quoted
from .stock import stock

if TYPE_CHECKING:
    from .dialect import Dialect as Base
else:
    Base = object

__all__ = ["IndexDefinition", "Introspection", "object_name", "without_parentheses"]

#: Types whose length the catalog counts in bytes, and how many bytes a character has.
_SIZED = {"char": 1, "varchar": 1, "binary": 1, "varbinary": 1, "nchar": 2, "nvarchar": 2}
_SCALED = ("decimal", "numeric")
_FRACTIONAL = ("datetime2", "datetimeoffset", "time")


def object_name(table: str, schema: str | None = None) -> str:
    """Return the name of a table as OBJECT_ID reads it; a temporary table is looked for in tempdb."""
    if table.startswith("#"):
        return f"tempdb..{quoted(table)}"
    return f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)


def without_parentheses(expression: str) -> str:
    """Return an expression without the parentheses that the server puts around what it stores."""
    while expression.startswith("(") and _closes_at(expression) == len(expression) - 1:
        expression = expression[1:-1].strip()
    return expression


def _closes_at(expression: str) -> int:
    """Return where the parenthesis closes that opens the expression; those in strings do not count."""
    depth = 0
    for found in re.finditer(r"'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]|[()]", expression):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return -1


def full_type(kind: str, length: int, precision: int | None, scale: int | None) -> str:
    """Return a type as it stands in a CREATE TABLE, such as ``nvarchar(50)``.

    Args:
        kind: the name of the type.
        length: in bytes; -1 is (max).
        precision: in decimal digits.
        scale: the digits behind the point, of numbers and of seconds.
    """
    if kind in _SIZED:
        return f"{kind}(max)" if length < 0 else f"{kind}({length // _SIZED[kind]})"
    if kind in _SCALED:
        return f"{kind}({precision}, {scale})"
    if kind in _FRACTIONAL:
        return f"{kind}({scale})"
    return kind


class IndexDefinition(NamedTuple):
    """An index: its keys, each with its direction, and the columns that it only carries along."""

    name: str
    unique: bool
    primary: bool
    constraint: bool
    clustered: bool
    keys: tuple[tuple[str, bool], ...]
    included: tuple[str, ...]
    condition: str | None

    @classmethod
    def read(cls, name: str, rows: list[Any]) -> IndexDefinition:
        """Make one of its rows in the catalog, without the name."""
        unique, primary, constraint, clustered, *_, condition = rows[0]
        keys = tuple((row[4], bool(row[5])) for row in rows if not row[6])
        included = tuple(row[4] for row in rows if row[6])
        flags = (bool(unique), bool(primary), bool(constraint), bool(clustered))
        return cls(name, *flags, keys, included, condition)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by which it finds rows."""
        return tuple(column for column, _ in self.keys)

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every column that it needs."""
        return self.columns + self.included

    def create(self, table: str) -> str:
        """Return the statement that makes it anew.

        Args:
            table: the table's name, in brackets.
        """
        if self.constraint:
            return f"ALTER TABLE {table} ADD CONSTRAINT {quoted(self.name)} UNIQUE {self._keys()}"
        return self._create_index(table) + (f" WHERE {self.condition}" if self.condition else "")

    def as_peewee_means_it(self, table: str, nullable: Collection[str] | None = None) -> str:
        """Return a CREATE INDEX; without its filter, where that only lets NULLs pass.

        Args:
            table: the table's name, in brackets.
            nullable: its columns that can be NULL; all for None.
        """
        columns = [column for column in self.columns if nullable is None or column in nullable]
        if self.condition and not (self.unique and _without_nulls(self.condition, columns)):
            return f"{self._create_index(table)} WHERE {self.condition}"
        return self._create_index(table)

    def _create_index(self, table: str) -> str:
        kind = ("UNIQUE " if self.unique else "") + ("CLUSTERED " if self.clustered else "")
        sql = f"CREATE {kind}INDEX {quoted(self.name)} ON {table} {self._keys()}"
        if self.included:
            sql += f" INCLUDE ({', '.join(map(quoted, self.included))})"
        return sql

    def _keys(self) -> str:
        keys = (quoted(column) + (" DESC" if descending else "") for column, descending in self.keys)
        return f"({', '.join(keys)})"


class Introspection(Base):
    """Mixin: the methods that Peewee's `Database` leaves to each engine.

    Without a schema, a method looks where the server looks for a name without one: in the schema (until
    2000, among the tables) of the user, and in dbo.
    """

    @property
    def catalog(self) -> Catalog:
        """The catalog queries for the server's version."""
        major = self.version.major
        return UP_TO_2000 if major < 9 else SINCE_2005 if major < 10 else SINCE_2008

    def _ask(self, sql: str, *parameters: Any) -> list[Any]:
        cursor: Any = self.execute_sql(sql.strip().format(p=self.param), parameters)  # type: ignore[no-untyped-call]
        return list(cursor.fetchall())

    def table_exists(self, table_name: Any, schema: str | None = None) -> bool:
        """Whether there is such a table, by the server's own rules for names."""
        if stock.is_model(table_name):
            meta = table_name._meta
            table_name, schema = meta.table_name, schema or meta.schema
        query = "SELECT OBJECT_ID({p}, 'U')"
        return self._ask(query, object_name(table_name, schema))[0][0] is not None

    def get_tables(self, schema: str | None = None) -> list[str]:
        """Return the names of the tables, sorted by the server."""
        return [name for (name,) in self._ask(self.catalog.tables, schema, schema)]

    def get_views(self, schema: str | None = None) -> list[Any]:
        """Return the views; the SQL of one that is encrypted is None."""
        texts: dict[str, str | None] = {}
        for name, text, _ in self._ask(self.catalog.views, schema, schema):
            # 2000 stores 4,000 characters a row.
            texts[name] = text if text is None else (texts.get(name) or "") + text
        return [stock.ViewMetadata(name, text) for name, text in texts.items()]

    def get_columns(self, table: str, schema: str | None = None) -> list[Any]:
        """Return the columns of a table or view, in their order; ``data_type`` is in lower case.

        An alias type is given as the type that it stands for.
        """
        keys = set(self.get_primary_keys(table, schema))
        columns = []
        for row in self._ask(self.catalog.columns, object_name(table, schema)):
            name, kind, base, length, precision, scale, nullable, identity, default = row
            kind = str(base or kind).lower()
            columns.append(
                stock.ColumnMetadata(
                    name,
                    kind,
                    bool(nullable),
                    name in keys,
                    table,
                    None if default is None else without_parentheses(default.strip()),
                    full_type(kind, length, precision, scale),
                    bool(identity),
                )
            )
        return columns

    def get_primary_keys(self, table: str, schema: str | None = None) -> list[str]:
        """Return the columns of the primary key, in its order."""
        return [name for (name,) in self._ask(self.catalog.primary_key, object_name(table, schema))]

    def get_indexes(self, table: str, schema: str | None = None) -> list[Any]:
        """Return the indexes, the one of the primary key too; ``sql`` is a CREATE INDEX written anew.

        The filter of a unique index that keeps out nothing but NULLs is not mentioned: such an index is
        what other engines hold a unique index to be.
        """
        definitions = self.get_index_definitions(table, schema)
        nullable: set[str] = set()
        if any(index.unique and index.condition for index in definitions):
            nullable = {column.name for column in self.get_columns(table, schema) if column.null}
        return [
            stock.IndexMetadata(
                index.name,
                index.as_peewee_means_it(quoted(table), nullable),
                list(index.columns),
                index.unique,
                table,
            )
            for index in definitions
        ]

    def get_index_definitions(self, table: str, schema: str | None = None) -> list[IndexDefinition]:
        """Return all that is to be known of the indexes of a table, the clustered one first."""
        found: dict[str, list[Any]] = {}
        for row in self._ask(self.catalog.indexes, object_name(table, schema)):
            found.setdefault(row[0], []).append(row[1:])
        return [IndexDefinition.read(name, rows) for name, rows in found.items()]

    def get_collation(self, table: str, column: str, schema: str | None = None) -> str | None:
        """Return a column's collation, or None if it is that of the database."""
        found = self._ask(self.catalog.collation, object_name(table, schema), column)
        return found[0][0] if found else None

    def get_foreign_keys(self, table: str, schema: str | None = None) -> list[Any]:
        """Return the foreign keys, one entry a column."""
        return [
            stock.ForeignKeyMetadata(
                column, other, key, table, name, on_delete.replace("_", " "), on_update.replace("_", " ")
            )
            for name, column, other, key, on_delete, on_update in self._ask(
                self.catalog.foreign_keys, object_name(table, schema)
            )
        ]

    def sequence_exists(self, seq: str, schema: str | None = None) -> bool:
        """Whether there is such a sequence; there is none before 2012."""
        if self.version.major < 11:
            return False
        return self._ask("SELECT OBJECT_ID({p}, 'SO')", object_name(seq, schema))[0][0] is not None

    def get_default_constraints(self, table: str, schema: str | None = None) -> dict[str, str]:
        """Return which column each default of a table is of: SQL Server gives every one a name."""
        return dict(map(tuple, self._ask(self.catalog.defaults, object_name(table, schema))))

    def get_check_constraints(self, table: str, schema: str | None = None) -> dict[str, str]:
        """Return the condition of each CHECK of a table."""
        return dict(map(tuple, self._ask(self.catalog.checks, object_name(table, schema))))


def _without_nulls(condition: str, columns: Sequence[str]) -> bool:
    """Whether a condition says nothing but that none of the columns is NULL."""
    parts = {part.strip(" ()") for part in re.split(r"\bAND\b", condition, flags=re.IGNORECASE)}
    return parts == {f"{quoted(column)} IS NOT NULL" for column in columns}
