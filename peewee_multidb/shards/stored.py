"""`StoredMap`: which shard has which bucket or range, in a table, so that it can change while programs run.

The map is one row of the table ``multidb_shard_map`` in a named database. Every process keeps a copy, and a
copy counts for a limited time only, its lease. `Rebalance` announces a move in that row and waits for one
lease before anything changes its shard. So a process whose copy announces nothing, and whose lease has not
run out, need not ask anybody: nothing can have moved. One that knows of a move asks the shards themselves,
see `peewee_multidb.shards.fences`.

The map of a directory has no units: which shard has which key is in `peewee_multidb.shards.lookup`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar, Token
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import peewee

from ..drivers import traits_of
from ..errors import ConfigurationError, ShardMoved
from ..registry import Databases, databases
from . import fences
from .maps import spread
from .mapstate import MapState
from .rules import checked_names

__all__ = ["MapState", "StoredMap", "retry_moved"]

F = TypeVar("F", bound=Callable[..., Any])

TABLE = "multidb_shard_map"
CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} "
    "(name VARCHAR(64) NOT NULL PRIMARY KEY, version BIGINT NOT NULL, content {text} NOT NULL)"
)
SELECT = f"SELECT version, content FROM {TABLE} WHERE name = {{param}}"
INSERT = f"INSERT INTO {TABLE} (name, version, content) VALUES ({{param}}, 1, {{param}})"
UPDATE = (
    f"UPDATE {TABLE} SET version = {{param}}, content = {{param}} "
    "WHERE name = {param} AND version = {param}"
)
TOUCH = f"UPDATE {TABLE} SET version = version WHERE name = {{param}}"
NAME_LENGTH = 64

#: How long `retry_moved` waits between two attempts, in seconds.
PAUSE = 0.005


class StoredMap:
    """The shard of every unit, in a table of a named database.

    Args:
        name: of the map, at most 64 characters; each sharding rule has a map of its own.
        shards: the database names of the shards to begin with; later on the table says it.
        db: the database name where the table is.
        units: how many buckets or ranges the rule has; 0 for the keys of a `LookupShards` directory.
        registry: where `db` and the shards are looked up; None for the registry of the models.
        lifetime: seconds that a process goes by its copy before it looks again.
        patience: seconds that a query waits for a unit that is being switched, before `ShardMoved`.

    Raises:
        ConfigurationError: a name is missing, or a number makes no sense.
    """

    #: What a `Home` asks: whether rows may move while programs run.
    is_stored = True

    def __init__(
        self,
        name: str,
        *shards: str,
        db: str = "default",
        units: int = 1024,
        registry: Databases | None = None,
        lifetime: float = 1.0,
        patience: float = 10.0,
    ) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH:
            raise ConfigurationError(
                f"StoredMap({name!r}): a map has a name of 1 to {NAME_LENGTH} characters."
            )
        if lifetime <= 0 or patience < 0:
            raise ConfigurationError(f"StoredMap({name!r}): lifetime and patience are seconds.")
        self.name = name
        self.db = db
        self._registry = registry
        self.patience = patience
        self.initial = checked_names(shards, f"StoredMap({name!r})")
        self._first = MapState(
            version=0,
            names=self.initial,
            owners=spread(self.initial, units),
            epochs=dict.fromkeys(self.initial, 0),
            moving={},
            batch=None,
            lifetime=lifetime,
        )
        self._state: MapState | None = None
        self._read: tuple[int, str] | None = None
        #: What a query that is under way goes by, in this thread or task.
        self._view: ContextVar[MapState | None] = ContextVar(f"multidb_map_{name}", default=None)
        self._lock = threading.Lock()

    # What a rule asks

    @property
    def units(self) -> int:
        """How many buckets or ranges the rule has."""
        return len(self._first.owners)

    def require_units(self, number: int, what: str) -> None:
        """Refuse a rule that has another number of units.

        Raises:
            ConfigurationError: it has.
        """
        if number != self.units:
            raise ConfigurationError(
                f"{what}: the rule has {number} units, and StoredMap({self.name!r}) has {self.units}; "
                f"say StoredMap(..., units={number})."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Every database name that has a unit or is to have one; those given here while no table is there."""
        try:
            return self.current().names
        except ConfigurationError:
            return self.initial

    @property
    def owners(self) -> Sequence[str]:
        """The database name of each unit, by its number."""
        return self.current().owners

    @property
    def version(self) -> int:
        """A number that grows whenever the map changes."""
        return self.current().version

    def current(self) -> MapState:
        """Return this process's copy, a fresh one if its lease has run out.

        Raises:
            ConfigurationError: the map is not in its table yet.
        """
        viewed = self._view.get()
        if viewed is not None:
            return viewed
        state = self._state
        if state is not None and time.monotonic() < state.expires:
            return state
        return self.refresh()

    @property
    def is_viewed(self) -> bool:
        """Whether a query is under way here that goes by one state."""
        return self._view.get() is not None

    @contextlib.contextmanager
    def viewing(self, state: MapState) -> Iterator[None]:
        """Let `current` return one state in this block."""
        token = self.view(state)
        try:
            yield
        finally:
            self.unview(token)

    def view(self, state: MapState) -> Token[MapState | None]:
        """Let `current` return one state until `unview` is given what this returns."""
        return self._view.set(state)

    def unview(self, token: Token[MapState | None]) -> None:
        """Let `current` return what it returned before."""
        self._view.reset(token)

    def refresh(self) -> MapState:
        """Read the table and return what it says.

        Raises:
            ConfigurationError: the map is not in its table yet.
        """
        asked = time.monotonic()
        database = self.database
        row = self._row(database)
        if row is None:
            raise ConfigurationError(
                f"The shard map {self.name!r} is not in {self.db!r} yet: create the tables of its models, "
                "or call create() of the map."
            )
        version, content = row
        with self._lock:
            known = self._state
            present = not database.in_transaction()
            if known is not None and known.version > version and not present:
                # The transaction began before the change that another thread has seen.
                return replace(known, expires=0.0)
            if known is None or self._read != row:
                known = MapState.load(version, content)
                if len(known.owners) != self.units:
                    raise ConfigurationError(
                        f"The shard map {self.name!r} in {self.db!r} has {len(known.owners)} units, and this "
                        f"program says {self.units}. The number never changes: correct the program."
                    )
                self._read = row
            # A transaction may show an older snapshot, which is no ground for a lease.
            expires = asked + known.lifetime if present else 0.0
            self._state = state = replace(known, expires=max(expires, known.expires))
            return state

    # The table

    @property
    def registry(self) -> Databases:
        """Where the databases are looked up."""
        return databases if self._registry is None else self._registry

    def serve(self, registry: Databases) -> None:
        """Look the databases up where a model does that is sharded by this map."""
        if self._registry is None:
            self._registry = registry

    @property
    def database(self) -> Any:
        """The Database object of the table."""
        return self.registry[self.db]

    def shard(self, name: str) -> Any:
        """Return the Database object of a shard."""
        return self.registry[name]

    def create(self) -> None:
        """Make the tables of the map where they are missing, and the map itself if there is none."""
        database = self.database
        fences.require_engine(database, self.db)
        text = "MEDIUMTEXT" if traits_of(database).engine == "mysql" else "TEXT"
        if not database.table_exists(TABLE):
            database.execute_sql(CREATE.format(text=text))
        if self._row(database) is None:
            for name in self.initial:
                fences.create(self.shard(name), name, self.name)
            # Another process may be quicker.
            with contextlib.suppress(peewee.IntegrityError), database.atomic():
                database.execute_sql(INSERT.format(param=database.param), (self.name, self._first.dump()))
        for name in self.refresh().names:
            fences.create(self.shard(name), name, self.name)

    def write(self, state: MapState, also: Callable[[], None] | None = None) -> MapState:
        """Replace the stored map, if it is still of the version that `state` was made from.

        Args:
            state: the new state, with the version of the old one.
            also: what else changes in the same transaction, behind the lock of the map's row.

        Raises:
            ShardMoved: somebody else changed the map meanwhile.
        """
        database = self.database
        with database.atomic():
            changed = database.execute_sql(
                UPDATE.format(param=database.param),
                (state.version + 1, state.dump(), self.name, state.version),
            ).rowcount
            if changed == 1 and also is not None:
                also()
        if changed != 1:
            raise ShardMoved(
                f"The shard map {self.name!r} was changed by somebody else meanwhile (its version is no "
                f"longer {state.version}). Run it again."
            )
        return self.refresh()

    @contextlib.contextmanager
    def locked(self) -> Iterator[MapState]:
        """A transaction in which nobody else changes the map, and what the map says in it.

        Raises:
            ConfigurationError: the map is not in its table yet.
        """
        self.current()
        database = self.database
        with database.atomic():
            database.execute_sql(TOUCH.format(param=database.param), (self.name,))
            row = self._row(database)
            if row is None:
                raise ConfigurationError(f"The shard map {self.name!r} is no longer in {self.db!r}.")
            yield MapState.load(*row)

    def _row(self, database: Any) -> tuple[int, str] | None:
        # A statement that fails would spoil an open transaction.
        if self._state is None and database.in_transaction() and not database.table_exists(TABLE):
            return None
        try:
            row = database.execute_sql(SELECT.format(param=database.param), (self.name,)).fetchone()
        except (peewee.ProgrammingError, peewee.OperationalError):
            if database.table_exists(TABLE):
                raise
            return None
        return None if row is None else (row[0], row[1])

    def __repr__(self) -> str:
        return f"StoredMap({self.name!r}, {', '.join(map(repr, self.initial))}, db={self.db!r})"


def retry_moved(function: F) -> F:
    """Decorator: run the function again when it raises `ShardMoved`, until the patience of the map is over.

    For what is done in a transaction: the block has to be inside the function, so that it is rolled back
    and begun anew. A query outside of every transaction needs no decorator; it does the same by itself.
    """

    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        deadline = None
        while True:
            try:
                return function(*args, **kwargs)
            except ShardMoved as moved:
                now = time.monotonic()
                deadline = now + moved.patience if deadline is None else deadline
                if now >= deadline:
                    raise
                time.sleep(PAUSE)

    return inner  # type: ignore[return-value]
