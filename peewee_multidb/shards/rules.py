"""Sharding rules: from the value of a shard key to a database name.

A rule is any object with ``names`` and ``shard_of``; it must give the same answer for the same key
in every process, on every machine, for as long as the rows exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from ..errors import ConfigurationError

__all__ = ["FunctionRule", "ShardingRule"]


@runtime_checkable
class ShardingRule(Protocol):
    """What every sharding rule offers."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every database name that the rule can give."""
        ...

    def shard_of(self, key: Any) -> str:
        """Return the database name for the value of the shard key (a tuple for several fields)."""
        ...


class FunctionRule:
    """A plain function of the key as a rule.

    Args:
        function: called with the key's value; for a key of several fields, with one argument each.
        names: every name that the function can return.
    """

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
