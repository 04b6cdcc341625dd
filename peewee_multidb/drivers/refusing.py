"""A replica's Database object refuses what its server would do, although only the primary should.

The server itself refuses writes in a read-only session. Advisory locks it would take, and they would protect
nothing: the next session takes the same lock on the next server.
"""

from __future__ import annotations

import functools
from typing import Any

import peewee

from .. import statements
from .failures import SQLSTATE_READ_ONLY

__all__ = ["PrimaryOnly", "refuse_locks"]


class PrimaryOnly(peewee.OperationalError):
    """A replica was asked for a lock or a counter."""

    #: As if the server had refused it.
    sqlstate = SQLSTATE_READ_ONLY


def refuse_locks(database: peewee.Database) -> None:
    """Let a Database object raise `PrimaryOnly` for what locks or counts, and not send it."""
    kind: Any = type(database)
    database.__class__ = _refusing(kind)


@functools.cache
def _refusing(kind: type[Any]) -> type[Any]:
    def execute_sql(self: Any, sql: str, params: Any = None) -> Any:
        if statements.for_primary(sql):
            raise PrimaryOnly("it locks or counts, and nobody else would know of it")
        return kind.execute_sql(self, sql, params)

    return type(kind.__name__, (kind,), {"execute_sql": execute_sql})
