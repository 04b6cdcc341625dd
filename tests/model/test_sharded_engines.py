"""One sharded model over SQLite, PostgreSQL and MariaDB: rows, ids, keys of every type, copies."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import peewee
import pytest
from peewee import (
    BigIntegerField,
    BinaryUUIDField,
    BlobField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    IntegerField,
    TextField,
    UUIDField,
)

from peewee_multidb import Databases, HashShards, Model, all_shards, database_of
from peewee_multidb.shards.pruning import shards_for
from tests.model.conftest import ENGINES, sent_to
from tests.model.shop import counts, keys_of, shop


@pytest.fixture
def s(engines: Databases) -> Iterator[Any]:
    yield shop(engines, ENGINES)


def test_ids_come_in_the_order_of_the_rows_from_every_engine(s: Any) -> None:
    for _ in range(2):
        found = s.Visit.insert_many([{"user": key, "page": str(key)} for key in range(60)]).execute()
        assert len(found) == 60
        for (number,), key in zip(found, range(60), strict=True):
            assert s.Visit.get(s.Visit.user == key, s.Visit.id == number).page == str(key)
    assert min(counts(s, s.Visit)) > 10
    keys = [number for (number,) in s.User.insert_many([{"id": n} for n in range(40)]).execute()]
    assert keys == list(range(40))
    orders = s.Order.insert_many([{"user": n, "total": n} for n in range(40)]).execute()
    assert [s.Order.get(s.Order.user == n).id for n in range(40)] == [number for (number,) in orders]


def test_more_parameters_than_an_engine_takes_are_cut(s: Any) -> None:
    rows = [{"user": number, "page": ""} for number in range(12_000)]
    with sent_to(s.own) as sent:
        assert s.Visit.insert_many(rows).as_rowcount().execute() == 12_000
    assert len([sql for _, sql in sent if sql.startswith("INSERT")]) >= 6
    assert sum(counts(s, s.Visit)) == 12_000


def test_updates_and_deletes_of_all_engines_add_up(s: Any) -> None:
    s.Visit.insert_many([{"user": number} for number in range(60)]).execute()
    with all_shards():
        assert s.Visit.update(page="x").execute() == 60
        assert s.Visit.delete().where(s.Visit.page == "x", s.Visit.user < 30).execute() == 30
    with pytest.raises(peewee.IntegrityError):
        s.User.insert_many([*({"id": number} for number in range(30)), {"id": 3}]).execute()
    assert counts(s, s.User) == [0, 0, 0]


@pytest.mark.parametrize("name", ENGINES)
def test_a_row_that_cannot_be_created_does_not_end_the_transaction(s: Any, name: str) -> None:
    (key,) = keys_of(s, name, 1)
    s.User.insert(id=key, name="x").execute()
    with s.own[name].atomic():
        s.Visit.insert(user=key).execute()
        with pytest.raises(peewee.IntegrityError):
            s.User.get_or_create(id=key, name="another")
        assert s.Visit.select().where(s.Visit.user == key).count() == 1
    assert s.User.get_or_create(id=key, defaults={"name": "y"})[0].name == "x"


def test_the_copies_of_a_reference_model_agree_on_every_engine(s: Any) -> None:
    found = s.Country.insert_many([{"code": str(number)} for number in range(5)]).execute()
    assert list(found) == [(number,) for number in range(1, 6)]
    assert s.Country.create(code="x").id == 6
    rows = [(number + 1, str(number)) for number in range(5)] + [(6, "x")]
    for name in ENGINES:
        assert sorted(s.Country.select(s.Country.id, s.Country.code).tuples().using(name)) == rows


@pytest.mark.parametrize("first", ENGINES)
def test_whichever_engine_numbers_the_copies(engines: Databases, first: str) -> None:
    class Tag(Model):
        text = CharField()

        class Meta:
            registry = engines
            db_name = (first, *(name for name in ENGINES if name != first))
            reference = True

    Tag.create_table()
    Tag.insert_many([{"text": text} for text in "abc"]).execute()
    one = Tag.create(text="d")
    for name in ENGINES:
        assert sorted(Tag.select(Tag.id, Tag.text).tuples().using(name))[-1] == (one.id, "d")
        assert [row.text for row in Tag.select().order_by(Tag.id).using(name)] == list("abcd")


MOMENT = datetime.datetime(2024, 2, 29, 12, 30, 15)
KEYS: list[tuple[Any, list[Any]]] = [
    (BigIntegerField(), [0, -5, 2**62]),
    (CharField(max_length=40), ["", "a", "A", "süß", "with space ", "it's"]),
    (TextField(), ["x" * 300, "y"]),
    (UUIDField(), [uuid.UUID(int=number) for number in (1, 2**100)]),
    (BinaryUUIDField(), [uuid.UUID(int=number) for number in (1, 2**100)]),
    (DateField(), [datetime.date(2024, 2, 29), datetime.date(1999, 1, 1)]),
    (DateTimeField(), [MOMENT, MOMENT.replace(year=1999, day=1)]),
    (DecimalField(10, 2), [Decimal("1.50"), Decimal("-3.00"), Decimal("0.01")]),
    (BlobField(), [b"\x00\xff", b"", b"text"]),
]


@pytest.mark.parametrize(("field", "values"), KEYS, ids=[type(field).__name__ for field, _ in KEYS])
def test_a_loaded_key_is_the_key_that_was_written(engines: Databases, field: Any, values: list[Any]) -> None:
    class Keyed(Model):
        key = type(field)(
            **({"max_digits": 10, "decimal_places": 2} if isinstance(field, DecimalField) else {})
        )
        n = IntegerField()

        class Meta:
            registry = engines
            db_name = HashShards(*ENGINES)
            shard_key = "key"

    Keyed.create_table()
    for name in ENGINES:
        # On each engine in turn, whatever the rule says: what comes back must lead to where it was put.
        for n, value in enumerate(values):
            shard = Keyed._meta.home.rule.shard_of(value)
            row = Keyed.create(key=value, n=n)
            assert database_of(row) == shard
            (loaded,) = Keyed.select().where((Keyed.key == value) & (Keyed.n == n))
            assert shards_for(Keyed._meta.home, Keyed.select().where(Keyed.key == loaded.key)) == (shard,)
            assert database_of(loaded) == shard
            assert Keyed.delete().where(Keyed.key == loaded.key).execute() == 1
            elsewhere = HashShards(name)
            Keyed._meta.home.rule, before = elsewhere, Keyed._meta.home.rule
            try:
                Keyed.create(key=value, n=n)
                (there,) = Keyed.select().where(Keyed.n == n)
                assert before.shard_of(_plain(Keyed, there.key)) == shard
                assert Keyed.delete().where(Keyed.key == there.key).execute() == 1
            finally:
                Keyed._meta.home.rule = before


def _plain(model: Any, value: Any) -> Any:
    from peewee_multidb.shards.values import python_value

    return python_value(model.key, value)
