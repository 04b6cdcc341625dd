"""What an error of a server means for the connection: gone, refused as a write, or beyond a standby.

Only these three are told apart, because only they change where a query may run. The codes are those of
PostgreSQL's appendix "PostgreSQL Error Codes" and of MySQL's and MariaDB's error references.
"""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
from playhouse.pool import MaxConnectionsExceeded  # type: ignore[import-untyped]

from . import connections

__all__ = [
    "is_disconnect",
    "is_exhausted",
    "is_from_server",
    "is_read_only",
    "is_standby_limit",
    "is_unreachable",
    "number_of",
    "original",
    "sqlstate_of",
]

#: SQLSTATE classes and codes: connection exceptions; admin, crash and "cannot connect now" shutdowns.
SQLSTATE_DISCONNECT = ("08", "57P01", "57P02", "57P03")
#: Client errors 2xxx, and what a server says that shuts down or drops a connection.
MYSQL_DISCONNECT = frozenset(
    [
        *(2001, 2002, 2003, 2004, 2005, 2006, 2012, 2013, 2055),
        *(1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 4031),
    ]
)
#: What the pools of `playhouse.pwasyncio` say; those of `playhouse.pool` raise a ValueError.
POOL_EXHAUSTED = "Timed out acquiring connection from pool"
SQLSTATE_READ_ONLY = "25006"
#: ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE.
MYSQL_READ_ONLY = frozenset([1290, 1792, 1836])
SQLITE_READ_ONLY = "attempt to write a readonly database"
#: What a standby says to a query whose rows the primary has removed, to one of an unlogged table, and to a
#: function that "recovery" forbids. Not by its text, which servers write in many languages; and what is none
#: of these is wrong on the primary too, so it may be asked.
SQLSTATE_STANDBY = frozenset(["40001", "40P01", "0A000", "55000"])


#: The modules whose own exceptions get through Peewee now and then: it does not know all their classes.
MODULES = ("aiomysql", "aiosqlite", "asyncpg", "psycopg", "psycopg2", "pymysql")


def is_from_server(error: BaseException) -> bool:
    """Whether a server or the way to it is to blame, and not this program."""
    if isinstance(error, (peewee.PeeweeException, OSError, EOFError, asyncio.TimeoutError)):
        return True
    return type(error).__module__.partition(".")[0] in MODULES


def original(error: BaseException) -> BaseException:
    """Return the driver's own exception, which Peewee's carries along."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, BaseException) else error


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE that PostgreSQL's drivers give, or an empty text."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def number_of(error: BaseException) -> Any:
    """Return the number that MySQL's drivers put first, or None."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else None


def is_disconnect(database: Any, error: BaseException) -> bool:
    """Whether a query failed because its connection is gone, and not because of what it asked."""
    inner = original(error)
    if _is_own_timeout(inner):
        # asyncpg's command_timeout for instance: the query took too long, and the connection is well.
        return _is_lost(database)
    if isinstance(inner, (OSError, EOFError)):
        return True
    # Peewee does not know all the classes of asyncpg, and lets those through as they are.
    if sqlstate_of(inner).startswith(SQLSTATE_DISCONNECT) or number_of(inner) in MYSQL_DISCONNECT:
        return True
    if not isinstance(error, (peewee.OperationalError, peewee.InterfaceError, peewee.InternalError)):
        return False
    return _is_lost(database)


def is_unreachable(error: BaseException) -> bool:
    """Whether a database could not be connected to, or its connection broke, whoever's Database object it is.

    Drivers say a hundred things when they cannot connect; where it was raised is one.
    """
    known: BaseException | None = error
    while known is not None:
        inner = original(known)
        if getattr(known, "while_connecting", False):
            return True
        if is_from_server(known) and (
            sqlstate_of(inner).startswith(SQLSTATE_DISCONNECT) or number_of(inner) in MYSQL_DISCONNECT
        ):
            return True
        if is_from_server(known) or isinstance(known, MaxConnectionsExceeded):
            traceback = known.__traceback__
            while traceback is not None:
                if traceback.tb_frame.f_code is peewee.Database.connect.__code__:
                    return True
                traceback = traceback.tb_next
        known = known.__cause__
    return False


def _is_own_timeout(error: BaseException) -> bool:
    """Whether this program gave up waiting; the operating system's time-outs have a number."""
    return isinstance(error, (TimeoutError, asyncio.TimeoutError)) and getattr(error, "errno", None) is None


def is_exhausted(error: BaseException) -> bool:
    """Whether there was no connection because the pool of this program has none left."""
    return isinstance(error, peewee.OperationalError) and str(error).startswith(POOL_EXHAUSTED)


def _is_lost(database: Any) -> bool:
    try:
        return not database.is_closed() and connections.is_lost(database)
    except RuntimeError:
        return False  # an asynchronous database, outside of every task


def is_read_only(error: BaseException) -> bool:
    """Whether a server refused a statement because it, or the session, takes no writes."""
    inner = original(error)
    return (
        sqlstate_of(inner) == SQLSTATE_READ_ONLY
        or number_of(inner) in MYSQL_READ_ONLY
        or SQLITE_READ_ONLY in str(inner)
    )


def is_standby_limit(error: BaseException) -> bool:
    """Whether a standby could not run a query that its primary may well run.

    It has no unlogged tables, for instance, and cancels a query if replay needs what that is reading.
    """
    return sqlstate_of(original(error)) in SQLSTATE_STANDBY
