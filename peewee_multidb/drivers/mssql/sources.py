"""FROM: tables, joins, derived tables, lists of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from .context import MSSQLContext, quoted, unsupported, writes
from .stock import NORMAL, SOURCE, stock

__all__ = ["write_rows", "write_sources"]


def write_sources(ctx: MSSQLContext, sources: Sequence[Any]) -> None:
    """Write the sources of a FROM clause."""
    with ctx.scope_source(parentheses=False):
        for number, source in enumerate(sources):
            if number:
                ctx._sql.append(" CROSS APPLY " if _is_lateral(source) else ", ")
            write_source(ctx, source)


def write_source(ctx: MSSQLContext, source: Any) -> None:
    """Write one source, with the hint of a locking query behind it."""
    if _is_lateral(source):
        ctx.require(9, "LATERAL", "Join a grouped subquery instead.")
        source = source.clone()
        source._lateral = None
    ctx.sql(source)
    if ctx.lock is not None:
        ctx._sql.append(ctx.lock.behind(source))


def _is_lateral(source: Any) -> bool:
    return bool(getattr(source, "_lateral", None)) if isinstance(source, stock.Select) else False


@writes(stock.Join)
def join(ctx: MSSQLContext, node: Any) -> Any:
    write_source(ctx, node.lhs)
    kind, on = node.join_type, node._on
    lateral = _is_lateral(node.rhs) or kind in (stock.JOIN.LATERAL, stock.JOIN.LEFT_LATERAL)
    if kind.startswith("NATURAL"):
        raise unsupported(ctx, kind, "Say on= which columns are equal.")
    if lateral:
        return _apply(ctx, node)
    if on is None and kind != stock.JOIN.CROSS:
        if kind == stock.JOIN.INNER:
            kind = stock.JOIN.CROSS
        else:
            on = True
    ctx._sql.append(f" {kind} ")
    write_source(ctx, node.rhs)
    if on is not None:
        ctx._sql.append(" ON ")
        with ctx(scope=NORMAL):
            ctx.condition(on)
    return ctx


def _apply(ctx: MSSQLContext, node: Any) -> Any:
    """Write a lateral join, which is called APPLY and has no ON."""
    on = node._on
    if isinstance(on, peewee.Value):
        on = on.value
    if on is not None and on is not True:
        raise unsupported(ctx, "LATERAL with ON", "Put the condition into the WHERE of the subquery.")
    ctx.require(9, "LATERAL", "Join a grouped subquery instead.")
    ctx.literal(" OUTER APPLY " if "LEFT" in node.join_type else " CROSS APPLY ")
    write_source(ctx, node.rhs)
    return ctx


@writes(stock.ValuesList)
def values_list(ctx: MSSQLContext, node: Any) -> Any:
    if node._alias:
        ctx.alias_manager[node] = node._alias
    operand = ctx.state.in_expr or ctx.state.in_projection
    if ctx.scope == SOURCE and not operand:
        names = [str(getattr(name, "name", name)) for name in node._columns or ()]
        rows = list(node._values)
        names = names or [f"column{number}" for number in range(1, len(rows[0]) + 1)]
        ctx.literal("(")
        write_rows(ctx, rows, names)
        return ctx.literal(") AS ").literal(quoted(ctx.alias_manager[node])).literal(
            " (" + ", ".join(map(quoted, names)) + ")"
        )
    if ctx.scope in (SOURCE, NORMAL):
        rows = list(node._values)
        names = [f"column{number}" for number in range(1, len(rows[0]) + 1)]
        ctx.literal("(" if operand else "")
        write_rows(ctx, rows, names, plain=True)
        return ctx.literal(")" if operand else "")
    return ctx.literal(quoted(ctx.alias_manager[node]))


def write_rows(ctx: MSSQLContext, rows: Sequence[Any], names: Sequence[str], *, plain: bool = False) -> None:
    """Write rows of values as a table.

    Args:
        ctx: the context.
        rows: sequences of nodes or values.
        names: of the columns.
        plain: whether it must be a SELECT, because VALUES cannot stand there in any version.
    """
    with ctx(in_expr=False, in_function=False, in_projection=False, subquery=True, scope=NORMAL):
        if ctx.version.major >= 10 and not plain:
            ctx.literal("VALUES ")
            for number, row in enumerate(rows):
                ctx.literal(", (" if number else "(")
                _row(ctx, row, None)
                ctx.literal(")")
            return
        for number, row in enumerate(rows):
            ctx.literal(" UNION ALL SELECT " if number else "SELECT ")
            _row(ctx, row, None if number else names)


def _row(ctx: MSSQLContext, row: Any, names: Sequence[str] | None) -> None:
    cells = row.nodes if isinstance(row, stock.NodeList) else row
    for number, cell in enumerate(cells):
        ctx.literal(", " if number else "")
        ctx.sql(cell)
        if names is not None:
            ctx.literal(f" AS {quoted(names[number])}")
