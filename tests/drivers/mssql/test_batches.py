"""Running what is compiled, on the test server of each version: chunks, counts, keys and skipped rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from tests.drivers.mssql import models
from tests.tds.server import TDSServer

NUMBERS = itertools.count(1)
VERSIONS = ["2000", "2005", "2008", "2012", "2022"]


class World:
    """The corpus's tables on a server, and the statements that it was sent."""

    def __init__(self, url: str) -> None:
        self.registry = Databases({"default": url})
        self.database: Any = self.registry["default"]
        self.m = models.define(peewee.Model, self.database)
        self.database.create_tables(
            [self.m.Person, self.m.Setting, self.m.Counter, self.m.Liked, self.m.Post]
        )
        self.sent: list[str] = []
        self.database.query_hooks.append(lambda event: self.sent.append(event.sql))


@pytest.fixture(params=VERSIONS)
def world(request: pytest.FixtureRequest, tds_servers: Callable[[str], TDSServer]) -> Iterator[World]:
    server = tds_servers(request.param)
    name = f"batches_{next(NUMBERS)}"
    world = World(server.url(name))
    yield world
    world.registry.close_all()
    server.drop_database(name)


def test_many_rows_go_in_chunks_and_all_or_none(world: World) -> None:
    counter = world.m.Counter
    assert counter.insert_many([{"n": n} for n in range(2500)]).as_rowcount().execute() == 2500
    inserts = [sql for sql in world.sent if "INSERT" in sql]
    assert len(inserts) == 3
    assert counter.select().count() == 2500
    person = world.m.Person
    rows = [{"name": f"n{number}"} for number in range(1500)]
    rows[1200]["name"] = "n0"
    with pytest.raises(peewee.IntegrityError):
        person.insert_many(rows).execute()
    assert person.select().count() == 0


def test_a_statement_stays_under_the_limit_of_parameters(world: World) -> None:
    world.database.max_params = 50
    person = world.m.Person
    person.insert_many([{"name": f"n{number}", "age": number} for number in range(40)]).execute()
    assert person.select().count() == 40
    assert all(sql.count("?") <= 50 for sql in world.sent)
    with pytest.raises(peewee.NotSupportedError, match="has 60 parameters"):
        list(person.select().where(person.name.in_([str(n) for n in range(60)])))


def test_the_keys_of_new_rows_come_back(world: World) -> None:
    m = world.m
    first = m.Counter.create(n=1)
    assert m.Counter.insert(n=2).execute() == first.id + 1
    assert m.Counter.insert().execute() == first.id + 2
    found = m.Counter.insert_many([{"n": 3}, {"n": 4}]).execute()
    if world.database.version.major < 9:
        assert found == first.id + 4
    else:
        assert [tuple(row) for row in found] == [(first.id + 3,), (first.id + 4,)]
    assert m.Setting.insert(key="k", value="v").execute() in ("k", None)


def test_the_first_row_says_the_columns_of_all_chunks(world: World) -> None:
    """A chunk of its own would take its first row for that, and drop what the others have besides."""
    person = world.m.Person
    rows: list[dict[str, Any]] = [{"name": f"n{number}", "city": f"c{number}"} for number in range(1002)]
    del rows[1000]["city"]
    person.insert_many(rows).execute()
    assert person.get(person.name == "n1000").city is None
    assert person.get(person.name == "n1001").city == "c1001"
    with pytest.raises(ValueError, match="Missing value"):
        person.insert_many([*({"name": f"m{number}"} for number in range(1000)), {"age": 1}]).execute()


def test_a_default_is_asked_for_once_a_row(world: World) -> None:
    world.database.max_params = 50
    numbers = itertools.count()
    counter = world.m.Counter
    field = counter.n
    before, field.default = field.default, numbers.__next__
    counter._meta.defaults[field] = numbers.__next__
    try:
        counter.insert_many([{} for _ in range(120)]).execute()
    finally:
        field.default = before
        del counter._meta.defaults[field]
    assert sorted(row.n for row in counter.select()) == list(range(120))


