"""LIMIT and OFFSET, in the four ways that the versions have.

TOP is older than all of them. OFFSET and FETCH came with 2012; 2005 and 2008 number the rows in a derived
table; for 2000 the client drops the first rows, which it can only do for the outermost query.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import peewee
from peewee import Node

from .context import MSSQLContext, unsupported
from .stock import stock

__all__ = ["NO_PAGE", "Page", "bounds", "clause", "page_of", "skip_or_refuse", "top"]


class Page(NamedTuple):
    """Which rows of a result are wanted.

    Attributes:
        limit: how many; None for all. An int, or a node for versions that compute it.
        offset: how many come before; 0 for none.
    """

    limit: Any = None
    offset: Any = 0

    def __bool__(self) -> bool:
        return self.limit is not None or self.offset != 0


NO_PAGE = Page()


def page_of(query: Any) -> Page:
    """Return the rows that a query asks for."""
    if query._limit is None and query._offset is None:
        return NO_PAGE
    limit, offset = _number(query._limit), _number(query._offset) or 0
    if isinstance(limit, int) and limit < 0:
        limit = None  # SQLite's way to say: all
    if isinstance(offset, int) and offset < 0:
        offset = 0
    if limit == 0 and isinstance(limit, int):
        offset = 0
    return Page(limit, offset)


def _number(value: Any) -> Any:
    if isinstance(value, peewee.Value) and not value.multi:
        value = value.value
    if value is None or isinstance(value, Node):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return stock.Value(value)


def top(ctx: MSSQLContext, limit: Any) -> None:
    """Write TOP."""
    if isinstance(limit, int):
        ctx.literal(f"TOP {limit} " if ctx.version.major < 9 else f"TOP ({limit}) ")
        return
    ctx.require(9, "a LIMIT that is computed", "Give a number.")
    ctx.literal("TOP (").sql(limit).literal(") ")


def clause(ctx: MSSQLContext, page: Page) -> None:
    """Write OFFSET and FETCH."""
    ctx.literal(" OFFSET ")
    _amount(ctx, page.offset)
    ctx.literal(" ROWS")
    if page.limit is not None:
        ctx.literal(" FETCH NEXT ")
        _amount(ctx, page.limit)
        ctx.literal(" ROWS ONLY")


def bounds(ctx: MSSQLContext, page: Page, number: str) -> None:
    """Write the condition that a row's number is in the page.

    Args:
        ctx: the context.
        page: the page.
        number: the column of the number, written.
    """
    ctx.literal(f"{number} > ")
    _amount(ctx, page.offset)
    if page.limit is None:
        return
    ctx.literal(f" AND {number} <= ")
    if isinstance(page.limit, int) and isinstance(page.offset, int):
        ctx.literal(str(page.offset + page.limit))
    else:
        ctx.literal("(")
        _amount(ctx, page.offset)
        ctx.literal(" + ")
        _amount(ctx, page.limit)
        ctx.literal(")")


def _amount(ctx: MSSQLContext, amount: Any) -> None:
    if isinstance(amount, int):
        ctx.literal(str(amount))
    else:
        ctx.literal("(").sql(amount).literal(")")


def skip_or_refuse(ctx: MSSQLContext, page: Page) -> Any:
    """Let the client drop the rows before the page, for SQL Server 2000; return how many to ask for.

    Raises:
        NotSupportedError: the query is not the outermost, or its numbers are computed.
    """
    if ctx.depth > 1 or not isinstance(page.offset, int):
        raise unsupported(
            ctx,
            "OFFSET in a subquery, or one that is computed",
            "Fetch the keys of the page first, and use in_() with them.",
        )
    ctx.skip = page.offset
    return None if page.limit is None else page.limit + page.offset
