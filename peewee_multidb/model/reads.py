"""Queries of rows: SELECT, compound queries, and the aliases that they are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee

from .. import routing
from ..drivers.schemas import SCHEMA
from ..errors import ConfigurationError
from ..home import Home
from ..scope import Target
from ..shards.jobs import Options
from . import dialect, fencing, loading, scatter
from .queries import RoutedQuery
from .reading import read
from .rows import HomedModelCursor
from .stock import stock
from .tables import FRAME, check_source, refuse_plain

__all__ = ["RoutedAlias", "RoutedCompound", "RoutedNoop", "RoutedRead", "RoutedSelect"]


class RoutedRead(RoutedQuery):
    """Queries of rows: what joins, compounds and prefetch make of them is routed too."""

    #: What scatter() said.
    _options: Options | None = None

    def _placed(self) -> Any:
        home: Home = self.model._meta.home
        if home.rule is None and not home.reference:
            return super()._placed()
        targets = self._decide_many()
        if len(targets) == 1:
            return routing.live(home, targets[0])
        return scatter.shards_of(home, targets)

    def _execute_many(self, targets: tuple[Target, ...]) -> Any:
        return self._execute(scatter.shards_of(self.model._meta.home, targets))

    def scatter(
        self, *, limit: int | None = None, timeout: float | None = None, partial: bool = False
    ) -> Any:
        """Return this query with a word about how it is run on several shards; on one it means nothing.

        Args:
            limit: the most shards that are asked at the same time; all of them by default.
            timeout: seconds after which the whole is given up; None for never.
            partial: take the rows of the shards that answer, and list the others in ``missing``.

        Raises:
            ConfigurationError: a limit or a timeout that is not above 0.
        """
        if (limit is not None and limit < 1) or (timeout is not None and timeout <= 0):
            raise ConfigurationError("scatter(): limit and timeout must be above 0; None is for no limit.")
        clone = self.clone()
        clone._options = Options(limit, timeout, partial)
        clone._cursor_wrapper = None
        return clone

    @property
    def missing(self) -> tuple[str, ...]:
        """The database names of the shards that did not answer a ``scatter(partial=True)``."""
        return tuple(self._options.missing) if self._options is not None else ()

    def _scatter_options(self) -> Options:
        return self._options if self._options is not None else Options()

    def union_all(self, rhs: Any) -> RoutedCompound:
        return RoutedCompound(self.model, self, "UNION ALL", rhs)

    def union(self, rhs: Any) -> RoutedCompound:
        return RoutedCompound(self.model, self, "UNION", rhs)

    def intersect(self, rhs: Any) -> RoutedCompound:
        return RoutedCompound(self.model, self, "INTERSECT", rhs)

    def except_(self, rhs: Any) -> RoutedCompound:
        return RoutedCompound(self.model, self, "EXCEPT", rhs)

    __add__ = union_all
    __or__ = union
    __and__ = intersect
    __sub__ = except_

    def count(self, database: Any = None, clear_limit: bool = False) -> Any:
        """Return the number of rows, counted where the query runs."""
        if database is not None:
            return self.clone().bind(database).count(None, clear_limit)
        count = super().count

        def ask(here: Any) -> Any:
            if isinstance(here, scatter.Shards):
                return scatter.count(self, here, clear_limit)
            return read(self, here, lambda server: count(server, clear_limit))

        return self._ask(ask)

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask something where the query runs."""
        stored = self.model._meta.home.stored
        if stored is None:
            return question(self._database)
        return fencing.run(self, stored, lambda: question(self._database))

    def exists(self, database: Any = None) -> Any:
        """Return whether there is a row, asked where the query runs."""
        if database is not None:
            return self.clone().bind(database).exists()
        exists = super().exists

        def ask(here: Any) -> Any:
            if isinstance(here, scatter.Shards):
                return scatter.exists(self, here)
            return read(self, here, exists)

        return self._ask(ask)

    def iterator(self, database: Any = None) -> Any:
        """Return an iterator over the rows that keeps none of them.

        Over several shards the rows are read while they are used, by cursors on the servers where the engine
        has them.
        """
        here = self._database if database is None else database
        if not isinstance(here, scatter.Shards) or self._load_tree:
            return super().iterator(database)
        stored = self.model._meta.home.stored
        if stored is None:
            return scatter.stream(self, here)
        return fencing.stream(self, stored, scatter.stream)

    def prefetch(self, *subqueries: Any, **kwargs: Any) -> Any:
        """Load related rows with one query for each relation, also from other databases.

        A query that says nothing about its database follows the rows that it belongs to.
        """
        return loading.prefetch(self, *subqueries, **kwargs)

    def __iter__(self) -> Any:
        # Running it again where it ran last costs the decision alone.
        rows = self._cursor_wrapper
        if not rows or self._is_decided_anew():
            return iter(self.execute())
        self._refuse_kept()
        return iter(rows)

    def _ensure_execution(self) -> None:
        if self._cursor_wrapper is not None and self._is_decided_anew():
            self.execute()
        else:
            super()._ensure_execution()

    def _send(self, server: Any) -> Any:
        return server.execute(self)

    def _execute(self, database: Any) -> Any:
        # Instead of Peewee's two methods: its loader would run the whole tree on this one database.
        wrapper = self._cursor_wrapper
        if isinstance(database, scatter.Shards):
            if wrapper is None or not database.same_as(self._ran_on):
                wrapper = self._cursor_wrapper = scatter.execute(self, database)
                self._ran_on = database
                if self._load_tree and self._model_rows():
                    loading.load_related_apart(list(wrapper), self, self._load_tree)
            return wrapper
        if wrapper is None or self._ran_on is not database:
            cursor = read(self, database, self._send)
            self._ran_on = database
            wrapper = self._cursor_wrapper = self._get_cursor_wrapper(cursor)
            if self._load_tree and self._model_rows():
                loading.load_related(list(wrapper), self, self._load_tree, database)
        return wrapper