def test_new_objects_get_their_own_keys_whatever_order_the_server_gives_them_back_in(world: World) -> None:
    counter = world.m.Counter
    if world.database.version.major < 9:
        return
    for use_output in (True, False):
        counter._meta.use_output = use_output
        try:
            objects = [counter(n=n) for n in range(1200)]
            counter.bulk_create(objects)
            rows = counter.insert_many([{"n": 7}, {"n": 8}]).returning(counter.n, counter.id).execute()
        finally:
            del counter._meta.use_output
        assert [counter.get_by_id(one.id).n for one in objects[:5] + objects[-5:]] == [
            *range(5),
            *range(1195, 1200),
        ]
        assert [row.n for row in rows] == [7, 8]


def test_a_key_of_ones_own_is_kept_and_the_next_is_the_servers(world: World) -> None:
    counter = world.m.Counter
    assert counter.insert(id=70, n=1).execute() in (70, None)
    assert counter.create(n=2).id == 71
    with pytest.raises(peewee.IntegrityError):
        counter.insert(id=70, n=3).execute()
    assert counter.create(n=4).id > 71
    assert sorted(row.n for row in counter.select()) == [1, 2, 4]


def test_pages_are_cut_out_of_the_whole(world: World) -> None:
    counter = world.m.Counter
    counter.insert_many([{"n": n} for n in range(10)]).execute()
    query = counter.select(counter.n).order_by(counter.n)
    pages = [[row.n for row in query.limit(4).offset(start)] for start in (0, 4, 8, 12)]
    assert pages == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], []]
    assert [row.n for row in query.offset(7)] == [7, 8, 9]
    assert [row.n for row in query.paginate(2, 3)] == [3, 4, 5]
    assert query.limit(0).count() == 0 and query.limit(3).count() == 3
    assert counter.select().exists() and not counter.select().where(counter.n > 99).exists()


def test_an_upsert_counts_the_rows_that_it_changed(world: World) -> None:
    setting = world.m.Setting
    setting.insert(key="a", value="1").execute()
    both = [{"key": "a", "value": "2"}, {"key": "b", "value": "3"}]
    upsert = setting.insert_many(both).on_conflict(conflict_target=[setting.key], preserve=[setting.value])
    assert upsert.as_rowcount().execute() == 2
    assert setting.insert(key="a", value="no").on_conflict_ignore().as_rowcount().execute() == 0
    assert sorted(setting.select().tuples()) == [("a", "2", 0), ("b", "3", 0)]
    setting.replace(key="b", value="4", hits=9).execute()
    assert setting.get_by_id("b").hits == 9


def test_a_failed_upsert_changes_nothing(world: World) -> None:
    person = world.m.Person
    person.insert_many([{"name": "a", "age": 1}, {"name": "b", "age": 2}]).execute()
    rows = [{"name": "a", "age": 50}, {"name": "c", "age": None}]
    with pytest.raises(peewee.IntegrityError):
        person.insert_many(rows).on_conflict(conflict_target=[person.name], preserve=[person.age]).execute()
    assert sorted(person.select(person.name, person.age).tuples()) == [("a", 1), ("b", 2)]
    assert not world.database.in_transaction()


def test_what_a_write_returns(world: World) -> None:
    setting = world.m.Setting
    setting.insert_many([{"key": "a", "hits": 1}, {"key": "b", "hits": 2}]).execute()
    update = (
        setting.update(hits=setting.hits + 1).where(setting.hits > 1).returning(setting.key, setting.hits)
    )
    delete = setting.delete().where(setting.key == "a").returning(setting.hits)
    if world.database.version.major < 9:
        with pytest.raises(peewee.NotSupportedError, match="SQL Server 2000 cannot do RETURNING"):
            update.execute()
        return
    assert [(row.key, row.hits) for row in update.execute()] == [("b", 3)]
    assert [row.hits for row in delete.execute()] == [1]


def test_tables_with_triggers_are_written_without_output(world: World) -> None:
    counter = world.m.Counter
    counter._meta.use_output = False
    try:
        first = counter.insert(n=5).execute()
        assert counter.get_by_id(first).n == 5
        assert "SCOPE_IDENTITY" in world.sent[0] and "OUTPUT" not in world.sent[0]
        assert counter.update(n=6).where(counter.id == first).execute() == 1
    finally:
        del counter._meta.use_output
