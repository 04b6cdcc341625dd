"""Ids that no two shards give twice: made here and not by a database, and ordered by time.

`SnowflakeField` makes numbers of 63 bits: 41 for the milliseconds since the first moment of 2020 in UTC
(enough until September 2089), 10 for the worker, 12 for a number within the millisecond. `UUID7Field` makes
UUIDs of version 7 (RFC 9562, section 5.7, with its method 1 of section 6.2: a counter in the 12 bits after
the time). Both grow from one id to the next of a process, and neither goes back when the clock does.
"""

from __future__ import annotations

import datetime
import os
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import peewee

from ..errors import ClockWentBackwards, ConfigurationError

__all__ = ["Snowflake", "SnowflakeField", "UUID7Field", "uuid7"]

#: The first moment of Snowflake ids: 2020-01-01 00:00 UTC, in milliseconds of Unix time.
EPOCH = 1_577_836_800_000

WORKER_BITS = 10
SEQUENCE_BITS = 12
TIME_BITS = 41
WORKERS = 1 << WORKER_BITS
PER_MILLISECOND = 1 << SEQUENCE_BITS

#: Where the number of the worker is read from when nothing else says it.
VARIABLE = "MULTIDB_WORKER"


def _now() -> int:
    return time.time_ns() // 1_000_000


class Snowflake:
    """A generator of 64-bit ids.

    Args:
        worker: a number from 0 to 1023 that no other generator has at the same time, on any machine. When
            None it is read from the environment variable ``MULTIDB_WORKER`` as the first id is made.
        patience: milliseconds that the clock may have gone back; so long the next id waits. Beyond that it
            is refused.
        clock: returns the milliseconds of Unix time; for tests.

    One generator serves any number of threads. A process that was forked from one that has made ids is
    another process with the same worker number: give it one of its own.

    Raises:
        ConfigurationError: a worker or a patience that is none.
    """

    def __init__(
        self, worker: int | None = None, *, patience: int = 10, clock: Callable[[], int] = _now
    ) -> None:
        if worker is not None:
            _require_worker(worker, "Snowflake(worker)")
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 0:
            raise ConfigurationError(f"Snowflake(patience={patience!r}): it takes milliseconds, 0 or more.")
        self._worker = worker
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._last = -1
        self._sequence = 0
        self._process = os.getpid()
        self._is_told = worker is not None
        self._seen = os.environ.get(VARIABLE)

    @property
    def worker(self) -> int:
        """The number of the worker.

        Raises:
            ConfigurationError: nothing says it.
        """
        if self._worker is None:
            text = self._seen = os.environ.get(VARIABLE)
            if text is None or not text.isdecimal():
                raise ConfigurationError(
                    f"Ids need the number of this worker, from 0 to {WORKERS - 1} and of no other process: "
                    f"Snowflake(worker=...), or the environment variable {VARIABLE}, which is {text!r}."
                )
            self._worker = _require_worker(int(text), VARIABLE)
        return self._worker

    @worker.setter
    def worker(self, number: int) -> None:
        with self._lock:
            self._worker = _require_worker(number, "Snowflake.worker")
            self._process, self._is_told = os.getpid(), True

    def __call__(self) -> int:
        """Return the next id.

        Raises:
            ClockWentBackwards: further than is waited for.
            ConfigurationError: nothing says which worker this is; or the process was forked, and has the
                same number as the one that it was forked from.
        """
        with self._lock:
            if self._process != os.getpid():
                self._after_fork()
            worker = self.worker
            now = self._clock()
            if now < self._last:
                if self._last - now > self._patience:
                    raise ClockWentBackwards(
                        f"The clock is {self._last - now} ms behind the last id of worker {worker}, and an "
                        "id made now could be one that was given already. Wait, or mend the clock."
                    )
                now = self._wait(self._last)
            if now == self._last:
                self._sequence += 1
                if self._sequence == PER_MILLISECOND:
                    now = self._wait(self._last + 1)
            if now != self._last:
                self._last, self._sequence = now, 0
            since = now - EPOCH
            if not 0 <= since < 1 << TIME_BITS:
                raise ClockWentBackwards(
                    f"The clock says {moment_text(now)}; ids can be made from 2020 to 2089. Mend the clock."
                )
            return since << (WORKER_BITS + SEQUENCE_BITS) | worker << SEQUENCE_BITS | self._sequence

    def _after_fork(self) -> None:
        """Take the number that this process was given, if it is another than that of its parent."""
        if self._is_told or os.environ.get(VARIABLE) == self._seen:
            number = self._worker if self._is_told else self._seen
            raise ConfigurationError(
                f"This process was forked from another one, which makes ids as worker {number} too. Give it "
                f"a number of its own after the fork: generator.worker = ..., or {VARIABLE}."
            )
        self._worker, self._process = None, os.getpid()

    def _wait(self, moment: int) -> int:
        while (now := self._clock()) < moment:
            time.sleep(0.0005)
        return now

    def __deepcopy__(self, memo: Any) -> Snowflake:
        # The copy of a field in a derived model: two generators of one worker could give one id.
        return self

    def __copy__(self) -> Snowflake:
        return self

    @staticmethod
    def parts(number: int) -> tuple[datetime.datetime, int, int]:
        """Return the moment of an id, in UTC, its worker and its number within the millisecond.

        Args:
            number: the id.
        """
        milliseconds = (number >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH
        worker = number >> SEQUENCE_BITS & (WORKERS - 1)
        return _moment(milliseconds), worker, number & (PER_MILLISECOND - 1)

    @staticmethod
    def first_of(moment: datetime.datetime) -> int:
        """Return the smallest id that could be made at a moment, for ranges of time.

        Args:
            moment: naive ones are in UTC.

        Raises:
            ValueError: no id can be of that moment.
        """
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.timezone.utc)
        since = moment - _moment(EPOCH)
        number = since // datetime.timedelta(milliseconds=1)
        if not 0 <= number < 1 << TIME_BITS:
            raise ValueError(f"No id is of {moment}; there are ids from 2020 to 2089.")
        return number << (WORKER_BITS + SEQUENCE_BITS)

    def __repr__(self) -> str:
        return f"Snowflake(worker={self._worker!r})"


