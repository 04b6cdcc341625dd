"""One `atomic` block over one or several databases, and the warning for a write that escapes it.

Each database gets its own transaction (a savepoint where one is open already). They are committed one
after the other in the reverse of the order given, so a failure in the middle can leave some of them
committed: then `PartialCommit` says which.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar

import peewee
import playhouse  # type: ignore[import-untyped]

from . import routing, scope
from .drivers import connections, traits_of
from .errors import ConfigurationError, NotAsynchronous, NotTransactional, PartialCommit, UncoveredWrite
from .home import Home
from .registry import databases

__all__ = ["atomic", "together", "warn_if_uncovered"]

F = TypeVar("F", bound=Callable[..., Any])

_NOT_THE_USER = (
    str(Path(__file__).parent) + os.sep,
    str(Path(playhouse.__file__).parent) + os.sep,
    peewee.__file__,
)

# The Database objects that the open blocks of this thread or task cover, innermost first.
_covered: ContextVar[tuple[Any, ...]] = ContextVar("peewee_multidb_covered", default=())


#: Return the Database objects that open blocks of this thread or task cover; empty when none is open.
is_open: Callable[[], tuple[Any, ...]] = _covered.get


class atomic:
    """Run a block in a transaction on each of several databases.

    Args:
        names_or_models: database names of the process-wide registry, or models, which stand for the
            database that they resolve to when the block is entered.

    Works as a context manager, an asynchronous context manager, and a decorator of functions and
    coroutine functions. Blocks nest: an inner one makes savepoints.

    Raises:
        ConfigurationError: no database is named, or something that is neither a name nor a model; or a
            generator function is decorated.
        NotTransactional: a database has no transactions, or no savepoints for a block inside a block.
        PartialCommit: some databases had committed when another failed to, or may have.
    """

    def __init__(self, *names_or_models: str | type[peewee.Model]) -> None:
        if not names_or_models:
            raise ConfigurationError(
                'atomic() needs the databases it covers: atomic("default"), atomic(User, Order).'
            )
        for item in names_or_models:
            home = getattr(getattr(item, "_meta", None), "home", None)
            if not isinstance(item, str) and not isinstance(home, Home):
                raise ConfigurationError(
                    f"atomic() takes database names and models of peewee_multidb, not {item!r}."
                )
        self._items = names_or_models
        self._open: list[_Opened] = []

    def _databases(self) -> list[tuple[str, Any]]:
        """Return the databases to cover, each once, by the names that messages give them."""
        found: dict[int, tuple[str, Any]] = {}
        for item in self._items:
            if isinstance(item, str):
                around = scope.current()
                name = scope.renamed(around, item)
                if around is not None and around.lock is not None:
                    around.lock.check_names((name,), f"atomic({item!r})")
                database: Any = databases[name]
            else:
                home: Home = item._meta.home  # type: ignore[attr-defined]
                target = routing.decide(home, scope.current())
                database = routing.live(home, target)
                name = home.registry.name_of(database) or routing.describe(home, target)
            # Not by name: two registries may each have a database of the same name.
            found.setdefault(id(database), (name, database))
        return list(found.values())

    def __enter__(self) -> None:
        entered: list[_Block] = []
        covered = self._databases()
        try:
            for name, database in covered:
                block = _Block(name, database)
                block.atomic.__enter__()
                entered.append(block)
        except BaseException as error:
            for block in reversed(entered):
                with contextlib.suppress(Exception):  # the error that is under way says why
                    block.atomic.__exit__(type(error), error, error.__traceback__)
            raise
        self._cover(covered, entered)

    def __exit__(self, *exc: Any) -> None:
        outcome = _Outcome(exc)
        for block in self._leave():
            block.before_exit()
            try:
                block.atomic.__exit__(*outcome.seen())
            except BaseException as error:
                outcome.failed(block, error)
            else:
                outcome.done(block)
        outcome.finish()

    async def __aenter__(self) -> None:
        entered: list[_Block] = []
        covered = self._databases()
        try:
            for name, database in covered:
                block = _Block(name, database)
                _require_async(name, database)
                await block.atomic.__aenter__()
                entered.append(block)
        except BaseException as error:
            for block in reversed(entered):
                with contextlib.suppress(Exception):
                    await block.atomic.__aexit__(type(error), error, error.__traceback__)
            raise
        self._cover(covered, entered)

    async def __aexit__(self, *exc: Any) -> None:
        outcome = _Outcome(exc)
        for block in self._leave():
            block.before_exit()
            try:
                await block.atomic.__aexit__(*outcome.seen())
            except BaseException as error:
                outcome.failed(block, error)
            else:
                outcome.done(block)
        outcome.finish()

    def _cover(self, covered: list[tuple[str, Any]], entered: list[_Block]) -> None:
        before = _covered.get()
        self._open.append(_Opened(os.getpid(), before, entered))
        _covered.set((*(database for _, database in covered), *before))

    def _leave(self) -> list[_Block]:
        opened = self._open.pop()
        _covered.set(opened.before)
        # A child that was forked inside the block leaves it too, but has no part in the transactions.
        return list(reversed(opened.blocks)) if opened.process == os.getpid() else []

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"@atomic on {function.__name__}(): a generator runs after the call that makes it, and so "
                "outside of the block. Use `with atomic(...)` around what must be done together."
            )

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with atomic(*self._items):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def ainner(*args: Any, **kwargs: Any) -> Any:
            async with atomic(*self._items):
                return await function(*args, **kwargs)

        return ainner if inspect.iscoroutinefunction(function) else inner  # type: ignore[return-value]


class together(atomic):
    """The same over Database objects that are known already, by the names that messages give them.

    Args:
        covered: the names and the objects.
    """

    def __init__(self, covered: list[tuple[str, Any]]) -> None:
        self._covered = covered
        self._open = []

    def _databases(self) -> list[tuple[str, Any]]:
        return self._covered


class _Block:
    """The part of one database in a block."""

    def __init__(self, name: str, database: Any) -> None:
        self.name = name
        self.database = database
        self.atomic = database.atomic()
        #: Whether leaving it commits: a savepoint's work waits for the transaction around it.
        self.is_outermost = not connections.has_transaction(database)
        self.has_committed = False
        traits = traits_of(database)
        if not (traits.transactions if self.is_outermost else traits.savepoints):
            missing = "transactions" if self.is_outermost else "savepoints, which an inner block needs"
            raise NotTransactional(f"atomic({name!r}): {type(database).__name__} has no {missing}.")

    def before_exit(self) -> None:
        """Ask to be told of the COMMIT, before the user's callbacks are, which may fail."""
        if self.is_outermost:
            self.database._state.commit_callbacks.insert(0, self._committed)

    def _committed(self) -> None:
        self.has_committed = True


