"""Quotients have the digits that the server gives them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peewee_multidb import Databases
from peewee_multidb.shards.aggregates import added
from peewee_multidb.shards.division import EXACT, divide_mysql, divide_postgresql

SUMS = st.one_of(
    st.integers(-(10**18), 10**18).map(Decimal),
    st.decimals(min_value=-(10**9), max_value=10**9, places=4),
    st.decimals(min_value=-1, max_value=1, places=9),
    st.integers(-12, 12).map(Decimal),
)
COUNTS = st.one_of(st.integers(1, 12), st.integers(1, 10**6), st.integers(1, 10**12))


@pytest.fixture
def post(postgres_url: str) -> Any:
    own = Databases({"default": postgres_url})
    yield own["default"]
    own.close_all()


@pytest.fixture
def maria(mariadb_url: str) -> Any:
    own = Databases({"default": mariadb_url})
    yield own["default"]
    own.close_all()


def test_postgresql(post: peewee.Database) -> None:
    @settings(suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(SUMS, COUNTS), min_size=20, max_size=40))
    def check(pairs: list[tuple[Decimal, int]]) -> None:
        rows = ", ".join(
            f"({number}, {top}::numeric / {bottom}::numeric)" for number, (top, bottom) in enumerate(pairs)
        )
        found = post.execute_sql(f"SELECT * FROM (VALUES {rows}) AS q(n, quotient) ORDER BY n").fetchall()
        for (top, bottom), (_, quotient) in zip(pairs, found, strict=True):
            mine = divide_postgresql(top, Decimal(bottom))
            assert mine.as_tuple() == quotient.as_tuple(), (top, bottom)

    check()


def test_mariadb(maria: peewee.Database) -> None:
    maria.execute_sql("CREATE TABLE numbers (whole BIGINT, part DECIMAL(20, 4))")

    @settings(suppress_health_check=list(HealthCheck), max_examples=25)
    @given(
        st.lists(
            st.tuples(st.integers(-(10**9), 10**9), st.decimals(-1000, 1000, places=4)),
            min_size=1,
            max_size=11,
        )
    )
    def check(values: list[tuple[int, Decimal]]) -> None:
        maria.execute_sql("DELETE FROM numbers")
        for whole, part in values:
            maria.execute_sql("INSERT INTO numbers VALUES (%s, %s)", (whole, part))
        found = maria.execute_sql("SELECT AVG(whole), AVG(part) FROM numbers").fetchone()
        for quotient, column in zip(found, zip(*values, strict=True), strict=True):
            total = added([Decimal(value) for value in column])
            mine = divide_mysql(total, Decimal(len(values)), -quotient.as_tuple().exponent)
            assert mine == quotient, values

    check()


def test_no_digit_is_lost_in_a_sum() -> None:
    big, small = Decimal(10) ** 40, Decimal("0.0000000001")
    assert added([big, small, -big]) == small
    assert EXACT.multiply(big, small) == Decimal(10) ** 30
    assert added([2**70, 1]) == 2**70 + 1
    assert added([None, None]) is None and added([]) is None
    assert added([1, None, 0.5]) == 1.5
    assert added([float("inf"), float("-inf")]) != added([float("inf"), float("-inf")])
