"""One entering of an `atomic` block: which databases are in it, how it ends, and what is called after that.

A block knows the block around it. A block without databases of its own begins with none, and each database
joins it when a query first goes there, after it has joined every such block around it, outermost first.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .. import causality, routing
from ..drivers import connections, traits_of
from ..errors import ConfigurationError, NotAsynchronous, NotTransactional
from ..home import Home
from ..registry import Databases, registries
from ..stepping import kept
from ..twophase import MOST_BRANCHES, Branch, Commit, Gid, Log, log_of, new_gid
from .outcome import Outcome

__all__ = ["Block", "after_commit", "current", "enlist", "switch", "with_transaction"]

_open: ContextVar[Block | None] = ContextVar("peewee_multidb_block", default=None)

#: Return the innermost open block of this thread or task; None when none is open.
current: Callable[[], Block | None] = _open.get

#: Make a block, or None, the innermost one, without regard to the one before.
switch: Callable[[Block | None], object] = _open.set


class Block:
    """One entering of an `atomic` object.

    Args:
        joins: whether databases join it when a query first goes there.
        two_phase: the registry and the name of the log, if it commits in two phases; else None.

    Attributes:
        outer: the block around it.
        branches: the databases in it, in the order in which they came.
        has_committed: whether something is committed already that a rollback of the block leaves as it is.
        pending: databases that are committed and could not be told so.
    """

    __slots__ = (
        "_callbacks",
        "_covered",
        "_earlier",
        "_end",
        "_gid",
        "_last",
        "_log",
        "_owner",
        "branches",
        "has_committed",
        "is_joinable",
        "joins",
        "outer",
        "process",
        "two_phase",
    )

    def __init__(self, joins: bool, two_phase: tuple[Databases, Any] | None) -> None:
        self.outer: Block | None = _open.get()
        outer = self.outer
        self.process = os.getpid()
        self.branches: list[Branch] = []
        self.joins = joins
        self.is_joinable: bool = joins or (outer is not None and outer.is_joinable)
        self.two_phase = two_phase
        self.has_committed = False
        self._callbacks: list[Callable[[], Any]] = []
        self._covered: set[int] = set()
        if two_phase is not None:
            self._log: Log | None = None
            self._gid: Gid | None = None
            self._last: Branch | None = None
            #: The first database that writes, and the block that commits it.
            self._end: tuple[str, Block | None] | None = None
        if joins:
            self._owner = _here()
            self._earlier = {id(one) for one in with_transaction()}

    def open(self) -> None:
        """Make it the innermost block of this thread or task."""
        _open.set(self)

    def leave(self) -> bool:
        """Make the block around it the innermost; return False in a forked child, which has no part in it."""
        _open.set(self.outer)
        return self.process == os.getpid()

    def after_commit(self, function: Callable[[], Any]) -> None:
        """Call a function once when the outermost block around this one has committed everywhere.

        It is called in the scope of this moment, a tenant's lock included, wherever the commit is made.

        Args:
            function: takes no arguments; never called if this block or one around it is rolled back.

        Raises:
            ConfigurationError: a coroutine function, which nobody would await.
        """
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & 0x80:  # inspect.CO_COROUTINE
            raise ConfigurationError(
                "after_commit() takes a plain function: nobody would await a coroutine. Start a task in it: "
                "after_commit(lambda: asyncio.get_running_loop().create_task(work()))."
            )
        self._callbacks.append(kept(function))

    @property
    def databases(self) -> tuple[str, ...]:
        """The names of the databases that are in the block so far."""
        return tuple(branch.name for branch in self.branches)

    def covered(self) -> list[Any]:
        """Return the Database objects of this block and those around it, innermost first."""
        found = [branch.database for branch in self.branches]
        return found if self.outer is None else found + self.outer.covered()

    # Coming in

    def add(self, name: str, database: Any) -> None:
        """Begin a transaction on a database, or a savepoint where one is open.

        Raises:
            NotTransactional: it has neither, or cannot be one of several that commit in two phases.
        """
        outer = self.outer
        if outer is not None and outer.is_joinable:
            outer.cover(database, name)
        branch = Branch(name, database)
        if self.two_phase is not None:
            self._require_one_end(branch)
        if self.two_phase is None or not branch.is_outermost:
            branch.begin()
        else:
            self._begin(branch)
        self.branches.append(branch)
        self._covered.add(id(database))

    def cover(self, database: Any, name: str, writes: bool = True) -> None:
        """Let a database join that a query goes to, if it has not.

        Args:
            database: its Database object.
            name: how messages call it.
            writes: whether the query writes; reads may go to engines that have no transactions.
        """
        outer = self.outer
        if outer is not None and outer.is_joinable:
            outer.cover(database, name, writes)
        if not self.joins or id(database) in self._covered or self.process != os.getpid():
            return
        owner = _here()
        if owner[:2] != self._owner[:2]:
            return  # another thread or task, which has a connection of its own
        if connections.has_transaction(database):
            known = id(database) in self._earlier or (outer is not None and outer.has(database))
            if not known:
                return  # begun inside of the block by other means, and ended there
        elif not writes and not traits_of(database).transactions:
            return
        if connections.is_async(database) and owner[2] is None:
            return  # in no bridge, so that nothing can be sent there either
        if connections.is_async(database) and self._owner[3] == "with" and owner[2] is not self._owner[2]:
            raise NotAsynchronous(
                f"{name!r} is an asynchronous database, and the block around the query was entered by "
                "`with`. Write `async with atomic():`."
            )
        if self._owner[3] == "async with" and not connections.is_async(database):
            raise NotAsynchronous(
                f"async with atomic(): {name!r} is a {type(database).__name__}, not an asynchronous "
                "database. Use `with atomic(...)` for it, or a URL such as postgresql+asyncpg://."
            )
        self.add(name, database)

    def _require_one_end(self, branch: Branch) -> None:
        """See that what this block writes is committed in two phases, here or by one block around it.

        Raises:
            NotTransactional: a database would commit apart from another.
        """
        assert self.two_phase is not None
        entry = self.two_phase[0].entry_of(branch.database)
        if is_held(branch.database) or (entry is not None and entry.read_only):
            return
        end = self if branch.is_outermost else self._ending(branch.database)
        if self._end is None:
            self._end = (branch.name, end)
            return
        name, other = self._end
        if end is other and end is not None and end.two_phase is not None:
            return
        inside = name if other is not self else branch.name
        raise NotTransactional(
            f"two_phase: {name!r} and {branch.name!r} would not commit together: {inside!r} is in a "
            "transaction already, which ends apart from this block. Say two_phase=True in the outermost "
            "block, with all databases in it, or leave the transaction before this block."
        )

    def _ending(self, database: Any) -> Block | None:
        """Return the block around this one that ends the transaction of a database, if it is one."""
        block = self.outer
        while block is not None:
            for branch in block.branches:
                if branch.database is database and branch.is_outermost:
                    return block
            block = block.outer
        return None

    def has(self, database: Any) -> bool:
        """Whether a database is in this block or one around it."""
        return id(database) in self._covered or (self.outer is not None and self.outer.has(database))

    def be_async(self) -> None:
        """Note that it was entered by ``async with``."""
        if self.joins:
            self._owner = (*self._owner[:3], "async with")

    def _begin(self, branch: Branch) -> None:
        """Begin a transaction that this block will end in two phases."""
        assert self.two_phase is not None
        registry, place = self.two_phase
        database = branch.database
        entry = registry.entry_of(database)
        if is_held(database) or (entry is not None and entry.read_only):
            branch.begin()
            return
        if entry is None:
            raise ConfigurationError(
                f"two_phase: {branch.name!r} is not a database of the registry, where recover() would look "
                "for what a crash leaves in doubt. Add it there, or name its own: atomic(..., registry=...)."
            )
        if self._log is None:
            log = log_of(registry, place)
            self._gid = new_gid(log.run(lambda: log.id))
            self._log = log
        if traits_of(database).engine == "mysql" and database.is_closed():
            database.connect()  # it is the version that tells
        two_phase = traits_of(database).two_phase
        if two_phase is None or self._is_logs(database, entry):
            self._begin_last(branch)
            return
        if len(self.branches) >= MOST_BRANCHES:
            raise NotTransactional(f"two_phase: a block has {MOST_BRANCHES} databases at the most.")
        assert self._gid is not None
        branch.begin_prepared(two_phase, self._gid, len(self.branches))

    def _begin_last(self, branch: Branch) -> None:
        assert self._log is not None
        if self._last is not None:
            raise NotTransactional(
                "two_phase: at most one database may take part that does not prepare, since it has to "
                f"commit between the others; here are {self._last.name!r} and {branch.name!r}. (One of "
                f"them may be the log, {self._log.label}.) Take one out of the block, or put the log "
                "elsewhere."
            )
        self._log.make_ready(branch.database)
        branch.begin()
        self._last = branch

    def _is_logs(self, database: Any, entry: Any) -> bool:
        assert self._log is not None
        return self._log.database is database or (
            entry is not None and self._log.name is not None and entry.name == self._log.name
        )

    # Going out

    def abandon(self, error: BaseException) -> None:
        """Roll back what was begun so far; for a block that could not be entered."""
        for branch in reversed(self.branches):
            with contextlib.suppress(Exception):  # the error that is under way says why
                branch.leave((type(error), error, error.__traceback__))

    def finish(self, exc: tuple[Any, ...]) -> None:
        """End the transactions, and call what is to be called after that.

        Args:
            exc: what a ``with`` statement hands over.

        Raises:
            PartialCommit: some databases have committed and others have not.
            Exception: what the first database said that could not do it, or else the first callback.
        """
        branches = self.branches
        if exc[0] is not None:
            outcome = Outcome(exc)
            outcome.end(branches)
            outcome.finish()
            return
        outer = self.outer
        pending: list[Branch] = []
        commit: Commit | None = None
        if len(branches) == 1:
            if branches[0].xid is not None:
                branches[0].take_callbacks()
            branches[0].leave(exc)
            if branches[0].is_outermost:
                # Before the callbacks: what they raise is no reason to run the block again.
                self.note_commit()
        elif branches:
            commit = self._commit()
            pending = self._finish_several(exc, commit)
        callbacks = [one for branch in reversed(branches) for one in branch.callbacks]
        try:
            if outer is not None:
                outer._callbacks += self._callbacks
                call_all(callbacks)
            else:
                call_all(callbacks + self._callbacks)
        finally:
            if commit is not None:
                commit.warn(pending)

    def note_commit(self) -> None:
        """Note that something is committed that neither this block nor one around it rolls back."""
        self.has_committed = True
        if self.outer is not None:
            self.outer.note_commit()

    def _commit(self) -> Commit | None:
        """Return what commits in two phases, None if one will do."""
        if self.two_phase is None or self._log is None or self._gid is None:
            return None
        outermost = [branch for branch in self.branches if branch.is_outermost]
        preparing = [branch for branch in reversed(outermost) if branch.xid is not None]
        if not preparing or len(preparing) + (self._last is not None) < 2:
            return None
        last = self._last
        is_log = last is not None and self._is_logs(last.database, self.two_phase[0].entry_of(last.database))
        return Commit(self._log, self._gid, preparing, last, is_log)

    def _finish_several(self, exc: tuple[Any, ...], commit: Commit | None) -> list[Branch]:
        for branch in self.branches:
            branch.take_callbacks()
        outcome = Outcome(exc)
        outcome.check(self.branches)
        if commit is None:
            outcome.end(self.branches)
        else:
            alone = [one for one in self.branches if one.xid is None and one is not self._last]
            outcome.end(alone, commits=False)
            outcome.two_phase(commit, [one for one in self.branches if one not in alone])
        for branch in self.branches:
            if branch.name in outcome.committed:
                call_all([one for one in branch.callbacks if causality.is_note(one)])
                branch.callbacks = [one for one in branch.callbacks if not causality.is_note(one)]
        if outcome.committed:
            self.note_commit()
        outcome.finish()
        return outcome.pending


def after_commit(function: Callable[[], Any]) -> Callable[[], Any]:
    """Call a function once when the open `atomic` blocks of this thread or task have committed everywhere.

    It is called in the scope of this moment, a tenant's lock included, wherever the commit is made.

    Args:
        function: takes no arguments. It is called at once if no block is open, and never if the block that
            it was registered in, or one around it, is rolled back.

    Returns:
        The function, so that this is a decorator too.

    Raises:
        ConfigurationError: a coroutine function, which nobody would await.
    """
    block = _open.get()
    if block is None:
        call_all([function])
    else:
        block.after_commit(function)
    return function


#: Who calls what is due after a commit, in the place of `call_all`: a test that keeps it; the last one here.
callers: list[Callable[[Callable[[], Any]], object]] = []


def is_held(database: Any) -> bool:
    """Whether a test holds the database's transaction, which nothing is to commit: see `testing.holding`."""
    return getattr(database, "is_held", False) is True


