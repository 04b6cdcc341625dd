"""`RangeShards`: keys from here to there in this shard, from there on in that one."""

from __future__ import annotations

import bisect
import datetime
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import peewee

from ..errors import ConfigurationError, InvalidShardKey
from .maps import FixedMap, ShardMap, require_units
from .rules import Rule, checked_names, key_names

__all__ = ["RangeShards"]

#: What can be ordered, and is ordered by every database as by Python. A datetime is a date to Python only.
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("datetime", (datetime.datetime,)),
    ("date", (datetime.date,)),
    ("number", (int, Decimal)),
    ("str", (str,)),
    ("bytes", (bytes,)),
    ("UUID", (uuid.UUID,)),
)

#: The fields whose values are of each kind.
_FIELDS: dict[str, tuple[type, ...]] = {
    "number": (peewee.IntegerField, peewee.DecimalField),
    "date": (peewee.DateField,),
    "datetime": (peewee.DateTimeField,),
    "str": (peewee.CharField, peewee.TextField),
    "bytes": (peewee.BlobField,),
    "UUID": (peewee.UUIDField, peewee.BinaryUUIDField),
}


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, datetime.datetime):
        return "datetime" if value.tzinfo is None else "aware datetime"
    return next((name for name, types in _KINDS if isinstance(value, types)), None)


