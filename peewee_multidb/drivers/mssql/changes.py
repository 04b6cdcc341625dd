"""UPDATE and DELETE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee

from . import ctes, paging
from .conditions import operand
from .context import MSSQLContext, quoted, unsupported, writes
from .ordering import order_parts
from .outputs import Output, output_of, table_of
from .selects import write_order
from .sources import write_sources
from .stock import NORMAL, stock

__all__ = ["assignments", "write_assignments"]

_ROWS, _NUMBER = "_d", "[_rn]"


@writes(stock.Update)
def update(ctx: MSSQLContext, query: Any) -> Any:
    pairs = assignments(ctx, query._update)

    def body(alias: str | None) -> None:
        ctx.literal(" SET ")
        write_assignments(ctx, query, pairs, alias)

    return _change(ctx, query, "UPDATE", "INSERTED", body)


@writes(stock.Delete)
def delete(ctx: MSSQLContext, query: Any) -> Any:
    return _change(ctx, query, "DELETE", "DELETED", lambda alias: None)


def _change(
    ctx: MSSQLContext, query: Any, verb: str, prefix: str, body: Callable[[str | None], None]
) -> Any:
    table = table_of(query)
    page = paging.page_of(query)
    ctx.alias_manager[table] = table.__name__
    output = output_of(ctx, query, prefix)
    batch = output.into or output.counts
    if batch:
        # The count of the change would stand before the rows.
        ctx.literal("SET NOCOUNT ON; ")
        ctx.on_error = "SET NOCOUNT OFF"
        output.declare()
        ctx.start, ctx.first = len(ctx._sql), len(ctx._values)
    with ctx.scope_values(subquery=True):
        if query._cte_list:
            ctes.gather(ctx, query._cte_list)
        if page and (query._order_by or page.offset != 0):
            _some(ctx, query, verb, body, output, page)
        else:
            ctx.literal(f"{verb} ")
            if page:
                ctx.require(9, f"{verb} with a limit but no order", "Give it an order_by().")
                paging.top(ctx, page.limit)
            ctx.literal("FROM " if verb == "DELETE" else "").sql(query.table)
            body(None)
            output.write()
            _from(ctx, query)
            _where(ctx, query)
    if batch:
        ctx.end = len(ctx._sql)
        output.select()
        ctx.literal(f"; {ctx.on_error}")
    return ctx


def _from(ctx: MSSQLContext, query: Any) -> None:
    sources = getattr(query, "_from", None)
    if sources:
        ctx.literal(" FROM ")
        write_sources(ctx, sources)


def _where(ctx: MSSQLContext, query: Any) -> None:
    if query._where is not None:
        ctx.literal(" WHERE ")
        with ctx(scope=NORMAL):
            ctx.condition(query._where)


def _some(
    ctx: MSSQLContext,
    query: Any,
    verb: str,
    body: Callable[[str | None], None],
    output: Output,
    page: paging.Page,
) -> None:
    """Change the first rows of an order: a table expression has them, and changing it changes the table."""
    if getattr(query, "_from", None):
        raise unsupported(ctx, "UPDATE ... FROM with ORDER BY", "Choose the rows by a subquery in where().")
    if ctx.version.major < 9:
        _some_by_key(ctx, query, verb, body, page)
        return
    table = table_of(query)
    part = ctx.captured(lambda: _chosen(ctx, query, page))
    ctx.ctes.append(([f"[{_ROWS}] AS (", *part[0], ")"], part[1]))
    ctx.literal(f"{verb} " + ("FROM " if verb == "DELETE" else "") + f"[{_ROWS}]")
    with ctx.aliased(table, _ROWS):
        body(_ROWS)
    output.write()
    if page.offset != 0:
        ctx.literal(" WHERE ")
        paging.bounds(ctx, page, _NUMBER)


def _chosen(ctx: MSSQLContext, query: Any, page: paging.Page) -> None:
    ctx.literal("SELECT ")
    if page.offset == 0:
        paging.top(ctx, page.limit)
    ctx.literal("*")
    with ctx(scope=NORMAL):
        parts = order_parts(ctx, query._order_by or (), (), by_alias=False)
        if page.offset != 0:
            ctx.literal(", ROW_NUMBER() OVER (")
            write_order(ctx, parts or [(["(SELECT NULL)"], [])])
            ctx.literal(f") AS {_NUMBER}")
        ctx.literal(" FROM ")
        with ctx.scope_values():
            ctx.sql(query.table)
        _where(ctx, query)
        if page.offset == 0:
            write_order(ctx, parts)


def _some_by_key(
    ctx: MSSQLContext, query: Any, verb: str, body: Callable[[str | None], None], page: paging.Page
) -> None:
    """Change the first rows of an order in SQL Server 2000, which finds them by their key."""
    model = getattr(query, "model", None)
    key = None if model is None else model._meta.primary_key
    if not isinstance(key, peewee.Field) or isinstance(key, stock.CompositeKey) or page.offset != 0:
        raise unsupported(
            ctx,
            f"{verb} with ORDER BY of a table without a simple primary key, or with an offset",
            "Select the keys first, and use in_() with them.",
        )
    ctx.literal(f"{verb} " + ("FROM " if verb == "DELETE" else "")).sql(query.table)
    body(None)
    column = quoted(key.column_name)
    ctx.literal(f" WHERE {column} IN (SELECT ")
    paging.top(ctx, page.limit)
    ctx.literal(f"{column} FROM ").sql(query.table)
    _where(ctx, query)
    with ctx(scope=NORMAL):
        write_order(ctx, order_parts(ctx, query._order_by, (), by_alias=False))
    ctx.literal(")")


def assignments(ctx: MSSQLContext, values: Any) -> list[tuple[Any, Any]]:
    """Return the columns that are set and what to, in an order that does not change."""
    pairs = []
    for key, value in sorted(values.items(), key=ctx.column_sort_key):
        if not isinstance(value, peewee.Node):
            value = key.to_value(value) if isinstance(key, peewee.Field) else stock.Value(value, unpack=False)
        elif isinstance(value, peewee.Model) and isinstance(key, peewee.ForeignKeyField):
            value = key.to_value(value)
        pairs.append((key, value))
    return pairs


def write_assignments(ctx: MSSQLContext, query: Any, pairs: Any, alias: str | None = None) -> None:
    """Write ``a = 1, b = c``.

    Args:
        ctx: the context.
        query: the statement.
        pairs: of columns and nodes.
        alias: what the columns on the left are prefixed with, where the target has an alias.
    """
    for number, (key, value) in enumerate(pairs):
        ctx.literal(", " if number else "")
        if isinstance(key, str):
            key = getattr(table_of(query), key)
        with ctx.scope_values():
            ctx.sql(key)
        ctx.literal(" = ")
        with ctx(scope=NORMAL, subquery=True):
            operand(ctx, value)
