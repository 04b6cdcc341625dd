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

WRITTEN = """
import json, sys
if sys.argv[1] == "with":
    from tests.drivers.mssql import corpus
    for version in corpus.VERSIONS:
        corpus.outcomes(version)
from tests.drivers.mssql.neighbours import statements
assert ("peewee_multidb" in sys.modules) == (sys.argv[1] == "with")
print(json.dumps(statements()))
"""

UNTOUCHED = """
import peewee

def state():
    kinds = [kind for kind in vars(peewee).values() if isinstance(kind, type)]
    return {(kind.__name__, key): id(value) for kind in kinds for key, value in vars(kind).items()
            if callable(value) or isinstance(value, property)}

before = state()
from tests.drivers.mssql import corpus
corpus.outcomes("2005")
after = state()
assert all(after[key] == value for key, value in before.items())
"""


def output(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_other_engines_write_the_same_sql_with_and_without_it() -> None:
    written: Any = json.loads(output(WRITTEN, "without"))
    assert written == json.loads(output(WRITTEN, "with"))
    assert {"sqlite", "postgresql", "mysql"} == set(written) and len(written["sqlite"]) >= 150


def test_nothing_of_peewee_is_replaced() -> None:
    output(UNTOUCHED)


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
