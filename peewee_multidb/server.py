"""One server of a named database, and what this process knows of its health.

The registry makes these objects and `replicas` keeps them up to date; nothing here connects by itself.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import peewee

from .drivers import connections, traits_of
from .drivers.replication import Position, ServerState
from .drivers.watching import housekeeping

__all__ = ["Server", "ServerEvent", "mirror"]

R = TypeVar("R")

_mirror: ContextVar[Server | None] = ContextVar("peewee_multidb_mirror", default=None)

#: Return the mirror in whose place a primary is reading in this thread or task, or None.
mirror: Callable[[], Server | None] = _mirror.get


@dataclass(frozen=True)
class ServerEvent:
    """Something that happened to a server; handed to the hooks of a registry.

    Attributes:
        name: the database name.
        server: the server's URL, without its password.
        reason: a sentence.
        until: seconds since the epoch at which an ejected replica is tried again; None otherwise.
    """

    name: str
    server: str
    reason: str
    until: float | None = None


class Server:
    """The primary of a named database, or one of its replicas.

    Attributes:
        name: the name of the database.
        label: the server's URL, without its password.
        role: ``"primary"`` or ``"replica"``.
        database: the Database object; a mirror has its primary's.
        weight: its share of the reads under the policy ``"weighted"``.
        zone: where it stands.
        lag: seconds that it was behind when it was looked at last; None when that cannot be told.
        problem: why it gets no reads; None while it does.
        resting_until: the moment, by `time.monotonic`, at which an ejected server is tried again.
        slow_until: the moment, by `time.monotonic`, until which nobody waits for it to catch up; 0 while it
            keeps up.
        checked: the moment, by `time.monotonic`, at which it was looked at last; None before the first time.
        is_probed: somebody is looking at it in the background.
        generation: how often it was ejected: older connections are dead.
        local: of this thread: `generation`, as it was when its connection was opened.
    """

    __slots__ = (
        "_reached",
        "_running",
        "checked",
        "database",
        "generation",
        "is_probed",
        "label",
        "lag",
        "local",
        "lock",
        "name",
        "problem",
        "resting_until",
        "role",
        "slow_until",
        "weight",
        "zone",
    )

    def __init__(
        self,
        name: str,
        role: str,
        database: peewee.Database,
        label: str,
        *,
        weight: float = 1,
        zone: str | None = None,
    ) -> None:
        self.name = name
        self.role = role
        self.database: Any = database
        self.label = label
        self.weight = weight
        self.zone = zone
        self.forget()

    def forget(self) -> None:
        """Know nothing of the server's health, as in the beginning and in a forked child."""
        self.lock = threading.Lock()
        self._running: deque[None] = deque()
        self._reached: tuple[object, Position | None] = (None, None)
        self.lag: float | None = None
        self.problem: str | None = None
        self.resting_until: float | None = None
        self.checked: float | None = None
        self.slow_until = 0.0
        self.is_probed = False
        self.generation = 0
        self.local: Any = threading.local()

    def connect(self) -> None:
        """See to it that this thread or task has a connection that is younger than the last ejection.

        Raises:
            Exception: whatever the driver says when it cannot connect.
        """
        database = self.database
        generation = self.generation
        if not database.is_closed():
            # Before the first ejection every connection is as young as that.
            if not generation or getattr(self.local, "generation", 0) == generation:
                return
            connections.drop(database)
        database.connect()
        self.local.generation = generation

    def run(self, action: Callable[[Any], R]) -> R:
        """Call `action` with the Database object, counted as a query in flight."""
        # Appending and popping need no lock, and the length is known.
        running = self._running
        running.append(None)
        try:
            return action(self.database)
        finally:
            running.pop()

    def run_mirrored(self, action: Callable[[Any], R]) -> R:
        """The same on a mirror, which has its primary's Database object: `mirror` tells meanwhile."""
        before = _mirror.get()
        _mirror.set(self)
        try:
            return self.run(action)
        finally:
            _mirror.set(before)

    @property
    def in_use(self) -> int:
        """How many queries of this process are running on it."""
        return len(self._running)

    def look(self) -> ServerState | None:
        """Ask the server what it is, on this thread's or task's connection; None if its engine cannot tell.

        Raises:
            peewee.DatabaseError: it does not answer.
        """
        replication = traits_of(self.database).replication
        with housekeeping():
            if replication is None:
                self.database.execute_sql(traits_of(self.database).probe)
                return None
            return replication.state(self.database)

    @property
    def life(self) -> object:
        """What changes when the server may have been restarted: each new connection may be to another life.

        A replica that crashed starts further back than it was, and replays the same once more.
        """
        return getattr(self.database, "opened", None)

    @property
    def reached(self) -> Position | None:
        """The furthest position that it is known to have replayed in this life; None if that is unknown."""
        life, position = self._reached
        return position if life is self.life else None

    def has_reached(self, position: Any) -> bool:
        """Whether the server is known to have replayed a position."""
        reached = self.reached
        return reached is not None and reached.covers(position)

    def reach(self, position: Position, life: object) -> None:
        """Remember that the server has replayed a position.

        Args:
            position: what it said.
            life: its `life` before it was asked.
        """
        reached = self.reached
        if reached is None or position.covers(reached):
            self._reached = (life, position)

    def is_at(self, position: Position, life: object) -> None:
        """Remember where the server is, even if it was further before."""
        self._reached = (life, position)

    @property
    def ejected_until(self) -> float | None:
        """When an ejected server is tried again, in seconds since the epoch; None if it is not ejected."""
        if self.resting_until is None:
            return None
        return time.time() + self.resting_until - time.monotonic()

    def __repr__(self) -> str:
        return f"<{self.role} of {self.name!r}: {self.label}>"
