"""What the tests of observing share: events in a list, and a sharded model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from peewee import CharField, IntegerField

from peewee_multidb import Databases, HashShards, Model
from peewee_multidb.observe import QueryEvent, observe


class Events(list[QueryEvent]):
    """Events as they came."""

    def take(self) -> list[QueryEvent]:
        """Return what came since the last call."""
        taken, self[:] = list(self), []
        return taken

    def only(self) -> QueryEvent:
        """Return the one event that came since the last call."""
        (event,) = self.take()
        return event


class Shop:
    """A registry of its own with a plain and a sharded model.

    Attributes:
        registry: ``default``, ``s1`` and ``s2``.
        User: lives in ``default``.
        Order: sharded by ``user`` over ``s1`` and ``s2``.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.registry = Databases(settings)
        registry_ = self.registry

        class User(Model):
            name = CharField(max_length=50)

            class Meta:
                registry = registry_
                table_name = "shop_user"

        class Order(Model):
            user = IntegerField()

            class Meta:
                registry = registry_
                db_name = HashShards("s1", "s2", key="user")
                table_name = "shop_order"

        self.User, self.Order = User, Order

    def create_tables(self) -> None:
        self.registry.create_tables([self.User, self.Order])


@pytest.fixture
def shop(tmp_path: Any) -> Iterator[Shop]:
    """The shop on three SQLite files, with its tables."""
    made = Shop({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "s1", "s2")})
    made.create_tables()
    yield made
    made.registry.close_all()


@pytest.fixture
def events(shop: Shop) -> Iterator[Events]:
    """What is observed of the shop."""
    seen = Events()
    with observe(seen.append, registry=shop.registry):
        yield seen
