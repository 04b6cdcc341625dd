"""Peewee's query classes, routed.

A query asks once, when it is executed, which database it runs on, and then talks to that Database
object directly. ``_database`` is the seam: every path in Peewee that runs or compiles a query reads it.
"""

from __future__ import annotations

from typing import Any

import peewee

from .. import routing, scope
from ..errors import ConfigurationError, MultiDBError, NoDatabaseSelected
from ..home import Home
from ..scope import Scope, Target
from ..shards import pruning
from . import dialect, fencing, scatter
from .aio import run, some_database
from .handle import ModelDatabase
from .rows import HomedObjectCursor, home_node
from .stock import Mixin, stock
from .tables import FRAME, SHOWN, check_nested, refuse_plain

__all__ = ["RoutedQuery"]


class _Unbound:
    """The state of a query that was bound to None on purpose: it has no database, as in Peewee."""


class _New:
    """The state of a query that Peewee is constructing."""


# Classes, because a copied or unpickled query has the very same.
_UNBOUND: Any = _Unbound
_NEW: Any = _New

# attrdict looks its names up through __getattr__, and this one is asked for at every query.
ROW_MODEL: int = peewee.ROW.MODEL


class RoutedQuery(Mixin):  # type: ignore[misc]
    """What every query of our models adds to Peewee's."""

    model: Any
    _bound: Any = _NEW
    _scope: Scope | None = None
    _ran_on: Any = None
    #: What using() said of the role.
    _role: str | None = None
    _for_update: Any = None
    _cte_list: Any = None
    #: Whether execute() was given another Database object than the query would have run on.
    _sent_elsewhere = False
    #: It is the part of another query that one of several shards gets.
    _is_part = False
    #: The state of the shard map that the query is running by, where rows may move.
    _map_state: Any = None
    _guarded = True
    _joins: Any = None
    _is_default = False
    _cursor_wrapper: Any
    _returning: Any
    _row_type: Any

    @property
    def _database(self) -> Any:
        bound = self._bound
        if bound is None:
            around = self._scope
            if around is None:
                around = scope.current()
            if around is None:
                home = self.model._meta.home
                if home.plain:
                    live = home.registry.live.get(home.name)
                    if live is not None:
                        return live
        elif bound is _UNBOUND or bound is _NEW:
            return None
        return self._placed()

    @_database.setter
    def _database(self, database: Any) -> None:
        # Peewee assigns twice while it constructs a query, first None and then the model's database.
        # Nothing is decided by that, unless a scope applies: then the query keeps it, wherever it runs.
        if "_bound" not in self.__dict__:
            self._bound = _NEW
        else:
            self._bound = None
            self._capture()

    def _placed(self) -> Any:
        return routing.live(self.model._meta.home, self._decide())

    def _capture(self) -> None:
        around = scope.current()
        if around is not None and _applies(around, self.model._meta.home):
            self._scope = around

    def bind(self, database: Any = None) -> Any:
        """Bind this query to a Database object, for good; None leaves it without one."""
        if isinstance(database, ModelDatabase):
            database = database.obj
        self._bound = _UNBOUND if database is None else database
        return self

    def using(self, name: str | None = None, *, role: str | None = None) -> Any:
        """Return this query, to be run on the database of that name.

        Args:
            name: a database name; None leaves that as it is.
            role: ``"primary"`` or ``"replica"``, whatever the blocks around it say.

        Raises:
            ConfigurationError: not a name, no such role, or neither is given.
        """
        if (name is None and role is None) or (name is not None and not isinstance(name, str)):
            raise ConfigurationError(f"using() takes a database name, not {name!r}; bind() takes a Database.")
        if role is not None and role not in scope.ROLES:
            raise ConfigurationError(f"using(role={role!r}): a role is 'primary' or 'replica'.")
        clone = self.clone()
        if name is not None:
            clone._bound = name
        if role is not None:
            clone._role = role
        return clone

    def _decide(self, reasons: routing.Reasons | None = None) -> Target:
        return routing.decide(
            self.model._meta.home,
            self._around(),
            using=self._told(),
            query=self,
            reasons=reasons,
        )

    def _decide_many(self, reasons: routing.Reasons | None = None) -> tuple[Target, ...]:
        return routing.decide_many(
            self.model._meta.home,
            self._around(),
            using=self._told(),
            query=self,
            reasons=reasons,
        )

    def _execute_many(self, targets: tuple[Target, ...]) -> Any:
        """Run the query on several databases, or on none when its clauses contradict each other."""
        raise pruning.not_one(self.model._meta.home, self, [str(target) for target in targets])

    def _told(self) -> Target | None:
        """Return what using() or bind() said."""
        return None if self._bound is _UNBOUND or self._bound is _NEW else self._bound

    def beside(self) -> Any:
        """Return this query as if it were built here: it keeps the current scope if that applies."""
        clone = self.clone()
        clone._capture()
        return clone

    def _is_decided(self) -> bool:
        return self._scope is not None or self._bound not in (None, _UNBOUND, _NEW)

    def __sql__(self, ctx: Any) -> Any:
        # State copies this dict when it is overridden, so what is nested deeper sees the frame too.
        settings = ctx.state.settings
        outer = settings.get(FRAME)
        if outer is None:
            if ctx._sql and self._guarded:
                # Inside a Select of Peewee's lower level, which nobody asks where it goes.
                check_nested(ctx, self, None)
            settings[FRAME] = self if self._guarded else SHOWN
        elif outer is SHOWN:
            pass
        elif outer is not self and (self._is_decided() or self.model._meta.home.rule is not None):
            check_nested(ctx, self, outer)
            if self._is_decided():
                settings[FRAME] = self
        if self._joins:
            for joins in self._joins.values():
                refuse_plain(ctx, self, *(join[0] for join in joins))
        # A database whose SQL is another writes queries in a way of its own, once they are guarded.
        write = settings.get("write_query")
        try:
            return super().__sql__(ctx) if write is None else write(ctx, self)
        finally:
            settings[FRAME] = outer

    def sql(self) -> Any:
        """Return the SQL and its parameters, for the database that the query would run on now.

        Where nothing decides that, it is generic SQL, as for an unbound query in Peewee: a query that
        would be refused can still be looked at.
        """
        try:
            database = self._database
        except MultiDBError:
            database = None
        context = peewee.Context() if database is None else database.get_sql_context()
        return context.parse(self._shown())

    def __str__(self) -> str:
        try:
            return str(stock.query_to_string(self._shown()))
        except MultiDBError:
            sql, params = self.sql()
            return f"{sql} {params}"

    def _shown(self) -> Any:
        """Return a copy to look at: showing SQL sends nothing, so no guard need stop it."""
        clone = self.clone()
        clone._guarded, clone._ran_on = False, None
        return clone

    def execute(self, database: Any = None) -> Any:
        """Run the query, on another Database object if one is given.

        Raises:
            DatabaseNotAllowed: the given database is one that the model's ``db_name`` does not list.
            WrongShard: a write, and its key belongs to another shard than the given database.
            TenantLocked: the code here is locked to a tenant, and the given database is another one's.
        """
        if database is None:
            stored = self.model._meta.home.stored
            return self._run() if stored is None else fencing.run(self, stored, self._run)
        if not isinstance(database, scatter.Shards):
            routing.refuse_locked(self.model._meta.home, database)
            if self.model._meta.home.names is not None:
                self._admit(database)
            self._sent_elsewhere = not self._is_for(database)
        return self._execute(database)

    def _run(self) -> Any:
        """Run the query where it belongs."""
        home = self.model._meta.home
        if (home.rule is not None or home.reference) and self._bound is None:
            if home.rule is not None and home.database is None and self._around() is None:
                # The commonest of all queries on a sharded model, by its key alone.
                shard = pruning.only_shard(home, self)
                if shard is not None:
                    return self._execute(home.registry.live.get(shard) or routing.live(home, shard))
            targets = self._decide_many()
            if len(targets) != 1:
                return self._execute_many(targets)
            database = routing.live(home, targets[0])
        else:
            database = self._database
        if database is None:
            raise peewee.InterfaceError('Query must be bound to a database in order to call "execute".')
        return self._execute(database)

    def _is_for(self, database: Any) -> bool:
        """Whether the query, if nobody says otherwise, runs on this database now."""
        try:
            return self._database is database
        except MultiDBError:
            return False

    def _is_decided_anew(self) -> bool:
        """Whether rows that the query has may be of another database than it would run on now."""
        return not self._sent_elsewhere and not self._is_decided()

    def _ensure_execution(self) -> None:
        if self._cursor_wrapper is not None:
            self._refuse_kept()
        super()._ensure_execution()

    def _refuse_kept(self) -> None:
        """Raise if the rows that the query has are of another tenant than the code here is locked to."""
        ran_on = self._ran_on
        for database in ran_on.databases if isinstance(ran_on, scatter.Shards) else (ran_on,):
            if database is not None:
                routing.refuse_locked(self.model._meta.home, database)

    def _admit(self, database: Any) -> None:
        home: Home = self.model._meta.home
        name = home.registry.name_of(database)
        if name is None or (not home.allows(name) and name == self._decide()):
            # Not a database of ours, or what a rename makes of one that is allowed.
            return
        routing.decide(home, None, using=name, query=self)

    async def aexecute(self, database: Any = None) -> Any:
        """Execute on an asynchronous database.

        Raises:
            NotAsynchronous: the query's database is not an asynchronous one.
        """
        if database is None and self._bound is _UNBOUND:
            raise peewee.InterfaceError('Query must be bound to a database in order to call "aexecute".')
        try:
            here = database if database is not None else self._some_database()
        except NoDatabaseSelected as error:
            raise NoDatabaseSelected(f"aexecute(): {error}") from None
        return await run(self.model, here, self.execute, database)

    def _some_database(self) -> Any:
        if self._told() is None:
            return some_database(self.model._meta.home, self._around())
        return self._database

    def _around(self) -> Scope | None:
        return self._scope if self._scope is not None else scope.current()

    def _get_cursor_wrapper(self, cursor: Any) -> Any:
        row_type = self._row_type or self.default_row_type
        if row_type == ROW_MODEL:
            wrapper = self._get_model_cursor_wrapper(cursor)
        elif row_type == peewee.ROW.CONSTRUCTOR and stock.is_model(self._constructor):
            wrapper = self._homed(cursor, self._returning, self._constructor)
        else:
            wrapper = super()._get_cursor_wrapper(cursor)
        database = self._ran_on
        if database is None:
            return wrapper
        if not self._is_default and any(_is_engines(node) for node in self._returning or ()):
            wrapper.initialize = dialect.columns_of(database, wrapper.initialize)
        if not dialect.reads_as_text(database):
            wrapper.process_row = dialect.rows_of(database, wrapper.process_row)
        return wrapper

    def _homed(self, cursor: Any, select: Any, model: Any) -> Any:
        """Return the cursor wrapper for instances of one model."""
        wrapper = HomedObjectCursor(cursor, self.model, select, model)
        meta = model._meta
        home: Home = meta.home
        database = self._ran_on
        around = self._around()
        if around is None and home.plain and database is home.registry.live.get(home.name):  # type: ignore[arg-type]
            wrapper.node = meta.settled
        else:
            wrapper.node = home_node(meta, self._database if database is None else database, around)
        return wrapper


def _is_engines(node: Any) -> bool:
    return isinstance(node, peewee.Node) and isinstance(node.unwrap(), dialect.EngineNode)


def _applies(around: Scope, home: Home) -> bool:
    try:
        return scope.place(around, home) is not None or scope.is_everywhere(around, home)
    except MultiDBError:
        # Kept, so that running it without using() says why it may not.
        return True
