"""Asks every server how it is, again and again, on connections of its own that it keeps no longer than that.

A registry of twins has the same settings with the ordinary driver of each engine, so an asynchronous
application can be watched from a thread, and a full pool of the application does not blind the page.
"""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Iterable

import peewee

from ..drivers import traits_of
from ..drivers.synchronous import synchronous
from ..entry import Entry
from ..errors import ConfigurationError, MultiDBError
from ..finding import Settings
from ..registry import Databases
from ..settings import DatabaseSettings
from ..status import ServerStatus, status_of
from ..urls import Secret
from .recorder import TICKS
from .statistics import Statistics, statistics_of

__all__ = ["Asker", "Found"]

WORKERS = 8
#: Seconds that a server may take to accept a connection.
PATIENCE = 3
#: Seconds that a round waits for a database. One that takes longer is asked again when it has answered.
LONGEST = 5
#: Databases that are asked; who has more chooses some by ``names``.
MANY = 100


@dataclasses.dataclass
class Found:
    """What is known of one database.

    Attributes:
        name: the database name.
        engine: its dialect, or what is known of it.
        servers: what each server said, the primary first.
        statistics: what the primary said besides.
        problem: why there are none.
        lags: seconds of each replica over time, by its label; None where it was not known.
        rates: what the primary has done per second, over time.
        unit: of the rates.
    """

    name: str
    engine: str
    servers: list[ServerStatus] = dataclasses.field(default_factory=list)
    statistics: Statistics = dataclasses.field(default_factory=Statistics)
    problem: str | None = None
    lags: dict[str, deque[float | None]] = dataclasses.field(default_factory=dict)
    rates: deque[float | None] = dataclasses.field(default_factory=lambda: deque(maxlen=TICKS))
    unit: str | None = None
    counted: tuple[float, int] | None = None


