"""Lists of nodes and values."""

from __future__ import annotations

from typing import Any

import peewee

from .context import MSSQLContext, writes
from .stock import stock
from .windows import over

__all__ = ["node_list", "value"]


@writes(stock.NodeList)
def node_list(ctx: MSSQLContext, node: Any) -> Any:
    nodes = node.nodes
    if not nodes:
        return ctx.literal("()") if node.parens else ctx
    if len(nodes) == 3 and isinstance(nodes[1], peewee.SQL) and nodes[1].sql == "OVER":
        return over(ctx, nodes[0], nodes[2])
    if node.parens:
        ctx.literal("(")
        if len(nodes) == 1 and isinstance(nodes[0], peewee.Expression) and not nodes[0].flat:
            flat = nodes[0].clone()
            flat.flat = True
            nodes = (flat,)
    for number, part in enumerate(nodes):
        if number:
            ctx.literal(node.glue)
        ctx.sql(part)
    return ctx.literal(")") if node.parens else ctx


@writes(peewee.Value)
def value(ctx: MSSQLContext, node: Any) -> Any:
    if not node.multi:
        return ctx.value(node.value, node.converter)
    ctx.literal("(")
    for number, item in enumerate(node.values):
        if number:
            ctx.literal(", ")
        ctx.sql(item)
    return ctx.literal(")")
