"""The questions that can be put to a server about replication, whatever its engine.

Each method runs its statements on the connection that the current thread or task has to the given
Database object, so the same code serves synchronous drivers and, inside the bridge of
`playhouse.pwasyncio`, asynchronous ones.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .. import connections
from ..watching import housekeeping

__all__ = ["Position", "Replication", "ServerState", "one_row"]

R = TypeVar("R")

#: Seconds between two looks at a replica that a read waits for: the first, and the longest.
FIRST_PAUSE = 0.0005
LONGEST_PAUSE = 0.004


class Position(Protocol):
    """How far a server's log has come; ``str()`` gives the text that the server itself uses."""

    def covers(self, other: Any) -> bool:
        """Whether a server that is here has everything that a server at the other position has."""
        ...

    def joined(self, other: Any) -> Any:
        """Return the first position that covers both."""
        ...


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server says of itself.

    Attributes:
        replicating: it follows another server.
        writable: it takes writes.
        position: written on a primary, replayed on a replica; None when the engine keeps none.
        lag: seconds that a replica is behind, infinite when it has stopped; None when it cannot be told.
        identity: what all servers of one cluster share, as far as the engine tells.
    """

    replicating: bool
    writable: bool
    position: Position | None
    lag: float | None
    identity: Any


class Replication(ABC):
    """The replication of one engine."""

    @abstractmethod
    def state(self, database: Any) -> ServerState:
        """Return what a server says of itself.

        Raises:
            peewee.DatabaseError: it does not answer, or may not tell.
        """

    @abstractmethod
    def written(self, database: Any) -> Position | None:
        """Return a position of a primary that covers all that is committed by now; one round trip.

        None when the server keeps no positions, because its log is off for instance.
        """

    def told(self, database: Any) -> Position | None:
        """Return a position that covers what this thread's or task's connection has just committed.

        Without a question to the server: None where its driver was not told along with the answer.
        """
        return None

    @abstractmethod
    def replayed(self, database: Any) -> Position:
        """Return the position that queries on a replica see by now; one round trip."""

    @abstractmethod
    def parse(self, text: str) -> Position:
        """Read a position that ``str()`` wrote.

        Raises:
            ValueError: the text is not a position of this engine.
        """

    @abstractmethod
    def is_replica_of(self, replica: ServerState, primary: ServerState) -> bool:
        """Whether the two are of one cluster, as far as the engine tells.

        Args:
            replica: asked first.
            primary: asked after it, so that it cannot be behind.
        """

    def reads_together(self, database: Any) -> bool:
        """Whether `read_together` can be used on a connection."""
        return False

    def read_together(
        self, database: Any, action: Callable[[Any], R]
    ) -> tuple[Position | None, Callable[[], R]]:
        """Ask a replica for its position and read from it afterwards, both in one round trip.

        Args:
            database: the replica.
            action: called with it; runs one query.

        Returns:
            A position that the rows are not older than, or None when that is not certain; and a function
            that returns what the action did, or raises what it raised: that a table does not exist yet
            means nothing on a replica that is behind.

        Raises:
            peewee.DatabaseError: the replica does not answer.
        """
        raise NotImplementedError

    def wait(self, database: Any, position: Position, seconds: float) -> Position:
        """Wait until a replica has replayed a position, at most so long, and return where it is then."""
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE
        while True:
            replayed = self.replayed(database)
            left = deadline - time.monotonic()
            if left <= 0 or replayed.covers(position):
                return replayed
            connections.pause(database, min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)


def one_row(database: Any, sql: str, *params: Any) -> Any:
    """Run a statement and return its first row, or None."""
    with housekeeping():
        cursor = database.execute_sql(sql, params or None)
    row = cursor.fetchone()
    cursor.close()
    return row
