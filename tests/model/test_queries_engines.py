"""Rule 7 for statements: RETURNING, upserts and bulk methods as each engine has them, by the same models."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import EXCLUDED, AutoField, CharField, CompositeKey, IntegerField, fn

from peewee_multidb import Databases, database_of, use_db
from tests.model.conftest import ENGINES, base_model, sent_to


@pytest.fixture
def item(engines: Databases) -> Any:
    """A model with a table on each engine."""

    class Item(base_model(engines, db_name="lite")):
        id = AutoField()
        key = CharField(max_length=20, unique=True)
        n = IntegerField(default=0)

    for name in ENGINES:
        with use_db(name):
            Item.create_table()
    return Item


@pytest.fixture
def pair(engines: Databases) -> Any:
    """A model with a composite key on each engine."""

    class Pair(base_model(engines, db_name="lite")):
        a = IntegerField()
        b = IntegerField()
        n = IntegerField(default=0)

        class Meta:
            primary_key = CompositeKey("a", "b")

    for name in ENGINES:
        with use_db(name):
            Pair.create_table()
    return Pair


def content(item: Any, name: str) -> dict[str, int]:
    return {row.key: row.n for row in item.select().using(name)}


def test_returning_follows_the_engine_of_each_run_of_one_query(engines: Databases, item: Any) -> None:
    query = item.insert(key="one")
    with sent_to(engines) as sent:
        for name in (*ENGINES, *reversed(ENGINES)):
            with use_db(name):
                item.delete().execute()
                sent.clear()
                key = query.execute(engines[name])
                assert item.get_by_id(key).key == "one"
            has_returning = "RETURNING" in sent.log[0][1]
            assert has_returning == engines[name].returning_clause


@pytest.mark.parametrize("name", ENGINES)
def test_insert_many_gives_what_the_engine_gives(engines: Databases, item: Any, name: str) -> None:
    query = item.insert_many([{"key": "a"}, {"key": "b", "n": 2}]).using(name)
    result = query.execute()
    if engines[name].returning_clause:
        assert [item.select().using(name).where(item.id == key).get().key for (key,) in result] == ["a", "b"]
    assert content(item, name) == {"a": 0, "b": 2}


@pytest.mark.parametrize("name", ENGINES)
def test_as_rowcount_counts_on_every_engine(item: Any, name: str) -> None:
    query = item.insert_many([{"key": "a"}, {"key": "b"}]).as_rowcount().using(name)
    assert query.execute() == 2


@pytest.mark.parametrize("name", ("lite", "pg"))
def test_returning_of_update_and_delete(item: Any, name: str) -> None:
    with use_db(name):
        item.insert_many([{"key": "a"}, {"key": "b"}]).execute()
        updated = item.update(n=item.n + 5).where(item.key == "a").returning(item)
    row = next(iter(updated))
    assert (row.key, row.n, database_of(row)) == ("a", 5, name)
    deleted = item.delete().returning(item.key).using(name).tuples()
    assert sorted(deleted) == [("a",), ("b",)]


@pytest.mark.parametrize("name", ENGINES)
def test_insert_from_select(item: Any, name: str) -> None:
    with use_db(name):
        item.create(key="a", n=1)
        chosen = item.select(fn.REPLACE(item.key, "a", "ax"), item.n + 1)
        item.insert_from(chosen, [item.key, item.n]).execute()
    assert content(item, name) == {"a": 1, "ax": 2}


@pytest.mark.parametrize("name", ENGINES)
def test_on_conflict_as_the_engine_has_it(item: Any, name: str) -> None:
    target = {} if name == "maria" else {"conflict_target": [item.key]}
    keep = item.insert(key="a", n=1).on_conflict_ignore()
    add = item.insert(key="a", n=7).on_conflict(update={item.n: item.n + 100}, **target)
    take = item.insert(key="a", n=9).on_conflict(preserve=[item.n], **target)
    for query, expected in ((keep, 1), (keep, 1), (add, 101), (take, 9), (keep, 9)):
        query.using(name).execute()
        assert content(item, name) == {"a": expected}
    if name != "maria":
        with use_db(name):
            bigger = item.insert(key="a", n=3).on_conflict(
                update={item.n: EXCLUDED.n + 1}, where=(item.n > 100), **target
            )
        bigger.execute()
        assert content(item, name) == {"a": 9}


@pytest.mark.parametrize("name", ("lite", "maria"))
def test_replace_where_the_engine_has_it(item: Any, name: str) -> None:
    item.replace(key="a", n=1).using(name).execute()
    item.replace_many([{"key": "a", "n": 2}, {"key": "b", "n": 3}]).using(name).execute()
    assert content(item, name) == {"a": 2, "b": 3}


def test_replace_is_refused_where_the_engine_has_none(item: Any) -> None:
    with pytest.raises(ValueError, match="only supported actions"):
        item.replace(key="a", n=1).using("pg").execute()


@pytest.mark.parametrize("name", ENGINES)
def test_bulk_create_gives_keys_where_the_engine_does(engines: Databases, item: Any, name: str) -> None:
    rows = [item(key=f"k{number}", n=number) for number in range(25)]
    with use_db(name):
        item.bulk_create(rows, batch_size=10)
    assert content(item, name) == {f"k{number}": number for number in range(25)}
    assert {database_of(row) for row in rows} == {name}
    if engines[name].returning_clause:
        for row in rows:
            row.n += 1
            assert row.save() == 1
        assert content(item, name)["k3"] == 4


@pytest.mark.parametrize("name", ENGINES)
def test_bulk_update_runs_on_the_engine_of_the_scope(item: Any, name: str) -> None:
    with use_db(name):
        item.insert_many([(f"k{number}", number) for number in range(12)], [item.key, item.n]).execute()
        rows = list(item.select().order_by(item.id))
        for row in rows:
            row.n *= 2
            row.key = row.key.upper()
        assert item.bulk_update(rows, [item.key, "n"], batch_size=5) == 12
    assert content(item, name) == {f"K{number}": number * 2 for number in range(12)}
    assert content(item, "pg" if name != "pg" else "maria") == {}


@pytest.mark.parametrize("name", ENGINES)
def test_get_or_create_and_its_race(item: Any, name: str) -> None:
    with use_db(name):
        first, made = item.get_or_create(key="a", defaults={"n": 3})
        second, again = item.get_or_create(key="a", defaults={"n": 4})
        with pytest.raises(peewee.IntegrityError):
            item.create(key="a")
    assert (made, again, first.id, second.n) == (True, False, second.id, 3)
    assert database_of(first) == database_of(second) == name


@pytest.mark.parametrize("name", ENGINES)
def test_rows_with_all_defaults(engines: Databases, name: str) -> None:
    class Empty(base_model(engines)):
        n = IntegerField(null=True)

        class Meta:
            db_name = name

    Empty.create_table()
    row = Empty.create()
    assert Empty.insert().execute() == row.id + 1
    assert Empty.select().count() == 2


@pytest.mark.parametrize("name", ENGINES)
def test_composite_keys(pair: Any, name: str) -> None:
    with use_db(name):
        row = pair.create(a=1, b=2)
        pair.insert_many([(1, 3, 5), (2, 2, 6)]).execute()
    row.n = 9
    assert row.save() == 1
    row = pair.select().using(name).where(pair.a == 1, pair.b == 3).get()
    row.n = 10
    assert row.save() == 1
    assert row.delete_instance() == 1
    with use_db(name):
        assert pair.get_by_id((1, 2)).n == 9
        assert (1, 3) not in pair
        rows = list(pair.select())
        assert {database_of(row) for row in rows} == {name}
        assert pair.update(n=0).execute() == 2
        assert sorted(pair.select(pair.a, pair.b, pair.n).tuples()) == [(1, 2, 0), (2, 2, 0)]


def test_one_select_object_compiles_for_each_engine(engines: Databases, item: Any) -> None:
    query = item.select(item.key).where(item.key.contains("A"), item.key ** "%a%").order_by(item.n).limit(1)
    with sent_to(engines) as sent:
        for name in ENGINES:
            with use_db(name):
                item.create(key="ban")
                sent.clear()
                assert [row.key for row in query.clone()] == ["ban"]
            assert ("`" in sent.log[0][1]) == (name == "maria")
            assert ("ILIKE" in sent.log[0][1]) == (name == "pg")
            assert ("?" in sent.log[0][1]) == (name == "lite")


@pytest.mark.parametrize("name", ENGINES)
def test_raw_sql_takes_the_drivers_own_parameters(engines: Databases, item: Any, name: str) -> None:
    with use_db(name):
        item.create(key="a", n=4)
        mark = engines[name].param
        row = item.raw(f"SELECT id, n FROM item WHERE n = {mark}", 4).get()
    assert (row.n, database_of(row)) == (4, name)


@pytest.mark.parametrize("name", ENGINES)
def test_update_and_delete_count_rows(item: Any, name: str) -> None:
    with use_db(name):
        item.insert_many([(f"k{number}", number) for number in range(6)], [item.key, item.n]).execute()
        changed = item.update(n=item.n + 10).where(item.n < 3)
        dropped = item.delete().where(item.n.in_(item.select(item.n).where(item.n > 10)))
    assert changed.execute() == 3
    if name != "maria":
        assert dropped.execute() == 2
    assert item.delete().using(name).where(item.n > 4).execute() > 0
