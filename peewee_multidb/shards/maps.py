"""Which shard has which bucket.

A `HashShards` rule hashes a key to one of a fixed number of buckets, and asks its map where that bucket
is. Keys never change buckets; buckets move between shards, and then the map says something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..errors import ConfigurationError
from .rules import checked_names

__all__ = ["FixedMap", "ShardMap", "require_units", "spread"]


@runtime_checkable
class ShardMap(Protocol):
    """Where every bucket is now."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every database name that has a bucket, or is to have one."""
        ...

    @property
    def version(self) -> int:
        """A number that grows when a bucket moves."""
        ...

    @property
    def owners(self) -> Sequence[str]:
        """The database name of each bucket, by its number."""
        ...


class FixedMap:
    """A map that never changes.

    Args:
        names: every database name.
        owners: the database name of each bucket.
    """

    version = 0

    def __init__(self, names: Sequence[str], owners: Sequence[str]) -> None:
        self.names = checked_names(names, "FixedMap")
        self.owners = tuple(owners)
        unknown = sorted(set(self.owners) - set(self.names))
        if unknown:
            raise ConfigurationError(
                f"A bucket is in {unknown[0]!r}, which is not among the shards ({', '.join(self.names)})."
            )


def spread(names: Sequence[str], buckets: int) -> tuple[str, ...]:
    """Return the owner of each bucket, every name having as many as any other, give or take one."""
    return tuple(names[bucket * len(names) // buckets] for bucket in range(buckets))


def require_units(found: ShardMap, number: int, what: str) -> None:
    """Refuse a map that says that it has another number of units than its rule.

    Raises:
        ConfigurationError: it does.
    """
    check = getattr(found, "require_units", None)
    if check is not None:
        check(number, what)
