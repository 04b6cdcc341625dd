"""Who owns which unit, and how that is written down: in the map itself, or in a directory of keys.

For buckets and ranges the map has the owner of each. For the keys of a `LookupShards` rule the directory has
it, and the map, which is in the same database, has the digests of those that move. Every change of both is
one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigurationError, RebalanceError
from ..shards.lookup import LookupShards, unit_of_digest
from ..shards.mapstate import MapState
from ..shards.stored import StoredMap

__all__ = ["CHANGED", "DirectoryOwners", "MapOwners", "owners_of"]

CHANGED = "The map has changed since the plan was made: make a new one."

Moves = Mapping[int, tuple[str, str]]


def owners_of(rule: Any) -> MapOwners:
    """Return where the owners of a rule's units are written down."""
    return DirectoryOwners(rule) if isinstance(rule, LookupShards) else MapOwners(rule)


class MapOwners:
    """The owners of buckets or ranges.

    Args:
        rule: the sharding rule, which has a `StoredMap`.
    """

    #: Whether a shard that owns nothing stays one.
    keeps_names = False

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.stored: StoredMap = rule.map

    def all(self, state: MapState) -> dict[int, str]:
        """Return the owner of every unit."""
        return dict(enumerate(state.owners))

    def moving(self, state: MapState) -> dict[int, str]:
        """Return the owner of every unit that is announced to move."""
        return {unit: state.owners[unit] for unit in state.moving}

    def unit(self, key: Any, owners: Mapping[int, str]) -> int:
        """Return the number of a key's unit.

        Args:
            key: the value of the shard key.
            owners: from `all`.

        Raises:
            InvalidShardKey: no unit has it.
        """
        return int(self.rule.unit_of(key))

    def announce(self, state: MapState, moves: Moves) -> MapState:
        """Write a state that says what moves.

        Args:
            state: everything else that it says.
            moves: the units: number to (from, to).

        Raises:
            RebalanceError: one of them is not there any more.
            ShardMoved: the map was changed meanwhile.
        """
        return self.stored.write(replace(state, moving=moves))

    def hand_over(self, state: MapState, units: Sequence[int], target: str) -> MapState:
        """Write a state, and that some units have a new owner.

        Args:
            state: everything else that it says.
            units: their numbers.
            target: the new owner.
        """
        owners = list(state.owners)
        for unit in units:
            owners[unit] = target
        return self.stored.write(replace(state, owners=tuple(owners)))

    def end(self, state: MapState) -> MapState:
        """Write a state in which nothing moves, without the shards that have nothing any more."""
        names = tuple(name for name in state.names if name in state.owners)
        return self.stored.write(replace(state, names=names, moving={}, fresh=()))


class DirectoryOwners(MapOwners):
    """The owners of the keys in a directory.

    Args:
        rule: a `LookupShards` rule that has a `StoredMap`.
    """

    rule: LookupShards
    keeps_names = True

    def all(self, state: MapState) -> dict[int, str]:
        """Return the owner of every key that is in the directory."""
        return {unit_of_digest(digest): shard for digest, shard in self.rule.entries().items()}

    def moving(self, state: MapState) -> dict[int, str]:
        """Return the owner of every key that is announced to move."""
        if not state.moving:
            return {}
        entries = self.rule.entries()
        return {unit: entries[state.keys[unit]] for unit in state.moving}

    def unit(self, key: Any, owners: Mapping[int, str]) -> int:
        """Return the number of a key that is in the directory.

        Raises:
            ConfigurationError: it is not.
        """
        unit = self.rule.unit_of(key)
        if unit not in owners:
            raise ConfigurationError(
                f"{key!r} is not in the directory {self.rule.name!r}, so nothing can move. If rows of "
                f"it are where unknown keys go, put it there first: rule.assign({key!r}, that shard)."
            )
        return unit

    def announce(self, state: MapState, moves: Moves) -> MapState:
        """Write a state that says which keys move; see `MapOwners.announce`."""
        digests = {unit: digest for unit, digest, _ in self._entries(moves)}
        expected = sorted((unit, digests.get(unit), source) for unit, (source, _) in moves.items())

        def compare() -> None:
            # The row of the map is locked, so that nobody changes these entries meanwhile.
            if sorted(self._entries(moves)) != expected:
                raise RebalanceError(CHANGED)

        return self.stored.write(replace(state, moving=moves, keys=digests), compare)

    def _entries(self, moves: Moves) -> list[tuple[int, str, str]]:
        """Return the number, the digest and the shard of the keys that are to move."""
        found = ((unit_of_digest(digest), digest, shard) for digest, shard in self.rule.entries().items())
        return [entry for entry in found if entry[0] in moves]

    def hand_over(self, state: MapState, units: Sequence[int], target: str) -> MapState:
        """Write a state, and in the same transaction into the directory where some keys are."""
        digests = [state.keys[unit] for unit in units]
        return self.stored.write(state, lambda: self.rule.point(digests, target))

    def end(self, state: MapState) -> MapState:
        """Write a state in which nothing moves. Every shard stays one that keys can be put into."""
        return self.stored.write(replace(state, moving={}, keys={}))
