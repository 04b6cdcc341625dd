"""atomic over one and several databases: what it covers, what is committed and in which order."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import IntegerField

from peewee_multidb import (
    ConfigurationError,
    Databases,
    Model,
    NoDatabaseSelected,
    UnknownDatabase,
    atomic,
    databases,
    use_db,
)
from peewee_multidb.drivers import traits_of
from peewee_multidb.errors import NotAsynchronous, NotTransactional
from tests.engines import MODELS, Lite, Post, acounts, counts

# One block


def test_a_block_commits_on_every_database(three: None) -> None:
    with atomic("lite", "post", "maria"):
        for model in MODELS:
            model.create(n=1)
            assert model._meta.database.in_transaction()
    assert counts() == [1, 1, 1]
    assert not any(database.in_transaction() for database in databases.values())


def test_an_exception_rolls_every_database_back(three: None) -> None:
    with pytest.raises(ZeroDivisionError):
        with atomic("lite", "post", "maria"):
            for model in MODELS:
                model.create(n=1)
            _ = 1 / 0
    assert counts() == [0, 0, 0]


def test_rule_8_reads_in_a_block_see_its_own_rows_and_others_do_not(three: None) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def elsewhere() -> list[int]:
        try:
            return counts()
        finally:
            databases.close()

    with ThreadPoolExecutor(1) as pool:
        with atomic("lite", "post", "maria"):
            ids = {model: model.create(n=1).id for model in MODELS}
            assert counts() == [1, 1, 1]
            assert [model.get_by_id(ids[model]).n for model in MODELS] == [1, 1, 1]
            assert [model.raw(f"SELECT * FROM {model._meta.table_name}").get().n for model in MODELS] == [
                1,
                1,
                1,
            ]
            assert pool.submit(elsewhere).result(30) == [0, 0, 0]
        assert pool.submit(elsewhere).result(30) == [1, 1, 1]


def test_databases_commit_in_the_reverse_of_the_order_given(
    three: None, caplog: pytest.LogCaptureFixture
) -> None:
    order: list[str] = []
    for name in ("post", "lite", "maria"):
        database = databases[name]
        database.connect(reuse_if_open=True)

    with atomic("post", "lite", "maria"):
        for name in ("post", "lite", "maria"):
            databases[name].after_commit(lambda name=name: order.append(name))
    assert order == ["maria", "lite", "post"]


def test_blocks_nest_with_savepoints(three: None) -> None:
    with atomic("lite", "post", "maria"):
        for model in MODELS:
            model.create(n=1)
        with pytest.raises(ZeroDivisionError):
            with atomic("post", "maria", "lite"):
                for model in MODELS:
                    model.create(n=2)
                assert counts() == [2, 2, 2]
                _ = 1 / 0
        assert counts() == [1, 1, 1]
        with atomic("post"):
            Post.create(n=3)
    assert counts() == [1, 2, 1]


def test_peewees_own_blocks_nest_inside_and_outside(two: None) -> None:
    with databases["lite"].atomic():
        with atomic("lite", "post"):
            Lite.create(n=1)
            Post.create(n=1)
            with pytest.raises(ZeroDivisionError):
                with databases["post"].atomic():
                    Post.create(n=2)
                    _ = 1 / 0
        assert databases["lite"].in_transaction() and not databases["post"].in_transaction()
    assert counts(Lite, Post) == [1, 1]


def test_one_object_can_be_entered_again_and_inside_itself(two: None) -> None:
    block = atomic("lite")
    for _ in range(2):
        with block:
            Lite.create(n=1)
            with pytest.raises(ZeroDivisionError):
                with block:
                    Lite.create(n=2)
                    _ = 1 / 0
    assert [row.n for row in Lite.select()] == [1, 1]


# What is covered


def test_models_stand_for_the_database_that_they_resolve_to_on_entering(two: None) -> None:
    with databases["post"].bind_ctx([Lite], bind_refs=False, bind_backrefs=False):
        Lite.create_table()
    block = atomic(Lite)
    with use_db("post"):
        with block:
            assert databases["post"].in_transaction() and not databases["lite"].in_transaction()
    with block:
        assert databases["lite"].in_transaction() and not databases["post"].in_transaction()
    with use_db(lite="post"):
        with atomic("lite"), pytest.raises(ZeroDivisionError), atomic(Lite):
            Lite.create(n=1)
            assert databases["post"].in_transaction() and not databases["lite"].in_transaction()
            _ = 1 / 0
        assert counts(Lite) == [0]


def test_a_database_that_is_named_twice_is_entered_once(two: None, caplog: pytest.LogCaptureFixture) -> None:
    Lite.select().count()
    with caplog.at_level(logging.DEBUG, "peewee"):
        with atomic("lite", Lite, "lite"):
            Lite.create(n=1)
        with use_db(post="lite"), atomic("lite", "post"):
            pass
    assert not [record for record in caplog.records if "SAVEPOINT" in record.getMessage()]


def test_a_database_of_another_registry_with_the_same_name_is_covered_too(two: None, tmp_path: Path) -> None:
    other = Databases({"lite": f"sqlite:///{tmp_path}/other.db"})

    class Elsewhere(Model):
        n = IntegerField()

        class Meta:
            registry = other
            db_name = "lite"

    Elsewhere.create_table()
    with pytest.raises(ZeroDivisionError):
        with atomic("lite", Elsewhere):
            Lite.create(n=1)
            Elsewhere.create(n=1)
            _ = 1 / 0
    assert counts(Lite, Elsewhere) == [0, 0]
    other.close_all()


def test_a_model_bound_to_a_database_object_is_covered(two: None, tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(tmp_path / "mine.db")
    with mine.bind_ctx([Lite]):
        Lite.create_table()
        with pytest.raises(ZeroDivisionError):
            with atomic(Lite):
                assert mine.in_transaction()
                Lite.create(n=1)
                _ = 1 / 0
        assert counts(Lite) == [0]
    mine.close()


def test_atomic_refuses_what_it_cannot_cover(two: None) -> None:
    class Plain(peewee.Model):
        pass

    class Homeless(Model):
        class Meta:
            db_name = None

    for wrong in (Plain, 7, None, databases["lite"], Lite.select()):
        with pytest.raises(ConfigurationError, match="takes database names and models"):
            atomic(wrong)
    with pytest.raises(UnknownDatabase, match="did you mean 'lite'"):
        atomic("light").__enter__()
    with pytest.raises(NoDatabaseSelected, match="Homeless"):
        atomic("lite", Homeless).__enter__()
    assert not databases["lite"].in_transaction()


# Decorators and asyncio


def test_a_decorated_function_runs_in_a_block_each_time(two: None) -> None:
    @atomic("lite", Post)
    def write(n: int, *, fail: bool = False) -> int:
        """Docstring."""
        Lite.create(n=n)
        Post.create(n=n)
        if fail:
            raise ZeroDivisionError
        return n + 1

    assert write(1) == 2 and write.__doc__ == "Docstring." and write.__name__ == "write"
    with pytest.raises(ZeroDivisionError):
        write(2, fail=True)
    assert [row.n for row in Lite.select()] == [row.n for row in Post.select()] == [1]


def test_what_the_traits_say_there_is_not_is_refused_and_nothing_stays_open(two: None) -> None:
    post: Any = databases["post"]
    post.traits = dataclasses.replace(traits_of(post), savepoints=False)
    with atomic("lite", "post"):
        Post.create(n=1)
        refused = pytest.raises(NotTransactional, match=r"atomic\('post'\): SqliteDatabase has no savepoints")
        with refused, atomic("post"):
            raise AssertionError("not reached")
    post.traits = dataclasses.replace(post.traits, transactions=False)
    refused = pytest.raises(NotTransactional, match=r"atomic\('post'\): SqliteDatabase has no transactions")
    with refused, atomic("lite", "post"):
        raise AssertionError("not reached")
    assert not databases["lite"].in_transaction()
    assert counts(Lite, Post) == [0, 1]


def test_a_coroutine_that_would_run_outside_of_the_block_is_refused(two: None) -> None:
    async def work() -> None:
        raise AssertionError("not reached")

    for options in ({}, {"retries": 2}):
        decorated = atomic("lite", **options)(lambda: work())
        with pytest.raises(ConfigurationError, match="returned a coroutine, which would run outside"):
            decorated()
    assert not databases["lite"].in_transaction()


def test_a_generator_function_is_refused() -> None:
    """Its body would run after the block was left."""

    def generator() -> Iterator[int]:
        yield 1

    async def asynchronous() -> Any:
        yield 1

    for function in (generator, asynchronous):
        with pytest.raises(ConfigurationError, match="a generator runs after the call"):
            atomic("lite")(function)


def test_async_with_commits_rolls_back_and_nests(three_async: None) -> None:
    @atomic("lite", "post", "maria")
    async def write(n: int) -> None:
        for model in MODELS:
            await model.acreate(n=n)
        if n < 0:
            raise ZeroDivisionError

    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        async with atomic("lite", "post", "maria"):
            for model in MODELS:
                await model.acreate(n=1)
            assert await acounts() == [1, 1, 1]
            assert await asyncio.create_task(asyncio.wait_for(acounts(), 30)) == [0, 0, 0]
            with pytest.raises(ZeroDivisionError):
                async with atomic("post", "lite", "maria"):
                    for model in MODELS:
                        await model.acreate(n=2)
                    _ = 1 / 0
        assert await acounts() == [1, 1, 1]
        await write(3)
        with pytest.raises(ZeroDivisionError):
            await write(-3)
        assert await acounts() == [2, 2, 2]
        await databases.aclose_all()

    asyncio.run(main())


def test_async_with_on_a_database_that_is_not_asynchronous_says_so_and_rolls_the_first_back(
    two: None, tmp_path: Path
) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    databases.add("async", f"sqlite+aiosqlite:///{tmp_path}/c.db")

    async def main() -> None:
        with pytest.raises(NotAsynchronous, match=r"async with atomic\('post'\): SqliteDatabase is not"):
            async with atomic("async", "post"):
                raise AssertionError("not reached")
        assert not databases["async"].in_transaction()
        await databases.aclose_all()

    asyncio.run(main())
