"""The settings of replicas and of causal tokens: each key takes what makes sense, and refuses the rest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.config import secrets_from, secrets_from_env, settings_from, settings_from_env
from peewee_multidb.settings import POLICIES, ReplicationSettings
from peewee_multidb.urls import Secret

PRIMARY, REPLICA = "postgresql://app@db1/app", "postgresql://app@db2/app"

#: Keys that take a number of seconds, milliseconds or reads.
NUMBERS = ("max_lag", "wait_ms", "window", "backoff", "check_interval")


class Last:
    def choose(self, servers: Any) -> Any:
        return servers[-1]


def replication(**values: Any) -> ReplicationSettings:
    return settings_from({"a": {"url": PRIMARY, "replicas": [REPLICA], "replication": values}})[
        "a"
    ].replication


def replica(**values: Any) -> Any:
    return settings_from({"a": {"url": PRIMARY, "replicas": [values]}})["a"].replicas[0]


def test_without_a_word_the_defaults_count() -> None:
    assert settings_from({"a": {"url": PRIMARY, "replicas": [REPLICA]}})["a"].replication == (
        ReplicationSettings()
    )
    assert replication() == ReplicationSettings()


@pytest.mark.parametrize("key", NUMBERS)
@given(value=st.integers(0, 10**9) | st.floats(0, 1e12))
def test_numbers_are_taken_as_they_are(key: str, value: float) -> None:
    assert getattr(replication(**{key: value}), key) == value


@pytest.mark.parametrize("key", [*NUMBERS, "fallback_limit"])
@pytest.mark.parametrize("value", [-1, -0.5, math.nan, math.inf, "1", True, [], {}])
def test_what_is_no_such_number_is_refused_by_its_name(key: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"database 'a', replication: '{key}'"):
        replication(**{key: value})


def test_a_limit_of_reads_is_a_whole_number() -> None:
    assert replication(fallback_limit=0).fallback_limit == 0
    with pytest.raises(ConfigurationError, match="'fallback_limit' must be of type int"):
        replication(fallback_limit=1.5)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_that_has_a_name_is_taken(policy: str) -> None:
    assert replication(policy=policy, zone="eu").policy == policy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"policy": "rund_robin"}, "unknown policy 'rund_robin'; did you mean 'round_robin'"),
        ({"policy": 3}, r"an object with a method choose\(servers\), not a int"),
        ({"policy": object()}, "not a object"),
        ({"policy": "nearest"}, "the policy 'nearest' needs a 'zone'"),
        ({"zone": 3}, "'zone' must be of type str"),
        ({"fallback": "replica"}, "'fallback' is 'replica'"),
        ({"fallback": 1}, "'fallback' must be of type str"),
        ({"wait": 3}, "wait"),
    ],
)
def test_other_values_are_refused_with_what_would_do(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replication(**values)


def test_a_policy_of_ones_own_is_kept_as_it_is() -> None:
    mine = Last()
    assert replication(policy=mine).policy is mine


@pytest.mark.parametrize("value", ["weighted", 3, [], ["policy"]])
def test_the_settings_are_a_table(value: object) -> None:
    with pytest.raises(ConfigurationError, match="replication"):
        settings_from({"a": {"url": PRIMARY, "replicas": [REPLICA], "replication": value}})


@pytest.mark.parametrize("replicas", [None, []])
def test_they_mean_nothing_without_replicas(replicas: object) -> None:
    with pytest.raises(ConfigurationError, match="there are none in 'replicas'"):
        settings_from({"a": {"url": PRIMARY, "replicas": replicas, "replication": {"wait_ms": 1}}})


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, "2", True])
def test_a_weight_is_a_number_above_zero(weight: object) -> None:
    with pytest.raises(ConfigurationError, match="'weight'"):
        replica(url=REPLICA, weight=weight)


def test_a_replica_may_be_a_text_a_table_or_a_mirror() -> None:
    made = settings_from(
        {
            "a": {
                "url": PRIMARY,
                "replicas": [REPLICA, {"url": REPLICA, "weight": 2.5, "zone": "eu"}, "mirror"],
            }
        }
    )["a"].replicas
    assert [(one.weight, one.zone, one.is_mirror) for one in made] == [
        (1, None, False),
        (2.5, "eu", False),
        (1, None, True),
    ]
    assert replica(url="mirror", zone="eu").is_mirror


@pytest.mark.parametrize("values", [{}, {"weight": 2}, {"url": 3}, {"url": REPLICA, "zone": 3}, {"url": "x"}])
def test_a_replica_that_is_no_server_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="replica"):
        replica(**values)


def test_the_environment_says_the_same() -> None:
    made = settings_from_env(
        environ={
            "MULTIDB_A__URL": PRIMARY,
            "MULTIDB_A__REPLICAS": f"{REPLICA} mirror",
            "MULTIDB_A__REPLICATION__POLICY": "nearest",
            "MULTIDB_A__REPLICATION__ZONE": "eu",
            "MULTIDB_A__REPLICATION__MAX_LAG": "2.5",
            "MULTIDB_A__REPLICATION__FALLBACK_LIMIT": "3",
        }
    )["a"]
    assert made.replication == ReplicationSettings(policy="nearest", zone="eu", max_lag=2.5, fallback_limit=3)
    assert [one.is_mirror for one in made.replicas] == [False, True]


def test_toml_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "multidb.toml"
    (tmp_path / "key").write_text("a text from a file\n")
    file.write_text(
        f"""
        secret_key = ["a text that is long enough", {{ file = "{tmp_path}/key" }}]
        [databases.a]
        url = "{PRIMARY}"
        replicas = ["{REPLICA}", {{ url = "{REPLICA}", weight = 2 }}]
        replication = {{ policy = "weighted", wait_ms = 5 }}
        """
    )
    registry = Databases()
    registry.load(file)
    made = registry.entries["a"].settings
    assert made.replication == ReplicationSettings(policy="weighted", wait_ms=5)
    assert [one.weight for one in made.replicas] == [1, 2]
    assert isinstance(registry.secret_key, list)
    assert [one.reveal() for one in registry.secret_key] == [
        "a text that is long enough",
        "a text from a file",
    ]


@pytest.mark.parametrize("value", [None, [], [None], 3, {"evn": "X"}, {}, ["a", 3], [["a"]], True])
def test_a_secret_key_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="secret_key"):
        secrets_from(value)


def test_secret_keys_of_the_environment() -> None:
    assert secrets_from_env(environ={}) is None
    [secret] = secrets_from_env(environ={"MULTIDB_SECRET_KEY": "text"}) or []
    assert isinstance(secret, Secret) and secret.reveal() == "text" and "text" not in repr(secret)
    [secret] = secrets_from_env("X_", environ={"X_SECRET_KEY_FILE": "/nowhere"}) or []
    assert "/nowhere" not in str(secret) or secret is not None
