"""Expressions over aggregates are calculated after the merge as the engine would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from peewee import SQL, Case, Negated, Value, fn

from peewee_multidb import Databases, ScatterNotSupported
from tests.conftest import NewUrl
from tests.model.conftest import QUICK
from tests.model.scatter.shop import Shop, fill, rows, shop

NAMES = ("whole", "a", "b", "c")


def shops(own: Databases) -> tuple[Shop, Shop]:
    found = rows(9)
    one, three = shop(own, "whole"), shop(own, ("a", "b", "c"))
    fill(one, found)
    fill(three, found)
    return one, three


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[tuple[Shop, Shop]]:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in NAMES})
    yield shops(own)
    own.close_all()


@pytest.fixture
def post(new_postgres_url: NewUrl) -> Iterator[tuple[Shop, Shop]]:
    own = Databases({name: new_postgres_url() for name in NAMES})
    yield shops(own)
    own.close_all()


@pytest.fixture
def maria(new_mariadb_url: NewUrl) -> Iterator[tuple[Shop, Shop]]:
    own = Databases({name: new_mariadb_url() for name in NAMES})
    yield shops(own)
    own.close_all()


@pytest.fixture(params=["lite", "post", "maria"])
def both(request: Any) -> tuple[Shop, Shop]:
    found: tuple[Shop, Shop] = request.getfixturevalue(request.param)
    return found


SELECTED: dict[str, Callable[[Any], Any]] = {
    "a sum of sums": lambda F: fn.SUM(F.amount) + fn.SUM(F.qty),
    "a difference": lambda F: fn.MAX(F.amount) - fn.MIN(F.amount),
    "a product": lambda F: fn.SUM(F.price) * 3,
    "a sum of a condition": lambda F: fn.SUM(Case(None, [(F.flag == True, 1)], 0)),  # noqa: E712
    "a key and a number": lambda F: F.qty + 1,
    "whole and decimal": lambda F: fn.SUM(F.price) + fn.COUNT(F.id),
}
DIVIDED: dict[str, Callable[[Any], Any]] = {
    "whole by whole": lambda F: fn.MIN(F.amount) / 2,
    "a sum by a count": lambda F: fn.SUM(F.amount) / fn.COUNT(F.id),
    "decimal by whole": lambda F: fn.SUM(F.price) / fn.COUNT(F.id),
    "by what may be nothing": lambda F: fn.SUM(F.rate) / fn.MAX(F.rate),
}
HAVING: dict[str, Callable[[Any], Any]] = {
    "and": lambda F: (fn.COUNT(F.id) > 3) & (fn.SUM(F.amount) > 0),
    "or, with nothing": lambda F: (fn.SUM(F.price) > 400) | (fn.MAX(F.rate) < 1),
    "not": lambda F: ~(fn.SUM(F.amount) > 100),
    "between": lambda F: fn.COUNT(F.id).between(2, 30),
    "in": lambda F: fn.COUNT(F.id).in_([7, 8, 20, 21, 22, 23, 24, 25, 26]),
    "not in": lambda F: fn.COUNT(F.id).not_in([7, 8]),
    "is null": lambda F: fn.MAX(F.rate).is_null(),
    "is not null": lambda F: fn.MAX(F.rate).is_null(False),
    "two aggregates": lambda F: fn.SUM(F.amount) > fn.COUNT(F.id) * 50000,
    "a float": lambda F: fn.AVG(F.amount) > 1.5,
    "a key": lambda F: F.qty > 1,
    "a key and an aggregate": lambda F: (F.qty > 1) & (fn.COUNT(F.id) > 1),
}


def answers(both: tuple[Shop, Shop], build: Callable[[Any], Any]) -> tuple[list[Any], list[Any]]:
    one, three = (list(build(place.Order).tuples()) for place in both)
    return one, three


def same(expected: Any, found: Any) -> None:
    """The last digits of a sum of floating-point numbers depend on the order of the rows."""
    assert type(found) is type(expected)
    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12)
    else:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("what", SELECTED)
def test_selected(what: str, both: tuple[Shop, Shop]) -> None:
    one, three = answers(both, lambda F: F.select(F.qty, SELECTED[what](F)).group_by(F.qty).order_by(F.qty))
    for (_, expected), (_, found) in zip(one, three, strict=True):
        same(expected, found)


@pytest.mark.parametrize("engine", ["lite", "post"])
@pytest.mark.parametrize("what", DIVIDED)
def test_divided(what: str, engine: str, request: Any) -> None:
    both = request.getfixturevalue(engine)
    one, three = answers(both, lambda F: F.select(F.qty, DIVIDED[what](F)).group_by(F.qty).order_by(F.qty))
    for (_, expected), (_, found) in zip(one, three, strict=True):
        same(expected, found)


def test_division_is_left_to_mysql_alone(maria: tuple[Shop, Shop]) -> None:
    Order = maria[1].Order
    with pytest.raises(ScatterNotSupported, match="the operator /"):
        list(Order.select(fn.SUM(Order.amount) / fn.COUNT(Order.id)).tuples())


def test_division_by_zero_is_nothing_for_sqlite(lite: tuple[Shop, Shop]) -> None:
    one, three = answers(
        lite, lambda F: F.select(F.qty, fn.SUM(F.amount) / (fn.COUNT(F.id) - fn.COUNT(F.id))).group_by(F.qty)
    )
    assert {row[1] for row in one} == {row[1] for row in three} == {None}


NOT_CALCULATED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a Decimal": (lambda F: fn.SUM(F.price) > Decimal("1.5"), "a Decimal in HAVING is text for SQLite"),
    "a date": (lambda F: fn.MAX(F.day) > fn.MIN(F.day), "a str in HAVING is compared by rules of the engine"),
    "a pattern": (lambda F: fn.SUM(F.amount) % "1%", "the operator LIKE in HAVING is not calculated here"),
    "a function of aggregates": (
        lambda F: fn.ABS(fn.SUM(F.amount)) > 1,
        r"ABS\(\) in HAVING cannot be calculated from the parts of a group",
    ),
    "raw SQL": (lambda F: fn.SUM(F.amount) > SQL("1.5"), "a SQL in HAVING cannot be calculated"),
}


@pytest.mark.parametrize("what", NOT_CALCULATED)
def test_what_python_would_calculate_otherwise_is_refused(what: str, lite: tuple[Shop, Shop]) -> None:
    condition, sentence = NOT_CALCULATED[what]
    Order = lite[1].Order
    with pytest.raises(ScatterNotSupported, match=sentence):
        list(Order.select(Order.qty).group_by(Order.qty).having(condition(Order)).tuples())


@pytest.mark.parametrize(
    "condition",
    [
        lambda F: fn.COUNT(F.id) > Value(3),
        lambda F: fn.COUNT(F.id) > SQL("3"),
        lambda F: Negated(fn.COUNT(F.id) > 3),
        lambda F: fn.SUM(F.rate) > fn.SUM(F.amount),
    ],
)
def test_numbers_are_compared_however_they_are_written(condition: Any, lite: tuple[Shop, Shop]) -> None:
    one, three = answers(
        lite,
        lambda F: (
            F.select(F.qty, F.status).group_by(F.qty, F.status).having(condition(F)).order_by(F.qty, F.status)
        ),
    )
    assert three == one
    assert (
        0
        < len(one)
        < len(list(lite[0].Order.select(lite[0].Order.qty, lite[0].Order.status).distinct().tuples()))
    )


@pytest.mark.parametrize("what", HAVING)
def test_having(what: str, both: tuple[Shop, Shop]) -> None:
    one, three = answers(
        both,
        lambda F: (
            F.select(F.qty, F.status, fn.COUNT(SQL("*")))
            .group_by(F.qty, F.status)
            .having(HAVING[what](F))
            .order_by(F.qty, F.status)
        ),
    )
    fold = lambda found: [(qty, status.lower(), count) for qty, status, count in found]  # noqa: E731
    same_case = both[0].Order.select().where(both[0].Order.status == "NEW").exists()
    assert (fold(three) == fold(one)) if same_case else (three == one)


def test_columns_have_the_names_that_the_engine_gives_them(both: tuple[Shop, Shop]) -> None:
    def build(F: Any) -> Any:
        return F.select(
            F.qty, fn.SUM(F.amount), fn.MAX(F.rate), fn.COUNT(SQL("*")), fn.COUNT(F.id).alias("n")
        )

    one, three = (list(build(place.Order).group_by(place.Order.qty).dicts()) for place in both)
    assert list(three[0]) == list(one[0])
    named = [build(place.Order).group_by(place.Order.qty).namedtuples()[0] for place in both]
    assert named[0]._fields == named[1]._fields
