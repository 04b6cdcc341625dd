"""What queries have to do with rows that move: models whose sharding rule has a `StoredMap`.

A write takes the shared lock of its shard's fence, in the transaction that it writes in, and is let through
if the map that it was routed by is of the same epoch and its units are not closed. A read asks nobody as
long as its copy of the map counts and announces nothing; else it looks at the epoch before and after. What
comes too late raises `ShardMoved`, and what runs outside of a transaction is then routed anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import peewee

from .. import scope
from ..drivers import connections, traits_of
from ..errors import MissingShardKey, ShardMoved, WrongShard
from ..home import Home
from ..shards import fences, pruning
from ..shards.mapstate import CLOSED, MapState
from ..shards.stored import StoredMap

__all__ = ["guarded", "patiently", "run", "stream", "write"]

#: What an iterator without rows begins with.
_END: Any = object()

#: Seconds between two attempts.
PAUSE = 0.003


def patiently(stored: StoredMap, run: Callable[[], Any]) -> Any:
    """Run something that routes by one state of the map; anew while rows that it needs are being switched.

    Raises:
        ShardMoved: the patience of the map is over; or a transaction is open, and cannot be begun anew here.
    """
    if stored.is_viewed:
        return run()
    deadline: float | None = None
    while True:
        token = stored.view(stored.current())
        try:
            return run()
        except ShardMoved:
            # It is not kept: its traceback would keep the cursor, and in SQLite the lock, of what was read.
            now = time.monotonic()
            deadline = now + stored.patience if deadline is None else deadline
            if now >= deadline or _in_transaction(stored):
                raise
        finally:
            stored.unview(token)
        connections.pause(stored.database, PAUSE)
        stored.refresh()


def run(query: Any, stored: StoredMap, action: Callable[[], Any]) -> Any:
    """Do something with a query, all of it by one state of the map; see `patiently`."""

    def attempt() -> Any:
        query._map_state = stored.current()
        try:
            return action()
        finally:
            query._map_state = None

    return patiently(stored, attempt)


def stream(query: Any, stored: StoredMap, rows_of: Callable[[Any, Any], Iterator[Any]]) -> Iterator[Any]:
    """Yield rows of several shards that all belong to one state of the map.

    Args:
        query: the query.
        stored: the map of its rule.
        rows_of: called with a query and where it runs; returns the rows.
    """
    clone = query.clone()

    def begin() -> tuple[Any, Iterator[Any]]:
        # It stays with the query, which goes on opening shards when this is over.
        clone._map_state = stored.current()
        here = clone._database
        rows = iter(clone.iterator(here) if isinstance(here, peewee.Database) else rows_of(clone, here))
        return next(rows, _END), rows

    first, rows = patiently(stored, begin)
    if first is not _END:
        yield first
        yield from rows


def _in_transaction(stored: StoredMap) -> bool:
    return any(connections.has_transaction(stored.shard(name)) for name in stored.refresh().names)


# Writes


class _Shared:
    """Notes that a transaction holds the lock; one of Peewee's callbacks, so it goes when the lock does."""

    def __init__(self, name: str, fence: fences.Fence) -> None:
        self.name = name
        self.fence = fence

    def __call__(self) -> None:
        """Nothing is to be done after the commit."""


def write(query: Any, database: Any, stored: StoredMap, action: Callable[[Any], Any]) -> Any:
    """Run a write in a shard whose units may move.

    Args:
        query: the query that writes.
        database: the shard.
        stored: the map of its rule.
        action: called with the Database object.

    Raises:
        ShardMoved: its units are closed, or have left the shard; nothing was written.
    """
    home: Home = query.model._meta.home
    name = home.registry.name_of(database)
    if name is None or name not in stored.current().names:
        return action(database)
    if database.in_transaction():
        _admit(query, stored, name, _shared(database, stored))
        return action(database)
    begin = ("IMMEDIATE",) if traits_of(database).engine == "sqlite" else ()
    with database.atomic(*begin):
        _admit(query, stored, name, fences.share(database, stored.name))
        result = action(database)
        if hasattr(result, "fill_cache"):
            # Rows of RETURNING, which would still be on their way at the commit.
            result.fill_cache()
        return result


