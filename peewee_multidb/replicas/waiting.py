"""Read your own writes: what a replica must have replayed before it may answer, and the wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..causality import Seen
from ..drivers import traits_of
from ..drivers.replication import Position
from ..entry import Entry
from ..server import Server

__all__ = ["drop_foreign", "is_in_step", "read_together", "required"]

R = TypeVar("R")

logger = logging.getLogger("peewee_multidb")

#: Seconds for which nobody waits again for a replica that did not catch up in time.
SLOW = 0.1

#: Nothing to wait for.
NOTHING: tuple[Position, ...] = ()


def required(entry: Entry, seen: Seen, identity: str | None) -> tuple[Position, ...] | None:
    """Return the positions that a replica must have replayed; None when only the primary will do.

    The first call after a write asks the primary for the position, which takes one round trip.

    Args:
        entry: the database.
        seen: what the unit of work has written there.
        identity: the cluster that the primary is of, as far as it is known.

    Raises:
        peewee.DatabaseError: the primary does not answer.
    """
    replication = traits_of(entry.database).replication if entry.database is not None else None
    if replication is None:
        return _by_time(entry, seen)
    positions: list[Position] = []
    mark = seen.mark
    if mark is not None:
        if seen.position[0] is not mark:
            seen.position = (mark, replication.written(entry.database))
        position = seen.position[1]
        if position is None:
            # A server that keeps no positions, such as MariaDB without a binary log.
            return _by_time(entry, seen)
        positions.append(position)
    elif seen.at is not None and _by_time(entry, seen) is None:
        return None
    if seen.floor is not None:
        cluster, position = seen.floor
        if cluster is not None and identity is not None and cluster != identity:
            _forget_floor(entry, seen)
        else:
            positions.append(position)
    return tuple(positions)


def _by_time(entry: Entry, seen: Seen) -> tuple[Position, ...] | None:
    if seen.at is not None and time.monotonic() - seen.at < entry.settings.replication.window:
        return None
    return NOTHING


def is_in_step(server: Server, positions: tuple[Position, ...], deadline: float) -> bool:
    """Whether a replica has replayed the positions, or does so before the deadline.

    Args:
        server: the replica, to which this thread or task is connected.
        positions: what it must have replayed.
        deadline: by `time.monotonic`; the replica is asked once even when it is over.

    Raises:
        peewee.DatabaseError: it does not answer.
    """
    for position in positions:
        if server.has_reached(position):
            continue
        now = time.monotonic()
        if now < server.slow_until:
            return False
        if server.slow_until > 0:
            # It was slow: one finds out whether it still is, and the others do not wait meanwhile.
            server.slow_until = deadline + SLOW
        replication: Any = traits_of(server.database).replication
        life = server.life
        replayed = replication.wait(server.database, position, max(0.0, deadline - now))
        server.reach(replayed, life)
        if not replayed.covers(position):
            server.slow_until = time.monotonic() + SLOW
            return False
        server.slow_until = 0.0
    return True


def read_together(
    server: Server, positions: tuple[Position, ...], action: Callable[[Any], R]
) -> Callable[[], R] | None:
    """Read from a replica, and ask it in the same round trip whether it had replayed the positions by then.

    Returns:
        A function that returns what was read, or raises what reading raised; None where the replica had
        not replayed them, or where this cannot be done.
    """
    replication = traits_of(server.database).replication
    if replication is None or time.monotonic() < server.slow_until:
        return None
    if not replication.reads_together(server.database):
        return None
    life = server.life
    replayed, finish = server.run(lambda database: replication.read_together(database, action))
    if replayed is None:
        return None
    server.reach(replayed, life)
    if not all(map(replayed.covers, positions)):
        return None
    server.slow_until = 0.0
    return finish


def drop_foreign(entry: Entry, seen: Seen) -> None:
    """Forget the position of a token that no replica has, if the primary does not have it either.

    It is of another cluster then, or of a primary that was lost with its last writes.
    """
    replication: Any = traits_of(entry.database).replication if entry.database is not None else None
    if replication is None or seen.floor is None:
        return
    written = replication.written(entry.database)
    if written is None or not written.covers(seen.floor[1]):
        _forget_floor(entry, seen)


def _forget_floor(entry: Entry, seen: Seen) -> None:
    seen.floor = None
    logger.warning("ignored the position of a causal token: it is not of the servers of %r", entry.name)
