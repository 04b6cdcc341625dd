"""How a value gets from one engine to another: as what it means, and never by way of the application.

A field of the application may change what it is given (hash a password, encrypt a number), so its conversion
is not asked for the types that Peewee itself has; what the drivers hand out differs by engine, and becomes
one form here. JSON and types of others go through their field.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from typing import Any

import peewee

__all__ = ["reader", "storage_type", "writer"]

Convert = Callable[[Any], Any]

_INTEGERS = ("INT", "BIGINT", "SMALLINT", "AUTO", "BIGAUTO", "PRIMARYKEYFIELD")
_DAY = datetime.timedelta(days=1)
_TEXTS = ("VARCHAR", "CHAR", "TEXT")
_TIMES: dict[str, Any] = {
    "DATETIME": peewee.DateTimeField,
    "DATE": peewee.DateField,
    "TIME": peewee.TimeField,
}


def storage_type(field: Any) -> str:
    """Return the name that Peewee has for the type of a field's column, that of the referenced one's too."""
    while isinstance(field, peewee.ForeignKeyField):
        field = field.rel_field
    return str(field.field_type).upper()


def reader(field: Any) -> Convert | None:
    """Return what makes of a driver's value what it means; None to ask the field.

    Args:
        field: of the model.
    """
    kind = storage_type(field)
    if kind in _TIMES:
        stock = _TIMES[kind](formats=getattr(field, "formats", None))
        return lambda value: value if _is_no_time_of_day(value) else stock.adapt(value)
    return {
        **dict.fromkeys(_INTEGERS, _integer),
        **dict.fromkeys(_TEXTS, _same),
        "BOOL": _boolean,
        "DECIMAL": _decimal,
        "FLOAT": _float,
        "DOUBLE": _float,
        "UUID": _uuid,
        "UUIDB": _bytes,
        "BLOB": _bytes,
    }.get(kind)


def writer(field: Any, engine: str) -> Convert | None:
    """Return what makes of it what a driver takes; None to ask the field.

    Args:
        field: of the model.
        engine: the engine that it is written to.
    """
    kind = storage_type(field)
    if kind in _TIMES:
        return str if engine == "sqlite" else _same
    if kind == "UUID":
        # SQL Server reads its type with dashes alone; Peewee stores 32 digits where there is no such type.
        if engine == "mssql":
            return str
        return _same if engine == "postgresql" else _hex
    if kind == "DECIMAL":
        return str if engine == "sqlite" else _same
    return None if reader(field) is None else _same


def _same(value: Any) -> Any:
    return value


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _boolean(value: Any) -> Any:
    if isinstance(value, bytes):
        value = int.from_bytes(value, "big")
    return bool(value) if value in (0, 1) else value


def _is_no_time_of_day(value: Any) -> bool:
    # MySQL has times of more than a day and below zero, of which Peewee would make another time of the day.
    return isinstance(value, datetime.timedelta) and not datetime.timedelta(0) <= value < _DAY


def _decimal(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return value
    try:
        return decimal.Decimal(str(value))
    except decimal.InvalidOperation:
        return value


def _float(value: Any) -> Any:
    # Zero has a sign that not every engine keeps.
    return float(value) + 0.0 if isinstance(value, (int, float, decimal.Decimal)) else value


def _uuid(value: Any) -> Any:
    return uuid.UUID(value) if isinstance(value, str) else value


def _hex(value: Any) -> Any:
    return value.hex if isinstance(value, uuid.UUID) else value


def _bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value
