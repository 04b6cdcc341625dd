"""Scopes as decorators, and `propagate`: every step of a body is inside, and nothing of it is outside."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
from collections.abc import Callable, Generator
from contextvars import copy_context
from typing import Any

import pytest

from peewee_multidb import ConfigurationError, current_db, propagate, use_db, use_shard
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


async def pause() -> None:
    """Let the other tasks run."""
    await asyncio.sleep(0)


def in_thread(function: Callable[[], Any]) -> Any:
    """Return what the function returns in a thread of its own."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


# Functions


def test_a_decorated_function_runs_inside_and_restores(here: Here) -> None:
    @use_db("b")
    def body(value: int, *, other: int = 0) -> tuple[Any, int]:
        """Say where."""
        return here(), value + other

    assert (body.__name__, body.__doc__) == ("body", "Say where.")
    with use_db("a"):
        assert body(1, other=2) == ("b", 3)
        assert here() == "a"


def test_a_decorated_function_restores_after_an_exception_and_recursion(here: Here) -> None:
    @use_db("b")
    def body(depth: int) -> None:
        assert here() == "b"
        if depth:
            body(depth - 1)
        raise LookupError

    with use_db("a"), contextlib.suppress(LookupError):
        body(3)
    assert here() == "default"


def test_a_decorated_method_and_static_method(here: Here) -> None:
    class Report:
        @use_db("b")
        def method(self) -> Any:
            return self, here()

        @classmethod
        @use_db("a")
        def of_class(cls) -> Any:
            return cls, here()

        @staticmethod
        @use_db("c")
        def static() -> Any:
            return here()

    report = Report()
    assert report.method() == (report, "b")
    assert Report.of_class() == (Report, "a")
    assert Report.static() == "c"


def test_the_scope_around_is_the_callers_not_the_decorations(world: World) -> None:
    with use_db("c"):

        @use_db("b", world.Plain)
        def body() -> Any:
            return current_db(world.Plain), current_db(world.InA)

    with use_db("archive"):
        assert body() == ("b", "archive")
    assert body() == ("b", "a")


def test_use_shard_decorates_too(world: World) -> None:
    assert use_shard(world.Sharded, 3)(lambda: current_db(world.Sharded))() == "b"


def test_kinds_of_functions_stay_what_they_are() -> None:
    async def coroutine() -> None: ...

    def generator() -> Any:
        yield

    async def agenerator() -> Any:
        yield

    for wrap in (use_db("a"), propagate):
        assert inspect.iscoroutinefunction(wrap(coroutine))
        assert inspect.isgeneratorfunction(wrap(generator))
        assert inspect.isasyncgenfunction(wrap(agenerator))


@pytest.mark.parametrize("wrong", [3, "f", None, int, World, classmethod(lambda cls: None)])
def test_only_a_function_can_be_decorated(wrong: Any) -> None:
    for wrap in (use_db("a"), propagate):
        with pytest.raises(ConfigurationError, match="a scope decorates a function, not"):
            wrap(wrong)


# Generators


@use_db("b")
def steps(here: Here, log: list[Any]) -> Generator[Any, Any, str]:
    """Say at every step where it runs, what was sent, and how it ends."""
    try:
        while True:
            try:
                log.append(("sent", (yield here()), here()))
            except LookupError:
                log.append(("thrown", here()))
    except GeneratorExit:
        log.append(("closed", here()))
        raise
    finally:
        log.append(("finally", here()))


def test_rule_4_every_step_of_a_generator_is_inside_and_its_caller_is_not(here: Here) -> None:
    log: list[Any] = []
    generator = steps(here, log)
    with use_db("a"):
        assert next(generator) == "b"
        assert here() == "a"
        assert generator.send("x") == "b"
        assert here() == "a"
    with use_db("c"):
        assert generator.throw(LookupError) == "b"
        assert here() == "c"
        generator.close()
        assert here() == "c"
    assert log == [("sent", "x", "b"), ("thrown", "b"), ("closed", "b"), ("finally", "b")]


