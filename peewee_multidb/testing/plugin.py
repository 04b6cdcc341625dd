"""What the pytest plugin does, once a test has asked for it.

The hooks and fixtures themselves are in the module ``pytest_peewee_multidb``, outside of the package: pytest
imports its plugins first of all, and would import the package, Peewee and its drivers with it, in projects
that have no use for them, before ``gevent`` has patched what they import, and before coverage is measured.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from ..routing import Route
from .counting import assert_queries
from .isolation import Isolation
from .routes import assert_route

__all__ = ["MultiDB", "Wanted", "isolated", "wanted"]

#: Every database, and none.
ALL, NONE = "*", "none"


class Wanted(NamedTuple):
    """What a test wants: the names it may use (None for all), and how it is undone."""

    names: frozenset[str] | None
    transaction: bool = True
    after_commit: str = "hold"
    truncate: bool = False


def wanted(request: pytest.FixtureRequest) -> Wanted | None:
    """Return what a test wants, by its mark and the settings of pytest; None if it is not concerned.

    Args:
        request: of a fixture of that test.

    Raises:
        pytest.UsageError: the mark or a setting makes no sense.
    """
    config: Any = request.config
    default = str(config.getini("multidb_databases") or "")
    mode = str(config.getini("multidb_after_commit") or "hold")
    mark = request.node.get_closest_marker("databases")
    if mark is None:
        if not default.strip() and "multidb" not in request.fixturenames:
            return None
        return _checked(Wanted(_names(default, among=None), after_commit=mode), "multidb_after_commit")
    where = f"@pytest.mark.databases of {request.node.nodeid}"
    options = dict(mark.kwargs)
    known = {"transaction", "after_commit", "truncate"}
    if not all(isinstance(name, str) for name in mark.args) or not known.issuperset(options):
        raise pytest.UsageError(
            f"{where} takes database names and {', '.join(sorted(known))}, not {mark.args} and {options}"
        )
    names = frozenset(mark.args) if mark.args else _names(default, among=None)
    if names is not None and ALL in names:
        names = None
    return _checked(
        Wanted(
            names,
            bool(options.get("transaction", True)),
            str(options.get("after_commit", mode)),
            bool(options.get("truncate", False)),
        ),
        where,
    )


def _names(text: str, among: None) -> frozenset[str] | None:
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words or ALL in words:
        return among
    return frozenset(word for word in words if word != NONE)


def _checked(found: Wanted, where: str) -> Wanted:
    if found.after_commit not in ("hold", "run"):
        raise pytest.UsageError(f"{where}: after_commit is 'hold' or 'run', not {found.after_commit!r}")
    if found.truncate and found.transaction:
        raise pytest.UsageError(
            f"{where}: truncate=True goes with transaction=False; what is rolled back needs none"
        )
    return found


class MultiDB:
    """What the fixture ``multidb`` gives: the databases of one test.

    Attributes:
        names: the databases that the test may use; None for all.
    """

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self.names = isolation.names

    assert_queries = staticmethod(assert_queries)

    @staticmethod
    def assert_route(query: Any, *names: str, role: str | None = None) -> Route:
        """Fail unless a query goes there; see `peewee_multidb.testing.assert_route`.

        Args:
            query: a query, or a model.
            names: database names.
            role: ``"primary"`` or ``"replica"``.
        """
        __tracebackhide__ = True
        return assert_route(query, *names, role=role)

    @property
    def callbacks(self) -> list[Callable[[], object]]:
        """The callbacks that fell due after a commit and were kept, in their order."""
        return [function for _, function in self._isolation.callbacks]

    def capture_after_commit(
        self, *, run: bool = False
    ) -> contextlib.AbstractContextManager[list[Callable[[], object]]]:
        """Return a block that collects the callbacks which fall due after a commit in it.

        Args:
            run: whether they are called when the block is left without an error.
        """
        return self._isolation.capture_after_commit(run=run)


def isolated(request: pytest.FixtureRequest) -> Iterator[MultiDB | None]:
    """The body of the fixture that is around each test.

    Args:
        request: of the fixture.
    """
    found = wanted(request)
    if found is None:
        yield None
        return
    isolation = Isolation(
        found.names,
        transaction=found.transaction,
        after_commit=found.after_commit,
        truncate=found.truncate,
    )
    isolation.start()
    try:
        yield MultiDB(isolation)
    finally:
        isolation.end()
