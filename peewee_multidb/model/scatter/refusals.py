"""The error for a query whose answer over several shards would not be that of one database."""

from __future__ import annotations

from typing import Any

from ...errors import ScatterNotSupported
from ...home import Home

__all__ = ["refused"]


def refused(query: Any, clause: str, why: str, instead: str = "") -> ScatterNotSupported:
    """Return the error that names a clause.

    Args:
        query: the query on the sharded model.
        clause: what is to blame, as the user wrote it.
        why: why it cannot be answered, as the rest of a sentence.
        instead: a way out besides those that there always are, as a sentence.
    """
    home: Home = query.model._meta.home
    name = home.model.__name__
    key = home.shard_key[0] if home.shard_key else "key"
    ways = f'add {name}.{key} == value, or ask one shard: .using("name of a shard").'
    if instead:
        return ScatterNotSupported(f"{name} over several shards: {clause} {why}. {instead} Or {ways}")
    return ScatterNotSupported(f"{name} over several shards: {clause} {why}. {ways[0].upper()}{ways[1:]}")
