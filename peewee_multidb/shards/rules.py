"""Sharding rules: from the value of a shard key to a database name.

A rule is any object with ``names`` and ``shard_of``; it must give the same answer for the same key
in every process, on every machine, for as long as the rows exist. `Rule` has the answers to what else
is asked, for rules that know no better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from ..errors import ConfigurationError

__all__ = ["FunctionRule", "Rule", "ShardingRule", "checked_names"]


@runtime_checkable
class ShardingRule(Protocol):
    """What every sharding rule offers; `Rule` says what else one may."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every database name that the rule can give now."""
        ...

    def shard_of(self, key: Any) -> str:
        """Return the database name for the value of the shard key (a tuple for several fields)."""
        ...


class Rule:
    """A base for rules, with the answers of one that knows nothing but `shard_of`.

    Attributes:
        key: the names of the fields that the rule reads, unless ``Meta.shard_key`` says otherwise.
    """

    key: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every database name that the rule can give now."""
        raise NotImplementedError

    def shard_of(self, key: Any) -> str:
        """Return the shard for a row of this key that is about to be written.

        Raises:
            InvalidShardKey: it can be none: it has the wrong type, or no shard takes it.
        """
        raise NotImplementedError

    def find(self, key: Any) -> str | None:
        """Return the shard where rows of this key are, or None when there can be none.

        Raises:
            InvalidShardKey: the key has the wrong type.
        """
        return self.shard_of(key)

    def shards_between(self, low: Any, high: Any) -> set[str] | None:
        """Return the shards that may hold keys from low to high, both included; None says "any".

        Args:
            low: the lowest key, or None for an open end.
            high: the highest key, or None for an open end.
        """
        return None

    def prepare(self) -> None:
        """Make what the rule keeps in a database, where it is missing: the table of a `StoredMap`."""
        create = getattr(getattr(self, "map", None), "create", None)
        if create is not None:
            create()

    def check(self, fields: Sequence[Any]) -> None:
        """Refuse fields that cannot be the key; called once for each model, when it is first used.

        Args:
            fields: the Field objects of the key; for a foreign key, the field that it refers to.

        Raises:
            ConfigurationError: the rule cannot read these.
        """


class FunctionRule(Rule):
    """A plain function of the key as a rule.

    Args:
        function: called with the key's value; for a key of several fields, with one argument each.
        names: every name that the function can return.
    """

    names: tuple[str, ...] = ()

    def __init__(self, function: Callable[..., str], names: tuple[str, ...]) -> None:
        self.function = function
        self.names = names

    def shard_of(self, key: Any) -> str:
        """Return the function's answer.

        Raises:
            ConfigurationError: the function returned something that ``shards`` does not list.
        """
        name = self.function(*key) if isinstance(key, tuple) else self.function(key)
        if name not in self.names:
            raise ConfigurationError(
                f"The sharding function {self._label()} returned {name!r}, which is not among its shards "
                f"({', '.join(self.names)}); add it to Meta.shards or mend the function."
            )
        return name

    def _label(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def __repr__(self) -> str:
        return f"FunctionRule({self._label()}, shards={self.names!r})"


def checked_names(names: Sequence[Any], owner: str) -> tuple[str, ...]:
    """Return database names as a tuple.

    Args:
        names: what the caller gave.
        owner: what it gave them to, for the message.

    Raises:
        ConfigurationError: there is none, one is no name, or one is there twice.
    """
    if not names:
        raise ConfigurationError(f"{owner} needs the names of its shards.")
    for name in names:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{owner}: {name!r} is not a database name.")
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{owner}: a shard is named twice in {', '.join(map(repr, names))}.")
    return tuple(names)


def key_names(key: str | Sequence[str] | None, owner: str) -> tuple[str, ...]:
    """Return the names of the key's fields as a tuple.

    Raises:
        ConfigurationError: they are not names.
    """
    if key is None:
        return ()
    names = (key,) if isinstance(key, str) or not isinstance(key, Sequence) else tuple(key)
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"{owner}: key is the name of a field or a tuple of them, not {key!r}.")
    return names
