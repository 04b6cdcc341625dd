"""Tables are made and dropped where each model lives, and the report says so exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField

from peewee_multidb import (
    ConfigurationError,
    Databases,
    HashShards,
    ReadOnlyDatabase,
    StoredMap,
    UnknownDatabase,
    UUID7Field,
    use_db,
)
from peewee_multidb.schema import create, drop
from tests.schema.conftest import ENGINES, base_of


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    own = Databases(
        {
            **{name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "orders", "eu", "us")},
            "erp": {"url": f"sqlite:///{tmp_path}/erp.db", "read_only": True},
        }
    )
    yield own
    own.close_all()


def models_of(own: Databases) -> dict[str, Any]:
    class User(base_of(own)):
        name = CharField()

    class Order(base_of(own, db_name="orders")):
        user = ForeignKeyField(User)

    class Line(base_of(own, db_name="orders")):
        order = ForeignKeyField(Order)

    class Visit(base_of(own, db_name=lambda r: r, shard_key="region", shards=("eu", "us"))):
        region = CharField()

    class Country(base_of(own, db_name=("eu", "us"), reference=True)):
        name = CharField()

    class Ledger(base_of(own, db_name="erp")):
        total = CharField()

    class Invoice(base_of(own, db_name="default", managed=False)):
        total = CharField()

    class Tenant(base_of(own, db_name=None)):
        name = CharField()

    return {k: v for k, v in locals().items() if k[0].isupper()}


def test_each_table_is_made_where_its_model_lives_and_dropped_there(shop: Databases) -> None:
    models = models_of(shop)
    report = create(models.values(), registry=shop)
    assert report.ok
    assert {name: sorted(tables) for name, tables in report.done.items()} == {
        "default": ["user"],
        "orders": ["line", "order"],
        "eu": ["country", "visit"],
        "us": ["country", "visit"],
    }
    assert report.done["orders"] == ["order", "line"], "parents first"
    assert sorted(what for what, _ in report.passed_over) == ["Invoice", "Tenant", "erp"]
    assert "erp       passed over  it is configured read_only: ledger" in str(report)
    assert [key.dest_table for key in shop["orders"].get_foreign_keys("line")] == ["order"]
    assert shop["orders"].get_foreign_keys("order") == []
    again = create(models.values(), registry=shop)
    assert not any(again.done.values()) and again.already["orders"] == ["order", "line"]
    assert "already there" in str(again)

    gone = drop(models.values(), ["orders", "eu"], registry=shop)
    assert gone.done["orders"] == ["line", "order"], "children first"
    assert sorted(gone.done["eu"]) == ["country", "visit"] and "us" not in gone.done
    assert shop["us"].get_tables() == ["country", "visit"] and shop["eu"].get_tables() == []
    assert drop(models.values(), ["eu"], registry=shop).as_dict()["already"]["eu"]


def test_read_only_and_unknown_names_are_refused_before_anything_is_done(shop: Databases) -> None:
    models = models_of(shop)
    for act in (create, drop):
        with pytest.raises(ReadOnlyDatabase, match="'erp' is configured read_only"):
            act(models.values(), ["erp", "default"], registry=shop)
        with pytest.raises(UnknownDatabase, match="did you mean 'orders'"):
            act(models.values(), ["order"], registry=shop)
    assert shop["default"].get_tables() == []
    with pytest.raises(ConfigurationError, match="no model of peewee_multidb"):
        create([peewee.Model], registry=shop)
    with pytest.raises(ConfigurationError, match="another registry"):
        create(models.values())


def test_scopes_say_where(shop: Databases) -> None:
    models = models_of(shop)
    with use_db("eu"):
        assert create([models["User"], models["Tenant"]], registry=shop).done == {"eu": ["tenant", "user"]}
    with use_db(default="us"):
        assert create([models["User"]], registry=shop).done == {"us": ["user"]}
    assert create([models["Tenant"]], ("default", "us"), registry=shop).done == {
        "default": ["tenant"],
        "us": ["tenant"],
    }


def test_a_database_that_fails_is_said_and_the_others_are_done(shop: Databases, mariadb_url: str) -> None:
    shop.add("gone", mariadb_url.rsplit("/", 1)[0] + "/missing")

    class Copy(base_of(shop, db_name=("eu", "gone", "us"), reference=True)):
        name = CharField()

    report = create([Copy], registry=shop)
    done = {name: tables for name, tables in report.done.items() if tables}
    assert done == {"eu": ["copy"], "us": ["copy"]}
    assert not report.ok and list(report.failed) == ["gone"] and "gone" in str(report)
    with pytest.raises(peewee.PeeweeException, match=r"1 database\(s\) failed"):
        report.raise_for_failures()
    assert "OperationalError" in report.as_dict()["failed"]["gone"]


def test_every_engine(engines: Databases) -> None:
    class User(base_of(engines, db_name=ENGINES, reference=True)):
        name = CharField(unique=True)

    assert create([User], registry=engines).done == {name: ["user"] for name in ENGINES}
    assert drop([User], registry=engines).done == {name: ["user"] for name in ENGINES}
    assert all("user" not in engines[name].get_tables() for name in ENGINES)


def test_a_shard_that_does_not_answer_keeps_its_rule_waiting_and_nothing_else(tmp_path: Path) -> None:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "s1")})
    own.add("s2", "sqlite:////no/such/folder/s2.db")
    rule = HashShards(key="user", map=StoredMap("orders", "s1", "s2", db="default"))

    class Order(base_of(own, db_name=rule)):
        id = UUID7Field()
        user = IntegerField()

    class User(base_of(own)):
        name = CharField()

    report = create([Order, User], registry=own)
    assert report.done["default"] == ["user"] and not any(report.done[name] for name in ("s1", "s2"))
    assert set(report.failed) == {"s1", "s2"}
    assert "Order waits: a database of its shard map does not answer" in str(report.failed["s1"])
    own.close_all()
