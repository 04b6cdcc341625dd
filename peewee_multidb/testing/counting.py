"""`assert_queries`: how many queries a block sends to each database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ..observe import Observation, QueryEvent, observe
from ..registry import Databases, databases

__all__ = ["assert_queries"]

#: What only opens, marks or ends a transaction is no query.
_MARKS = frozenset(
    ["BEGIN", "COMMIT", "END", "PREPARE", "RELEASE", "ROLLBACK", "SAVE", "SAVEPOINT", "START", "XA"]
)
LONGEST = 400
"""Characters of a statement that a failure prints."""


class assert_queries:
    """Fail unless a block sends exactly so many queries to each database.

    Reads and writes count, those of other threads and tasks too; what opens and ends transactions does not,
    nor do questions of the package's own, such as that for the lag of a replica. A database that is not
    mentioned gets none.

    Args:
        expected: the number of queries by database name, for names that are no Python names.
        registry: whose databases are counted.
        counts: the number of queries of each database, as in ``assert_queries(default=2, erp=1)``.

    Attributes:
        events: a `QueryEvent` for each query so far, in their order.
    """

    def __init__(
        self, expected: Mapping[str, int] | None = None, /, *, registry: Databases = databases, **counts: int
    ) -> None:
        self._expected = {**(expected or {}), **counts}
        for name, count in self._expected.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise TypeError(f"assert_queries({name}=...) takes a number of queries, not {count!r}")
        self._registry = registry
        self._observation: Observation | None = None
        self.events: list[QueryEvent] = []

    @property
    def counts(self) -> dict[str, int]:
        """How many queries each database was sent, by its name."""
        return dict(Counter(event.name for event in self.events))

    def __enter__(self) -> assert_queries:
        self.events = []
        self._observation = observe(self._note, registry=self._registry, params=True)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        assert self._observation is not None
        self._observation.close()
        wanted = {name: count for name, count in self._expected.items() if count}
        if exc is None and self.counts != wanted:
            raise AssertionError(self._report())

    def _note(self, event: QueryEvent) -> None:
        if event.statement not in _MARKS:
            self.events.append(event)

    def _report(self) -> str:
        found = self.counts
        names = [*self._expected, *(name for name in sorted(found) if name not in self._expected)]
        unknown = [name for name in self._expected if name not in self._registry]
        lines = [
            f"expected {_listed(self._expected)}; there were "
            f"{_listed({name: found.get(name, 0) for name in names})}"
        ]
        for name in unknown:
            lines.append(f"no database is called {name!r}; there are {', '.join(self._registry.names)}")
        for name in names:
            wanted, count = self._expected.get(name, 0), found.get(name, 0)
            verdict = "as expected" if wanted == count else f"instead of {wanted}"
            lines.append(f"\n{name}: {count} {verdict}")
            sent = [event for event in self.events if event.name == name]
            lines += [f"  {number}. {_line(event)}" for number, event in enumerate(sent, 1)]
        return "\n".join(lines)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={count}" for name, count in counts.items()) or "no query"


def _line(event: QueryEvent) -> str:
    sql = " ".join(event.sql.split())
    text = sql if len(sql) <= LONGEST else f"{sql[:LONGEST]}..."
    params: Any = event.params
    if params:
        shown = repr(list(params) if isinstance(params, (list, tuple)) else params)
        text += f" -- {shown if len(shown) <= LONGEST else shown[:LONGEST] + '...'}"
    if event.role != "primary":
        text += f" ({event.role})"
    return text if event.error is None else f"{text} ({type(event.error).__name__}: {event.error})"
