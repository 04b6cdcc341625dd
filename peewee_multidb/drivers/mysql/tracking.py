"""The position of a commit, as MariaDB tells it along with the answer to the commit.

A server that is asked to track the session variable ``last_gtid`` adds it to the OK packet of each commit
that wrote something. So the position that a read of one's own writes needs is there without a question; see
"Session State Information" in MariaDB's protocol documentation, and ``session_track_system_variables``.

Neither PyMySQL nor aiomysql reads that part of the packet: both keep it, unread, in what they take for the
packet's message. The subclasses here read it there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import peewee

from ..session import Statement

__all__ = ["CLIENT_SESSION_TRACK", "TRACK", "AsyncCommitTracking", "CommitTracking", "last_gtids", "tracking"]

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

#: The capability flag with which a client says that it reads session state information.
CLIENT_SESSION_TRACK = 1 << 23
#: The flag of an OK packet that has some.
SERVER_SESSION_STATE_CHANGED = 1 << 14
#: The type of information: a system variable's new value.
SESSION_TRACK_SYSTEM_VARIABLES = 0

TRACK = Statement(
    "SET SESSION session_track_system_variables = 'last_gtid'", "have the position of each commit reported"
)


def last_gtids(message: bytes) -> Iterator[str]:
    """Yield the values of ``last_gtid`` in the end of an OK packet.

    Args:
        message: all that follows the number of warnings.

    Raises:
        ValueError: it is something else.
    """
    _, rest = _text(message)
    states, _ = _text(rest)
    while states:
        kind, states = states[0], states[1:]
        data, states = _text(states)
        if kind != SESSION_TRACK_SYSTEM_VARIABLES:
            continue
        while data:
            name, data = _text(data)
            value, data = _text(data)
            if name == b"last_gtid" and value:
                yield value.decode("ascii")


def _text(data: bytes) -> tuple[bytes, bytes]:
    """Read a length-encoded string; return it and what follows."""
    if not data:
        return b"", b""
    head = data[0]
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(head, 0)
    if head > 0xFA and not size:
        raise ValueError("not a length")
    start = 1 + size
    length = int.from_bytes(data[1:start], "little") if size else head
    if len(data) < start + length:
        raise ValueError("the packet ends too early")
    return data[start : start + length], data[start + length :]


class Tracked:
    """Mixin for a connection: what it committed last, in each domain.

    Attributes:
        committed: domain to GTID.
        is_told: whether the last answer came with a position. A write that returns rows has none in it.
    """

    committed: dict[str, str]
    is_told: bool = False

    def note(self, message: Any, server_status: Any) -> None:
        self.is_told = False
        if not message or not (server_status or 0) & SERVER_SESSION_STATE_CHANGED:
            return
        try:
            found = list(last_gtids(message))
        except (ValueError, UnicodeDecodeError):
            # Not what it should be: then the position is asked for, as on any other server.
            return
        for gtid in found:
            # A new dict, since another thread may be reading the old one.
            self.committed = {**self.committed, gtid.partition("-")[0]: gtid}
            self.is_told = True


@functools.cache
def tracking(connection: type) -> type:
    """Return a class of PyMySQL's or aiomysql's connections that notes the position of each commit."""
    if hasattr(connection, "__aenter__"):
        return _asynchronous(connection)

    def _read_ok_packet(self: Any) -> Any:
        ok = connection._read_ok_packet(self)  # type: ignore[attr-defined]
        self.note(ok.message, ok.server_status)
        return ok

    def _read_query_result(self: Any, unbuffered: bool = False) -> Any:
        rows = connection._read_query_result(self, unbuffered)  # type: ignore[attr-defined]
        self.note(self._result.message, self._result.server_status)
        return rows

    return _made(connection, _read_ok_packet, _read_query_result)


def _asynchronous(connection: type) -> type:
    async def _read_ok_packet(self: Any) -> Any:
        # aiomysql's own method throws the packet away.
        from pymysql.err import OperationalError
        from pymysql.protocol import OKPacketWrapper

        packet = await self._read_packet()
        if not packet.is_ok_packet():
            raise OperationalError(2014, "Command Out of Sync")
        ok = OKPacketWrapper(packet)
        self.server_status = ok.server_status
        self.note(ok.message, ok.server_status)
        return True

    async def _read_query_result(self: Any, unbuffered: bool = False) -> Any:
        await connection._read_query_result(self, unbuffered)  # type: ignore[attr-defined]
        self.note(self._result.message, self._result.server_status)

    return _made(connection, _read_ok_packet, _read_query_result)


def _made(connection: type, read_ok_packet: Any, read_query_result: Any) -> type:
    methods = {
        "committed": {},
        "_read_ok_packet": read_ok_packet,
        "_read_query_result": read_query_result,
    }
    return type(connection.__name__, (Tracked, connection), methods)


class CommitTracking(Base):
    """For PyMySQL, below `SessionStatements`.

    Attributes:
        tracks_commits: whether the connections note the position of each commit.
    """

    tracks_commits: bool = False

    def _connect(self) -> Any:
        conn = super()._connect()  # type: ignore[misc]
        if self.tracks_commits:
            plain: Any = type(conn)
            conn.__class__ = tracking(plain)
        return conn


class AsyncCommitTracking(Base):
    """For aiomysql; see `CommitTracking`."""

    tracks_commits: bool = False

    async def _prepare(self, conn: Any) -> None:
        if self.tracks_commits:
            plain: Any = type(conn)
            conn.__class__ = tracking(plain)
        await super()._prepare(conn)  # type: ignore[misc]
