"""Parts of dates, truncated dates, and timestamps.

The arithmetic counts whole days and the seconds of one day, because DATEDIFF and DATEADD take an INT, which
holds the seconds until 2038.
"""

from __future__ import annotations

from typing import Any

import peewee

from .context import MSSQLContext, unsupported, writes
from .stock import stock

__all__ = [
    "DatePart",
    "FromTimestamp",
    "ToTimestamp",
    "Truncated",
    "write_date",
    "write_part",
    "write_truncated",
]

_EPOCH = "'19700101'"
_PARTS = {
    "year": "year",
    "quarter": "quarter",
    "month": "month",
    "week": "iso_week",
    "day": "day",
    "doy": "dayofyear",
    "dayofyear": "dayofyear",
    "weekday": "weekday",
    "hour": "hour",
    "minute": "minute",
    "second": "second",
    "millisecond": "millisecond",
}
_TRUNCATIONS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


class DatePart(stock.ColumnBase):  # type: ignore[misc]
    """A part of a date, as a number."""

    def __init__(self, part: str, node: Any) -> None:
        self.part, self.node = part, node


class Truncated(stock.ColumnBase):  # type: ignore[misc]
    """A date with everything smaller than a part taken away."""

    def __init__(self, part: str, node: Any) -> None:
        self.part, self.node = part, node


class ToTimestamp(stock.ColumnBase):  # type: ignore[misc]
    """The seconds from 1970 to a date."""

    def __init__(self, node: Any) -> None:
        self.node = node


class FromTimestamp(stock.ColumnBase):  # type: ignore[misc]
    """The date that is so many seconds after 1970."""

    def __init__(self, node: Any) -> None:
        self.node = node


@writes(DatePart)
def _date_part(ctx: MSSQLContext, node: DatePart) -> Any:
    return write_part(ctx, node.part, node.node)


@writes(Truncated)
def _truncated(ctx: MSSQLContext, node: Truncated) -> Any:
    return write_truncated(ctx, node.part, node.node)


@writes(ToTimestamp)
def _to_timestamp(ctx: MSSQLContext, node: ToTimestamp) -> Any:
    part = ctx.captured(lambda: _sql(ctx, node.node))
    if ctx.version.major >= 13:
        return ctx.literal(f"DATEDIFF_BIG(second, {_EPOCH}, ").put(part).literal(")")
    ctx.literal(f"(CAST(DATEDIFF(day, {_EPOCH}, ").put(part)
    ctx.literal(") AS BIGINT) * 86400 + DATEDIFF(second, DATEADD(day, DATEDIFF(day, 0, ").put(part)
    ctx.literal("), 0), ").put(part)
    return ctx.literal("))")


@writes(FromTimestamp)
def _from_timestamp(ctx: MSSQLContext, node: FromTimestamp) -> Any:
    part = ctx.captured(lambda: _sql(ctx, node.node))
    ctx.literal("DATEADD(second, ").put(part).literal(" % 86400, DATEADD(day, ").put(part)
    return ctx.literal(f" / 86400, {_EPOCH}))")


def _sql(ctx: MSSQLContext, node: Any) -> Any:
    return ctx.sql(node) if isinstance(node, peewee.Node) else ctx.value(node, False)


def write_part(ctx: MSSQLContext, part: str, node: Any) -> Any:
    """Write a part of a date."""
    word = _PARTS.get(part)
    if word is None:
        raise unsupported(ctx, f"the date part {part!r}", f"There are {', '.join(_PARTS)}.")
    if word == "iso_week":
        ctx.require(10, "the ISO week of a date", "Compute it in Python.")
    ctx.literal(f"DATEPART({word}, ")
    return _sql(ctx, node).literal(")")


def write_date(ctx: MSSQLContext, node: Any) -> Any:
    """Write the date of a moment, without its time."""
    if ctx.version.major >= 10:
        ctx.literal("CAST(")
        return _sql(ctx, node).literal(" AS DATE)")
    return write_truncated(ctx, "day", node)


def write_truncated(ctx: MSSQLContext, part: str, node: Any) -> Any:
    """Write a date with everything smaller than a part taken away."""
    if part not in _TRUNCATIONS:
        raise unsupported(ctx, f"truncating to {part!r}", f"There are {', '.join(_TRUNCATIONS)}.")
    if part == "week":
        # Day 0, the first of 1900, was a Monday.
        ctx.literal("DATEADD(day, DATEDIFF(day, 0, ")
        return _sql(ctx, node).literal(") / 7 * 7, 0)")
    # From 1900 the seconds to now would not fit.
    base = "'20000101'" if part == "second" else "0"
    ctx.literal(f"DATEADD({part}, DATEDIFF({part}, {base}, ")
    return _sql(ctx, node).literal(f"), {base})")
