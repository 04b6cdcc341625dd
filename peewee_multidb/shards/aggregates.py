"""Aggregates over several shards, from what each shard says of its own rows.

COUNT, SUM, MIN and MAX of all rows follow from those of the parts. An average does not follow from
averages; it is made of SUM and COUNT, and typed and rounded as the engine would. For DISTINCT the shards
send the distinct values themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..errors import ScatterNotSupported
from .division import EXACT, divide_mysql, divide_postgresql

__all__ = ["Aggregate", "added"]

Row = Sequence[Any]


@dataclass(frozen=True)
class Aggregate:
    """One aggregate of a query, and where a shard's row has what it is made of.

    Attributes:
        name: ``count``, ``sum``, ``min``, ``max`` or ``avg``.
        engine: of the shards; it decides how an average looks.
        value: position of the shard's own COUNT, SUM, MIN or MAX.
        count: position of the COUNT that an average needs.
        sample: position of the shard's own AVG or SUM, which shows type and digits.
        scale: the decimal places of an average of whole numbers, where no sample can be asked for.
        distinct: position of the value, when only distinct ones count.
        prepare: makes of the value (of `key`, for MIN and MAX) what compares and is equal as in the engine.
        key: position of what MIN and MAX compare, and of what tells distinct values apart.
    """

    name: str
    engine: str
    value: int
    count: int = -1
    sample: int = -1
    scale: int | None = None
    distinct: int = -1
    prepare: Callable[[Any], Any] | None = None
    key: int = -1

    def of(self, rows: Sequence[Row]) -> Any:
        """Return the aggregate over the shards' rows of one group.

        Raises:
            ScatterNotSupported: values cannot be compared with each other.
        """
        if self.distinct >= 0:
            return self._of_distinct(rows)
        if self.name == "count":
            return sum(row[self.value] for row in rows)
        if self.name in ("min", "max"):
            return self._extreme(rows)
        total = added([row[self.value] for row in rows])
        if self.name == "sum":
            return total
        return self._average(total, sum(row[self.count] for row in rows), rows)

    def _extreme(self, rows: Sequence[Row]) -> Any:
        position = self.key if self.key >= 0 else self.value
        known = [row for row in rows if row[self.value] is not None]
        if not known:
            return None
        prepare = self.prepare or _itself
        choose = min if self.name == "min" else max
        try:
            return choose(known, key=lambda row: prepare(row[position]))[self.value]
        except TypeError as error:
            raise ScatterNotSupported(
                f"{self.name.upper()} over values of different types: {error}. Ask each shard with "
                '.using("name of a shard").'
            ) from None

    def _of_distinct(self, rows: Sequence[Row]) -> Any:
        position = self.key if self.key >= 0 else self.distinct
        prepare = self.prepare or _itself
        found = {prepare(row[position]): row[self.distinct] for row in rows if row[self.distinct] is not None}
        if self.name == "count":
            return len(found)
        total = added(list(found.values()))
        samples = [row[self.sample] for row in rows if self.sample >= 0 and row[self.sample] is not None]
        if self.name == "avg":
            return self._average(total, len(found), rows)
        if total is not None and samples and isinstance(samples[0], Decimal):
            return Decimal(total)
        return total

    def _average(self, total: Any, count: int, rows: Sequence[Row]) -> Any:
        if not count or total is None:
            return None
        if isinstance(total, float) or self.engine == "sqlite":
            return float(total) / float(count)
        if self.engine == "postgresql":
            return divide_postgresql(Decimal(total), Decimal(count))
        if self.scale is not None:
            return divide_mysql(Decimal(total), Decimal(count), self.scale)
        samples = [row[self.sample] for row in rows if row[self.sample] is not None]
        if isinstance(samples[0], float):
            return float(total) / count
        return divide_mysql(Decimal(total), Decimal(count), -samples[0].as_tuple().exponent)


def added(values: Sequence[Any]) -> Any:
    """Return the sum of the values but None; None if there are none. Whole and decimal numbers exactly."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if not any(isinstance(value, float) for value in known):
        if all(type(value) is int for value in known):
            return sum(known)
        total = Decimal(0)
        for number, value in enumerate(known):
            total = Decimal(value) if number == 0 else EXACT.add(total, Decimal(value))
        return total
    floats = [float(value) for value in known]
    return math.fsum(floats) if all(map(math.isfinite, floats)) else sum(floats)


def _itself(value: Any) -> Any:
    return value