def _shared(database: Any, stored: StoredMap) -> fences.Fence:
    """Return what the fence says, locked until the end of the transaction that is open."""
    callbacks = database._state.commit_callbacks
    for one in callbacks:
        if type(one) is _Shared and one.name == stored.name:
            return one.fence
    fence = fences.share(database, stored.name)
    if traits_of(database).engine != "postgresql":
        # There, rolling back to a savepoint gives back a lock that was taken after it.
        callbacks.append(_Shared(stored.name, fence))
    return fence


def _admit(query: Any, stored: StoredMap, name: str, fence: fences.Fence) -> None:
    home: Home = query.model._meta.home
    state = stored.current()
    routed = state.epochs.get(name) == fence.epoch
    if routed and not fence.units:
        _refuse_old_row(query, name, fence.epoch)
        return
    if not routed:
        state = stored.refresh()
        if state.epochs.get(name) != fence.epoch:
            raise _moved(home, stored, f"rows are just leaving or reaching {name!r}")
    _refuse_old_row(query, name, fence.epoch)
    touched = _touched(query, home, stored, state, fence)
    if touched is None:
        if fence.units or not routed:
            raise _moved(home, stored, f"some rows of {name!r} are about to move")
    elif CLOSED in touched:
        raise _moved(home, stored, f"they are about to move from or to {name!r}")
    elif touched - {name}:
        raise _moved(home, stored, f"they are no longer in {name!r}")


def _touched(
    query: Any, home: Home, stored: StoredMap, state: MapState, fence: fences.Fence
) -> set[str] | None:
    """Return the shards that the query's own clauses leave, closed units apart; None when nothing does."""
    owners = tuple(CLOSED if unit in fence.units else owner for unit, owner in enumerate(state.owners))
    if home.rule is None:
        return set()  # a reference model, which every shard has
    names = (*state.names, CLOSED)
    with stored.viewing(replace(state, owners=owners, names=names, closed=fence.units)):
        try:
            found = pruning.footprint(home, query)
        except (MissingShardKey, WrongShard):
            return None
    return set(found.shards) if found.narrowed else None


def _refuse_old_row(query: Any, name: str, epoch: int) -> None:
    """Raise if the query stays with a row that was loaded before units came to its shard or left."""
    around = query._around()
    if around is None:
        return
    home: Home = query.model._meta.home
    placed = scope.place(around, home)
    seen = None if placed is None else getattr(placed[1], "epoch", None)
    if seen is not None and seen != epoch and placed[0] == name:  # type: ignore[index]
        stored: Any = home.stored
        raise _moved(home, stored, f"the row it belongs to was loaded before rows left or reached {name!r}")


def _moved(home: Home, stored: StoredMap, why: str) -> ShardMoved:
    return ShardMoved(
        f"A query on {home.model.__name__} needs rows that move between shards: {why}. Nothing was done; "
        "do it again. A transaction has to be begun anew, see retry_moved; if it lasts, a rebalance was "
        "killed and wants resume().",
        patience=stored.patience,
    )


# Reads


def guarded(
    query: Any, database: Any, stored: StoredMap, action: Callable[[Any], Any]
) -> Callable[[Any], Any]:
    """Return the action of a read, with a look at the map and the fence around it.

    Args:
        query: the query that reads.
        database: the shard, which stands for all of its servers.
        stored: the map of its rule.
        action: called with the Database object of a server.
    """
    home: Home = query.model._meta.home
    name = home.registry.name_of(database)
    state = query._map_state or stored.current()
    if name is None or name not in state.names:
        return action

    def look_around(server: Any) -> Any:
        _refuse_old_row(query, name, state.epochs.get(name, 0))
        if state.expires and not state.moving:
            result = action(server)
            if state.counts:
                return result
            fresh = stored.refresh()
            if fresh.version != state.version or fresh.moving:
                raise _moved(home, stored, "a move was announced while it ran")
            return result
        if traits_of(server).engine == "mysql" and not server.in_transaction():
            # A result that is still on its way would be in the way of the second look.
            with server.atomic():
                return watched(server)
        return watched(server)

    def watched(server: Any) -> Any:
        before = fences.look(server, stored.name)
        if before.switching or before.epoch != state.epochs.get(name):
            if server is not database:
                return look_around(database)  # a replica that lags
            raise _moved(home, stored, f"rows are just leaving or reaching {name!r}")
        result = action(server)
        after = fences.look(server, stored.name)
        if after.switching or after.epoch != before.epoch:
            raise _moved(home, stored, f"rows left or reached {name!r} while it ran")
        return result

    return look_around
