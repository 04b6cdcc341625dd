"""The log of decisions: a durable record that is written before the first database is told to commit.

By default it is an SQLite file that is synchronized with the disk at each decision; or it is a database of
the registry. It has connections of its own, since a decision must last whatever becomes of the transactions
that it is about.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import peewee

from ..drivers import connections, failures, open_server
from ..drivers.sqlite import SqliteDatabase
from ..errors import ConfigurationError, nearest
from ..registry import Databases
from .decisions import ROLLBACK, Decision, Decisions, Finished, make_table
from .ids import new_log_id

__all__ = ["DEFAULT_LOG", "Log", "log_of"]

T = TypeVar("T")

logger = logging.getLogger("peewee_multidb")

#: The file of the log unless the registry's ``transaction_log`` names another, in the working directory.
DEFAULT_LOG = "multidb-transactions.db"

IDENTITY = "multidb_transaction_log"
IDENTITY_COLUMNS = "number INTEGER NOT NULL PRIMARY KEY, id VARCHAR(16) NOT NULL"
SEEN = "multidb_transactions_seen"
SEEN_COLUMNS = "gid VARCHAR(64) NOT NULL PRIMARY KEY, seen NUMERIC(12) NOT NULL"

#: One synchronization of the write-ahead log is all that a commit needs to be durable.
PRAGMAS = {"journal_mode": "wal", "synchronous": "full", "busy_timeout": 10000}


class Log:
    """A log, and what is done with it.

    Args:
        database: its Database object; no transaction of the user's may be open on it.
        label: how messages call it.
        name: the name that the database has in the registry; None for a file.
        is_own: whether the Database object belongs to the log alone.
    """

    def __init__(self, database: Any, label: str, name: str | None, is_own: bool) -> None:
        self.database = database
        self.label = label
        self.name = name
        self.decisions = Decisions(database)
        self._id: str | None = None
        #: Which file it was when `id` was read; None for a database.
        self._file: tuple[int, int] | None = None
        #: The tables of decisions in other databases, each with a reference to its Database object.
        self._ready: dict[int, tuple[weakref.ref[Any], Finished]] = {}
        self._finished = Finished()
        # One connection for all threads: their decisions are written one after the other anyway.
        self._lock: Any = threading.RLock() if is_own and not connections.is_async(database) else None
        _logs.add(self)

    @property
    def is_file(self) -> bool:
        """Whether it is an SQLite file of its own."""
        return self.name is None

    @property
    def exists(self) -> bool:
        """Whether there may be a log: nobody has made the file otherwise."""
        return not self.is_file or Path(self.database.database).exists()

    @property
    def id(self) -> str:
        """What transactions are called after that it decides about; made with its tables by the first call.

        Raises:
            peewee.DatabaseError: it cannot be read or made.
        """
        with self._using():
            if self._id is None:
                if self.database.in_transaction():
                    raise ConfigurationError(
                        f"{self.label}, the transaction log, has a transaction open. Begin the two-phase "
                        "block outside of it, or give it a URL in the registry instead of a Database object."
                    )
                self._id = self._afresh(self._identity)
                self._file = self._file_now()
            return self._id

    def _identity(self) -> str:
        make_table(self.database, SEEN, SEEN_COLUMNS)
        self.decisions.create()
        make_table(self.database, IDENTITY, IDENTITY_COLUMNS)
        if self.is_file:
            _synchronize_folder(self.database.database)
        sql = f"SELECT id FROM {IDENTITY} WHERE number = 1"
        row = self.database.execute_sql(sql).fetchone()
        if row is None:
            mark = self.database.param
            with contextlib.suppress(peewee.IntegrityError), self.database.atomic():
                insert = f"INSERT INTO {IDENTITY} (number, id) VALUES (1, {mark})"
                self.database.execute_sql(insert, (new_log_id(),))
            row = self.database.execute_sql(sql).fetchone()
        return str(row[0])

    def make_ready(self, database: Any) -> None:
        """See to it that the last resource of a transaction has the table of decisions.

        Args:
            database: its Database object; no transaction is open on it.

        Raises:
            peewee.DatabaseError: it has none and lets nobody make it.
        """
        known = self._ready.get(id(database))
        if known is None or known[0]() is not database:
            Decisions(database).create()
            self._ready[id(database)] = (weakref.ref(database), Finished())

    def write(self, gid: str, outcome: str, names: Iterable[str], place: str = "") -> None:
        """Write a decision durably.

        Raises:
            NotWritten: it is certainly not written.
            Exception: it may be written; `settle` finds out.
        """
        with self._using():
            if self._file is not None and self._id is None:
                raise NotWritten(
                    f"{self.label} was removed or replaced since the block began. (It must stay where it is: "
                    "what was decided in the old one is lost with it.)"
                )
            begun = False
            try:
                self._afresh(self.database.begin)
                begun = True
                self.decisions.insert(gid, outcome, names, place)
            except BaseException as error:
                if begun:
                    with contextlib.suppress(Exception):
                        self.database.rollback()
                if isinstance(error, Exception):
                    raise NotWritten(f"{type(error).__name__}: {error}") from error
                raise
            try:
                self.database.commit()
            except BaseException:
                with contextlib.suppress(Exception):
                    self.database.rollback()
                raise

    def settle(self, gid: str, alone: bool = True, tries: int = 3) -> Decision:
        """Decide against a transaction unless it is decided, and return what holds.

        Args:
            gid: its name.
            alone: whether nobody else can be about to write a decision to commit: then a file that takes no
                writes answers as well.
            tries: how often, with a pause of a tenth of a second in between.

        Raises:
            Exception: the log cannot be asked: nobody knows.
        """
        while True:
            with self._using():
                # What failed on a connection does not speak for the next one.
                connections.drop(self.database)
                try:
                    return self.decisions.settle(gid, ROLLBACK)
                except Exception:
                    tries -= 1
                    found = self._found(gid) if self.is_file and alone else None
                    if found is not None:
                        return found
                    if not tries:
                        raise
            connections.pause(self.database, 0.1)

    def _found(self, gid: str) -> Decision | None:
        """Return what a file that takes no writes says; nothing is on its way into it any more."""
        with contextlib.suppress(Exception):
            return self.decisions.find(gid) or Decision(gid, ROLLBACK, "", (), int(time.time()))
        return None

    def find(self, gid: str) -> Decision | None:
        """Return the decision about a transaction, None if there is none."""
        with self._using():
            return self._afresh(lambda: self.decisions.find(gid))

    def every(self) -> list[Decision]:
        """Return all decisions."""
        with self._using():
            return self._afresh(self.decisions.every)

    def forget(self, gids: Iterable[str]) -> None:
        """Delete decisions that nobody will ask for any more."""
        with self._using():
            self._afresh(lambda: self.decisions.forget(gids))

    def seen(self, gid: str) -> int:
        """Return when a transaction without a decision was seen first, in seconds since the epoch."""
        mark = self.database.param
        with self._using():
            now = int(time.time())
            with contextlib.suppress(peewee.IntegrityError), self.database.atomic():
                sql = f"INSERT INTO {SEEN} (gid, seen) VALUES ({mark}, {mark})"
                self.database.execute_sql(sql, (gid, now))
            row = self.database.execute_sql(f"SELECT seen FROM {SEEN} WHERE gid = {mark}", (gid,)).fetchone()
            return now if row is None else int(row[0])

    def forget_seen(self, but: Iterable[str]) -> None:
        """Forget what was seen of transactions other than these."""
        kept = set(but)
        mark = self.database.param
        with self._using():
            for (gid,) in self.database.execute_sql(f"SELECT gid FROM {SEEN}").fetchall():
                if gid not in kept:
                    self.database.execute_sql(f"DELETE FROM {SEEN} WHERE gid = {mark}", (gid,))

    def finished(self, gid: str, last: Any = None) -> list[str]:
        """Note that every database has done what was decided.

        Args:
            gid: the transaction.
            last: the Database object of its last resource, if that has a decision of its own.

        Returns:
            Names to `forget` now, in the last resource first, if there are enough for a statement.
        """
        return (self._finished if last is None else self._ready[id(last)][1]).note(gid)

    def close(self) -> None:
        """Close its connection, if it has one of its own."""
        with self._using():
            connections.give_back(self.database)

    def _afresh(self, action: Callable[[], T]) -> T:
        """Do something, on a new connection if the old one broke since it was used last."""
        try:
            return action()
        except Exception as error:
            if not failures.is_disconnect(self.database, error) or self.database.in_transaction():
                raise
            connections.drop(self.database)
            return action()

    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        if self._lock is None:
            yield
            return
        with self._lock:
            self._see_file()
            yield

    def _see_file(self) -> None:
        """Let go of a file that is not there any more under its name: nobody would find what is written."""
        if self._file is not None and self._id is not None and self._file_now() != self._file:
            logger.error("%s was removed or replaced while this program runs", self.label)
            self._id = None
            connections.drop(self.database)

    def _file_now(self) -> tuple[int, int] | None:
        if not self.is_file:
            return None
        try:
            found = Path(self.database.database).stat()
        except OSError:
            return (0, 0)
        return found.st_dev, found.st_ino

    def run(self, action: Callable[[], T]) -> T:
        """Do something with the log; in asyncio's bridge, in a thread, since a disk takes its time."""
        if connections.is_async(self.database) or not _is_bridged():
            return action()
        import asyncio

        from playhouse.pwasyncio import await_  # type: ignore[import-untyped]

        done: T = await_(asyncio.to_thread(action))
        return done

    def _after_fork(self) -> None:
        if self._lock is not None:
            self._lock = threading.RLock()


