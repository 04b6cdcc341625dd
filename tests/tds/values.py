"""Values on the way into a column of SQLite and out of it: conversion, range and length by T-SQL type.

SQLite holds moments as text that sorts, decimals as numbers up to 15 digits and as text beyond, and a GUID
as upper-case text.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
import struct
import uuid
from decimal import Decimal
from typing import Any

from .messages import TsqlError
from .types import INTEGERS, Type

__all__ = ["affinity", "convert", "guess", "parse_type", "present", "stored"]

EXACT = decimal.Context(prec=60)
TEXTS = {"nvarchar", "varchar", "nchar", "char", "ntext", "text", "xml", "sysname"}
BLOBS = {"varbinary", "binary", "image", "rowversion", "timestamp"}
MOMENTS = {"datetime", "smalldatetime", "datetime2", "date", "time", "datetimeoffset"}
RANGES = {
    "tinyint": (0, 255),
    "smallint": (-(2**15), 2**15 - 1),
    "int": (-(2**31), 2**31 - 1),
    "bigint": (-(2**63), 2**63 - 1),
}
MONEY = {"money": Decimal(2**63), "smallmoney": Decimal(2**31)}
SYNONYMS = {
    "integer": "int",
    "dec": "decimal",
    "numeric": "decimal",
    "double precision": "float",
    "timestamp": "rowversion",
    "character": "char",
    "national character varying": "nvarchar",
    "sysname": "nvarchar",
}
KNOWN = {*TEXTS, *BLOBS, *MOMENTS, *RANGES, *MONEY, "bit", "float", "real", "decimal", "uniqueidentifier"}


def parse_type(text: str) -> Type:
    """Read a type as T-SQL writes it, such as ``NVARCHAR(MAX)``.

    Raises:
        TsqlError: there is no such type (Msg 2715).
    """
    match = re.fullmatch(
        r"\s*\[?([a-z0-9_ ]+?)\]?\s*(?:\(\s*(max|\d+)\s*(?:,\s*(\d+)\s*)?\))?\s*", text.lower()
    )
    if match is None:
        raise TsqlError(2715, f"Column, parameter, or variable: Cannot find data type {text.strip()}.")
    name = SYNONYMS.get(match[1], match[1])
    if name not in KNOWN:
        raise TsqlError(2715, f"Column, parameter, or variable: Cannot find data type {match[1]}.")
    length = -1 if match[2] == "max" else int(match[2]) if match[2] else None
    scale = int(match[3]) if match[3] else 0
    if match[1] == "sysname":
        length = 128
    if name == "decimal":
        return Type(name, length or 18, scale)
    if name in ("datetime2", "time", "datetimeoffset"):
        return Type(name, 0, 7 if length is None else length)
    if name == "float":
        return Type("real" if length is not None and length <= 24 else "float")
    if name in ("nvarchar", "varchar", "nchar", "char", "varbinary", "binary"):
        return Type(name, 1 if length is None else length)
    return Type(name)


def affinity(kind: Type) -> str:
    """Return how a column of this type is declared to SQLite."""
    if kind.name in RANGES or kind.name == "bit":
        return "INTEGER"
    if kind.name in ("float", "real"):
        return "REAL"
    return "TEXT COLLATE NOCASE" if kind.name in TEXTS else "BLOB"


def stored(value: Any) -> Any:
    """Return a parameter's Python value as SQLite holds it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, uuid.UUID):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        text = value.replace(tzinfo=None).isoformat(" ", "microseconds").rstrip("0").rstrip(".")
        offset = value.utcoffset()
        if offset is None:
            return text
        minutes = int(offset.total_seconds() // 60)
        return f"{text} {'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.time):
        return value.isoformat("microseconds").rstrip("0").rstrip(".")
    return value


def _decimal(value: Decimal) -> Any:
    digits = value.as_tuple().digits
    if value == value.to_integral_value(context=EXACT) and abs(value) < 2**53:
        return int(value)
    number = float(value)
    return number if len(digits) <= 15 else str(value)


def convert(value: Any, kind: Type, column: str = "") -> Any:
    """Return what SQLite holds once a value, as SQLite holds it, became one of `kind`.

    Args:
        value: None, or an int, a float, a str or bytes.
        kind: the type to convert to.
        column: for messages; empty in a CAST.

    Raises:
        TsqlError: the value has no such form, is out of range or too long.
    """
    if value is None:
        return None
    name = kind.name
    if name in RANGES:
        return _integer(value, kind)
    if name == "bit":
        if isinstance(value, str):
            words = {"true": 1, "false": 0}
            value = words[value.lower()] if value.lower() in words else _number(value, kind)
        return int(value != 0)
    if name in ("float", "real"):
        number = float(_number(value, kind))
        if math.isinf(number) or (name == "real" and abs(number) > 3.4028235e38):
            raise TsqlError(8115, f"Arithmetic overflow error converting expression to data type {name}.")
        return struct.unpack("<f", struct.pack("<f", number))[0] if name == "real" else number
    if name == "decimal" or name in MONEY:
        return _exact(value, kind)
    if name in TEXTS:
        return _characters(value, kind, column)
    if name in BLOBS:
        return _binary(value, kind, column)
    if name == "uniqueidentifier":
        return _guid(value)
    return _moment(value, kind)


def _number(value: Any, kind: Type) -> Decimal | float | int:
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        try:
            return Decimal(value.strip() or "0") if kind.name not in ("float", "real") else float(value)
        except (decimal.InvalidOperation, ValueError):
            number = 245 if kind.name in RANGES or kind.name == "bit" else 8114
            raise TsqlError(
                number,
                f"Conversion failed when converting the nvarchar value '{value}' to data type {kind.name}.",
            ) from None
    raise TsqlError(529, f"Explicit conversion from data type varbinary to {kind.name} is not allowed.")


def _integer(value: Any, kind: Type) -> int:
    low, high = RANGES[kind.name]
    if isinstance(value, bytes):
        value = int.from_bytes(value[-INTEGERS[kind.name] :], "big", signed=True)
    # Decimals stand in SQLite as text, when they are long.
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d*\s*|-?\d+\.\d+", value) is None:
        raise TsqlError(
            245, f"Conversion failed when converting the nvarchar value '{value}' to data type {kind.name}."
        )
    number = int(_number(value, kind))
    if not low <= number <= high:
        what = "expression" if not isinstance(value, str) else "nvarchar"
        code = 220 if kind.name in ("tinyint", "smallint") else 8115
        raise TsqlError(code, f"Arithmetic overflow error converting {what} to data type {kind.name}.", 2)
    return number


def _exact(value: Any, kind: Type) -> Any:
    number = _number(value, kind)
    exact = Decimal(repr(number)) if isinstance(number, float) else Decimal(number)
    scale = 4 if kind.name in MONEY else kind.scale
    try:
        rounded = exact.quantize(Decimal(1).scaleb(-scale), decimal.ROUND_HALF_UP, EXACT)
    except decimal.InvalidOperation:
        rounded = Decimal("Infinity")
    limit = MONEY[kind.name].scaleb(-4) if kind.name in MONEY else Decimal(10) ** (kind.length - scale)
    if not -limit <= rounded < limit or (kind.name == "decimal" and rounded == -limit):
        raise TsqlError(8115, f"Arithmetic overflow error converting numeric to data type {kind.name}.", 8)
    return _decimal(rounded.normalize(EXACT))


def _characters(value: Any, kind: Type, column: str) -> str:
    if isinstance(value, bytes):
        text = value.decode("utf-16-le" if kind.name[0] == "n" else "cp1252", "replace")
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value)
    if kind.name in ("varchar", "char", "text"):
        text = text.encode("cp1252", "replace").decode("cp1252")
    size = len(text.encode("utf-16-le", "surrogatepass")) // 2
    if kind.length > 0 and size > kind.length:
        if text[kind.length :].strip(" ") == "" or not column:
            return text[: kind.length]
        raise TsqlError(
            2628,
            f"String or binary data would be truncated in column '{column}'. Truncated value: '{text[:20]}'.",
        )
    return text.ljust(kind.length) if kind.name in ("nchar", "char") else text


