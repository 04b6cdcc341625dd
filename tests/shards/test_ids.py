"""Ids made here: unique over workers, threads and processes, and growing whatever the clock does."""

from __future__ import annotations

import copy
import datetime
import multiprocessing
import os
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import (
    ClockWentBackwards,
    ConfigurationError,
    Databases,
    Model,
    Snowflake,
    SnowflakeField,
    UUID7Field,
    uuid7,
)
from peewee_multidb.shards import ids

UTC = datetime.timezone.utc
START = ids.EPOCH + 5_000_000


class Clock:
    """A clock that tells what it is told, one moment after the other, and the last one from then on."""

    def __init__(self, *moments: int) -> None:
        self.moments = list(moments)

    def __call__(self) -> int:
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


def test_an_id_is_its_time_its_worker_and_its_number() -> None:
    make = Snowflake(worker=513, clock=Clock(START))
    first, second = make(), make()
    assert first == 5_000_000 << 22 | 513 << 12
    assert second == first + 1
    moment = datetime.datetime(2020, 1, 1, 1, 23, 20, tzinfo=UTC)
    assert Snowflake.parts(second) == (moment, 513, 1)
    assert Snowflake.first_of(moment) == first - (513 << 12)
    assert Snowflake.first_of(moment.replace(tzinfo=None)) == Snowflake.first_of(moment)
    assert 0 < second < 1 << 63


def test_a_full_millisecond_waits_for_the_next() -> None:
    clock = Clock(START)
    make = Snowflake(worker=0, clock=clock)
    made = [make() for _ in range(ids.PER_MILLISECOND)]
    clock.moments = [START, START, START + 1]
    made.append(make())
    assert made == sorted(set(made))
    assert Snowflake.parts(made[-1])[2] == 0


def test_a_clock_that_goes_back_a_little_is_waited_for() -> None:
    clock = Clock(START, START - 3, START - 2, START)
    make = Snowflake(worker=0, clock=clock, patience=5)
    assert make() + 1 == make()


def test_a_clock_that_goes_back_is_refused_until_it_has_caught_up() -> None:
    clock = Clock(START)
    make = Snowflake(worker=7, clock=clock, patience=5)
    before = make()
    clock.moments = [START - 6]
    for _ in range(2):
        with pytest.raises(ClockWentBackwards, match="6 ms behind the last id of worker 7"):
            make()
    clock.moments = [START]
    assert make() == before + 1


@pytest.mark.parametrize("moment", [ids.EPOCH - 1, 0, ids.EPOCH + (1 << 41)])
def test_a_clock_outside_of_the_time_that_ids_have_is_refused(moment: int) -> None:
    with pytest.raises(ClockWentBackwards, match="from 2020 to 2089"):
        Snowflake(worker=0, clock=Clock(moment))()
    outside = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=moment)
    with pytest.raises(ValueError, match="No id is of"):
        Snowflake.first_of(outside)


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, ids.WORKERS - 1))
def test_ids_grow_whatever_the_clock_does_forwards(steps: list[int], worker: int) -> None:
    moments = [START]
    for step in steps:
        moments.append(moments[-1] + step)
    make = Snowflake(worker=worker, clock=Clock(*moments))
    made = [make() for _ in moments]
    assert made == sorted(set(made))
    assert {Snowflake.parts(number)[1] for number in made} == {worker}


def test_threads_never_share_an_id() -> None:
    make = Snowflake(worker=1)
    made: list[list[int]] = [[] for _ in range(8)]

    def work(mine: list[int]) -> None:
        mine.extend(make() for _ in range(2_000))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({number for mine in made for number in mine}) == 16_000


@pytest.mark.parametrize("worker", [-1, 1024, True, "5", 1.0])
def test_a_worker_is_a_number_of_ten_bits(worker: Any) -> None:
    with pytest.raises(ConfigurationError, match="a worker is a number from 0 to 1023"):
        Snowflake(worker=worker)
    with pytest.raises(ConfigurationError):
        Snowflake(worker=1).worker = worker


