"""Types and values on the wire, both ways; [MS-TDS] 2.2.5.

A `Type` is a T-SQL type with its numbers. `describe` and `encode` write a column of a result, `Reader`
reads the parameters of a remote procedure call.
"""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

__all__ = ["Reader", "Type", "describe", "encode"]

COLLATION = bytes.fromhex("0904d00034")  # SQL_Latin1_General_CP1_CI_AS
CODEPAGE = "cp1252"
NO_LENGTH = 0xFFFF
PLP_NULL, PLP_UNKNOWN = 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFE
EPOCH = datetime.datetime(1900, 1, 1)
DAY_ONE = datetime.date(1, 1, 1).toordinal()
#: Bytes of a number of that many digits.
DECIMAL_BYTES = ((9, 4), (19, 8), (28, 12), (38, 16))
_EXACT = decimal.Context(prec=60)
INTEGERS = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}


@dataclass(frozen=True)
class Type:
    """A T-SQL type: its name in lower case, and length (-1 is MAX), or precision and scale."""

    name: str
    length: int = 0
    scale: int = 0

    def __str__(self) -> str:
        if self.name in ("decimal", "numeric"):
            return f"{self.name}({self.length},{self.scale})"
        if self.name in ("datetime2", "time", "datetimeoffset"):
            return f"{self.name}({self.scale})"
        if self.length:
            return f"{self.name}({self.length if self.length > 0 else 'max'})"
        return self.name


def time_bytes(scale: int) -> int:
    return 3 if scale <= 2 else 4 if scale <= 4 else 5


def decimal_bytes(precision: int) -> int:
    return next(size for digits, size in DECIMAL_BYTES if precision <= digits)


def describe(kind: Type, tds: tuple[int, int]) -> bytes:
    """Return the TYPE_INFO of a column, nullable where the wire has such a form."""
    name = kind.name
    collation = COLLATION if tds >= (7, 1) else b""
    if name in INTEGERS:
        return bytes([0x26, INTEGERS[name]])
    if name in SIMPLE:
        return bytes(SIMPLE[name])
    if name in ("decimal", "numeric"):
        return bytes([0x6C, decimal_bytes(kind.length) + 1, kind.length, kind.scale])
    if name == "date":
        return b"\x28"
    if name in ("time", "datetime2", "datetimeoffset"):
        return bytes([{"time": 0x29, "datetime2": 0x2A, "datetimeoffset": 0x2B}[name], kind.scale])
    if name in ("nvarchar", "nchar", "sysname"):
        size = 2 * kind.length if kind.length > 0 else NO_LENGTH
        return struct.pack("<BH", 0xEF if name == "nchar" else 0xE7, size) + collation
    if name in ("varchar", "char"):
        size = kind.length if kind.length > 0 else NO_LENGTH
        return struct.pack("<BH", 0xAF if name == "char" else 0xA7, size) + collation
    if name in ("varbinary", "binary", "rowversion", "timestamp"):
        size = kind.length if kind.length > 0 else NO_LENGTH
        if name in ("rowversion", "timestamp"):
            size = 8
        return struct.pack("<BH", 0xA5 if name == "varbinary" else 0xAD, size)
    if name == "ntext":
        return struct.pack("<BI", 0x63, 0x7FFFFFFE) + collation
    if name == "text":
        return struct.pack("<BI", 0x23, 0x7FFFFFFF) + collation
    if name == "image":
        return struct.pack("<BI", 0x22, 0x7FFFFFFF)
    if name == "xml":
        return b"\xf1\x00"
    raise NotImplementedError(f"the test server cannot send the type {name}")


SIMPLE = {
    "bit": (0x68, 1),
    "float": (0x6D, 8),
    "real": (0x6D, 4),
    "money": (0x6E, 8),
    "smallmoney": (0x6E, 4),
    "datetime": (0x6F, 8),
    "smalldatetime": (0x6F, 4),
    "uniqueidentifier": (0x24, 16),
}
LARGE = {"ntext": "utf-16-le", "text": CODEPAGE, "image": ""}
TEXTUAL = {"nvarchar": "utf-16-le", "nchar": "utf-16-le", "sysname": "utf-16-le"}
TEXTUAL |= {"varchar": CODEPAGE, "char": CODEPAGE}


def encode(kind: Type, value: Any) -> bytes:
    """Return a value as it stands in a row; it must be of the Python type that goes with the type."""
    name = kind.name
    if name in LARGE:
        if value is None:
            return b"\0"
        data = (
            value.encode(LARGE[name], "replace" if name == "text" else "surrogatepass")
            if LARGE[name]
            else value
        )
        return b"\x10" + b"\x01" * 16 + b"\x02" * 8 + struct.pack("<I", len(data)) + bytes(data)
    if name == "xml" or ((name in TEXTUAL or name == "varbinary") and kind.length < 0):
        if value is None:
            return struct.pack("<Q", PLP_NULL)
        data = bytes(value) if name == "varbinary" else _text(TEXTUAL.get(name, "utf-16-le"), value)
        body = struct.pack("<I", len(data)) + data if data else b""
        return struct.pack("<Q", len(data)) + body + struct.pack("<I", 0)
    if name in TEXTUAL:
        return _counted(None if value is None else _text(TEXTUAL[name], value))
    if name in ("varbinary", "binary", "rowversion", "timestamp"):
        return _counted(value)
    if value is None:
        return b"\0"
    data = _fixed(kind, value)
    return bytes([len(data)]) + data


