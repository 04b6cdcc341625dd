"""Models from a schema, for `playhouse.reflection`: on every version, with the fields of this package."""

from __future__ import annotations

import re
from typing import Any

import peewee
from playhouse import reflection  # type: ignore[import-untyped]

from . import fields

__all__ = ["introspector"]

UNSIGNED = {
    "tinyint": fields.UnsignedTinyIntegerField,
    "smallint": fields.UnsignedSmallIntegerField,
    "mediumint": fields.UnsignedIntegerField,
    "int": fields.UnsignedIntegerField,
    "integer": fields.UnsignedIntegerField,
    "bigint": fields.UnsignedBigIntegerField,
}
LISTED = {"enum": fields.EnumField, "set": fields.SetField}
LITERAL = re.compile(r"'((?:[^']|'')*)'")


class LegacyMetadata(reflection.MySQLMetadata):  # type: ignore[misc]
    """What the introspector asks of a database; from `get_columns`, which every version answers."""

    extension_import = "from peewee_multidb.drivers.mysql import *"

    def __init__(self, database: peewee.Database, tinyint1: str) -> None:
        super().__init__(database)
        self.tinyint1 = tinyint1

    def get_column_types(self, table: str, schema: str | None = None) -> Any:
        types: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for column in self.database.get_columns(table, schema):
            kind, full = column.data_type.lower(), column.full_type.lower()
            if full == "tinyint(1)":
                types[column.name] = peewee.BooleanField if self.tinyint1 == "bool" else peewee.IntegerField
            elif kind in LISTED:
                types[column.name] = LISTED[kind]
                values = [value.replace("''", "'") for value in LITERAL.findall(column.full_type)]
                extra[column.name] = {"values": values}
            elif kind in UNSIGNED and "unsigned" in full and not column.identity:
                types[column.name] = UNSIGNED[kind]
            elif kind == "json":
                types[column.name] = peewee.JSONField
            else:
                types[column.name] = self.column_map.get(kind, reflection.UnknownField)
            self.requires_extension |= types[column.name].__module__ == fields.__name__
        return types, extra


def introspector(
    database: peewee.Database, schema: str | None = None, *, tinyint1: str = "bool"
) -> reflection.Introspector:
    """Return an introspector of `playhouse.reflection` that knows unsigned, ENUM and SET columns.

    Args:
        database: a Database object of this driver.
        schema: the database to look into, if not the connection's own.
        tinyint1: what ``tinyint(1)`` becomes: ``bool`` or ``int``.
    """
    if tinyint1 not in ("bool", "int"):
        raise ValueError(f"tinyint1 must be 'bool' or 'int', not {tinyint1!r}")
    return reflection.Introspector(LegacyMetadata(database, tinyint1), schema=schema)
