"""Sharding rules: a plain function of the key, and what Meta must say with it."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_multidb import ConfigurationError, current_db, explain_route, use_shard
from peewee_multidb.shards import FunctionRule, ShardingRule
from tests.world import World


def test_a_function_rule_gives_the_functions_answer() -> None:
    rule = FunctionRule(lambda key: "ab"[key % 2], ("a", "b"))
    assert [rule.shard_of(key) for key in range(4)] == ["a", "b", "a", "b"]
    assert isinstance(rule, ShardingRule)


def test_a_key_of_several_fields_gives_one_argument_each() -> None:
    rule = FunctionRule(lambda country, number: country if number else "rest", ("eu", "us", "rest"))
    assert rule.shard_of(("eu", 1)) == "eu"
    assert rule.shard_of(("eu", 0)) == "rest"


@pytest.mark.parametrize("answer", ["c", None, 3, ""])
def test_an_answer_that_is_not_a_shard_is_refused(answer: Any) -> None:
    def by_mood(key: int) -> Any:
        return answer

    rule = FunctionRule(by_mood, ("a", "b"))
    with pytest.raises(ConfigurationError, match=r"by_mood returned .* not among its shards \(a, b\)"):
        rule.shard_of(1)


def test_the_repr_names_the_function_and_its_shards() -> None:
    def by_region(key: str) -> str:
        return key

    assert "by_region" in repr(FunctionRule(by_region, ("a",)))
    assert "('a',)" in repr(FunctionRule(by_region, ("a",)))


class Halves:
    """A rule of a user's own: any object with names and shard_of will do."""

    names = ("a", "b")
    key = "key"

    def shard_of(self, key: Any) -> str:
        return "a" if key < 50 else "b"


def test_an_object_may_be_the_rule_and_name_its_own_key(world: World) -> None:
    halves = world.model("Halved", db_name=Halves())
    assert explain_route(halves.insert(key=70)).databases == ("b",)
    assert explain_route(halves.select().where(halves.key == 7)).databases == ("a",)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"db_name": lambda key: "a", "shards": ("a",)}, "a sharded model needs shard_key"),
        ({"db_name": lambda key: "a", "shard_key": "key"}, "a function as db_name needs shards"),
        (
            {"db_name": lambda key: "a", "shard_key": "key", "shards": ()},
            "a function as db_name needs shards",
        ),
        (
            {"db_name": lambda key: "a", "shard_key": "key", "shards": "a"},
            "a function as db_name needs shards",
        ),
        ({"db_name": lambda key: "a", "shard_key": "key", "shards": (1,)}, "1 is not a database name"),
        ({"db_name": Halves(), "shards": ("a",)}, "shards is only for a plain function"),
        ({"db_name": "a", "shard_key": "key"}, "need a sharding rule or a function"),
        ({"shards": ("a",)}, "need a sharding rule or a function"),
    ],
)
def test_what_does_not_make_sense_in_meta_is_refused(world: World, options: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Bad\.Meta: .*{sentence}"):
        world.model("Bad", **options)


# use_shard


def test_use_shard_is_the_scope_of_the_shard_of_a_key(world: World) -> None:
    world.create_tables(world.Sharded)
    for key, name in ((2, "a"), (3, "b"), ("3", "b")):
        with use_shard(world.Sharded, key):
            assert current_db(world.Sharded) == name
            assert world.Sharded.get().label == name
            assert current_db(world.Plain) == "default"


def test_use_shard_takes_as_many_values_as_the_key_has(world: World) -> None:
    pair = world.model(
        "Pair",
        db_name=lambda label, key: label if key else "b",
        shard_key=("label", "key"),
        shards=("a", "b"),
    )
    with use_shard(pair, ("a", 1)):
        assert current_db(pair) == "a"
    for wrong in ("a", ("a",), ("a", 1, 2)):
        with pytest.raises(ConfigurationError, match="is not a shard key label, key of Pair"):
            use_shard(pair, wrong)


@pytest.mark.parametrize("name", ["Plain", "Listed", "Homeless"])
def test_use_shard_takes_a_sharded_model(world: World, name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"use_shard\({name}\): its Meta.db_name is not a sharding rule"
    ):
        use_shard(getattr(world, name), 1)


def test_use_shard_takes_a_model() -> None:
    with pytest.raises(ConfigurationError, match=r"use_shard\(\) takes a model"):
        use_shard("Sharded", 1)
