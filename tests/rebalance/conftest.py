"""Small sharded worlds on SQLite files, whose rows move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import BigIntegerField, CharField, IntegerField

from peewee_multidb import Databases, HashShards, Model, Rebalance, StoredMap

QUICK = "synchronous=0&journal_mode=memory"
BUCKETS = 16


class Shop:
    """Two shards with orders and lines, a third database, and countries in every shard.

    Attributes:
        registry: the databases `default`, `s1`, `s2` and `s3`.
        stored: the map of the rule.
        rule: buckets of ``user``.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        names = ("default", "s1", "s2", "s3")
        self.registry = Databases({name: f"sqlite:///{folder}/{name}.db?{QUICK}" for name in names})
        options = {"units": BUCKETS, "lifetime": 0.05, "patience": 0.3, **options}
        self.stored = StoredMap("shop", "s1", "s2", **options)
        self.rule = HashShards(key="user", map=self.stored, buckets=options["units"])
        self.Country = self.model("Country", reference=True, code=CharField(primary_key=True))
        self.Order = self.model(
            "Order",
            id=BigIntegerField(primary_key=True),
            user=IntegerField(),
            text=CharField(default=""),
        )
        self.Line = self.model(
            "Line", id=BigIntegerField(primary_key=True), user=IntegerField(), order_id=BigIntegerField()
        )

    def model(self, name: str, *, reference: bool = False, rule: Any = None, **fields: Any) -> Any:
        meta = type(
            "Meta", (), {"registry": self.registry, "db_name": rule or self.rule, "reference": reference}
        )
        return type(Model)(name, (Model,), {**fields, "Meta": meta, "__module__": __name__})

    def fill(self, users: int = 60) -> None:
        self.registry.create_tables([self.Country, self.Order, self.Line])
        self.Country.insert_many([{"code": "de"}, {"code": "ca"}]).execute()
        self.Order.insert_many([{"id": n, "user": n, "text": f"t{n}"} for n in range(users)]).execute()
        self.Line.insert_many([{"id": n, "user": n, "order_id": n} for n in range(users)]).execute()

    def moves(self, **options: Any) -> Rebalance:
        return Rebalance(self.Order, self.Line, **{"drain": 0.0, "patience": 1.0, "chunk": 7, **options})

    def where(self, model: Any) -> dict[int, str]:
        """Return the shard of each row; a row that is there twice or in the wrong shard is an error."""
        found: dict[int, str] = {}
        for name in self.stored.refresh().names:
            for row in model.select().using(name):
                assert row.id not in found
                assert self.rule.shard_of(row.user) == name
                found[row.id] = name
        return found

    def tables(self) -> dict[str, set[str]]:
        return {name: set(self.registry[name].get_tables()) for name in ("s1", "s2", "s3")}

    def execute(self, name: str, sql: str, *params: Any) -> Any:
        """Run SQL as another program would."""
        return self.registry[name].execute_sql(sql, params)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.registry.close_all()


@pytest.fixture
def full_shop(shop: Shop) -> Shop:
    shop.fill()
    return shop
