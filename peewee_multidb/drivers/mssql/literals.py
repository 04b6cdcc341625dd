"""Names in brackets, and values as T-SQL literals for the few places where a parameter cannot stand.

An expression in GROUP BY must read exactly like the one that is selected, and two parameters never do,
not even with the same value (Msg 8120).
"""

from __future__ import annotations

import datetime
import decimal
import functools
import math
import uuid
from typing import Any

import peewee

from .version import ServerVersion

__all__ = ["literal", "quoted", "text"]

#: Of NVARCHAR literals, in units of UTF-16.
LONGEST_SUM = 4000


@functools.lru_cache(maxsize=8192)
def quoted(name: str) -> str:
    """Return a name in brackets, whatever is in it."""
    return f"[{name.replace(']', ']]')}]"


def text(value: str, *, large: bool = True) -> str:
    """Return a string as an NVARCHAR literal, or a sum of them.

    Two habits would change a string without a word: T-SQL joins lines at a backslash in front of a line's
    end, and client libraries in C end the statement at a NUL. A third would change the sum: it is cut off
    at 4,000 characters unless one of its parts is NVARCHAR(MAX).

    Args:
        value: the string.
        large: whether the server has NVARCHAR(MAX).

    Raises:
        DataError: the sum would be cut off.
    """
    quoted = value.replace("'", "''")
    if "\\\n" in quoted or "\\\r" in quoted or "\0" in quoted:
        start = ""
        if len(value.encode("utf-16-le", "surrogatepass")) > 2 * LONGEST_SUM:
            if not large:
                raise peewee.DataError(
                    "SQL Server 2000 cuts a text of more than 4,000 characters off where a backslash stands "
                    "in front of a line's end, or a NUL in it; use mssql+pyodbc://, or change the text"
                )
            start = "CAST(N'' AS NVARCHAR(MAX))+"
        quoted = quoted.replace("\\\n", "\\'+N'\n").replace("\\\r", "\\'+N'\r").replace("\0", "'+NCHAR(0)+N'")
        return f"({start}N'{quoted}')"
    return f"N'{quoted}'"


def literal(value: Any, version: ServerVersion) -> str:
    """Return a value as T-SQL, in a form that no setting of the session changes.

    Raises:
        NotSupportedError: T-SQL has no literal of its type.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return text(value, large=version.major >= 9)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        written = repr(value)
        return written if "e" in written else written + "E0"
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return format(value, "f")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, uuid.UUID):
        return f"CAST('{value}' AS UNIQUEIDENTIFIER)"
    if isinstance(value, (datetime.date, datetime.time)):
        return _date_literal(value, version)
    raise peewee.NotSupportedError(
        f"{version.name} has no literal for {value!r} ({type(value).__name__}), and in GROUP BY it takes "
        "no parameter. Compute the value in a subquery and group by its column."
    )


def _date_literal(value: datetime.date | datetime.time, version: ServerVersion) -> str:
    old = version.major < 10
    if isinstance(value, datetime.datetime):
        if old:
            return f"CAST('{value.isoformat(timespec='milliseconds')}' AS DATETIME)"
        kind = "DATETIME2" if value.tzinfo is None else "DATETIMEOFFSET"
        return f"CAST('{value.isoformat()}' AS {kind})"
    if isinstance(value, datetime.time):
        if old:
            return f"CAST('1900-01-01T{value.isoformat(timespec='milliseconds')}' AS DATETIME)"
        return f"CAST('{value.isoformat()}' AS TIME)"
    return f"CAST('{value.isoformat().replace('-', '')}' AS {'DATETIME' if old else 'DATE'})"
