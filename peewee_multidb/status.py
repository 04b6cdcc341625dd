"""What the servers of a registry say of themselves right now, for people and for monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import peewee

from .drivers import connections
from .drivers.replication import LSN, ServerState
from .entry import Entry
from .errors import NotAsynchronous
from .server import Server

__all__ = ["ServerStatus", "status_of"]


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
        replicating: it follows another server; None when it cannot be told.
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
    replicating: bool | None = None


def status_of(entry: Entry) -> list[ServerStatus]:
    """Ask each server of one database, the primary first.

    Raises:
        NotAsynchronous: the database is asynchronous and this is no coroutine of its bridge.
    """
    found = []
    primary: ServerState | None = None
    for server in entry.servers():
        state, problem = _ask(server)
        if server is entry.primary:
            primary = state
        found.append(_status(server, state, problem, primary))
    return found


def _ask(server: Server) -> tuple[ServerState | None, str | None]:
    database = server.database
    try:
        return server.look(), None
    except (peewee.PeeweeException, OSError) as error:
        # A connection that was open before the server went away is no use any more.
        if not connections.has_transaction(database):
            connections.drop(database)
        return None, f"{type(error).__name__}: {error}"
    except RuntimeError as error:
        if not connections.is_async(database):
            raise
        raise NotAsynchronous(
            f"status() of {server.name!r}: {type(database).__name__} is asynchronous; "
            "use `await databases.astatus()`."
        ) from error


def _status(
    server: Server, state: ServerState | None, problem: str | None, primary: ServerState | None
) -> ServerStatus:
    behind: Any = None
    if state is not None and primary is not None and server.role == "replica":
        ours, its = primary.position, state.position
        if isinstance(ours, LSN) and isinstance(its, LSN):
            behind = max(0, ours - its)
    return ServerStatus(
        name=server.name,
        server=server.label,
        role=server.role,
        reachable=problem is None,
        writable=None if state is None else state.writable,
        lag=None if state is None else state.lag,
        lag_bytes=behind,
        position=None if state is None or state.position is None else str(state.position),
        in_use=server.in_use,
        ejected_until=server.ejected_until,
        problem=problem or server.problem,
        replicating=None if state is None else state.replicating,
    )
