"""Tables that a rollback leaves as they are are not written to inside a transaction."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model, atomic, databases
from peewee_multidb.errors import ConfigurationError, NotTransactional, UncoveredWrite
from tests.drivers.mysql.old_server import OldMySQL, Result
from tests.drivers.test_postgresql import with_scheme
from tests.drivers.test_sqlite import build

LAX = ["MyISAM", "Aria", "MEMORY", "CSV", "MRG_MyISAM"]


class Stock(peewee.Model):
    n = peewee.IntegerField()

    class Meta:
        primary_key = False


class Safe(peewee.Model):
    n = peewee.IntegerField()


@pytest.fixture(params=[{}, {"pool": 2}], ids=["plain", "pooled"])
def database(request: pytest.FixtureRequest, mariadb_url: str) -> Iterator[Any]:
    made = build({"url": mariadb_url, **request.param})
    with made.bind_ctx([Stock, Safe]):
        made.create_tables([Safe])
        yield made
    made.close()


def make(database: Any, engine: str) -> None:
    if engine == "MRG_MyISAM":
        database.execute_sql("CREATE TABLE part (n INT NOT NULL) ENGINE=MyISAM")
        database.execute_sql(
            "CREATE TABLE stock (n INT NOT NULL) ENGINE=MERGE UNION=(part) INSERT_METHOD=LAST"
        )
    else:
        database.execute_sql(f"CREATE TABLE stock (n INT NOT NULL) ENGINE={engine}")


def writes() -> list[Any]:
    return [Stock.insert(n=2), Stock.update(n=3), Stock.delete(), Stock.insert_many([{"n": 4}])]


@pytest.mark.parametrize("engine", LAX)
def test_a_write_inside_a_transaction_is_refused_before_it_is_sent(database: Any, engine: str) -> None:
    make(database, engine)
    Stock.insert(n=1).execute()
    for number, query in enumerate(writes()):
        with pytest.raises(NotTransactional) as caught, database.atomic():
            query.execute()
        assert "table 'stock' of database 'shop' inside a transaction" in str(caught.value)
        assert f"its engine, {engine}, keeps none" in str(caught.value)
        assert str(caught.value).startswith(("INSERT", "UPDATE", "DELETE", "INSERT")[number])
    assert list(Stock.select(Stock.n).tuples()) == [(1,)]
    assert isinstance(caught.value, peewee.NotSupportedError)


def test_what_would_happen_otherwise(database: Any) -> None:
    make(database, "MyISAM")
    database.myisam = "allow"
    with pytest.raises(ZeroDivisionError), database.atomic():
        Stock.insert(n=1).execute()
        1 / 0  # noqa: B018
    assert Stock.select().count() == 1  # it was rolled back


def test_reads_and_writes_outside_are_not_refused(database: Any) -> None:
    make(database, "MyISAM")
    with database.atomic():
        assert Stock.select().count() == 0
        Safe.create(n=1)
    Stock.insert(n=1).execute()
    assert Stock.select().count() == 1


def test_a_savepoint_is_a_transaction_too_and_manual_ones_as_well(database: Any) -> None:
    make(database, "MyISAM")
    with database.atomic(), pytest.raises(NotTransactional), database.atomic():
        Stock.insert(n=1).execute()
    with database.transaction(), pytest.raises(NotTransactional):
        Stock.insert(n=1).execute()
    assert Stock.select().count() == 0


def test_a_table_of_innodb_is_asked_for_once(database: Any) -> None:
    asked: list[str] = []
    database.query_hooks.append(lambda event: asked.append(event.sql))
    for _ in range(3):
        with database.atomic():
            Safe.create(n=1)
    assert sum("information_schema.tables" in sql for sql in asked) == 1
    assert database.table_engines == {(None, "safe"): None}


def test_a_warning_lets_the_write_pass(mariadb_url: str) -> None:
    database = build(f"{mariadb_url}?myisam=warn")
    with database.bind_ctx([Stock]):
        make(database, "MyISAM")
        with database.atomic(), pytest.warns(UncoveredWrite, match="a rollback would leave the rows"):
            Stock.insert(n=1).execute()
        assert Stock.select().count() == 1
    database.close()


def test_allowing_it_asks_nothing(mariadb_url: str) -> None:
    database = build(f"{mariadb_url}?myisam=allow")
    asked: list[str] = []
    with database.bind_ctx([Stock]), warnings.catch_warnings():
        warnings.simplefilter("error")
        make(database, "MyISAM")
        database.query_hooks.append(lambda event: asked.append(event.sql))
        with database.atomic():
            Stock.insert(n=1).execute()
    assert len(asked) == 1
    database.close()


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'myisam' cannot be 'no'; known: allow, refuse, warn"):
        build("mysql://host/name?myisam=no")


def test_a_table_of_another_schema_is_asked_for_there(mariadb_urls: Any) -> None:
    here, there = mariadb_urls(2)
    other = build(there)
    make(other, "MyISAM")

    class Far(peewee.Model):
        n = peewee.IntegerField()

        class Meta:
            table_name = "stock"
            schema = other.database
            primary_key = False

    database = build(here)
    with database.bind_ctx([Far]), pytest.raises(NotTransactional), database.atomic():
        Far.insert(n=1).execute()
    database.close()
    other.close()


def test_a_view_and_a_missing_table_are_left_to_the_server(database: Any) -> None:
    with database.atomic(), pytest.raises(peewee.ProgrammingError, match="doesn't exist"):
        Stock.insert(n=1).execute()
    database.forget_engines()
    database.execute_sql("CREATE VIEW stock AS SELECT n FROM safe")
    with database.atomic():
        Stock.insert(n=1).execute()
    assert Safe.select().count() == 1


def test_ddl_lets_the_engines_be_asked_for_again(database: Any) -> None:
    make(database, "MyISAM")
    with pytest.raises(NotTransactional), database.atomic():
        Stock.insert(n=1).execute()
    database.execute_sql("ALTER TABLE stock ENGINE=InnoDB")
    database.forget_engines()
    with database.atomic():
        Stock.insert(n=1).execute()
    database.drop_tables([Stock])
    assert database.table_engines == {}


def test_our_atomic_and_models_are_covered(mariadb_url: str) -> None:
    databases.configure({"default": mariadb_url})
    try:

        class Part(Model):
            n = peewee.IntegerField()

        databases["default"].execute_sql(
            "CREATE TABLE part (id INT AUTO_INCREMENT PRIMARY KEY, n INT) ENGINE=MyISAM"
        )
        with pytest.raises(NotTransactional, match="of database 'default'"), atomic(Part):
            Part.create(n=1)
        Part.create(n=1)
        with pytest.raises(NotTransactional), atomic("default"):
            Part.get().delete_instance()
        assert Part.select().count() == 1
    finally:
        databases.close_all()
        databases.configure({})


def test_an_asynchronous_write_is_refused_too(mariadb_url: str) -> None:
    pytest.importorskip("playhouse.pwasyncio")
    registry = Databases({"default": with_scheme(mariadb_url, "mysql+aiomysql")})
    database: Any = registry["default"]

    async def run() -> None:
        with database.bind_ctx([Stock]):
            await database.aexecute_sql("CREATE TABLE stock (n INT NOT NULL) ENGINE=MyISAM")
            with pytest.raises(NotTransactional):
                async with database.atomic():
                    await database.aexecute(Stock.insert(n=1))
            await database.aexecute(Stock.insert(n=1))
            assert await database.count(Stock.select()) == 1
        await database.close_pool()

    asyncio.run(run())


# Servers that do not tell which engines keep transactions

STATUS = ["Name", "Engine", "Version"]


@pytest.mark.parametrize("version", ["4.1.22", "5.0.51a-log"])
@pytest.mark.parametrize("engine", ["MyISAM", "HEAP", "InnoDB", "BerkeleyDB", None])
def test_an_old_server_is_asked_by_show_table_status(version: str, engine: str | None) -> None:
    answers = {r"SHOW TABLE STATUS LIKE 'my\\\\_stock'": Result(STATUS, ("my_stock", engine, "9"))}

    class MyStock(peewee.Model):
        n = peewee.IntegerField()

        class Meta:
            table_name = "my_stock"

    with OldMySQL(version, answers).running() as server:
        database = build(server.url)
        with database.bind_ctx([MyStock]):
            if engine in ("MyISAM", "HEAP"):
                with pytest.raises(NotTransactional, match=f"its engine, {engine}"), database.atomic():
                    MyStock.insert(n=1).execute()
            else:
                with database.atomic():
                    MyStock.insert(n=1).execute()
                assert "INSERT INTO `my_stock` (`n`) VALUES (1)" in server.statements
        database.close()
