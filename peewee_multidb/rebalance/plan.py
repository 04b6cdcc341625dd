"""What is to move: which units, from where to where, and how many rows that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Move", "Plan", "choose"]

#: More than the ideal share of rows by this factor never moves to new shards.
MOST = 1.15


@dataclass(frozen=True, slots=True)
class Move:
    """One unit that changes shards.

    Attributes:
        unit: the number of the bucket or range.
        source: the shard that has it.
        target: the shard that gets it.
        rows: how many rows there are, of each model by its name.
    """

    unit: int
    source: str
    target: str
    rows: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many rows move, of all models."""
        return sum(self.rows.values())


@dataclass(frozen=True)
class Plan:
    """What a rebalance will do; print it to read it.

    Attributes:
        map: the name of the shard map.
        moves: every unit that changes shards.
        rows: how many rows each shard has now, of all models.
        units: how many units each shard has now.
        names: the shards afterwards.
    """

    map: str
    moves: tuple[Move, ...]
    rows: Mapping[str, int]
    units: Mapping[str, int]
    names: tuple[str, ...]
    models: tuple[str, ...] = field(default=())

    @property
    def moving_rows(self) -> int:
        """How many rows change shards."""
        return sum(move.total for move in self.moves)

    def __str__(self) -> str:
        total = sum(self.rows.values())
        lines = [
            f"Rebalance of {self.map}: {len(self.moves):,} of {sum(self.units.values()):,} units, "
            f"{self.moving_rows:,} of {total:,} rows."
        ]
        ways: dict[tuple[str, str], list[Move]] = {}
        for move in self.moves:
            ways.setdefault((move.source, move.target), []).append(move)
        for (source, target), moves in sorted(ways.items()):
            each = ", ".join(
                f"{sum(move.rows.get(model, 0) for move in moves):,} {model}" for model in self.models
            )
            lines.append(f"  {source} -> {target}: {len(moves):,} units, {each}")
        for name in dict.fromkeys([*self.names, *self.rows]):
            before, after = self.rows.get(name, 0), self._after(name)
            lines.append(f"  {name}: {before:,} rows now, {after:,} afterwards")
        return "\n".join(lines)

    def _after(self, name: str) -> int:
        came = sum(move.total for move in self.moves if move.target == name)
        left = sum(move.total for move in self.moves if move.source == name)
        return self.rows.get(name, 0) + came - left


def choose(
    owners: Sequence[str] | Mapping[int, str],
    rows: Mapping[int, int],
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> dict[int, str]:
    """Return where units have to go so that shards are added and removed evenly.

    New shards get their share, of rows and of units, from those that have more than theirs; what the shards
    that stay have among themselves is left as it is. A shard that is removed gives everything away.

    Args:
        owners: the shard of each unit, by its number.
        rows: how many rows each unit has; one without any may be left out.
        add: the shards that come.
        remove: the shards that go.

    Returns:
        The new shard of each unit that moves.
    """
    new, gone = list(add), set(remove)
    owned = dict(owners if isinstance(owners, Mapping) else enumerate(owners))
    names = [*dict.fromkeys(name for name in owned.values() if name not in gone and name not in new), *new]
    weights = _weights(owned, rows)
    load = dict.fromkeys([*names, *gone], 0.0)
    for unit, name in owned.items():
        load[name] = load.get(name, 0.0) + weights[unit]
    moves: dict[int, str] = {}
    for unit, name in owned.items():
        if name in gone:
            target = min(names, key=lambda one: load[one])
            moves[unit] = target
            load[target] += weights[unit]
    total = sum(weights.values())
    share = total / len(names)
    # A few large units cannot be shared out evenly: the last may stand over by half.
    largest = max(weights.values(), default=0.0)
    budget = sum(rows.values()) / len(names) * len(new) * MOST if new else 0.0
    givers = [name for name in names if name not in new]
    mine: dict[str, list[int]] = {name: [] for name in givers}
    for unit, name in owned.items():
        if name in mine:
            mine[name].append(unit)
    for name in givers:
        # The heavy ones last: they are what overshoots.
        mine[name].sort(key=lambda unit: (-weights[unit], unit), reverse=False)
    all_rows = sum(rows.values())
    units_of = Counter(moves.values())
    rows_of: Counter[str] = Counter()
    for unit, target in moves.items():
        rows_of[target] += rows.get(unit, 0)
    while new and givers:
        target = min(new, key=lambda one: load[one])
        source = max(givers, key=lambda one: load[one])
        fitting = [
            unit
            for unit in mine[source]
            if load[target] + weights[unit] < load[source]
            and load[target] + weights[unit] <= share + largest / 2
            and rows.get(unit, 0) <= budget
        ]
        if not fitting:
            break
        # Where most units are empty a shard would get its fill of those: rows keep in step with units.
        lacks_rows = rows_of[target] * len(owned) < units_of[target] * all_rows
        alike = [unit for unit in fitting if bool(rows.get(unit)) == lacks_rows] or fitting
        unit = alike[len(alike) // 2]
        mine[source].remove(unit)
        moves[unit] = target
        units_of[target] += 1
        rows_of[target] += rows.get(unit, 0)
        budget -= rows.get(unit, 0)
        load[target] += weights[unit]
        load[source] -= weights[unit]
    return moves


def _weights(owners: Mapping[int, str], rows: Mapping[int, int]) -> dict[int, float]:
    """Return the weight of each unit: what rows it has, and what rows it will get as likely as any other."""
    total = sum(rows.values())
    each = 1 / len(owners)
    return {unit: each + (rows.get(unit, 0) / total if total else 0.0) for unit in owners}
