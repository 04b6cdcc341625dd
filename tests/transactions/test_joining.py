"""A block without names: databases join it when a query first goes there."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from peewee import IntegerField

from peewee_multidb import (
    HashShards,
    Model,
    UncoveredWrite,
    after_commit,
    atomic,
    databases,
    use_db,
    use_replica,
)
from peewee_multidb.errors import NotAsynchronous
from tests.engines import MODELS, Lite, Maria, Post, acounts, counts


def opened() -> list[str]:
    return [name for name in databases if databases[name].in_transaction()]


def test_a_write_and_a_read_let_their_database_join_and_nothing_else_does(three: None) -> None:
    with atomic() as block:
        assert opened() == [] and block.databases == ()
        Lite.create(n=1)
        assert opened() == ["lite"]
        assert Post.select().count() == 0
        assert opened() == ["lite", "post"] and block.databases == ("lite", "post")
    assert opened() == []
    with pytest.raises(ZeroDivisionError), atomic():
        for model in MODELS:
            model.create(n=2)
        _ = 1 / 0
    assert counts() == [1, 0, 0]


def test_every_kind_of_query_joins(two: None) -> None:
    Post.create(n=1)
    row = Post.get()
    for query in (
        lambda: Post.get_or_none(n=5),
        lambda: list(Post.select().tuples()),
        lambda: Post.select().exists(),
        lambda: list(Post.select().iterator()),
        lambda: list(Post.raw("SELECT * FROM post")),
        lambda: Post.update(n=2).execute(),
        lambda: Post.insert_many([{"n": 1}]).execute(),
        lambda: row.save(),
        lambda: Post.raw("UPDATE post SET n = 3").execute(),
        lambda: Post.delete().execute(),
    ):
        with atomic():
            query()
            assert opened() == ["post"]


def test_queries_without_a_block_or_with_names_are_as_ever(two: None) -> None:
    Post.select().count()
    assert opened() == []
    with atomic("lite"):
        Post.select().count()
        assert opened() == ["lite"]


def test_the_database_that_a_scope_or_using_says_joins(two: None) -> None:
    with databases["post"].bind_ctx([Lite], bind_refs=False, bind_backrefs=False):
        Lite.create_table()
    with atomic(), use_db("post"):
        Lite.create(n=1)
        assert opened() == ["post"]
    with atomic():
        Lite.select().using("post").count()
        assert opened() == ["post"]


def test_blocks_around_join_first_and_inner_ones_are_savepoints(three: None) -> None:
    with atomic() as outer:
        Lite.create(n=1)
        with pytest.raises(ZeroDivisionError), atomic():
            Lite.create(n=2)
            Post.create(n=2)
            _ = 1 / 0
        assert outer.databases == ("lite", "post"), "the block around it has joined first"
        assert counts(Lite, Post) == [1, 0]
        with atomic("maria"):
            Maria.create(n=1)
        assert opened() == ["lite", "post", "maria"], "the inner block was a savepoint"
    assert counts() == [1, 0, 1]
    with pytest.raises(ZeroDivisionError), atomic():
        with atomic("maria"):
            Maria.create(n=5)
        with atomic():
            Post.create(n=5)
        _ = 1 / 0
    assert counts() == [1, 0, 1]


def test_inside_named_blocks_the_outer_ones_keep_to_their_names(two: None) -> None:
    with pytest.raises(ZeroDivisionError), atomic("lite"):
        with atomic():
            Lite.create(n=1)
            Post.create(n=1)
        assert opened() == ["lite"], "nothing around the inner block covers post"
        _ = 1 / 0
    assert counts(Lite, Post) == [0, 1]


def test_a_transaction_that_was_open_before_gets_a_savepoint(two: None) -> None:
    with databases["lite"].atomic():
        Lite.create(n=1)
        with pytest.raises(ZeroDivisionError), atomic():
            Lite.create(n=2)
            _ = 1 / 0
        assert counts(Lite) == [1]
    assert counts(Lite) == [1]


def test_a_transaction_of_peewees_that_is_begun_inside_ends_with_itself(two: None) -> None:
    with pytest.raises(ZeroDivisionError), atomic() as block:
        with databases["lite"].atomic():
            Lite.create(n=1)
            assert block.databases == ()
        _ = 1 / 0
    assert counts(Lite) == [1]


def test_other_threads_do_not_join_and_are_warned(two: None) -> None:
    def elsewhere() -> None:
        try:
            with pytest.warns(UncoveredWrite, match="it covers nothing yet"):
                Lite.create(n=1)
            assert Post.select().count() == 0
            assert opened() == []
        finally:
            databases.close()

    with atomic() as block:
        context = contextvars.copy_context()
        thread = ThreadPoolExecutor(1)
        thread.submit(context.run, elsewhere).result(30)
        thread.shutdown()
        assert block.databases == ()
    assert counts(Lite) == [1]


def test_shards_of_a_scatter_and_of_a_write_join(tmp_path: Path) -> None:
    names = ("s0", "s1", "s2")
    databases.configure({name: f"sqlite:///{tmp_path}/{name}.db" for name in names})

    class Order(Model):
        user = IntegerField()

        class Meta:
            db_name = HashShards(*names, key="user")

    Order.create_table()
    with atomic():
        Order.create(user=1)
        assert len(opened()) == 1
        assert Order.select().count() == 1
        assert opened() == list(names), "all of them were asked"
    with pytest.raises(ZeroDivisionError), atomic():
        Order.insert_many([{"user": user} for user in range(50)]).execute()
        assert Order.select().count() == 51 and opened() == list(names)
        _ = 1 / 0
    assert Order.select().count() == 1
    with pytest.raises(ZeroDivisionError), atomic():
        assert len(list(Order.select().iterator())) == 1
        assert opened() == list(names)
        _ = 1 / 0
    databases.close_all()
    databases.configure({})


def test_every_copy_of_a_reference_model_joins(tmp_path: Path) -> None:
    databases.configure({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b")})

    class Country(Model):
        n = IntegerField()

        class Meta:
            db_name = ("a", "b")
            reference = True

    Country.create_table()
    with pytest.raises(ZeroDivisionError), atomic():
        Country.create(n=1)
        assert opened() == ["a", "b"]
        _ = 1 / 0
    assert [Country.select().using(name).count() for name in ("a", "b")] == [0, 0]
    databases.close_all()
    databases.configure({})


def test_reads_go_to_the_primary_unless_a_replica_is_asked_for(tmp_path: Path) -> None:
    replica = f"sqlite:///{tmp_path}/b.db"
    databases.configure({"lite": {"url": f"sqlite:///{tmp_path}/a.db", "replicas": [replica]}})
    Lite.create_table()
    databases["lite"].execute_sql(f"VACUUM INTO '{tmp_path}/b.db'")
    Lite.create(n=1)
    databases.close()

    def in_a_new_unit_of_work() -> tuple[int, list[str], int, list[str]]:
        with atomic():
            with use_replica():
                replicas = Lite.select().count()
            before = opened()
            return replicas, before, Lite.select().count(), opened()

    found = contextvars.Context().run(in_a_new_unit_of_work)
    assert found == (0, [], 1, ["lite"])
    databases.close_all()
    databases.configure({})


def test_a_decorated_function_joins(two: None) -> None:
    @atomic()
    def work() -> list[str]:
        Lite.create(n=1)
        Post.create(n=1)
        return opened()

    assert work() == ["lite", "post"] and work() == ["lite", "post"]
    assert counts(Lite, Post) == [2, 2]


# asyncio


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[None]:
    databases.configure(
        {"lite": f"sqlite+aiosqlite:///{tmp_path}/a.db", "post": f"sqlite:///{tmp_path}/b.db"}
    )
    yield
    databases.close_all()
    databases.configure({})


def test_async_with_joins_commits_and_rolls_back(three_async: None) -> None:
    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        async with atomic() as block:
            for model in MODELS:
                await model.acreate(n=1)
            assert block.databases == ("lite", "post", "maria")
            with pytest.raises(ZeroDivisionError):
                async with atomic():
                    await Post.acreate(n=2)
                    _ = 1 / 0
            assert await acounts() == [1, 1, 1]
        with pytest.raises(ZeroDivisionError):
            async with atomic():
                for model in MODELS:
                    await model.acreate(n=2)
                _ = 1 / 0
        async with atomic():
            pass
        assert await acounts() == [1, 1, 1]
        await databases.aclose_all()

    asyncio.run(main())


def test_other_tasks_do_not_join(three_async: None) -> None:
    async def main() -> None:
        await Lite._meta.database.acreate_tables([Lite])

        async def other() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UncoveredWrite)
                await Lite.acreate(n=1)

        async with atomic() as block:
            await asyncio.create_task(other())
            assert block.databases == ()
        assert await Lite._meta.database.count(Lite.select()) == 1
        await databases.aclose_all()

    asyncio.run(main())


def test_a_block_refuses_databases_of_the_other_kind(mixed: None) -> None:
    async def main() -> None:
        await Lite._meta.database.acreate_tables([Lite])
        Post.create_table()
        with pytest.raises(NotAsynchronous, match="entered by `with`"):
            with atomic():
                await Lite.acreate(n=1)
        with pytest.raises(NotAsynchronous, match="'post' is a SqliteDatabase, not an asynchronous"):
            async with atomic():
                Post.create(n=1)
        assert not databases["lite"].in_transaction() and not databases["post"].in_transaction()
        await databases.aclose_all()

    asyncio.run(main())


# Callbacks


def test_callbacks_run_once_when_everything_is_committed(three: None) -> None:
    order: list[Any] = []

    def committed() -> list[str]:
        return opened()

    with atomic("lite", "post") as block:
        databases["post"].after_commit(lambda: order.append(("post", committed())))
        databases["lite"].after_commit(lambda: order.append(("lite", committed())))
        block.after_commit(lambda: order.append(("block", committed())))

        @after_commit
        def last() -> None:
            order.append("last")

        with atomic("lite"):
            after_commit(lambda: order.append("inner"))
        with pytest.raises(ZeroDivisionError), atomic("lite"):
            after_commit(lambda: order.append("never"))
            _ = 1 / 0
        assert order == []
    assert order == [("post", []), ("lite", []), ("block", []), "last", "inner"]
    with pytest.raises(ZeroDivisionError), atomic("lite", "post"):
        after_commit(lambda: order.append("never"))
        _ = 1 / 0
    after_commit(lambda: order.append("at once"))
    assert order[-1] == "at once" and "never" not in order


def test_callbacks_do_not_run_when_one_database_fails(three: None) -> None:
    called: list[str] = []
    databases["post"].execute_sql(
        'ALTER TABLE "post" ADD CONSTRAINT late UNIQUE (n) DEFERRABLE INITIALLY DEFERRED'
    )
    with pytest.raises(Exception, match="late"):
        with atomic("post", "lite"):
            Post.insert_many([{"n": 1}, {"n": 1}]).execute()
            databases["lite"].after_commit(lambda: called.append("lite"))
            after_commit(lambda: called.append("block"))
    assert called == []


def test_callbacks_all_run_and_the_first_failure_is_raised(two: None) -> None:
    called: list[int] = []
    with pytest.raises(ZeroDivisionError):
        with atomic("lite", "post"):
            Lite.create(n=1)
            after_commit(lambda: called.append(1))
            after_commit(lambda: 1 // 0)
            after_commit(lambda: called.append(2))
    assert called == [1, 2] and counts(Lite) == [1]


def test_a_coroutine_is_no_callback(two: None) -> None:
    async def coroutine() -> None: ...

    with atomic("lite"), pytest.raises(Exception, match="nobody would await"):
        after_commit(coroutine)


def test_a_forked_child_has_no_part_in_the_block(two: None) -> None:
    from tests.drivers.test_fork import in_child

    block = atomic()
    block.__enter__()
    Lite.create(n=1)

    def child() -> int:
        block.__exit__(None, None, None)
        return threading.active_count()

    assert in_child(child) >= 1
    block.__exit__(None, None, None)
    assert counts(Lite) == [1]
