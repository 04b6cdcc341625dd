"""The corpus on a real T-SQL engine: each query gives the rows, and leaves the tables, that SQLite does.

Collected where MULTIDB_TEST_MSSQL_URL names a server; the test server proves nothing here, since SQLite is
behind it. Text is compared without regard to case on SQL Server, so SQLite does the same for this.
"""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from tests.drivers.mssql import corpus
from tests.drivers.mssql.models import define, fill
from tests.drivers.mssql.opened import MODULES
from tests.drivers.mssql.real import VARIABLE
from tests.tds.fixtures import with_driver

#: What Babelfish 4.3 lacks.
BABELFISH = {
    "group concat": "before 2017 the texts come out of XML, whose value() it has not",
    "insert from": "it takes no ORDER BY behind INSERT ... OUTPUT ... SELECT",
}
#: Rows of queries that Peewee writes for SQLite in a way that SQLite does not take.
BY_HAND = {
    "values list": [(1, "one"), (2, "two")],
    "join values list": [("ann", 10), ("cid", 30)],
    "union by expression": [(3,), (5,), (8,), (20,), (20,), (31,), (31,), (45,), (60,)],
    "lateral": sorted(
        [
            ("ann", "post 3"),
            ("bob", "post 4"),
            ("cid", "post 0"),
            ("Dee", "post 1"),
            ("50%_[x]", None),
            ("eve's", None),
        ],
        key=repr,
    ),
}
#: Each version's SQL runs on every later server; what the server itself speaks comes first.
VERSIONS = ["", "2012", "2008", "2005", "2000"]


class Side:
    """The models of the corpus with their rows, in one database."""

    def __init__(self, database: Any, *, is_babelfish: bool = False) -> None:
        self.database, self.is_babelfish = database, is_babelfish
        self.models = define(peewee.Model, database)
        if is_babelfish:
            # Its parser does not read ]] in the name of a column.
            self.models.Order.odd.column_name = "weird [name"
        if isinstance(database, peewee.SqliteDatabase):
            for model in self.models.tables:
                for field in model._meta.sorted_fields:
                    if isinstance(field, (peewee.CharField, peewee.TextField)):
                        field.collation = "NOCASE"
        database.create_tables(self.models.tables)
        fill(self.models)
        self.last = {model: model.select(peewee.fn.MAX(model.id)).scalar() for model in self.numbered()}

    def numbered(self) -> list[Any]:
        return [model for model in self.models.tables if model._meta.auto_increment]

    def outcome(self, name: str) -> tuple[Any, Any]:
        """Run a query of the corpus, undo it, and return its rows and what was in the tables after it."""
        query = corpus.QUERIES[name](self.models)
        query = query.bind(self.database)
        if isinstance(self.database, peewee.SqliteDatabase) and getattr(query, "_for_update", None):
            query = query.clone()
            query._for_update = None  # it has no rows to lock
        with self.database.atomic() as transaction:
            if isinstance(query, peewee.Insert | peewee.Update | peewee.Delete):
                found = query.tuples().execute() if query._return_cursor else query.execute() and ()
                rows = [tuple(row) for row in found or ()]
                left = self.contents()
            else:
                rows, left = [tuple(row) for row in query.tuples()], None
            transaction.rollback()
        for model, last in self.last.items():
            self.reset(model, last)
        plain = [tuple(plainly(cell) for cell in row) for row in rows]
        return plain if getattr(query, "_order_by", None) else sorted(plain, key=repr), left

    def reset(self, model: Any, last: int) -> None:
        """Let the next key be the same on both sides: IDENTITY is not rolled back."""
        if not isinstance(self.database, peewee.SqliteDatabase):
            self.database.execute_sql(f"DBCC CHECKIDENT ('[{model._meta.table_name}]', RESEED, {last})")

    def contents(self) -> Any:
        return {
            model.__name__: sorted(
                (tuple(plainly(cell) for cell in row) for row in model.select().tuples()), key=repr
            )
            for model in self.models.tables
        }


def plainly(value: Any) -> Any:
    """Return a value as both engines' drivers could have given it."""
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, (float, decimal.Decimal)):
        number = round(float(value), 6)
        return int(number) if number.is_integer() else number
    return value if value is None or isinstance(value, (bytes, str)) else str(value)


