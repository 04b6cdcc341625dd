"""Many rows in few round trips, all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from tests.scale import scaled
from tests.tds import TDSServer
from tests.tds.fixtures import SCHEMES, with_driver


class Item(peewee.Model):
    code = peewee.IntegerField(unique=True)
    name = peewee.CharField(50)
    price = peewee.DecimalField(10, 2)


def rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"code": n, "name": f"Item '{n}' ü", "price": f"{n % 1000}.25"} for n in range(count))


@pytest.fixture
def items(tds_servers: Callable[[str], TDSServer]) -> Iterator[Callable[..., tuple[TDSServer, Any]]]:
    """Call it with a version and a scheme for the server, and the database with an empty table of items."""
    opened: list[tuple[Databases, Any]] = []

    def make(version: str, scheme: str) -> tuple[TDSServer, Any]:
        server = tds_servers(version)
        registry = Databases({"default": with_driver(server.url("bulk"), scheme)})
        database = registry["default"]
        opened.append((registry, database))
        database.bind([Item])
        Item.create_table()
        return server, database

    yield make
    for registry, database in opened:
        database.bind([Item])
        Item.drop_table()
        registry.close_all()


def test_ten_thousand_rows_take_a_tenth_of_the_round_trips_of_one_each(items: Any) -> None:
    server, database = items("2019", "mssql+pymssql")
    with server.counting() as one_each, database.atomic():
        for row in rows(100):
            Item.create(**row)
    Item.delete().execute()
    count = scaled(10_000) // scaled(1)
    with server.counting() as many:
        Item.insert_many(rows(count)).execute()
    assert Item.select().count() == count
    assert len(many) <= len(one_each) / 100 * count / 10
    # In fact one for each thousand, and the transaction around them.
    assert len(many) == count // 1000 + 2


@pytest.mark.parametrize(
    ("version", "scheme"),
    [
        ("2000", "mssql+pymssql"),
        ("2005", "mssql+pymssql"),
        ("2000", "mssql+pyodbc"),
        *(("2019", scheme) for scheme in SCHEMES),
    ],
)
def test_many_rows_arrive_through_every_module_on_every_version(
    items: Any, version: str, scheme: str
) -> None:
    server, _ = items(version, scheme)
    with server.counting() as sent:
        Item.insert_many(rows(300)).execute()
    found = Item.select(Item.code, Item.name, Item.price).order_by(Item.code).tuples()
    assert [(code, name, str(price)) for code, name, price in found] == [
        (row["code"], row["name"], row["price"]) for row in rows(300)
    ]
    assert len(sent) <= 30


def test_one_bad_row_keeps_all_others_out(items: Any) -> None:
    _, database = items("2019", "mssql+pymssql")
    bad = [*rows(2500), {"code": 5, "name": "again", "price": "1"}]
    with pytest.raises(peewee.IntegrityError):
        Item.insert_many(bad).execute()
    assert Item.select().count() == 0
    assert not database.in_transaction()
