"""One event for each statement, on every kind of database, and nothing at all when nobody observes."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import peewee
import pytest
from peewee import IntegerField, fn

from peewee_multidb import Databases, Model, use_db, use_replica
from peewee_multidb.drivers import watching
from peewee_multidb.observe import QueryEvent, observe
from tests.engines import MODELS, Lite, Maria, Post
from tests.observe.conftest import Events, Shop


def test_an_event_says_where_how_long_and_how_many_rows(shop: Shop, events: Events) -> None:
    shop.User.insert_many([{"name": "a"}, {"name": "b"}]).execute()
    event = events.only()
    found = (event.name, event.role, event.engine, event.model, event.table, event.statement, event.rows)
    assert found == ("default", "primary", "sqlite", "User", "shop_user", "INSERT", 2)
    assert (event.shard, event.tenant, event.route, event.error) == (None, None, "home", None)
    assert event.server.startswith("sqlite:///") and event.params is None and event.reasons == ()
    assert 0 < event.duration < 60 and event.started > 1_700_000_000
    assert "'a'" not in event.sql and not event.in_transaction and not event.housekeeping


def test_a_plain_select_tells_its_model_also_inside_count_and_exists(shop: Shop, events: Events) -> None:
    list(shop.User.select())
    shop.User.select().count()
    shop.User.select().where(shop.User.id == 1).exists()
    shop.User.select(fn.MAX(shop.User.id)).scalar()
    alias = shop.User.alias()
    list(alias.select())
    found = events.take()
    assert [(e.model, e.route, e.statement) for e in found] == [("User", "home", "SELECT")] * 5


def test_a_scattered_query_is_one_event_for_each_shard(shop: Shop, events: Events) -> None:
    for user in range(10):
        shop.Order.create(user=user)
    assert {e.shard for e in events.take()} == {"s1", "s2"}
    for query in (lambda: list(shop.Order.select()), lambda: shop.Order.select().count()):
        query()
        found = events.take()
        assert sorted(str(e.shard) for e in found) == ["s1", "s2"]
        assert {(e.model, e.route) for e in found} == {("Order", "every shard")}
    shop.Order.select().where(shop.Order.user == 3).first()
    assert events.only().route == "shard key"


def test_streamed_rows_are_counted_when_the_stream_ends(shop: Shop, events: Events) -> None:
    shop.Order.insert_many([{"user": n} for n in range(30)]).execute()
    events.take()
    rows = shop.Order.select().iterator()
    next(rows)
    assert len(list(rows)) == 29
    found = events.take()
    assert sum(e.rows or 0 for e in found) == 30 and len(found) == 2
    assert {e.model for e in found} == {"Order"}


def test_each_way_of_deciding_has_its_word(shop: Shop, events: Events) -> None:
    with use_db("s1"):
        shop.User.create_table()
    events.take()
    with use_db("s1"):
        list(shop.User.select())
    assert (events[0].route, events[0].name) == ("scope", "s1")
    events.take()
    list(shop.User.select().using("s1"))
    assert events.only().route == "using"
    shop.User.create(name="x")
    row = shop.User.select().using("default").get()
    events.take()
    with use_db("s1"):
        row.save()
    assert (events[0].route, events[0].name) == ("row", "default")


def test_reasons_and_parameters_come_when_they_are_asked_for(shop: Shop) -> None:
    seen = Events()
    with observe(seen.append, registry=shop.registry, params=True, reasons=True):
        list(shop.Order.select().where(shop.Order.user == 7))
    event = seen.only()
    assert list(event.params) == [7]
    assert any("sharding rule" in sentence for sentence in event.reasons)


def test_raw_sql_and_sql_for_a_database_object_are_observed(shop: Shop, events: Events) -> None:
    list(shop.User.raw("SELECT * FROM shop_user"))
    raw = events.only()
    assert (raw.model, raw.statement, raw.route) == ("User", "SELECT", "home")
    shop.registry["s2"].execute_sql("SELECT 1 AS a")
    plain = events.only()
    assert (plain.name, plain.model, plain.route) == ("s2", None, None)


def test_a_failed_query_is_an_event_with_its_error(shop: Shop, events: Events) -> None:
    with pytest.raises(peewee.OperationalError):
        list(shop.User.select(peewee.SQL("no_such_column")))
    event = events.only()
    assert isinstance(event.error, peewee.OperationalError) and event.rows is None
    assert "no_such_column" in str(event.as_dict()["error"])


def test_an_observer_that_raises_is_logged_and_breaks_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Events()

    def broken(event: QueryEvent) -> None:
        raise ValueError("an observer's own mistake")

    with observe(broken, registry=shop.registry), observe(seen.append, registry=shop.registry):
        with caplog.at_level(logging.ERROR, "peewee_multidb"):
            assert shop.User.select().count() == 0
    assert len(seen) == 1 and "an observer's own mistake" in caplog.text


def test_what_an_observer_sends_itself_is_not_observed(shop: Shop) -> None:
    seen = Events()

    def asking(event: QueryEvent) -> None:
        seen.append(event)
        shop.registry["default"].execute_sql("SELECT 1")

    with observe(asking, registry=shop.registry):
        shop.User.select().count()
    assert len(seen) == 1


def test_databases_that_are_added_or_opened_later_are_observed(tmp_path: Any) -> None:
    registry = Databases({"a": f"sqlite:///{tmp_path}/a.db"})
    seen = Events()
    with observe(seen.append, registry=registry):
        registry.add("b", peewee.SqliteDatabase(f"{tmp_path}/b.db"))
        registry["a"].execute_sql("SELECT 1")
        registry["b"].execute_sql("SELECT 2")
        registry.configure({"c": f"sqlite:///{tmp_path}/c.db"})
        registry["c"].execute_sql("SELECT 3")
    assert [e.name for e in seen] == ["a", "b", "c"]
    registry.close_all()


def test_a_database_object_of_the_users_own_is_observed_before_it_is_looked_up(tmp_path: Any) -> None:
    own = peewee.SqliteDatabase(f"{tmp_path}/own.db")
    registry = Databases({"own": own})
    seen = Events()
    with observe(seen.append, registry=registry):
        own.execute_sql("SELECT 1")
    own.execute_sql("SELECT 2")
    assert [(e.name, e.server) for e in seen] == [("own", "SqliteDatabase")]
    own.close()


def test_nothing_is_left_of_an_observation_that_is_closed(shop: Shop) -> None:
    database = shop.registry["default"]
    before = {**vars(database), "query_hooks": []}
    first = observe(lambda event: None, registry=shop.registry)
    second = observe(lambda event: None, registry=shop.registry)
    assert watching.watch_of(database) is not None
    first.close()
    first.close()
    assert watching.watch_of(database) is not None
    second.close()
    assert vars(database) == before
    assert shop.registry.on_open == []


def test_observations_come_and_go_while_other_threads_query(shop: Shop) -> None:
    stop, failures = threading.Event(), []

    def query() -> None:
        try:
            while not stop.is_set():
                assert shop.User.select().count() == 0
        except BaseException as error:
            failures.append(error)
        finally:
            shop.registry.close()

    threads = [threading.Thread(target=query) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        with observe(lambda event: None, registry=shop.registry):
            shop.User.select().count()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == [] and watching.watch_of(shop.registry["default"]) is None


def test_three_engines_say_rows_and_transactions(three: None) -> None:
    seen = Events()
    with observe(seen.append):
        for model in MODELS:
            database = model._meta.database.obj
            with database.atomic():
                model.insert_many([{"n": n} for n in range(3)]).execute()
            list(model.select())
            model.update(n=9).where(model.n < 2).execute()
            with pytest.raises(peewee.DatabaseError):
                database.execute_sql("SELECT no_such")
    for name in ("lite", "post", "maria"):
        own = [e for e in seen if e.name == name]
        assert [e.statement for e in own] == ["INSERT", "SELECT", "UPDATE", "SELECT"]
        assert [e.in_transaction for e in own] == [True, False, False, False]
        assert [e.rows for e in own] == [3, None if name == "lite" else 3, 2, None]
        assert own[3].error is not None


def test_asynchronous_databases_are_observed_as_the_others(three_async: None) -> None:
    seen = Events()

    async def main() -> None:
        for model in MODELS:
            database = model._meta.database.obj
            await database.acreate_tables([model])
            with observe(seen.append):
                await model.insert_many([{"n": n} for n in range(3)]).aexecute()
                await database.list(model.select())
                ordered = model.select().order_by(model.n)
                assert [row.n async for row in database.iterate(ordered)] == [0, 1, 2]
                await database.aexecute_sql("SELECT 1 AS a", ())
                with pytest.raises(peewee.DatabaseError):
                    await database.aexecute_sql("SELECT no_such", ())
            await database.adrop_tables([model])
            await database.aclose()
            await database.close_pool()

    asyncio.run(main())
    for name, model in (("lite", Lite), ("post", Post), ("maria", Maria)):
        own = [e for e in seen if e.name == name]
        kinds = [(e.model, e.statement, e.rows) for e in own]
        inserted = kinds.pop(0)
        assert inserted[:2] == (model.__name__, "INSERT") and inserted[2] == 3
        assert kinds == [
            (model.__name__, "SELECT", 3),
            (model.__name__, "SELECT", 3),
            (None, "SELECT", 1),
            (None, "SELECT", None),
        ]
        assert own[-1].error is not None


@pytest.mark.parametrize("settings", ["postgres_cluster_settings", "mariadb_cluster_settings"])
def test_a_read_on_a_replica_says_which_server_and_never_a_password(
    settings: str, request: pytest.FixtureRequest
) -> None:
    registry_ = Databases({"default": request.getfixturevalue(settings)})

    class Note(Model):
        n = IntegerField()

        class Meta:
            registry = registry_

    Note.create_table()
    seen = Events()
    try:
        with observe(seen.append, registry=registry_):
            Note.create(n=1)
            for _ in range(4):
                assert len(Note.select()) == 1
            with use_replica():
                Note.select().count()
        everything = observe(seen.append, registry=registry_, housekeeping=True)
        with everything:
            registry_.status()
    finally:
        registry_.close_all()
    asked = [e for e in seen if e.housekeeping]
    own = [e for e in seen if not e.housekeeping]
    assert own[0].role == "primary" and own[0].statement == "INSERT"
    reads = [e for e in own[1:] if e.error is None]
    assert {e.role for e in reads[-3:]} == {"replica"} and {e.model for e in reads} == {"Note"}
    labels = {server.label for server in registry_.entries["default"].servers() if server.role == "replica"}
    assert {e.server for e in reads if e.role == "replica"} <= labels
    assert all(e.rows == 1 for e in reads if e.role == "replica")
    assert asked and all(e.model is None for e in asked)


def test_a_mirror_reads_as_the_replica_that_it_stands_for(tmp_path: Any) -> None:
    settings = {"url": f"sqlite:///{tmp_path}/m.db", "replicas": ["mirror"], "replication": {"window": 0}}
    registry_ = Databases({"default": settings})

    class Note(Model):
        n = IntegerField()

        class Meta:
            registry = registry_

    Note.create_table()
    seen = Events()
    with observe(seen.append, registry=registry_):
        Note.create(n=1)
        list(Note.select())
    assert [e.role for e in seen] == ["primary", "replica"]
    assert seen[0].server == seen[1].server, "it is the same server"
    registry_.close_all()