class _Opened(NamedTuple):
    """One entering of an `atomic` object: in which process, what was covered before, and the blocks."""

    process: int
    before: tuple[Any, ...]
    blocks: list[_Block]


class _Outcome:
    """What became of each database at the end of a block."""

    def __init__(self, exc: tuple[Any, ...]) -> None:
        self._exc = exc
        self._failure: tuple[str, BaseException] | None = None
        self._later: BaseException | None = None
        self._committed: list[str] = []
        self._rolled_back: list[str] = []
        self._unknown: list[str] = []

    def seen(self) -> tuple[Any, ...]:
        """Return the exception that the next database's block should see."""
        if self._exc[0] is None and self._failure is not None:
            error = self._failure[1]
            return type(error), error, error.__traceback__
        return self._exc

    def done(self, block: _Block) -> None:
        if self.seen()[0] is not None:
            self._rolled_back.append(block.name)
        elif block.is_outermost:
            self._committed.append(block.name)

    def failed(self, block: _Block, error: BaseException) -> None:
        if block.has_committed:
            # A callback failed. The other databases commit all the same, so that they agree with this one.
            self._committed.append(block.name)
            self._later = self._later or error
            return
        # A server that was told to commit and whose answer was lost may have done so. One that was told
        # nothing rolls back when it notices that the connection is gone.
        was_told = self.seen()[0] is None and block.is_outermost
        if was_told and (not isinstance(error, Exception) or connections.is_lost(block.database)):
            self._unknown.append(block.name)
        else:
            self._rolled_back.append(block.name)
        if self._failure is None:
            self._failure = (block.name, error)

    def finish(self) -> None:
        if self._failure is None:
            if self._later is not None:
                raise self._later
            return
        name, error = self._failure
        partial = self._partial(name, error)
        if partial is None:
            raise error
        if isinstance(error, Exception):
            raise partial from error
        # An interrupt or a cancellation stays what it is.
        raise error from partial

    def _partial(self, name: str, error: BaseException) -> PartialCommit | None:
        others = [*self._committed, *self._rolled_back]
        if self._exc[0] is not None or not (self._committed or (self._unknown and others)):
            return None
        states = (
            ("Committed", self._committed),
            ("Rolled back", self._rolled_back),
            ("Unknown, since the answer was lost", self._unknown),
        )
        became = " ".join(f"{state}: {', '.join(map(repr, names))}." for state, names in states if names)
        return PartialCommit(
            f"Committing {name!r} failed ({type(error).__name__}: {error}). {became} "
            "Undo or repeat the work by hand.",
            committed=self._committed,
            rolled_back=self._rolled_back,
            unknown=self._unknown,
        )


def _require_async(name: str, database: Any) -> None:
    if not connections.is_async(database):
        raise NotAsynchronous(
            f"async with atomic({name!r}): {type(database).__name__} is not an asynchronous database. "
            "Use `with atomic(...)`, or a URL such as postgresql+asyncpg://."
        )


def warn_if_uncovered(home: Home, database: Any, what: str) -> None:
    """Warn of a write to a database that the open blocks do not cover.

    Args:
        what: the statement, for the message, such as ``"INSERT"``.
    """
    covered = _covered.get()
    # Asking the database itself also finds the child task or the thread that inherited the block's
    # context but has a connection of its own.
    if covered and not database.in_transaction():
        names = ", ".join(sorted({routing.describe(home, one) for one in covered}))
        here = routing.describe(home, database)
        message = (
            f"{what} on {home.model.__name__} goes to {here}, which the open atomic block does not cover "
            f"(it covers {names}): the write stays even if the block is rolled back. "
            f"Add {here} to atomic(...)."
        )
        frame = _user_frame()
        if frame is None:
            warnings.warn(message, UncoveredWrite)
        else:
            # Not by a stacklevel: how deep Peewee is depends on the method that was called.
            warnings.warn_explicit(
                message,
                UncoveredWrite,
                frame.f_code.co_filename,
                frame.f_lineno,
                frame.f_globals.get("__name__"),
                frame.f_globals.setdefault("__warningregistry__", {}),
            )


def _user_frame() -> FrameType | None:
    """Return the innermost frame that belongs neither to Peewee nor to this package."""
    frame: FrameType | None = sys._getframe()
    bridge = sys.modules.get("greenlet")
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USER):
        frame = frame.f_back
        if frame is None and bridge is not None:
            # The bottom of a greenlet of the asyncio bridge: its caller waits in the parent.
            parent = bridge.getcurrent().parent
            frame, bridge = parent and parent.gr_frame, None
    return frame
