"""Tables emptied after a test that really commits: those of managed models, in the databases it wrote to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee

from .. import statements
from ..drivers import connections, traits_of
from ..entry import Entry
from ..home import Home
from ..errors import IsolationError

__all__ = ["Truncation"]


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


def _tables(managed: bool) -> Iterator[str]:
    """The tables of every model of this package that is managed, or that is not."""
    found: list[Any] = list(peewee.Model.__subclasses__())
    while found:
        model = found.pop()
        found += model.__subclasses__()
        home = getattr(model._meta, "home", None)
        if isinstance(home, Home) and home.managed is managed and not model._meta.schema:
            yield model._meta.table_name


def _empty(database: Any) -> None:
    ours = set(_tables(managed=True)) - set(_tables(managed=False))
    tables = sorted(ours & set(database.get_tables()))
    if not tables:
        return
    engine = traits_of(database).engine
    quoted = [f"{database.quote[0]}{table}{database.quote[1]}" for table in tables]
    if engine == "postgresql":
        database.execute_sql(f"TRUNCATE {', '.join(quoted)} RESTART IDENTITY")
        return
    before, after = {
        "mysql": ("SET FOREIGN_KEY_CHECKS = 0", "SET FOREIGN_KEY_CHECKS = 1"),
        "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"),
    }.get(engine, (None, None))
    enforced = engine != "sqlite" or database.execute_sql("PRAGMA foreign_keys").fetchone()[0]
    if before is not None:
        database.execute_sql(before)
    try:
        for table in quoted:
            database.execute_sql(f"TRUNCATE {table}" if engine == "mysql" else f"DELETE FROM {table}")
    finally:
        if after is not None and enforced:
            database.execute_sql(after)
