"""Units of work: what belongs to them, how they nest and cross, and where they end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases, unit_of_work
from peewee_multidb.causality import current_unit, note_write, own_unit
from peewee_multidb.entry import Entry


def in_new_context(action: Callable[[], Any]) -> Any:
    return contextvars.Context().run(action)


def in_new_thread(action: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    registry = Databases(
        {"default": {"url": f"sqlite:///{tmp_path}/a.db", "replicas": [f"sqlite:///{tmp_path}/b.db"]}}
    )
    registry["default"]
    yield registry.entries["default"]
    registry.close_all()


def test_a_block_sees_what_the_thread_has_written_and_hands_it_back() -> None:
    def program() -> None:
        outer = own_unit()
        with unit_of_work():
            inner = own_unit()
            assert inner is not outer and inner.seen is outer.seen
            assert inner.pins == {} and outer.pins is None
        assert current_unit() is outer

    in_new_context(program)


def test_what_a_block_in_a_fresh_thread_has_seen_ends_with_it() -> None:
    def program() -> None:
        with unit_of_work():
            assert current_unit() is not None
        assert current_unit() is None

    in_new_context(program)


def test_blocks_that_cross_leave_nothing_behind() -> None:
    def program() -> None:
        first, second = unit_of_work(), unit_of_work()
        first.__enter__()
        second.__enter__()
        inner = current_unit()
        first.__exit__(None, None, None)
        assert current_unit() is inner
        second.__exit__(None, None, None)
        assert current_unit() is None

    in_new_context(program)


def test_an_exception_ends_a_block_too() -> None:
    def program() -> None:
        with pytest.raises(KeyError), unit_of_work():
            raise KeyError
        assert current_unit() is None

    in_new_context(program)


def test_a_block_that_another_thread_leaves_takes_nothing_from_that() -> None:
    def rows() -> Iterator[int]:
        with unit_of_work():
            yield 1

    generator = rows()
    in_new_context(lambda: next(generator))

    def other() -> bool:
        mine = own_unit()
        generator.close()  # type: ignore[attr-defined]
        return current_unit() is mine

    assert in_new_thread(other)


def test_tasks_belong_to_the_unit_that_they_are_started_in() -> None:
    async def main() -> None:
        with unit_of_work():
            unit = current_unit()

            async def task() -> None:
                assert current_unit() is unit

            await asyncio.gather(task(), task())

        async def alone() -> Any:
            return own_unit()

        first, second = await asyncio.gather(alone(), alone())
        assert first is not second
        assert current_unit() is None

    in_new_context(lambda: asyncio.run(main()))


def test_a_write_outside_of_a_transaction_gives_one_mark_and_one_inside_another_at_its_commit(
    entry: Entry,
) -> None:
    def program() -> None:
        seen = own_unit().of(entry)
        assert (seen.mark, seen.at) == (None, None)
        note_write(entry)
        first = seen.mark
        assert first is not None and seen.at is not None
        database: Any = entry.database
        with database.atomic():
            note_write(entry)
            note_write(entry)
            inside = seen.mark
            assert inside is not first
            assert database._state.commit_callbacks == [seen.write]
        assert seen.mark is not inside

    in_new_context(program)


def test_a_rolled_back_transaction_leaves_its_mark_but_no_callback(entry: Entry) -> None:
    def program() -> None:
        database: Any = entry.database
        with database.atomic() as transaction:
            note_write(entry)
            transaction.rollback()
        assert database._state.commit_callbacks == []
        assert own_unit().of(entry).mark is not None

    in_new_context(program)


def test_databases_that_left_their_registry_are_forgotten_when_there_are_many() -> None:
    def program() -> None:
        unit = own_unit()
        registry = Databases({f"db{number}": "sqlite:///:memory:" for number in range(70)})
        entries = list(registry.entries.values())
        for one in entries[:64]:
            unit.of(one)
        for one in entries[:60]:
            registry.remove(one.name)
        unit.of(entries[64])
        assert set(unit.seen) == set(entries[60:65])

    in_new_context(program)
