"""What a server is asked for people to read: its version, size, clock, connections, encryption, characters.

A question that an engine cannot answer, or an account may not ask, has the answer None. Servers are asked at
the same time and each has so many seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import peewee

from ..drivers import connections, traits_of
from ..server import Server

__all__ = ["Facts", "at_once", "facts_of"]

T = TypeVar("T")

_VERSION = {
    "postgresql": "SHOW server_version",
    "mysql": "SELECT VERSION()",
    "mssql": "SELECT CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR(40))",
    "oracle": "SELECT version_full FROM product_component_version WHERE ROWNUM = 1",
    "sqlite": "SELECT sqlite_version()",
}
_SIZE = {
    "postgresql": "SELECT pg_database_size(current_database())",
    "mysql": "SELECT SUM(data_length + index_length) FROM information_schema.tables "
    "WHERE table_schema = DATABASE()",
    "mssql": "SELECT SUM(CAST(size AS BIGINT)) * 8192 FROM sys.database_files",
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
}
_CLOCK = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "mssql": "SELECT DATEDIFF(second, '1970-01-01', GETUTCDATE())",
}
_CONNECTIONS = {
    "postgresql": "SELECT (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
    "current_setting('max_connections')::int",
    "mysql": "SELECT COUNT(*), @@GLOBAL.max_connections FROM information_schema.processlist",
}
_ENCRYPTED = {
    "postgresql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
}
_CHARSET = {
    "postgresql": "SHOW server_encoding",
    "mysql": "SELECT @@character_set_database",
}


@dataclass(frozen=True)
class Facts:
    """What a server says of itself.

    Attributes:
        version: as it writes it.
        size: bytes of the database.
        skew: seconds that its clock is ahead of this machine's.
        connections: how many clients it has now.
        max_connections: how many it takes.
        encrypted: whether this connection is.
        charset: of the database.
    """

    version: str | None = None
    size: int | None = None
    skew: float | None = None
    connections: int | None = None
    max_connections: int | None = None
    encrypted: bool | None = None
    charset: str | None = None


def facts_of(server: Server) -> Facts:
    """Ask a server, on this thread's connection."""
    database = server.database
    engine = traits_of(database).engine
    began = time.time()
    clock = _ask(database, _CLOCK.get(engine))
    # Between sending and receiving the server's clock was read.
    skew = None if clock is None else float(clock[0]) - (began + time.time()) / 2
    size, version = _ask(database, _SIZE.get(engine)), _ask(database, _VERSION.get(engine))
    used, charset = _ask(database, _CONNECTIONS.get(engine)), _ask(database, _CHARSET.get(engine))
    cipher = _ask(database, _ENCRYPTED.get(engine))
    return Facts(
        version=None if version is None else str(version[0]),
        size=None if size is None or size[0] is None else int(size[0]),
        skew=skew,
        connections=None if used is None else int(used[0]),
        max_connections=None if used is None else int(used[1]),
        encrypted=None if cipher is None else bool(cipher[-1]),
        charset=None if charset is None else str(charset[0]),
    )


def _ask(database: Any, sql: str | None) -> Any:
    if sql is None:
        return None
    try:
        return database.execute_sql(sql).fetchone()
    except peewee.PeeweeException:
        return None


def at_once(
    tasks: Sequence[Callable[[], T]], databases: Callable[[], Sequence[Any]], seconds: float
) -> list[Any]:
    """Do things at the same time, and return what each gave, or the exception that it raised.

    A driver that hangs cannot be stopped: its thread is left behind, and a `TimeoutError` is its answer.

    Args:
        tasks: what is done, each in a thread of its own.
        databases: the Database objects whose connections a thread gives back in the end.
        seconds: how long they may take together.
    """
    answers: list[Any] = [TimeoutError(f"no answer in {seconds:g} seconds") for _ in tasks]

    def work(number: int, task: Callable[[], T]) -> None:
        try:
            answer: Any = task()
        except Exception as error:
            answer = error
        finally:
            for database in databases():
                connections.drop(database)
        answers[number] = answer

    threads = [
        threading.Thread(target=work, args=(number, task), daemon=True) for number, task in enumerate(tasks)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    # What comes later is too late: the list that is returned does not change any more.
    return list(answers)