class NotWritten(Exception):
    """A decision is certainly not in the log; the cause says why."""


def _is_bridged() -> bool:
    """Whether this code runs in the bridge of ``playhouse.pwasyncio``, where it can wait without blocking."""
    import asyncio
    import sys

    greenlets = sys.modules.get("greenlet")
    if greenlets is None or greenlets.getcurrent().parent is None:
        return False
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


_logs: weakref.WeakSet[Log] = weakref.WeakSet()
_of_registry: weakref.WeakKeyDictionary[Databases, dict[str, tuple[Any, Log]]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def log_of(registry: Databases, given: str | os.PathLike[str] | None = None) -> Log:
    """Return the log of a registry.

    Args:
        registry: whose ``transaction_log`` says where it is.
        given: where it is instead: the name of a database, or the path of a file.

    Raises:
        ConfigurationError: it is neither.
    """
    where = given if given is not None else registry.transaction_log
    where = os.fspath(where) if where is not None else DEFAULT_LOG
    entry = registry.entries.get(where)
    if entry is None:
        where = _path(registry, where)
    with _lock:
        logs = _of_registry.setdefault(registry, {})
        known = logs.get(where)
        if known is None or known[0] is not entry:
            log = _file(where) if entry is None else _named(registry, where)
            known = logs[where] = (entry, log)
        return known[1]


def _path(registry: Databases, path: str) -> str:
    if Path(path).name == path and not Path(path).suffix:
        raise ConfigurationError(
            f"transaction_log = {path!r} is neither a database, {nearest(path, registry.entries)}, nor the "
            "path of a file, which has a suffix or a folder: 'transactions.db'."
        )
    return str(Path(path).absolute())


def _file(path: str) -> Log:
    database = SqliteDatabase(path, pragmas=PRAGMAS, thread_safe=False, check_same_thread=False)
    connections.watch(database)
    return Log(database, f"the file {path}", None, True)


def _named(registry: Databases, name: str) -> Log:
    settings = registry.entries[name].settings
    if settings.url is None:
        return Log(registry[name], f"database {name!r}", name, False)
    if settings.read_only or settings.url.is_private_memory:
        raise ConfigurationError(
            f"transaction_log = {name!r}: that database is read-only, or forgets everything with its "
            "connection. Name another one."
        )
    options = dict(settings.options)
    if settings.url.module not in ("asyncpg", "aiomysql", "aiosqlite"):
        options["thread_safe"] = False
        if settings.url.engine == "sqlite":
            # After a power failure, a journal that was only unlinked may be back and undo the commit.
            options |= {"check_same_thread": False, "synchronous": "extra"}
    database = open_server(replace(settings, pool=None, options=options), settings.url, read_only=False)
    connections.watch(database)
    return Log(database, f"database {name!r}", name, True)


def _synchronize_folder(path: str) -> None:
    """See to it that the file itself is there after a power failure, and not only what is in it."""
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    for log in list(_logs):
        log._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
