"""What an error says of a transaction: that it lost a race against others, or that it is prepared no more.

The codes are those of PostgreSQL's appendix "PostgreSQL Error Codes", of MySQL's and MariaDB's error
references, of SQLite's result codes and of SQL Server's sys.messages.
"""

from __future__ import annotations

from typing import Any

from .base import traits_of
from .failures import number_of, original, sqlstate_of

__all__ = ["is_lost_race", "is_unknown_xid"]

#: serialization_failure and deadlock_detected: the transaction is undone, and may well succeed anew.
SQLSTATE_RACE = frozenset(["40001", "40P01"])
#: ER_LOCK_WAIT_TIMEOUT and ER_LOCK_DEADLOCK, the same two of XA, and ER_CHECKREAD: a snapshot too old.
MYSQL_RACE = frozenset([1205, 1213, 1613, 1614, 1020])
#: A deadlock, and an update conflict of snapshot isolation.
MSSQL_RACE = frozenset([1205, 3960])
#: SQLITE_BUSY with all that extends it, such as SQLITE_BUSY_SNAPSHOT; the extension is in the higher bits.
SQLITE_BUSY = 5
SQLITE_BUSY_TEXT = "database is locked"
#: A deadlock, and "can't serialize access".
ORACLE_RACE = ("ORA-00060", "ORA-08177")
#: undefined_object: PostgreSQL has no prepared transaction of that name (any more).
SQLSTATE_UNKNOWN_XID = "42704"
#: ER_XAER_NOTA: none of that name, or its own connection still holds it.
MYSQL_UNKNOWN_XID = 1397


def is_lost_race(database: Any, error: BaseException) -> bool:
    """Whether a transaction failed only because of others at the same time, so that it is worth another try.

    Args:
        database: where it failed.
        error: what was raised.
    """
    inner = original(error)
    if sqlstate_of(inner) in SQLSTATE_RACE:
        return True
    engine = traits_of(database).engine
    if engine == "mysql":
        return number_of(inner) in MYSQL_RACE
    if engine == "mssql":
        return number_of(error) in MSSQL_RACE or number_of(inner) in MSSQL_RACE
    if engine == "sqlite":
        code = getattr(inner, "sqlite_errorcode", None)  # of Python 3.11
        return SQLITE_BUSY_TEXT in str(inner) if code is None else code & 0xFF == SQLITE_BUSY
    return engine == "oracle" and str(inner).startswith(ORACLE_RACE)


def is_unknown_xid(error: BaseException) -> bool:
    """Whether a server has no prepared transaction of that name, or one that a connection still holds."""
    inner = original(error)
    return sqlstate_of(inner) == SQLSTATE_UNKNOWN_XID or number_of(inner) == MYSQL_UNKNOWN_XID
