"""One runner of migrations at a time for each database.

The lock is one that the server, or the operating system, gives up when the process that holds it dies: a row
in a table would outlive a crash, and somebody would have to judge whether its owner is still at work.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..drivers import traits_of
from ..errors import ConfigurationError, MigrationLocked

__all__ = ["held"]

#: Seconds between two attempts of who is willing to wait.
PAUSE = 0.1

#: What lies beside an SQLite file while, and after, it is migrated: SQLite's own locks on it are what counts.
SUFFIX = "-migrate"


@contextlib.contextmanager
def held(database: Any, name: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock of a database while it is migrated.

    The connection of this thread is opened if it is not, and kept open: on a server the lock is its own.

    Args:
        database: a Database object.
        name: its name, for messages.
        wait: seconds to wait for somebody else to finish; 0 fails at once.

    Raises:
        MigrationLocked: somebody else is migrating the database, and did not finish in time.
        ConfigurationError: the engine has no lock that this module knows.
    """
    engine = traits_of(database).engine
    if engine not in _LOCKS:
        raise ConfigurationError(
            f"database {name!r}: migrations know no lock of {engine}; they run on {', '.join(_LOCKS)}"
        )
    database.connect(reuse_if_open=True)
    take, give_back = _LOCKS[engine](database)
    end = time.monotonic() + wait
    while not take():
        if time.monotonic() >= end:
            raise MigrationLocked(
                f"database {name!r} is being migrated by another process or thread. Nothing was done here; "
                "wait for it and run this again. The lock is freed when that process ends, however it ends."
            )
        time.sleep(PAUSE)
    try:
        yield
    finally:
        give_back()


Lock = tuple[Callable[[], bool], Callable[[], None]]


def _of_postgresql(database: Any) -> Lock:
    # For the schema that names without one are looked up in, since each may have a history of its own.
    schema = database.execute_sql("SELECT current_schema()").fetchone()[0]
    digest = hashlib.blake2b(f"peewee_multidb migrate {schema}".encode(), digest_size=8).digest()
    key = int.from_bytes(digest, "big", signed=True)

    def take() -> bool:
        return bool(database.execute_sql("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()[0])

    return take, _freeing(database, "SELECT pg_advisory_unlock(%s)", key)


def _of_mysql(database: Any) -> Lock:
    # The names of these locks are the whole server's, and at most 64 characters.
    schema = database.execute_sql("SELECT DATABASE()").fetchone()[0]
    key = "peewee_multidb " + hashlib.blake2b(str(schema).encode(), digest_size=16).hexdigest()

    def take() -> bool:
        return bool(database.execute_sql("SELECT GET_LOCK(%s, 0)", (key,)).fetchone()[0])

    return take, _freeing(database, "SELECT RELEASE_LOCK(%s)", key)


def _of_mssql(database: Any) -> Lock:
    ask = (
        "SET NOCOUNT ON; DECLARE @r INT; EXEC @r = sp_getapplock @Resource = N'peewee_multidb migrate', "
        "@LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0; SELECT @r; "
        # Else no statement of the session would tell any more how many rows it changed.
        "SET NOCOUNT OFF"
    )
    free = "EXEC sp_releaseapplock @Resource = N'peewee_multidb migrate', @LockOwner = 'Session'"

    def take() -> bool:
        return int(database.execute_sql(ask).fetchone()[0]) >= 0

    return take, _freeing(database, free)


def _freeing(database: Any, sql: str, *parameters: Any) -> Callable[[], None]:
    connection = database.connection()

    def free() -> None:
        # With another connection, or none, there is nothing to free: the lock went with the first.
        if not database.is_closed() and database.connection() is connection:
            with contextlib.suppress(Exception):
                database.execute_sql(sql, parameters)

    return free


def _of_sqlite(database: Any) -> Lock:
    file = next((row[2] for row in database.execute_sql("PRAGMA database_list").fetchall()), "")
    if not file:
        # Nobody else can open a database in memory.
        return (lambda: True), (lambda: None)
    held: list[sqlite3.Connection] = []

    def take() -> bool:
        lock = sqlite3.connect(file + SUFFIX, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            if "locked" not in str(error):
                raise
            return False
        held.append(lock)
        return True

    return take, lambda: held.pop().close()


_LOCKS: dict[str, Callable[[Any], Lock]] = {
    "sqlite": _of_sqlite,
    "postgresql": _of_postgresql,
    "mysql": _of_mysql,
    "mssql": _of_mssql,
}
