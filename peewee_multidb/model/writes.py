"""Queries that change rows, and raw SQL, which may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee

from .. import routing, scope, statements, transactions
from ..drivers import connections, failures
from ..errors import MultiDBError, ReadOnlyDatabase
from ..home import Home
from ..scope import Target
from . import dialect, fencing, sharded_writes
from .queries import RoutedQuery
from .reading import read
from .stock import stock
from .tables import FRAME, SHOWN, refuse_plain

__all__ = ["RoutedDelete", "RoutedInsert", "RoutedRaw", "RoutedUpdate", "RoutedWrite"]


class RoutedWrite(RoutedQuery):
    """Queries that change rows."""

    def __sql__(self, ctx: Any) -> Any:
        settings = ctx.state.settings
        if not ctx._sql:
            # A statement of its own: nothing is compiled after it whose frame would have to be restored.
            settings[FRAME] = self if self._guarded else SHOWN
            write = settings.get("write_query")
            return super(RoutedQuery, self).__sql__(ctx) if write is None else write(ctx, self)
        # Inside another statement, a WITH clause for instance, it is not executed but writes all the same.
        if settings.get(FRAME) is not SHOWN:
            database = dialect.context_database(ctx)
            if database is not None:
                _check_write(self, database)
        return super().__sql__(ctx)

    def _get_model_cursor_wrapper(self, cursor: Any) -> Any:
        return self._homed(cursor, [], self.model)

    def execute(self, database: Any = None) -> Any:
        if database is None and self._bound is None and self._scope is None and self._role is None:
            home: Home = self.model._meta.home
            if home.plain and home.stored is None and not home.reference and _nothing_around():
                # The common case: the name says where it goes, and nothing is to be asked.
                registry = home.registry
                database = registry.live.get(home.name)  # type: ignore[arg-type]
                entry = registry.entry_by_id.get(id(database))
                if entry is not None and not entry.read_only:
                    self._ran_on = database
                    try:
                        return self._write(database)
                    except Exception as error:
                        self._failed(database, error)
                        raise
                database = None
        return super().execute(database)

    def _execute(self, database: Any) -> Any:
        _check_write(self, database)
        self._ran_on = database
        try:
            return _fenced(self, database, self._write)
        except Exception as error:
            self._failed(database, error)
            raise

    def _failed(self, database: Any, error: Exception) -> None:
        """Let go of a connection that is no use any more; raise if the primary takes no writes."""
        if failures.is_read_only(error):
            raise _demoted(self.model._meta.home, database, routing.statement_of(self), error) from error
        if not connections.has_transaction(database) and failures.is_disconnect(database, error):
            # So that the next statement finds the server again, or the one that took its place.
            connections.drop(database)

    def _write(self, database: Any) -> Any:
        return super()._execute(database)

    def _execute_many(self, targets: tuple[Target, ...]) -> Any:
        return sharded_writes.change_each(self, sharded_writes.each_database(self, targets, _check_write))


class RoutedUpdate(RoutedWrite, stock.ModelUpdate):  # type: ignore[misc]
    """An UPDATE."""


class RoutedDelete(RoutedWrite, stock.ModelDelete):  # type: ignore[misc]
    """A DELETE."""


class RoutedInsert(RoutedWrite, stock.ModelInsert):  # type: ignore[misc]
    """An INSERT; whether it says RETURNING is for the engine that it is compiled for."""

    def with_rows(self, rows: Any) -> Any:
        """Return a copy that inserts these rows."""
        copy = RoutedInsert.__new__(RoutedInsert)
        copy.__dict__ = {**self.__dict__, "_insert": rows}
        return copy

    def _run(self) -> Any:
        home: Home = self.model._meta.home
        if self._bound is None and home.rule is not None and home.database is None:
            kind = self._query_type
            if kind != peewee.Insert.SIMPLE and scope.place(self._around(), home) is None:
                if kind == peewee.Insert.QUERY:
                    return sharded_writes.insert_selected(self, _check_write)
                return sharded_writes.insert_rows(self, _check_write)
        return super()._run()

    def _execute_many(self, targets: tuple[Target, ...]) -> Any:
        return sharded_writes.insert_copies(self, sharded_writes.each_database(self, targets, _check_write))

    def _write(self, database: Any) -> Any:
        if self._return_cursor or self._returning == ():
            # The user called returning(), with or without columns.
            return stock.Insert._execute(self, database)
        returning, row_type = self._returning, self._row_type
        self._returning = None
        try:
            return stock.Insert._execute(self, database)
        finally:
            # Peewee adds the primary key for engines with RETURNING; the next run may be on another.
            # And what is compiled next, by Database.execute() for instance, may be for another.
            self._returning, self._row_type, self._ran_on = returning, row_type, None

    def apply_returning(self, ctx: Any) -> Any:
        # Running, the engine is known already; shown, the context knows it.
        database = self._ran_on
        if database is None:
            database = dialect.context_database(ctx)
        if database is None or self._return_cursor or self._returning == ():
            return super().apply_returning(ctx)
        if not database.returning_clause:
            return ctx
        keys = None if self._as_rowcount else self._pk_returning()
        if keys:
            with ctx.scope_source():
                ctx.literal(" RETURNING ").sql(peewee.CommaNodeList(keys))
        return ctx

    def _query_insert(self, ctx: Any) -> Any:
        refuse_plain(ctx, self, getattr(self._insert, "model", None))
        return super()._query_insert(ctx)

    def _default_values(self, ctx: Any) -> Any:
        database = dialect.context_database(ctx)
        if database is None:
            # Shown in no context in particular: as the engine that it would run on says it.
            try:
                database = self._database
            except MultiDBError:
                return ctx.literal("DEFAULT VALUES")
        return super()._default_values(ctx) if database is None else database.default_values_insert(ctx)


class RoutedRaw(RoutedQuery, stock.ModelRaw):  # type: ignore[misc]
    """SQL as it was written."""

    def _get_model_cursor_wrapper(self, cursor: Any) -> Any:
        return self._homed(cursor, [], self.model)

    def _execute(self, database: Any) -> Any:
        reads = statements.only_reads(self._sql)
        if not reads:
            _check_write(self, database)
        if self._ran_on is not database:
            self._ran_on, self._cursor_wrapper = database, None
        if not reads:
            return _fenced(self, database, super()._execute)
        if self._cursor_wrapper is not None:
            return super()._execute(database)
        # As Peewee's, on the server that the read belongs to.
        cursor = read(self, database, self._send)
        self._cursor_wrapper = self._get_cursor_wrapper(cursor)
        return self._cursor_wrapper

    def _send(self, server: Any) -> Any:
        return server.execute(self)

    def _ensure_execution(self) -> None:
        if self._cursor_wrapper is not None and self._is_decided_anew() and statements.only_reads(self._sql):
            self.execute()
        else:
            super()._ensure_execution()


def _demoted(home: Home, database: Any, verb: str, error: Exception) -> ReadOnlyDatabase:
    """The error for a primary that takes no writes, whose connection is not used for another one."""
    connections.leave(database)
    entry = home.registry.entry_of(database)
    server = "" if entry is None or entry.primary is None else f" ({entry.primary.label})"
    return ReadOnlyDatabase(
        f"{verb} on {home.model.__name__}: the primary of {routing.describe(home, database)}{server} takes "
        f"no writes; it was demoted, or somebody made it read-only ({error}). Nothing was written. Point "
        "the url at the new primary, or list in it all servers that may become one: "
        "postgresql://db1,db2/name."
    )


def _fenced(query: Any, database: Any, action: Callable[[Any], Any]) -> Any:
    """Write where rows may move, if they do not just then."""
    stored = query.model._meta.home.stored
    return action(database) if stored is None else fencing.write(query, database, stored, action)


def _nothing_around() -> bool:
    return scope.current() is None and transactions.current() is None


def _check_write(query: Any, database: Any) -> None:
    home: Home = query.model._meta.home
    if query._scope is None and query._role is None and _nothing_around():
        entry = home.registry.entry_by_id.get(id(database))
        if entry is not None and not entry.read_only:
            return
    verb = routing.statement_of(query)
    routing.refuse_write(home, query._around(), database, verb, query._role)
    transactions.enlist(home, database, writes=True)
    transactions.warn_if_uncovered(home, database, verb)