def _require_worker(number: Any, owner: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < WORKERS:
        raise ConfigurationError(f"{owner} is {number!r}; a worker is a number from 0 to {WORKERS - 1}.")
    return number


def _moment(milliseconds: int) -> datetime.datetime:
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return start + datetime.timedelta(milliseconds=milliseconds)


def moment_text(milliseconds: int) -> str:
    """Return a moment of Unix time for a message."""
    try:
        return _moment(milliseconds).isoformat(timespec="milliseconds")
    except OverflowError:
        return f"{milliseconds} ms after 1970"


class SnowflakeField(peewee.BigIntegerField):
    """A primary key, or any other 64-bit field, whose values are made by a `Snowflake`.

    Args:
        generator: makes the ids; one for the whole process, with the worker of ``MULTIDB_WORKER``, when None.
        kwargs: what any field takes; a `primary_key` unless said otherwise.
    """

    def __init__(self, generator: Snowflake | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("primary_key", True)
        self.generator = _shared if generator is None else generator
        kwargs.setdefault("default", self.generator)
        super().__init__(**kwargs)


#: The generator of every SnowflakeField that is given none: ids of one process never meet.
_shared = Snowflake()


class _Uuid7:
    """Makes UUIDs of version 7 that grow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -1
        self._counter = 0
        self._process = os.getpid()

    def __call__(self) -> uuid.UUID:
        with self._lock:
            now = _now()
            if now > self._last or self._process != os.getpid():
                # A counter that begins in the lower half has room to grow in.
                self._counter = secrets.randbits(11)
                self._last, self._process = max(now, self._last), os.getpid()
            else:
                # Within a millisecond, and while the clock is behind, the counter keeps the order.
                self._counter += 1
                if self._counter >> 12:
                    self._last += 1
                    self._counter = secrets.randbits(11)
            milliseconds, counter = self._last, self._counter
        return uuid.UUID(
            int=milliseconds << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(62)
        )


_make = _Uuid7()


def uuid7() -> uuid.UUID:
    """Return a UUID of version 7, above every other that this process has made."""
    return _make()


class UUID7Field(peewee.UUIDField):
    """A UUID field whose values are made by `uuid7`.

    Args:
        kwargs: what any field takes; a `primary_key` unless said otherwise.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("primary_key", True)
        kwargs.setdefault("default", uuid7)
        super().__init__(**kwargs)
