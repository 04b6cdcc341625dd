"""An SQL Server database in the process changes nothing for the databases beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model
from tests.drivers.mssql import corpus, models

ENGINES: dict[str, Any] = {
    "sqlite": lambda: peewee.SqliteDatabase(None),
    "postgresql": lambda: peewee.PostgresqlDatabase(None),
    "mysql": lambda: peewee.MySQLDatabase(None),
}

PROGRAM = """
import json, sys, peewee
from tests.drivers.mssql.test_other_engines import statements
if sys.argv[1] == "with":
    from tests.drivers.mssql import corpus
    for version in corpus.VERSIONS:
        corpus.outcomes(version)
else:
    assert not any(name.startswith("pymssql") for name in sys.modules)
print(json.dumps(statements()))
"""


def statements() -> dict[str, dict[str, str]]:
    """Return what Peewee writes for each query of the corpus, for each engine."""
    found: dict[str, dict[str, str]] = {}
    for engine, make in ENGINES.items():
        database = make()
        m = models.define(peewee.Model, database)
        found[engine] = {}
        for name, build in {**corpus.QUERIES, **corpus.WITHOUT_SQLITE}.items():
            try:
                sql, params = database.get_sql_context().sql(build(m)).query()
            except Exception as error:
                sql, params = type(error).__name__, []
            found[engine][name] = f"{sql} {[str(param) for param in params]}"
    return found


def in_process(mode: str) -> Any:
    command = [sys.executable, "-c", PROGRAM, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_other_engines_write_the_same_sql_with_and_without_it() -> None:
    assert in_process("with") == in_process("without")


def test_nothing_of_peewee_is_replaced() -> None:
    code = (
        "import peewee\n"
        "def state():\n"
        "    return {(kind.__name__, key): id(value) for kind in vars(peewee).values() if isinstance(kind, type)\n"
        "            for key, value in vars(kind).items() if callable(value) or isinstance(value, property)}\n"
        "before = state()\n"
        "from tests.drivers.mssql import corpus\n"
        "corpus.outcomes('2005')\n"
        "after = state()\n"
        "assert all(after[key] == value for key, value in before.items())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["2000", "2008", "2022"])
def test_one_query_of_our_model_is_written_for_each_engine_it_is_compiled_for(version: str) -> None:
    own = Databases()
    own.add("default", peewee.SqliteDatabase(":memory:"))
    m = models.define(type("Base", (Model,), {"Meta": type("Meta", (), {"registry": own})}))
    mssql, postgres = corpus.database(version), peewee.PostgresqlDatabase(None)
    sqlite = own["default"]
    query = m.Post.select(m.Post.at.year).where(m.Post.title.contains("a"), m.Post.id > 1).limit(3)
    written = [
        database.get_sql_context().sql(query).query()[0]
        for database in (mssql, postgres, sqlite, mssql, sqlite, postgres)
    ]
    assert written[0] == written[3] and "TOP" in written[0] and "DATEPART(year" in written[0]
    assert written[1] == written[5] and "ILIKE" in written[1] and "EXTRACT" in written[1]
    assert written[2] == written[4] and "LIMIT" in written[2] and "date_part" in written[2]
    own.close_all()
