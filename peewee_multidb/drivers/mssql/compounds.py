"""UNION, INTERSECT and EXCEPT: only the whole can be sorted and paged, and only by the names of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ctes, paging
from .columns import expanded, names_of, selection
from .context import MSSQLContext, quoted, unsupported, writes
from .ordering import position_of, said_direction, simple_name
from .paging import Page
from .stock import COLUMN, SOURCE, stock

_WHOLE, _PAGE, _MEMBER, _NUMBER = "[_u]", "[_p]", "[_m]", "[_rn]"


@writes(stock.CompoundSelectQuery)
def compound(ctx: MSSQLContext, query: Any) -> Any:
    if ctx.scope == COLUMN:
        return query.apply_column(ctx)
    settings = ctx.state.settings
    named = (ctx.scope == SOURCE and not settings.get("in_projection")) or settings.get("named")
    sorts = ctx.depth == 1 or settings.get("keep_order")
    if query.op in ("INTERSECT", "EXCEPT"):
        ctx.require(9, query.op, "Use EXISTS or NOT EXISTS with a subquery.")
    if query._cte_list:
        ctes.gather(ctx, query._cte_list)
    page = paging.page_of(query)
    with ctx(parentheses=query._subquery_parens(ctx), bare_subquery=False, keep_order=False, named=False):
        if page or (query._order_by and sorts):
            _sorted(ctx, query, page, named)
        else:
            _members(ctx, query, named)
    return query._apply_subquery_alias(ctx)


def _members(ctx: MSSQLContext, query: Any, named: Any) -> None:
    outer_aliases = dict(ctx.alias_manager.mapping)
    _member(ctx, query, query.lhs, named, left=True)
    ctx.literal(f" {query.op} ")
    with ctx.fresh_aliases():
        # As in Peewee: what is correlated finds the aliases outside, and the rest gets fresh ones.
        ctx.alias_manager.mapping.update(outer_aliases)
        _member(ctx, query, query.rhs, False, left=False)


def _member(ctx: MSSQLContext, query: Any, member: Any, named: Any, *, left: bool) -> None:
    pages = bool(paging.page_of(member)) if isinstance(member, stock.SelectBase) else False
    nested = isinstance(member, stock.CompoundSelectQuery)
    wraps = pages and bool(member._order_by or member._offset or nested)
    groups = nested and not wraps and query._needs_group(_unsorted(member), left)
    if wraps:
        ctx.literal("SELECT * FROM (")
    with ctx.scope_normal(
        parentheses=groups,
        subquery=False,
        in_expr=False,
        in_function=False,
        in_projection=False,
        named=wraps or named,
        compared=query.op != "UNION ALL",
    ):
        ctx.sql(member)
    if wraps:
        ctx.literal(f") AS {_MEMBER}")


def _unsorted(member: Any) -> Any:
    """Return a compound without the order that a member cannot have, for the question whether it groups."""
    return member.order_by() if member._order_by else member


def _sorted(ctx: MSSQLContext, query: Any, page: Page, named: Any) -> None:
    names = [simple_name(item) for item in query._order_by or ()]
    simple = None not in names
    major = ctx.version.major
    if simple and not page:
        _members(ctx, query, named)
        _by_name(ctx, query._order_by, names, "")
    elif simple and page.offset != 0 and major >= 11:
        _members(ctx, query, named)
        _by_name(ctx, query._order_by, names, "", default="1")
        paging.clause(ctx, page)
    else:
        _around(ctx, query, page, names)


def _around(ctx: MSSQLContext, query: Any, page: Page, names: Sequence[str | None]) -> None:
    """Write the compound as a derived table, to be sorted and paged outside."""
    major = ctx.version.major
    if any(map(position_of, query._order_by or ())):
        # Outside, in OVER for one, a number is no position.
        known = _names(ctx, query)
        positions = [position_of(item) for item in query._order_by]
        names = [name if at is None else known[at - 1] for at, name in zip(positions, names, strict=True)]
    limit, offset = page
    if offset != 0 and major < 9:
        limit, offset = paging.skip_or_refuse(ctx, page), 0
    numbered = offset != 0 and major < 11
    if numbered:
        columns = [quoted(name) for name in _names(ctx, query)]
        ctx.literal("SELECT " + ", ".join(f"{_PAGE}.{name}" for name in columns) + " FROM (")
    ctx.literal("SELECT ")
    if limit is not None and offset == 0:
        paging.top(ctx, limit)
    if numbered:
        ctx.literal(", ".join(f"{_WHOLE}.{name}" for name in columns) + ", ROW_NUMBER() OVER (")
        _order(ctx, query, names, default="(SELECT NULL)")
        ctx.literal(f") AS {_NUMBER}")
    else:
        ctx.literal("*")
    ctx.literal(" FROM (")
    _members(ctx, query, True)
    ctx.literal(f") AS {_WHOLE}")
    if numbered:
        ctx.literal(f") AS {_PAGE} WHERE ")
        paging.bounds(ctx, page, f"{_PAGE}.{_NUMBER}")
        if ctx.depth == 1:
            ctx.literal(f" ORDER BY {_PAGE}.{_NUMBER}")
        return
    if query._order_by or offset != 0:
        ctx.literal(" ")
        _order(ctx, query, names, default="(SELECT NULL)" if offset != 0 else None)
    if offset != 0:
        paging.clause(ctx, page)


def _order(ctx: MSSQLContext, query: Any, names: Sequence[str | None], *, default: str | None) -> None:
    if None not in names:
        ctx.literal("ORDER BY ") if names or default else None
        _keys(ctx, query._order_by or (), names, f"{_WHOLE}.", default)
        return
    ctx.literal("ORDER BY ")
    with ctx.scope_values():
        for number, item in enumerate(query._order_by):
            ctx.literal(", " if number else "").sql(item)


def _by_name(
    ctx: MSSQLContext, order: Any, names: Sequence[str | None], prefix: str, default: str | None = None
) -> None:
    if not names and default is None:
        return
    ctx.literal(" ORDER BY ")
    _keys(ctx, order or (), names, prefix, default)


def _keys(
    ctx: MSSQLContext, order: Any, names: Sequence[str | None], prefix: str, default: str | None
) -> None:
    written: list[str] = []
    for item, name in zip(order, names, strict=True):
        if name not in written:
            column = name if position_of(item) and not prefix else f"{prefix}{quoted(name or '')}"
            ctx.literal(", " if written else "").literal(f"{column}{said_direction(item)}")
            written.append(name or "")
    if not written and default is not None:
        ctx.literal(default)


def _names(ctx: MSSQLContext, query: Any) -> list[str]:
    while isinstance(query, stock.CompoundSelectQuery):
        query = query.lhs
    if not isinstance(query, stock.Select):
        raise unsupported(ctx, "OFFSET over this compound query", "Select from it, with the columns named.")
    return names_of(expanded(ctx, query, selection(query, operand=False)))
