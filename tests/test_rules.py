"""The twelve rules of the design, one test each. Read them as the shortest account of what the package does.

Every test is end to end, on real files and servers. The modules' own tests go into the corners.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import BlobField, CharField, DateTimeField, ForeignKeyField, IntegerField, JSONField, fn

from peewee_multidb import (
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    MissingShardKey,
    Model,
    NoDatabaseSelected,
    ScatterNotSupported,
    UncoveredWrite,
    UnknownDatabase,
    WrongShard,
    atomic,
    current_db,
    database_of,
    databases,
    explain_route,
    propagate,
    use_db,
    use_shard,
)
from tests import peewee_corpus


@pytest.fixture(autouse=True)
def four_files(tmp_path: Path) -> Iterator[None]:
    """The process-wide registry over four SQLite files; foreign keys are checked."""
    url = f"sqlite:///{tmp_path}/%s.db?foreign_keys=1"
    databases.configure({name: url % name for name in ("default", "erp", "eu", "us")})
    yield
    databases.close_all()
    databases.configure({})


def everywhere(*models: Any) -> None:
    """Create the models' tables in every database, whatever home they have."""
    for name in databases:
        with databases[name].bind_ctx(models, bind_refs=False, bind_backrefs=False):
            for model in models:
                model.create_table()