def test_a_plain_with_around_a_yield_leaks_as_any_context_variable_does(here: Here) -> None:
    # Why the decorator exists; the documentation says so too.
    def leaking() -> Any:
        with use_db("b"):
            yield

    generator = leaking()
    next(generator)
    assert here() == "b"
    generator.close()
    assert here() == "default"


def test_a_generator_returns_raises_and_may_be_delegated_to(here: Here) -> None:
    @use_db("b")
    def inner(fail: bool) -> Any:
        yield here()
        if fail:
            raise LookupError
        return here()

    @use_db("a")
    def outer(fail: bool) -> Any:
        yield here()
        result = yield from inner(fail)
        yield here(), result

    assert list(outer(False)) == ["a", "b", ("a", "b")]
    generator = outer(True)
    assert (next(generator), next(generator)) == ("a", "b")
    with pytest.raises(LookupError):
        next(generator)


def test_what_a_body_enters_lasts_over_its_steps_and_is_not_seen_outside(here: Here) -> None:
    @use_db("b")
    def body() -> Any:
        yield here()
        with use_db("c"):
            yield here()
            yield here()
        yield here()

    generator = body()
    seen = []
    for value in generator:
        seen.append(value)
        assert here() == "default"
    assert seen == ["b", "c", "c", "b"]


def test_interleaved_generators_do_not_see_each_other(here: Here) -> None:
    @use_db("a")
    def one() -> Any:
        with use_db("c"):
            for _ in range(3):
                yield here()

    @use_db("b")
    def two() -> Any:
        for _ in range(3):
            yield here()

    assert list(zip(one(), two(), strict=True)) == [("c", "b")] * 3


def test_rule_4_a_generator_closed_in_another_thread_or_context(here: Here) -> None:
    for run in (in_thread, lambda f: copy_context().run(f)):
        log: list[Any] = []
        generator = steps(here, log)
        next(generator)

        def close(generator: Any = generator) -> Any:
            with use_db("c"):
                generator.close()
                return here()

        assert run(close) == "c"
        assert log == [("closed", "b"), ("finally", "b")]
        assert here() == "default"


def test_rule_4_a_generator_collected_as_garbage(here: Here) -> None:
    log: list[Any] = []
    generator = steps(here, log)
    next(generator)
    with use_db("c"):
        del generator
        gc.collect()
        assert here() == "c"
    assert log == [("closed", "b"), ("finally", "b")]


def test_a_generator_that_was_never_started_runs_nothing(here: Here) -> None:
    log: list[Any] = []
    steps(here, log).close()
    assert log == []


def test_a_context_manager_made_of_a_decorated_generator_keeps_its_scope_to_itself(here: Here) -> None:
    @contextlib.contextmanager
    @use_db("b")
    def manager() -> Any:
        yield here()

    with use_db("a"), manager() as inside:
        assert (inside, here()) == ("b", "a")


# propagate


def test_rule_4_propagate_binds_every_kind_of_function(here: Here) -> None:
    def plain() -> Any:
        return here()

    async def coroutine() -> Any:
        await pause()
        return here()

    def generator() -> Any:
        yield here()
        yield here()

    async def agenerator() -> Any:
        yield here()
        await pause()
        yield here()

    with use_db("b"):
        bound = [propagate(function) for function in (plain, coroutine, generator, agenerator)]

    async def collected() -> Any:
        return [value async for value in bound[3]()]

    with use_db("a"):
        assert bound[0]() == "b"
        assert asyncio.run(bound[1]()) == "b"
        assert list(bound[2]()) == ["b", "b"]
        assert asyncio.run(collected()) == ["b", "b"]
        assert here() == "a"
    assert in_thread(bound[0]) == "b"


def test_propagate_outside_every_scope_means_outside_every_scope(here: Here) -> None:
    bound = propagate(here)
    with use_db("b"):
        assert bound() == "default"
        assert here() == "b"


def test_propagate_takes_methods_partials_and_callable_objects(here: Here) -> None:
    class Callable_:
        def __call__(self) -> Any:
            return here()

        def method(self) -> Any:
            return here()

    with use_db("b"):
        bound = [propagate(f) for f in (Callable_(), Callable_().method, functools.partial(here))]
    assert [function() for function in bound] == ["b"] * 3
