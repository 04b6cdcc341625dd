"""What the state of a connection holds, apart from the state: for a thread, or for a piece of work."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Any

import peewee

__all__ = ["Held", "Kept", "Transactions", "afresh", "held", "is_locked", "owners", "warn_of_transaction"]

logger = logging.getLogger("peewee_multidb")


class Held:
    """A connection on hold: found by a weak reference, which connections do not all allow."""

    __slots__ = ("__weakref__", "connection", "state", "transactions")

    def __init__(self, connection: Any, state: Any, transactions: list[Any]) -> None:
        self.connection = connection
        #: Which Database's state it belongs to; the state itself is another one in each thread.
        self.state = id(state)
        #: The open transactions of whoever holds it.
        self.transactions = transactions


#: Every connection on hold, of any thread and any work, by the id of its `Held`.
held: weakref.WeakValueDictionary[int, Held] = weakref.WeakValueDictionary()

#: Whose state it is, by the id of the state.
owners: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


class Transactions(list[Any]):
    """The open transactions of a connection, and who opened the first.

    Attributes:
        task: the asyncio task that did; None outside of every task.
    """

    task: weakref.ref[asyncio.Task[Any]] | None = None

    def append(self, transaction: Any) -> None:
        if not self:
            is_async = asyncio._get_running_loop() is not None
            task = asyncio.current_task() if is_async else None
            self.task = None if task is None else weakref.ref(task)
        super().append(transaction)

    def is_of_another_task(self) -> bool:
        """Whether an event loop's task opened them that is not the one that runs now."""
        return self.task is not None and self.task() is not asyncio.current_task()


def afresh() -> dict[str, Any]:
    """What Peewee's ``_ConnectionState`` keeps, as it is before there is a connection."""
    return {
        "closed": True,
        "conn": None,
        "ctx": [],
        "transactions": Transactions(),
        "commit_callbacks": [],
        "held": None,
    }


class Kept:
    """What a piece of work keeps of one database in one thread at a time: its connection, if it is open.

    Attributes:
        state: the id of the state that it stands in for.
        database: the Database object.
        keeps: what Peewee finds in the state.
        thread: the thread that used it last.
        is_shared: it is the thread's own, or of the work around, and not given back.
        depth: how deep the transactions were before.
    """

    __slots__ = ("database", "depth", "is_shared", "keeps", "state", "thread")

    def __init__(self, state: int, database: Any, thread: int) -> None:
        self.state = state
        self.database = database
        self.thread = thread
        self.keeps = {**afresh(), "slot": None}
        self.is_shared = False
        self.depth = 0

    def share(self, around: dict[str, Any]) -> None:
        """Use what is there already."""
        self.keeps = around
        self.is_shared = True
        self.depth = len(around["transactions"])

    def may_move(self) -> bool:
        """Whether another thread may go on with it: a connection of SQLite has to be told so."""
        database = self.database
        return not isinstance(database, peewee.SqliteDatabase) or (
            database.connect_params.get("check_same_thread", True) is False
        )


def is_locked(database: Any) -> bool:
    """Whether a lock of the Database object is taken, perhaps by this very thread."""
    if getattr(getattr(database, "_pool_lock", None), "_is_owned", bool)():
        return True
    governor = getattr(database, "governor", None)
    locks = [database._lock] if governor is None else [database._lock, governor.rest]
    for lock in locks:
        if not lock.acquire(blocking=False):
            return True
        lock.release()
    return False


def warn_of_transaction(database: Any) -> None:
    """Say in the log that a transaction was left open.

    Args:
        database: the Database object that it is on.
    """
    name = getattr(database, "session_name", "") or type(database).__name__
    logger.warning(
        "a transaction on database %r was still open at the end of a request: it is rolled back. "
        "Use `with atomic(...)`, which ends it.",
        name,
    )
