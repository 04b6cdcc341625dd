"""What is in a database, for servers that cannot tell by information_schema.

4.1 has none, and before 5.1.10 there is nothing about the rules of a foreign key in it. SHOW tells the
same; where it has no columns for something, the CREATE TABLE statement that it prints is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import peewee

from .features import FEATURES
from .version import Version

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["Introspection", "foreign_keys_of"]

NAME = r"`(?:[^`]|``)+`"
NAMES = rf"\((?P<{{0}}>{NAME}(?:\s*,\s*{NAME})*)\)"
FOREIGN_KEY = re.compile(
    rf"CONSTRAINT\s+(?P<name>{NAME})\s+FOREIGN KEY\s+(?:{NAME}\s+)?{NAMES.format('columns')}\s+"
    rf"REFERENCES\s+(?:{NAME}\.)?(?P<table>{NAME})\s+{NAMES.format('others')}(?P<rules>[^\n]*)"
)
RULE = r"ON {0}\s+(CASCADE|SET NULL|SET DEFAULT|RESTRICT|NO ACTION)"


def _bare(name: str) -> str:
    return name[1:-1].replace("``", "`")


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def foreign_keys_of(table: str, statement: str) -> list[peewee.ForeignKeyMetadata]:
    """Read the foreign keys out of what SHOW CREATE TABLE prints.

    Args:
        table: the table's name, for the result.
        statement: the CREATE TABLE statement.
    """
    found = []
    for match in FOREIGN_KEY.finditer(statement):
        rules = {}
        for event in ("DELETE", "UPDATE"):
            rule = re.search(RULE.format(event), match["rules"])
            # What information_schema says of a constraint that names no rule.
            rules[event] = rule[1] if rule else "RESTRICT"
        pairs = zip(re.findall(NAME, match["columns"]), re.findall(NAME, match["others"]), strict=True)
        for column, other in pairs:
            found.append(
                peewee.ForeignKeyMetadata(
                    _bare(column),
                    _bare(match["table"]),
                    _bare(other),
                    table,
                    _bare(match["name"]),
                    rules["DELETE"],
                    rules["UPDATE"],
                )
            )
    return found


class Introspection(Base):
    """Mixin: Peewee's methods, for every version."""

    version: Version | None

    def _lacks(self, feature: str) -> bool:
        if self.server_version is None and self.autoconnect and self.is_closed():
            self.connect()
        return self.version is not None and FEATURES[feature].missing_from(self.version)

    def get_tables(self, schema: str | None = None) -> list[str]:
        if not self._lacks("information_schema"):
            return super().get_tables(schema)
        within = f" FROM {_quoted(schema)}" if schema else ""
        rows = self.execute_sql(f"SHOW TABLES{within}").fetchall()  # type: ignore[no-untyped-call]
        return sorted(row[0] for row in rows)

    def get_views(self, schema: str | None = None) -> list[peewee.ViewMetadata]:
        if self._lacks("information_schema"):
            return []  # views came with it
        return super().get_views(schema)

    def get_columns(self, table: str, schema: str | None = None) -> list[peewee.ColumnMetadata]:
        if not self._lacks("information_schema"):
            return super().get_columns(table, schema)
        columns = []
        target = self._show_index_target(table, schema)  # type: ignore[attr-defined]
        rows = self.execute_sql(f"SHOW COLUMNS FROM {target}").fetchall()  # type: ignore[no-untyped-call]
        for name, kind, null, key, default, extra in rows:
            columns.append(
                peewee.ColumnMetadata(
                    name,
                    re.split(r"[ (]", kind, maxsplit=1)[0],
                    null == "YES",
                    key == "PRI",
                    table,
                    None if default == "NULL" else default,
                    kind,
                    "auto_increment" in extra,
                )
            )
        return columns

    def get_foreign_keys(self, table: str, schema: str | None = None) -> list[peewee.ForeignKeyMetadata]:
        if not self._lacks("referential_constraints"):
            return super().get_foreign_keys(table, schema)
        target = self._show_index_target(table, schema)  # type: ignore[attr-defined]
        row: Any = self.execute_sql(f"SHOW CREATE TABLE {target}").fetchone()  # type: ignore[no-untyped-call]
        return foreign_keys_of(table, row[1])