class RoutedSelect(RoutedRead, stock.ModelSelect):  # type: ignore[misc]
    """A SELECT."""

    def _get_model_cursor_wrapper(self, cursor: Any) -> Any:
        if len(self._from_list) == 1 and not self._joins:
            return self._homed(cursor, self._returning, self.model)
        wrapper = HomedModelCursor(cursor, self.model, self._returning, self._from_list, self._joins)
        wrapper.database = self._database if self._ran_on is None else self._ran_on
        wrapper.around = self._around()
        return wrapper


class RoutedCompound(RoutedRead, stock.ModelCompoundSelectQuery):  # type: ignore[misc]
    """A UNION, INTERSECT or EXCEPT; it goes where its left side was told to go."""

    def __init__(self, model: Any, lhs: Any, op: str, rhs: Any) -> None:
        super().__init__(model, lhs, op, rhs)
        if isinstance(lhs, RoutedQuery) and lhs._is_decided():
            self._bound, self._scope = lhs._bound, lhs._scope

    def __sql__(self, ctx: Any) -> Any:
        refuse_plain(ctx, self, getattr(self.lhs, "model", None), getattr(self.rhs, "model", None))
        return super().__sql__(ctx)

    def _get_model_cursor_wrapper(self, cursor: Any) -> Any:
        # The left side says what the rows look like; where they are from, only the whole knows.
        left = self.lhs.clone()
        left._bound, left._scope, left._ran_on = self._bound, self._scope, self._ran_on
        return left._get_model_cursor_wrapper(cursor)


class RoutedNoop(RoutedRead, stock.NoopModelSelect):  # type: ignore[misc]
    """A query without rows."""

    def __sql__(self, ctx: Any) -> Any:
        database = dialect.context_database(ctx) or self._database
        return database.get_noop_select(ctx)


class RoutedAlias(stock.ModelAlias):  # type: ignore[misc]
    """An alias of a model."""

    def select(self, *selection: Any) -> Any:
        return RoutedSelect(self, selection or self.get_field_aliases())

    def __sql__(self, ctx: Any) -> Any:
        if ctx.scope == peewee.SCOPE_SOURCE:
            frame = ctx.state.settings.get(FRAME)
            if frame is not None and frame.model is not self:
                check_source(ctx, frame, self.model)
            if SCHEMA in ctx.state.settings:
                # As Peewee's, which writes the table's name as it is in the Meta.
                if self.alias:
                    ctx.alias_manager[self] = self.alias
                name = self.model._meta.table.name_in(ctx)
                return ctx.sql(name).literal(" AS ").sql(peewee.Entity(ctx.alias_manager[self]))
        return super().__sql__(ctx)
