"""The asynchronous methods of a model, over Peewee's greenlet bridge (``playhouse.pwasyncio``).

The same names and meanings as Peewee's AsyncModel, on every model of this package, so that one set of
models serves synchronous and asynchronous databases. The bridge is imported on first use: it needs the
``async`` extra.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import routing, scope
from ..drivers import connections
from ..errors import NotAsynchronous
from ..home import Home
from .rows import at_home, by_home

__all__ = ["AsyncMethods", "run", "some_database"]


async def run(model: Any, database: Any, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run synchronous Peewee code for a model in the bridge.

    Args:
        model: the model, for the message.
        database: where its queries will go.
        function: called with the other arguments.

    Raises:
        NotAsynchronous: the database is not asynchronous.
    """
    if not connections.is_async(database):
        raise NotAsynchronous(
            f"{model.__name__} resolves to {type(database).__name__}, which is not an asynchronous database. "
            "Call the method without the leading 'a', or configure a URL such as postgresql+asyncpg://, "
            "mysql+aiomysql:// or sqlite+aiosqlite://."
        )
    # Not at the top: it needs greenlet, which only an asynchronous database brings.
    from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

    return await greenlet_spawn(function, *args, **kwargs)


def _now(model: Any) -> Any:
    """Return a database that queries on the model go to now: of several that it may be, any."""
    return some_database(model._meta.home, scope.current())


def some_database(home: Home, around: Any) -> Any:
    """Return a Database object for a model: where it lives, or of several that it may be any.

    What needs the row or the query to be decided is decided in the bridge, by the synchronous code.
    """
    if (home.rule is None and not home.reference) or home.database is not None:
        return routing.live(home, routing.decide(home, around))
    if scope.place(around, home) is not None:
        return routing.live(home, routing.decide(home, around))
    names = home.names or ()
    return routing.live(home, scope.renamed(around, names[0]))


class AsyncMethods:
    """What ``await`` is for: each method is the synchronous one of the same name without the ``a``.

    All of them raise `NotAsynchronous` where the model resolves to a database that is not asynchronous.
    """

    _meta: Any
    _home: Any

    @classmethod
    async def acreate(cls, **query: Any) -> Any:
        """Insert a row and return it, as ``create()``."""
        model: Any = cls
        return await run(cls, _now(cls), model.create, **query)

    @classmethod
    async def aget(cls, *query: Any, **filters: Any) -> Any:
        """Return the first row that matches, as ``get()``; raises ``DoesNotExist`` if there is none."""
        model: Any = cls
        return await run(cls, _now(cls), model.get, *query, **filters)

    @classmethod
    async def aget_or_none(cls, *query: Any, **filters: Any) -> Any:
        """Return the first row that matches, or None, as ``get_or_none()``."""
        model: Any = cls
        return await run(cls, _now(cls), model.get_or_none, *query, **filters)

    @classmethod
    async def aget_by_id(cls, pk: Any) -> Any:
        """Return the row with this primary key, as ``get_by_id()``."""
        model: Any = cls
        return await run(cls, _now(cls), model.get_by_id, pk)

    @classmethod
    async def aget_or_create(cls, **kwargs: Any) -> Any:
        """Return a row and whether it was created, as ``get_or_create()``."""
        model: Any = cls
        return await run(cls, _now(cls), model.get_or_create, **kwargs)

    @classmethod
    async def aset_by_id(cls, key: Any, value: Any) -> Any:
        """Update the row with this primary key, as ``set_by_id()``."""
        model: Any = cls
        return await run(cls, _now(cls), model.set_by_id, key, value)

    @classmethod
    async def adelete_by_id(cls, pk: Any) -> Any:
        """Delete the row with this primary key, as ``delete_by_id()``."""
        model: Any = cls
        return await run(cls, _now(cls), model.delete_by_id, pk)

    @classmethod
    async def abulk_create(cls, model_list: Any, batch_size: int | None = None) -> Any:
        """Insert many rows, as ``bulk_create()``."""
        model: Any = cls
        rows = list(model_list)
        if rows:
            await run(cls, _now(cls), model.bulk_create, rows, batch_size)

    @classmethod
    async def abulk_update(cls, model_list: Any, fields: Any, batch_size: int | None = None) -> Any:
        """Update fields of many rows, as ``bulk_update()``."""
        model: Any = cls
        changed = 0
        for rows in by_home(model_list):
            with at_home(rows[0]):
                database = _now(cls)
            # Each database of its own, for it may be one that is not asynchronous.
            changed += await run(cls, database, model.bulk_update, rows, fields, batch_size)
        return changed

    async def asave(self, force_insert: bool = False, only: Any = None) -> Any:
        """Save the row where it lives, as ``save()``."""
        return await self._arun("save", force_insert, only)

    async def adelete_instance(self, recursive: bool = False, delete_nullable: bool = False) -> Any:
        """Delete the row where it lives, as ``delete_instance()``."""
        return await self._arun("delete_instance", recursive, delete_nullable)

    async def arefresh(self, *fields: Any) -> Any:
        """Load the row again from where it lives, as ``refresh()``."""
        return await self._arun("refresh", *fields)

    async def afetch(self, field: Any) -> Any:
        """Load a foreign key of this row: ``user = await tweet.afetch(Tweet.user)``."""
        name = field if isinstance(field, str) else field.name
        found = self._meta.combined[name]
        if found.name in self.__rel__:  # type: ignore[attr-defined]
            return self.__rel__[found.name]  # type: ignore[attr-defined]
        with at_home(self):
            database = _now(found.rel_model)
        return await run(found.rel_model, database, getattr, self, found.name)

    async def _arun(self, method: str, *args: Any) -> Any:
        if self._home is not None:
            with at_home(self):
                database = _now(type(self))
        else:
            database = _now(type(self))
        return await run(type(self), database, getattr(self, method), *args)

