"""Scopes and threads: a thread starts outside every scope, and what it enters is its own."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from peewee_multidb import current_db, propagate, use_db
from tests.world import World

Here = Callable[[], "str | None"]


@pytest.fixture
def here(world: World) -> Here:
    """Say where a plain model resolves to at this moment."""
    return functools.partial(current_db, world.Plain)


def test_rule_4_a_bare_thread_inherits_nothing(here: Here) -> None:
    seen: list[Any] = []
    with use_db("b"):
        thread = threading.Thread(target=lambda: seen.append(here()))
        thread.start()
        thread.join()
        bound = threading.Thread(target=propagate(lambda: seen.append(here())))
        bound.start()
        bound.join()
    assert seen == ["default", "b"]


def test_rule_4_the_threads_of_a_pool_inherit_nothing_and_keep_nothing(here: Here) -> None:
    with ThreadPoolExecutor(1) as pool:
        with use_db("b"):
            assert pool.submit(here).result() == "default"
            assert pool.submit(propagate(here)).result() == "b"
            assert list(pool.map(propagate(lambda _: here()), range(3))) == ["b"] * 3
        # The same thread again, after the bound call.
        assert pool.submit(here).result() == "default"


def test_rule_4_one_object_entered_in_many_threads_at_once(here: Here) -> None:
    shared, threads = use_db("b"), 8
    barrier = threading.Barrier(threads)

    def work(number: int) -> Any:
        barrier.wait()
        seen = []
        with use_db("a"):
            for _ in range(200):
                with shared:
                    seen.append(here())
                    if number % 2:
                        with use_db("c"), shared:
                            seen.append(here())
                seen.append(here())
        return set(seen), here()

    with ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(work, range(threads))) == [({"a", "b"}, "default")] * threads


def test_rule_4_scopes_held_open_in_many_threads_are_each_threads_own(here: Here) -> None:
    names = ("a", "b", "c", "archive")
    inside, checked = threading.Barrier(len(names)), threading.Barrier(len(names))

    def work(name: str) -> Any:
        with use_db(name):
            inside.wait()
            found = here()
            checked.wait()
        return found

    with ThreadPoolExecutor(len(names)) as pool:
        assert list(pool.map(work, names)) == list(names)
