"""Rule 8: a write that no open `atomic` covers gives a warning, at the line of the user's that made it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from peewee_multidb import UncoveredWrite, atomic, databases, use_db
from tests.drivers.test_fork import in_child
from tests.engines import MODELS, Lite, Post


@contextlib.contextmanager
def seen() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def here() -> int:
    """The line number of the caller."""
    frame = inspect.currentframe()
    assert frame is not None and frame.f_back is not None
    return frame.f_back.f_lineno


def test_rule_8_a_write_to_another_database_gives_a_warning_and_stays(two: None) -> None:
    with seen() as caught:
        with pytest.raises(ZeroDivisionError):
            with atomic("lite"):
                Lite.create(n=1)
                Post.create(n=1)
                _ = 1 / 0
    assert [warning.category for warning in caught] == [UncoveredWrite]
    message = str(caught[0].message)
    assert message.startswith(
        "INSERT on Post goes to 'post', which the open atomic block does not cover (it covers 'lite')"
    )
    assert message.endswith("Add 'post' to atomic(...).")
    assert (Lite.select().count(), Post.select().count()) == (0, 1)


def test_covered_writes_reads_and_writes_outside_give_none(two: None) -> None:
    with seen() as caught:
        Post.create(n=1)
        with atomic("lite"):
            Lite.create(n=1)
            assert Post.select().count() == 1
            with atomic("post"):
                Post.create(n=2)
                Lite.create(n=2)  # the outer block covers it
        with databases["post"].atomic():
            Lite.create(n=3)
        Post.create(n=3)
    assert caught == []


def test_a_block_that_is_left_covers_nothing_any_more(two: None) -> None:
    with seen() as caught:
        with atomic("lite"):
            with atomic("post"):
                pass
            Post.create(n=1)
    assert len(caught) == 1


def test_a_scope_moves_a_write_out_of_the_block(two: None) -> None:
    Post.create(n=1)
    with databases["post"].bind_ctx([Lite]):
        Lite.create_table()
    with seen() as caught:
        with atomic(Lite):
            with use_db("post"):
                Lite.create(n=1)
    assert "INSERT on Lite goes to 'post'" in str(caught[0].message)


WRITES: dict[str, Callable[[Any], Any]] = {
    "create": lambda row: Post.create(n=2),
    "save": lambda row: row.save(),
    "new save": lambda row: Post(n=2).save(),
    "insert": lambda row: Post.insert(n=2).execute(),
    "insert_many": lambda row: Post.insert_many([{"n": 2}, {"n": 3}]).execute(),
    "insert_from": lambda row: Post.insert_from(Post.select(Post.n), [Post.n]).execute(),
    "update": lambda row: Post.update(n=2).execute(),
    "delete": lambda row: Post.delete().execute(),
    "raw": lambda row: Post.raw("DELETE FROM post").execute(),
    "bulk_create": lambda row: Post.bulk_create([Post(n=2)]),
    "bulk_update": lambda row: Post.bulk_update([row], [Post.n]),
    "set_by_id": lambda row: Post.set_by_id(row.id, {"n": 2}),
    "delete_by_id": lambda row: Post.delete_by_id(row.id),
    "delete_instance": lambda row: row.delete_instance(),
}


@pytest.mark.parametrize("kind", WRITES)
def test_the_warning_names_the_users_line_whatever_the_method(two: None, kind: str) -> None:
    row = Post.create(n=1)
    row.n = 5
    with seen() as caught:
        with atomic("lite"):
            WRITES[kind](row)
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, WRITES[kind].__code__.co_firstlineno)]


def test_an_error_through_the_filters_stops_the_write(two: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UncoveredWrite)
        with pytest.raises(UncoveredWrite, match="goes to 'post'"):
            with atomic("lite"):
                Lite.create(n=1)
                Post.create(n=1)
    assert (Lite.select().count(), Post.select().count()) == (0, 0)


def test_the_default_filter_shows_each_line_once(two: None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        with atomic("lite"):
            for n in range(3):
                Post.create(n=n)
            Post.create(n=3)
    assert len(caught) == 2


def test_a_thread_has_a_connection_of_its_own(two: None) -> None:
    """A bare thread knows of no block; one that was given the context is told that it is not covered."""

    def write() -> None:
        try:
            Lite.create(n=1)
        finally:
            databases.close()

    # On another database than the block's, which SQLite has locked once it is written to.
    with seen() as caught, ThreadPoolExecutor(1) as pool:
        with atomic("lite"):
            pool.submit(write).result(30)
            assert caught == []
            pool.submit(copy_context().run, write).result(30)
            assert len(caught) == 1
    assert Lite.select().count() == 2


def test_the_blocks_of_two_threads_do_not_meet(two: None) -> None:
    met = threading.Barrier(2)

    def write(mine: Any, name: str) -> None:
        with atomic(name):
            met.wait(30)
            mine.create(n=1)
            met.wait(30)
        databases.close()

    with seen() as caught, ThreadPoolExecutor(2) as pool:
        for thread in [pool.submit(write, Lite, "lite"), pool.submit(write, Post, "post")]:
            thread.result(30)
    assert caught == []


def test_a_child_task_has_a_connection_of_its_own(three_async: None) -> None:
    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        with seen() as caught:
            with contextlib.suppress(ZeroDivisionError):
                async with atomic("post"):
                    await Post.acreate(n=1)
                    await asyncio.create_task(Post.acreate(n=2))
                    _ = 1 / 0
        assert len(caught) == 1
        assert "INSERT on Post goes to 'post'" in str(caught[0].message)
        assert [row.n for row in await databases["post"].list(Post.select())] == [2]
        await databases.aclose_all()

    asyncio.run(main())


def test_the_warning_names_the_users_line_in_a_coroutine_too(three_async: None) -> None:
    """Peewee runs in a greenlet there, whose stack begins inside the bridge."""

    async def main() -> None:
        for model in MODELS:
            await model._meta.database.acreate_tables([model])
        with seen() as caught:
            async with atomic("lite"):
                line = here()
                await Post.acreate(n=1)
                await Post.insert(n=2).aexecute()
                row = await Post.aget(Post.n == 1)
                await row.adelete_instance()
                await databases["post"].run(lambda: Post.create(n=3))
        assert [(w.filename, w.lineno - line) for w in caught] == [(__file__, n) for n in (1, 2, 4, 5)]
        await databases.aclose_all()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_not_covered(two: None) -> None:
    def child() -> list[str]:
        with seen() as caught:
            Post.create(n=1)
        return [str(warning.message) for warning in caught]

    with atomic("lite", "post"):
        messages = in_child(child)
    assert len(messages) == 1 and "INSERT on Post goes to 'post'" in messages[0]
    assert Post.select().count() == 1
