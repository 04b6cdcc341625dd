"""Whose connection it is: a thread's own, or that of a piece of work, such as a request.

Peewee keeps one connection a thread and database, for as long as the thread lives. A server hands request
after request to the same threads, and one request to several of them, so inside of a piece of work a thread
finds connections that belong to that work alone, and that are given back when it ends:

* what the thread or task that began it has opened is given back by `Borrowed.end` or `Borrowed.aend`;
* what another thread has opened, to which the context was copied (``asyncio.to_thread``, the thread pool of
  Starlette), goes on to the next thread of that work that needs it, and is given back at the end. So a
  generator whose steps run in several threads, or a dependency and its endpoint, are on one connection, and
  in its transaction. What a thread is still using at the end is given back when its function has returned,
  which is when the copy of the context is dropped; nothing else tells.

A connection that the thread itself had open before is used as it is and stays open, so that a test can wrap a
request in its transaction. An event loop's thread serves many requests at once, so there only a transaction
that is open, and a database in private memory, which no other connection sees, are shared.

Connections of asynchronous databases belong to tasks already; of those, only what to give back is noted here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextlib
import logging
import os
import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .keeping import Kept, Transactions, afresh, is_locked, owners, warn_of_transaction

if TYPE_CHECKING:
    from .states import ThreadState

__all__ = ["Borrowed", "Use", "before_first", "current", "forget_late", "switch"]

logger = logging.getLogger("peewee_multidb")

#: What to do before the process begins its first piece of work.
before_first: list[Callable[[], None]] = []

# What was dropped where a lock was taken, for whoever comes next.
_late: deque[Kept] = deque()

# Parts of works that are over, in threads that went on.
_lingering: list[weakref.ref[Use]] = []

# What a thread of a pool runs to tell its result.
_ASYNCIO = str(Path(asyncio.__file__).parent)

# Strong references: an event loop holds its tasks weakly.
_returning: set[asyncio.Task[None]] = set()


class Use:
    """A thread's, or a copied context's, part in a piece of work; it ends when that context is dropped.

    Attributes:
        work: the piece of work.
        thread: the thread; None when it is over.
        kept: what it uses, by the id of the state.
    """

    __slots__ = ("__weakref__", "kept", "thread", "work")

    def __init__(self, work: Borrowed) -> None:
        self.work = work
        self.thread: int | None = threading.get_ident()
        self.kept: dict[int, Kept] = {}

    def of(self, state: ThreadState) -> dict[str, Any]:
        """Return what the state of a database keeps here."""
        if self.thread != threading.get_ident():
            # A copy of the context in another thread, or a task that outlived the work.
            return self.work.joined().of(state)
        found = self.kept.get(id(state))
        return (self._found(state) if found is None else found).keeps

    def _found(self, state: ThreadState) -> Kept:
        assert self.thread is not None
        kept = self.work.taken(id(state), self)
        if kept is None:
            kept = Kept(id(state), owners[id(state)], self.thread)
            around = self._around(state)
            if _is_shared(kept.database, around):
                kept.share(around)
        self.kept[id(state)] = kept
        return kept

    def _around(self, state: ThreadState) -> dict[str, Any]:
        outer = self.work.outer
        if outer is not None and outer.thread == self.thread:
            return outer.of(state)
        return state.__dict__

    def connected(self) -> dict[int, Any]:
        """Return the Database objects that are connected here, by the ids of their states."""
        return {key: one.database for key, one in self.kept.items() if not one.keeps["closed"]}

    def ended(self) -> list[Kept]:
        """End it; return what it kept."""
        self.thread = None
        kept, self.kept = self.kept, {}
        return list(kept.values())

    def ended_if_finished(self) -> list[Kept]:
        """End it, unless its thread has just begun to go on with it."""
        thread, self.thread = self.thread, None
        # From here on its thread would get another part; before, it may have got hold of what is kept.
        if thread != threading.get_ident() and not self._is_finished(thread):
            self.thread = thread
            return []
        return self.ended()

    def is_finished(self) -> bool:
        """Whether its thread is back where a pool of threads waits for work."""
        return self._is_finished(self.thread)

    @staticmethod
    def _is_finished(thread: int | None) -> bool:
        frame = sys._current_frames().get(thread or 0)
        if frame is None:
            return False  # it may be a greenlet, of which nothing is known
        while frame is not None:
            file = frame.f_code.co_filename
            if file not in _pool_files() and not file.startswith(_ASYNCIO):
                return False
            frame = frame.f_back
        return True

    def __del__(self) -> None:
        if self.kept:
            self.work.dropped(self.ended())


class Borrowed:
    """The connections of one piece of work, a request for instance.

    Attributes:
        outer: the part in the work that was under way in this context before.
        outside: what whoever began it keeps here of the context as it was before.
    """

    __slots__ = (
        "_free",
        "_home",
        "_is_over",
        "_lock",
        "_process",
        "_task",
        "_tasks",
        "_uses",
        "outer",
        "outside",
    )

    def __init__(self, outer: Use | None = None) -> None:
        self.outer = outer
        self.outside: Any = None
        self._process = os.getpid()
        self._is_over = False
        self._lock = threading.Lock()
        #: What nobody uses at the moment.
        self._free: list[Kept] = []
        #: The parts of other threads; changed by each of them, one step at a time.
        self._uses: list[weakref.ref[Use]] = []
        self._home: weakref.ref[Use] | None = None
        is_async = asyncio._get_running_loop() is not None
        self._task: Any = asyncio.current_task() if is_async else None
        self._tasks: dict[int, tuple[Any, Any]] = {}

    @classmethod
    def begin(cls) -> Borrowed:
        """Begin a piece of work in this context; `end` or `aend` has to follow."""
        if before_first:
            for action in tuple(before_first):
                action()
            before_first.clear()
        if _late or _lingering:
            _give_back_late()
        work = cls(_current.get())
        home = Use(work)
        work._home = weakref.ref(home)
        _current.set(home)
        return work

    def joined(self) -> Use:
        """Take part in another thread, or after the end; return the part, which is this context's now."""
        # What outlives the work is a work of its own, which ends with its context.
        use = Use(Borrowed.begun_late(self.outside) if self._is_over else self)
        uses = use.work._uses
        uses.append(weakref.ref(use, uses.remove))
        _current.set(use)
        return use

    @classmethod
    def begun_late(cls, outside: Any = None) -> Borrowed:
        """Return a work that nobody ends: each of its parts does.

        Args:
            outside: see `outside`.
        """
        work = cls()
        work._is_over = True
        work.outside = outside
        return work

    def taken(self, state: int, taker: Use) -> Kept | None:
        """Return what the work has of a database and nobody uses, or None; one thread after the other."""
        if not self._uses:
            return None
        thread = threading.get_ident()
        with self._lock:
            for use in self._finished(taker):
                self._free += use.ended_if_finished()
        for kept in reversed(self._free):
            if kept.state == state and not kept.is_shared and (kept.thread == thread or kept.may_move()):
                try:
                    self._free.remove(kept)
                except ValueError:
                    continue  # another thread was faster
                kept.thread = thread
                return kept
        return None

    def _finished(self, taker: Use | None = None) -> list[Use]:
        # What another part in this very thread does is done, or waits for us.
        here = threading.get_ident()
        alive = [use for one in list(self._uses) if (use := one()) is not None and use.thread is not None]
        return [use for use in alive if use is not taker and (use.thread == here or use.is_finished())]

    def dropped(self, kept: list[Kept]) -> None:
        """Take back what a context that is gone kept: for the next thread, or it is given back now."""
        if self._process != os.getpid():
            return
        stays = [one for one in kept if not self._is_over and not one.is_shared and one.may_move()]
        self._free += stays
        leaves = [one for one in kept if one not in stays]
        if self._is_over:
            # It may have ended in between.
            leaves += _emptied(self._free)
        _let_go_of_free(leaves)

    def note_task(self, database: Any, state: Any) -> None:
        """Note that a task has opened a connection of an asynchronous database.

        Args:
            database: the Database object.
            state: what `playhouse.pwasyncio` keeps for the task.
        """
        if state._task is self._task:
            self._tasks[id(database)] = (database, state)

    def end(self) -> None:
        """End the work: give back what it opened, and roll back what it left open.

        What another thread is using at the moment is given back when that is done.
        """
        if self._is_over:
            return
        self._is_over = True
        home = None if self._home is None else self._home()
        if home is not None and _current.get() is home:
            _current.set(self.outer)
        kept = [] if home is None else home.ended()
        with self._lock:
            for use in self._finished():
                kept += use.ended_if_finished()
        # An error that is under way keeps the context of a thread that is done, or is just about to be.
        _lingering.extend(one for one in self._uses if (alive := one()) is not None and alive.kept)
        kept += _emptied(self._free)
        if self._process == os.getpid():
            for one in kept:
                _let_go(one)
            _let_go_of_free([])

    async def aend(self) -> None:
        """End the work as `end` does, and give back what this task opened of asynchronous databases.

        They are given back in tasks of their own, so that a cancellation cannot come in between.
        """
        returning = [
            returned
            for database, state in self._tasks.values()
            if (returned := _return_later(database, state)) is not None
        ]
        self._tasks.clear()
        self.end()
        for task in returning:
            await asyncio.shield(task)

    def __del__(self) -> None:
        # Nobody ended it: a server that does not close what it was given, for instance.
        if self._free:
            self._is_over = True
            self.dropped([])


