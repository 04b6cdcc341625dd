"""Two tenants on SQLite files, in the process-wide registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peewee_multidb import causality, databases, use_db
from tests.middleware.apps.common import Note

SECRET = "a text that nobody else knows"


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[None]:
    """``acme`` and ``bolt``, each with a note that says its name, in pools that tell what is checked out."""
    databases.configure(
        {name: {"url": f"sqlite:///{tmp_path}/{name}.db", "pool": 8} for name in ("acme", "bolt")}
    )
    databases.secret_key = SECRET
    for name in databases.names:
        with use_db(name):
            Note.create_table()
            Note.create(text=name)
    databases.close()
    # What other tests of this thread have written is nothing to these.
    causality.replace_unit(None)
    yield
    databases.close_all()
    databases.configure({})
    databases.secret_key = None


def checked_out() -> dict[str, int]:
    """How many connections of each database are in use, or in transactions of anybody."""
    return {name: len(databases[name]._in_use) for name in databases.names}  # type: ignore[attr-defined]


NONE = {"acme": 0, "bolt": 0}
