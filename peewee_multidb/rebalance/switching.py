"""Switching units: the moment in which rows leave one shard and belong to another.

The steps of one batch, each a transaction of its own, in this order:

1. The map says which units are switched, from where to where.
2. The source closes the units: it waits for the writes under way, and takes no more.
3. The copies are made equal to the rows, and counted and summed up.
4. Both shards say that they are switching: nobody who knows of the move reads from them.
5. The source deletes the rows; the target publishes the copies and commits; the source commits.
6. The map names the new owner.
7. Both shards open again, and the copies are dropped.

The commit of the target in step 5 decides. Whoever finds a batch that was left in the middle sees from the
target's epoch whether it has happened, and then goes on from there, or else opens the shards again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import peewee

from ..errors import RebalanceError
from ..shards import fences
from ..shards.stored import MapState, StoredMap
from .copying import Copying
from .owners import MapOwners
from .tables import quoted
from .waiting import persist

__all__ = ["Switched", "Switching"]


@dataclass(frozen=True, slots=True)
class Switched:
    """What one batch did.

    Attributes:
        units: the numbers of the units.
        source: where they were.
        target: where they are.
        rows: for each model how many rows moved, and their checksum.
        closed: for how many seconds the units took no writes.
    """

    units: tuple[int, ...]
    source: str
    target: str
    rows: dict[str, tuple[int, int]]
    closed: float


class Switching:
    """Switches units from shard to shard.

    Args:
        owners: where it is written down who has what.
        copying: the copies.
        patience: seconds that a lock is tried for, over and over.
    """

    def __init__(self, owners: MapOwners, copying: Copying, patience: float) -> None:
        self.owners = owners
        self.stored: StoredMap = owners.stored
        self.copying = copying
        self.patience = patience

    def switch(self, source: str, target: str, units: Sequence[int]) -> Switched:
        """Switch some units.

        Raises:
            RebalanceError: a transaction in one of the shards does not end, or the rows cannot be deleted
                or inserted there; the units stay where they were.
        """
        stored, name = self.stored, self.stored.name
        origin, goal = stored.shard(source), stored.shard(target)
        state = stored.refresh()
        batch = {
            "source": source,
            "target": target,
            "units": sorted(units),
            "epochs": [state.epochs.get(source, 0) + 1, state.epochs.get(target, 0) + 1],
        }
        state = stored.write(replace(state, batch=batch))
        start = time.monotonic()
        try:
            self._locked(origin, source, lambda fence: self._close(origin, fence, units, switching=False))
            # The waiting is over: from here on the clock of those who wait runs.
            start = time.monotonic()
            rows = self.copying.settle(source, target, units)
            self._locked(goal, target, lambda fence: self._close(goal, fence, units, switching=True))
            self._locked(origin, source, lambda fence: self._close(origin, fence, units, switching=True))
            self._move(batch, {model: count for model, (count, _) in rows.items()})
        except BaseException as error:
            if fences.look(goal, name).epoch != batch["epochs"][1]:
                self.undo(state)
            if isinstance(error, RebalanceError) or not isinstance(error, Exception):
                raise
            raise RebalanceError(
                f"Units {sorted(units)[:5]} cannot move from {source!r} to {target!r} and stay where they "
                f"are ({type(error).__name__}: {error})."
            ) from error
        self.finish(state)
        return Switched(tuple(units), source, target, rows, time.monotonic() - start)

    def recover(self, state: MapState) -> None:
        """Bring a batch to its end that was left in the middle."""
        if state.batch is None:
            for name in state.names:
                self._open(name)
            return
        batch = state.batch
        goal = self.stored.shard(batch["target"])
        if fences.look(goal, self.stored.name).epoch == batch["epochs"][1]:
            self._move(batch, None)
            self.finish(state)
        else:
            self.undo(state)

    def undo(self, state: MapState) -> None:
        """Open the shards again; the units stay where they are."""
        batch: Any = state.batch
        for name in (batch["source"], batch["target"]):
            self._open(name)
        self.stored.write(replace(self.stored.refresh(), batch=None))

    def finish(self, state: MapState) -> None:
        """Say in the map where the units are now, and open the shards."""
        batch: Any = state.batch
        epochs = {**state.epochs, batch["source"]: batch["epochs"][0], batch["target"]: batch["epochs"][1]}
        self.owners.hand_over(replace(state, epochs=epochs, batch=None), batch["units"], batch["target"])
        for name in (batch["source"], batch["target"]):
            self._open(name)
        for model in self.copying.models:
            self.copying.side[batch["target"], model].forget(batch["units"])

    def _move(self, batch: Any, expected: dict[str, int] | None) -> None:
        """Delete the rows in the source and publish the copies in the target, as far as it has not been done.

        Args:
            batch: what to move.
            expected: how many rows of each model; None when nobody counted them in this run.
        """
        source, target, units = batch["source"], batch["target"], batch["units"]
        origin, goal, copying = self.stored.shard(source), self.stored.shard(target), self.copying

        def publish() -> None:
            for model in copying.models:
                rows = copying.side[target, model].publish(units)
                if expected is not None and rows != expected[model.__name__]:
                    raise RebalanceError(
                        f"{model.__name__}: {rows} rows were about to be published in {target!r} instead of "
                        f"{expected[model.__name__]}."
                    )
                _advance_sequence(copying.own[target, model])
            fences.close(goal, self.stored.name, units, switching=True, epoch=batch["epochs"][1])

        def leave(fence: fences.Fence) -> None:
            if fence.epoch == batch["epochs"][0]:
                return
            for model in reversed(copying.models):
                side, own = copying.side[target, model], copying.own[source, model]
                # Children of the same table are mostly younger than their parents.
                keys = [side.key_of(row) for row in reversed(side.of_units(units))]
                gone = own.delete(keys)
                if expected is not None and gone != expected[model.__name__]:
                    raise RebalanceError(
                        f"{model.__name__}: {gone} rows were about to be deleted in {source!r} instead of "
                        f"{expected[model.__name__]}. A program writes there without this package: stop it."
                    )
            fences.close(origin, self.stored.name, units, switching=True, epoch=batch["epochs"][0])
            with fences.lock_exclusively(goal, self.stored.name) as there:
                if there.epoch != batch["epochs"][1]:
                    publish()

        self._locked(origin, source, leave)

    def _close(self, database: Any, fence: fences.Fence, units: Sequence[int], *, switching: bool) -> None:
        fences.close(database, self.stored.name, list(units), switching=switching, epoch=fence.epoch)

    def _open(self, name: str) -> None:
        database = self.stored.shard(name)
        fence = fences.look(database, self.stored.name)
        if fence.units or fence.switching:
            self._locked(database, name, lambda now: self._reopen(database, now))

    def _reopen(self, database: Any, fence: fences.Fence) -> None:
        fences.close(database, self.stored.name, [], switching=False, epoch=fence.epoch)

    def _locked(self, database: Any, name: str, action: Callable[[fences.Fence], None]) -> None:
        """Do something under the exclusive lock of a shard, trying for as long as the patience lasts.

        Raises:
            RebalanceError: the lock could not be had.
        """

        def once() -> None:
            with fences.lock_exclusively(database, self.stored.name) as fence:
                action(fence)

        persist(f"lock the shard {name!r}, where a transaction that wrote does not end,", self.patience, once)


def _advance_sequence(table: Any) -> None:
    """See to it that PostgreSQL numbers the next row above those that came."""
    field = table.model._meta.primary_key
    if table.traits.engine != "postgresql" or not isinstance(field, peewee.AutoField):
        return
    column = quoted(table.database, field.column_name)
    sequence = table.run("SELECT pg_get_serial_sequence(%s, %s)", (table.name, field.column_name)).fetchone()[
        0
    ]
    if sequence is not None:
        table.run(
            f"SELECT setval(%s, GREATEST((SELECT COALESCE(MAX({column}), 1) FROM {table.name}), "
            f"(SELECT last_value FROM {sequence})))",
            (sequence,),
        )