def _binary(value: Any, kind: Type, column: str) -> bytes:
    if isinstance(value, str):
        raise TsqlError(
            257,
            "Implicit conversion from data type nvarchar to varbinary is not allowed. "
            "Use the CONVERT function to run this query.",
            3,
        )
    data = value if isinstance(value, bytes) else int(value).to_bytes(4, "big", signed=True)
    if kind.length > 0 and len(data) > kind.length:
        if not column:
            return data[: kind.length]
        raise TsqlError(2628, f"String or binary data would be truncated in column '{column}'.")
    return data.ljust(kind.length, b"\0") if kind.name == "binary" else data


def _guid(value: Any) -> str:
    if isinstance(value, bytes) and len(value) == 16:
        return str(uuid.UUID(bytes_le=value)).upper()
    form = r"\{?[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?"
    if not isinstance(value, str) or re.fullmatch(form, value.strip()) is None:
        raise TsqlError(
            8169, "Conversion failed when converting from a character string to uniqueidentifier."
        )
    return value.strip(" {}").upper()


MOMENT = re.compile(
    r"\s*(?:(\d{4})-?(\d{2})-?(\d{2}))?(?:[T ]?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?)?"
    r"\s*(Z|[+-]\d{2}:\d{2})?\s*"
)


def _moment(value: Any, kind: Type) -> str:
    failed = TsqlError(241, "Conversion failed when converting date and/or time from character string.")
    if isinstance(value, int) and kind.name in ("datetime", "smalldatetime"):
        base = datetime.datetime(1900, 1, 1) + datetime.timedelta(days=value)
        return base.isoformat(" ")
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (match[1] or match[4]):
        raise failed
    try:
        day = datetime.date(*map(int, match.group(1, 2, 3))) if match[1] else datetime.date(1900, 1, 1)
        clock = datetime.time(int(match[4] or 0), int(match[5] or 0), int(match[6] or 0))
    except ValueError:
        raise failed from None
    fraction = (match[7] or "").ljust(7, "0")
    moment = datetime.datetime.combine(day, clock)
    if kind.name == "date":
        return day.isoformat()
    if kind.name in ("datetime", "smalldatetime"):
        return _old(moment, int(fraction), kind.name)
    scale = kind.scale
    # Python's moments have no seventh digit; SQL Server rounds to the scale.
    micro = round(int(fraction) / 10 ** (7 - min(scale, 6))) * 10 ** (6 - min(scale, 6))
    moment += datetime.timedelta(microseconds=micro)
    if kind.name == "time":
        return moment.time().isoformat("microseconds").rstrip("0").rstrip(".")
    text = moment.isoformat(" ", "microseconds").rstrip("0").rstrip(".")
    if kind.name == "datetimeoffset":
        text += " " + ("+00:00" if match[8] in (None, "Z") else match[8])
    return text


