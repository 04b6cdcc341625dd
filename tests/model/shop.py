"""A sharded shop: users by a hash of their id, what belongs to them beside them, countries in every shard."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from peewee import CharField, ForeignKeyField, IntegerField

from peewee_multidb import Databases, HashShards, Snowflake, SnowflakeField
from tests.model.conftest import base_model

SHARDS = ("s0", "s1", "s2")


def shop(own: Databases, names: tuple[str, ...] = SHARDS) -> Any:
    """Return the models of a shop whose shards have these names, with their tables made."""
    Base = base_model(own)
    rule = HashShards(*names, buckets=96)
    make = Snowflake(worker=1)

    class Country(Base):  # type: ignore[misc, valid-type]
        code = CharField(unique=True)

        class Meta:
            db_name = rule
            reference = True

    class User(Base):  # type: ignore[misc, valid-type]
        id = IntegerField(primary_key=True)
        name = CharField(default="")
        country = ForeignKeyField(Country, null=True, backref="users")

        class Meta:
            db_name = rule
            shard_key = "id"

    class Order(Base):  # type: ignore[misc, valid-type]
        id = SnowflakeField(make)
        user = ForeignKeyField(User, backref="orders")
        total = IntegerField(default=0)

        class Meta:
            colocate_with = User

    class Line(Base):  # type: ignore[misc, valid-type]
        id = SnowflakeField(make)
        order = ForeignKeyField(Order, backref="lines")
        count = IntegerField(default=1)

        class Meta:
            colocate_with = Order

    class Friend(Base):  # type: ignore[misc, valid-type]
        id = SnowflakeField(make)
        user = ForeignKeyField(User, backref="friends")
        other = ForeignKeyField(User, backref="friend_of")

        class Meta:
            colocate_with = User
            shard_key = "user"

    class Visit(Base):  # type: ignore[misc, valid-type]
        user = IntegerField()
        page = CharField(default="")

        class Meta:
            db_name = rule
            shard_key = "user"

    models = [Country, User, Order, Line, Friend, Visit]
    own.create_tables(models)
    return SimpleNamespace(
        own=own, rule=rule, names=names, models=models, **{model.__name__: model for model in models}
    )


def counts(shop: Any, model: Any) -> list[int]:
    """How many rows of a model each shard really has."""
    table = model._meta.table_name
    return [shop.own[name].execute_sql(f"SELECT COUNT(*) FROM {_quoted(shop, name, table)}").fetchone()[0]
            for name in shop.names]  # fmt: skip


def _quoted(shop: Any, name: str, table: str) -> str:
    mark = shop.own[name].quote[0]
    return f"{mark}{table}{mark}"


def keys_of(shop: Any, name: str, count: int = 3) -> list[int]:
    """Some ids of users that belong to a shard."""
    found = [key for key in range(1, 500) if shop.rule.shard_of(key) == name]
    return found[:count]
