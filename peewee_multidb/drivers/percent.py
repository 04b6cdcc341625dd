"""What a driver makes of a percent sign that stands in a statement and is no placeholder."""

from __future__ import annotations

from typing import Any

__all__ = ["collapses"]

#: Modules that take a percent sign for one in every statement, and those that do in one without parameters.
LITERAL = frozenset(["asyncpg", "mysql"])
LITERAL_WITHOUT_PARAMETERS = frozenset(["psycopg2"])


def collapses(database: Any, params: Any) -> bool:
    """Whether a driver makes ``%`` of each ``%%`` of a statement."""
    if database.param != "%s":
        return False
    conn = getattr(database._state, "conn", None)
    # The asyncio bridge has a connection of its own around the driver's.
    modules = {type(one).__module__.partition(".")[0] for one in (conn, getattr(conn, "conn", None))}
    if modules & LITERAL:
        return False
    return bool(params) or not modules & LITERAL_WITHOUT_PARAMETERS
