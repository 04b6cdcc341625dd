"""`Rebalance`: moves units of a sharding rule from shard to shard while the application runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import peewee

from ..errors import ConfigurationError, RebalanceError
from ..model.ddl import create_in
from ..shards import fences, pruning
from ..shards.stored import MapState, StoredMap
from . import references
from .checks import check_databases, check_models, check_tables, references_of
from .copying import Copying
from .owners import CHANGED, MapOwners, owners_of
from .plan import Move, Plan, choose
from .progress import Progress, drawn, silent
from .sole import sole
from .switching import Switched, Switching
from .tables import TableOf

__all__ = ["Rebalance", "Report"]

#: No batch has more units than this, however empty they are.
UNITS_AT_ONCE = 256


@dataclass(frozen=True)
class Report:
    """What a rebalance did.

    Attributes:
        batches: what was switched, in this order.
        strays: how many rows are in a shard that their unit has left: somebody wrote without this package.
    """

    batches: tuple[Switched, ...]
    strays: int

    @property
    def rows(self) -> int:
        """How many rows moved, of all models."""
        return sum(count for batch in self.batches for count, _ in batch.rows.values())

    def __str__(self) -> str:
        units = sum(len(batch.units) for batch in self.batches)
        longest = max((batch.closed for batch in self.batches), default=0.0)
        text = (
            f"{self.rows:,} rows of {units:,} units moved in {len(self.batches):,} batches; "
            f"units were closed for {longest:.3f} s at most."
        )
        return f"{text} {self.strays:,} stray rows." if self.strays else text


class Rebalance:
    """Moves rows between the shards of some models that are sharded by one rule with a `StoredMap`.

    A run that was killed is finished by `resume`, or taken back by `abandon` as far as nothing was switched.

    Args:
        models: every model of the rule that has a table.
        chunk: how many rows are copied at a time.
        batch: how many rows are switched at a time; their units take no writes meanwhile.
        patience: seconds that a locked database is tried for.
        drain: seconds for which the shards are watched after the last switch; more than replicas lag.
        progress: True for a bar drawn by rich, or a function as `rebalance.Progress` describes.

    Raises:
        ConfigurationError: the models cannot be moved.
    """

    def __init__(
        self,
        *models: Any,
        chunk: int = 1000,
        batch: int = 1000,
        patience: float = 30.0,
        drain: float = 5.0,
        progress: Progress | bool = False,
    ) -> None:
        self.stored: StoredMap = check_models(models)
        self.models: list[Any] = peewee.sort_models(models)  # type: ignore[attr-defined]
        self.rule: Any = self.models[0]._meta.home.rule
        self._owners: MapOwners = owners_of(self.rule)
        self.chunk = chunk
        self.batch = batch
        self.patience = patience
        self.drain = drain
        self._progress: Progress = (drawn if progress else silent) if isinstance(progress, bool) else progress

    # Planning

    def plan(
        self, *, add: Iterable[str] = (), remove: Iterable[str] = (), move: Mapping[Any, str] | None = None
    ) -> Plan:
        """Return what would move; nothing is changed.

        Args:
            add: database names of new shards, each of which gets its share.
            remove: shards that give everything away. Of a directory, they can be given new keys all the same.
            move: keys whose unit is to go to the shard of that name, with every other key of the unit; a key
                of a directory goes alone.

        Raises:
            ConfigurationError: one is added that is there or removed that is not, or none is left; or a key
                is not in the directory.
        """
        add, remove = tuple(add), tuple(remove)
        state = self.stored.refresh()
        check_databases(self.stored, (*state.names, *add))
        owners = self._owners.all(state)
        owning = set(owners.values())
        for name in add:
            if name in owning:
                raise ConfigurationError(f"{name!r} is a shard already; add= takes new ones.")
        for name in remove:
            if name not in state.names:
                raise ConfigurationError(
                    f"{name!r} is no shard of {self.stored.name!r}; remove= takes those."
                )
        if remove and not {*owning, *add} - set(remove):
            raise ConfigurationError("remove= leaves no shard at all.")
        counts = self._count(state, owners)
        totals = {unit: sum(rows.values()) for unit, rows in counts.items()}
        wanted = choose(owners, totals, add=add, remove=remove) if (add or remove) and owners else {}
        for key, name in (move or {}).items():
            if name not in (*state.names, *add):
                raise ConfigurationError(f"{name!r} is no shard of {self.stored.name!r}; add= it first.")
            value = pruning.key_value(self.models[0]._meta.home, key)
            wanted[self._owners.unit(value, owners)] = name
        moves = [
            Move(unit, owners[unit], name, counts.get(unit, {}))
            for unit, name in sorted(wanted.items())
            if owners[unit] != name
        ]
        rows, units = dict.fromkeys(state.names, 0), dict.fromkeys(state.names, 0)
        for unit, name in owners.items():
            rows[name] += totals.get(unit, 0)
            units[name] += 1
        names = tuple(name for name in (*state.names, *add) if name not in remove)
        return Plan(
            self.stored.name, tuple(moves), rows, units, names, tuple(model.__name__ for model in self.models)
        )

    def _count(self, state: MapState, owners: Mapping[int, str]) -> dict[int, dict[str, int]]:
        """Return how many rows each unit has, of each model by its name."""
        counts: dict[int, dict[str, int]] = {}
        for name in state.names:
            for model in self.models:
                table = TableOf(self.stored.shard(name), model)
                home = model._meta.home
                fields = [model._meta.fields[field] for field in home.shard_key]
                with self._progress(f"count {model.__name__} in {name}", table.count()) as advance:
                    for key in table.each(10 * self.chunk, fields):
                        unit = self.rule.unit_of(key[0] if len(key) == 1 else key)
                        if owners.get(unit) == name:
                            of = counts.setdefault(unit, {})
                            of[model.__name__] = of.get(model.__name__, 0) + 1
                        advance(1)
        return counts

    # Running

    @property
    def pending(self) -> Mapping[int, tuple[str, str]]:
        """The units of an unfinished run that have not been switched: number to (from, to)."""
        state = self.stored.refresh()
        owners = self._owners.moving(state)
        return {unit: move for unit, move in state.moving.items() if owners[unit] != move[1]}

    def run(self, plan: Plan, *, dry_run: bool = False) -> Report:
        """Move what the plan says.

        Args:
            plan: from `plan`.
            dry_run: only check whether it can be done.

        Raises:
            RebalanceError: another run is unfinished or under way; or it cannot go on, see the message.
        """
        with sole(self.stored):
            state = self.stored.refresh()
            if state.moving or state.fresh:
                raise RebalanceError(
                    f"A rebalance of {self.stored.name!r} is unfinished: resume() or abandon() it first."
                )
            owners = self._owners.all(state)
            if any(owners.get(move.unit) != move.source for move in plan.moves):
                raise RebalanceError(CHANGED)
            names = (*state.names, *(name for name in plan.names if name not in state.names))
            check_databases(self.stored, names)
            check_tables(self.stored, self.models, sorted({move.source for move in plan.moves}))
            new = [name for name in names if name not in state.names]
            # New keys can be put into a shard of a directory that none moves to.
            if dry_run or not (plan.moves or (new and self._owners.keeps_names)):
                return Report((), 0)
            for name in new:
                fences.create(self.stored.shard(name), name, self.stored.name)
                for model in (*references_of(self.rule), *self.models):
                    create_in(model, name)
            moving = {move.unit: (move.source, move.target) for move in plan.moves}
            epochs = {**dict.fromkeys(new, 0), **state.epochs}
            state = replace(state, names=names, epochs=epochs, fresh=tuple(new))
            return self._go_on(self._owners.announce(state, moving))

    def resume(self) -> Report:
        """Finish a run that was killed or that failed; does nothing when there is none.

        Raises:
            RebalanceError: it is under way in another process; or it cannot go on, see the message.
        """
        with sole(self.stored):
            state = self.stored.refresh()
            check_databases(self.stored, state.names)
            return self._go_on(state) if state.moving or state.fresh else Report((), 0)

    def abandon(self) -> None:
        """Give up an unfinished run: units that were switched stay where they are, the others too.

        Raises:
            RebalanceError: it is under way in another process.
        """
        with sole(self.stored):
            state = self.stored.refresh()
            check_databases(self.stored, state.names)
            if state.moving or state.fresh:
                copying = self._copying(state)
                copying.prepare()
                Switching(self._owners, copying, self.patience).recover(state)
                if self._owners.keeps_names:
                    self._fill(time.monotonic() + 1.1 * state.lifetime)
                self._end(copying)

    def _copying(self, state: MapState) -> Copying:
        return Copying(self.stored, self.models, state.moving, self.chunk, self.patience)

    def _go_on(self, state: MapState) -> Report:
        # Whoever has an older copy of the map learns of the move before anything is switched.
        announced = time.monotonic() + 1.1 * state.lifetime
        copying = self._copying(state)
        copying.prepare()
        switching = Switching(self._owners, copying, self.patience)
        switching.recover(state)
        batches = []
        if self.pending or state.fresh:
            self._copy(copying)
            self._fill(announced)
            batches = self._switch(copying, switching)
        strays = self._strays(copying)
        self._end(copying)
        return Report(tuple(batches), strays)

    def _fill(self, announced: float) -> None:
        """Wait until everybody writes reference models to new shards, too, and copy the rows that these lack.

        Args:
            announced: the moment, of ``time.monotonic()``, from which everybody does.
        """
        time.sleep(max(0.0, announced - time.monotonic()))
        state = self.stored.refresh()
        if state.fresh:
            references.copy(self.stored, list(references_of(self.rule)), state, self.patience, self.chunk)
            self.stored.write(replace(self.stored.refresh(), fresh=()))

    def _copy(self, copying: Copying) -> None:
        for stage, work in (("copy", copying.copy), ("compare", copying.compare)):
            for source in copying.sources:
                for model in copying.models:
                    total = copying.own[source, model].count()
                    with self._progress(f"{stage} {model.__name__} from {source}", total) as advance:
                        work(source, model, advance)
        for target in copying.targets:
            for model in copying.models:
                same = copying.collisions(target, model)
                if same:
                    raise RebalanceError(
                        f"{model.__name__}: rows with the primary keys {', '.join(map(repr, same))} are to "
                        f"move to {target!r}, which has other rows with these. Two shards gave the same "
                        "numbers; ids that are unique everywhere are needed. abandon() takes back the rest."
                    )

    def _switch(self, copying: Copying, switching: Switching) -> list[Switched]:
        rows: dict[int, int] = {}
        for side in copying.side.values():
            for unit, count in side.rows_by_unit().items():
                rows[unit] = rows.get(unit, 0) + count
        ways: dict[tuple[str, str], list[int]] = {}
        for unit, (source, target) in sorted(self.pending.items()):
            ways.setdefault((source, target), []).append(unit)
        done = []
        with self._progress("switch", sum(rows.values())) as advance:
            for (source, target), units in ways.items():
                for some in _batches(units, rows, self.batch):
                    done.append(switching.switch(source, target, some))
                    advance(sum(rows.get(unit, 0) for unit in some))
        return done

    def _strays(self, copying: Copying) -> int:
        """Return how many rows are in a shard that their unit has left."""
        owners, strays = self._owners.all(self.stored.refresh()), 0
        for source in copying.sources:
            for model in copying.models:
                table, unit_of = copying.own[source, model], self.rule.unit_of
                fields = [model._meta.fields[field] for field in model._meta.home.shard_key]
                for key in table.each(10 * self.chunk, fields):
                    strays += owners.get(unit_of(key[0] if len(key) == 1 else key), source) != source
        return strays

    def _end(self, copying: Copying) -> None:
        copying.clean_up()
        state = self.stored.refresh()
        # Copies of the map that know of nothing but the new owners, and replicas, have until then.
        time.sleep(max(self.drain, 1.1 * state.lifetime))
        self._owners.end(self.stored.refresh())


def _batches(units: Sequence[int], rows: Mapping[int, int], most: int) -> list[list[int]]:
    """Return units in groups that have so many rows together, if not one of them has more alone."""
    groups: list[list[int]] = []
    filled = 0
    for unit in units:
        count = rows.get(unit, 0)
        if not groups or filled + count > most or len(groups[-1]) == UNITS_AT_ONCE:
            groups.append([])
            filled = 0
        groups[-1].append(unit)
        filled += count
    return groups
