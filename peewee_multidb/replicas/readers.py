"""One read, from the choice of a replica to its rows; and what to do when the replica cannot give them.

A read that failed after it was sent is sent once more, to another server on a new connection. Servers that
cannot even be connected to do not count. A write, or anything in a transaction, never comes here.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any, TypeVar

from .. import causality
from ..causality import Seen
from ..drivers import connections, failures
from ..drivers.replication import Position
from ..entry import Entry
from ..errors import NoReplicaAvailable, ReadOnlyDatabase
from ..registry import Databases
from ..server import Server
from . import waiting
from .health import Health
from .policies import POLICIES, Policy

__all__ = ["Pins", "Readers", "readers_of"]

R = TypeVar("R")

#: The replica that a block or a unit of work keeps, by its database.
Pins = MutableMapping[Entry, Server]


class Readers:
    """The replicas of one database, and the reads that go to them.

    Args:
        registry: whose hooks are told of ejections and the like.
        entry: a database with replicas, opened.
    """

    def __init__(self, registry: Databases, entry: Entry) -> None:
        self._entry = entry
        self._settings = entry.settings.replication
        self.health = Health(registry, entry)
        policy = self._settings.policy
        self.policy: Policy = POLICIES[policy](self._settings.zone) if isinstance(policy, str) else policy
        self._lock = threading.Lock()
        self._fallbacks = 0

    def read(self, action: Callable[[Any], R], pins: Pins | None, model: str, explicit: bool) -> R:
        """Run a read on a replica, or where else it may run.

        Args:
            action: called with the Database object to read from; more than once if a server fails.
            pins: the replica that the block around the read keeps; None for that of the unit of work.
            model: the name of what is read, for messages.
            explicit: whether the program itself asked for a replica.

        Raises:
            NoReplicaAvailable: there is no replica, and the primary is not to answer.
            ReadOnlyDatabase: the replica refused what turned out to be a write, and was asked for.
        """
        unit = causality.current_unit()
        seen = None
        if unit is not None:
            seen = unit.found(self._entry)
            pins = unit.pins if pins is None else pins
        attempt = _Attempt(pins, seen)
        while True:
            server = self._next(attempt)
            if server is None:
                return self._on_primary(action, attempt)
            is_mirror = server.database is self._entry.database
            try:
                if is_mirror:
                    return server.run_mirrored(action)
                if self._is_fit(server, attempt):
                    if not attempt.positions:
                        attempt.is_sent = True
                        return server.run(action)
                    reading = self._reading(server, attempt, action)
                    if reading is not None:
                        return reading()
            except Exception as error:
                if is_mirror or not failures.is_from_server(error) or failures.is_exhausted(error):
                    raise
                if failures.is_read_only(error):
                    return self._refused(action, error, model, explicit)
                if failures.is_standby_limit(error):
                    # Not the replica's fault, and not the query's either: the primary has the rows.
                    attempt.is_behind = True
                    return self._on_primary(action, attempt)
                if attempt.is_connected and not failures.is_disconnect(server.database, error):
                    # The server is there; it is the query that it does not like.
                    raise
                self.health.eject(server, error)
                if attempt.is_sent and attempt.is_repeated:
                    raise
                attempt.is_repeated = attempt.is_repeated or attempt.is_sent
                attempt.is_sent = attempt.is_connected = False
            attempt.passed = (*attempt.passed, server)

    def _next(self, attempt: _Attempt) -> Server | None:
        now = time.monotonic()
        if now >= self.health.due:
            self.health.attend(now)
        ready = self.health.ready
        if attempt.passed:
            ready = tuple(server for server in ready if server not in attempt.passed)
        if not ready:
            return None
        if attempt.seen is not None:
            positions = waiting.required(self._entry, attempt.seen, self.health.identity)
            if positions is None:
                attempt.is_behind = True
                return None
            attempt.positions = positions
        pins = attempt.pins
        if pins is None:
            return self.policy.choose(self._furthest(ready, attempt.positions))
        server = pins.get(self._entry)
        if server is None or server not in ready:
            server = pins[self._entry] = self.policy.choose(self._furthest(ready, attempt.positions))
        return server

    @staticmethod
    def _furthest(ready: tuple[Server, ...], positions: tuple[Position, ...]) -> tuple[Server, ...]:
        """Return the replicas that are known to be far enough; or else those that it makes sense to ask."""
        if not positions:
            return ready
        there = tuple(one for one in ready if all(map(one.has_reached, positions)))
        now = time.monotonic()
        return there or tuple(one for one in ready if now >= one.slow_until) or ready

    def _is_fit(self, server: Server, attempt: _Attempt) -> bool:
        """Connect to a replica, and look whether it may answer this read."""
        if attempt.is_repeated:
            connections.drop(server.database)
        server.connect()
        attempt.is_connected = True
        return self.health.look_if_due(server, time.monotonic())

    def _reading(
        self, server: Server, attempt: _Attempt, action: Callable[[Any], R]
    ) -> Callable[[], R] | None:
        """Return what reads from a replica, if that has or soon gets what this unit of work has seen."""
        positions = attempt.positions
        if not all(map(server.has_reached, positions)):
            if attempt.deadline is None:
                attempt.deadline = time.monotonic() + self._settings.wait_ms / 1000
                attempt.is_sent = True
                reading = waiting.read_together(server, positions, action)
                if reading is not None:
                    return reading
                attempt.is_sent = False
            if not waiting.is_in_step(server, positions, attempt.deadline):
                attempt.is_behind = True
                return None
        attempt.is_sent = True
        return functools.partial(server.run, action)

    def _on_primary(self, action: Callable[[Any], R], attempt: _Attempt) -> R:
        primary = self._entry.primary
        assert primary is not None
        if attempt.is_behind:
            if attempt.seen is not None and attempt.seen.floor is not None:
                waiting.drop_foreign(self._entry, attempt.seen)
            return primary.run(action)
        reason = f"database {self._entry.name!r} has no replica to read from ({self.health.problems()})"
        if self._settings.fallback == "error":
            raise NoReplicaAvailable(
                f"{reason}, and its 'fallback' is 'error': the primary is not asked instead. Try again "
                "later, or read from it on purpose inside use_primary()."
            )
        limit = self._settings.fallback_limit
        with self._lock:
            if limit is not None and self._fallbacks >= limit:
                raise NoReplicaAvailable(
                    f"{reason}, and {limit} reads are on the primary in its place already, which is its "
                    "'fallback_limit'. Try again later."
                )
            self._fallbacks += 1
        try:
            self.health.tell_fallback(reason)
            return primary.run(action)
        finally:
            with self._lock:
                self._fallbacks -= 1

    def _refused(self, action: Callable[[Any], R], error: Exception, model: str, explicit: bool) -> R:
        """Run on the primary what a replica refused as a write, unless it was meant for a replica."""
        if explicit:
            raise ReadOnlyDatabase(
                f"A query on {model} inside use_replica() would write, and a replica of "
                f"{self._entry.name!r} takes no writes ({error}). Leave the block, or use use_primary()."
            ) from error
        primary = self._entry.primary
        assert primary is not None
        try:
            return primary.run(action)
        finally:
            # Its text does not say that it writes, or it would not have come here.
            causality.note_write(self._entry)

    def describe(self, seen: Seen | None) -> list[str]:
        """Return what the choice of a replica depends on now, in sentences; nobody is asked for it."""
        ready = self.health.ready
        every = self._entry.replicas
        new = [one for one in every if one.checked is None and one.problem is None and one not in ready]
        policy = self._settings.policy
        name = policy if isinstance(policy, str) else type(policy).__name__
        sentences = [f"the policy {name} chooses among {len(ready) + len(new)} of {len(every)} replicas"]
        sentences += [f"{one.label} gets no reads: {one.problem}" for one in every if one.problem]
        if seen is not None and (seen.mark is not None or seen.floor is not None or seen.at is not None):
            sentences.append(
                "this unit of work wrote to it or carries a causal token: a replica answers once it has "
                f"replayed that, or after {self._settings.wait_ms:g} ms the primary"
            )
        return sentences


class _Attempt:
    """What is known of one read so far; what most reads never learn stays with the class."""

    positions: tuple[Position, ...] = ()
    #: Until when replicas are waited for; set by the first wait.
    deadline: float | None = None
    #: The replicas that did not do.
    passed: tuple[Server, ...] = ()
    #: There is a connection, so that an error can be one of the query.
    is_connected = False
    #: The query itself is under way, and not only a question to the server.
    is_sent = False
    #: It was sent once in vain.
    is_repeated = False
    #: The primary has to answer because no replica has what this unit of work has seen.
    is_behind = False

    def __init__(self, pins: Pins | None, seen: Seen | None) -> None:
        self.pins = pins
        self.seen = seen


def readers_of(registry: Databases, entry: Entry) -> Readers:
    """Return the readers of a database with replicas, made on the first call."""
    readers = entry.readers
    if readers is None:
        readers = entry.readers = Readers(registry, entry)
    return readers  # type: ignore[no-any-return]
