"""OVER: windows are written where they are used, because no version before 2022 has a WINDOW clause."""

from __future__ import annotations

from typing import Any

import peewee

from .context import MSSQLContext, unsupported
from .kinds import comparable
from .stock import NORMAL, stock

__all__ = ["RANKING", "has_window", "over"]

RANKING = frozenset({"row_number", "rank", "dense_rank", "ntile"})
_OFFSET = frozenset({"lag", "lead", "first_value", "last_value", "percent_rank", "cume_dist"})
#: Functions that give no answer without an order (Msg 4112).
_ORDERED = RANKING | _OFFSET
#: Functions that take no frame (Msg 10752).
_UNFRAMED = RANKING | {"lag", "lead", "percent_rank", "cume_dist"}
_WITHOUT = "Compute it in a subquery with GROUP BY, or in Python."


def has_window(node: Any) -> bool:
    """Whether a node is, or is sorted by, a window function."""
    while isinstance(node, (stock.WrappedNode, stock.Ordering)):
        node = node.node
    if not isinstance(node, stock.NodeList):
        return isinstance(node, peewee.Expression) and (has_window(node.lhs) or has_window(node.rhs))
    return any(isinstance(part, peewee.SQL) and part.sql == "OVER" for part in node.nodes)


def over(ctx: MSSQLContext, function: Any, window: Any) -> Any:
    """Write a function over a window.

    Raises:
        NotSupportedError: the version has no such window.
    """
    if isinstance(window, stock.WindowAlias):
        window = window.window
    if not isinstance(window, stock.Window):
        return ctx.sql(function).literal(" OVER ").sql(window)
    name = (getattr(function, "name", "") or "").lower()
    partition, order, frame = _merged(ctx, window)
    ctx.require(9, "window functions", _WITHOUT)
    if name == "nth_value":
        raise unsupported(ctx, "NTH_VALUE", "Number the rows with ROW_NUMBER() in a subquery and pick one.")
    if name in _OFFSET:
        ctx.require(11, f"{name.upper()}()", _WITHOUT)
    if any(_is_distinct(argument) for argument in getattr(function, "arguments", ())):
        raise unsupported(ctx, "DISTINCT inside a window function", _WITHOUT)
    if name in _UNFRAMED:
        frame = None
    if frame is not None or (order and name not in RANKING):
        ctx.require(11, "an aggregate over a window with ORDER BY or a frame", _WITHOUT)
    if not order and (frame is not None or name in _ORDERED):
        order = (peewee.SQL("(SELECT NULL)"),)
    ctx.sql(function).literal(" OVER (")
    with ctx(scope=NORMAL, in_function=False, in_projection=False):
        _write(ctx, partition, order, frame)
    return ctx.literal(")")


def _is_distinct(node: Any) -> bool:
    return isinstance(node, stock.NodeList) and any(
        isinstance(part, peewee.SQL) and part.sql == "DISTINCT" for part in node.nodes
    )


def _merged(ctx: MSSQLContext, window: Any) -> tuple[Any, Any, str | None]:
    """Return what a window says, together with the one that it extends."""
    partition, order = window.partition_by, window.order_by
    base = window._extends
    if base is not None:
        if not isinstance(base, stock.Window):
            raise unsupported(
                ctx, f"a window that extends {base!r} by its name", "Give extends() the Window object."
            )
        inner_partition, inner_order, _ = _merged(ctx, base)
        partition, order = partition or inner_partition, order or inner_order
    return partition, order, _frame(ctx, window)


def _frame(ctx: MSSQLContext, window: Any) -> str | None:
    kind = window.frame_type or "ROWS"
    if window._exclude is not None:
        raise unsupported(ctx, "EXCLUDE in a window", "Subtract the row's own value.")
    if kind == "GROUPS":
        raise unsupported(ctx, "GROUPS in a window", "Number the groups with DENSE_RANK() in a subquery.")
    bounds = [bound.sql for bound in (window.start, window.end) if bound is not None]
    if not bounds:
        return None if window.frame_type is None else f"{kind} UNBOUNDED PRECEDING"
    if kind == "RANGE" and any(not _is_simple(bound) for bound in bounds):
        raise unsupported(ctx, f"RANGE {' AND '.join(bounds)} in a window", "Use ROWS, or a subquery.")
    return f"{kind} {bounds[0]}" if len(bounds) == 1 else f"{kind} BETWEEN {bounds[0]} AND {bounds[1]}"


def _is_simple(bound: str) -> bool:
    words = bound.upper().split()
    return words[0] == "UNBOUNDED" or words == ["CURRENT", "ROW"]


def _write(ctx: MSSQLContext, partition: Any, order: Any, frame: str | None) -> None:
    if partition:
        ctx.literal("PARTITION BY ")
        for number, node in enumerate(partition):
            ctx.literal(", " if number else "")
            comparable(ctx, node)
    if order:
        ctx.literal(" ORDER BY " if partition else "ORDER BY ")
        for number, node in enumerate(order):
            ctx.literal(", " if number else "")
            ctx.sql(node)
    if frame is not None:
        ctx.literal(f" {frame}")
