"""The ORDER BY of a query over several shards, its LIMIT, and the columns that they speak of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...shards.merging import Tagged
from ..stock import stock
from .nodes import base_field, identifier, plain, signature, walk
from .refusals import refused

__all__ = ["cut", "limits", "selected_position", "window_of"]


def limits(query: Any) -> tuple[int | None, int]:
    """Return LIMIT and OFFSET as numbers.

    Raises:
        ScatterNotSupported: they are something else.
    """
    limit, offset = query._limit, query._offset or 0
    if not (limit is None or isinstance(limit, int)) or not isinstance(offset, int):
        raise refused(query, "LIMIT", "is an expression", "Give a number.")
    return (None if limit is None or limit < 0 else limit), offset


def window_of(query: Any) -> str | None:
    """Return what of a query is a window, or None."""
    if query._windows:
        return "WINDOW"
    for node in walk([*query._returning, *(query._order_by or ())]):
        if isinstance(node, (stock.Window, stock.WindowAlias)):
            return "a window function (OVER)"
    return None


def selected_position(query: Any, node: Any) -> int | None:
    """Return which of the selected columns a node of GROUP BY or ORDER BY speaks of, from 0.

    Raises:
        ScatterNotSupported: it is raw SQL that speaks of none.
    """
    columns = query._returning
    node = plain(node)
    if isinstance(node, stock.SQL):
        text = node.sql.strip()
        if text.isdecimal() and not node.params and 0 < int(text) <= len(columns):
            return int(text) - 1
        name = identifier(node)
        for position, column in enumerate(columns):
            if name is not None and name == _name(column):
                return position
        raise refused(
            query, f"the raw SQL {node.sql!r}", "cannot be looked into", "Use fields and fn instead."
        )
    wanted = signature(node)
    for position, column in enumerate(columns):
        if signature(column) == wanted:
            return position
    return None


def _name(column: Any) -> str | None:
    if isinstance(column, stock.Alias):
        return str(column._alias)
    return str(base_field(column).column_name) if isinstance(column, stock.Field) else None


def cut(batches: Iterator[list[Tagged]], limit: int | None, offset: int) -> Iterator[Sequence[Tagged]]:
    """Return the rows that LIMIT and OFFSET leave, and stop asking for more after them."""
    if limit == 0:
        return
    for batch in batches:
        if offset >= len(batch):
            offset -= len(batch)
            continue
        rows = batch[offset:] if offset else batch
        offset = 0
        if limit is None:
            yield rows
            continue
        if len(rows) >= limit:
            yield rows[:limit]
            return
        limit -= len(rows)
        yield rows
