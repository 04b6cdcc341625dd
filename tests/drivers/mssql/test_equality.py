"""The rows that the T-SQL of the corpus gives are the rows that Peewee's own SQLite SQL gives."""

from __future__ import annotations

import sqlite3
from typing import Any

import peewee
import pytest

from tests.drivers.mssql import corpus
from tests.drivers.mssql import models as rows_of_corpus
from tests.drivers.mssql.execution import Engine

#: Queries whose T-SQL has no counterpart on SQLite, or means to give something else; and why.
EXCEPTIONS = {
    "lateral": "SQLite knows neither LATERAL nor APPLY: Peewee's own SQL does not run on it either",
    "for update": "Peewee refuses FOR UPDATE for SQLite; nothing to compare with",
    "for update nowait": "Peewee refuses FOR UPDATE for SQLite; nothing to compare with",
    "for update of": "Peewee refuses FOR UPDATE for SQLite; nothing to compare with",
    "regexp": "sqlglot does not know REGEXP_LIKE",
}
#: Rows of queries that Peewee writes for SQLite in a way that SQLite does not take.
BY_HAND = {
    "values list": [(1, "one"), (2, "two")],
    "join values list": [("ann", 10), ("cid", 30)],
    "union by expression": [(3,), (5,), (8,), (20,), (20,), (31,), (31,), (45,), (60,)],
}
TEXTS = {"name", "city", "title", "body", "key", "value", "select"}


class World:
    """One SQLite database with the rows of the corpus, that both Peewee and the translated T-SQL use."""

    def __init__(self) -> None:
        self.sqlite = peewee.SqliteDatabase(":memory:", pragmas={"foreign_keys": 0})
        self.models = corpus.define(peewee.Model, self.sqlite)
        self.sqlite.create_tables(self.models.tables)
        rows_of_corpus.fill(self.models)
        self.connection: sqlite3.Connection = self.sqlite.connection()

    def contents(self, connection: sqlite3.Connection) -> Any:
        """Return all rows of all tables."""
        return {
            model.__name__: sorted(connection.execute(f'SELECT * FROM "{model._meta.table_name}"'), key=repr)
            for model in self.models.tables
        }

    def native(self, name: str) -> list[Any]:
        """Run a query of the corpus by Peewee."""
        query = corpus.QUERIES[name](self.models)
        if isinstance(query, (peewee.Insert, peewee.Update, peewee.Delete)) and not query._return_cursor:
            query.execute(self.sqlite)
            return []
        sql, params = self.sqlite.get_sql_context().sql(query).query()
        return self.sqlite.execute_sql(sql, params).fetchall()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def backup(world: World) -> bytes:
    return world.connection.serialize()


def rows(found: list[Any], query: Any) -> list[Any]:
    """Return rows in a form to compare: their order counts if the query has one."""
    plain = [tuple(round(cell, 9) if isinstance(cell, float) else cell for cell in row) for row in found]
    return plain if getattr(query, "_order_by", None) else sorted(plain, key=repr)


@pytest.mark.parametrize("version", ["2000", "2005", "2012", "2022"])
def test_the_rows_of_the_corpus_are_those_of_sqlite(version: str, world: World, backup: bytes) -> None:
    database = corpus.database(version)
    models = corpus.define(peewee.Model, database)
    translated = sqlite3.connect(":memory:", isolation_level=None)
    engine = Engine(translated, TEXTS)
    compared, wrong = 0, {}
    for name, build in corpus.QUERIES.items():
        if name in EXCEPTIONS or (name == "group concat" and version < "2017"):  # by FOR XML
            continue
        query = build(models)
        try:
            statement = corpus.compiled(database, query)
        except peewee.NotSupportedError:
            continue
        world.connection.deserialize(backup)
        try:
            expected = rows(BY_HAND[name] if name in BY_HAND else world.native(name), query)
        except peewee.PeeweeException as error:
            wrong[name] = ("Peewee's own SQL does not run", error)
            continue
        left = world.contents(world.connection)
        translated.deserialize(backup)
        try:
            found = rows(engine.run(statement), query)
        except Exception as error:
            wrong[name] = (error, statement.sql)
            continue
        reads = isinstance(query, peewee.SelectBase) or query._return_cursor
        if reads and found != expected:
            wrong[name] = (found[:5], expected[:5], statement.sql)
        if world.contents(translated) != left:
            wrong[name] = ("what is left differs", statement.sql)
        compared += 1
    assert not wrong, "\n".join(f"{name}: {why}" for name, why in wrong.items())
    assert compared >= 150
