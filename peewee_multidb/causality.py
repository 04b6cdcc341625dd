"""What a thread or task has written and seen, so that a replica that lacks it is not asked.

A `Unit` is a unit of work: a request, a job, or else the whole life of a thread or task. It keeps, for each
database, a mark of the last write and the position of the primary's log that covers it. The mark is made
with the write and costs no round trip; the position is asked for by the first read that needs it.

Where the driver is told the position together with the answer to the write, it need not even be asked for.

Whoever asks holds no lock meanwhile: he notes for which mark the position is, so a write that comes in
between is noticed, and a lost race costs one more question at the most.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import statements
from .drivers import traits_of
from .drivers.replication import Position

if TYPE_CHECKING:
    from .entry import Entry

__all__ = [
    "Seen",
    "Unit",
    "current_unit",
    "note_write",
    "own_unit",
    "replace_unit",
    "unit_of_work",
    "write_hook",
]

#: More databases than this in one unit, and those that left their registry are forgotten.
MANY = 64


class Seen:
    """What one unit of work has written to, or knows of, one database.

    Attributes:
        mark: replaced by each write; None before the first one.
        position: the mark that it belongs to, and a position that covers that write.
        floor: a position that a token brought, with the identity of the cluster that it is of.
        at: the moment of the last write, by `time.monotonic`; None before the first one.
    """

    __slots__ = ("_entry", "_lock", "at", "floor", "mark", "position")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._lock = threading.Lock()
        self.mark: object | None = None
        self.position: tuple[object | None, Position | None] = (None, None)
        self.floor: tuple[str | None, Position] | None = None
        self.at: float | None = None

    def write(self) -> None:
        """Note a write that is done, or one in a transaction that is committed."""
        database: Any = self._entry.database
        replication = traits_of(database).replication
        told = None
        if replication is not None and not database.in_transaction():
            told = replication.told(database)
        mark = object()
        with self._lock:
            self.at = time.monotonic()
            known, earlier = self.position
            if told is not None and known is self.mark:
                # The connection was told of its own writes; those of others count if they were known.
                self.position = (mark, told if earlier is None else told.joined(earlier))
            self.mark = mark


    def succeed(self, other: Seen) -> None:
        """Take over that there was a write, but not its position, which may be of other servers."""
        with self._lock:
            if other.mark is not None:
                self.mark = object()
            if other.at is not None:
                self.at = other.at if self.at is None else max(self.at, other.at)
            if self.floor is None:
                self.floor = other.floor


class Unit:
    """A unit of work.

    Attributes:
        seen: what it has written to each database, by its `Entry`.
        pins: the replica that it reads from, by the `Entry`; None when each read may go to another one.
        outer: the unit around it.
        is_over: its block was left.
    """

    __slots__ = ("is_over", "outer", "pins", "seen")

    def __init__(
        self, seen: dict[Entry, Seen], pins: dict[Entry, Any] | None, outer: Unit | None = None
    ) -> None:
        self.seen = seen
        self.pins = pins
        self.outer = outer
        self.is_over = False

    def of(self, entry: Entry) -> Seen:
        """Return what is known of a database, made on the first call."""
        seen = self.seen.get(entry)
        if seen is None:
            if len(self.seen) >= MANY:
                for one in [one for one in self.seen if one.removed]:
                    self.seen.pop(one, None)
            seen = self.seen.setdefault(entry, Seen(entry))
        return seen

    def found(self, entry: Entry) -> Seen | None:
        """Return what is known of a database, or None; what was written under its name before counts too.

        The name may have been removed and configured anew meanwhile, with the same servers or with others:
        then the primary that it has now is asked how far its log has come.
        """
        seen = self.seen.get(entry)
        if seen is None and self.seen:
            for before in [one for one in self.seen if one.removed and one.name == entry.name]:
                gone = self.seen.pop(before, None)
                if gone is not None:
                    seen = self.of(entry)
                    seen.succeed(gone)
        return seen


_unit: ContextVar[Unit | None] = ContextVar("peewee_multidb_unit", default=None)

#: Return the unit of work of this thread or task, or None when it has neither written nor begun one.
current_unit: Callable[[], Unit | None] = _unit.get


def own_unit() -> Unit:
    """Return the unit of work of this thread or task, made if there is none."""
    unit = _unit.get()
    if unit is None:
        unit = Unit({}, None)
        _unit.set(unit)
    return unit


def replace_unit(unit: Unit | None) -> Unit | None:
    """Make this thread or task go on with another unit of work, and return the one it had."""
    before = _unit.get()
    _unit.set(unit)
    return before


class unit_of_work:
    """Run a block as one unit of work: a request, or a job.

    Inside, each database is read from one replica, so that two pages of one answer agree. Tasks that are
    started inside belong to the block and see each other's writes. A block inside another one, or in a
    thread or task that has written before, goes on with what that has seen; otherwise what the block has
    seen ends with it, so that a thread which serves one request after the other starts each afresh. To
    take it along, carry a `causal_token`.

    Works as a context manager, in coroutines too, since nothing is awaited.
    """

    __slots__ = ("_entered",)

    def __init__(self) -> None:
        self._entered: list[Unit] = []

    def __enter__(self) -> None:
        outer = _unit.get()
        unit = Unit({} if outer is None else outer.seen, {}, outer)
        self._entered.append(unit)
        _unit.set(unit)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered.pop().is_over = True
        # Here another unit may be under way: of a block that crosses this one, or of the thread that
        # happens to close a generator.
        unit = _unit.get()
        while unit is not None and unit.is_over:
            unit = unit.outer
        _unit.set(unit)


def note_write(entry: Entry) -> None:
    """Note that this thread or task has written to a database, now and when its transaction commits.

    A position that is taken while the transaction is open does not cover its commit.
    """
    seen = own_unit().of(entry)
    seen.write()
    database: Any = entry.database
    if database.in_transaction():
        callbacks = database._state.commit_callbacks
        if seen.write not in callbacks:
            callbacks.append(seen.write)


def write_hook(entry: Entry) -> Callable[[Any], None]:
    """Return a query hook for the primary of a database: it notes each write, whoever sends it."""

    def hook(event: Any) -> None:
        if statements.may_write(event.sql):
            note_write(entry)

    return hook
