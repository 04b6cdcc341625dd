"""Metrics for Prometheus: queries and errors as they happen, pools, lag and the like whenever it asks.

Labels are bounded: with a database for each tenant there are names without end, and a time series for each
would be the end of Prometheus. Names can be folded into one, and beyond a number of them the rest is
``"other"``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..entry import Entry
from ..errors import ConfigurationError
from ..registry import Databases, databases
from ..server import ServerEvent
from .errorcodes import kind_of
from .events import QueryEvent
from .observing import observe
from .pools import pool_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["Metrics", "export_metrics"]

#: Seconds: from a primary-key read on the same machine to a report.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OTHER = "other"
#: Verbs that have a label of their own.
STATEMENTS = frozenset(
    ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE"]
)
#: Pairs of a hook of a registry and what it is called in ``multidb_server_events_total``.
HOOKS = (("on_eject", "eject"), ("on_failback", "failback"), ("on_fallback", "fallback"))


class _Names:
    """Makes labels of database names, not too many of them."""

    def __init__(self, fold: Callable[[str], str] | None, limit: int) -> None:
        self._fold = fold
        self._limit = limit
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def label(self, name: str) -> str:
        label = name if self._fold is None else self._fold(name)
        if label in self._known:
            return label
        with self._lock:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(label)
        return label


class Metrics:
    """The metrics of one registry; made by `export_metrics`. A context manager too."""

    def __init__(
        self,
        registry: Databases,
        collectors: CollectorRegistry,
        names: _Names,
        buckets: Sequence[float],
        prefix: str,
    ) -> None:
        import prometheus_client

        self._registry = registry
        self._collectors = collectors
        self._names = names
        self._prefix = prefix
        self._queries = prometheus_client.Counter(
            f"{prefix}_queries",
            "Statements that were sent.",
            ["database", "role", "statement"],
            registry=collectors,
        )
        self._errors = prometheus_client.Counter(
            f"{prefix}_query_errors",
            "Statements that failed.",
            ["database", "role", "error"],
            registry=collectors,
        )
        self._seconds = prometheus_client.Histogram(
            f"{prefix}_query_duration_seconds",
            "Seconds until the server had answered.",
            ["database", "role"],
            buckets=buckets,
            registry=collectors,
        )
        self._events = prometheus_client.Counter(
            f"{prefix}_server_events",
            "Replicas left out (eject) and back again (failback), reads on the primary for want of one.",
            ["database", "event"],
            registry=collectors,
        )
        self._evictions = prometheus_client.Counter(
            f"{prefix}_evictions", "Databases closed to make room for others.", registry=collectors
        )
        self._hooks: list[tuple[list[Any], Callable[[Any], None]]] = [
            (getattr(registry, name), self._counting(event)) for name, event in HOOKS
        ]
        self._hooks.append((registry.on_evict, self._evicted))
        for hooks, hook in self._hooks:
            hooks.append(hook)
        collectors.register(self)
        self._observation = observe(self._heard, registry=registry)

    def _heard(self, event: QueryEvent) -> None:
        database = self._names.label(event.name)
        statement = event.statement if event.statement in STATEMENTS else OTHER
        self._queries.labels(database, event.role, statement).inc()
        self._seconds.labels(database, event.role).observe(event.duration)
        if event.error is not None:
            self._errors.labels(database, event.role, kind_of(event.error)).inc()

    def _counting(self, name: str) -> Callable[[ServerEvent], None]:
        def count(event: ServerEvent) -> None:
            self._events.labels(self._names.label(event.name), name).inc()

        return count

    def _evicted(self, entry: Entry) -> None:
        self._evictions.inc()

    def describe(self) -> Iterable[Any]:
        """Return nothing: what `collect` gives depends on what is open."""
        return ()

    def collect(self) -> Iterator[Any]:
        """Yield the gauges, as they are now; no server is asked anything."""
        from prometheus_client.core import GaugeMetricFamily

        prefix = self._prefix
        pool = GaugeMetricFamily(
            f"{prefix}_pool_connections",
            "Connections of this process's pools, and threads that wait for one.",
            labels=["database", "role", "state"],
        )
        size = GaugeMetricFamily(
            f"{prefix}_pool_size", "The most connections of the pools.", labels=["database", "role"]
        )
        lag = GaugeMetricFamily(
            f"{prefix}_replica_lag_seconds",
            "The most that a replica was behind when it was looked at last.",
            labels=["database"],
        )
        running = GaugeMetricFamily(
            f"{prefix}_replica_reads_in_flight", "Reads that replicas are answering.", labels=["database"]
        )
        out = GaugeMetricFamily(
            f"{prefix}_replicas_left_out", "Replicas that get no reads now.", labels=["database"]
        )
        known = GaugeMetricFamily(f"{prefix}_databases", "Database names.", labels=["state"])
        pools: dict[tuple[str, str, str], float] = {}
        sizes: dict[tuple[str, str], float] = {}
        lags: dict[str, float] = {}
        reads: dict[str, float] = {}
        missing: dict[str, float] = {}
        opened = 0
        entries = list(self._registry.entries.values())
        for entry in entries:
            servers = entry.servers()
            opened += bool(servers)
            label = self._names.label(entry.name) if servers else ""
            for server in servers:
                if server.role == "replica":
                    reads[label] = reads.get(label, 0) + server.in_use
                    missing[label] = missing.get(label, 0) + (server.problem is not None)
                    if server.lag is not None:
                        lags[label] = max(lags.get(label, 0.0), server.lag)
                    if server.database is entry.database:
                        continue
                status = pool_of(server.database)
                if status is not None:
                    key = (label, server.role)
                    sizes[key] = sizes.get(key, 0) + status.size
                    states = (("in_use", status.in_use), ("idle", status.idle), ("waiting", status.waiting))
                    for state, number in states:
                        if number is not None:
                            at = (label, server.role, state)
                            pools[at] = pools.get(at, 0) + number
        found: tuple[tuple[Any, dict[Any, float]], ...] = (
            (pool, pools), (size, sizes), (lag, lags), (running, reads), (out, missing),
        )  # fmt: skip
        for family, values in found:
            for labels, value in values.items():
                family.add_metric([labels] if isinstance(labels, str) else labels, value)
            yield family
        known.add_metric(["configured"], len(entries))
        known.add_metric(["open"], opened)
        yield known

    def close(self) -> None:
        """Count nothing any more, and take the metrics out of Prometheus's registry."""
        self._observation.close()
        for hooks, hook in self._hooks:
            if hook in hooks:
                hooks.remove(hook)
        self._hooks = []
        for collector in (self, self._queries, self._errors, self._seconds, self._events, self._evictions):
            self._collectors.unregister(collector)

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def export_metrics(
    collectors: CollectorRegistry | None = None,
    *,
    registry: Databases = databases,
    fold: Callable[[str], str] | None = None,
    limit: int = 100,
    buckets: Sequence[float] = BUCKETS,
    prefix: str = "multidb",
) -> Metrics:
    """Count the queries of a registry for Prometheus, until it is closed.

    Args:
        collectors: the registry of `prometheus_client` that is exported; its global one by default.
        registry: whose databases.
        fold: gives the label of a database name, so that a thousand tenants can be one:
            ``lambda name: "tenants" if name.startswith("t_") else name``.
        limit: the most labels of databases; what comes after them is ``"other"``.
        buckets: of the histogram of durations, in seconds.
        prefix: what the names of the metrics begin with.

    Raises:
        ConfigurationError: `prometheus_client` is not installed, or the limit is below 1.
    """
    if limit < 1:
        raise ConfigurationError("export_metrics(): limit must be 1 or more.")
    try:
        import prometheus_client
    except ImportError:
        raise ConfigurationError(
            'export_metrics() needs prometheus_client: pip install "peewee-multidb[prometheus]"'
        ) from None
    where = prometheus_client.REGISTRY if collectors is None else collectors
    return Metrics(registry, where, _Names(fold, limit), buckets, prefix)
