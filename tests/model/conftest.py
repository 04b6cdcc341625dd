"""What the model tests share: registries of their own over files and servers, and what was sent where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases, Model, drivers

#: The databases of the `engines` registry: one model set, three dialects.
ENGINES = ("lite", "pg", "maria")

#: Nothing here outlives a crash, so SQLite need not wait for the disk.
QUICK = "synchronous=0&journal_mode=memory"

LITES = ("default", "other", "third")


def base_model(own: Databases, **options: Any) -> Any:
    """Return a base class whose models live in the databases of one registry."""
    meta = type("Meta", (), {"registry": own, **options})
    return type(Model)("Base", (Model,), {"Meta": meta, "__module__": __name__})


class Sent:
    """The statements that each database of a registry was sent, in order."""

    def __init__(self, registry: Databases) -> None:
        self.registry = registry
        self.log: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.log)

    def where(self) -> list[str]:
        """Return the names of the databases, one for each statement."""
        return [name for name, _ in self.log]

    def clear(self) -> None:
        self.log.clear()


@contextmanager
def sent_to(registry: Databases) -> Iterator[Sent]:
    """Record what reaches the servers of a registry."""
    sent = Sent(registry)
    hooks = []
    for name in registry.names:

        def hook(event: Any, name: str = name) -> None:
            sent.log.append((name, event.sql))

        registry[name].query_hooks.append(hook)
        hooks.append((registry[name], hook))
    try:
        yield sent
    finally:
        for database, hook in hooks:
            database.query_hooks.remove(hook)


def numbered(database: Any, table: str, column: str, count: int) -> None:
    """Fill a table with one row for each number from 1."""
    engine = drivers.traits_of(database).engine
    recursive = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {count})"
    source = {
        "sqlite": f"({recursive} SELECT n FROM c)",
        "postgresql": f"generate_series(1, {count})",
        "mysql": f"seq_1_to_{count}",
    }[engine]
    value = {"sqlite": "n", "postgresql": "numbers.n", "mysql": "seq"}[engine]
    alias = {"sqlite": "numbers", "postgresql": "numbers(n)", "mysql": "numbers"}[engine]
    database.execute_sql(f"INSERT INTO {table} ({column}) SELECT {value} FROM {source} AS {alias}")


@pytest.fixture
def lites(tmp_path: Path) -> Iterator[Databases]:
    """A registry of three SQLite files: default, other and third."""
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in LITES})
    yield own
    own.close_all()


@pytest.fixture
def engines(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[Databases]:
    """A registry of three engines: lite, pg and maria."""
    lite = f"sqlite:///{tmp_path}/lite.db?{QUICK}"
    own = Databases({"lite": lite, "pg": postgres_url, "maria": mariadb_url})
    yield own
    own.close_all()


@pytest.fixture
def base(lites: Databases) -> Any:
    """A base class for models in the three files."""
    return base_model(lites)


@pytest.fixture
def open_world(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Any:
    """What `tests.model.aio_world.run` opens: three engines, each with a sync and an async name."""
    # Not at the top: it builds on this file.
    from tests.model.aio_world import world_of

    return world_of(tmp_path, postgres_url, mariadb_url)
