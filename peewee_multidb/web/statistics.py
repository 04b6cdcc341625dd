"""What a server tells about a database: size, work done, connections, and what takes long right now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..drivers import traits_of
from ..observe.sqltext import sanitized

__all__ = ["Statistics", "statistics_of"]

#: Statements that are listed, and characters of each.
MOST = 20
LONGEST = 600

POSTGRESQL = (
    "SELECT pg_database_size(datname), numbackends, xact_commit + xact_rollback "
    "FROM pg_stat_database WHERE datname = current_database()"
)
POSTGRESQL_SLOW = (
    "SELECT extract(epoch FROM clock_timestamp() - query_start)::float8, left(query, 2000) "
    "FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() "
    "AND clock_timestamp() - query_start >= %s * interval '1 second' ORDER BY query_start"
)
MYSQL_SIZE = (
    "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()"
)
MYSQL_STATUS = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Threads_connected')"
MYSQL_SLOW = (
    "SELECT time, LEFT(info, 2000) FROM information_schema.processlist "
    "WHERE command NOT IN ('Sleep', 'Daemon') "
    "AND db = DATABASE() AND id <> CONNECTION_ID() AND info IS NOT NULL AND time >= %s ORDER BY time DESC"
)


@dataclass
class Statistics:
    """What one server said.

    Attributes:
        size: bytes of the database; None where the engine is not asked.
        connections: of everybody; None likewise.
        done: a counter of work; its unit is `unit`, and its rate is the throughput.
        unit: ``"transactions"`` of the database on PostgreSQL, ``"statements"`` of the server on MySQL.
        slow: pairs of seconds and a statement without its values, of what runs right now.
    """

    size: int | None = None
    connections: int | None = None
    done: int | None = None
    unit: str | None = None
    slow: list[tuple[float, str]] = field(default_factory=list)


def statistics_of(database: Any, slow: float) -> Statistics:
    """Ask a server.

    Args:
        database: its Database object, connected in this thread.
        slow: seconds from which on a statement that runs is a slow one.

    Raises:
        peewee.DatabaseError: it does not answer, or may not tell.
    """
    engine = traits_of(database).engine
    if engine == "postgresql":
        size, connections, done = _all(database, POSTGRESQL)[0]
        return Statistics(size, connections, done, "transactions", _slow(database, POSTGRESQL_SLOW, slow))
    if engine == "mysql":
        size = _all(database, MYSQL_SIZE)[0][0]
        status = {str(key): int(value) for key, value in _all(database, MYSQL_STATUS)}
        return Statistics(
            None if size is None else int(size),
            status.get("Threads_connected"),
            status.get("Questions"),
            "statements",
            _slow(database, MYSQL_SLOW, slow),
        )
    if engine == "sqlite":
        pages, size = _all(database, "PRAGMA page_count")[0][0], _all(database, "PRAGMA page_size")[0][0]
        return Statistics(pages * size)
    return Statistics()


def _slow(database: Any, sql: str, seconds: float) -> list[tuple[float, str]]:
    rows = _all(database, sql, seconds)[:MOST]
    return [(float(taken or 0), sanitized(str(text))[:LONGEST]) for taken, text in rows]


def _all(database: Any, sql: str, *params: Any) -> list[Any]:
    return list(database.execute_sql(sql, params or None).fetchall())
