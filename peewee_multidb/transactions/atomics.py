"""`atomic`: one block over one or several databases, as a context manager, a decorator and in attempts.

Each database gets its own transaction (a savepoint where one is open already). They are committed one
after the other in the reverse of the order in which they came, so a failure in the middle can leave some of
them committed: then `PartialCommit` says which. With ``two_phase=True`` that cannot be.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import Any, TypeVar

import peewee

from .. import routing, scope
from ..drivers import connections
from ..errors import ConfigurationError, NotAsynchronous
from ..home import Home
from ..registry import Databases, databases
from .attempts import Attempts, run, run_async
from .block import Block, current

__all__ = ["atomic", "together"]

F = TypeVar("F", bound=Callable[..., Any])


class atomic:
    """Run a block in a transaction on each of several databases.

    Args:
        names_or_models: database names, or models, which stand for the database that they resolve to when
            the block is entered. Without any, each database joins the block when a query on a model first
            goes there.
        two_phase: commit on all or on none, whatever dies in between; see `recover`.
        retries: how many times a decorated function is run again when it lost a race: after a serialization
            failure or a deadlock, while nothing is committed. A ``with`` cannot repeat its block: loop over
            `attempts`.
        log: with `two_phase`, where the decision is written: the name of a database or the path of a file;
            None for the ``transaction_log`` of the registry.
        registry: where names are looked up; None for the process-wide one.

    Works as a context manager, an asynchronous context manager, and a decorator of functions and
    coroutine functions. Blocks nest: an inner one makes savepoints. ``with ... as block`` gives a `Block`,
    whose ``after_commit(function)`` is called when everything is committed.

    Raises:
        ConfigurationError: something is neither a name nor a model; or a generator function is decorated.
        NotTransactional: a database has no transactions, or no savepoints for a block inside a block; or,
            with `two_phase`, more than one cannot prepare.
        PartialCommit: some databases had committed when another failed to, or may have.
        TwoPhaseError: with `two_phase`, nothing is committed.
    """

    def __init__(
        self,
        *names_or_models: str | type[peewee.Model],
        two_phase: bool = False,
        retries: int = 0,
        log: str | os.PathLike[str] | None = None,
        registry: Databases | None = None,
    ) -> None:
        for item in names_or_models:
            if not isinstance(item, str):
                home = getattr(getattr(item, "_meta", None), "home", None)
                if not isinstance(home, Home):
                    raise ConfigurationError(
                        f"atomic() takes database names and models of peewee_multidb, not {item!r}."
                    )
        if retries < 0:
            raise ConfigurationError(f"atomic(retries={retries}): a number of times, from 0.")
        self._items = names_or_models
        self._registry = databases if registry is None else registry
        self._two_phase = (self._registry, log) if two_phase else None
        self._retries = retries
        self._open: list[Block] = []

    def _databases(self) -> list[tuple[str, Any]]:
        """Return the databases to cover, each once, by the names that messages give them."""
        found: dict[int, tuple[str, Any]] = {}
        for item in self._items:
            if isinstance(item, str):
                around = scope.current()
                name = scope.renamed(around, item)
                if around is not None and around.lock is not None:
                    around.lock.check_names((name,), f"atomic({item!r})")
                database: Any = self._registry[name]
            else:
                home: Home = item._meta.home  # type: ignore[attr-defined]
                target = routing.decide(home, scope.current())
                database = routing.live(home, target)
                name = home.registry.name_of(database) or routing.describe(home, target)
            # Not by name: two registries may each have a database of the same name.
            found.setdefault(id(database), (name, database))
        return list(found.values())

    def __enter__(self) -> Block:
        block = self._new_block()
        try:
            for name, database in self._databases():
                block.add(name, database)
        except BaseException as error:
            block.abandon(error)
            raise
        self._open.append(block)
        block.open()
        return block

    def __exit__(self, *exc: Any) -> None:
        block = self._innermost()
        if block.leave():
            block.finish(exc)

    async def __aenter__(self) -> Block:
        block = self._new_block()
        block.be_async()
        covered = self._databases()
        if covered:
            await _bridged(_begin, block, covered)
        self._open.append(block)
        block.open()
        return block

    async def __aexit__(self, *exc: Any) -> None:
        block = self._innermost()
        if not block.leave():
            return
        if block.branches:
            await _bridged(block.finish, exc)
        else:
            block.finish(exc)

    def _innermost(self) -> Block:
        """Take the block that is left now: other threads and tasks may have entered this object too."""
        block = current()
        if block is None or block not in self._open:
            return self._open.pop()  # left in another context than it was entered in
        self._open.remove(block)
        return block

    def _new_block(self) -> Block:
        if self._retries:
            raise ConfigurationError(
                "with atomic(retries=...): a with statement cannot run its block again. Decorate a function, "
                "or write `for attempt in atomic.attempts(..., retries=3):` and `with attempt:` in it."
            )
        return Block(not self._items, self._two_phase)

    def _once(self) -> atomic:
        """Return the same without retries, for one attempt."""
        return atomic(
            *self._items,
            two_phase=self._two_phase is not None,
            log=self._two_phase[1] if self._two_phase is not None else None,
            registry=self._registry,
        )

    @classmethod
    def attempts(
        cls, *names_or_models: str | type[peewee.Model], retries: int = 3, **options: Any
    ) -> Attempts:
        """Return attempts at a block, to loop over: as many as it takes, and no more than there are.

        Args:
            names_or_models: as for `atomic`.
            retries: how many times the block is run again when it lost a race.
            options: as for `atomic`.

        Each attempt is a context manager, or an asynchronous one in ``async for``::

            for attempt in atomic.attempts("default", "orders", retries=5):
                with attempt:
                    ...
        """
        return Attempts(lambda: cls(*names_or_models, **options), retries)

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"@atomic on {function.__name__}(): a generator runs after the call that makes it, and so "
                "outside of the block. Use `with atomic(...)` around what must be done together."
            )

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            if self._retries:
                return run(Attempts(self._once, self._retries), function, args, kwargs)
            with self._once():
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def ainner(*args: Any, **kwargs: Any) -> Any:
            if self._retries:
                return await run_async(Attempts(self._once, self._retries), function, args, kwargs)
            async with self._once():
                return await function(*args, **kwargs)

        return ainner if inspect.iscoroutinefunction(function) else inner  # type: ignore[return-value]


class together(atomic):
    """The same over Database objects that are known already, by the names that messages give them.

    Args:
        covered: the names and the objects.
    """

    def __init__(self, covered: list[tuple[str, Any]]) -> None:
        super().__init__()
        self._covered = covered

    def _databases(self) -> list[tuple[str, Any]]:
        return self._covered

    def _new_block(self) -> Block:
        return Block(False, None)


def _begin(block: Block, covered: list[tuple[str, Any]]) -> None:
    try:
        for name, database in covered:
            if not connections.is_async(database):
                raise NotAsynchronous(
                    f"async with atomic({name!r}): {type(database).__name__} is not an asynchronous "
                    "database. Use `with atomic(...)`, or a URL such as postgresql+asyncpg://."
                )
            block.add(name, database)
    except BaseException as error:
        block.abandon(error)
        raise


async def _bridged(function: Callable[..., None], *args: Any) -> None:
    """Run synchronous code that talks to asynchronous databases."""
    # Not at the top: it needs greenlet, which only an asynchronous database brings.
    try:
        from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]
    except ImportError:
        function(*args)  # there is no such database then, and the function says so
        return
    await greenlet_spawn(function, *args)
