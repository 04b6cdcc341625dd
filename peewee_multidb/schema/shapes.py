"""What a table is like in one database, read once, with the noise of the engines taken out.

`playhouse.schema_diff` asks a Database for its tables, columns and indexes. It is given a `Catalog` in its
place: that answers the same questions, remembers the answers, and leaves out what no model can declare, such
as the index of a primary key on SQL Server or the one that MySQL makes for a foreign key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..drivers import traits_of
from .types import canonical_default, canonical_type

__all__ = ["Catalog", "Column", "ForeignKey", "Shape", "rule_of"]

#: Engines whose table names are found in whatever case they are written.
_ANY_CASE_TABLES = ("sqlite", "mssql")
#: The same for columns.
_ANY_CASE_COLUMNS = ("sqlite", "mssql", "mysql")
_CREATE_INDEX = re.compile(
    r"""CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?["`\[]?(?P<name>\w+)""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Column:
    """One column, in the spelling of `types`."""

    kind: str
    null: bool
    default: tuple[bool, str | None]
    identity: bool


@dataclass(frozen=True)
class ForeignKey:
    """One foreign key of one column; a rule is "" where nothing is done."""

    column: str
    table: str
    key: str
    on_delete: str = ""
    on_update: str = ""


def rule_of(text: str | None) -> str:
    """Return what a foreign key does; the ways to refuse are one."""
    rule = (text or "").upper().replace("_", " ")
    return "" if rule in ("NO ACTION", "RESTRICT") else rule


@dataclass(frozen=True)
class Shape:
    """A table as it is."""

    columns: dict[str, Column]
    primary_key: tuple[str, ...]
    indexes: frozenset[tuple[tuple[str, ...] | None, bool, str]]
    foreign_keys: frozenset[ForeignKey]


class Catalog:
    """The tables of one database, as `playhouse.schema_diff` and `comparing` ask for them.

    Args:
        database: a Database object.
        models: those that are compared; a name that differs in case alone is given as they write it.
    """

    def __init__(self, database: Any, models: list[Any]) -> None:
        self.database = database
        self.engine = traits_of(database).engine
        self._models = {(m._meta.schema, m._meta.table_name): m for m in models}
        self._tables: dict[Any, list[str]] = {}
        self._views: dict[Any, list[str]] = {}
        self._columns: dict[Any, list[Any]] = {}
        self._keys: dict[Any, tuple[str, ...]] = {}

    def get_tables(self, schema: str | None = None) -> list[str]:
        """Return the names of tables and views."""
        return [*self.tables(schema), *self.views(schema)]

    def tables(self, schema: str | None = None) -> list[str]:
        """Return the names of the tables."""
        if schema not in self._tables:
            found = self.database.get_tables(schema)
            wanted = [table for at, table in self._models if at == schema]
            self._tables[schema] = _respelt(found, wanted, self.engine in _ANY_CASE_TABLES)
        return self._tables[schema]

    def views(self, schema: str | None = None) -> list[str]:
        """Return the names of the views."""
        if schema not in self._views:
            self._views[schema] = [view.name for view in self.database.get_views(schema)]
        return self._views[schema]

    def get_columns(self, table: str, schema: str | None = None) -> list[Any]:
        """Return the columns, in the words of Peewee."""
        if (schema, table) not in self._columns:
            found = self.database.get_columns(table, schema)
            names = self._spelt_columns([one.name for one in found], table, schema)
            renamed = [one._replace(name=name) for one, name in zip(found, names, strict=True)]
            self._columns[schema, table] = renamed
        return self._columns[schema, table]

    def _spelt_columns(self, found: list[str], table: str, schema: str | None) -> list[str]:
        model = self._models.get((schema, table))
        wanted = [] if model is None else [field.column_name for field in model._meta.sorted_fields]
        return _respelt(found, wanted, self.engine in _ANY_CASE_COLUMNS)

    def get_indexes(self, table: str, schema: str | None = None) -> list[Any]:
        """Return the indexes that a model can declare, in the words of Peewee."""
        model = self._models.get((schema, table))
        own = self._named_by_sql(model)
        hidden = self._of_primary_key(table, schema)
        kept = []
        spare = _declared_twice(model)
        for index in self.database.get_indexes(table, schema):
            if index.name in own or index.name in hidden or index.name == "PRIMARY":
                continue
            columns: list[Any] = list(index.columns)
            if None not in columns:
                columns = self._spelt_columns(columns, table, schema)
            signature = (tuple(columns), bool(index.unique))
            if spare.get(signature, 0):
                spare[signature] -= 1
                continue
            if self.engine == "mysql" and not index.unique and self._is_of_foreign_key(model, columns):
                continue
            kept.append(index._replace(columns=columns))
        return kept

    @staticmethod
    def _named_by_sql(model: Any) -> set[str]:
        """Return the names of the indexes that a model declares in SQL, which nobody can compare."""
        declared = [] if model is None else model._meta.fields_to_index()
        found = (_CREATE_INDEX.search(getattr(one, "sql", "") or "") for one in declared)
        return {one["name"] for one in found if one}

    def _of_primary_key(self, table: str, schema: str | None) -> set[str]:
        if self.engine == "mssql":
            definitions = self.database.get_index_definitions(table, schema)
            return {one.name for one in definitions if one.primary}
        if self.engine == "postgresql":
            # By its columns: the index of a primary key may have any name.
            key = list(self.primary_key(table, schema))
            return {
                one.name
                for one in self.database.get_indexes(table, schema)
                if one.unique and list(one.columns) == key and one.name in self._constraints(table, schema)
            }
        return set()

    def _constraints(self, table: str, schema: str | None) -> set[str]:
        rows = self.database.execute_sql(
            "SELECT constraint_name FROM information_schema.table_constraints WHERE table_name = %s "
            "AND table_schema = COALESCE(%s, current_schema()) AND constraint_type = 'PRIMARY KEY'",
            (table, schema),
        )
        return {name for (name,) in rows.fetchall()}

    @staticmethod
    def _is_of_foreign_key(model: Any, columns: list[Any]) -> bool:
        """Whether MySQL made the index by itself, for a foreign key that declares none."""
        refs = [] if model is None else model._meta.refs
        return any(columns == [field.column_name] for field in refs if not field.index and not field.unique)

    def primary_key(self, table: str, schema: str | None = None) -> tuple[str, ...]:
        """Return the columns of the primary key, in its order."""
        if (schema, table) not in self._keys:
            found = list(self.database.get_primary_keys(table, schema))
            self._keys[schema, table] = tuple(self._spelt_columns(found, table, schema))
        return self._keys[schema, table]

    def column(self, one: Any) -> Column:
        """Return a column in one spelling."""
        default = (True, None) if one.identity else canonical_default(one.default)
        kind = canonical_type(one.full_type or one.data_type or "", self.database)
        return Column(kind, bool(one.null), default, bool(one.identity))

    def foreign_keys(self, table: str, schema: str | None = None) -> frozenset[ForeignKey]:
        """Return the foreign keys."""
        found = self.database.get_foreign_keys(table, schema)
        columns = self._spelt_columns([one.column for one in found], table, schema)
        return frozenset(
            ForeignKey(
                column, one.dest_table, one.dest_column, rule_of(one.on_delete), rule_of(one.on_update)
            )
            for one, column in zip(found, columns, strict=True)
        )

    def shape(self, table: str, schema: str | None = None) -> Shape:
        """Return all of a table at once."""
        return Shape(
            {one.name: self.column(one) for one in self.get_columns(table, schema)},
            self.primary_key(table, schema),
            frozenset(
                (None, bool(one.unique), one.name)
                if None in one.columns
                else (tuple(one.columns), bool(one.unique), "")
                for one in self.get_indexes(table, schema)
            ),
            self.foreign_keys(table, schema),
        )


def _respelt(found: list[str], wanted: list[str], any_case: bool) -> list[str]:
    if not any_case:
        return list(found)
    spelt = {name.lower(): name for name in wanted}
    exact = set(wanted)
    return [name if name in exact else spelt.get(name.lower(), name) for name in found]


def _declared_twice(model: Any) -> dict[tuple[tuple[str, ...], bool], int]:
    """Return how often more than once a model declares each index: such a one is there as often."""
    seen: dict[tuple[tuple[str, ...], bool], int] = {}
    for index in [] if model is None else model._meta.fields_to_index():
        parts = getattr(index, "_expressions", ())
        if parts and index._where is None and all(hasattr(part, "column_name") for part in parts):
            key = (tuple(part.column_name for part in parts), bool(index._unique))
            seen[key] = seen.get(key, -1) + 1
    return {key: number for key, number in seen.items() if number > 0}
