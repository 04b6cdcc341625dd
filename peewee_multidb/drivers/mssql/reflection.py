"""`playhouse.reflection` and `pwiz` for SQL Server: models out of the tables that are there.

Peewee picks the reader of a catalog by the class of the database and has no way to add one. So this module
has an `Introspector` that knows SQL Server as well, for use in the place of Peewee's; `generate_models` and
`print_models` take it from there. As a program it prints the models of a database:

    python -m peewee_multidb.drivers.mssql.reflection mssql://user@host/name [table ...]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import peewee
import pwiz  # type: ignore[import-untyped]
from playhouse import reflection  # type: ignore[import-untyped]

from ...config import DatabaseSettings, parse_url
from ..base import open_server
from . import fields
from .adapters import ADAPTERS
from .database import MSSQLDatabase
from .introspection import Introspection

__all__ = ["Introspector", "MSSQLMetadata", "generate_models", "print_models"]

#: By the names of the catalog. What is missing becomes an `UnknownField`, which holds what the driver gives.
FIELDS: dict[str, type[peewee.Field]] = {
    "bigint": peewee.BigIntegerField,
    "binary": peewee.BlobField,
    "bit": peewee.BooleanField,
    "char": fields.FixedCharField,
    "date": peewee.DateField,
    "datetime": fields.LegacyDateTimeField,
    "datetime2": peewee.DateTimeField,
    "decimal": peewee.DecimalField,
    "float": peewee.DoubleField,
    "image": peewee.BlobField,
    "int": peewee.IntegerField,
    "json": peewee.JSONField,
    "money": fields.MoneyField,
    "nchar": fields.FixedCharField,
    "ntext": fields.TextField,
    "numeric": peewee.DecimalField,
    "nvarchar": fields.CharField,
    "real": peewee.FloatField,
    "smalldatetime": fields.LegacyDateTimeField,
    "smallint": peewee.SmallIntegerField,
    "smallmoney": fields.SmallMoneyField,
    "text": fields.TextField,
    "time": peewee.TimeField,
    "timestamp": fields.RowVersionField,
    "tinyint": peewee.SmallIntegerField,
    "uniqueidentifier": peewee.UUIDField,
    "varbinary": fields.VarBinaryField,
    "varchar": fields.CharField,
    "xml": fields.XMLField,
}
PASSWORDS = ("password", "passwd", "pwd", "PWD")
ANSI = ("char", "varchar", "text")
MAX = {fields.CharField: fields.TextField, fields.VarBinaryField: peewee.BlobField}


class MSSQLMetadata(reflection.Metadata):  # type: ignore[misc]
    """What `playhouse.reflection` asks about the tables of a database.

    Args:
        database: an `MSSQLDatabase`.
    """

    extension_import = "from peewee_multidb.drivers.mssql import *"

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        # Our fields have the names of Peewee's and do the same on other engines.
        self.requires_extension = True

    def get_column_types(self, table: str, schema: str | None = None) -> tuple[Any, Any]:
        kinds: dict[str, type] = {}
        parameters: dict[str, dict[str, Any]] = {}
        for column in self.database.get_columns(table, schema):
            kind = FIELDS.get(column.data_type, reflection.UnknownField)
            if column.full_type.endswith("(max)"):
                kind = MAX.get(kind, kind)
            kinds[column.name] = kind
            if column.data_type in ANSI:
                parameters[column.name] = {"ansi": True}
        return kinds, parameters

    def _extract_type_params(self, field_class: Any, column_data: Any) -> Any:
        if issubclass(field_class, fields.MoneyField):
            return None
        if issubclass(field_class, fields.VarBinaryField):
            return {"max_length": int(column_data.full_type[len("varbinary(") : -1])}
        return super()._extract_type_params(field_class, column_data)

    def _clean_default(self, field_class: Any, default: str | None) -> str | None:
        # It is SQL already, quotes and all.
        if default is None or default.lower() == "null" or issubclass(field_class, peewee.AutoField):
            return None
        return default

    def get_indexes(self, table: str, schema: str | None = None) -> Any:
        # The primary key has an index of its own: no model need say so.
        names = {one.name for one in self.database.get_index_definitions(table, schema) if one.primary}
        return [index for index in self.database.get_indexes(table, schema) if index.name not in names]


class Introspector(reflection.Introspector):  # type: ignore[misc]
    """Peewee's Introspector, for SQL Server too."""

    @classmethod
    def from_database(cls, database: Any, schema: str | None = None) -> Any:
        """Return the introspector of a database of any engine, or of the one behind a proxy."""
        if isinstance(database, peewee.Proxy) and database.obj is not None:
            database = database.obj
        if isinstance(database, Introspection):
            return cls(MSSQLMetadata(database), schema=schema)
        return super().from_database(database, schema=schema)

    def get_database_class(self) -> type:
        """Return the class that a printed model file connects with: the one without a pool."""
        database = self.metadata.database
        return MSSQLDatabase if isinstance(database, MSSQLDatabase) else type(database)

    def get_database_kwargs(self) -> dict[str, Any]:
        """Return what a printed model file connects with: never the password."""
        database = self.metadata.database
        known = {key: value for key, value in database.connect_params.items() if key not in PASSWORDS}
        if isinstance(database, MSSQLDatabase):
            known["adapter"] = next(
                name for name, kind in ADAPTERS.items() if isinstance(database.adapter, kind)
            )
        return {key: value for key, value in known.items() if value is not None}


def generate_models(database: Any, schema: str | None = None, **options: Any) -> dict[str, Any]:
    """Return a model for each table, by the table's name; as `playhouse.reflection.generate_models`.

    Args:
        database: a Database object of any engine.
        schema: whose tables; those that need no schema to be named, if None.
        options: what Peewee's function takes.
    """
    models: dict[str, Any] = Introspector.from_database(database, schema).generate_models(**options)
    return models


def print_models(database: Any, schema: str | None = None, **options: Any) -> None:
    """Print the source of the models of a database; as the program `pwiz` does.

    Args:
        database: a Database object of any engine.
        schema: as of `generate_models`.
        options: what `pwiz.print_models` takes: ``tables``, ``preserve_order``, ``include_views``, ...
    """
    pwiz.print_models(Introspector.from_database(database, schema), **options)


def main(arguments: Sequence[str]) -> int:
    """Print the models of the database with this URL, or of the named tables of it."""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    url = parse_url(arguments[0])
    database = open_server(DatabaseSettings("default", url), url, read_only=False)
    with database.connection_context():
        print_models(database, tables=list(arguments[1:]) or None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