_current: ContextVar[Use | None] = ContextVar("peewee_multidb_borrowed", default=None)

#: Return this context's part in a piece of work, or None.
current = _current.get

#: Make a part in a piece of work the current one, without regard to the one before.
switch = _current.set


def _is_shared(database: Any, around: dict[str, Any]) -> bool:
    if around["closed"]:
        return False
    if asyncio._get_running_loop() is None:
        return True
    if around["transactions"]:
        # What another task of the loop rolls back is not the request's to write.
        transactions = around["transactions"]
        return not (isinstance(transactions, Transactions) and transactions.is_of_another_task())
    return getattr(database, "database", None) in ("", ":memory:")


def _pool_files() -> set[str]:
    """Return the files whose code runs at the bottom of a thread that waits for work."""
    found = {threading.__file__, concurrent.futures.thread.__file__, queue.__file__}
    backend = sys.modules.get("anyio._backends._asyncio")
    if backend is not None and backend.__file__ is not None:
        found.add(backend.__file__)
    return found


def _let_go(kept: Kept) -> None:
    """Give a connection back, from any thread, or leave what is shared as it was found."""
    keeps = kept.keeps
    if keeps["transactions"] and not (kept.is_shared and kept.depth):
        _roll_back(kept)
    if kept.is_shared or keeps["closed"] or id(kept.database._state) != kept.state:
        return
    # As if this context were that of the work: closing has to find its connection.
    around = _current.get()
    use = Use(Borrowed.begun_late())
    use.kept = {kept.state: kept}
    _current.set(use)
    try:
        kept.database.close()
    except Exception:
        # A dead connection, or one of SQLite that only its own thread may close: it is closed when the
        # last reference goes, which is here.
        logger.debug("giving back a connection failed", exc_info=True)
    finally:
        _current.set(around)
        use.kept = {}
        keeps.update(afresh(), slot=None)


