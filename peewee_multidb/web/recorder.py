"""What the application that the page is mounted in has asked lately; bounded, whatever it asks."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import Any

from ..observe import QueryEvent, observe
from ..observe.errorcodes import kind_of
from ..observe.sqltext import sanitized
from ..registry import Databases

__all__ = ["TICK", "TICKS", "Recorder"]

#: Seconds of one point of a chart, and how many points are kept: a quarter of an hour.
TICK = 5.0
TICKS = 180
KEPT = 50
#: Database names that are counted by themselves in one point; the rest is ``"others"``.
MANY = 200
#: Characters of a statement that are shown.
LONGEST = 600


class Recorder:
    """Observes a registry, and remembers rates, slow queries and the latest routes.

    Args:
        registry: what is observed.
        slow: seconds from which on a query is a slow one.
    """

    def __init__(self, registry: Databases, slow: float) -> None:
        self._slow = slow
        self._lock = threading.Lock()
        self._ticks: deque[tuple[int, Counter[str]]] = deque(maxlen=TICKS)
        self._slow_queries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._routes: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._since = int(time.time() // TICK)
        self.failed = 0
        self._observation = observe(self._heard, registry=registry)

    def _heard(self, event: QueryEvent) -> None:
        now = time.time()
        tick = int(now // TICK)
        shown = {
            "time": now,
            "name": event.name,
            "role": event.role,
            "server": event.server,
            "model": event.model,
            "tenant": event.tenant,
            "statement": event.statement,
            "seconds": event.duration,
            "rows": event.rows,
            "error": None if event.error is None else kind_of(event.error),
        }
        is_slow = event.duration >= self._slow
        sql = sanitized(event.sql[:LONGEST]) if is_slow else ""
        with self._lock:
            if not self._ticks or self._ticks[-1][0] != tick:
                self._ticks.append((tick, Counter()))
            counts = self._ticks[-1][1]
            counts[event.name if event.name in counts or len(counts) < MANY else "others"] += 1
            self.failed += event.error is not None
            if event.route is not None:
                self._routes.append({**shown, "route": event.route})
            if is_slow:
                self._slow_queries.append({**shown, "sql": sql, "source": "this application"})

    def rates(self) -> dict[str, list[float]]:
        """Return queries per second of each database, a number for each point, the latest last."""
        with self._lock:
            ticks = [(number, dict(counts)) for number, counts in self._ticks]
        # The point of now is not full yet.
        last = int(time.time() // TICK) - 1
        first = max(self._since, last - TICKS + 1)
        by_tick = dict(ticks)
        names = {name for _, counts in ticks for name in counts}
        return {
            name: [by_tick.get(n, {}).get(name, 0) / TICK for n in range(first, last + 1)]
            for name in sorted(names)
        }

    def slow_queries(self) -> list[dict[str, Any]]:
        """Return the latest slow queries, the slowest first."""
        with self._lock:
            return sorted(self._slow_queries, key=lambda one: -one["seconds"])

    def routes(self) -> list[dict[str, Any]]:
        """Return the latest queries of models with where they went and why, the latest first."""
        with self._lock:
            return list(self._routes)[::-1]

    def close(self) -> None:
        """Observe nothing any more."""
        self._observation.close()
