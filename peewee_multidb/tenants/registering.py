"""What a registry offers for many tenants: names found on request, and limits of what is open.

The base of `Databases`, apart from it because a program with three databases needs none of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import peewee

from ..drivers import connections
from ..drivers.governor import Governor, is_idle
from ..entry import Entry
from ..errors import ConfigurationError, TooManyConnections
from ..settings import DatabaseSettings
from .resolvers import Resolver
from .resolving import Resolving

if TYPE_CHECKING:
    from threading import Lock

__all__ = ["TenantRegistry"]

#: Seconds that a new connection waits for another one to be given back.
WAIT_OPEN = 10.0


class TenantRegistry:
    """The part of a registry that is about tenants and limits."""

    _lock: Lock
    entries: dict[str, Entry]
    live: dict[str, peewee.Database]
    entry_by_id: dict[int, Entry]

    def __init__(self) -> None:
        self.on_open: list[Callable[[Entry], object]] = []
        self.on_evict: list[Callable[[Entry], object]] = []
        self._resolving = Resolving(self._new_entry, self._drop)
        self._governor: Governor | None = None
        self._max_open: int | None = None
        self._wait_open = WAIT_OPEN
        self._max_databases: int | None = None
        self._tenants = 0
        #: Entries that the resolver replaced or took away while they were in use.
        self._leaving: list[Entry] = []

    def _set(self, settings: dict[str, Any]) -> None:
        for key, value in settings.items():
            setattr(self, key, value)

    # Names

    @property
    def resolver(self) -> Resolver | None:
        """What finds the databases of names that are not configured; None for nothing.

        It is called with a name that `check_tenant_name` has let pass, once at a time for each name and
        outside of every scope, and returns what `configure` takes for one database, or None if there is no
        such tenant. Whatever it finds belongs to a tenant.
        """
        return self._resolving.resolver

    @resolver.setter
    def resolver(self, resolver: Resolver | None) -> None:
        if resolver is not None and not callable(resolver):
            raise ConfigurationError(f"databases.resolver takes a function of a name, not {resolver!r}.")
        self._resolving.resolver = resolver
        self._resolving.forget_all()
        self._govern()

    @property
    def resolved_ttl(self) -> float:
        """Seconds after which a database that the resolver found is looked up again; 300 at first."""
        return self._resolving.ttl

    @resolved_ttl.setter
    def resolved_ttl(self, seconds: float) -> None:
        self._resolving.ttl = _at_least("resolved_ttl", seconds, 0)

    @property
    def unknown_ttl(self) -> float:
        """Seconds for which a name is remembered to be no tenant's; 5 at first."""
        return self._resolving.unknown_ttl

    @unknown_ttl.setter
    def unknown_ttl(self, seconds: float) -> None:
        self._resolving.unknown_ttl = _at_least("unknown_ttl", seconds, 0)

    def knows(self, name: str) -> bool:
        """Whether there is a database of that name, configured or to be found by the resolver.

        Args:
            name: a database name; one from outside has to go through `check_tenant_name` first.

        Raises:
            InvalidTenant: the name is not configured, and none that a tenant can have.
            ResolverFailed: the resolver could not tell.
        """
        return name in self.entries or self._resolving.find(name) is not None

    def has(self, name: str) -> bool:
        """Whether a database is configured, or was found by the resolver already.

        Args:
            name: a database name.
        """
        return name in self.entries or name in self._resolving.entries

    async def aknows(self, name: str) -> bool:
        """Whether there is a database of that name, without keeping the event loop while the resolver looks.

        Args:
            name: a database name.

        Raises:
            InvalidTenant: the name is not configured, and none that a tenant can have.
            ResolverFailed: the resolver could not tell.
        """
        if name in self.entries or self.resolver is None or self._resolving.is_recent(name):
            return self.knows(name)
        if getattr(self.resolver, "is_async", False):
            from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

            return bool(await greenlet_spawn(self.knows, name))
        return await asyncio.to_thread(self._knows_in_thread, name)

    def _knows_in_thread(self, name: str) -> bool:
        try:
            return self.knows(name)
        finally:
            self.close()

    def forget(self, name: str) -> None:
        """Forget what the resolver said of a name: after a tenant was made, moved or closed.

        Args:
            name: the tenant.
        """
        self._resolving.forget(name)

    @property
    def has_tenants(self) -> bool:
        """Whether databases here are flagged as a tenant's, or the resolver may find some."""
        return self._tenants > 0 or self._resolving.resolver is not None

    def is_tenant(self, name: str) -> bool:
        """Whether a database is a tenant's: its settings say so, or it is for the resolver to find.

        Args:
            name: a database name.
        """
        entry = self.entries.get(name)
        return self._resolving.resolver is not None if entry is None else entry.settings.tenant

    # Limits

    @property
    def max_open(self) -> int | None:
        """The most connections to servers at a time, over all databases and replicas; None for any number.

        They count as long as they exist, in use or idle in a pool. When there is none left, an idle one of
        the database that was used least recently is closed; when none is idle, the next one waits
        `wait_open` seconds and then fails with `TooManyConnections`.

        Raises:
            ConfigurationError: on setting, a number below 1.
        """
        return self._max_open

    @max_open.setter
    def max_open(self, number: int | None) -> None:
        self._max_open = None if number is None else _whole("max_open", number)
        self._govern()

    @property
    def wait_open(self) -> float:
        """Seconds that a new connection waits when `max_open` are in use; 10 at first."""
        return self._wait_open

    @wait_open.setter
    def wait_open(self, seconds: float) -> None:
        self._wait_open = _at_least("wait_open", seconds, 0)
        self._govern()

    @property
    def max_databases(self) -> int | None:
        """The most Database objects at a time; None for any number.

        The one that was used least recently gives way, if no thread or task has a connection of it. It is
        made anew when it is asked for; rows remember their database by its name.

        Raises:
            ConfigurationError: on setting, a number below 1.
        """
        return self._max_databases

    @max_databases.setter
    def max_databases(self, number: int | None) -> None:
        self._max_databases = None if number is None else _whole("max_databases", number)
        self._govern()
        governor = self._governor
        while number is not None and governor is not None and len(self.live) > number:
            if not self._evict_one(governor):
                break

    def _govern(self) -> None:
        """Have every Database object keep to the limits, those to come as well."""
        if self._governor is None:
            if self._max_open is None and self._max_databases is None and self.resolver is None:
                return
            self._governor = Governor(self._max_open, self._wait_open)
            self._governor.readmit = self._readmit
        self._governor.limit = self._max_open
        self._governor.wait = self._wait_open
        for entry in self.every_entry():
            self._governed(entry)

    def _governed(self, entry: Entry) -> None:
        if self._governor is not None:
            for database in entry.databases():
                self._governor.govern(database, entry.name)

    def every_entry(self) -> list[Entry]:
        """Return the entries of the configured names, and of those that the resolver found."""
        return [*self.entries.values(), *list(self._resolving.entries.values())]

    def _make_room(self) -> None:
        """See to it that one more Database object may be there.

        Raises:
            TooManyConnections: all are in use, and none was given back in time.
        """
        self._let_leave()
        most, governor = self._max_databases, self._governor
        if most is None or governor is None:
            return
        deadline = time.monotonic() + self._wait_open
        while len(self.live) >= most:
            if self._evict_one(governor):
                continue
            remaining = deadline - time.monotonic()
            if remaining <= 0 or _in_event_loop():
                raise TooManyConnections(
                    f"All {most} Database objects (max_databases) are in use, and none became free in "
                    f"{self._wait_open:g} s (wait_open). Give connections back with databases.close() at the "
                    "end of each request or job, or raise max_databases."
                )
            with governor.rest:
                if not governor.idle:
                    governor.rest.wait(remaining)

    def _evict_one(self, governor: Governor) -> bool:
        for key, database in list(governor.idle.items()):
            entry = self.entry_by_id.get(key)
            governor.idle.pop(key, None)
            if entry is None or entry.database is not database or entry.name not in self.live:
                continue
            if self._evict(entry):
                return True
        return False

    def _evict(self, entry: Entry) -> bool:
        """Let go of the Database objects of an entry, unless one is in use; the entry can make new ones."""
        with self._lock:
            found = entry.databases()
            if entry.settings.database is not None or not all(map(_may_go, found)):
                return False
            if not found:
                return True
            for database in found:
                database.is_evicted = True  # type: ignore[attr-defined]
            if not all(map(is_idle, found)):
                # Somebody began to use it just now, and did not see it go.
                for database in found:
                    database.is_evicted = False  # type: ignore[attr-defined]
                return False
            if self.live.get(entry.name) is entry.database:
                del self.live[entry.name]
            entry.let_go()
        for hook in self.on_evict:
            hook(entry)
        for database in found:
            # Whoever still has it finds its name by it, until the last reference goes.
            weakref.finalize(database, self.entry_by_id.pop, id(database), None).atexit = False
            if self._governor is not None:
                self._governor.forget(database)
            if getattr(database, "is_shared", False):
                continue
            if connections.is_async(database):
                from ..drivers.governing_async import close_pool_later

                close_pool_later(database)
            else:
                connections.close_idle(database)
        return True

    def _readmit(self, database: Any) -> None:
        """Take back a Database object that was evicted, if its name has no other one meanwhile."""
        with self._lock:
            entry = self.entry_by_id.get(id(database))
            if entry is None or entry.removed or not database.is_evicted:
                return
            if self.entries.get(entry.name) is None:
                self._resolving.entries.setdefault(entry.name, entry)
            is_ours = entry in (self.entries.get(entry.name), self._resolving.entries.get(entry.name))
            if not is_ours or not entry.take_back(database):
                return
            database.is_evicted = False
            self._admit(entry)
        self._announce(entry)

    def _announce(self, entry: Entry) -> None:
        """Call the hooks for an entry whose Database objects were made."""
        for hook in self.on_open:
            hook(entry)

    def _admit(self, entry: Entry) -> None:
        """Make the Database objects of an entry those of its name; the lock is held."""
        database = entry.open()
        self._governed(entry)
        for one in entry.databases():
            self.entry_by_id[id(one)] = entry
        self.live[entry.name] = database

    def _drop(self, entry: Entry, is_gone: bool) -> bool:
        """Forget an entry that the resolver found: unless it is in use, or in any case if it is gone."""
        self._let_leave()
        if entry.database is None or self._evict(entry):
            return True
        if is_gone:
            # Who is in the middle of something finishes it with the object that he has.
            with self._lock:
                entry.removed = True
                self.live.pop(entry.name, None)
                self._leaving.append(entry)
        return is_gone

    def _let_leave(self) -> None:
        """Let go of what left while it was in use, as far as it is not any more."""
        for entry in list(self._leaving):
            if entry.database is None or self._evict(entry):
                with self._lock, contextlib.suppress(ValueError):  # another thread was first
                    self._leaving.remove(entry)

    def _new_entry(self, settings: DatabaseSettings) -> Entry:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def _may_go(database: Any) -> bool:
    if not hasattr(database, "governor") or not is_idle(database):
        return False
    if not connections.is_async(database) or database._pool is None:
        return True
    if database.governed_loop.is_closed():
        database.governed_abandon()
        return True
    # Only the event loop of the pool can close it.
    return _in_event_loop() and database.governed_loop is asyncio.get_running_loop()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _whole(key: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ConfigurationError(f"{key!r} must be a whole number of at least 1, or None for no limit.")
    return number


def _at_least(key: str, number: Any, least: float) -> float:
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not number >= least:
        raise ConfigurationError(f"{key!r} must be a number of seconds of at least {least:g}.")
    return float(number)
