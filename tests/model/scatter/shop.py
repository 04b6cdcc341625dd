"""A shop whose accounts and orders are sharded, and the same shop in one database, with the same rows."""

from __future__ import annotations

import datetime
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from peewee import (
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    TextField,
)

from peewee_multidb import Databases, Model

WHOLE = "whole"

NAMES = ["bob", "Bob", "BOB", "anna", "Anna", "zoe", "Zoë", "a", "a ", "ab", "Äther", "ether", "x_y", "", "ß"]
CITIES = [None, "Oslo", "oslo", "Rome", "Bern", "bern ", "Ulm"]
STATUSES = ["new", "paid", "sent", "New"]


@dataclass
class Shop:
    """One set of models.

    Attributes:
        Account: sharded by its own key.
        Order: beside its account.
        Country: a copy in every shard.
    """

    Account: Any
    Order: Any
    Country: Any

    @property
    def models(self) -> list[Any]:
        return [self.Country, self.Account, self.Order]


class CountryColumns(Model):
    name = CharField(40)
    continent = CharField(20, null=True)
    size = IntegerField(null=True)


class AccountColumns(Model):
    id = IntegerField(primary_key=True)
    name = CharField(40)
    city = CharField(20, null=True)
    points = IntegerField(null=True)


class OrderColumns(Model):
    id = IntegerField(primary_key=True)
    amount = IntegerField()
    qty = IntegerField(null=True)
    price = DecimalField(10, 2, null=True)
    rate = DoubleField(null=True)
    day = DateField()
    at = DateTimeField(null=True)
    flag = BooleanField(null=True)
    status = CharField(20)
    note = TextField(null=True)


def shop(own: Databases, names: tuple[str, ...] | str) -> Shop:
    """Return the models over these shards; in one database for a name."""
    if isinstance(names, str):
        sharded: dict[str, Any] = {"db_name": names}
        beside, everywhere = sharded, sharded
    else:
        sharded = {
            "db_name": lambda key: names[key * 7 % 31 % len(names)],
            "shard_key": "id",
            "shards": names,
        }
        everywhere = {"db_name": names, "reference": True}
        beside = {}

    class Country(CountryColumns):
        Meta = type("Meta", (), {"registry": own, **everywhere})

    class Account(AccountColumns):
        country = ForeignKeyField(Country, null=True)
        Meta = type("Meta", (), {"registry": own, **sharded})

    class Order(OrderColumns):
        account = ForeignKeyField(Account, backref="orders")
        Meta = type("Meta", (), {"registry": own, **(beside or {"colocate_with": Account})})

    return Shop(Account, Order, Country)


def rows(
    seed: int, accounts: int = 40, orders: int = 150, fraction: int = 7
) -> dict[str, list[dict[str, Any]]]:
    """Return random rows for the tables, by the models' names; some have `fraction` microseconds."""
    rng = random.Random(seed)
    maybe = lambda value: None if rng.random() < 0.2 else value  # noqa: E731
    moment = datetime.datetime(2020, 1, 1)
    return {
        "Country": [
            {
                "id": n,
                "name": f"country {n}",
                "continent": rng.choice([None, "Europe", "Asia"]),
                "size": maybe(n * 10),
            }
            for n in range(1, 7)
        ],
        "Account": [
            {
                "id": n,
                "name": rng.choice(NAMES),
                "city": rng.choice(CITIES),
                "country": maybe(rng.randint(1, 6)),
                "points": maybe(rng.randint(-5, 5)),
            }
            for n in range(1, accounts + 1)
        ],
        "Order": [
            {
                "id": n,
                "account": rng.randint(1, accounts),
                "amount": rng.choice([-3, 0, 1, 2, 7, 10**6]),
                "qty": maybe(rng.randint(0, 4)),
                "price": maybe(Decimal(rng.randint(-500, 5000)) / 100),
                "rate": maybe(rng.choice([0.1, 0.25, -1.5, 3.0, 1e10])),
                "day": moment.date() + datetime.timedelta(days=rng.randint(0, 40)),
                "at": maybe(
                    moment
                    + datetime.timedelta(minutes=rng.randint(0, 9), microseconds=rng.choice([0, fraction]))
                ),
                "flag": maybe(rng.random() < 0.5),
                "status": rng.choice(STATUSES),
                "note": maybe(rng.choice(NAMES)),
            }
            for n in range(1, orders + 1)
        ],
    }


def fill(place: Shop, found: dict[str, list[dict[str, Any]]]) -> None:
    """Make the tables and put the rows where they belong."""
    home = place.Account._meta.home
    where = home.names or (home.name,)
    rule = place.Account._meta.home.rule
    for model in place.models:
        model.create_table()
    for name in where:
        for model in place.models:
            mine = found[model.__name__]
            if rule is not None and model is not place.Country:
                key = "id" if model is place.Account else "account"
                mine = [row for row in mine if rule.shard_of(row[key]) == name]
            if mine:
                model.insert_many(mine).using(name).execute()
