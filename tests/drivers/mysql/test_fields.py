"""Unsigned integers, ENUM and SET: values, their limits, and the types of other engines."""

from __future__ import annotations

import enum
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mysql import (
    EnumField,
    SetField,
    UnsignedBigIntegerField,
    UnsignedIntegerField,
    UnsignedSmallIntegerField,
    UnsignedTinyIntegerField,
    introspector,
)
from tests.drivers.test_sqlite import build


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Thing(peewee.Model):
    tiny = UnsignedTinyIntegerField(null=True)
    small = UnsignedSmallIntegerField(null=True)
    plain = UnsignedIntegerField(null=True)
    big = UnsignedBigIntegerField(null=True)
    size = EnumField(["S", "M", "it's, so"], null=True)
    colour = EnumField(Colour, null=True)
    tags = SetField(["new", "sale", "50%"], null=True)


LIMITS = {"tiny": 8, "small": 16, "plain": 32, "big": 64}


@pytest.fixture(params=["mariadb_url", "postgres_url", None], ids=["mariadb", "postgresql", "sqlite"])
def database(request: pytest.FixtureRequest) -> Any:
    made = build(request.getfixturevalue(request.param) if request.param else "sqlite:///:memory:")
    with made.bind_ctx([Thing]):
        made.create_tables([Thing])
        yield made
    made.close()


def test_the_limits_come_back_on_every_engine(database: Any) -> None:
    for name, bits in LIMITS.items():
        for value in (0, (1 << bits - 1), (1 << bits) - 1):
            if isinstance(database, peewee.SqliteDatabase) and value >= 1 << 63:
                continue  # its integers end there
            row = Thing.create(**{name: value})
            got = getattr(Thing.get_by_id(row.id), name)
            assert (got, type(got)) == (value, int)


def test_texts_and_sets_come_back_on_every_engine(database: Any) -> None:
    row = Thing.create(size="it's, so", colour=Colour.BLUE, tags={"50%", "new"})
    got = Thing.get_by_id(row.id)
    assert (got.size, got.colour, got.tags) == ("it's, so", Colour.BLUE, frozenset({"new", "50%"}))
    assert Thing.get(Thing.colour == Colour.BLUE).id == row.id
    assert Thing.get(Thing.tags == ["50%", "new"]).id == row.id
    assert not Thing.select().where(Thing.tags != {"new", "50%"}).exists()
    empty = Thing.get_by_id(Thing.create(tags=()).id)
    assert (empty.size, empty.colour, empty.tags) == (None, None, frozenset())


@given(name=st.sampled_from(sorted(LIMITS)), value=st.integers(-(1 << 66), 1 << 66))
def test_a_number_is_refused_exactly_when_it_is_out_of_range(name: str, value: int) -> None:
    field = getattr(Thing, name)
    if 0 <= value < 1 << LIMITS[name]:
        assert field.db_value(value) == value
    else:
        with pytest.raises(peewee.DataError, match=f"Thing.{name}: {value} is out of the range of Unsigned"):
            field.db_value(value)


def test_a_wrong_member_is_named_with_the_right_ones() -> None:
    with pytest.raises(peewee.DataError, match=r"Thing\.size: 'XL' is none of 'S', 'M', "):
        Thing.size.db_value("XL")
    with pytest.raises(peewee.DataError, match=r"Thing\.tags: 'old' is none of 'new', 'sale', "):
        Thing.tags.db_value({"new", "old"})
    with pytest.raises(peewee.DataError, match=r"Thing\.colour: 'green'"):
        Thing.colour.db_value("green")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EnumField([]), "EnumField needs at least one value"),
        (lambda: EnumField(["a\\b"]), "may not hold any of"),
        (lambda: SetField(["a,b"]), "may not hold any of"),
        (lambda: SetField(map(str, range(65))), "room for 64 values, not 65"),
    ],
)
def test_members_that_no_column_can_have_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_what_a_lax_server_stored_for_a_wrong_member_is_read_as_it_is(mariadb_url: str) -> None:
    database = build(f"{mariadb_url}?sql_mode=")
    with database.bind_ctx([Thing]):
        database.create_tables([Thing])
        database.execute_sql("INSERT INTO thing (colour) VALUES ('no such colour')")
        assert Thing.get().colour == ""
    database.close()


def test_the_columns_are_those_of_mysql(mariadb_url: str) -> None:
    database = build(mariadb_url)
    with database.bind_ctx([Thing]):
        database.create_tables([Thing])
        types = {column.name: column.full_type for column in database.get_columns("thing")}
    assert types == {
        "id": "int(11)",
        "tiny": "tinyint(3) unsigned",
        "small": "smallint(5) unsigned",
        "plain": "int(10) unsigned",
        "big": "bigint(20) unsigned",
        "size": "enum('S','M','it''s, so')",
        "colour": "enum('red','blue')",
        "tags": "set('new','sale','50%')",
    }
    database.close()


# Models from a schema


@pytest.mark.parametrize("version", [None, "4.1.22"])
def test_models_are_made_of_a_schema_with_these_fields(mariadb_url: str, version: str | None) -> None:
    database = build({"url": mariadb_url, **({"server_version": version} if version else {})})
    with database.bind_ctx([Thing]):
        database.create_tables([Thing])
        database.execute_sql("ALTER TABLE thing ADD done TINYINT(1) NOT NULL DEFAULT 0, ADD note TEXT")
        model = introspector(database).generate_models()["thing"]
        kinds = {name: type(field).__name__ for name, field in model._meta.fields.items()}
        assert kinds == {
            "id": "AutoField",
            "tiny": "UnsignedTinyIntegerField",
            "small": "UnsignedSmallIntegerField",
            "plain": "UnsignedIntegerField",
            "big": "UnsignedBigIntegerField",
            "size": "EnumField",
            "colour": "EnumField",
            "tags": "SetField",
            "done": "BooleanField",
            "note": "TextField",
        }
        assert model.size.values == ("S", "M", "it's, so")
        row = Thing.create(size="M", tags={"new"}, big=(1 << 64) - 1, plain=7)
        got = model.get_by_id(row.id)
        assert (got.size, got.tags, got.big, got.done) == ("M", {"new"}, (1 << 64) - 1, False)
        as_int = introspector(database, tinyint1="int").generate_models()["thing"]
        assert type(as_int.done) is peewee.IntegerField
    database.close()


def test_tinyint1_is_bool_or_int() -> None:
    with pytest.raises(ValueError, match="tinyint1 must be 'bool' or 'int', not 'yes'"):
        introspector(build("mysql://host/name"), tinyint1="yes")