def _old(moment: datetime.datetime, fraction: int, name: str) -> str:
    first, last = (1753, 9999) if name == "datetime" else (1900, 2079)
    if not first <= moment.year <= last:
        raise TsqlError(
            242,
            f"The conversion of a nvarchar data type to a {name} data type resulted in an out-of-range "
            "value.",
        )
    if name == "smalldatetime":
        moment += datetime.timedelta(seconds=30)
        return moment.replace(second=0, microsecond=0).isoformat(" ")
    ticks = round(fraction * 300 / 10_000_000)
    moment += datetime.timedelta(milliseconds=round(ticks * 10 / 3))
    return (
        moment.isoformat(" ", "milliseconds").rstrip("0").rstrip(".")
        if moment.microsecond
        else moment.isoformat(" ")
    )


def present(value: Any, kind: Type) -> Any:
    """Return the Python value that `types.encode` takes, from what SQLite holds."""
    if value is None:
        return None
    name = kind.name
    if name in MOMENTS:
        text = convert(value, kind)
        if name == "date":
            return datetime.date.fromisoformat(text)
        if name == "time":
            return datetime.time.fromisoformat(_padded(text))
        if name == "datetimeoffset":
            local, _, offset = text.rpartition(" ")
            return datetime.datetime.fromisoformat(_padded(local) + offset)
        return datetime.datetime.fromisoformat(_padded(text))
    if name == "decimal" or name in MONEY:
        return Decimal(repr(value) if isinstance(value, float) else value)
    if name in TEXTS:
        return value if isinstance(value, str) else convert(value, kind)
    if name in BLOBS:
        return value if isinstance(value, bytes) else convert(value, kind)
    return convert(value, kind)


def _padded(text: str) -> str:
    head, dot, fraction = text.partition(".")
    return head + dot + fraction.ljust(6, "0") if dot else head


def guess(values: list[Any]) -> Type:
    """Return the type of a column whose expression does not tell: the smallest that holds its values."""
    found = {type(value) for value in values if value is not None}
    if not found or found == {int}:
        big = any(abs(value) > 2**31 - 1 for value in values if value is not None)
        return Type("bigint" if big else "int")
    if found <= {int, float}:
        return Type("float")
    if found == {bytes}:
        longest = max(len(value) for value in values if value is not None)
        return Type("varbinary", -1 if longest > 8000 else max(longest, 1))
    texts = [str(value) for value in values if value is not None]
    longest = max(len(text.encode("utf-16-le", "surrogatepass")) // 2 for text in texts)
    return Type("nvarchar", -1 if longest > 4000 else max(longest, 1))