def _text(encoding: str, value: str) -> bytes:
    return value.encode(encoding, "replace" if encoding == CODEPAGE else "surrogatepass")


def _counted(data: bytes | None) -> bytes:
    return struct.pack("<H", NO_LENGTH) if data is None else struct.pack("<H", len(data)) + bytes(data)


def _fixed(kind: Type, value: Any) -> bytes:
    name = kind.name
    if name in INTEGERS:
        return int(value).to_bytes(INTEGERS[name], "little", signed=name != "tinyint")
    if name == "bit":
        return bytes([bool(value)])
    if name in ("float", "real"):
        return struct.pack("<d" if name == "float" else "<f", value)
    if name in ("money", "smallmoney"):
        units = int(Decimal(value).scaleb(4).to_integral_value())
        if name == "smallmoney":
            return struct.pack("<i", units)
        return struct.pack("<iI", units >> 32, units & 0xFFFFFFFF)
    if name in ("decimal", "numeric"):
        units = int(Decimal(value).scaleb(kind.scale, _EXACT).to_integral_value(context=_EXACT))
        size = decimal_bytes(kind.length)
        return bytes([units >= 0]) + abs(units).to_bytes(size, "little")
    if name == "uniqueidentifier":
        return uuid.UUID(str(value)).bytes_le
    if name in ("datetime", "smalldatetime"):
        return _old_datetime(name, value)
    if name == "date":
        return (value.toordinal() - DAY_ONE).to_bytes(3, "little")
    if name == "time":
        return _time(value, kind.scale)
    if name == "datetime2":
        return _time(value.time(), kind.scale) + (value.toordinal() - DAY_ONE).to_bytes(3, "little")
    offset = value.utcoffset()
    utc = (value - offset).replace(tzinfo=None)
    minutes = int(offset.total_seconds() // 60)
    return (
        _time(utc.time(), kind.scale)
        + (utc.toordinal() - DAY_ONE).to_bytes(3, "little")
        + struct.pack("<h", minutes)
    )


def _old_datetime(name: str, value: datetime.datetime) -> bytes:
    since = value - EPOCH
    if name == "smalldatetime":
        return struct.pack("<HH", since.days, since.seconds // 60)
    ticks = (since.seconds * 1_000_000 + since.microseconds) * 3 / 10_000
    return struct.pack("<iI", since.days, round(ticks))


def _time(value: datetime.time, scale: int) -> bytes:
    micro = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    units = micro * 10 // 10 ** (7 - scale)
    return units.to_bytes(time_bytes(scale), "little")


class Reader:
    """A cursor over the bytes of a request."""

    def __init__(self, data: bytes, tds: tuple[int, int]) -> None:
        self.data = data
        self.at = 0
        self.tds = tds

    @property
    def more(self) -> bool:
        return self.at < len(self.data)

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise ValueError("the request ends in the middle of a value")
        piece = self.data[self.at : self.at + size]
        self.at += size
        return piece

    def number(self, form: str) -> int:
        return int(struct.unpack("<" + form, self.take(struct.calcsize(form)))[0])

    def name(self) -> str:
        """A text whose length in characters is one byte."""
        return self.take(2 * self.number("B")).decode("utf-16-le")

    def parameter(self) -> tuple[Type, Any]:
        """Read a TYPE_INFO and the value after it."""
        code = self.number("B")
        if code in FIXED_CODES:
            name, size = FIXED_CODES[code]
            return Type(name), _number_of(name, self.take(size))
        if code in (0x26, 0x68, 0x6D, 0x6E, 0x6F, 0x24):
            size = self.number("B")
            data = self.take(self.number("B"))
            name = VARYING_CODES[code][size]
            return Type(name), _number_of(name, data) if data else None
        if code in (0x6A, 0x6C, 0x37, 0x3F):
            _, precision, scale = self.take(3)
            data = self.take(self.number("B"))
            kind = Type("decimal", precision, scale)
            if not data:
                return kind, None
            units = int.from_bytes(data[1:], "little")
            return kind, Decimal(units if data[0] else -units).scaleb(-scale, _EXACT)
        if code in (0x28, 0x29, 0x2A, 0x2B):
            scale = self.number("B") if code != 0x28 else 0
            data = self.take(self.number("B"))
            kind = Type(
                {0x28: "date", 0x29: "time", 0x2A: "datetime2", 0x2B: "datetimeoffset"}[code], 0, scale
            )
            return kind, _moment(kind, data) if data else None
        if code in STRING_CODES:
            return self._string(code)
        if code in (0x22, 0x23, 0x63):
            name = {0x22: "image", 0x23: "text", 0x63: "ntext"}[code]
            self.take(4)
            if code != 0x22 and self.tds >= (7, 1):
                self.take(5)
            size = self.number("i")
            if size < 0:
                return Type(name), None
            data = self.take(size)
            return Type(name), data.decode(LARGE[name]) if LARGE[name] else data
        if code == 0xF1:
            if self.number("B"):
                raise ValueError("an XML schema")
            data = self._chunks()
            return Type("xml"), None if data is None else data.decode("utf-16-le")
        raise ValueError(f"the parameter type 0x{code:02X}")

    def _string(self, code: int) -> tuple[Type, Any]:
        name = STRING_CODES[code]
        size = self.number("B" if code < 0x80 else "H")
        if name in TEXTUAL and self.tds >= (7, 1):
            self.take(5)
        data: bytes | None
        if code >= 0x80 and size == NO_LENGTH:
            data = self._chunks()
            size = -1
        else:
            length = self.number("B" if code < 0x80 else "H")
            is_null = length == (0 if code < 0x80 else NO_LENGTH)
            data = None if is_null else self.take(length)
            size = size // 2 if name in ("nvarchar", "nchar") else size
        kind = Type(name, size or 1)
        if data is None:
            return kind, None
        return kind, data.decode(
            TEXTUAL[name], "surrogatepass" if name[0] == "n" else "strict"
        ) if name in TEXTUAL else data

    def _chunks(self) -> bytes | None:
        total = self.number("Q")
        if total == PLP_NULL:
            return None
        data = b""
        while size := self.number("I"):
            data += self.take(size)
        if total not in (PLP_UNKNOWN, len(data)):
            raise ValueError("a value of another length than announced")
        return data


FIXED_CODES = {
    0x1F: ("int", 0),
    0x30: ("tinyint", 1),
    0x32: ("bit", 1),
    0x34: ("smallint", 2),
    0x38: ("int", 4),
    0x3A: ("smalldatetime", 4),
    0x3B: ("real", 4),
    0x3C: ("money", 8),
    0x3D: ("datetime", 8),
    0x3E: ("float", 8),
    0x7A: ("smallmoney", 4),
    0x7F: ("bigint", 8),
}
VARYING_CODES = {
    0x26: {1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"},
    0x68: {1: "bit"},
    0x6D: {4: "real", 8: "float"},
    0x6E: {4: "smallmoney", 8: "money"},
    0x6F: {4: "smalldatetime", 8: "datetime"},
    0x24: {16: "uniqueidentifier"},
}
STRING_CODES = {
    0x2F: "char",
    0x27: "varchar",
    0x2D: "binary",
    0x25: "varbinary",
    0xA5: "varbinary",
    0xA7: "varchar",
    0xAD: "binary",
    0xAF: "char",
    0xE7: "nvarchar",
    0xEF: "nchar",
}


def _number_of(name: str, data: bytes) -> Any:
    if name in INTEGERS:
        return int.from_bytes(data, "little", signed=name != "tinyint") if data else None
    if name == "bit":
        return bool(data[0])
    if name in ("float", "real"):
        return struct.unpack("<d" if name == "float" else "<f", data)[0]
    if name == "money":
        high, low = struct.unpack("<iI", data)
        return Decimal((high << 32) + low).scaleb(-4)
    if name == "smallmoney":
        return Decimal(struct.unpack("<i", data)[0]).scaleb(-4)
    if name == "uniqueidentifier":
        return uuid.UUID(bytes_le=data)
    if name == "smalldatetime":
        days, minutes = struct.unpack("<HH", data)
        return EPOCH + datetime.timedelta(days=days, minutes=minutes)
    days, ticks = struct.unpack("<iI", data)
    return EPOCH + datetime.timedelta(days=days, milliseconds=round(ticks * 10 / 3))


def _moment(kind: Type, data: bytes) -> Any:
    if kind.name == "date":
        return datetime.date.fromordinal(int.from_bytes(data, "little") + DAY_ONE)
    size = time_bytes(kind.scale)
    micro = int.from_bytes(data[:size], "little") * 10 ** (7 - kind.scale) // 10
    clock = (datetime.datetime(1, 1, 1) + datetime.timedelta(microseconds=micro)).time()
    if kind.name == "time":
        return clock
    day = datetime.date.fromordinal(int.from_bytes(data[size : size + 3], "little") + DAY_ONE)
    moment = datetime.datetime.combine(day, clock)
    if kind.name == "datetime2":
        return moment
    offset = datetime.timedelta(minutes=struct.unpack("<h", data[size + 3 :])[0])
    return (moment + offset).replace(tzinfo=datetime.timezone(offset))
