"""Registries over every engine, and directories of migrations."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import Databases, Model, drivers

#: Nothing here outlives a crash of the machine, so SQLite need not wait for the disk.
QUICK = "synchronous=0"
ENGINES = ("lite", "pg", "maria", "ms")

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Call it with a name and a text to put one more migration into the directory ``migrations``."""
    folder = tmp_path / "migrations"
    folder.mkdir()

    def put(name: str, text: str) -> Path:
        path = folder / f"{name}.py"
        path.write_text("from peewee import *\n" + textwrap.dedent(text))
        return path

    return put


@pytest.fixture
def lites(tmp_path: Path) -> Iterator[Databases]:
    """Four SQLite files."""
    names = ("a", "b", "c", "d")
    own = Databases({name: f"sqlite:///{tmp_path / name}.db?{QUICK}" for name in names})
    yield own
    own.close_all()


@pytest.fixture
def engines(
    tmp_path: Path,
    postgres_url: str,
    mariadb_url: str,
    mssql_url: str,
) -> Iterator[Databases]:
    """One empty database of each engine, under the names of `ENGINES`."""
    own = Databases(
        {
            "lite": f"sqlite:///{tmp_path}/lite.db?{QUICK}",
            "pg": postgres_url,
            "maria": mariadb_url,
            "ms": mssql_url,
        }
    )
    yield own
    own.close_all()


def base_of(own: Databases, **options: Any) -> Any:
    """Return a base class whose models live in the databases of one registry."""
    meta = type("Meta", (), {"registry": own, **options})
    return type(Model)("Base", (Model,), {"Meta": meta, "__module__": __name__})


def engine_of(own: Databases, name: str) -> str:
    return drivers.traits_of(own[name]).engine


def marks(own: Databases, name: str) -> list[str]:
    """Return what the migrations of `MARKED` left in a database, in order; each leaves one row."""
    if "marker" not in own[name].get_tables():
        return []
    rows = own[name].execute_sql("SELECT name FROM marker ORDER BY id").fetchall()
    return [row[0] for row in rows]


#: A migration that makes a table, and those that each leave a row there.
FIRST = """
    def up(migrator, db):
        class Marker(Model):
            name = CharField()
            class Meta:
                database = db
        db.create_tables([Marker])

    def down(migrator, db):
        migrator.migrate(migrator.drop_table("marker"))
"""
MARKED = """
    def up(migrator, db):
        db.execute_sql("INSERT INTO marker (name) VALUES ('{0}')")
        migrator.migrate(migrator.add_column("marker", "{0}", IntegerField(null=True)))

    def down(migrator, db):
        migrator.migrate(migrator.drop_column("marker", "{0}"))
        db.execute_sql("DELETE FROM marker WHERE name = '{0}'")
"""


@pytest.fixture
def three(write: Write) -> Path:
    """A directory of three migrations."""
    write("0001_first", FIRST)
    write("0002_two", MARKED.format("two"))
    return write("0003_three", MARKED.format("three")).parent
