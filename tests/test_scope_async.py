"""Scopes and concurrency: coroutines, asynchronous generators, tasks, the loop's executors."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import CharField

from peewee_multidb import Databases, Model, current_db, propagate, use_db
from peewee_multidb.scope import current
from tests.world import World


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    """Every test starts and ends outside every scope."""
    assert current() is None
    yield
    assert current() is None


@pytest.fixture
def here(world: World) -> Callable[[], str | None]:
    """Say where a plain model resolves to at this moment."""
    return functools.partial(current_db, world.Plain)


Here = Callable[[], "str | None"]


# Coroutines and asynchronous generators


async def pause() -> None:
    """Let the other tasks run."""
    await asyncio.sleep(0)


@use_db("b")
async def slow(here: Here, log: list[Any]) -> Any:
    """Say where it runs before and after an await, and how it ends."""
    try:
        log.append(here())
        await pause()
        return here()
    finally:
        log.append(("finally", here()))


@use_db("b")
async def asteps(here: Here, log: list[Any]) -> AsyncGenerator[Any, Any]:
    """As `steps`, with an await in each step."""
    try:
        while True:
            try:
                sent = yield here()
                await pause()
                log.append(("sent", sent, here()))
            except LookupError:
                await pause()
                log.append(("thrown", here()))
    finally:
        await pause()
        log.append(("finally", here()))


def test_rule_4_a_coroutine_is_inside_over_its_awaits(here: Here) -> None:
    async def main() -> None:
        with use_db("a"):
            assert await slow(here, []) == "b"
            assert here() == "a"
            tasks = [asyncio.create_task(slow(here, [])) for _ in range(3)]
            with use_db("c"):
                assert await asyncio.gather(*tasks, slow(here, [])) == ["b"] * 4
                assert here() == "c"

    asyncio.run(main())


def test_a_cancelled_coroutine_cleans_up_inside(here: Here) -> None:
    async def main() -> None:
        log: list[Any] = []
        task = asyncio.create_task(slow(here, log))
        await pause()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["b", ("finally", "b")]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["closed", "collected"])
def test_rule_4_a_coroutine_closed_elsewhere_leaves_that_place_alone(here: Here, how: str) -> None:
    log: list[Any] = []
    coroutine = slow(here, log)
    coroutine.send(None)
    with use_db("c"):
        before = current()
        if how == "closed":
            coroutine.close()
        del coroutine
        gc.collect()
        assert current() is before
    assert log == ["b", ("finally", "b")]


def test_a_suspended_coroutine_does_not_show_its_scope(here: Here) -> None:
    coroutine = slow(here, [])
    coroutine.send(None)
    assert here() == "default"
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value == "b"


def test_rule_4_every_step_of_an_asynchronous_generator_is_inside(here: Here) -> None:
    async def main() -> None:
        log: list[Any] = []
        generator = asteps(here, log)
        with use_db("a"):
            assert await anext(generator) == "b"
            assert here() == "a"
            assert await generator.asend("x") == "b"
            assert await generator.athrow(LookupError) == "b"
            assert here() == "a"
        with use_db("c"):
            await generator.aclose()
            assert here() == "c"
        assert log == [("sent", "x", "b"), ("thrown", "b"), ("finally", "b")]

    asyncio.run(main())


def test_rule_4_an_asynchronous_generator_closed_in_another_task(here: Here) -> None:
    async def main() -> None:
        log: list[Any] = []
        generator = asteps(here, log)
        await anext(generator)

        async def close() -> Any:
            with use_db("c"):
                await generator.aclose()
                return here()

        assert await asyncio.create_task(close()) == "c"
        assert here() == "default"
        assert log == [("finally", "b")]

    asyncio.run(main())


def test_rule_4_an_asynchronous_generator_left_to_the_loop(here: Here) -> None:
    log: list[Any] = []

    async def main() -> None:
        async for _ in asteps(here, log):
            break
        gc.collect()
        # The loop closes it in a task of its own.
        while not log:
            await pause()
        assert here() == "default"

    asyncio.run(main())
    assert log == [("finally", "b")]


def test_an_asynchronous_generator_ends_and_fails_as_it_would(here: Here) -> None:
    @use_db("b")
    async def body(fail: bool) -> Any:
        yield here()
        with use_db("c"):
            yield here()
        if fail:
            raise LookupError

    async def main() -> None:
        assert [value async for value in body(False)] == ["b", "c"]
        with pytest.raises(LookupError):
            assert [value async for value in body(True)] == []
        assert here() == "default"

    asyncio.run(main())


# Tasks


def test_rule_4_a_task_inherits_and_keeps_its_own(here: Here) -> None:
    async def child(name: str | None) -> list[Any]:
        seen = [here()]
        if name is not None:
            with use_db(name):
                await pause()
                seen.append(here())
        await pause()
        return [*seen, here()]

    async def main() -> None:
        with use_db("a"):
            tasks = [asyncio.create_task(child(name)) for name in (None, "b", "c")]
        # Left before any of them has run: each has the scope it was made in.
        assert here() == "default"
        assert await asyncio.gather(*tasks) == [["a", "a"], ["a", "b", "a"], ["a", "c", "a"]]
        assert here() == "default"

    asyncio.run(main())


def test_rule_4_blocks_of_concurrent_tasks_cross_freely(here: Here) -> None:
    async def one(name: str, barriers: list[asyncio.Event], mine: int) -> None:
        with use_db(name):
            await barriers[mine].wait()
            assert here() == name
        assert here() == "archive"

    async def main() -> None:
        events = [asyncio.Event() for _ in range(3)]
        with use_db("archive"):
            tasks = [asyncio.create_task(one(n, events, i)) for i, n in enumerate("abc")]
            await pause()
            # Left in an order that is neither that of entering nor its reverse.
            for index in (1, 0, 2):
                events[index].set()
                await tasks[index]

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="TaskGroup came with Python 3.11")
def test_rule_4_a_task_group_inherits_and_a_failing_child_leaves_nothing(here: Here) -> None:
    seen: list[Any] = []

    async def good() -> None:
        seen.append(here())
        with use_db("c"):
            try:
                await asyncio.Event().wait()
            finally:
                seen.append(here())

    async def bad() -> None:
        await pause()
        raise LookupError

    async def main() -> None:
        with use_db("b"):
            with pytest.raises(BaseExceptionGroup):  # noqa: F821
                async with asyncio.TaskGroup() as group:
                    group.create_task(good())
                    group.create_task(bad())
            assert here() == "b"
        assert seen == ["b", "c"]

    asyncio.run(main())


def test_rule_4_a_scope_left_in_another_task_disturbs_neither(here: Here) -> None:
    scope = use_db("b")

    async def leave() -> Any:
        scope.__exit__(None, None, None)
        return here()

    async def main() -> None:
        with use_db("a"):
            scope.__enter__()
            # The child has a copy of this context: the block ends there, and goes on here.
            assert await asyncio.create_task(leave()) == "a"
            assert here() == "b"
            scope.__exit__(None, None, None)
            assert here() == "a"

    asyncio.run(main())


def test_rule_4_to_thread_inherits_and_gives_nothing_back(here: Here) -> None:
    def work() -> Any:
        before = here()
        use_db("c").__enter__()
        return before, here()

    async def main() -> None:
        with use_db("b"):
            assert await asyncio.to_thread(work) == ("b", "c")
            assert here() == "b"

    asyncio.run(main())


def test_rule_4_run_in_executor_inherits_only_what_was_propagated(here: Here) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with use_db("b"):
            assert await loop.run_in_executor(None, here) == "default"
            assert await loop.run_in_executor(None, propagate(here)) == "b"

    asyncio.run(main())


def test_callbacks_of_the_loop_run_in_the_scope_that_asked_for_them(here: Here) -> None:
    @use_db("b")
    async def ask(done: asyncio.Future[Any]) -> None:
        await pause()
        asyncio.get_running_loop().call_soon(lambda: done.set_result(here()))

    async def main() -> None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        await ask(done)
        assert await done == "b"

    asyncio.run(main())


def test_rule_4_the_greenlet_bridge_inherits(tmp_path: Path) -> None:
    from playhouse.pwasyncio import greenlet_spawn

    own = Databases({name: f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in ("default", "b", "c")})

    class Note(Model):
        label = CharField()

        class Meta:
            registry = own

    def inside() -> Any:
        before = current_db(Note)
        with use_db("c"):
            Note.create_table()
            Note.create(label="c")
            return before, current_db(Note), Note.get().label

    @use_db("b")
    async def decorated() -> Any:
        await Note.acreate(label="b")
        await pause()
        return (await Note.aget()).label

    async def main() -> None:
        with use_db("b"):
            assert await greenlet_spawn(inside) == ("b", "c", "c")
            assert current_db(Note) == "b"
            await greenlet_spawn(Note.create_table)
        assert await decorated() == "b"
        assert current_db(Note) == "default"
        await own.aclose_all()

    asyncio.run(main())