class Asker:
    """Asks the servers of a registry every few seconds, in a thread that the first look starts.

    Args:
        registry: whose servers.
        interval: seconds between two rounds.
        slow: seconds from which on a statement that runs is a slow one.
        names: which databases; all of them by default.
    """

    def __init__(
        self, registry: Databases, interval: float, slow: float, names: Iterable[str] | None
    ) -> None:
        self._registry = registry
        self._interval = interval
        self._slow = slow
        self._names = None if names is None else tuple(names)
        self._found: dict[str, Found] = {}
        self._twins: dict[str, tuple[Entry, Databases | None]] = {}
        self._lock = threading.Lock()
        self._first = threading.Event()
        self._stop = threading.Event()
        #: Since when each database is asked that has not answered yet.
        self._busy: dict[str, float] = {}
        self._answered = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process = 0
        self.asked: float | None = None
        self.left_out = 0

    def start(self, wait: float = 0.0) -> None:
        """See to it that the thread runs, in a forked process too.

        Args:
            wait: seconds at most to wait for the end of the first round.
        """
        with self._lock:
            if self._process != os.getpid() and not self._stop.is_set():
                self._process = os.getpid()
                self._twins, self._busy, self._answered = {}, {}, threading.Condition()
                self._first = threading.Event()
                self._thread = threading.Thread(target=self._run, name="multidb-status", daemon=True)
                self._thread.start()
            first = self._first
        first.wait(wait)

    def close(self) -> None:
        """Ask no more."""
        with self._answered:
            self._stop.set()
            self._answered.notify_all()
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join()
        with self._answered:
            self._answered.wait_for(lambda: not self._waited_for(), PATIENCE)

    def found(self) -> list[Found]:
        """Return what is known, in the order of the settings."""
        return list(self._found.values())

    def secrets(self) -> list[str]:
        """Return the passwords of the settings, longest first, so that they can be taken out of messages."""
        found: set[str] = set()
        for entry in list(self._registry.entries.values()):
            settings = entry.settings
            urls = [settings.url, *(replica.url for replica in settings.replicas)]
            for secret in (settings.password, *(url.password for url in urls if url is not None)):
                if isinstance(secret, Secret):
                    try:
                        found.add(secret.reveal())
                    except ConfigurationError:
                        continue
        return sorted((text for text in found if len(text) > 3), key=len, reverse=True)

    def _run(self) -> None:
        while True:
            self.ask()
            self._first.set()
            if self._stop.wait(self._interval):
                return

    def ask(self) -> None:
        """Ask every server once."""
        every = list(self._registry.names) if self._names is None else list(self._names)
        entries = {n: self._registry.entries[n] for n in every[:MANY] if n in self._registry.entries}
        self.left_out = max(0, len(every) - MANY)
        before = self._found
        found = {n: before.get(n) or Found(n, _engine(entry.settings)) for n, entry in entries.items()}
        # What has answered shows at once, whoever is still waited for.
        self._found = found
        answered, busy = self._answered, self._busy
        with answered:
            waiting = deque(name for name in entries if name not in busy)
            while not self._stop.is_set():
                since = self._waited_for()
                if waiting and len(since) < WORKERS:
                    name = waiting.popleft()
                    busy[name] = time.monotonic()
                    work = (found[name], entries[name], answered, busy)
                    threading.Thread(
                        target=self._ask_apart, args=work, name="multidb-status", daemon=True
                    ).start()
                elif since:
                    answered.wait(max(0.01, min(since) + LONGEST - time.monotonic()))
                elif not waiting:
                    break
            for name in busy.keys() & found.keys():
                self._has_failed(found[name], f"no answer in {LONGEST} seconds")
                found[name].servers = []
        self.asked = time.time()

    def _waited_for(self) -> list[float]:
        """Return since when each of those is asked that may still answer in time."""
        now = time.monotonic()
        return [since for since in self._busy.values() if now - since < LONGEST]

    def _ask_apart(
        self, found: Found, entry: Entry, answered: threading.Condition, busy: dict[str, float]
    ) -> None:
        """Ask one database, in a thread that is left behind and holds up nobody if no answer comes."""
        try:
            self._ask(found, entry)
        finally:
            with answered:
                busy.pop(found.name, None)
                answered.notify_all()

    def _ask(self, found: Found, entry: Entry) -> None:
        try:
            twin = self._twin(entry)
            if twin is None:
                found.problem = "an asynchronous Database object of the program's own cannot be asked here"
                return
            try:
                self._look(found, twin)
            finally:
                twin.close()
        except (peewee.PeeweeException, MultiDBError, OSError, ValueError, RuntimeError) as error:
            self._has_failed(found, f"{type(error).__name__}: {error}")

    @staticmethod
    def _has_failed(found: Found, problem: str) -> None:
        found.problem = problem
        found.rates.append(None)
        found.counted = None

    def _look(self, found: Found, twin: Databases) -> None:
        database = twin[found.name]
        found.engine = traits_of(database).engine
        found.servers = status_of(twin.entries[found.name])
        for server in found.servers:
            if server.role == "replica":
                lags = found.lags.setdefault(server.server, deque(maxlen=TICKS))
                lags.append(server.lag if server.reachable else None)
        found.statistics = Statistics()
        found.statistics = statistics_of(database, self._slow)
        found.problem = None
        now, done = time.monotonic(), found.statistics.done
        if done is None:
            return
        found.unit = found.statistics.unit
        if found.counted is not None and done >= found.counted[1]:
            found.rates.append((done - found.counted[1]) / max(0.001, now - found.counted[0]))
        else:
            # The first look, or the server was restarted and counts anew.
            found.rates.append(None)
        found.counted = (now, done)

    def _twin(self, entry: Entry) -> Databases | None:
        """Return a registry with this one database, reached by the ordinary driver of its engine."""
        known = self._twins.get(entry.name)
        if known is not None and known[0] is entry:
            return known[1]
        twin: Databases | None = Databases()
        if entry.settings.database is not None and traits_of(entry.settings.database).is_async:
            twin = None
        else:
            assert twin is not None
            settings = dataclasses.replace(synchronous(entry.settings, PATIENCE), pool=None)
            twin.apply(Settings("the status page", databases={entry.name: settings}))
        self._twins[entry.name] = (entry, twin)
        return twin


def _engine(settings: DatabaseSettings) -> str:
    if settings.url is None:
        return type(settings.database).__name__
    return settings.url.scheme.partition("+")[0]
