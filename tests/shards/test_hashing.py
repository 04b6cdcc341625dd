"""HashShards: even, explicit about its buckets, and refused where it makes no sense."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import ConfigurationError, HashShards
from peewee_multidb.shards import FixedMap, ShardingRule


def test_it_is_a_rule() -> None:
    rule = HashShards("a", "b", key="user")
    assert isinstance(rule, ShardingRule)
    assert (rule.names, rule.key, rule.buckets) == (("a", "b"), ("user",), 1024)
    assert repr(rule) == "HashShards('a', 'b', key=('user',), buckets=1024)"


@pytest.mark.parametrize("shards", [1, 2, 3, 8])
def test_keys_are_spread_evenly(shards: int) -> None:
    names = tuple(f"s{number}" for number in range(shards))
    rule = HashShards(*names)
    counts = Counter(rule.shard_of(number) for number in range(20_000))
    assert set(counts) == set(names)
    assert max(counts.values()) < 1.12 * 20_000 / shards


@given(st.integers(1, 12), st.integers(12, 3000))
def test_buckets_are_spread_evenly(shards: int, buckets: int) -> None:
    rule = HashShards(*(f"s{number}" for number in range(shards)), buckets=buckets)
    counts = Counter(rule.map.owners)
    assert len(rule.map.owners) == buckets
    assert max(counts.values()) - min(counts.values()) <= 1


@given(st.integers())
def test_a_key_never_changes_its_bucket_when_buckets_change_shards(key: int) -> None:
    before = HashShards("a", "b", buckets=8)
    after = HashShards("a", "b", "c", buckets=8, map=["a", "c", "a", "b", "b", "c", "b", "a"])
    bucket = before.bucket_of(key)
    assert after.bucket_of(key) == bucket
    assert after.shard_of(key) == ["a", "c", "a", "b", "b", "c", "b", "a"][bucket]


def test_a_map_is_looked_into_each_time() -> None:
    class Moving:
        names = ("a", "b")
        version = 1
        owners = ["a"]

    moving = Moving()
    rule = HashShards(map=moving, buckets=1)
    assert (rule.names, rule.shard_of(5)) == (("a", "b"), "a")
    moving.owners = ["b"]
    assert rule.shard_of(5) == "b"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: HashShards(), "needs the names of its shards"),
        (lambda: HashShards("a", "a"), "a shard is named twice"),
        (lambda: HashShards("a", ""), "'' is not a database name"),
        (lambda: HashShards("a", 5), "5 is not a database name"),
        (lambda: HashShards("a", "b", buckets=1), "1 buckets are too few for 2 shards"),
        (lambda: HashShards("a", buckets=0), "buckets=0"),
        (lambda: HashShards("a", buckets=True), "buckets=True"),
        (lambda: HashShards("a", key=5), "key is the name of a field"),
        (lambda: HashShards("a", buckets=2, map=["a"]), r"the map has 1 bucket\(s\), not 2"),
        (lambda: HashShards("a", buckets=1, map=["b"]), "A bucket is in 'b', which is not among the shards"),
        (lambda: HashShards("a", map=FixedMap(["a"], ["a"])), "names or a map that has them, not both"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()
