"""Reference models in a new shard: all their rows, as every other shard has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import RebalanceError
from ..shards import fences
from ..shards.stored import MapState, StoredMap
from .tables import TableOf, digest
from .waiting import persist

__all__ = ["copy"]


def copy(stored: StoredMap, models: Sequence[Any], state: MapState, patience: float, chunk: int) -> None:
    """Make the tables of reference models equal in every shard that has just come.

    It is done behind the fences of the two shards, so that no write comes in between; the tables are small.

    Args:
        stored: the map.
        models: the reference models.
        state: the map as it is now.
        patience: seconds that a lock is tried for.
        chunk: how many rows are read at a time.

    Raises:
        RebalanceError: a lock could not be had, or a model has no primary key.
    """
    filled = next(name for name in state.names if name not in state.fresh)
    for name in state.fresh:
        for model in models:
            if not model._meta.primary_key:
                raise RebalanceError(f"{model.__name__} has no primary key, by which rows can be compared.")
            origin, goal = TableOf(stored.shard(filled), model), TableOf(stored.shard(name), model)
            what = f"copy {model.__name__} to {name!r}"
            persist(what, patience, lambda o=origin, g=goal: _equalize(stored, o, g, chunk))  # type: ignore[misc]


def _equalize(stored: StoredMap, origin: TableOf, goal: TableOf, chunk: int) -> None:
    with (
        fences.lock_exclusively(origin.database, stored.name),
        fences.lock_exclusively(goal.database, stored.name),
    ):
        there = {goal.key_of(row): digest(row) for row in _rows(goal, chunk)}
        for row in _rows(origin, chunk):
            key = origin.key_of(row)
            found = there.pop(key, None)
            if found == digest(row):
                continue
            if found is not None:
                goal.delete([key])
            goal.insert([row])
        goal.delete(list(there))


def _rows(table: TableOf, chunk: int) -> Any:
    return table.each(chunk, table.fields)
