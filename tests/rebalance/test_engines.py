"""Rows of every type move between servers of one engine and of several, and arrive as they were."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from peewee import (
    AutoField,
    BlobField,
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    DoubleField,
    IntegerField,
    JSONField,
    TextField,
    UUIDField,
)

from peewee_multidb import Databases, HashShards, Model, Rebalance, StoredMap
from peewee_multidb.errors import RebalanceError
from peewee_multidb.testing.servers import MariaDBServer

NewUrls = Callable[[int], list[str]]


@pytest.fixture
def urls(
    tmp_path: Path, postgres_urls: NewUrls, mariadb_server: MariaDBServer, mariadb_urls: NewUrls
) -> Callable[[str], list[str]]:
    mariadb_server.execute("SET GLOBAL log_bin_trust_function_creators = 1")

    def of(engine: str) -> list[str]:
        if engine == "sqlite":
            return [f"sqlite:///{tmp_path}/{number}.db?synchronous=0" for number in range(4)]
        if engine == "mixed":
            return [*of("sqlite")[:2], *postgres_urls(1), *mariadb_urls(1)]
        return {"postgresql": postgres_urls, "mariadb": mariadb_urls}[engine](4)

    return of


def registry_of(urls: list[str]) -> Databases:
    return Databases(dict(zip(("default", "s1", "s2", "s3"), urls, strict=True)))


def model_of(own: Databases, name: str, **fields: Any) -> Any:
    stored = StoredMap(name, "s1", "s2", units=8, registry=own, lifetime=0.05)
    rule = HashShards(key="user", map=stored, buckets=8)
    meta = type("Meta", (), {"registry": own, "db_name": rule})
    made: Any = type(Model)(name, (Model,), {**fields, "Meta": meta, "__module__": __name__})
    own.create_tables([made])
    return made


@pytest.mark.parametrize("engine", ["postgresql", "mariadb", "mixed"])
def test_values_of_every_type_arrive_as_they_were(engine: str, urls: Callable[[str], list[str]]) -> None:
    own = registry_of(urls(engine))
    Thing = model_of(
        own,
        "Thing",
        id=UUIDField(primary_key=True),
        user=IntegerField(),
        text=TextField(null=True),
        flag=BooleanField(default=False),
        price=DecimalField(max_digits=12, decimal_places=3, null=True),
        real=DoubleField(null=True),
        day=DateField(null=True),
        moment=DateTimeField(null=True),
        data=BlobField(null=True),
        json=JSONField(null=True),
    )
    rows = [
        {
            "id": uuid.UUID(int=number),
            "user": number,
            "text": f"naïve \N{SNOWMAN} '{number}' %s ?",
            "flag": bool(number % 2),
            "price": Decimal(number) / 8,
            "real": number / 3,
            "day": datetime.date(2020, 1, 1) + datetime.timedelta(number),
            "moment": datetime.datetime(2020, 1, 1, 12, number % 60, 7),
            "data": bytes([number % 256, 0, 255]),
            "json": {"b": [number, None], "a": {"x": "ü"}},
        }
        for number in range(40)
    ]
    rows += [{**dict.fromkeys(rows[0]), "id": uuid.uuid4(), "user": 99, "flag": False}]
    for row in rows:
        Thing.insert(row).execute()
    moves = Rebalance(Thing, drain=0.0, chunk=9, batch=5)
    moves.run(moves.plan(add=["s3"]))
    moves.run(moves.plan(remove=["s1"]))
    found = {row["id"]: row for row in Thing.select().dicts()}
    assert len(found) == len(rows) == Thing.select().count()
    for row in rows:
        assert {**found[row["id"]], "data": None} == {**row, "data": None}
        assert row["data"] is None or bytes(found[row["id"]]["data"]) == row["data"]
    assert {Thing.select().using(name).count() > 0 for name in ("s2", "s3")} == {True}
    own.close_all()


def test_postgresql_numbers_rows_above_those_that_came(urls: Callable[[str], list[str]]) -> None:
    own = registry_of(urls("postgresql"))
    Note = model_of(own, "Note", id=AutoField(), user=IntegerField())
    user = next(user for user in range(99) if Note._meta.home.rule.shard_of(user) == "s1")
    for _ in range(5):
        Note.create(user=user)
    moves = Rebalance(Note, drain=0.0)
    moves.run(moves.plan(move={user: "s2"}))
    assert Note.create(user=user).id == 6
    own.close_all()


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_one_rebalance_at_a_time_on_servers(engine: str, urls: Callable[[str], list[str]]) -> None:
    from peewee_multidb.rebalance.sole import sole

    own = registry_of(urls(engine))
    Note = model_of(own, "Note", id=IntegerField(primary_key=True), user=IntegerField())
    moves = Rebalance(Note, drain=0.0)
    with sole(moves.stored), pytest.raises(RebalanceError, match="Another process is rebalancing"):
        moves.resume()
    assert moves.resume().rows == 0
    own.close_all()


def test_what_the_target_refuses_stays_where_it_is(urls: Callable[[str], list[str]]) -> None:
    own = registry_of(urls("postgresql"))
    Note = model_of(own, "Note", id=IntegerField(primary_key=True), user=IntegerField(), text=CharField())
    Note.insert_many([{"id": n, "user": n, "text": "long"} for n in range(20)]).execute()
    own["s2"].execute_sql("ALTER TABLE note ADD CONSTRAINT short CHECK (length(text) < 3) NOT VALID")
    moves = Rebalance(Note, drain=0.0)
    with pytest.raises(RebalanceError, match="cannot move from 's1' to 's2' and stay where they are"):
        moves.run(moves.plan(remove=["s1"]))
    assert Note.select().count() == 20
    assert Note.update(text="x").where(Note.user == 1).execute() == 1
    own["s2"].execute_sql("ALTER TABLE note DROP CONSTRAINT short")
    moves.resume()
    assert Note.select().using("s2").count() == 20
    own.close_all()