@pytest.fixture(scope="module")
def real(real_mssql: Any) -> Any:
    if real_mssql is None:
        pytest.fail(f"{VARIABLE} names no server", pytrace=False)
    return real_mssql


@pytest.fixture(scope="module")
def sqlite() -> Side:
    return Side(peewee.SqliteDatabase(":memory:", pragmas={"foreign_keys": 1}))


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: version or "own")
def server(request: pytest.FixtureRequest, real: Any) -> Iterator[Side]:
    settings: dict[str, Any] = {"url": real.url(1)}
    if request.param:
        settings["server_version"] = request.param
    registry = Databases({"default": settings})
    yield Side(registry["default"], is_babelfish=real.is_babelfish)
    registry.close_all()


@pytest.mark.parametrize("name", corpus.QUERIES)
def test_a_query_gives_the_rows_and_leaves_the_tables_that_sqlite_does(
    name: str, sqlite: Side, server: Side
) -> None:
    if server.is_babelfish and name in BABELFISH:
        pytest.skip(f"Babelfish: {BABELFISH[name]}")
    try:
        found = server.outcome(name)
    except peewee.NotSupportedError as error:
        assert server.database.version.name in str(error)
        return
    except peewee.OperationalError as error:
        if server.is_babelfish and "'MERGE' is not currently supported" in str(error):
            pytest.skip("Babelfish has no MERGE")
        raise
    expected = (BY_HAND[name], None) if name in BY_HAND else sqlite.outcome(name)
    assert found == expected


def test_a_table_with_a_trigger_gives_its_own_keys(real: Any) -> None:
    registry = Databases({"default": real.url(2)})
    database = registry["default"]

    class Audit(peewee.Model):
        note = peewee.CharField()

        class Meta:
            table_name = "audit"

    class Watched(peewee.Model):
        n = peewee.IntegerField()

        class Meta:
            table_name = "watched"
            use_output = False

    try:
        database.bind([Audit, Watched])
        database.create_tables([Audit, Watched])
        Audit.insert_many([{"note": "before"}] * 7).execute()
        database.execute_sql(
            "CREATE TRIGGER watching ON watched AFTER INSERT, UPDATE, DELETE AS "
            "INSERT INTO audit (note) VALUES ('seen')"
        )
        assert [Watched.create(n=n).id for n in (10, 20)] == [1, 2]
        assert Watched.insert(n=30).execute() == 3
        assert list(Watched.insert(n=40).returning(Watched.id, Watched.n).tuples().execute()) == [(4, 40)]
        changed = Watched.update(n=Watched.n + 1).where(Watched.id > 2).returning(Watched.id, Watched.n)
        assert sorted(changed.tuples().execute()) == [(3, 31), (4, 41)]
        assert Watched.delete().where(Watched.id == 1).execute() == 1
        assert Watched.delete().where(Watched.id == -1).execute() == 0
        assert Audit.select().where(Audit.note == "seen").count() == 7
    finally:
        registry.close_all()


@MODULES
def test_what_triggers_change_is_not_counted(real: Any, scheme: str) -> None:
    """Modules tell the first count of a statement, or the sum, or leave its own out."""
    url = real.url(2)
    registry = Databases({"default": url if scheme in url else with_driver(url, scheme)})
    database = registry["default"]

    class Watched(peewee.Model):
        n = peewee.IntegerField()

        class Meta:
            table_name = "watched"
            use_output = False

    try:
        database.bind([Watched])
        database.create_tables([Watched])
        database.execute_sql("CREATE TABLE audit (note VARCHAR(10))")
        database.execute_sql(
            "CREATE TRIGGER watching ON watched AFTER INSERT, UPDATE, DELETE AS "
            "INSERT INTO audit (note) VALUES ('a'); INSERT INTO audit (note) SELECT 'b' UNION ALL SELECT 'c'"
        )
        assert Watched.insert_many([{"n": n} for n in range(4)]).as_rowcount().execute() == 4
        assert Watched.update(n=7).where(Watched.n == 0).execute() == 1
        assert Watched.update(n=7).where(Watched.n == -1).execute() == 0
        assert Watched.delete().where(Watched.n == -1).execute() == 0
        objects = [Watched(n=n) for n in (20, 21, 22)]
        Watched.bulk_create(objects)
        assert [Watched.get_by_id(one.id).n for one in objects] == [20, 21, 22]
        assert objects[0].save() == 1
    finally:
        registry.close_all()