@pytest.mark.parametrize("patience", [-1, 1.5, True])
def test_patience_is_in_whole_milliseconds(patience: Any) -> None:
    with pytest.raises(ConfigurationError, match="it takes milliseconds"):
        Snowflake(worker=1, patience=patience)


def test_the_worker_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIDB_WORKER", "77")
    make = Snowflake()
    assert Snowflake.parts(make())[1] == make.worker == 77
    for wrong in ("", "x", "-1", "1.5"):
        monkeypatch.setenv("MULTIDB_WORKER", wrong)
        with pytest.raises(ConfigurationError, match="MULTIDB_WORKER, which is"):
            Snowflake()()
    monkeypatch.setenv("MULTIDB_WORKER", "1024")
    with pytest.raises(ConfigurationError, match="MULTIDB_WORKER is 1024"):
        Snowflake()()
    monkeypatch.delenv("MULTIDB_WORKER")
    with pytest.raises(ConfigurationError, match="which is None"):
        Snowflake()()


def in_child(work: Any) -> Any:
    """What a forked child makes of something."""
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=lambda: answers.put(work()))
    child.start()
    answer = answers.get(timeout=60)
    child.join()
    return answer


def test_a_forked_child_must_have_a_number_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    make = Snowflake(worker=5)
    make()

    def refused() -> str:
        try:
            return str(make())
        except ConfigurationError as error:
            return str(error)

    assert "makes ids as worker 5 too" in in_child(refused)

    def renumbered() -> int:
        make.worker = 6
        return Snowflake.parts(make())[1]

    assert in_child(renumbered) == 6
    monkeypatch.setenv("MULTIDB_WORKER", "8")
    shared = Snowflake()
    shared()

    def same() -> str:
        try:
            return str(shared())
        except ConfigurationError as error:
            return str(error)

    assert "as worker 8 too" in in_child(same)

    def other() -> int:
        os.environ["MULTIDB_WORKER"] = "9"
        return Snowflake.parts(shared())[1]

    assert in_child(other) == 9
    assert shared.worker == 8


def test_a_copy_of_a_generator_is_the_generator() -> None:
    make = Snowflake(worker=5)
    assert copy.copy(make) is copy.deepcopy(make) is make
    assert repr(make) == "Snowflake(worker=5)"


# Fields


def test_fields_make_the_key_of_a_new_row() -> None:
    own = Databases({"default": "sqlite:///:memory:"})
    make = Snowflake(worker=3)

    class Base(Model):
        id = SnowflakeField(make)

        class Meta:
            registry = own

    class Event(Base):
        other = UUID7Field(primary_key=False)

    Event.create_table()
    rows = [Event.create() for _ in range(5)]
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert [row.other for row in rows] == sorted(row.other for row in rows)
    assert Event._meta.primary_key.generator is make
    assert not Event._meta.auto_increment
    loaded = Event.get_by_id(rows[2].id)
    assert (type(loaded.id), loaded.other.version) == (int, 7)
    Event.insert_many([{}, {}][:1]).execute()
    assert Event.select().count() == 6
    own.close_all()


def test_without_a_generator_all_fields_share_one() -> None:
    assert SnowflakeField().generator is SnowflakeField(primary_key=False).generator


# UUIDs


def test_a_uuid_is_of_version_7_and_of_now() -> None:
    made = uuid7()
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    milliseconds = made.int >> 80
    assert abs(milliseconds - ids._now()) < 60_000


def test_uuids_grow_also_within_a_millisecond_and_when_the_clock_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make = ids._Uuid7()
    clock = Clock(START)
    monkeypatch.setattr(ids, "_now", clock)
    made = [make() for _ in range(9_000)]
    clock.moments = [START - 1_000]
    made += [make() for _ in range(10)]
    clock.moments = [START + 1_000]
    made += [make() for _ in range(10)]
    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}


def test_threads_never_share_a_uuid() -> None:
    made: list[list[uuid.UUID]] = [[] for _ in range(6)]

    def work(mine: list[uuid.UUID]) -> None:
        mine.extend(uuid7() for _ in range(1_500))

    threads = [threading.Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({one for mine in made for one in mine}) == 9_000
