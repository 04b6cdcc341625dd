"""What a stored map says at one moment, and how it is written down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CLOSED", "MapState"]

#: In place of the shard of a unit that is closed, while a query is asked what it touches.
CLOSED = "\0closed"


@dataclass(frozen=True, slots=True)
class MapState:
    """What the stored map said at one moment.

    Attributes:
        version: grows with every change.
        names: every shard, those that have nothing yet too.
        owners: the shard of each unit (bucket or range), by its number.
        epochs: how often units came to or left each shard; the shard's own row says the same.
        moving: the units that a rebalance has announced: number to (from, to).
        fresh: shards that have just come, and have no rows of reference models yet.
        keys: what a directory has in place of owners: the digest of each moving key, by its number.
        batch: what is being switched right now, or None.
        lifetime: seconds that a copy counts for.
        expires: the moment, of ``time.monotonic()``, until which this copy counts.
        closed: units that a query which is looked at must not touch; never stored.
    """

    version: int
    names: tuple[str, ...]
    owners: tuple[str, ...]
    epochs: Mapping[str, int]
    moving: Mapping[int, tuple[str, str]]
    batch: Mapping[str, Any] | None
    lifetime: float
    expires: float = 0.0
    fresh: tuple[str, ...] = ()
    keys: Mapping[int, str] = field(default_factory=dict)
    closed: frozenset[int] = frozenset()

    @property
    def counts(self) -> bool:
        """Whether the lease runs."""
        return time.monotonic() < self.expires

    def dump(self) -> str:
        """Return the text that the table keeps."""
        return json.dumps(
            {
                "names": list(self.names),
                "owners": _runs(self.owners),
                "epochs": dict(self.epochs),
                "moving": {str(unit): list(move) for unit, move in self.moving.items()},
                "fresh": list(self.fresh),
                "keys": {str(unit): digest for unit, digest in self.keys.items()},
                "batch": self.batch,
                "lifetime": self.lifetime,
            }
        )

    @classmethod
    def load(cls, version: int, content: str) -> MapState:
        """Return the state that a row of the table says; it has no lease yet."""
        found = json.loads(content)
        return cls(
            version=version,
            names=tuple(found["names"]),
            owners=tuple(name for count, name in found["owners"] for _ in range(count)),
            epochs=found["epochs"],
            moving={int(unit): (move[0], move[1]) for unit, move in found["moving"].items()},
            fresh=tuple(found.get("fresh", ())),
            keys={int(unit): digest for unit, digest in found.get("keys", {}).items()},
            batch=found["batch"],
            lifetime=found["lifetime"],
        )


def _runs(owners: Sequence[str]) -> list[list[Any]]:
    runs: list[list[Any]] = []
    for name in owners:
        if runs and runs[-1][1] == name:
            runs[-1][0] += 1
        else:
            runs.append([1, name])
    return runs
