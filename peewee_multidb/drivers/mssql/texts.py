"""GROUP_CONCAT and STRING_AGG: since 2017 a function, and before that a subquery that is turned into XML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee

from . import kinds, literals
from .context import MSSQLContext, unsupported
from .functions import writes_function
from .ordering import resolved
from .sources import write_sources
from .stock import stock

__all__: list[str] = []

_WITHOUT = "Select the rows and join the texts in Python."


@writes_function("group_concat", "string_agg", "listagg")
def _string_agg(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    first = arguments[0]
    if isinstance(first, stock.NodeList) and len(first.nodes) == 2:
        raise unsupported(ctx, "GROUP_CONCAT(DISTINCT)", "Use it over a subquery with DISTINCT.")
    ctx.require(9, f"{node.name.upper()}()", _WITHOUT)
    separator = arguments[1] if len(arguments) > 1 else ","
    if isinstance(separator, peewee.Value):
        separator = separator.value
    if ctx.version.major < 14:
        return _xml(ctx, node, first, separator)
    ctx.literal("STRING_AGG(")
    _whole(ctx, first)
    ctx.literal(", ")
    with ctx(value_literals=True):
        ctx.sql(separator)
    ctx.literal(")")
    if node._order_by:
        ctx.literal(" WITHIN GROUP (")
        _order(ctx, node._order_by)
        ctx.literal(")")
    return ctx


def _order(ctx: MSSQLContext, order: Any) -> None:
    for number, item in enumerate(order):
        ctx.literal(", " if number else "ORDER BY ").sql(item)


def _xml(ctx: MSSQLContext, node: Any, text: Any, separator: Any) -> Any:
    """Write the texts of a group as a subquery over its rows, whose result is read as one XML text."""
    query = ctx.current
    sources = list(_sources(query._from_list)) if query is not None else []
    groups = [resolved(item, query._returning) for item in query._group_by or ()] if query is not None else []
    plain = all(isinstance(group, (peewee.Field, stock.Column)) for group in groups)
    unknown = not sources or any(source is None for source in sources)
    if unknown or not plain or not isinstance(separator, str):
        raise unsupported(
            ctx, f"{node.name.upper()}() over anything but tables grouped by columns", _WITHOUT
        )
    if not groups:
        ctx.whole = query
    outer = [ctx.captured(lambda group=group: ctx.sql(group)) for group in groups]  # type: ignore[misc]
    ctx.literal("STUFF((SELECT ").literal(literals.text(separator)).literal(" + ")
    mapping = ctx.alias_manager.mapping
    before = dict(mapping)
    for source in sources:
        mapping.pop(source, None)
    with ctx.scope_normal(in_function=False, in_expr=False, value_literals=False):
        _whole(ctx, text)
        ctx.literal(" FROM ")
        write_sources(ctx, query._from_list)
        ctx.literal(" WHERE ")
        if query._where is None:
            ctx.literal("1 = 1")
        else:
            ctx.condition(query._where)
        for group, part in zip(groups, outer, strict=True):
            inner = ctx.captured(lambda group=group: ctx.sql(group))  # type: ignore[misc]
            ctx.literal(" AND (").put(inner).literal(" = ").put(part).literal(" OR (").put(inner)
            ctx.literal(" IS NULL AND ").put(part).literal(" IS NULL))")
        if node._order_by:
            ctx.literal(" ")
            _order(ctx, node._order_by)
    mapping.clear()
    mapping.update(before)
    ctx.literal(" FOR XML PATH(''), TYPE).value('.', 'NVARCHAR(MAX)'), 1, ")
    return ctx.literal(f"{len(separator)}, N'')")


def _sources(sources: Any) -> Iterator[Any]:
    """Yield the tables of a FROM clause as their aliases are kept; None for what cannot be written twice."""
    for source in sources:
        if isinstance(source, stock.Join):
            yield from _sources((source.lhs, source.rhs))
        elif isinstance(source, stock.ModelBase):
            yield source._meta.table
        elif isinstance(source, stock.ModelAlias):
            yield None if source.alias else source
        else:
            yield source if isinstance(source, stock.Table) and not source._alias else None


def _whole(ctx: MSSQLContext, node: Any) -> None:
    """Write the text as the longest type, because the result is of the type of its parts (Msg 9829)."""
    if kinds.kind_of(node) == kinds.DATE:
        kinds.as_text(ctx, node)
        return
    ctx.literal("CAST(").sql(node)
    ctx.literal(" AS NVARCHAR(MAX))")
