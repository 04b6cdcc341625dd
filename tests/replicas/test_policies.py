"""Each policy keeps to its rule, whatever the number of servers."""

from __future__ import annotations

from collections import Counter

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.replicas.policies import (
    POLICIES,
    LeastInUse,
    Nearest,
    PowerOfTwo,
    Random,
    RoundRobin,
    Weighted,
)
from peewee_multidb.server import Server
from peewee_multidb.settings import POLICIES as NAMES


def servers(*weights: float, zones: str = "") -> tuple[Server, ...]:
    database = peewee.SqliteDatabase(None)
    return tuple(
        Server("a", "replica", database, f"server {n}", weight=weight, zone=zones[n] if zones else None)
        for n, weight in enumerate(weights)
    )


def test_settings_know_the_names_of_all_policies() -> None:
    assert set(NAMES) == set(POLICIES)


@given(st.sampled_from(sorted(POLICIES)), st.integers(1, 5), st.integers(1, 20))
def test_a_policy_chooses_one_of_the_servers(name: str, count: int, times: int) -> None:
    policy, among = POLICIES[name]("z"), servers(*[1] * count)
    assert all(policy.choose(among) in among for _ in range(times))


@given(st.integers(1, 6), st.integers(1, 6))
def test_round_robin_is_even(count: int, rounds: int) -> None:
    policy, among = RoundRobin(), servers(*[1] * count)
    chosen = Counter(policy.choose(among).label for _ in range(count * rounds))
    assert set(chosen.values()) == {rounds} and len(chosen) == count


def test_random_and_weighted_reach_all_in_proportion() -> None:
    among = servers(1, 9)
    for policy, least, most in ((Random(), 4000, 6000), (Weighted(), 8500, 9500)):
        chosen = Counter(policy.choose(among).label for _ in range(10_000))
        # Ten standard deviations at the least.
        assert least < chosen["server 1"] < most


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_least_in_use_takes_one_with_the_fewest_queries(loads: list[int]) -> None:
    among = servers(*[1] * len(loads))
    for server, load in zip(among, loads, strict=True):
        server._running.extend([None] * load)
    policy = LeastInUse()
    chosen = {policy.choose(among).label for _ in range(len(loads) * 2)}
    assert chosen == {server.label for server in among if server.in_use == min(loads)}


@given(st.lists(st.integers(0, 5), min_size=2, max_size=6, unique=True))
def test_power_of_two_never_takes_the_most_used(loads: list[int]) -> None:
    among = servers(*[1] * len(loads))
    for server, load in zip(among, loads, strict=True):
        server._running.extend([None] * load)
    assert all(PowerOfTwo().choose(among).in_use != max(loads) for _ in range(20))


def test_nearest_stays_in_its_zone_as_long_as_it_can() -> None:
    among = servers(1, 1, 1, zones="aab")
    policy = Nearest("a")
    assert {policy.choose(among).label for _ in range(4)} == {"server 0", "server 1"}
    assert policy.choose(among[2:]).label == "server 2"


class Last:
    """A policy of the user's own."""

    def choose(self, servers: tuple[Server, ...]) -> Server:
        return servers[-1]


def test_a_policy_may_be_an_object_of_the_users() -> None:
    settings = {"url": "sqlite:///a.db", "replicas": ["mirror"]}
    Databases({"a": {**settings, "replication": {"policy": Last()}}})
    with pytest.raises(ConfigurationError, match=r"an object with a method choose\(servers\), not a int"):
        Databases({"a": {**settings, "replication": {"policy": 3}}})
