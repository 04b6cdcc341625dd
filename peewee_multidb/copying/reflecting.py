"""A model of a table that has none, made from what the database says of it."""

from __future__ import annotations

from typing import Any

import peewee
from playhouse.reflection import Introspector  # type: ignore[import-untyped]

from ..errors import ConfigurationError, nearest
from ..model import adopt
from ..registry import Databases
from .columns import describe

__all__ = ["reflected"]


def reflected(registry: Databases, name: str, table: str) -> Any:
    """Return a model of a table, whose fields are as wide as its columns.

    Args:
        registry: where the database name is looked up.
        name: the database name.
        table: the table.

    Raises:
        ConfigurationError: there is no such table, or it has no primary key.
    """
    database: Any = registry[name]
    found = database.get_tables()
    if table not in found:
        raise ConfigurationError(f"there is no table {table!r} in {name!r}; {nearest(table, found)}")
    introspector = Introspector.from_database(database)
    made = introspector.generate_models(table_names=[table], literal_column_names=True)[table]
    columns = describe(database, table)
    for field in made._meta.sorted_fields:
        column = columns.get(field.column_name)
        if column is None:
            continue
        if isinstance(field, peewee.DecimalField) and column.digits is not None and column.scale is not None:
            field.max_digits, field.decimal_places = column.digits, column.scale
        elif isinstance(field, peewee.CharField) and column.size is not None:
            field.max_length = column.size
    return adopt(made, db_name=name, registry=registry)
