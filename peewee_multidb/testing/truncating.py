"""Tables emptied after a test that really commits: those of managed models, in the databases it wrote to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import peewee

from .. import statements
from ..drivers import connections, traits_of
from ..entry import Entry
from ..errors import IsolationError
from ..home import Home

__all__ = ["Truncation"]

# Not in Peewee's type stubs.
_sort_models: Any = peewee.sort_models  # type: ignore[attr-defined]


class Truncation:
    """Notes what a test writes to, and empties it."""

    def __init__(self) -> None:
        self._written: dict[int, Entry] = {}
        self._hooks: list[tuple[Any, Any]] = []

    def watch(self, entry: Entry) -> None:
        """Note from now on whether the primary of a database is written to."""
        if entry.read_only:
            return
        database: Any = entry.database

        def hook(event: Any) -> None:
            if event.exception is None and statements.may_write(event.sql):
                self._written[id(entry)] = entry

        database.query_hooks.append(hook)
        self._hooks.append((database, hook))

    def run(self) -> None:
        """Empty the tables of managed models in each database that was written to.

        Raises:
            IsolationError: one of them is asynchronous.
        """
        for database, hook in self._hooks:
            if hook in database.query_hooks:
                database.query_hooks.remove(hook)
        self._hooks = []
        written, self._written = self._written, {}
        for entry in written.values():
            if connections.is_async(entry.database):
                raise IsolationError(
                    f"database {entry.name!r} is asynchronous: truncate=True empties synchronous ones alone. "
                    "Delete in the test what it wrote, or give the fixture a synchronous URL of the same "
                    "database under another name."
                )
            _empty(entry.database)


def _models(managed: bool) -> list[type[peewee.Model]]:
    """Every model of this package that is managed, or that is not; in the order of their foreign keys."""
    found: list[Any] = list(peewee.Model.__subclasses__())
    kept = []
    while found:
        model = found.pop()
        found += model.__subclasses__()
        home = getattr(getattr(model, "_meta", None), "home", None)
        if isinstance(home, Home) and home.managed is managed and not model._meta.schema:
            kept.append(model)
    return list(_sort_models(kept))


def _tables(managed: bool) -> list[str]:
    return [model._meta.table_name for model in _models(managed)]


def _empty(database: Any) -> None:
    there = set(database.get_tables()) - set(_tables(managed=False))
    # Dependents first, for engines whose foreign keys cannot be left out of account.
    tables = [table for table in dict.fromkeys(reversed(_tables(managed=True))) if table in there]
    if not tables:
        return
    engine = traits_of(database).engine
    quoted = [f"{database.quote[0]}{table}{database.quote[-1]}" for table in tables]
    if engine == "postgresql":
        database.execute_sql(f"TRUNCATE {', '.join(quoted)} RESTART IDENTITY")
    elif engine == "mysql":
        with _switched_off(database, "SET FOREIGN_KEY_CHECKS = {}", "SELECT @@foreign_key_checks"):
            for table in quoted:
                database.execute_sql(f"TRUNCATE {table}")
    elif engine == "sqlite":
        with _switched_off(database, "PRAGMA foreign_keys = {}", "PRAGMA foreign_keys"):
            for table in quoted:
                database.execute_sql(f"DELETE FROM {table}")
    else:
        for table in quoted:
            database.execute_sql(f"DELETE FROM {table}")


@contextlib.contextmanager
def _switched_off(database: Any, switch: str, question: str) -> Iterator[None]:
    """Let foreign keys be as they were after the block."""
    [before] = database.execute_sql(question).fetchone()
    database.execute_sql(switch.format(0))
    try:
        yield
    finally:
        database.execute_sql(switch.format(before))