def _let_go_of_free(kept: list[Kept]) -> None:
    """Give connections back, and those that wait for it: perhaps no other piece of work follows soon."""
    for one in (*kept, *_emptied(_late)):
        # The collector of garbage may be at work in the middle of anything.
        if is_locked(one.database):
            _late.append(one)
        else:
            _let_go(one)


def _roll_back(kept: Kept) -> None:
    """Undo a transaction that nobody ended; commit nothing."""
    warn_of_transaction(kept.database)
    kept.keeps["transactions"].clear()
    kept.keeps["commit_callbacks"].clear()
    with contextlib.suppress(Exception):  # a connection that is gone has nothing to undo
        kept.keeps["conn"].rollback()


def _emptied(kept: list[Kept] | deque[Kept]) -> list[Kept]:
    """Take everything out of what other threads may add to."""
    found = []
    while kept:
        try:
            found.append(kept.pop())
        except IndexError:
            break
    return found


def _give_back_late() -> None:
    for kept in _emptied(_late):
        _let_go(kept)
    for one in list(_lingering):
        use = one()
        if use is not None and use.kept and not use.is_finished():
            continue
        try:
            _lingering.remove(one)
        except ValueError:
            continue  # another thread was faster
        for kept in use.ended() if use is not None else ():
            _let_go(kept)


def _return_later(database: Any, state: Any) -> asyncio.Task[None] | None:
    conn = state.conn
    if conn is None or state._task is not asyncio.current_task():
        return None
    if state.transactions:
        warn_of_transaction(database)
    state.reset()
    task = asyncio.get_running_loop().create_task(_return(database, conn))
    _returning.add(task)
    task.add_done_callback(_returning.discard)
    return task


async def _return(database: Any, conn: Any) -> None:
    try:
        # The pools undo what is open in what they get back.
        await database._release_conn(conn)
    except Exception:
        logger.debug("giving back a connection failed", exc_info=True)


def forget_late() -> None:
    """Forget what waits to be given back, in a forked child: it is the parent's."""
    _late.clear()
    _lingering.clear()
