"""Copying the rows of moving units into tables beside the target's own, and keeping up with changes.

Nobody but the rebalance sees the copies, so that a query over all shards finds each row once. A copy is right
when it equals the row in the source. It becomes that by three means: every row is copied once, in the order
of the primary key; every change noted after that copies its row again; and `compare` reads both sides.
All of it can be done again from any point without harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..errors import RebalanceError
from ..shards.stored import StoredMap
from .changes import Changes
from .tables import Row, Side, TableOf, checksum, digest
from .waiting import persist

__all__ = ["Copying", "UnitOf"]

T = TypeVar("T")

#: Called with how many rows were read.
Advance = Callable[[int], None]

#: How often a row that keeps changing is compared before it is left to the fence.
TRIES = 5


class UnitOf:
    """Finds the unit of a row of one model.

    Args:
        model: a sharded model whose rows hold their shard key.
    """

    def __init__(self, model: Any) -> None:
        home = model._meta.home
        names = [field.name for field in model._meta.sorted_fields]
        self._at = [names.index(name) for name in home.shard_key]
        self._unit_of: Callable[[Any], int] = home.rule.unit_of

    def __call__(self, row: Row) -> int:
        key = tuple(row[at] for at in self._at)
        return self._unit_of(key[0] if len(key) == 1 else key)


class Copying:
    """The copies of the rows of some units.

    Args:
        stored: the map; it names the databases.
        models: parents before children.
        moves: the units that move: number to (from, to).
        chunk: how many rows are read at a time.
        patience: seconds that a locked database is tried for.
    """

    def __init__(
        self,
        stored: StoredMap,
        models: Sequence[Any],
        moves: Mapping[int, tuple[str, str]],
        chunk: int,
        patience: float,
    ) -> None:
        self._patience = patience
        self.models = list(models)
        self.moves = dict(moves)
        self.chunk = chunk
        self.sources = sorted({source for source, _ in moves.values()})
        self.targets = sorted({target for _, target in moves.values()})
        self.unit_of = {model: UnitOf(model) for model in models}
        self.own = {
            (s, m): TableOf(stored.shard(s), m) for s in (*self.sources, *self.targets) for m in models
        }
        self.log = {(s, m): Changes(self.own[s, m]) for s in self.sources for m in models}
        self.side = {(t, m): Side(stored.shard(t), m) for t in self.targets for m in models}

    def targets_of(self, source: str) -> list[str]:
        """Return where rows of a shard go."""
        return sorted({target for one, target in self.moves.values() if one == source})

    # Tables

    def prepare(self) -> None:
        """Make the tables and the triggers. From then on every change is noted."""
        for side in self.side.values():
            self._persist(f"create {side.name}", side.create)
        for log in self.log.values():
            self._persist(f"create the triggers of {log.table.name}", log.create)

    def clean_up(self) -> None:
        """Drop what `prepare` made."""
        for log in self.log.values():
            self._persist(f"drop the triggers of {log.table.name}", log.drop)
        for side in self.side.values():
            self._persist(f"drop {side.name}", side.drop)

    def _persist(self, what: str, action: Callable[[], T]) -> T:
        return persist(what, self._patience, action)

    # Copying

    def copy(self, source: str, model: Any, advance: Advance) -> None:
        """Copy what is not copied yet of one table, working off the notes in between."""
        what = f"copy {model.__name__} from {source!r}"
        while rows := self._persist(what, lambda: self._copy_chunk(source, model)):
            if self.log[source, model].count() >= self.chunk:
                self.catch_up(source, model)
            advance(rows)
        self.catch_up(source, model)

    def _copy_chunk(self, source: str, model: Any) -> int:
        table, log = self.own[source, model], self.log[source, model]
        rows = table.after(log.copied_to(), self.chunk)
        if rows:
            keys = [table.key_of(row) for row in rows]
            self._stage(source, model, keys, rows)
            log.copied(keys[-1])
        return len(rows)

    def catch_up(self, source: str, model: Any) -> int:
        """Work off the notes that there are and return how many these were."""
        what = f"follow the changes of {model.__name__} in {source!r}"
        worked_off = 0
        while True:
            notes = self._persist(what, lambda: self._catch_up_once(source, model))
            worked_off += notes
            if notes < self.chunk:
                return worked_off

    def _catch_up_once(self, source: str, model: Any) -> int:
        log = self.log[source, model]
        numbers, keys = log.read(self.chunk)
        if numbers:
            self._stage(source, model, keys, self.own[source, model].having(keys))
            log.done(numbers)
        return len(numbers)

    def _stage(self, source: str, model: Any, keys: Sequence[Row], rows: Sequence[Row]) -> None:
        """Put rows in place of the copies of these keys; a key without a row has none any more."""
        unit_of, moves = self.unit_of[model], self.moves
        groups: dict[str, list[tuple[int, Row]]] = {target: [] for target in self.targets_of(source)}
        for row in rows:
            unit = unit_of(row)
            move = moves.get(unit)
            if move is not None and move[0] == source:
                groups[move[1]].append((unit, row))
        for target, found in groups.items():
            side = self.side[target, model]
            with side.database.atomic():
                side.delete(keys)
                if found:
                    side.insert([row for _, row in found], [(unit,) for unit, _ in found])

    # Comparing

    def compare(self, source: str, model: Any, advance: Advance) -> int:
        """Read all of one table again and see that every moving row has its copy; return how many have.

        Raises:
            RebalanceError: a row has none, although every change is noted.
        """
        table, unit_of = self.own[source, model], self.unit_of[model]
        position, compared = None, 0
        while rows := table.after(position, self.chunk):
            position = table.key_of(rows[-1])
            moving = [row for row in rows if self._leaves(source, unit_of(row))]
            compared += len(moving)
            suspects = self._different(source, model, moving)
            for _ in range(TRIES):
                if not suspects:
                    break
                # The change that makes the difference was noted by the transaction that made it.
                self.catch_up(source, model)
                fresh = [row for row in table.having(suspects) if self._leaves(source, unit_of(row))]
                suspects = self._different(source, model, fresh)
            missing = self._without_copy(source, model, suspects)
            if missing:
                raise RebalanceError(
                    f"{model.__name__} in {source!r}: {len(missing)} row(s) have no copy, the first with the "
                    f"primary key {missing[0]!r}. Are the triggers of the change log disabled?"
                )
            advance(len(rows))
        return compared

    def settle(self, source: str, target: str, units: Sequence[int]) -> dict[str, tuple[int, int]]:
        """Make the copies of some units equal to their rows, which nobody writes any more.

        Returns:
            For each model how many rows these are, and their checksum.

        Raises:
            RebalanceError: they differ again and again: somebody writes all the same.
        """
        found = {}
        for model in self.models:
            table, side, unit_of = self.own[source, model], self.side[target, model], self.unit_of[model]
            wanted = set(units)
            for _ in range(TRIES):
                self.catch_up(source, model)
                copies = {side.key_of(row): row for row in side.of_units(units)}
                live = {
                    table.key_of(row): row for row in table.having(list(copies)) if unit_of(row) in wanted
                }
                stale = [key for key, row in copies.items() if _differ(row, live.get(key))]
                if not stale:
                    break
                self._stage(source, model, stale, [live[key] for key in stale if key in live])
            else:
                raise RebalanceError(
                    f"{model.__name__} in {source!r}: the rows of units {sorted(units)[:5]} go on changing "
                    "although they are closed. A program writes to the shard without this package: stop it."
                )
            found[model.__name__] = (len(live), checksum(live.values()))
        return found

    def collisions(self, target: str, model: Any) -> list[Row]:
        """Return primary keys of copies that the target's own table has too, some of them."""
        own, side = self.own[target, model], self.side[target, model]
        columns = own.key_columns
        same = " AND ".join(f"{side.name}.{column} = {own.name}.{column}" for column in columns)
        rows = side.run(
            f"SELECT {', '.join(f'{own.name}.{c}' for c in columns)} FROM {own.name}, {side.name} "
            f"WHERE {same} LIMIT 5"
        ).fetchall()
        return own.converted(rows, own.keys)

    def _leaves(self, source: str, unit: int) -> bool:
        move = self.moves.get(unit)
        return move is not None and move[0] == source

    def _different(self, source: str, model: Any, rows: Sequence[Row]) -> list[Row]:
        """Return the primary keys of rows that do not equal their copies."""
        table, unit_of = self.own[source, model], self.unit_of[model]
        different = []
        for target in self.targets_of(source):
            mine = {table.key_of(row): row for row in rows if self.moves[unit_of(row)][1] == target}
            side = self.side[target, model]
            copies = {side.key_of(row): row for row in side.having(list(mine))}
            different += [key for key, row in mine.items() if _differ(row, copies.get(key))]
        return different

    def _without_copy(self, source: str, model: Any, keys: Sequence[Row]) -> list[Row]:
        copies: set[Row] = set()
        for target in self.targets_of(source):
            side = self.side[target, model]
            copies.update(side.key_of(row) for row in side.having(keys))
        return [key for key in keys if key not in copies]


def _differ(one: Row, other: Row | None) -> bool:
    return other is None or (one != other and digest(one) != digest(other))
