"""`assert_queries`: exactly so many reads and writes on each database, and a failure that lists them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, HashShards, atomic, databases, use_db
from peewee_multidb.testing import assert_queries
from tests import engines
from tests.tds import TDSServer

SHARDS = ("s1", "s2")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Any]:
    databases.configure({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("lite", "post", *SHARDS)})
    databases.create_tables([engines.Lite, engines.Post])
    yield engines
    databases.close_all()
    databases.configure({})


def test_reads_and_writes_count_and_transactions_do_not(world: Any) -> None:
    with assert_queries(lite=4, post=1) as queries:
        with atomic("lite", "post"), atomic("lite"):
            row = world.Lite.create(n=5)
        with pytest.raises(ZeroDivisionError), databases["lite"].atomic():
            world.Lite.create(n=5)
            1 / 0  # noqa: B018
        assert row.refresh() is row
        assert world.Lite.select().count() == 1
        assert not world.Post.select().exists()
    assert queries.counts == {"lite": 4, "post": 1}
    assert [event.statement for event in queries.events] == ["INSERT", "INSERT", *["SELECT"] * 3]


def test_a_database_that_is_not_mentioned_gets_none(world: Any) -> None:
    with pytest.raises(AssertionError, match="expected lite=1; there were lite=1, post=1"):
        with assert_queries(lite=1):
            list(world.Lite.select())
            list(world.Post.select())
    with assert_queries():
        world.Lite.select()
    with assert_queries(lite=0):
        pass


def test_a_failure_lists_the_queries_by_database(world: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        with assert_queries(lite=1, post=2):
            world.Lite.create(n=5)
            list(world.Lite.select().where(world.Lite.id == 7))
            list(world.Post.select())
            with pytest.raises(peewee.OperationalError):
                databases["post"].execute_sql("SELECT missing")
    lines = str(caught.value).splitlines()
    assert lines[0] == "expected lite=1, post=2; there were lite=2, post=2"
    assert lines[2] == "lite: 2 instead of 1"
    assert lines[3].startswith('  1. INSERT INTO "lite"') and lines[3].endswith("-- [5]")
    assert lines[4].endswith(" -- [7]")
    assert lines[6] == "post: 2 as expected"
    assert lines[8].endswith("(OperationalError: no such column: missing)")


def test_a_name_that_there_is_not_is_said(world: Any) -> None:
    with pytest.raises(AssertionError, match="no database is called 'light'; there are lite, post, s1, s2"):
        with assert_queries(light=1):
            list(world.Lite.select())


def test_names_that_are_no_words_come_in_a_mapping(tmp_path: Path) -> None:
    own = Databases({"shard-1": f"sqlite:///{tmp_path}/1.db", "default": f"sqlite:///{tmp_path}/2.db"})
    with assert_queries({"shard-1": 1}, registry=own, default=2):
        own["shard-1"].execute_sql("SELECT 1")
        own["default"].execute_sql("SELECT 1")
        own["default"].execute_sql("SELECT 1")
    own.close_all()


@pytest.mark.parametrize("count", [-1, True, "2", 1.5])
def test_a_count_that_is_none_is_refused(count: Any) -> None:
    with pytest.raises(TypeError, match=r"assert_queries\(default=\.\.\.\) takes a number of queries"):
        assert_queries(default=count)


def test_another_error_of_the_block_comes_through(world: Any) -> None:
    with pytest.raises(KeyError):
        with assert_queries(lite=1):
            raise KeyError


def test_queries_of_other_threads_count_and_those_after_the_block_do_not(world: Any) -> None:
    def work() -> None:
        list(world.Lite.select())
        databases.close()

    with assert_queries(lite=3) as queries:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    list(world.Lite.select())
    assert len(queries.events) == 3


def test_each_shard_counts(world: Any) -> None:
    class Order(engines.Lite):
        class Meta:
            db_name = HashShards(*SHARDS, key="id")

    databases.create_tables([Order])
    with assert_queries(s1=1, s2=1):
        list(Order.select())
    with use_db("s1"), assert_queries(s1=1):
        list(Order.select())


def test_savepoints_of_t_sql_do_not_count(tds_server: TDSServer) -> None:
    own = Databases({"erp": tds_server.url("counting")})
    with assert_queries(registry=own, erp=1):
        with own["erp"].atomic(), own["erp"].atomic():
            own["erp"].execute_sql("SELECT 1")
    own.close_all()


def test_a_block_can_be_entered_again(world: Any) -> None:
    once = assert_queries(lite=1)
    for _ in range(2):
        with once:
            list(world.Lite.select())
