"""RangeShards: each key in one range, ranges checked as they are declared, and pruned by comparisons."""

from __future__ import annotations

import datetime
import itertools
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from peewee import CharField, DateField, DateTimeField, DecimalField, IntegerField, UUIDField

from peewee_multidb import ConfigurationError, Databases, InvalidShardKey, Model, RangeShards
from peewee_multidb.shards import FixedMap
from peewee_multidb.shards.pruning import shards_for

own = Databases()
DAY = datetime.date(2024, 1, 1)
NOON = datetime.datetime(2024, 1, 1, 12)


def test_the_lower_end_is_in_and_the_upper_is_not() -> None:
    rule = RangeShards((1, 1001, "a"), (1001, 2001, "b"), key="number")
    assert [rule.shard_of(key) for key in (1, 1000, 1001, 2000)] == ["a", "a", "b", "b"]
    assert (rule.names, rule.key) == (("a", "b"), ("number",))
    assert repr(rule) == "RangeShards([1, 1001): a, [1001, 2001): b)"


def test_a_key_in_no_range_is_refused_and_can_have_no_rows() -> None:
    rule = RangeShards((1, 10, "a"), (20, 30, "b"), gaps=True)
    for key in (0, 10, 19, 30):
        with pytest.raises(InvalidShardKey, match="is in no range of"):
            rule.shard_of(key)
        assert rule.find(key) is None


def test_ends_may_be_open_and_a_shard_may_have_several() -> None:
    rule = RangeShards((5, 10, "b"), (None, 5, "a"), (10, None, "a"))
    assert [rule.shard_of(key) for key in (-(10**30), 4, 5, 9, 10, 10**30)] == ["a", "a", "b", "b", "a", "a"]
    assert rule.names == ("b", "a")
    assert rule.bounds == [(None, 5), (5, 10), (10, None)]
    assert [rule.unit_of(key) for key in (0, 5, 10)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("low", "high", "inside", "field"),
    [
        (DAY, DAY + datetime.timedelta(days=9), DAY, DateField()),
        (NOON, NOON + datetime.timedelta(hours=1), NOON + datetime.timedelta(minutes=5), DateTimeField()),
        (Decimal("0.5"), 2, Decimal("1.99"), DecimalField()),
        ("a", "m", "lzz", CharField()),
        (uuid.UUID(int=0), uuid.UUID(int=9), uuid.UUID(int=8), UUIDField()),
    ],
)
def test_keys_of_every_kind_that_has_an_order(low: Any, high: Any, inside: Any, field: Any) -> None:
    rule = RangeShards((low, high, "a"), (high, None, "b"))
    assert rule.shard_of(inside) == rule.shard_of(low) == "a"
    assert rule.shard_of(high) == "b"
    field.model, field.name = Model, "key"
    rule.check([field])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: RangeShards(), "needs ranges"),
        (lambda: RangeShards((1, 2)), "is not a range; that is"),
        (lambda: RangeShards((1, 5, "a"), (4, 9, "b")), r"the ranges \[1, 5\) and \[4, 9\) overlap"),
        (lambda: RangeShards((None, 5, "a"), (None, 9, "b")), "overlap"),
        (lambda: RangeShards((1, None, "a"), (5, 9, "b")), "overlap"),
        (lambda: RangeShards((1, 5, "a"), (1, 5, "b")), "overlap"),
        (lambda: RangeShards((1, 5, "a"), (6, 9, "b")), "there is a gap"),
        (lambda: RangeShards((5, 5, "a")), "from 5 up to 5 there is no key"),
        (lambda: RangeShards((5, 1, "a")), "there is no key"),
        (lambda: RangeShards((1, "5", "a")), "are not of one kind"),
        (lambda: RangeShards((DAY, NOON, "a")), "are not of one kind"),
        (lambda: RangeShards((None, None, "a")), "every end is open"),
        (lambda: RangeShards((True, 5, "a")), "True cannot be the end"),
        (lambda: RangeShards((1.5, 5, "a")), "1.5 cannot be the end"),
        (lambda: RangeShards((NOON.replace(tzinfo=datetime.timezone.utc), None, "a")), "has a time zone"),
        (lambda: RangeShards((1, 5, "")), "'' is not a database name"),
        (lambda: RangeShards((1, 5, "a"), key=("x", "y")), "its key cannot have several"),
        (lambda: RangeShards((1, 5, "a"), map=FixedMap(["a"], ["a"])), "is not a range"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_declared(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


@pytest.mark.parametrize("key", ["5", True, 2.0, None, DAY, (5,)])
def test_a_key_of_another_type_is_refused(key: Any) -> None:
    rule = RangeShards((1, 9, "a"))
    with pytest.raises(InvalidShardKey, match="is no number key"):
        rule.shard_of(key)
    with pytest.raises(InvalidShardKey):
        rule.find(key)


def test_a_field_of_another_kind_is_refused_at_first_use() -> None:
    class Wrong(Model):
        name = CharField()

        class Meta:
            registry = own
            db_name = RangeShards((1, 9, "a"))
            shard_key = "name"

    with pytest.raises(ConfigurationError, match=r"Wrong.name is a CharField, but .* number keys"):
        shards_for(Wrong._meta.home, Wrong.select())
    with pytest.raises(ConfigurationError, match=r"Wrong.name is a CharField"):
        Wrong.insert(name="x").execute()


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True), st.integers(-60, 60))
def test_every_key_is_in_the_range_that_has_it(ends: list[int], key: int) -> None:
    ends.sort()
    given_ = [(low, high, f"s{low}") for low, high in itertools.pairwise(ends)]
    rule = RangeShards(*reversed(given_))
    mine = [name for low, high, name in given_ if low <= key < high]
    assert rule.find(key) == (mine[0] if mine else None)


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=6, unique=True),
    st.one_of(st.none(), st.integers(-25, 25)),
    st.one_of(st.none(), st.integers(-25, 25)),
)
def test_the_shards_between_two_keys_are_those_of_all_keys_there(
    ends: list[int], low: Any, high: Any
) -> None:
    assume(low is None or high is None or low <= high)
    ends.sort()
    whole = [None, *ends, None]
    rule = RangeShards(*((one, two, f"s{one}") for one, two in itertools.pairwise(whole)))
    span = range(-30 if low is None else low, 31 if high is None else high + 1)
    assert rule.shards_between(low, high) == {rule.shard_of(key) for key in span}


class Entry(Model):
    number = IntegerField()

    class Meta:
        registry = own
        db_name = RangeShards((1, 1001, "a"), (1001, 2001, "b"), (2001, None, "c"))
        shard_key = "number"


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (Entry.number < 5, "a"),
        (Entry.number <= 1000, "a"),
        (Entry.number >= 2001, "c"),
        (Entry.number > 5, "a b c"),
        (Entry.number.between(1500, 1600), "b"),
        (~(Entry.number.between(5, 5000)), "a c"),
        ((Entry.number > 1000) & (Entry.number < 2001), "a b c"),
        ((Entry.number >= 1001) & (Entry.number <= 2000), "b"),
        (~(Entry.number < 2001), "c"),
        ((Entry.number < 5) | (Entry.number > 5000), "a c"),
        ((Entry.number > 10) & (Entry.number < 5), ""),
        (Entry.number == 0, ""),
        (Entry.number.in_([0, 1, 1500]), "a b"),
        (Entry.number < "abc", "a b c"),
    ],
)
def test_comparisons_leave_the_shards_of_their_ranges(where: Any, names: str) -> None:
    assert shards_for(Entry._meta.home, Entry.select().where(where)) == tuple(names.split())
