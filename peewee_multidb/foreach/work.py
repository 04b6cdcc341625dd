"""A job is a piece of work of its own, of which nothing is left when it is over.

A worker runs one job after the other in one thread, so whatever a job left behind, the next one would find: a
scope, a connection with another tenant's transaction in it, a replica chosen, a write remembered.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import peewee

from ..causality import unit_of_work
from ..drivers import connections
from ..drivers.borrowing import Borrowed

__all__ = ["awork", "refuse_open", "work"]


@contextlib.contextmanager
def work() -> Iterator[None]:
    """Run a block as a unit of work whose connections are given back at its end, also after an error.

    A transaction that it leaves open is rolled back.
    """
    borrowed = Borrowed.begin()
    try:
        with unit_of_work():
            yield
    finally:
        borrowed.end()


@contextlib.asynccontextmanager
async def awork() -> AsyncIterator[None]:
    """Run a block of a coroutine as `work` does, on asynchronous databases too."""
    borrowed = Borrowed.begin()
    try:
        with unit_of_work():
            yield
    finally:
        await borrowed.aend()


def refuse_open(database: peewee.Database, name: str, what: str) -> None:
    """Raise if a job that says it is done has a transaction open on its database.

    Args:
        database: the database.
        name: what it is called.
        what: the job, for the message.

    Raises:
        peewee.OperationalError: it has.
    """
    if connections.has_transaction(database):
        raise peewee.OperationalError(
            f"{what} returned with a transaction open on {name!r}, which is rolled back. Use "
            "`with atomic():`, which ends with its block."
        )