class RangeShards(Rule):
    """Give each shard ranges of keys.

    Args:
        ranges: tuples of the lowest key, the key after the highest, and the database name. The lower end is
            in the range and the upper one is not, as in Python's own ranges, so that the next begins where
            one ends: ``(1, 1001, "s1"), (1001, 2001, "s2")``. None is an open end. A shard may have several.
        key: the field that is looked at; ``Meta.shard_key`` says it too.
        gaps: whether ranges may leave keys out between them. Such keys are refused, as those beyond the ends
            are.
        map: a `ShardMap` with the shard of each range in order; the names in the ranges are left out then.

    Keys are numbers (int or Decimal), dates, datetimes without a time zone, UUIDs, bytes or texts, and all
    of one kind. Texts are ordered by code point.

    Raises:
        ConfigurationError: ranges that overlap, leave a gap, are empty or of several kinds, or no name.
    """

    def __init__(
        self,
        *ranges: tuple[Any, ...],
        key: str | Sequence[str] | None = None,
        gaps: bool = False,
        map: ShardMap | None = None,
    ) -> None:
        self.key = key_names(key, "RangeShards")
        if len(self.key) > 1:
            raise ConfigurationError("RangeShards orders by one field; its key cannot have several.")
        if not ranges:
            raise ConfigurationError('RangeShards needs ranges, such as (1, 1001, "shard1").')
        width = 3 if map is None else 2
        for one in ranges:
            if not isinstance(one, (tuple, list)) or len(one) != width:
                what = "(lowest, the one after the highest, name)" if map is None else "(lowest, after)"
                raise ConfigurationError(f"RangeShards: {one!r} is not a range; that is {what}.")
        self.kind = self._one_kind([end for one in ranges for end in one[:2]])
        given = [(one[0], one[1], "" if map is not None else one[2]) for one in ranges]
        if map is None:
            given.sort(key=lambda one: _BEFORE_ALL if one[0] is None else _Place(one[0]))
        self._bounds = [(low, high) for low, high, _ in given]
        self._check_bounds(gaps)
        self._lows = [low for low, _ in self._bounds if low is not None]
        self._is_open_below = self._bounds[0][0] is None
        self.map: ShardMap
        if map is not None:
            require_units(map, len(self._bounds), "RangeShards")
            self.map = map
            return
        owners = [name for _, _, name in given]
        names = checked_names(list(dict.fromkeys(one[2] for one in ranges)), "RangeShards")
        self.map = FixedMap(names, owners)

    @staticmethod
    def _one_kind(ends: list[Any]) -> str:
        kinds = {}
        for end in ends:
            if end is not None:
                kinds[_kind(end)] = end
        if None in kinds:
            raise ConfigurationError(f"RangeShards: {kinds[None]!r} cannot be the end of a range.")
        if "aware datetime" in kinds:
            raise ConfigurationError(
                f"RangeShards: {kinds['aware datetime']!r} has a time zone; columns keep none. Give the ends "
                "as the rows have them, in UTC for instance."
            )
        if len(kinds) > 1:
            raise ConfigurationError(
                f"RangeShards: {' and '.join(repr(end) for end in kinds.values())} are not of one kind."
            )
        if not kinds:
            raise ConfigurationError("RangeShards: every end is open; one range for all keys needs no rule.")
        return str(next(iter(kinds)))

    def _check_bounds(self, gaps: bool) -> None:
        for low, high in self._bounds:
            if low is not None and high is not None and not low < high:
                raise ConfigurationError(f"RangeShards: from {low!r} up to {high!r} there is no key.")
        for (low, high), (low2, high2) in zip(self._bounds, self._bounds[1:], strict=False):
            if high is None or low2 is None or low2 < high:
                raise ConfigurationError(
                    f"RangeShards: the ranges {_text(low, high)} and {_text(low2, high2)} overlap."
                )
            if low2 != high and not gaps:
                raise ConfigurationError(
                    f"RangeShards: between {_text(low, high)} and {_text(low2, high2)} there is a gap; close "
                    "it, or say gaps=True if there are to be no such keys."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The database names of the shards."""
        return self.map.names

    @property
    def bounds(self) -> list[tuple[Any, Any]]:
        """The lowest key of each range and the key after its highest, in order."""
        return list(self._bounds)

    def unit_of(self, key: Any) -> int:
        """Return the number of the range that a key is in, from 0.

        Raises:
            InvalidShardKey: the key has the wrong type, or no range has it.
        """
        found = self._unit(key)
        if found is None:
            raise InvalidShardKey(f"{key!r} is in no range of {self!r}. Add a range that has it.")
        return found

    def shard_of(self, key: Any) -> str:
        """Return the shard whose range has a key.

        Raises:
            InvalidShardKey: the key has the wrong type, or no range has it.
        """
        return self.map.owners[self.unit_of(key)]

    def find(self, key: Any) -> str | None:
        """Return the shard whose range has a key, or None when none has.

        Raises:
            InvalidShardKey: the key has the wrong type.
        """
        unit = self._unit(key)
        return None if unit is None else self.map.owners[unit]

    def shards_between(self, low: Any, high: Any) -> set[str] | None:
        """Return the shards of the ranges that touch those from low to high, both included.

        Args:
            low: the lowest key, or None for an open end.
            high: the highest key, or None for an open end.

        Raises:
            InvalidShardKey: an end has the wrong type.
        """
        for end in (low, high):
            if end is not None:
                self._check(end)
        owners = self.map.owners
        return {
            owners[unit]
            for unit, (first, after) in enumerate(self._bounds)
            if (high is None or first is None or first <= high)
            and (low is None or after is None or low < after)
        }

    def check(self, fields: Sequence[Any]) -> None:
        """Refuse a field whose values are of another kind than the ranges.

        Args:
            fields: the Field objects of the key.

        Raises:
            ConfigurationError: it is of another kind, or there are several.
        """
        if len(fields) != 1:
            raise ConfigurationError(f"{self!r} orders by one field, not by {len(fields)}.")
        field = fields[0]
        known = [kind for kind, types in _FIELDS.items() if isinstance(field, types)]
        if isinstance(field, peewee.TimestampField):
            known = ["datetime"]
        if known and self.kind not in known:
            raise ConfigurationError(
                f"{field.model.__name__}.{field.name} is a {type(field).__name__}, but {self!r} has ranges "
                f"of {self.kind} keys."
            )

    def _unit(self, key: Any) -> int | None:
        self._check(key)
        # The number of ranges whose lower end is not above the key.
        unit = bisect.bisect_right(self._lows, key) - (0 if self._is_open_below else 1)
        if unit < 0:
            return None
        high = self._bounds[unit][1]
        return unit if high is None or key < high else None

    def _check(self, key: Any) -> None:
        if _kind(key) != self.kind:
            raise InvalidShardKey(f"{key!r} is no {self.kind} key, and {self!r} has ranges of these.")

    def __repr__(self) -> str:
        owners = self.map.owners if isinstance(self.map, FixedMap) else ("...",) * len(self._bounds)
        shown = ", ".join(
            f"{_text(*ends)}: {owner}" for ends, owner in zip(self._bounds, owners, strict=False)
        )
        return f"RangeShards({shown})"


class _Place:
    """An end of a range in the order of ranges."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: Any) -> bool:
        return other is not _BEFORE_ALL and bool(self.value < other.value)


class _First:
    def __lt__(self, other: Any) -> bool:
        return other is not self


_BEFORE_ALL: Any = _First()


def _text(low: Any, high: Any) -> str:
    return f"[{'..' if low is None else low}, {'..' if high is None else high})"
