"""How a read over several shards is run: at once, stopped, in part, in a transaction, a piece at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField, fn

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    Databases,
    ScatterNotSupported,
    ScatterTimeout,
    ShardFailed,
    atomic,
    database_of,
    databases,
)
from peewee_multidb.shards.gathering import gather
from peewee_multidb.shards.jobs import Options
from tests.conftest import NewUrl
from tests.model.conftest import QUICK, base_model, sent_to

SHARDS = ("s0", "s1", "s2")


def item_of(own: Databases) -> Any:
    class Item(base_model(own)):  # type: ignore[misc]
        key = IntegerField(primary_key=True)
        name = CharField()

        class Meta:
            db_name = staticmethod(lambda key: SHARDS[key % 3])
            shard_key = "key"
            shards = SHARDS

    return Item


def filled(own: Databases, count: int = 30) -> Any:
    Item = item_of(own)
    Item.create_table()
    for shard, name in enumerate(SHARDS):
        some = [{"key": key, "name": f"item {key}"} for key in range(count) if key % 3 == shard]
        Item.insert_many(some).using(name).execute()
    return Item


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Databases]:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in (*SHARDS, "default")})
    yield own
    own.close_all()


@pytest.fixture
def post(new_postgres_url: NewUrl) -> Iterator[Databases]:
    own = Databases({name: new_postgres_url() for name in SHARDS})
    yield own
    own.close_all()


@pytest.fixture
def maria(new_mariadb_url: NewUrl) -> Iterator[Databases]:
    own = Databases({name: new_mariadb_url() for name in SHARDS})
    yield own
    own.close_all()


@pytest.fixture(params=["lite", "post", "maria"])
def each(request: Any) -> Databases:
    found: Databases = request.getfixturevalue(request.param)
    return found


def keys(query: Any) -> list[int]:
    return [row.key for row in query]


def test_rows_know_the_shard_that_they_are_from(each: Databases) -> None:
    Item = filled(each)
    rows = list(Item.select().order_by(Item.key.desc()).limit(6))
    assert [(row.key, database_of(row)) for row in rows] == [
        (29, "s2"), (28, "s1"), (27, "s0"), (26, "s2"), (25, "s1"), (24, "s0"),
    ]  # fmt: skip
    rows[0].name = "renamed"
    assert rows[0].save() == 1
    assert Item.get(Item.key == 29).name == "renamed"


def test_a_query_is_run_once_and_remembers_its_rows(lite: Databases) -> None:
    Item = filled(lite)
    query = Item.select().order_by(Item.key)
    with sent_to(lite) as sent:
        assert keys(query) == keys(query) == list(range(30))
        assert len(query) == 30 and query[3].key == 3 and keys(query[4:6]) == [4, 5]
    assert sorted(sent.where()) == ["s0", "s1", "s2"]


def test_limit_and_offset_are_pushed_down(lite: Databases) -> None:
    Item = filled(lite)
    with sent_to(lite) as sent:
        assert keys(Item.select().order_by(Item.key).paginate(2, 4)) == [4, 5, 6, 7]
    assert all("LIMIT" in sql and "OFFSET" not in sql for _, sql in sent)


def test_conditions_that_contradict_each_other_ask_nobody(lite: Databases) -> None:
    Item = filled(lite)
    nobody = Item.select().where((Item.key == 1) & (Item.key == 2))
    with sent_to(lite) as sent:
        assert list(nobody) == [] and nobody.count() == 0 and not nobody.exists() and nobody.first() is None
        assert list(nobody.select(fn.COUNT(Item.key), fn.SUM(Item.key)).tuples()) == [(0, None)]
        assert nobody.select(Item.name, fn.COUNT(Item.key)).group_by(Item.name).count() == 0
    assert list(sent) == []
    with pytest.raises(Item.DoesNotExist):
        nobody.get()


def test_an_iterator_reads_a_piece_at_a_time_and_lets_go_when_it_is_dropped(each: Databases) -> None:
    Item = filled(each, count=9000)
    rows = Item.select(Item.key).order_by(Item.key).tuples().iterator()
    assert [next(rows)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    rows.close()
    assert [key for (key,) in Item.select(Item.key).order_by(Item.key).tuples().iterator()] == list(
        range(9000)
    )


def test_at_most_as_many_shards_as_the_limit_says_are_asked_at_once(each: Databases) -> None:
    Item = filled(each)
    query = Item.select().order_by(Item.key)
    seen: list[str] = []
    inside = threading.Semaphore(1)

    def work(job: Any) -> str:
        assert inside.acquire(blocking=False), "two at once"
        try:
            return str(job.database.execute_sql("SELECT 7").fetchone()[0])
        finally:
            inside.release()

    shards = query._database
    for _ in range(20):
        seen += gather(shards.jobs(work), Options(limit=1))
    assert seen == ["7"] * 60
    assert keys(query.scatter(limit=1)) == list(range(30))
    assert keys(query.scatter(limit=1).iterator()) == list(range(30))
    with pytest.raises(ConfigurationError):
        query.scatter(limit=0)


def test_one_shard_that_fails_is_named_and_the_error_stays_what_it_was(each: Databases) -> None:
    Item = filled(each)
    each["s1"].execute_sql("DROP TABLE item")
    each["s1"].close()
    for attempt in (
        lambda: list(Item.select()),
        Item.select().count,
        Item.select().exists,
        lambda: list(Item.select().order_by(Item.key).iterator()),
    ):
        with pytest.raises(ShardFailed, match="'s1'") as caught:
            attempt()
        assert caught.value.shard == "s1"
        assert isinstance(caught.value, type(caught.value.__cause__))
        assert isinstance(caught.value, (peewee.OperationalError, peewee.ProgrammingError))


def test_partial_rows_come_with_the_list_of_what_is_missing(each: Databases) -> None:
    Item = filled(each)
    query = Item.select().order_by(Item.key).scatter(partial=True)
    assert keys(query) == list(range(30)) and query.missing == ()
    each["s1"].execute_sql("DROP TABLE item")
    each["s1"].close()
    query = query.clone()
    query._cursor_wrapper = None
    rows = query.execute()
    assert keys(rows) == [key for key in range(30) if key % 3 != 1]
    assert rows.missing == query.missing == ("s1",)
    assert query.count() == 20 and query.missing == ("s1",)
    assert keys(query.iterator()) == keys(rows) and query.missing == ("s1",)
    assert query.first().key == 0


def test_what_is_wrong_with_the_query_itself_is_not_taken_for_a_shard_that_fails(lite: Databases) -> None:
    Item = filled(lite)
    with pytest.raises(ScatterNotSupported, match="GROUP_CONCAT"):
        list(Item.select(fn.GROUP_CONCAT(Item.name)).scatter(partial=True))


#: Conditions that take half a minute.
SLEEPS = {"post": fn.pg_sleep(30).is_null(), "maria": fn.SLEEP(30) == 1}


@pytest.mark.parametrize("engine", ["post", "maria"])
def test_a_timeout_stops_what_runs_on_the_servers(engine: str, request: Any) -> None:
    own = request.getfixturevalue(engine)
    Item = filled(own)
    elsewhere = [key for key in range(30) if key % 3 != 1]
    slow = (
        Item.select(Item.key).where(Item.key.in_(elsewhere) | SLEEPS[engine]).where(Item.name != "").tuples()
    )
    with pytest.raises(ScatterTimeout, match=r"'s1' within 0\.5 s") as caught:
        slow.scatter(timeout=0.5).execute()
    assert caught.value.shards == ("s1",)
    query = slow.scatter(timeout=0.5, partial=True)
    assert len(list(query)) == 20 and query.missing == ("s1",)
    # Nothing goes on in the background: the statement was cancelled.
    running = {
        "post": "SELECT count(*) FROM pg_stat_activity "
        "WHERE state = 'active' AND query LIKE '%pg_slee' || 'p(%'",
        "maria": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE concat('%SLEE', 'P(%')",
    }
    done = threading.Event()
    for _ in range(200):
        if own["s1"].execute_sql(running[engine].replace("%", "%%")).fetchone()[0] == 0:
            break
        done.wait(0.05)
    else:
        pytest.fail("a statement still runs")
    assert Item.select().count() == 30


def test_a_timeout_stops_sqlite_too(lite: Databases) -> None:
    Item = filled(lite)
    endless = peewee.SQL("(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) VALUES (1)) = 1")
    assert Item.select().where(Item.key >= 0).scatter(timeout=20).count() == 30
    with pytest.raises(ScatterNotSupported):
        Item.select().where(endless).count()


def test_inside_a_transaction_its_own_connections_are_read(each: Databases) -> None:
    Item = filled(each)
    query = Item.select().order_by(Item.key)
    with each["s0"].atomic() as here, each["s2"].atomic():
        Item.insert(key=300, name="not committed").execute()
        Item.insert(key=302, name="not committed").execute()
        assert keys(query)[-2:] == [300, 302]
        assert query.count() == 32
        assert keys(query.iterator())[-2:] == [300, 302]
        assert each["s0"].in_transaction()
        here.rollback()
    assert keys(query.clone().scatter())[-1] == 302


def test_a_failure_inside_a_transaction_leaves_it_to_its_owner(each: Databases) -> None:
    Item = filled(each)
    each["s1"].execute_sql("DROP TABLE item")
    each["s1"].close()
    with each["s0"].atomic() as here:
        Item.insert(key=300, name="not committed").execute()
        with pytest.raises(ShardFailed):
            Item.select().count()
        here.rollback()
    assert Item.select().using("s0").count() == 10


def test_a_timeout_stops_what_runs_in_a_transaction_of_sqlite(lite: Databases) -> None:
    Item = filled(lite)
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c"

    def work(job: Any) -> int:
        sql = endless if job.name == "s1" else "SELECT 7"
        return int(job.database.execute_sql(sql).fetchone()[0])

    with lite["s1"].atomic():
        Item.insert(key=301, name="kept").execute()
        shards = Item.select()._database

        def endless_work(job: Any) -> int:
            with job.on(job.database):
                return work(job)

        with pytest.raises(ScatterTimeout, match=r"'s1'.* within 0\.2 s"):
            gather(shards.jobs(endless_work), Options(timeout=0.2))
        assert lite["s1"].in_transaction()
        assert gather(shards.jobs(lambda job: job.name), Options(timeout=20)) == list(SHARDS)
    assert Item.get(Item.key == 301).name == "kept"


def test_rows_of_other_databases_are_prefetched(lite: Databases) -> None:
    Item = filled(lite)

    class Note(base_model(lite)):  # type: ignore[misc]
        item = ForeignKeyField(Item, backref="notes")
        text = CharField()

        class Meta:
            colocate_with = Item

    Note.create_table()
    for key in (1, 2, 3, 4):
        for number in range(key):
            Note.insert(item=key, text=f"{key}/{number}").execute()
    query = Item.select().where(Item.key < 5).order_by(Item.key.desc())
    with sent_to(lite) as sent:
        rows = query.prefetch(Note)
        found = [(row.key, sorted(note.text for note in row.notes)) for row in rows]
    assert found == [(key, [f"{key}/{n}" for n in range(key)]) for key in (4, 3, 2, 1, 0)]
    assert len(list(sent)) == 6


def test_a_join_with_a_table_that_is_elsewhere_is_refused(lite: Databases) -> None:
    Item = filled(lite)

    class Color(base_model(lite)):  # type: ignore[misc]
        item = IntegerField()

    Color.create_table()
    with sent_to(lite) as sent, pytest.raises(CrossDatabaseQuery, match="Color lives in 'default'"):
        list(Item.select().join(Color, on=(Color.item == Item.key)))
    assert list(sent) == []


def test_asynchronous_shards_are_asked_by_tasks(new_postgres_url: NewUrl, tmp_path: Path) -> None:
    urls = [new_postgres_url().replace("postgresql://", "postgresql+asyncpg://") for _ in SHARDS]
    databases.configure(dict(zip(SHARDS, urls, strict=True)))
    Item = item_of(databases)

    async def scenario() -> None:
        await databases["s0"].run(Item.create_table)
        for key in range(30):
            await Item.insert(key=key, name=f"item {key}").aexecute()
        query = Item.select().order_by(Item.key)
        assert keys(await query.aexecute()) == list(range(30))
        assert (await Item.aget(Item.name == "item 7")).key == 7
        with pytest.raises(ScatterTimeout):
            await Item.select().where(fn.pg_sleep(20).is_null()).scatter(timeout=0.3).aexecute()
        async with atomic("s0"):
            await Item.insert(key=300, name="not committed").aexecute()
            assert keys(await query.clone().aexecute())[-1] == 300
        streamed = await databases["s0"].run(lambda: keys(query.clone().iterator()))
        assert streamed[-1] == 300 and len(streamed) == 31
        for name in SHARDS:
            await databases[name].close_pool()

    try:
        asyncio.run(scenario())
    finally:
        databases.configure({})
