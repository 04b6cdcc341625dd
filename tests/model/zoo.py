"""One model with a field of every kind that looks different on each engine, ours or stock Peewee's."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any

from peewee import (
    AutoField,
    BigBitField,
    BinaryUUIDField,
    BitField,
    BlobField,
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    DoubleField,
    IPField,
    JSONField,
    TextField,
    TimeField,
    TimestampField,
    UUIDField,
)
from playhouse.fields import CompressedField, EnumField, IntEnumField, PickleField


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


def zoo(base: type, **meta: Any) -> Any:
    """Return the model, derived from a base class of ours or of Peewee's."""

    class Animal(base):  # type: ignore[misc]
        id = AutoField()
        name = CharField(max_length=40)
        data = JSONField(null=True)
        more = JSONField(null=True)
        blob = BlobField(null=True)
        bits = BigBitField(null=True)
        flags = BitField(default=0)
        wild = flags.flag(1)
        tall = flags.flag(2)
        key = UUIDField(null=True)
        binary_key = BinaryUUIDField(null=True)
        born = DateField(null=True)
        fed = DateTimeField(null=True)
        wakes = TimeField(null=True)
        seen = TimestampField(null=True, default=None, utc=True)
        exact = TimestampField(null=True, default=None, utc=True, resolution=1000)
        packed = CompressedField(null=True)
        pickled = PickleField(null=True)
        colour = EnumField(Colour, null=True, max_length=10)
        size = IntEnumField(Size, null=True)
        weight = DecimalField(max_digits=12, decimal_places=4, null=True)
        ratio = DoubleField(null=True)
        tame = BooleanField(null=True)
        address = IPField(null=True)
        text = TextField(null=True)

        Meta = type("Meta", (), {"table_name": "animal", **meta})

    return Animal


def when(*numbers: int) -> datetime.datetime:
    return datetime.datetime(*numbers)


ROWS: tuple[dict[str, Any], ...] = (
    {
        "name": "ape",
        "data": {"a": 1, "list": [1, 2, 3], "deep": {"k": "v", "n": None}, "s": "x", "f": 1.5, "b": True},
        "more": [1, 2, {"x": "ü"}],
        "blob": b"\x00\xff'\"%s\\",
        "bits": b"\x05\x80",
        "flags": 3,
        "key": uuid.UUID(int=7),
        "binary_key": uuid.UUID(int=2**127 + 5),
        "born": datetime.date(2012, 2, 29),
        "fed": when(2024, 12, 31, 23, 59, 58),
        "wakes": datetime.time(5, 30, 15),
        "seen": when(2021, 3, 4, 5, 6, 7),
        "exact": when(2021, 3, 4, 5, 6, 7, 250000),
        "packed": b"zzzz" * 100,
        "pickled": {"any": ("thing", 1)},
        "colour": Colour.RED,
        "size": Size.LARGE,
        "weight": decimal.Decimal("12.3400"),
        "ratio": 0.1,
        "tame": True,
        "address": "192.168.0.1",
        "text": "100% \\ 'quoted' \"twice\" ?",
    },
    {
        "name": "bee",
        "data": {"a": 2, "list": [], "deep": {"k": "w"}, "s": "y", "f": -2.25, "b": False},
        "more": [3],
        "blob": b"",
        "flags": 1,
        "born": datetime.date(2020, 1, 1),
        "fed": when(2024, 1, 1, 0, 0, 0),
        "wakes": datetime.time(0, 0, 1),
        "seen": when(1999, 12, 31, 23, 59, 59),
        "weight": decimal.Decimal("-0.0001"),
        "tame": False,
        "colour": Colour.BLUE,
        "text": "",
    },
    {"name": "cat"},
    {"name": "dog", "data": {"a": 2, "list": [9]}, "more": [], "born": datetime.date(2012, 7, 1)},
)

#: Values of JSON that look like another type once they are text.
SCALARS: tuple[Any, ...] = (
    "123",
    "true",
    "false",
    "null",
    "1.5",
    '"quoted"',
    "[1]",
    "{}",
    "",
    "plain",
    123,
    -1.5,
    True,
    False,
    0,
    [],
    {},
    [None],
    {"null": None},
    "2024-01-01",
    "ü ☃",
)