def rows_in(name: str, table: str) -> int:
    """Count the rows of a table as the server sees them."""
    return databases[name].execute_sql(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # type: ignore[no-any-return]


def test_rule_01_one_decision_per_query() -> None:
    class Visit(Model):
        region = CharField()
        label = CharField(default="")

        class Meta:
            db_name = staticmethod(lambda region: region)
            shard_key = "region"
            shards = ("eu", "us", "erp", "default")

    class Plain(Model):
        label = CharField()

    everywhere(Visit, Plain)
    for name in databases:
        with use_db(name):
            Plain.create(label=name)
            Visit.create(region=name, label=name)

    # Last of all "default"; above it Meta.db_name, here a sharding rule.
    assert Plain.get().label == "default"
    assert Visit.get(Visit.region == "us").label == "us"
    with use_db("eu"):
        # The scope stands above the rule and the home,
        assert Plain.get().label == "eu"
        row = Visit.get()
        with use_db("erp"):
            # the row's own database above the scope,
            assert row.refresh().label == "eu"
            row.label = "still here"
            row.save()
            # and using() above everything.
            assert Plain.select().using("us").get().label == "us"
    assert Visit.select().using("eu").get().label == "still here"
    assert explain_route(Plain.select().using("us")).databases == ("us",)


def test_rule_02_what_db_name_allows() -> None:
    class Listed(Model):
        class Meta:
            db_name = ("eu", "us")

    class Homeless(Model):
        class Meta:
            db_name = None

    class Pinned(Model):
        class Meta:
            db_name = "erp"
            db_pinned = True

    everywhere(Listed, Homeless, Pinned)
    with use_db("us"):
        assert [current_db(m) for m in (Listed, Homeless, Pinned)] == ["us", "us", "erp"]
    with use_db("default"), pytest.raises(DatabaseNotAllowed):
        Listed.create()
    with pytest.raises(NoDatabaseSelected):
        Homeless.create()
    with use_db(erp="us"):
        Pinned.create()
    with use_db("eu", Pinned):
        Pinned.create()
    assert [rows_in(name, "pinned") for name in databases] == [0, 0, 1, 1]


def test_rule_03_built_here_runs_here() -> None:
    class Note(Model):
        label = CharField()

    everywhere(Note)
    with use_db("eu"):
        built_inside = Note.insert(label="inside")
    built_outside = Note.insert(label="outside")

    built_inside.execute()
    with use_db("us"):
        built_inside.execute()
        built_outside.execute()
    assert [rows_in(name, "note") for name in databases] == [0, 0, 2, 1]


def test_rule_04_scopes_belong_to_one_thread_or_task_and_restore_exactly() -> None:
    class Note(Model):
        label = CharField()

    here = functools.partial(current_db, Note)
    with use_db("eu"):
        with pytest.raises(LookupError), use_db("us"):
            raise LookupError
        assert here() == "eu"
        # A bare thread and an executor start outside; propagate() takes the scope along.
        with ThreadPoolExecutor(1) as pool:
            assert [pool.submit(f).result() for f in (here, propagate(here))] == ["default", "eu"]

    # A task inherits, and keeps its own over every await.
    async def task(name: str) -> list[Any]:
        with use_db(name):
            await asyncio.sleep(0)
            return [here(), await asyncio.to_thread(here)]

    async def main() -> Any:
        with use_db("erp"):
            return [*await asyncio.gather(task("eu"), task("us")), here()]

    assert asyncio.run(main()) == [["eu", "eu"], ["us", "us"], "erp"]

    # A generator runs every step in its scope and leaks nothing between them.
    @use_db("us")
    def steps() -> Any:
        yield here()
        yield here()

    assert [(step, here()) for step in steps()] == [("us", "default")] * 2

    # Left in another context than the one entered: no error, and nobody is disturbed.
    scope = use_db("eu")
    scope.__enter__()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(scope.__exit__, None, None, None).result()
    assert here() == "eu"
    scope.__exit__(None, None, None)
    assert here() == "default"


def test_rule_05_nothing_crosses_databases_silently() -> None:
    class Vendor(Model):
        name = CharField()

        class Meta:
            db_name = "erp"

    class Order(Model):
        vendor = ForeignKeyField(Vendor, backref="orders")

    databases.create_tables([Vendor, Order])
    acme = Vendor.create(name="acme")
    # A table of the same name exists there, and does not help.
    with databases["default"].bind_ctx([Vendor]):
        Vendor.create_table()
        Vendor.create(name="impostor")
    sent: list[Any] = []
    databases["default"].query_hooks.append(sent.append)
    for query in (
        Order.select().join(Vendor),
        Order.select().where(Order.vendor.in_(Vendor.select())),
        Order.select(Order.id) | Vendor.select(Vendor.id),
        Order.delete().where(Order.vendor.in_(Vendor.select())),
    ):
        with pytest.raises(CrossDatabaseQuery, match=r"Order.*'default'.*Vendor.*'erp'"):
            query.execute()
    assert sent == []

    # The foreign key makes no constraint, loads lazily, and prefetch works over it.
    order = Order.create(vendor=acme)
    Order.create(vendor=99)
    assert Order.get_by_id(order.id).vendor.name == "acme"
    assert [o.id for o in Vendor.get().orders] == [order.id]
    (vendor,) = Vendor.select().prefetch(Order)
    assert [o.id for o in vendor.orders] == [order.id]


def test_rule_06_ddl_goes_where_the_model_lives() -> None:
    class Legacy(Model):
        class Meta:
            db_name = "erp"
            managed = False

    class Report(Model):
        class Meta:
            db_name = "erp"

    class Visit(Model):
        region = CharField()

        class Meta:
            db_name = staticmethod(lambda region: region)
            shard_key = "region"
            shards = ("eu", "us")

    for _ in range(2):
        databases.create_tables([Legacy, Report, Visit])
        tables = {name: databases[name].get_tables() for name in databases}
        assert tables == {"default": [], "erp": ["report"], "eu": ["visit"], "us": ["visit"]}
    for _ in range(2):
        databases.drop_tables([Legacy, Report, Visit])
        assert not any(databases[name].get_tables() for name in databases)


class Measurement(Model):
    at = DateTimeField()
    data = JSONField()
    raw = BlobField()
    number = IntegerField(unique=True)


def test_rule_07_the_dialect_follows_the_query(postgres_url: str, mariadb_url: str) -> None:
    databases.add("pg", postgres_url)
    databases.add("maria", mariadb_url)
    engines = ("default", "pg", "maria")
    start = threading.Barrier(len(engines))
    # One query, built outside every scope: each engine gets it in its own words.
    shared = Measurement.select(Measurement.at.year, Measurement.data["n"].as_int()).where(
        (Measurement.data["tags"][0].as_text() == "a") & (Measurement.raw == b"\x00\xff")
    )

    def work(name: str) -> list[Any]:
        with use_db(name):
            Measurement.create_table()
            start.wait()
            for n in range(20):
                at = datetime.datetime(2000 + n, 1, 2)
                row = Measurement.create(at=at, data={"n": n, "tags": ["a"]}, raw=b"\x00\xff", number=n)
                assert Measurement.get_by_id(row.id).data == {"n": n, "tags": ["a"]}
            for n in range(5):
                changed = Measurement.update(data=Measurement.data["n"].set(100 + n))
                changed.where(Measurement.number == n).execute()
            found = [*sorted(shared.clone().tuples()), shared.clone().sql()[0]]
        databases.close()
        return found

    with ThreadPoolExecutor(len(engines)) as pool:
        results = list(pool.map(work, engines))
    years = [(2000 + n, 100 + n if n < 5 else n) for n in range(20)]
    assert [result[:-1] for result in results] == [years] * 3
    # Three dialects, and none got into another thread's.
    assert len({result[-1] for result in results}) == 3
    databases.close_all()


def test_rule_08_inside_a_transaction_everything_is_on_its_connection() -> None:
    class Note(Model):
        label = CharField()

    everywhere(Note)
    with pytest.raises(ZeroDivisionError), atomic("default", "erp"):
        Note.create(label="a")
        with use_db("erp"):
            Note.create(label="b")
            # A read sees what the transaction has not committed yet.
            assert Note.get().label == "b"
        raise ZeroDivisionError
    assert [rows_in(name, "note") for name in databases] == [0, 0, 0, 0]

    with atomic("default"), use_db("erp"), pytest.warns(UncoveredWrite, match="'erp'.*does not cover"):
        Note.create(label="c")
    with warnings.catch_warnings(), atomic("default"), use_db("erp"):
        warnings.simplefilter("error", UncoveredWrite)
        with pytest.raises(UncoveredWrite):
            Note.create(label="d")
    assert [rows_in(name, "note") for name in databases] == [0, 1, 0, 0]


def _visit() -> Any:
    class Visit(Model):
        region = CharField()
        seconds = IntegerField(default=0)

        class Meta:
            db_name = staticmethod(lambda region: region)
            shard_key = "region"
            shards = ("eu", "us")

    databases.create_tables([Visit])
    Visit.create(region="eu", seconds=1)
    Visit.create(region="us", seconds=2)
    return Visit


def test_rule_09_writes_fail_closed() -> None:
    visit = _visit()
    for keyless in (visit.insert(seconds=3), visit.update(seconds=3), visit.delete()):
        with pytest.raises(MissingShardKey):
            keyless.execute()
    for write in (visit.insert(region="us"), visit.delete().where(visit.region == "us")):
        with use_shard(visit, "eu"), pytest.raises(WrongShard):
            write.execute()
    with pytest.raises(WrongShard):
        visit.update(region="us").where(visit.region == "eu").execute()
    assert [rows_in(name, "visit") for name in ("eu", "us")] == [1, 1]
    assert visit.update(seconds=9).where(visit.region == "eu").execute() == 1


def test_rule_10_never_a_wrong_answer() -> None:
    visit = _visit()
    assert visit.select(fn.SUM(visit.seconds)).where(visit.region == "us").scalar() == 2
    # Several shards answer as one database would.
    assert visit.select(fn.SUM(visit.seconds)).scalar() == 3
    assert len(visit.select().where(visit.region.in_(["eu", "us"]))) == 2
    assert len(visit.select().where((visit.region == "eu") | (visit.seconds == 2))) == 2
    assert [row.seconds for row in visit.select().order_by(visit.seconds.desc()).limit(1)] == [2]
    # What would need rows of several shards in one place is refused, and said why.
    inner = visit.alias()
    for query in (
        visit.select().where(visit.seconds < inner.select(fn.MAX(inner.seconds))),
        visit.select().where(visit.region == "eu", visit.seconds < inner.select(fn.MAX(inner.seconds))),
        visit.select().join(inner, on=(visit.seconds < inner.seconds)),
    ):
        with pytest.raises(ScatterNotSupported, match="Visit"):
            list(query)


def test_rule_11_imports_before_configuration(tmp_path: Path) -> None:
    databases.configure({})

    class Early(Model):
        label = CharField()
        # Fields that Peewee adapts to their database ask for it when they are needed.
        data = JSONField(default=dict)
        raw = BlobField(default=b"")

        class Meta:
            db_name = "late"

    query = Early.select()
    with pytest.raises(UnknownDatabase, match="nothing is configured yet"):
        query.get()
    file = tmp_path / "late.db"
    databases.configure({"late": f"sqlite:///{file}"})
    explain_route(Early.insert(label="x"))
    assert not file.exists()
    Early.create_table()
    assert file.exists()
    assert database_of(Early.create(label="x")) == "late"
    assert query.get().label == "x"


@pytest.mark.parametrize("label", list(peewee_corpus.OPERATIONS))
def test_rule_12_a_plain_peewee_user_loses_nothing(label: str) -> None:
    """Peewee's own test-suite is compared too, by test_peewee_suite.py, where there is a checkout of it."""
    operation = peewee_corpus.OPERATIONS[label]
    stock = peewee.SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
    base = type("Base", (peewee.Model,), {"Meta": type("Meta", (), {"database": stock})})
    expected = peewee_corpus.outcome(base, stock, operation)
    databases.configure({"default": "sqlite:///:memory:?foreign_keys=1"})
    assert peewee_corpus.outcome(Model, databases["default"], operation) == expected
    assert expected.result is not None or expected.statements
    stock.close()
