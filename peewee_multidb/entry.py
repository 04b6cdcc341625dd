"""One name of a registry: its settings and, once it was asked for, the Database objects of its servers."""

from __future__ import annotations

import threading
from typing import Any

import peewee

from .causality import write_hook
from .drivers import connections, open_server, traits_of
from .drivers.refusing import refuse_locks
from .errors import ConfigurationError, MultiDBError
from .server import Server
from .settings import DatabaseSettings
from .urls import DatabaseURL

__all__ = ["Entry"]


class Entry:
    """One name of a registry.

    Attributes:
        name: the database name.
        settings: what was configured.
        read_only: whether writes are refused.
        database: the Database object of the primary; None until it was asked for.
        primary: the primary; None until it was asked for.
        replicas: the replicas; empty until they were asked for, and when there are none.
        readers: what chooses among the replicas; belongs to `peewee_multidb.replicas`.
        removed: it is no longer in its registry.
    """

    __slots__ = (
        "_hook",
        "_lock",
        "database",
        "name",
        "primary",
        "read_only",
        "readers",
        "removed",
        "replicas",
        "settings",
    )

    def __init__(self, settings: DatabaseSettings) -> None:
        self.name = settings.name
        self.settings = settings
        self.read_only = settings.read_only
        self.database: peewee.Database | None = settings.database
        self.primary: Server | None = None
        self.replicas: tuple[Server, ...] = ()
        self.readers: Any = None
        self.removed = False
        self._hook: Any = None
        self._lock = threading.Lock()
        if self.database is not None:
            connections.watch(self.database)

    def open(self) -> peewee.Database:
        """Return the Database object of the primary.

        The first call makes it, and those of the replicas; this does not connect.

        Raises:
            ConfigurationError: a driver cannot make one, for want of a module or for its options.
        """
        with self._lock:
            if self.primary is None:
                database = self.database
                if database is None:
                    assert self.settings.url is not None
                    database = self._built(self.settings.url, "primary")
                primary = Server(self.name, "primary", database, self._label(self.settings.url, database))
                self.replicas = self._replicas(database)
                self.database, self.primary = database, primary
                self.watch_writes()
            assert self.database is not None
            return self.database

    def watch_writes(self) -> None:
        """Note from now on what is written to a database with replicas, whoever writes it.

        A Database object that the user made may be written to before anybody asks the registry for it.
        """
        has_replicas = any(not replica.is_mirror for replica in self.settings.replicas)
        if has_replicas and self._hook is None and self.database is not None:
            self._hook = write_hook(self)
            self.database.query_hooks.append(self._hook)

    def pause_watching(self) -> bool:
        """Note no more what is written, until `watch_writes`; whether it was noted."""
        if self._hook is None or self.database is None:
            return False
        self.database.query_hooks.remove(self._hook)
        self._hook = None
        return True

    def _replicas(self, primary: peewee.Database) -> tuple[Server, ...]:
        made = []
        for number, replica in enumerate(self.settings.replicas, 1):
            if replica.url is None:
                database, label = primary, "mirror"
            else:
                database = self._built(replica.url, "replica")
                label = self._label(replica.url, database)
                self._refuse_unlike(number, primary, database)
            made.append(
                Server(self.name, "replica", database, label, weight=replica.weight, zone=replica.zone)
            )
        return tuple(made)

    def _refuse_unlike(self, number: int, primary: peewee.Database, replica: peewee.Database) -> None:
        """Raise if a replica could not stand in for its primary, or cannot be watched as it should be."""
        where = f"database {self.name!r}, replica {number}"
        ours, its = traits_of(primary), traits_of(replica)
        if ours.is_async is not its.is_async:
            kinds = ("synchronous", "asynchronous")
            raise ConfigurationError(
                f"{where}: it is {kinds[its.is_async]}, but its primary is {kinds[ours.is_async]}; "
                "give both a scheme of the same kind"
            )
        if ours.engine != its.engine:
            raise ConfigurationError(f"{where}: a {its.engine} server cannot repeat a {ours.engine} one")
        if self.settings.replication.max_lag is not None and its.replication is None:
            raise ConfigurationError(
                f"{where}: 'max_lag' is set, but {its.engine} cannot tell how far a replica is behind"
            )

    def _built(self, url: DatabaseURL, role: str) -> peewee.Database:
        try:
            database = open_server(
                self.settings, url, role=role, read_only=self.read_only or role == "replica"
            )
        except MultiDBError:
            raise
        except TypeError as error:
            problem = str(error)
        except (AttributeError, LookupError, ValueError) as error:
            problem = type(error).__name__  # its text may quote a value, and a value may be a secret
        else:
            connections.watch(database)
            if role == "replica":
                refuse_locks(database)
            return database
        raise ConfigurationError(f"database {self.name!r}: wrong options for {url.scheme}:// ({problem})")

    @staticmethod
    def _label(url: DatabaseURL | None, database: peewee.Database) -> str:
        return type(database).__name__ if url is None else str(url)

    def remove(self) -> None:
        """Let go of a Database object that may be used elsewhere; the registry has no such name any more."""
        self.removed = True
        hooks = [] if self.database is None else self.database.query_hooks
        if self._hook in hooks:
            hooks.remove(self._hook)

    def let_go(self) -> None:
        """Forget the Database objects, which may still be in use; the next `open` makes new ones."""
        with self._lock:
            hooks = [] if self.database is None else self.database.query_hooks
            if self._hook in hooks:
                hooks.remove(self._hook)
            self.database = self.primary = self.readers = self._hook = None
            self.replicas = ()

    def take_back(self, database: peewee.Database) -> bool:
        """Have a Database object again that was let go of; False if there is another one by now."""
        with self._lock:
            if self.database is None:
                self.database = database
            return self.database is database

    def servers(self) -> tuple[Server, ...]:
        """Return the primary and the replicas; empty until they were asked for."""
        return () if self.primary is None else (self.primary, *self.replicas)

    def databases(self) -> list[peewee.Database]:
        """Return the Database objects that there are: made on request, or given by the user."""
        own = [] if self.database is None else [self.database]
        return own + [one.database for one in self.replicas if one.database is not self.database]

    def start_afresh(self) -> None:
        """Forget what is known of the servers, and the locks that another thread may hold: after a fork."""
        self._lock = threading.Lock()
        self.readers = None
        for server in self.servers():
            server.forget()

    def __repr__(self) -> str:
        return f"<Entry {self.name!r}: {self.settings.url or type(self.database).__name__}>"
