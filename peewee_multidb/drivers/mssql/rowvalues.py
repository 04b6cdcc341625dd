"""Comparisons of several columns at once, which T-SQL writes column by column."""

from __future__ import annotations

from typing import Any

import peewee

from .context import MSSQLContext, quoted, unsupported
from .stock import stock

__all__ = ["comparison", "is_row", "within"]

_ROW = "[_in]"


def is_row(node: Any) -> bool:
    """Whether a node is a tuple of columns."""
    if isinstance(node, stock.CompositeKey):
        return True
    return isinstance(node, stock.NodeList) and node.parens and len(node.nodes) > 1 and node.glue == ", "


def _parts(node: Any) -> list[Any] | None:
    if isinstance(node, stock.CompositeKey):
        return [node.model._meta.fields[name] for name in node.field_names]
    if isinstance(node, stock.NodeList) and is_row(node):
        return [*node.nodes]
    if isinstance(node, peewee.Value) and node.multi:
        return list(node.values or ())
    if isinstance(node, (tuple, list)):
        return list(node)
    return None


def _all_equal(left: list[Any], right: list[Any]) -> Any:
    condition: Any = None
    for one, other in zip(left, right, strict=True):
        pair = peewee.Expression(one, "=", other)
        condition = pair if condition is None else condition & pair
    return condition


def _pairs(ctx: MSSQLContext, lhs: Any, rhs: Any) -> Any:
    left, right = _parts(lhs), _parts(rhs)
    if left is None or right is None or len(left) != len(right):
        raise unsupported(
            ctx, "a comparison of a row of columns with something else", "Compare column by column."
        )
    return _all_equal(left, right)


def comparison(ctx: MSSQLContext, node: Any) -> Any:
    """Write ``(a, b) = (1, 2)`` or its contrary."""
    if node.op not in ("=", "!=", "<>"):
        raise unsupported(ctx, f"{node.op} with a row of columns", "Compare column by column.")
    if node.op != "=":
        ctx.literal("NOT ")
    return ctx.condition(_pairs(ctx, node.lhs, node.rhs))


def within(ctx: MSSQLContext, node: Any, items: list[Any] | None, negative: bool) -> Any:
    """Write ``(a, b) IN ...``.

    Args:
        ctx: the context.
        node: the expression.
        items: the rows; None if they are a query's.
        negative: whether it is NOT IN.
    """
    if items is None:
        return _within_query(ctx, node, negative)
    condition: Any = None
    for item in items:
        pair = _pairs(ctx, node.lhs, item)
        condition = pair if condition is None else condition | pair
    return ctx.literal("NOT " if negative else "").condition(condition)


def _within_query(ctx: MSSQLContext, node: Any, negative: bool) -> Any:
    left = _parts(node.lhs) or []
    names = [f"_{number}" for number in range(1, len(left) + 1)]
    ctx.literal("NOT EXISTS (SELECT 1 FROM (" if negative else "EXISTS (SELECT 1 FROM (")
    with ctx.scope_normal(in_expr=False, in_function=False, subquery=False, converter=None):
        ctx.sql(node.rhs)
    ctx.literal(f") AS {_ROW} (" + ", ".join(map(quoted, names)) + ") WHERE ")
    for number, (column, name) in enumerate(zip(left, names, strict=True)):
        part = ctx.captured(lambda column=column: ctx.sql(column))  # type: ignore[misc]
        there = f"{_ROW}.{quoted(name)}"
        ctx.literal(" AND " if number else "")
        if not negative:
            ctx.literal(f"{there} = ").put(part)
        else:
            # NOT IN holds if every row differs for certain, and a comparison with NULL is never certain.
            ctx.literal(f"({there} = ").put(part).literal(f" OR {there} IS NULL OR ").put(part)
            ctx.literal(" IS NULL)")
    return ctx.literal(")")
