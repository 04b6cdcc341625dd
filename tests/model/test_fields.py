"""Rule 7 for values: what is stored by one set of models comes back equal, and equal to stock Peewee's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, use_db
from tests.model.conftest import ENGINES, base_model
from tests.model.zoo import ROWS, SCALARS, Colour, Size, zoo


@contextlib.contextmanager
def stock_zoo(database: peewee.Database) -> Iterator[Any]:
    """Peewee's own model of the same table, bound to the same Database object."""
    yield zoo(peewee.Model, database=database)


@pytest.fixture
def animal(engines: Databases) -> Any:
    """The zoo with its rows on each engine, put there by our models."""
    model = zoo(base_model(engines, db_name="lite"))
    for name in ENGINES:
        with use_db(name):
            model.create_table()
            for row in ROWS:
                model.create(**row)
    return model


def plain(row: Any) -> dict[str, Any]:
    """Return a row's values in a form that compares: buffers as bytes."""
    values = {}
    for name, value in row.__data__.items():
        if isinstance(value, peewee.BigBitFieldData):
            value = bytes(value._buffer)
        values[name] = bytes(value) if isinstance(value, (memoryview, bytearray)) else value
    return values


def test_every_kind_of_field_round_trips_on_every_engine(animal: Any) -> None:
    for name in ENGINES:
        rows = [plain(row) for row in animal.select().using(name).order_by(animal.id)]
        for row, expected in zip(rows, ROWS, strict=True):
            # MySQL and MariaDB keep JSON as text, and BigBitField is never NULL once it was touched.
            found = {key: row[key] for key in expected}
            assert found == expected, name


def test_stock_models_read_the_same_from_the_same_tables(engines: Databases, animal: Any) -> None:
    for name in ENGINES:
        with stock_zoo(engines[name]) as stock:
            theirs = [plain(row) for row in stock.select().order_by(stock.id)]
        ours = [plain(row) for row in animal.select().using(name).order_by(animal.id)]
        assert ours == theirs, name


def test_we_read_what_stock_models_wrote(engines: Databases, animal: Any) -> None:
    for name in ENGINES:
        with stock_zoo(engines[name]) as stock:
            stock.delete().execute()
            for row in ROWS:
                stock.create(**row)
        for row, expected in zip(animal.select().using(name).order_by(animal.id), ROWS, strict=True):
            assert {key: plain(row)[key] for key in expected} == expected, name


def test_both_send_the_same_sql(engines: Databases, animal: Any) -> None:
    for name in ENGINES:
        with stock_zoo(engines[name]) as stock, use_db(name):
            for row in ROWS:
                ours, theirs = animal.insert(**row).sql(), stock.insert(**row).sql()
                assert ours[0] == theirs[0]
                assert [type(value) for value in ours[1]] == [type(value) for value in theirs[1]]
            assert animal._schema._create_table().query() == stock._schema._create_table().query()


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_json_that_looks_like_another_type_round_trips(engines: Databases, value: Any) -> None:
    model = zoo(base_model(engines, db_name="lite"))
    for name in ENGINES:
        with use_db(name):
            model.create_table()
            row = model.create(name="x", data=value)
            model.insert_many([{"name": "many", "data": value}, {"name": "more", "data": [value]}]).execute()
        found = [one.data for one in model.select().using(name).order_by(model.id)]
        assert found == [value, value, [value]], name
        assert [type(one) for one in found[:2]] == [type(value)] * 2, name
        row.data = {"wrapped": value}
        row.save()
        assert row.refresh().data == {"wrapped": value}, name
        path = model.select(model.data["wrapped"]).using(name).where(model.id == row.id)
        with stock_zoo(engines[name]) as stock:
            stock_path = stock.select(stock.data["wrapped"]).where(stock.id == row.id)
            assert list(path.tuples()) == list(stock_path.tuples()), name


def test_null_and_json_null_are_told_apart_as_stock_peewee_does(engines: Databases, animal: Any) -> None:
    for name in ENGINES:
        with stock_zoo(engines[name]) as stock:
            ours = [row.name for row in animal.select().using(name).where(animal.data.is_null())]
            theirs = [row.name for row in stock.select().where(stock.data.is_null())]
            assert ours == theirs == ["cat"]
            ours = animal.select(animal.name).using(name).where(animal.data["deep"]["n"].is_null())
            theirs = stock.select(stock.name).where(stock.data["deep"]["n"].is_null())
            assert sorted(ours.tuples()) == sorted(theirs.tuples())


