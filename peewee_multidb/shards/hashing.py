"""`HashShards`: a stable hash over virtual buckets, which are spread over the shards."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from ..errors import ConfigurationError
from .keys import encoded
from .maps import FixedMap, ShardMap, require_units, spread
from .rules import Rule, checked_names, key_names

__all__ = ["BUCKETS", "HashShards"]

#: How many buckets a rule has when it does not say.
BUCKETS = 1024


class HashShards(Rule):
    """Spread keys evenly over shards.

    The bucket of a key is the BLAKE2b hash (8 bytes, read as a big-endian number) of its canonical
    encoding (see `peewee_multidb.shards.keys`), modulo the number of buckets. That never changes, on any
    machine or version. Which shard a bucket is in may: growing moves whole buckets.

    Args:
        names: the database names of the shards.
        key: the field, or tuple of fields, that is hashed; ``Meta.shard_key`` says it too.
        buckets: how many buckets there are. For ever: another number is another place for every row.
        map: the database name of each bucket, or a `ShardMap` that is looked into each time. Without it
            the buckets are spread evenly, in order.

    Raises:
        ConfigurationError: no names, one twice, fewer buckets than shards, or a map of another size.
    """

    def __init__(
        self,
        *names: str,
        key: str | Sequence[str] | None = None,
        buckets: int = BUCKETS,
        map: Sequence[str] | ShardMap | None = None,
    ) -> None:
        self.key = key_names(key, "HashShards")
        if isinstance(buckets, bool) or not isinstance(buckets, int) or buckets < 1:
            raise ConfigurationError(f"HashShards(buckets={buckets!r}): it takes a number of buckets.")
        self.buckets = buckets
        self.map: ShardMap
        if map is not None and not isinstance(map, Sequence):
            if names:
                raise ConfigurationError("HashShards takes names or a map that has them, not both.")
            require_units(map, buckets, "HashShards")
            self.map = map
            return
        checked = checked_names(names, "HashShards")
        if buckets < len(checked):
            raise ConfigurationError(f"HashShards: {buckets} buckets are too few for {len(checked)} shards.")
        owners = spread(checked, buckets) if map is None else tuple(map)
        if len(owners) != buckets:
            raise ConfigurationError(f"HashShards: the map has {len(owners)} bucket(s), not {buckets}.")
        self.map = FixedMap(checked, owners)

    @property
    def names(self) -> tuple[str, ...]:
        """The database names of the shards."""
        return self.map.names

    def bucket_of(self, key: Any) -> int:
        """Return the number of a key's bucket, from 0.

        Raises:
            InvalidShardKey: a value of its type cannot be a key.
        """
        return int.from_bytes(blake2b(encoded(key), digest_size=8).digest(), "big") % self.buckets

    unit_of = bucket_of

    def shard_of(self, key: Any) -> str:
        """Return the shard that has the bucket of a key.

        Raises:
            InvalidShardKey: a value of its type cannot be a key.
        """
        return self.map.owners[self.bucket_of(key)]

    # Every key has a bucket.
    find = shard_of

    def __repr__(self) -> str:
        return f"HashShards({', '.join(map(repr, self.names))}, key={self.key!r}, buckets={self.buckets})"
