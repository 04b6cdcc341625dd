"""MariaDB's replication: positions are lists of global transaction ids (GTID), one for each domain.

See "Global Transaction ID" and "MASTER_GTID_WAIT" in MariaDB's knowledge base.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import peewee

from .. import failures
from .base import Position, Replication, ServerState, one_row

__all__ = ["MARIADB", "GtidList", "MariaDBReplication", "seconds_behind"]

STATE = "SELECT @@read_only, @@gtid_binlog_pos, @@gtid_slave_pos, @@gtid_binlog_state"
WRITTEN = "SELECT @@gtid_binlog_pos"
REPLAYED = "SELECT @@gtid_slave_pos"
WAIT = "SELECT MASTER_GTID_WAIT(%s, %s), @@gtid_slave_pos"

_GTID = re.compile(r"(\d{1,10})-(\d{1,10})-(\d{1,20})", re.ASCII)


class GtidList:
    """The last transaction of each domain, written ``0-1-100,1-2-5``: domain, server, sequence number."""

    __slots__ = ("last", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        #: Domain to sequence number and server.
        self.last: dict[int, tuple[int, int]] = {}
        for part in filter(None, text.split(",")):
            found = _GTID.fullmatch(part.strip())
            if found is None:
                raise ValueError("not a list of GTIDs")
            self.last[int(found[1])] = (int(found[3]), int(found[2]))

    def covers(self, other: GtidList) -> bool:
        last = self.last
        return all(domain in last and last[domain][0] >= seq for domain, (seq, _) in other.last.items())

    def joined(self, other: GtidList) -> GtidList:
        if self.covers(other):
            return self
        last = dict(self.last)
        for domain, here in other.last.items():
            last[domain] = max(last.get(domain, here), here)
        return GtidList(",".join(f"{domain}-{server}-{seq}" for domain, (seq, server) in last.items()))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"GtidList({self.text!r})"


class MariaDBReplication(Replication):
    """Replicas of MariaDB that follow by GTID."""

    def state(self, database: Any) -> ServerState:
        read_only, binlog, slave, history = map(_text, one_row(database, STATE))
        status = slave_status(database, "SHOW SLAVE STATUS")
        replicating = status != {} if status is not None else read_only == "1"
        return ServerState(
            replicating=replicating,
            writable=read_only == "0",
            position=GtidList(slave) if replicating else _list(binlog),
            lag=seconds_behind(status, "Seconds_Behind_Master") if replicating else None,
            identity=_servers(history),
        )

    def written(self, database: Any) -> Position | None:
        return _list(_text(one_row(database, WRITTEN)[0]))

    def told(self, database: Any) -> Position | None:
        # The driver of peewee_multidb.drivers.mysql.tracking keeps it on the connection.
        conn = database._state.conn
        conn = getattr(conn, "conn", conn)
        return GtidList(",".join(conn.committed.values())) if getattr(conn, "is_told", False) else None

    def replayed(self, database: Any) -> Position:
        return GtidList(_text(one_row(database, REPLAYED)[0]))

    def wait(self, database: Any, position: Position, seconds: float) -> Position:
        if seconds <= 0:
            return self.replayed(database)
        reached, replayed = one_row(database, WAIT, str(position), seconds)
        # The list may have been read before the wait was over; what was waited for is certain.
        return position if reached == 0 else GtidList(_text(replayed))

    def parse(self, text: str) -> Position:
        return GtidList(text)

    def is_replica_of(self, replica: ServerState, primary: ServerState) -> bool:
        """Whether every transaction that the replica saw last was written in the primary's history.

        MariaDB gives a cluster no identity; the numbers of the servers that wrote and how far each came
        are what tells two apart. Two clusters whose servers all have the same number look the same as long
        as neither is ahead of the other.
        """
        if not isinstance(replica.position, GtidList):
            return True
        written = primary.identity
        return all(
            written.get((domain, server), -1) >= seq
            for domain, (seq, server) in replica.position.last.items()
        )


def slave_status(database: Any, statement: str) -> Mapping[str, Any] | None:
    """Return the row of SHOW SLAVE STATUS, empty when there is none, or None when the account may not ask."""
    try:
        cursor = database.execute_sql(statement)
    except (peewee.OperationalError, peewee.ProgrammingError, peewee.InternalError) as error:
        inner = failures.original(error)
        if not inner.args or inner.args[0] != ACCESS_DENIED:
            raise
        return None
    row = cursor.fetchone()
    # An asynchronous cursor without rows has no description either.
    status = {} if row is None else dict(zip((column[0] for column in cursor.description), row, strict=True))
    cursor.close()
    return status


#: ER_SPECIFIC_ACCESS_DENIED_ERROR
ACCESS_DENIED = 1227


def seconds_behind(status: Mapping[str, Any] | None, column: str) -> float | None:
    """Return the lag: infinite when replication has stopped, None when the account may not ask."""
    if status is None:
        return None
    seconds = status.get(column)
    return math.inf if seconds is None else float(seconds)


def _list(text: str) -> GtidList | None:
    # Empty: the binary log is off, or has no transaction yet that a replica could lack.
    return GtidList(text) if text else None


def _servers(history: str) -> dict[tuple[int, int], int]:
    """Read gtid_binlog_state: for each domain and server that ever wrote, its last sequence number."""
    found = (_GTID.fullmatch(part.strip()) for part in filter(None, history.split(",")))
    return {(int(one[1]), int(one[2])): int(one[3]) for one in found if one is not None}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


#: The one that the traits of MariaDB name.
MARIADB = MariaDBReplication()
