"""MySQL's replication with GTIDs: positions are sets of transactions, by the server that began them.

See "GTID Sets" and "WAIT_FOR_EXECUTED_GTID_SET" in MySQL's manual. A server that turns out to be MariaDB is
asked MariaDB's questions: one driver speaks to both, and only a connection tells them apart.
"""

from __future__ import annotations

import re
from typing import Any

from .base import Position, Replication, ServerState, one_row
from .mariadb import MARIADB, seconds_behind, slave_status

__all__ = ["MYSQL", "GtidSet", "MySQLReplication"]

STATE = "SELECT @@GLOBAL.read_only, @@GLOBAL.gtid_executed"
EXECUTED = "SELECT @@GLOBAL.gtid_executed"
WAIT = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s), @@GLOBAL.gtid_executed"

# A server's UUID, a tag since MySQL 8.3, and intervals.
_SOURCE = re.compile(
    r"([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})((?::[A-Za-z_][A-Za-z0-9_]{0,31}|:\d+(?:-\d+)?)+)",
    re.ASCII,
)


class GtidSet:
    """A set of transactions, written ``3E11FA47-...-C80AA9429562:1-5:11-18``."""

    __slots__ = ("intervals", "text")

    def __init__(self, text: str) -> None:
        self.text = re.sub(r"\s", "", text)
        #: Server (and tag) to sorted, disjoint, inclusive intervals.
        self.intervals: dict[str, list[tuple[int, int]]] = {}
        for part in filter(None, self.text.split(",")):
            found = _SOURCE.fullmatch(part)
            if found is None:
                raise ValueError("not a set of GTIDs")
            source = found[1].lower()
            key = source
            for item in found[2][1:].split(":"):
                if not item[0].isdigit():
                    key = f"{source}:{item}"
                    continue
                first, _, last = item.partition("-")
                self.intervals.setdefault(key, []).append((int(first), int(last or first)))
        self.intervals = {key: _merged(value) for key, value in self.intervals.items()}

    def covers(self, other: GtidSet) -> bool:
        return all(
            any(first <= start and end <= last for first, last in self.intervals.get(source, ()))
            for source, wanted in other.intervals.items()
            for start, end in wanted
        )

    def joined(self, other: GtidSet) -> GtidSet:
        return self if self.covers(other) else GtidSet(f"{self.text},{other.text}")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"GtidSet({self.text!r})"


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


class MySQLReplication(Replication):
    """Replicas of MySQL 5.7 and later with ``gtid_mode = ON``, and of MariaDB."""

    def state(self, database: Any) -> ServerState:
        if _is_mariadb(database):
            return MARIADB.state(database)
        read_only, executed = one_row(database, STATE)
        # SHOW SLAVE STATUS is gone in MySQL 8.4, its successor came in 8.0.22.
        modern = tuple(database.server_version or ()) >= (8, 0, 22)
        status = slave_status(database, "SHOW REPLICA STATUS" if modern else "SHOW SLAVE STATUS")
        replicating = status != {} if status is not None else bool(int(read_only))
        lag = "Seconds_Behind_Source" if modern else "Seconds_Behind_Master"
        return ServerState(
            replicating=replicating,
            writable=not int(read_only),
            position=_set(executed),
            lag=seconds_behind(status, lag) if replicating else None,
            identity=None,
        )

    def written(self, database: Any) -> Position | None:
        if _is_mariadb(database):
            return MARIADB.written(database)
        return _set(one_row(database, EXECUTED)[0])

    def told(self, database: Any) -> Position | None:
        return MARIADB.told(database) if database.mariadb else None

    def replayed(self, database: Any) -> Position:
        if _is_mariadb(database):
            return MARIADB.replayed(database)
        return GtidSet(one_row(database, EXECUTED)[0])

    def wait(self, database: Any, position: Position, seconds: float) -> Position:
        if _is_mariadb(database):
            return MARIADB.wait(database, position, seconds)
        if seconds <= 0:
            return self.replayed(database)
        timed_out, executed = one_row(database, WAIT, str(position), seconds)
        return position if timed_out == 0 else GtidSet(executed)

    def parse(self, text: str) -> Position:
        return GtidSet(text) if _SOURCE.match(text) else MARIADB.parse(text)

    def is_replica_of(self, replica: ServerState, primary: ServerState) -> bool:
        if not isinstance(replica.position, GtidSet) or not isinstance(primary.position, GtidSet):
            return MARIADB.is_replica_of(replica, primary)
        return primary.position.covers(replica.position)


def _is_mariadb(database: Any) -> bool:
    if database.server_version is None and database.is_closed():
        database.connect()
    return bool(database.mariadb)


def _set(text: str) -> GtidSet | None:
    return GtidSet(text) if text else None


#: The one that the traits of MySQL and MariaDB name.
MYSQL = MySQLReplication()
