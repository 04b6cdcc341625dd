"""Queries of every engine-dependent expression, each built once, outside every scope."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from peewee import Case, Cast, Value, fn

Build = Callable[[Any], Any]


def rows(*conditions: Callable[[Any], Any]) -> list[Build]:
    """SELECTs of the names for which each condition holds."""

    def query(condition: Callable[[Any], Any]) -> Build:
        return lambda m: m.select(m.name).where(condition(m)).order_by(m.id)

    return [query(condition) for condition in conditions]


def columns(*expressions: Callable[[Any], Any]) -> list[Build]:
    """SELECTs of each expression for every row."""

    def query(expression: Callable[[Any], Any]) -> Build:
        return lambda m: m.select(m.name, expression(m).alias("e")).order_by(m.id)

    return [query(expression) for expression in expressions]


def changes(*updates: Callable[[Any], Any]) -> list[Build]:
    """UPDATEs that set each dictionary for every row that has data."""

    def query(update: Callable[[Any], Any]) -> Build:
        return lambda m: m.update(update(m)).where(m.data.is_null(False))

    return [query(update) for update in updates]


JSON_READS: list[Build] = [
    *columns(
        lambda m: m.data["a"],
        lambda m: m.data["s"],
        lambda m: m.data["s"].as_text(),
        lambda m: m.data["f"].as_float(),
        lambda m: m.data["a"].as_int(),
        lambda m: m.data["b"],
        lambda m: m.data["list"],
        lambda m: m.data["list"][0],
        lambda m: m.data["list"][-1],
        lambda m: m.data["deep"]["k"],
        lambda m: m.data.path("deep", "k"),
        lambda m: m.data["list"].length(),
        lambda m: m.more.length(),
        lambda m: m.data["nothing"],
        lambda m: Case(None, [(m.data["a"] == 2, "two"), (m.data["s"] == "x", "ex")], "else"),
        lambda m: Case(m.data["a"].as_int(), [(1, m.data["s"].as_text())], "no"),
        lambda m: fn.COALESCE(m.data["s"].as_text(), "none"),
    ),
    *rows(
        lambda m: m.data["a"] == 2,
        lambda m: m.data["a"] != 2,
        lambda m: m.data["s"] == "x",
        lambda m: m.data["b"] == True,  # noqa: E712
        lambda m: m.data["f"] == 1.5,
        lambda m: m.data["list"] == [1, 2, 3],
        lambda m: m.data["deep"] == {"k": "w"},
        lambda m: m.data["s"].in_(["x", "z"]),
        lambda m: m.data["a"].not_in([1]),
        lambda m: m.data["a"] > 1,
        lambda m: m.data["a"].as_int() >= 2,
        lambda m: m.data["f"].as_float() < 0,
        lambda m: m.data["a"].between(1, 1),
        lambda m: m.data["s"].startswith("x"),
        lambda m: m.data["s"].as_text().contains("y"),
        lambda m: m.data["s"].ilike("X"),
        lambda m: m.data["deep"]["n"].is_null(),
        lambda m: m.data["deep"]["k"].is_null(False),
        lambda m: m.data["deep"]["k"] == None,  # noqa: E711
        lambda m: m.data.is_null(),
        lambda m: m.data.contains({"a": 2}),
        lambda m: m.data["list"].contains([2]),
        lambda m: m.data["deep"].contains({"k": "v"}),
        lambda m: m.data["list"].contained_by([1, 2, 3, 4]),
        lambda m: m.data.has_key("s"),
        lambda m: m.data["deep"].has_key("n"),
        lambda m: m.data.has_keys(["a", "s"]),
        lambda m: m.data.has_any_keys(["nope", "f"]),
        lambda m: ~m.data.has_key("s") & m.data.has_key("a"),
        lambda m: (m.more == [3]) | (m.data["a"] == 1),
        lambda m: m.data["a"] == m.more[0],
        lambda m: m.id.in_(m.select(m.id).where(m.data["a"] == 2)),
    ),
    lambda m: (
        m.select(m.data["a"].as_int().alias("a"), fn.COUNT(m.id))
        .where(m.data.is_null(False))
        .group_by(m.data["a"].as_int())
        .order_by(m.data["a"].as_int())
    ),
    lambda m: m.select(m.name).where(m.data["s"].is_null(False)).order_by(m.data["s"].as_text().desc()),
    lambda m: m.select(fn.MAX(m.data["a"].as_int()), fn.MIN(m.data["f"].as_float())),
    lambda m: (
        m.select(m.data["a"].as_int().alias("a"))
        .where(m.data.is_null(False))
        .group_by(m.data["a"].as_int())
        .having(fn.COUNT(m.id) > 1)
    ),
]

DATE_READS: list[Build] = [
    *columns(
        lambda m: Cast(m.born.year, "DECIMAL"),
        lambda m: Cast(m.born.month, "DECIMAL"),
        lambda m: Cast(m.born.day, "DECIMAL"),
        lambda m: Cast(m.fed.year, "DECIMAL"),
        lambda m: Cast(m.fed.hour, "DECIMAL"),
        lambda m: Cast(m.fed.minute, "DECIMAL"),
        lambda m: Cast(m.fed.second, "DECIMAL"),
        lambda m: Cast(m.wakes.hour, "DECIMAL"),
        lambda m: Cast(m.wakes.minute, "DECIMAL"),
        lambda m: Cast(m.wakes.second, "DECIMAL"),
        lambda m: Cast(m.seen.year, "DECIMAL"),
        lambda m: Cast(m.exact.hour, "DECIMAL"),
        lambda m: m.fed.truncate("month"),
        lambda m: m.fed.truncate("hour"),
        lambda m: m.born.truncate("year"),
        lambda m: Cast(m.fed.to_timestamp(), "DECIMAL"),
        lambda m: m.seen.from_timestamp(),
        lambda m: m.seen,
        lambda m: m.exact,
        lambda m: m.wakes,
    ),
    *rows(
        lambda m: m.born.year == 2012,
        lambda m: (m.born.month == 2) & (m.born.day == 29),
        lambda m: m.fed.month.in_([1, 12]),
        lambda m: m.fed.hour > 20,
        lambda m: m.wakes.minute == 30,
        lambda m: m.seen.year < 2000,
        lambda m: m.seen.month == 3,
        lambda m: m.exact.second == 7,
        lambda m: m.fed.truncate("year") == datetime.datetime(2024, 1, 1),
        lambda m: m.born.between(datetime.date(2012, 1, 1), datetime.date(2012, 12, 31)),
        lambda m: m.fed.day == m.born.day,
    ),
    lambda m: (
        m.select(m.born.year.alias("y"), fn.COUNT(m.id))
        .where(m.born.is_null(False))
        .group_by(m.born.year)
        .order_by(m.born.year)
    ),
    lambda m: m.select(m.name).where(m.born.is_null(False)).order_by(m.born.month, m.id),
]

OTHER_READS: list[Build] = [
    *columns(
        lambda m: m.name.concat(Value("!")),
        lambda m: fn.COALESCE(m.blob, Value(b"none", converter=m.blob.db_value)),
        lambda m: Case(m.colour, [("red", 1), ("blue", 2)], 0),
        lambda m: m.weight + 1,
        lambda m: m.packed,
        lambda m: m.pickled,
        lambda m: m.bits,
    ),
    *rows(
        lambda m: m.name.regexp("^(a|b)"),
        lambda m: m.name.ilike("%E%"),
        lambda m: m.text.contains("%"),
        lambda m: m.text.contains("\\"),
        lambda m: m.name ** "C%",
        lambda m: m.wild,
        lambda m: m.blob == b"",
        lambda m: m.weight < 0,
    ),
]

CHANGES: list[Build] = [
    *changes(
        lambda m: {m.data: m.data["a"].set(5)},
        lambda m: {m.data: m.data["s"].set("new")},
        lambda m: {m.data: m.data["deep"].set({"x": [1, None]})},
        lambda m: {m.data: m.data["b"].set(True)},
        lambda m: {m.data: m.data["n"].set(None)},
        lambda m: {m.data: m.data["fresh"].insert(1)},
        lambda m: {m.data: m.data["a"].insert(99)},
        lambda m: {m.data: m.data["a"].replace(98)},
        lambda m: {m.data: m.data["fresh"].replace(97)},
        lambda m: {m.data: m.data["list"].append(7)},
        lambda m: {m.more: m.more.append({"y": 1})},
        lambda m: {m.data: m.data["a"].remove()},
        lambda m: {m.data: m.data.update({"u": 1, "deep": {"k": "z"}})},
        lambda m: {m.data: {"whole": [1, "2"]}},
        lambda m: {m.more: m.data},
        lambda m: {m.data: None},
        lambda m: {m.blob: b"\x00changed"},
        lambda m: {m.text: m.data["s"].as_text()},
        lambda m: {m.weight: m.data["a"].as_int() + 1},
        lambda m: {m.fed: datetime.datetime(2000, 1, 2, 3, 4, 5)},
        lambda m: {m.seen: datetime.datetime(2000, 1, 2, 3, 4, 5)},
        lambda m: {m.text: Case(None, [(m.data["a"] == 2, "two")], "other")},
        lambda m: {m.data: Case(m.name, [("bee", Value({"c": 1}, converter=m.data.db_value))], m.data)},
        lambda m: {m.flags: m.tall.set()},
    ),
    lambda m: m.delete().where(m.data["a"] == 2),
    lambda m: m.delete().where(m.born.year == 2012),
    lambda m: m.insert(name="new", data={"a": [1]}, blob=b"\x00", born=datetime.date(2001, 2, 3)),
    lambda m: m.insert_many([{"name": "n1", "data": "123"}, {"name": "n2", "data": [True]}]),
]
