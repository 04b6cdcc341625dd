"""The registry: names to live peewee `Database` objects.

Peewee has no connection manager; this is one, and no more than that. An entry opens its Database
object when it is first asked for, and the object connects at its first query. Reading takes no lock:
the tables are replaced as a whole when they change, so a thread that is querying sees the old one or
the new one. A forked child starts with the same names and no connections.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import peewee

from .config import check_shared, may_be_shared, secrets_from_env, settings_from, settings_from_env
from .drivers import connections, find
from .entry import Entry
from .errors import LISTED, ConfigurationError, UnknownDatabase, nearest, shown
from .finding import Settings, found_settings, read_settings
from .server import ServerEvent
from .settings import DatabaseSettings
from .status import ServerStatus, status_of
from .tenants.registering import TenantRegistry
from .tenants.settings import limits_from_env, tenant_settings
from .urls import Secret

__all__ = ["Databases", "Hook", "databases"]

#: What is called when something happened to a server.
Hook = Callable[[ServerEvent], object]


class Databases(TenantRegistry, Mapping[str, peewee.Database]):
    """A registry of named databases; `databases` is the process-wide one.

    Args:
        settings: the same mapping as for `configure`, or None for an empty registry.

    Attributes:
        on_eject: functions to call when a replica is left out after a connection error.
        on_failback: functions to call when a replica that was left out gets reads again.
        on_fallback: functions to call when a read goes to the primary for want of a replica.
        on_open: functions to call with an `Entry` whose Database objects were made, before anybody uses them;
            what these raise is raised where the database was asked for.
        on_evict: functions to call with the `Entry` of a database that was closed to make room for another.
        secret_key: what `causal_token` signs with, at least 16 characters; several for a change of keys:
            the first one signs, and each of them is accepted.
        transaction_log: where two-phase commit writes its decisions: the name of a database, or the path of
            an SQLite file; None for ``multidb-transactions.db`` in the working directory.

    Each of the first three hooks gets a `ServerEvent`; what it raises is logged, and the query goes on.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.on_eject: list[Hook] = []
        self.on_failback: list[Hook] = []
        self.on_fallback: list[Hook] = []
        self.secret_key: str | Secret | Sequence[str | Secret] | None = None
        self.transaction_log: str | PathLike[str] | None = None
        #: The entries by name. One item at a time is changed, so that a look-up needs no lock; a walk
        #: through it begins with a copy.
        self.entries: dict[str, Entry] = {}
        #: The Database objects that were asked for, by name; the same goes for it.
        self.live: dict[str, peewee.Database] = {}
        #: The entries of those objects, and of their replicas', by the id of the object.
        self.entry_by_id: dict[int, Entry] = {}
        #: The Database objects that the user made, by their id.
        self._given: dict[int, peewee.Database] = {}
        _registries.add(self)
        if settings is not None:
            self.configure(settings)

    # Settings

    def configure(self, mapping: Mapping[str, Any]) -> None:
        """Replace everything by the databases of a mapping.

        Args:
            mapping: database name to a URL, a peewee Database object, or a table of options.

        Raises:
            ConfigurationError: a key, a URL or a value is wrong; nothing is replaced then.
            peewee.OperationalError: this thread has a transaction open; nothing is replaced then.
        """
        self._replace(settings_from(mapping))

    def load(self, path: str | PathLike[str] | None = None) -> None:
        """Replace everything by the ``[databases]`` of a TOML file.

        Its ``secret_key`` and its ``transaction_log``, if it has them, become those of the registry; so do
        its ``max_open``, ``wait_open``, ``max_databases``, ``resolved_ttl``, ``unknown_ttl``, and its
        ``[tenants]`` as a `TemplateResolver`.

        Args:
            path: the file; relative SQLite paths in it are relative to the working directory. None finds the
                settings as the command line does, see `peewee_multidb.finding`.

        Raises:
            ConfigurationError: the file is wrong or cannot be read, or there is none; nothing changes then.
        """
        self.apply(read_settings(path) if path is not None else found_settings())

    def apply(self, settings: Settings) -> None:
        """Replace everything by settings that were found.

        Args:
            settings: what `peewee_multidb.finding.find_settings` returned.

        Raises:
            ConfigurationError: a URL names no driver; nothing is replaced then.
        """
        # Checked before anything is replaced.
        more = limits_from_env() if settings.path is None else tenant_settings(settings.document)
        self._replace(dict(settings.databases))
        self._set(more)
        if settings.secret_key is not None:
            self.secret_key = settings.secret_key
        if settings.transaction_log is not None:
            self.transaction_log = settings.transaction_log

    def load_env(self, prefix: str = "MULTIDB_") -> None:
        """Replace everything by databases from environment variables, such as ``MULTIDB_ERP__URL``.

        ``MULTIDB_SECRET_KEY`` or ``MULTIDB_SECRET_KEY_FILE`` gives the ``secret_key``,
        ``MULTIDB_TRANSACTION_LOG`` the ``transaction_log``, ``MULTIDB_MAX_OPEN`` and the like the limits, and
        ``MULTIDB_TENANTS_TEMPLATE`` the resolver.

        Args:
            prefix: what the names of the variables begin with.

        Raises:
            ConfigurationError: no such variable, or a wrong one; nothing is replaced then.
        """
        settings, more = settings_from_env(prefix), limits_from_env(prefix)
        self._replace(settings)
        self._set(more)
        secrets = secrets_from_env(prefix)
        if secrets is not None:
            self.secret_key = secrets
        self.transaction_log = os.environ.get(f"{prefix}TRANSACTION_LOG", self.transaction_log)

    def add(self, name: str, url_or_database: str | peewee.Database, **options: Any) -> None:
        """Add one database while the program runs.

        Args:
            name: a name that is not taken.
            url_or_database: a URL, or a peewee Database object as it is.
            options: the same as in a table of `configure`, ``read_only=True`` for instance.

        Raises:
            ConfigurationError: the name is taken, or an option is wrong.
        """
        key = "database" if isinstance(url_or_database, peewee.Database) else "url"
        self.add_all({name: {key: url_or_database, **options}})

    def add_all(self, mapping: Mapping[str, Any]) -> None:
        """Add several databases while the program runs: all of them, or none.

        Args:
            mapping: the same as for `configure`, of names that are not taken.

        Raises:
            ConfigurationError: a name is taken, or a setting is wrong.
        """
        added = self._checked(settings_from(mapping))
        with self._lock:
            for name in added:
                if name in self.entries:
                    raise ConfigurationError(
                        f"Database {name!r} is configured already; remove({name!r}) it first."
                    )
            if any(map(may_be_shared, (entry.settings for entry in added.values()))):
                check_shared(entry.settings for entry in (*self.entries.values(), *added.values()))
            self.entries.update(added)
            self._tenants += _tenants_of(added)
        self._watch(added)

    def remove(self, name: str) -> None:
        """Forget one database; later queries on it raise `UnknownDatabase`.

        This thread's connection and the idle ones of a pool are closed; other threads finish what
        they are doing with theirs.

        Raises:
            UnknownDatabase: there is no such name.
            peewee.OperationalError: this thread has a transaction open there; nothing is removed then.
        """
        with self._lock:
            if name not in self.entries:
                raise self.unknown(name)
            gone = self.entries[name]
            _refuse_in_transaction([gone])
            del self.entries[name]
            self._tenants -= gone.settings.tenant
            self._given.pop(id(gone.settings.database), None)
            self.live.pop(name, None)
            for one in gone.databases():
                self.entry_by_id.pop(id(one), None)
        gone.remove()
        connections.each(_opened([gone]), _let_go)

    def _replace(self, settings: dict[str, DatabaseSettings]) -> None:
        entries = self._checked(settings)
        with self._lock:
            kept = {id(entry.database) for entry in entries.values()}
            before = [*self.every_entry(), *self._leaving]
            _refuse_in_transaction(entry for entry in before if id(entry.database) not in kept)
            self.entries, self.live, self.entry_by_id = entries, {}, {}
            self._resolving.entries = {}
            self._leaving = []
            self._resolving.forget_all()
            self._given = {}
            self._tenants = _tenants_of(entries)
        self._watch(entries)
        for entry in before:
            entry.remove()
        connections.each([one for one in _opened(before) if id(one) not in kept], _let_go)

    def _watch(self, entries: dict[str, Entry]) -> None:
        for entry in entries.values():
            if entry.database is not None:
                self._given[id(entry.database)] = entry.database
                entry.watch_writes()
                self._governed(entry)

    def _new_entry(self, settings: DatabaseSettings) -> Entry:
        entry = self._checked({settings.name: settings})[settings.name]
        if may_be_shared(settings):
            check_shared((*(one.settings for one in self.every_entry()), settings))
        return entry

    @staticmethod
    def _checked(settings: dict[str, DatabaseSettings]) -> dict[str, Entry]:
        for one in settings.values():
            for url in (one.url, *(replica.url for replica in one.replicas)):
                try:
                    if url is not None:
                        find(url)
                except ConfigurationError as error:
                    raise ConfigurationError(f"database {one.name!r}: {error}") from error
        return {name: Entry(one) for name, one in settings.items()}

    # Looking up

    @property
    def names(self) -> tuple[str, ...]:
        """Every configured name, in the order of the settings."""
        return tuple(self.entries)

    def __getitem__(self, name: str) -> peewee.Database:
        try:
            return self.live[name]
        except KeyError:
            return self._open(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    # A registry is a thing, not a value: two of them are never the same.
    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def entry_of(self, database: peewee.Database) -> Entry | None:
        """Return the entry that a Database object belongs to, or None."""
        entry = self.entry_by_id.get(id(database))
        if entry is None and isinstance(database, peewee.Proxy):
            return None if database.obj is None else self.entry_of(database.obj)
        if entry is None:
            # A Database object that the user made and registered may be used before it is looked up.
            for name, candidate in list(self.entries.items()):
                if candidate.database is database:
                    self._open(name)
                    return candidate
        return entry

    def is_primary(self, database: peewee.Database) -> bool:
        """Whether a Database object is the primary of a name here, and neither a replica nor unknown."""
        entry = self.entry_of(database)
        return entry is not None and entry.database is database

    def name_of(self, database: peewee.Database) -> str | None:
        """Return the name that a Database object has here, or None."""
        entry = self.entry_of(database)
        return None if entry is None else entry.name

    def unknown(self, name: str) -> UnknownDatabase:
        """The error for a name that is not here."""
        if not self.entries:
            return UnknownDatabase(
                f"No database is called {shown(name)}: nothing is configured yet. Call "
                "databases.configure(...), databases.load(path) or databases.load_env() before the "
                "first query."
            )
        return UnknownDatabase(f"No database is called {shown(name)}; {nearest(name, self.entries)}.")

    def _open(self, name: str) -> peewee.Database:
        entry = self.entries.get(name) or self._resolving.find(name)
        if entry is None:
            raise self.unknown(name)
        self._make_room()
        database = entry.open()
        self._announce(entry)
        with self._lock:
            if entry not in (self.entries.get(name), self._resolving.entries.get(name)):
                # Removed or replaced meanwhile: the caller's question was asked before that.
                return database
            self._admit(entry)
            return self.live[name]

    # Servers

    def status(self) -> list[ServerStatus]:
        """Ask every server of every database how it is, one after the other.

        A server that does not answer is reported and raises nothing.

        Raises:
            NotAsynchronous: outside of asyncio's bridge, for an asynchronous database: use `astatus`.
        """
        found = []
        for name, entry in list(self.entries.items()):
            self[name]
            found += status_of(entry)
        return found

    async def astatus(self) -> list[ServerStatus]:
        """Ask every server as `status` does, asynchronous ones too."""
        from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

        found: list[ServerStatus] = await greenlet_spawn(self.status)
        return found

    # Connections

    def close(self) -> None:
        """Give back every connection that this thread (or this asyncio task) opened.

        Pooled connections return to their pool. Asynchronous databases need `aclose`.

        Raises:
            peewee.OperationalError: a transaction is open; the other databases are closed first.
        """
        # Not by way of all entries: at the end of each request there may be thousands.
        mine = [one for one in connections.connected_here() if self._has(one)]
        connections.each(mine, connections.give_back)

    def _has(self, database: peewee.Database) -> bool:
        # What the user made may be in use before it is looked up here.
        return id(database) in self.entry_by_id or self._given.get(id(database)) is database

    async def aclose(self) -> None:
        """Give back what this task opened, on asynchronous databases too.

        Raises:
            peewee.OperationalError: a transaction is open; the other databases are closed first.
        """
        await connections.aeach(_opened([*self.every_entry(), *self._leaving]), connections.agive_back)

    def close_all(self) -> None:
        """Close every connection of every thread; a query that is running elsewhere fails.

        Raises:
            peewee.OperationalError: a transaction is open here, or in another thread on a database without
                a pool; the other databases are closed first.
        """
        connections.each(_opened([*self.every_entry(), *self._leaving]), connections.close_everything)

    async def aclose_all(self) -> None:
        """Close every connection and the pools of asynchronous databases."""
        await connections.aeach(_opened([*self.every_entry(), *self._leaving]), connections.aclose_everything)

    def dispose(self) -> None:
        """Forget every connection without closing it; a forked child does this by itself.

        The connections still belong to the parent process, so nothing is sent on them.
        """
        self._new_locks()
        for database in _opened([*self.every_entry(), *self._leaving]):
            connections.forget(database)

    def _new_locks(self) -> None:
        self._lock = threading.Lock()
        self._resolving.start_afresh()
        if self._governor is not None:
            self._governor.start_afresh()
        for entry in (*self.every_entry(), *self._leaving):
            entry.start_afresh()

    # Tables

    def create_tables(self, models: Iterable[type[peewee.Model]], **options: Any) -> None:
        """Create the tables of the models where each of them lives, in the order of their foreign keys.

        Args:
            models: model classes; those with ``managed = False`` are passed over.
            options: handed to ``Model.create_table``, ``safe=False`` for instance.
        """
        for model in _sort_models(models):
            model.create_table(**options)

    def drop_tables(self, models: Iterable[type[peewee.Model]], **options: Any) -> None:
        """Drop the tables of the models where each of them lives, in reverse order.

        Args:
            models: model classes; those with ``managed = False`` are passed over.
            options: handed to ``Model.drop_table``, ``safe=False`` for instance.
        """
        for model in reversed(_sort_models(models)):
            model.drop_table(**options)

    def __repr__(self) -> str:
        names = self.names
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"<Databases: {', '.join(names[:LISTED]) or 'not configured'}{more}>"


# Not in Peewee's type stubs.
_sort_models: Any = peewee.sort_models  # type: ignore[attr-defined]


def _opened(entries: Iterable[Entry]) -> list[peewee.Database]:
    """Return the Database objects that there are: looked up before, or made by the user."""
    return [database for entry in entries for database in entry.databases()]


def _let_go(database: peewee.Database) -> None:
    connections.give_back(database)
    connections.close_idle(database)


def _tenants_of(entries: Mapping[str, Entry]) -> int:
    return sum(entry.settings.tenant for entry in entries.values())


def _refuse_in_transaction(entries: Iterable[Entry]) -> None:
    for entry in entries:
        if entry.database is not None and connections.has_transaction(entry.database):
            raise peewee.OperationalError(
                f"Database {entry.name!r} has a transaction open in this thread: leave its block first."
            )


_registries: weakref.WeakSet[Databases] = weakref.WeakSet()


def registries() -> list[Databases]:
    """Return every registry that there is."""
    return list(_registries)


def _after_fork_in_child() -> None:
    # The connections, those of databases that left their registry too, are the business of `connections`.
    for registry in list(_registries):
        registry._new_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

#: The process-wide registry; models without a ``Meta.registry`` use it.
databases = Databases()
