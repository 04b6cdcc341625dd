"""One server of a named database, and what this process knows of its health.

The registry makes these objects and `replicas` keeps them up to date; nothing here connects by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import peewee

from .drivers import traits_of
from .drivers.replication import Position, ServerState

__all__ = ["Server", "ServerEvent", "ServerStatus"]

R = TypeVar("R")


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


@dataclass(frozen=True)
class ServerStatus:
    """A server as `Databases.status` found it.

    Attributes:
        name: the database name.
        server: the server's URL, without its password.
        role: ``"primary"`` or ``"replica"``, as configured.
        reachable: it answered just now.
        writable: it takes writes; None when it cannot be told.
        lag: seconds that it is behind, infinite when replication has stopped; None when it cannot be told.
        lag_bytes: bytes of the log that it is behind, on PostgreSQL; None elsewhere.
        position: how far its log has come, in the form that the server writes; None without positions.
        in_use: queries of this process that are running on it.
        ejected_until: seconds since the epoch until which it gets no reads after a connection error.
        problem: why it gets no reads, or why it did not answer; None when all is well.
    """

    name: str
    server: str
    role: str
    reachable: bool
    writable: bool | None
    lag: float | None
    lag_bytes: int | None
    position: str | None
    in_use: int
    ejected_until: float | None
    problem: str | None


class Server:
    """The primary of a named database, or one of its replicas.

    Attributes:
        name: the name of the database.
        label: the server's URL, without its password.
        role: ``"primary"`` or ``"replica"``.
        database: the Database object; a mirror has its primary's.
        weight: its share of the reads under the policy ``"weighted"``.
        zone: where it stands.
        in_use: queries of this process that are running on it.
        reached: the furthest position that it is known to have replayed.
        lag: seconds that it was behind when it was looked at last; None when that cannot be told.
        problem: why it gets no reads; None while it does.
        resting_until: the moment, by `time.monotonic`, at which an ejected server is tried again.
        checked: the moment, by `time.monotonic`, at which it was looked at last; None before the first time.
        generation: how often it was ejected: older connections are dead.
    """

    __slots__ = (
        "checked",
        "database",
        "generation",
        "in_use",
        "label",
        "lag",
        "lock",
        "name",
        "problem",
        "reached",
        "resting_until",
        "role",
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
        self.in_use = 0
        self.reached: Position | None = None
        self.lag: float | None = None
        self.problem: str | None = None
        self.resting_until: float | None = None
        self.checked: float | None = None
        self.generation = 0

    def run(self, action: Callable[[Any], R]) -> R:
        """Call `action` with the Database object, counted as a query in flight."""
        lock = self.lock
        with lock:
            self.in_use += 1
        try:
            return action(self.database)
        finally:
            with lock:
                self.in_use -= 1

    def look(self) -> ServerState | None:
        """Ask the server what it is, on this thread's or task's connection; None if its engine cannot tell.

        Raises:
            peewee.DatabaseError: it does not answer.
        """
        replication = traits_of(self.database).replication
        if replication is None:
            self.database.execute_sql(traits_of(self.database).probe)
            return None
        return replication.state(self.database)

    def has_reached(self, position: Any) -> bool:
        """Whether the server is known to have replayed a position."""
        return self.reached is not None and self.reached.covers(position)

    def reach(self, position: Position) -> None:
        """Remember that the server has replayed a position."""
        if self.reached is None or position.covers(self.reached):
            self.reached = position

    @property
    def ejected_until(self) -> float | None:
        """When an ejected server is tried again, in seconds since the epoch; None if it is not ejected."""
        if self.resting_until is None:
            return None
        return time.time() + self.resting_until - time.monotonic()

    def __repr__(self) -> str:
        return f"<{self.role} of {self.name!r}: {self.label}>"
