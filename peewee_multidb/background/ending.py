"""What is left when a job is over: nothing.

A worker runs one job after the other in one thread, so whatever a job leaves behind, the next one finds: a
connection with another tenant's transaction in it, a scope, a replica chosen, a write remembered.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

import peewee

from ..drivers import connections
from ..registry import Databases

__all__ = ["aend_of_job", "end_of_job", "in_fresh_context"]

logger = logging.getLogger("peewee_multidb")

T = TypeVar("T")


def in_fresh_context(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a function with no scope and no unit of work, whatever this thread has left in them.

    What it sets is gone when it returns.
    """
    return Context().run(function, *args, **kwargs)


def end_of_job(registry: Databases) -> list[str]:
    """Give back every connection that this thread opened, one with an open transaction too.

    A transaction that a job forgot to end is rolled back, and its connection is closed: the next job in this
    thread would have written into it.

    Args:
        registry: the databases.

    Returns:
        The names of the databases in which a transaction was open.

    Raises:
        peewee.OperationalError: a connection could not be closed; the others were.
    """
    forgotten = [name for name, database in list(registry.live.items()) if _undone(database)]
    registry.close()
    if forgotten:
        logger.warning("a job left a transaction open, which was rolled back, on: %s", ", ".join(forgotten))
    return forgotten


async def aend_of_job(registry: Databases) -> list[str]:
    """Give back every connection that this task opened, as `end_of_job` does for a thread."""
    forgotten = []
    for name, database in list(registry.live.items()):
        if connections.is_async(database) and connections.has_transaction(database):
            with contextlib.suppress(Exception):
                await connections.adrop(database)
            forgotten.append(name)
        elif _undone(database):
            forgotten.append(name)
    await registry.aclose()
    if forgotten:
        logger.warning("a job left a transaction open, which was rolled back, on: %s", ", ".join(forgotten))
    return forgotten


def _undone(database: Any) -> bool:
    """Roll back what this thread left open on a synchronous database, and say whether there was anything."""
    if connections.is_async(database) or not connections.has_transaction(database):
        return False
    try:
        database.rollback()
    except peewee.PeeweeException:
        logger.debug("rolling back what a job left failed", exc_info=True)
    database._state.transactions.clear()
    connections.drop(database)
    return True
