"""A table of tenants with a cache: what is asked once, what is forgotten, and what cannot grow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from peewee_multidb import use_db
from peewee_multidb.errors import ConfigurationError, UnknownDatabase
from peewee_multidb.middleware import by_header, lookup
from tests.middleware.test_selectors import asgi, wsgi


class Table:
    """What `lookup` fetches from, and how often it did."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, key: str) -> Any:
        self.asked.append(key)
        return {"1": "acme", "2": "bolt", "3": use_db(role="replica")}.get(key)

    async def later(self, key: str) -> Any:
        await asyncio.sleep(0)
        return self(key)


def select(table: Any, **options: Any) -> Any:
    return lookup(by_header("X-Id"), table, **options)


def test_what_is_known_is_not_asked_for_again() -> None:
    table = Table()
    chosen = select(table)
    assert [chosen(wsgi(x_id=key)) for key in ("1", "2", "1", "1")] == ["acme", "bolt", "acme", "acme"]
    assert table.asked == ["1", "2"]
    assert chosen(wsgi()) is None
    assert isinstance(chosen(wsgi(x_id="3")), use_db)


def test_what_is_not_there_is_remembered_too() -> None:
    table = Table()
    chosen = select(table)
    for _ in range(3):
        with pytest.raises(UnknownDatabase, match="'nine'"):
            chosen(wsgi(x_id="nine"))
    assert table.asked == ["nine"]


def test_answers_expire_and_can_be_forgotten() -> None:
    table = Table()
    chosen = select(table, ttl=0, negative_ttl=0)
    for key in ("1", "1"):
        assert chosen(wsgi(x_id=key)) == "acme"
    for _ in range(2):
        with pytest.raises(UnknownDatabase):
            chosen(wsgi(x_id="9"))
    assert table.asked == ["1", "1", "9", "9"]
    chosen = select(table)
    chosen(wsgi(x_id="1"))
    chosen.forget("1")
    chosen(wsgi(x_id="1"))
    chosen.forget()
    chosen(wsgi(x_id="1"))
    assert table.asked[4:] == ["1", "1", "1"]


def test_a_flood_of_names_drives_out_nobody_who_is_there() -> None:
    table = Table()
    chosen = select(table, max_entries=2)
    chosen(wsgi(x_id="1"))
    for number in range(10, 100):
        with pytest.raises(UnknownDatabase):
            chosen(wsgi(x_id=str(number)))
    assert len(chosen._absent._values) == 2
    table.asked.clear()
    assert chosen(wsgi(x_id="1")) == "acme"
    assert table.asked == []


def test_a_table_may_be_asked_by_a_coroutine_function() -> None:
    table = Table()

    async def key(request: Any) -> str | None:
        return request.headers.get("x-id")

    async def several() -> list[Any]:
        one, two = select(table.later), lookup(key, table.later)
        return [await one(asgi(x_id="1")), one(asgi(x_id="1")), await two(asgi(x_id="2"))]

    assert asyncio.run(several()) == ["acme", "acme", "bolt"]


def test_numbers_and_keys_that_make_no_sense_are_refused() -> None:
    for options in ({"ttl": -1}, {"negative_ttl": -1}, {"max_entries": 0}):
        with pytest.raises(ConfigurationError):
            select(Table(), **options)
    with pytest.raises(ConfigurationError, match="use_db"):
        lookup(lambda request: use_db("x"), Table())(wsgi())