def call_all(functions: list[Callable[[], Any]]) -> None:
    """Call each, also after one failed; raise the first failure at the end."""
    failure: Exception | None = None
    for function in functions:
        try:
            if callers:
                callers[-1](function)
            else:
                function()
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure


def enlist(home: Home, database: Any, writes: bool = False) -> None:
    """Let a database join the open blocks that take what comes; called before each query on a model.

    Args:
        home: the model's.
        database: where the query goes.
        writes: whether it writes.

    Raises:
        MultiDBError: the database cannot take part.
    """
    block = _open.get()
    if block is not None and block.is_joinable:
        name = home.registry.name_of(database) or routing.describe(home, database)
        block.cover(database, name, writes)


def with_transaction() -> list[Any]:
    """Return the databases of all registries that this thread or task has a transaction open on."""
    return [
        database
        for registry in registries()
        for database in list(registry.live.values())
        if connections.has_transaction(database)
    ]


def _here() -> tuple[int, Any, Any, str]:
    """Return the thread, the task and the greenlet that run this code, and how a block is entered."""
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        with contextlib.suppress(RuntimeError):
            task = asyncio.current_task()
    greenlets = sys.modules.get("greenlet")
    return threading.get_ident(), task, greenlets.getcurrent() if greenlets is not None else None, "with"
