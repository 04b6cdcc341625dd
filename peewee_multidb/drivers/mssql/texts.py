"""GROUP_CONCAT and STRING_AGG: since 2017 a function, and before that a subquery that is turned into XML."""

from __future__ import annotations

from typing import Any

import peewee

from . import kinds
from .context import MSSQLContext, unsupported
from .functions import writes_function
from .stock import stock

__all__: list[str] = []

_WITHOUT = "Select the rows and join the texts in Python."


@writes_function("group_concat", "string_agg", "listagg")
def _string_agg(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    first = arguments[0]
    if isinstance(first, stock.NodeList) and len(first.nodes) == 2:
        raise unsupported(ctx, "GROUP_CONCAT(DISTINCT)", "Use it over a subquery with DISTINCT.")
    ctx.require(14, f"{node.name.upper()}()", _WITHOUT)
    ctx.literal("STRING_AGG(")
    _whole(ctx, first)
    ctx.literal(", ")
    separator = arguments[1] if len(arguments) > 1 else ","
    if isinstance(separator, peewee.Value):
        separator = separator.value
    with ctx(value_literals=True):
        ctx.sql(separator)
    ctx.literal(")")
    if node._order_by:
        ctx.literal(" WITHIN GROUP (ORDER BY ")
        for number, item in enumerate(node._order_by):
            ctx.literal(", " if number else "").sql(item)
        ctx.literal(")")
    return ctx


def _whole(ctx: MSSQLContext, node: Any) -> None:
    """Write the text as the longest type, because the result is of the type of its parts (Msg 9829)."""
    if kinds.kind_of(node) == kinds.DATE:
        kinds.as_text(ctx, node)
        return
    ctx.literal("CAST(").sql(node)
    ctx.literal(" AS NVARCHAR(MAX))")