def test_rows_in_every_form_read_the_same_json(animal: Any) -> None:
    """JSON comes as text from one driver and as a value from another: the row's own engine counts."""
    data = ROWS[0]["data"]
    for name in ENGINES:
        query = animal.select(animal.name, animal.data).using(name).where(animal.name == "ape")
        assert query.clone().get().data == data
        assert query.clone().dicts().get() == {"name": "ape", "data": data}
        assert query.clone().tuples().get() == ("ape", data)
        assert query.clone().namedtuples().get().data == data
        assert query.clone().objects().get().data == data
        assert [row.data for row in query.clone().iterator()] == [data]
        assert animal.select(animal.data).using(name).where(animal.name == "ape").scalar() == data
        alias = animal.alias()
        assert alias.select(alias.data).using(name).where(alias.name == "ape").get().data == data


def test_rows_of_three_engines_read_by_turns(animal: Any) -> None:
    cursors = [iter(animal.select().using(name).order_by(animal.id).iterator()) for name in ENGINES]
    for expected in ROWS:
        for cursor in cursors:
            row = next(cursor)
            assert plain(row)["data"] == expected.get("data")
            assert plain(row)["blob"] == expected.get("blob")


def test_binary_values_are_written_in_every_clause(animal: Any) -> None:
    blob = ROWS[0]["blob"]
    by_blob = animal.select(animal.name).where(animal.blob == blob)
    among = animal.select(animal.name).where(animal.blob.in_([blob, b"nothing"]))
    change = animal.update(blob=b"\x00new").where(animal.blob == blob)
    for name in ENGINES:
        with use_db(name):
            assert [row.name for row in by_blob.clone()] == ["ape"]
            assert [row.name for row in among.clone()] == ["ape"]
            assert change.clone().execute() == 1
            assert bytes(animal.get(animal.name == "ape").blob) == b"\x00new"


def test_bit_fields_on_every_engine(animal: Any) -> None:
    for name in ENGINES:
        with use_db(name):
            ape = animal.get(animal.name == "ape")
            assert (ape.wild, ape.tall, ape.bits.is_set(0), ape.bits.is_set(1)) == (True, True, True, False)
            ape.bits.set_bit(1)
            ape.tall = False
            ape.save()
            again = animal.get(animal.name == "ape")
            assert (again.tall, again.bits.is_set(1), bytes(again.bits)) == (False, True, b"\x07\x80")
            assert {row.name for row in animal.select().where(animal.wild)} == {"ape", "bee"}
            animal.update(flags=animal.tall.set()).where(animal.name == "bee").execute()
            assert animal.get(animal.name == "bee").tall


def test_filters_by_value_find_the_row_on_every_engine(animal: Any) -> None:
    ape = ROWS[0]
    plain_kinds = ("key", "binary_key", "born", "fed", "wakes", "seen", "exact", "weight", "ratio", "address")
    conditions = [getattr(animal, kind) == ape[kind] for kind in plain_kinds]
    conditions += [animal.colour == Colour.RED, animal.size == Size.LARGE, animal.pickled == ape["pickled"]]
    for name in ENGINES:
        for condition in conditions:
            found = [row.name for row in animal.select().using(name).where(condition)]
            assert found == ["ape"], (name, condition.lhs)


def bulk_updated(model: Any, field: str) -> Any:
    """Give ape and bee each other's value, and return what the table then holds, or the error."""
    rows = list(model.select().where(model.name << ["ape", "bee"]).order_by(model.id))
    one, other = (getattr(row, field) for row in rows)
    setattr(rows[0], field, other)
    setattr(rows[1], field, one)
    try:
        model.bulk_update(rows, [field])
    except peewee.DatabaseError as error:
        return type(error)
    return [plain(row)[field] for row in model.select().order_by(model.id)]


@pytest.mark.parametrize("name", ENGINES)
def test_bulk_update_of_every_kind_of_field_does_what_stock_does(
    engines: Databases, animal: Any, name: str
) -> None:
    kinds = [field for field in ROWS[0] if field != "name"]
    with stock_zoo(engines[name]) as stock:
        theirs = {field: bulk_updated(stock, field) for field in kinds}
        # Swapped a second time, everything is as it was.
        again = {field: bulk_updated(stock, field) for field in kinds}
    with use_db(name):
        ours = {field: bulk_updated(animal, field) for field in kinds}
        assert {field: bulk_updated(animal, field) for field in kinds} == again
    assert ours == theirs
    for field in ("data", "more", "blob", "born", "fed", "flags", "packed", "seen"):
        assert ours[field][0] == ROWS[1].get(field), field
