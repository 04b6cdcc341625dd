"""check_keys: sharded models whose shards would give two rows one primary key."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from peewee import AutoField, CompositeKey, IntegerField

from peewee_multidb import (
    CollidingKeys,
    ConfigurationError,
    Databases,
    HashShards,
    Model,
    SnowflakeField,
    UUID7Field,
    check_keys,
)

own = Databases()


def sharded(*names: str, **attributes: Any) -> Any:
    options = {"registry": own, "db_name": HashShards(*names), "shard_key": "n", **attributes.pop("meta", {})}
    attributes = {
        "n": IntegerField(),
        "Meta": type("Meta", (), options),
        "__module__": __name__,
        **attributes,
    }
    return type(Model)("Thing", (Model,), attributes)


@pytest.mark.parametrize("attributes", [{}, {"number": AutoField()}])
def test_a_key_that_each_shard_numbers_is_warned_of(attributes: Any) -> None:
    model = sharded("a", "b", **attributes)
    name = model._meta.primary_key.name
    with pytest.warns(
        CollidingKeys, match=rf"Thing.{name} is a AutoField, which each of its 2 shards numbers"
    ):
        assert len(check_keys(model)) == 1


@pytest.mark.parametrize(
    ("names", "attributes"),
    [
        ("a", {}),
        ("ab", {"id": SnowflakeField()}),
        ("ab", {"id": UUID7Field()}),
        ("ab", {"id": IntegerField(primary_key=True)}),
        ("ab", {"m": IntegerField(), "meta": {"primary_key": CompositeKey("n", "m")}}),
        ("ab", {"meta": {"primary_key": False}}),
        ("ab", {"meta": {"reference": True, "shard_key": None}}),
        ("ab", {"meta": {"db_name": "a", "shard_key": None}}),
    ],
)
def test_other_keys_are_fine(names: str, attributes: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_keys(sharded(*names, **attributes)) == []


def test_without_models_it_looks_at_every_one_of_the_program() -> None:
    model = sharded("x1", "x2", "x3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollidingKeys)
        found = check_keys()
    assert any(f"{model.__name__}.id" in text and "its 3 shards" in text for text in found)


def test_anything_but_a_model_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="takes models of peewee_multidb"):
        check_keys(int)
