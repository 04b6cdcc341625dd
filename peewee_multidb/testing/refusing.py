"""Statements that would end the transaction of a test behind its back."""

from __future__ import annotations

import re
from typing import Any

from ..drivers import traits_of
from ..errors import IsolationError

__all__ = ["is_characteristic", "refuse_ending"]

_ENDING = re.compile(
    r"\s*(?:commit\b|abort\b|end\s*;?\s*$|rollback\b(?!\s+(?:work\s+|tran(?:saction)?\s+)?(?:to\b|\[|\w))"
    r"|rollback\s+(?:work|tran(?:saction)?)?\s*;?\s*$|rollback\s+prepared\b|start\s+transaction\b"
    r"|begin(?:\s+(?:work|tran|transaction|deferred|immediate|exclusive|isolation|read)\b.*)?\s*;?\s*$"
    r"|xa\s+\w|prepare\s+transaction\b)",
    re.IGNORECASE | re.DOTALL,
)
_COMMITTING = re.compile(
    r"\s*(?:(?:create|drop)\s+(?!temporary\b)|alter\b|truncate\b|rename\b|grant\b|revoke\b|lock\s+tables\b"
    r"|unlock\s+tables\b|analyze\b|optimize\b|repair\b)",
    re.IGNORECASE,
)
_TWO_PHASE = re.compile(r"\s*(?:xa\s|prepare\s+transaction\b)", re.IGNORECASE)
_CHARACTERISTIC = re.compile(r"\s*set\s+transaction\b", re.IGNORECASE)


def refuse_ending(name: str, database: Any, sql: str) -> None:
    """Raise if a statement would commit the transaction of the test, or begin another one.

    Args:
        name: the database name, for the message.
        database: its Database object.
        sql: the statement.

    Raises:
        IsolationError: it would.
    """
    verb = " ".join(sql.split(None, 2)[:2])
    if _TWO_PHASE.match(sql):
        raise IsolationError(
            f"database {name!r}: {verb!r} was sent as SQL, in a test whose transactions are rolled back: "
            "what two-phase commit has prepared would not be undone with it. Mark the test "
            "@pytest.mark.databases(..., transaction=False)."
        )
    if _ENDING.match(sql):
        raise IsolationError(
            f"database {name!r}: {verb!r} was sent as SQL, in a test whose transactions are rolled back: the "
            "test's own transaction would end with it. Use atomic(), transaction() or commit() of Peewee, "
            "or mark the test @pytest.mark.databases(..., transaction=False)."
        )
    traits = traits_of(database)
    if not traits.ddl_in_transaction and _COMMITTING.match(sql):
        raise IsolationError(
            f"database {name!r}: {verb!r} in a test that is rolled back: {traits.engine} would commit all "
            "that the test has written, and could not undo the statement itself. Make tables in a fixture of "
            "a wider scope (session, module), or mark the test "
            "@pytest.mark.databases(..., transaction=False)."
        )


def is_characteristic(sql: str) -> bool:
    """Whether a statement says how the next transaction is to be, which means nothing inside of one."""
    return _CHARACTERISTIC.match(sql) is not None
