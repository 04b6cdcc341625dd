"""Python values as T-SQL literals, for the module that has no parameters on the wire (pymssql).

What a server makes of a literal may depend on the session's language and on its version; what is written
here does not.
"""

from __future__ import annotations

import datetime
import math
import uuid
from decimal import Decimal
from typing import Any

import peewee

from ..literals import text
from ..version import ServerVersion

__all__ = ["literal"]

SQL2008 = ServerVersion(10)
FIRST_DATETIME = datetime.datetime(1753, 1, 1)
LARGEST_PRECISION = 38


def literal(value: Any, version: ServerVersion) -> str:
    """Return a value as it stands in a statement.

    Moments are written as text, which takes the type of what it is compared with or stored in, as long as
    three digits of a second are enough; beyond, they are cast to the type that holds six.

    Args:
        value: None, a bool, a number, a text, binary data, a date, a time, a datetime or a UUID.
        version: of the server; before 2008 there is one type for moments, and it begins in 1753.

    Raises:
        peewee.DataError: no literal can say it: an infinite number, a lone surrogate, a date before 1753.
        peewee.ProgrammingError: values of this type cannot be sent.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, str):
        return _text(str(value), version)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, uuid.UUID):
        return f"'{str(value).upper()}'"
    if isinstance(value, datetime.datetime):
        return _datetime(value, version)
    if isinstance(value, datetime.date):
        return _date(value, version)
    if isinstance(value, datetime.time):
        return _time(value, version)
    raise peewee.ProgrammingError(
        f"a value of the type {type(value).__name__} cannot be sent to SQL Server; convert it first"
    )


def _integer(value: int) -> str:
    text = str(value)
    if len(text.lstrip("-")) > LARGEST_PRECISION:
        raise peewee.DataError(
            f"an integer of {len(text.lstrip('-'))} digits is out of range: SQL Server has 38"
        )
    return text


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise peewee.DataError(f"SQL Server has no value {value!r} of the type FLOAT")
    text = repr(value)
    return text if "e" in text else text + "e0"  # without an exponent it would be a DECIMAL


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise peewee.DataError(f"SQL Server has no value {value} of the type DECIMAL")
    text = format(value, "f")
    if len(text.strip("-").replace(".", "").lstrip("0")) > LARGEST_PRECISION:
        raise peewee.DataError(f"the decimal {value} has more digits than the 38 that SQL Server has")
    return text


def _text(value: str, version: ServerVersion) -> str:
    try:
        value.encode("utf-16-le")
    except UnicodeEncodeError:
        raise peewee.DataError("the text holds half of a surrogate pair, which cannot be sent") from None
    return text(value, large=version.major >= 9)


def _datetime(value: datetime.datetime, version: ServerVersion) -> str:
    if value.tzinfo is not None:
        if version < SQL2008:
            raise peewee.DataError(
                f"{version.name} has no type for a datetime with a time zone; convert it to one zone first"
            )
        return f"CAST('{value.isoformat(' ', 'microseconds')}' AS DATETIMEOFFSET(6))"
    if version < SQL2008:
        if value < FIRST_DATETIME:
            raise peewee.DataError(f"{value} is out of range: DATETIME begins in 1753 ({version.name})")
        # DATETIME has steps of 3.33 ms, so the rest is lost in the column anyway.
        return f"'{value.isoformat('T', 'milliseconds')}'"
    if value.microsecond % 1000:
        return f"CAST('{value.isoformat('T', 'microseconds')}' AS DATETIME2(6))"
    return f"'{value.isoformat('T', 'milliseconds')}'"


def _date(value: datetime.date, version: ServerVersion) -> str:
    if version < SQL2008 and value < FIRST_DATETIME.date():
        raise peewee.DataError(f"{value} is out of range: DATETIME begins in 1753 ({version.name})")
    return f"'{value.isoformat().replace('-', '')}'"


def _time(value: datetime.time, version: ServerVersion) -> str:
    if value.tzinfo is not None:
        raise peewee.DataError("SQL Server has no type for a time with a time zone; take the zone off first")
    if version < SQL2008:
        return f"'1900-01-01T{value.isoformat('milliseconds')}'"
    if value.microsecond % 1000:
        return f"CAST('{value.isoformat('microseconds')}' AS TIME(6))"
    return f"'{value.isoformat('milliseconds')}'"
