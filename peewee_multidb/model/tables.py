"""The guard: no table of another database gets into a statement.

Peewee renders a model through its Table, wherever in a statement the model appears. The subclass here
asks, once for each appearance in a FROM clause, whether the model lives where the statement is going.
"""

from __future__ import annotations

import functools
from typing import Any

import peewee

from .. import routing, scope
from ..drivers.schemas import SCHEMA
from ..errors import ConfigurationError, CrossDatabaseQuery, MultiDBError
from ..home import Home
from .dialect import context_database
from .stock import stock

__all__ = ["FRAME", "SHOWN", "RoutedTable", "check_nested", "check_source", "cross_database", "refuse_plain"]

#: Key of the settings of a SQL context: the query that is being compiled around what comes next.
FRAME = "multidb_frame"


class _Shown:
    """In place of a query: the statement is only shown, and nothing need be refused."""

    model = None


#: The frame of a statement that is shown and not sent.
SHOWN = _Shown()


_entity = functools.lru_cache(maxsize=4096)(peewee.Entity)


class RoutedTable(stock.Table):  # type: ignore[misc]
    """The Table of a model."""

    _model: Any
    _schema: str | None

    @property
    def _database(self) -> Any:
        # For queries on the table itself, Peewee's lower level: where the model lives right now.
        try:
            return self._model._meta.handle.obj
        except MultiDBError:
            return None

    @_database.setter
    def _database(self, database: Any) -> None:
        """Peewee's constructor hands in the model's database of the moment."""

    def __sql__(self, ctx: Any) -> Any:
        # As Peewee's, without an Entity made anew for each column of each statement.
        if ctx.scope == peewee.SCOPE_VALUES:
            return ctx.sql(self.name_in(ctx))
        if self._alias:
            ctx.alias_manager[self] = self._alias
        if ctx.scope != peewee.SCOPE_SOURCE:
            return ctx.sql(_entity(ctx.alias_manager[self]))
        frame = ctx.state.settings.get(FRAME)
        if frame is not None and frame.model is not self._model:
            check_source(ctx, frame, self._model)
        return self.apply_alias(ctx.sql(self.name_in(ctx)))

    def name_in(self, ctx: Any) -> Any:
        """Return the table's name for a statement: with the schema of the database, if that is one."""
        schema = ctx.state.settings.get(SCHEMA)
        if schema is None:
            return _entity(*self._path)
        if self._schema is not None and self._schema != schema:
            raise ConfigurationError(
                f"{self._model.__name__}.Meta.schema is {self._schema!r}, but the query goes to the schema "
                f"{schema!r} of its database. Leave Meta.schema out, or give the model a database without "
                "'schema', and db_pinned = True if all tenants share the table."
            )
        return _entity(schema, self._path[-1])

    def bind(self, database: Any = None) -> Any:
        """Bind the model."""
        self._model._meta.set_database(database)
        return self

    def clone(self) -> RoutedTable:
        clone: Any = super().clone()
        clone.__class__ = type(self)
        return clone  # type: ignore[no-any-return]


def check_source(ctx: Any, frame: Any, model: Any) -> None:
    """Raise if a model in a FROM clause does not live where the statement is going.

    Args:
        ctx: the SQL context.
        frame: the query whose binding and scope decide for the models in it.
        model: the model that has turned up.

    Raises:
        CrossDatabaseQuery: it lives elsewhere.
    """
    database = context_database(ctx)
    home: Home | None = getattr(model._meta, "home", None)
    if frame is SHOWN or database is None or home is None:
        return
    root: Home = frame.model._meta.home
    if home.rule is not None and home is root:
        return
    around = frame._scope if frame._scope is not None else scope.current()
    here = root.registry.name_of(database) or database
    if _is_beside(frame, around, home, here):
        return
    using = frame._told()
    if using is None and not _is(root, routing.decide(root, around, query=frame), database):
        # execute(database) was called with another database: that is where the whole query is meant.
        using = here
    there = routing.follow(home, around, root, using)
    if not _is(home, there, database):
        raise cross_database(root, here, home, there)


