"""One `atomic` block over one or several databases, and the warning for a write that escapes it.

Each database gets its own transaction (a savepoint where one is open already). They are committed one
after the other in the reverse of the order given, so a failure in the middle can leave some of them
committed: then `PartialCommit` says which.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import peewee

from . import routing, scope
from .errors import ConfigurationError, PartialCommit, UncoveredWrite
from .home import Home
from .registry import databases

__all__ = ["atomic", "warn_if_uncovered"]

F = TypeVar("F", bound=Callable[..., Any])

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
        ConfigurationError: no database is named, or something that is neither a name nor a model.
        PartialCommit: some databases had committed when another failed to.
    """

    def __init__(self, *names_or_models: str | type[peewee.Model]) -> None:
        if not names_or_models:
            raise ConfigurationError(
                'atomic() needs the databases it covers: atomic("default"), atomic(User, Order).'
            )
        for item in names_or_models:
            home = getattr(getattr(item, "_meta", None), "home", None)
            if not isinstance(item, str) and not isinstance(home, Home):
                raise ConfigurationError(f"atomic() takes database names and models, not {item!r}.")
        self._items = names_or_models
        self._open: list[tuple[Any, list[tuple[str, Any]]]] = []

    def _databases(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for item in self._items:
            if isinstance(item, str):
                name = scope.renamed(scope.current(), item)
                found.setdefault(name, databases[name])
            else:
                home: Home = item._meta.home  # type: ignore[attr-defined]
                target = routing.decide(home, scope.current())
                found.setdefault(routing.describe(home, target).strip("'"), routing.live(home, target))
        return found

    def __enter__(self) -> None:
        entered: list[tuple[str, Any]] = []
        covered = self._databases()
        try:
            for name, database in covered.items():
                block = database.atomic()
                block.__enter__()
                entered.append((name, block))
        except BaseException as error:
            for _, block in reversed(entered):
                block.__exit__(type(error), error, error.__traceback__)
            raise
        self._open.append((_covered.get(), entered))
        _covered.set((*covered.values(), *_covered.get()))

    def __exit__(self, *exc: Any) -> None:
        outcome = _Outcome(exc)
        for name, block in self._leave():
            try:
                block.__exit__(*outcome.seen())
            except Exception as error:
                outcome.failed(name, error)
            else:
                outcome.done(name)
        outcome.finish()

    async def __aenter__(self) -> None:
        entered: list[tuple[str, Any]] = []
        covered = self._databases()
        try:
            for name, database in covered.items():
                block = _awaitable(name, database)
                await block.__aenter__()
                entered.append((name, block))
        except BaseException as error:
            for _, block in reversed(entered):
                await block.__aexit__(type(error), error, error.__traceback__)
            raise
        self._open.append((_covered.get(), entered))
        _covered.set((*covered.values(), *_covered.get()))

    async def __aexit__(self, *exc: Any) -> None:
        outcome = _Outcome(exc)
        for name, block in self._leave():
            try:
                await block.__aexit__(*outcome.seen())
            except Exception as error:
                outcome.failed(name, error)
            else:
                outcome.done(name)
        outcome.finish()

    def _leave(self) -> list[tuple[str, Any]]:
        before, entered = self._open.pop()
        _covered.set(before)
        return list(reversed(entered))

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with atomic(*self._items):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def ainner(*args: Any, **kwargs: Any) -> Any:
            async with atomic(*self._items):
                return await function(*args, **kwargs)

        return ainner if inspect.iscoroutinefunction(function) else inner  # type: ignore[return-value]


class _Outcome:
    """What became of each database at the end of a block."""

    def __init__(self, exc: tuple[Any, ...]) -> None:
        self._exc = exc
        self._failure: tuple[str, Exception] | None = None
        self._committed: list[str] = []
        self._rolled_back: list[str] = []

    def seen(self) -> tuple[Any, ...]:
        """Return the exception that the next database's block should see."""
        if self._exc[0] is None and self._failure is not None:
            error = self._failure[1]
            return type(error), error, error.__traceback__
        return self._exc

    def done(self, name: str) -> None:
        (self._committed if self.seen()[0] is None else self._rolled_back).append(name)

    def failed(self, name: str, error: Exception) -> None:
        self._rolled_back.append(name)
        if self._failure is None:
            self._failure = (name, error)

    def finish(self) -> None:
        if self._failure is None:
            return
        name, error = self._failure
        if self._exc[0] is None and self._committed:
            raise PartialCommit(
                f"Committing {name!r} failed ({type(error).__name__}: {error}) after "
                f"{', '.join(map(repr, self._committed))} had committed. Rolled back: "
                f"{', '.join(map(repr, self._rolled_back))}. Undo or repeat the work by hand.",
                committed=self._committed,
                rolled_back=self._rolled_back,
            ) from error
        raise error


def _awaitable(name: str, database: Any) -> Any:
    block = database.atomic()
    if not hasattr(block, "__aenter__"):
        raise ConfigurationError(
            f"async with atomic({name!r}): {type(database).__name__} is not an asynchronous database. "
            "Use `with atomic(...)`, or a URL such as postgresql+asyncpg://."
        )
    return block


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
        warnings.warn(
            f"{what} on {home.model.__name__} goes to {here}, which the open atomic block does not cover "
            f"(it covers {names}): the write stays even if the block is rolled back. "
            f"Add {here} to atomic(...).",
            UncoveredWrite,
            stacklevel=5,
        )
