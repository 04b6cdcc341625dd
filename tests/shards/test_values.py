"""Values of queries and rows as a rule sees them: one key, however it is written."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import peewee
import pytest
from peewee import Value, fn

from peewee_multidb import HashShards, InvalidShardKey, Model, use_shard
from peewee_multidb.errors import ConfigurationError
from peewee_multidb.shards.values import is_value, python_value

NUMBER = uuid.UUID(int=5)
DAY = datetime.date(2024, 2, 29)


class Owner(Model):
    number = peewee.BigIntegerField(primary_key=True)


class Thing(Model):
    owner = peewee.ForeignKeyField(Owner)
    whole = peewee.IntegerField()
    text = peewee.CharField()
    unique = peewee.UUIDField()
    packed = peewee.BinaryUUIDField()
    data = peewee.BlobField()
    day = peewee.DateField()
    moment = peewee.DateTimeField()
    money = peewee.DecimalField()
    address = peewee.IPField()
    stamp = peewee.TimestampField(default=None, null=True)

    class Meta:
        db_name = HashShards("a", "b")
        shard_key = ("whole", "text")


@pytest.mark.parametrize(
    ("name", "given", "seen"),
    [
        ("whole", "5", 5),
        ("whole", 5.0, 5),
        ("whole", True, 1),
        ("whole", Value(7), 7),
        ("text", 5, "5"),
        ("text", "x", "x"),
        ("owner", Owner(number=9), 9),
        ("owner", "9", 9),
        ("unique", str(NUMBER), NUMBER),
        ("unique", NUMBER.hex, NUMBER),
        ("unique", NUMBER, NUMBER),
        ("packed", NUMBER.bytes, NUMBER),
        ("packed", NUMBER.hex, NUMBER),
        ("data", "süß", "süß".encode()),
        ("data", bytearray(b"x"), b"x"),
        ("data", memoryview(b"x"), b"x"),
        ("day", "2024-02-29", DAY),
        ("day", datetime.datetime(2024, 2, 29, 5), DAY),
        ("moment", "2024-02-29 00:00:00", datetime.datetime(2024, 2, 29)),
        ("moment", DAY, datetime.datetime(2024, 2, 29)),
        ("money", "1.5", Decimal("1.5")),
        ("money", 2, Decimal(2)),
        ("address", "10.0.0.1", "10.0.0.1"),
        ("stamp", datetime.datetime(2024, 2, 29), datetime.datetime(2024, 2, 29)),
    ],
)
def test_a_value_is_what_a_loaded_row_has(name: str, given: Any, seen: Any) -> None:
    found = python_value(getattr(Thing, name), given)
    assert (type(found), found) == (type(seen), seen)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("whole", "5.5"),
        ("whole", "x"),
        ("day", "someday"),
        ("moment", "now"),
        ("unique", "x"),
        ("money", "x"),
    ],
)
def test_a_text_that_only_the_database_could_read_is_no_key(name: str, given: Any) -> None:
    with pytest.raises(InvalidShardKey, match=rf"Thing.{name}: '{given}' is no value of a"):
        python_value(getattr(Thing, name), given)


def test_what_is_a_value() -> None:
    assert all(map(is_value, [5, None, "x", Owner(), Value(5)]))
    assert not any(map(is_value, [Owner.number, fn.NOW(), Value([1, 2]), peewee.SQL("1")]))


def test_a_key_of_several_fields_takes_a_value_for_each() -> None:
    assert use_shard(Thing, ("5", 6)).name == Thing._meta.home.rule.shard_of((5, "6"))
    for wrong in (5, (5,), (5, "6", 7)):
        with pytest.raises(ConfigurationError, match=r"that has 2 value\(s\)"):
            use_shard(Thing, wrong)
    for none in ((5, None), (None, "6"), ("x", "6")):
        with pytest.raises(InvalidShardKey):
            use_shard(Thing, none)