def check_nested(ctx: Any, query: Any, frame: Any | None) -> None:
    """Raise if a query inside another is bound to, was built for, or has the key of another database.

    Args:
        ctx: the SQL context.
        query: the query inside.
        frame: the query around it, whose binding it follows when it has none of its own; None inside a
            query that is no model's.

    Raises:
        CrossDatabaseQuery: it is.
        ScatterNotSupported: the model is sharded, and nothing says that one shard has all of its rows.
    """
    database = context_database(ctx)
    if database is None:
        return
    home: Home = query.model._meta.home
    here = home.registry.name_of(database) or database
    if frame is not None and not query._is_decided() and _is_beside(frame, frame._around(), home, here):
        return
    if frame is None or query._is_decided():
        there = query._decide()
    else:
        there = routing.follow(home, frame._around(), frame.model._meta.home, frame._told(), query)
    if not _is(home, there, database):
        raise cross_database(home, here, home, there)


def _is_beside(frame: Any, around: Any, home: Home, here: Any) -> bool:
    """Whether a model has what a statement needs of it wherever the statement goes.

    A reference model has all of its rows in each of its databases. And the sharded models of a statement
    whose shards the rule has found were looked at together then.
    """
    if (home.rule is None and not home.reference) or home.database is not None:
        return False
    if here not in {scope.renamed(around, name) for name in home.names or ()}:
        return False
    if home.reference:
        return True
    root: Home = frame.model._meta.home
    if (root.rule is None and not root.reference) or root.registry is not home.registry:
        return False
    if frame._told() is not None or scope.place(around, home) is not None:
        return False
    placed = scope.place(around, root)
    return placed is None or (root.reference and placed[1].final)


def refuse_plain(ctx: Any, query: Any, *sources: Any) -> None:
    """Raise if a statement reaches a plain Peewee model that is bound to another database.

    Such a model does not come by the guard, so this is asked where one can be put beside ours: in joins,
    compound queries and INSERT from a query. In a subquery of a WHERE clause nobody asks.

    Raises:
        CrossDatabaseQuery: it does.
    """
    database = context_database(ctx)
    if database is None or not query._guarded:
        return
    for source in sources:
        model = getattr(source, "model", source)
        meta = getattr(model, "_meta", None)
        if not isinstance(meta, peewee.Metadata) or getattr(meta, "home", None) is not None:
            continue
        there: Any = meta.database
        if isinstance(there, peewee.Proxy):
            there = there.obj
        if there is not None and there is not database:
            root: Home = query.model._meta.home
            raise CrossDatabaseQuery(
                f"A query on {root.model.__name__} runs on {routing.describe(root, database)}, but "
                f"{model.__name__}, a plain Peewee model, is bound to {routing.describe(root, there)}. "
                "Fetch the keys first and use .in_(list), or adopt() the model."
            )


def cross_database(root: Home, here: Any, home: Home, there: Any) -> CrossDatabaseQuery:
    """The error for a statement that would need tables of two databases."""
    name, other = root.model.__name__, home.model.__name__
    elsewhere = "a query of it inside goes to" if root is home else f"{other} lives in"
    return CrossDatabaseQuery(
        f"A query on {name} runs on {routing.describe(root, here)}, but {elsewhere} "
        f"{routing.describe(home, there)}. One statement cannot "
        f"reach both. Load them apart: .prefetch({other}) or foreign keys work across databases, or fetch "
        f"the keys first and use .in_(list)."
    )


def _is(home: Home, target: Any, database: Any) -> bool:
    """Whether a model was sent to this database; another registry's name for it is not its name."""
    if isinstance(target, str):
        return home.registry.name_of(database) == target
    return target is database or (isinstance(target, peewee.Proxy) and target.obj is database)
