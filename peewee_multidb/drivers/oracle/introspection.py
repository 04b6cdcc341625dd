"""What is in a schema, from Oracle's data dictionary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee

from .names import fold, unfolded
from .version import NEWEST, Version

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Introspection"]

OWNER = "COALESCE(:1, SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA'))"

TABLES = f"SELECT table_name FROM all_tables WHERE owner = {OWNER} ORDER BY table_name"
VIEWS = f"SELECT view_name, text FROM all_views WHERE owner = {OWNER} ORDER BY view_name"
COLUMNS = (
    "SELECT column_name, data_type, nullable, data_default, data_length, data_precision, data_scale, "
    f"char_length, {{identity}} FROM all_tab_columns WHERE owner = {OWNER} AND table_name = :2 "
    "ORDER BY column_id"
)
PRIMARY_KEY = (
    "SELECT cc.column_name FROM all_constraints c JOIN all_cons_columns cc "
    "ON cc.owner = c.owner AND cc.constraint_name = c.constraint_name "
    f"WHERE c.owner = {OWNER} AND c.table_name = :2 AND c.constraint_type = 'P' ORDER BY cc.position"
)
FOREIGN_KEYS = (
    "SELECT cc.column_name, rc.table_name, rc.column_name, c.constraint_name, c.delete_rule "
    "FROM all_constraints c "
    "JOIN all_cons_columns cc ON cc.owner = c.owner AND cc.constraint_name = c.constraint_name "
    "JOIN all_cons_columns rc ON rc.owner = c.r_owner AND rc.constraint_name = c.r_constraint_name "
    "AND rc.position = cc.position "
    f"WHERE c.owner = {OWNER} AND c.table_name = :2 AND c.constraint_type = 'R' "
    "ORDER BY c.constraint_name, cc.position"
)
INDEXES = (
    "SELECT i.index_name, i.uniqueness, ic.column_name FROM all_indexes i "
    "JOIN all_ind_columns ic ON ic.index_owner = i.owner AND ic.index_name = i.index_name "
    f"WHERE i.table_owner = {OWNER} AND i.table_name = :2 ORDER BY i.index_name, ic.column_position"
)
SEQUENCES = f"SELECT sequence_name FROM all_sequences WHERE sequence_owner = {OWNER} ORDER BY sequence_name"


def full_type(kind: str, length: Any, precision: Any, scale: Any, characters: Any) -> str:
    """Return a type as it stands in CREATE TABLE."""
    if kind in ("VARCHAR2", "NVARCHAR2", "CHAR", "NCHAR"):
        return f"{kind}({characters})"
    if kind == "RAW":
        return f"{kind}({length})"
    if kind == "NUMBER" and precision is not None:
        return f"NUMBER({precision},{scale})" if scale else f"NUMBER({precision})"
    return kind


class Introspection(Base):
    """Mixin: Peewee's methods."""

    version: Version | None
    fold_names: bool

    def _stored(self, name: str | None) -> str | None:
        return fold(name) if name is not None and self.fold_names else name

    def _known(self, name: str) -> str:
        return unfolded(name) if self.fold_names else name

    def _asked(self, sql: str, schema: str | None, *names: str) -> list[Any]:
        params = (self._stored(schema), *map(self._stored, names))
        rows: list[Any] = self.execute_sql(sql, params).fetchall()  # type: ignore[no-untyped-call]
        return rows

    def get_tables(self, schema: str | None = None) -> list[str]:
        return sorted(self._known(row[0]) for row in self._asked(TABLES, schema))

    def get_views(self, schema: str | None = None) -> list[peewee.ViewMetadata]:
        return [peewee.ViewMetadata(self._known(name), text) for name, text in self._asked(VIEWS, schema)]

    def get_columns(self, table: str, schema: str | None = None) -> list[peewee.ColumnMetadata]:
        if self.version is None and self.autoconnect and self.is_closed():
            self.connect()
        has_identity = (self.version or NEWEST) >= (12, 1)
        sql = COLUMNS.format(identity="identity_column" if has_identity else "'NO'")
        keys = set(self.get_primary_keys(table, schema))
        found = []
        for name, kind, nullable, default, length, precision, scale, characters, identity in self._asked(
            sql, schema, table
        ):
            known = self._known(name)
            text = default.strip() if isinstance(default, str) else default
            found.append(
                peewee.ColumnMetadata(
                    known,
                    kind,
                    nullable == "Y",
                    known in keys,
                    table,
                    None if identity == "YES" else text,
                    full_type(kind, length, precision, scale, characters),
                    identity == "YES",
                )
            )
        return found

    def get_primary_keys(self, table: str, schema: str | None = None) -> list[str]:
        return [self._known(row[0]) for row in self._asked(PRIMARY_KEY, schema, table)]

    def get_foreign_keys(self, table: str, schema: str | None = None) -> list[peewee.ForeignKeyMetadata]:
        return [
            peewee.ForeignKeyMetadata(
                self._known(column),
                self._known(other),
                self._known(key),
                table,
                self._known(name),
                rule,
                None,
            )
            for column, other, key, name, rule in self._asked(FOREIGN_KEYS, schema, table)
        ]

    def get_indexes(self, table: str, schema: str | None = None) -> list[peewee.IndexMetadata]:
        columns: dict[str, list[str]] = {}
        unique: dict[str, bool] = {}
        for name, uniqueness, column in self._asked(INDEXES, schema, table):
            columns.setdefault(self._known(name), []).append(self._known(column))
            unique[self._known(name)] = uniqueness == "UNIQUE"
        return [peewee.IndexMetadata(name, None, columns[name], unique[name], table) for name in columns]

    def sequence_exists(self, sequence: str, schema: str | None = None) -> bool:
        return sequence in [self._known(row[0]) for row in self._asked(SEQUENCES, schema)]
