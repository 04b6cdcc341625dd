"""What moves when shards come and go, and how many rows that is."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.rebalance import Move, Plan
from peewee_multidb.rebalance.plan import choose
from peewee_multidb.shards.maps import spread

NAMES = [f"s{number}" for number in range(8)]
BUCKETS = 128


@st.composite
def hashed(draw: st.DrawFn) -> tuple[list[str], dict[int, int]]:
    """Shards with even buckets, and rows as a hash spreads them."""
    owners = list(spread(NAMES[: draw(st.integers(1, 8))], BUCKETS))
    rows = draw(st.sampled_from([0, 10, 300, 5000, 8000]))
    random = Random(draw(st.integers(0, 1 << 32)))
    return owners, dict(Counter(random.choices(range(BUCKETS), k=rows)))


@given(hashed())
def test_a_new_shard_gets_its_share_and_at_most_1_2_times_the_ideal(
    world: tuple[list[str], dict[int, int]],
) -> None:
    owners, rows = world
    moves = choose(owners, rows, add=["new"])
    after = len(set(owners)) + 1
    assert set(moves.values()) <= {"new"}
    assert sum(rows.get(unit, 0) for unit in moves) <= 1.2 * sum(rows.values()) / after
    assert len(moves) >= 0.7 * BUCKETS / after
    if sum(rows.values()) >= 5000:
        assert sum(rows.get(unit, 0) for unit in moves) >= 0.8 * sum(rows.values()) / after


@given(hashed(), st.integers(2, 3))
def test_several_new_shards_share_alike(world: tuple[list[str], dict[int, int]], many: int) -> None:
    owners, rows = world
    new = [f"new{number}" for number in range(many)]
    moves = choose(owners, rows, add=new)
    got = Counter(moves.values())
    if sum(rows.values()) >= 5000 or not rows:
        assert max(got.values()) - min(got.values()) <= 0.2 * BUCKETS / (len(set(owners)) + many) + 2
    moved = sum(rows.get(unit, 0) for unit in moves)
    assert moved <= 1.2 * sum(rows.values()) * many / (len(set(owners)) + many)


@given(st.sets(st.integers(0, 1023), min_size=40, max_size=200))
def test_where_most_units_are_empty_a_new_shard_gets_its_share_of_rows_too(keys: set[int]) -> None:
    owners = spread(["a", "b"], 1024)
    moves = choose(owners, dict.fromkeys(keys, 2), add=["c"])
    assert 0.8 * len(keys) / 3 <= sum(unit in keys for unit in moves) <= 1.2 * len(keys) / 3
    assert 0.8 * 1024 / 3 <= len(moves) <= 1.2 * 1024 / 3


def test_what_one_key_makes_heavy_stays() -> None:
    owners = spread(["a", "b"], 64)
    rows = {**dict.fromkeys(range(64), 1), 5: 5000}
    moves = choose(owners, rows, add=["c"])
    assert 5 not in moves
    assert moves


def test_a_shard_that_goes_gives_everything_to_those_with_least() -> None:
    owners = ["a"] * 10 + ["b"] * 2 + ["c"] * 6
    moves = choose(owners, {}, remove=["c"])
    assert sorted(moves) == list(range(12, 18))
    after = Counter(moves.get(unit, owner) for unit, owner in enumerate(owners))
    assert after == {"a": 10, "b": 8}


def test_a_shard_can_take_the_place_of_another() -> None:
    owners = spread(["a", "b"], 8)
    moves = choose(owners, {}, add=["c"], remove=["b"])
    after = Counter(moves.get(unit, owner) for unit, owner in enumerate(owners))
    assert after == {"a": 4, "c": 4}


def test_a_plan_can_be_read() -> None:
    moves = (Move(3, "a", "b", {"Order": 1200, "Line": 30}), Move(4, "a", "b", {"Order": 5}))
    plan = Plan("shop", moves, {"a": 3000, "b": 10}, {"a": 6, "b": 2}, ("a", "b"), ("Order", "Line"))
    assert str(plan) == (
        "Rebalance of shop: 2 of 8 units, 1,235 of 3,010 rows.\n"
        "  a -> b: 2 units, 1,205 Order, 30 Line\n"
        "  a: 3,000 rows now, 1,765 afterwards\n"
        "  b: 10 rows now, 1,245 afterwards"
    )
