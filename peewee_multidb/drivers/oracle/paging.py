"""LIMIT and OFFSET before 12c: the number of a row, ROWNUM, is known only around the ordered query.

The number must not become a column of the result, so the query around names the columns that it wants.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import peewee

if TYPE_CHECKING:
    from .context import OracleContext

__all__ = ["with_rownum"]

# Its stubs leave out what is used here.
stock: Any = peewee

ROW, PAGE = "page_row", "page"


class Paged(peewee.Node):
    """A query of the rows of another one from one number to another.

    Args:
        inner: the query, ordered, with a name for each of its columns.
        columns: pairs of a column's name inside and outside.
        first: how many rows to leave out, or None.
        count: how many rows to take, or None.
    """

    def __init__(self, inner: Any, columns: list[tuple[str, str]], first: Any, count: Any) -> None:
        self.inner = inner
        self.columns = columns
        self.first = first
        self.count = count

    def __sql__(self, ctx: Any) -> Any:
        is_subquery = bool(ctx.subquery) or ctx.scope == stock.SCOPE_SOURCE
        last = None if self.count is None else self.count + (self.first or 0)
        with ctx.scope_normal(parentheses=is_subquery, subquery=True, in_projection=False, in_expr=False):
            ctx.literal("SELECT ").sql(stock.CommaNodeList([self._column(*pair) for pair in self.columns]))
            ctx.literal(" FROM (SELECT ").sql(stock.Entity(PAGE)).literal(".*, ROWNUM ")
            ctx.sql(stock.Entity(ROW)).literal(" FROM ")
            with ctx.scope_normal(parentheses=True, subquery=False):
                ctx.sql(self.inner)
            ctx.literal(" ").sql(stock.Entity(PAGE))
            if last is not None:
                ctx.literal(" WHERE ROWNUM <= ").value(last, False)
            ctx.literal(")")
            if self.first:
                ctx.literal(" WHERE ").sql(stock.Entity(ROW)).literal(" > ").value(self.first, False)
        return ctx

    @staticmethod
    def _column(inside: str, outside: str) -> Any:
        if inside == outside:
            return stock.Entity(inside)
        return stock.NodeList((stock.Entity(inside), stock.Entity(outside)))


def with_rownum(ctx: OracleContext, query: Any, limit: Any, offset: Any) -> Any:
    """Return what stands for a query with a limit, an offset or both.

    Args:
        ctx: the context that it is written in.
        query: a copy of the query without them; it may be changed.
        limit: how many rows to take, or None.
        offset: how many rows to leave out, or None.

    Raises:
        stock.NotSupportedError: the columns have no names that could be told apart.
    """
    if not isinstance(query, stock.Select) or not all(
        isinstance(n, (int, type(None))) for n in (limit, offset)
    ):
        raise ctx.unsupported("LIMIT on a compound query", "Wrap it: Select((query,), [...]).limit(...).")
    columns: list[tuple[str, str]] = []
    selected: list[Any] = []
    for number, node in enumerate(query._returning, 1):
        if isinstance(node, stock.Alias):
            columns.append((node._alias, node._alias))
            selected.append(node)
            continue
        inside = f"c{number}"
        field = node.field if isinstance(node, stock.FieldAlias) else node
        outside = getattr(field, "column_name", None) or getattr(field, "name", None)
        columns.append((inside, outside if isinstance(outside, str) and outside else inside))
        selected.append(stock.Alias(node, inside))
    inner = copy.copy(query)
    inner._returning = selected
    alias = inner._alias
    inner._alias = None
    paged = Paged(inner, columns, offset, limit)
    return paged if alias is None else _Named(paged, query)


class _Named(peewee.Node):
    """A paged query as a source: with the alias that the query around knows it by."""

    def __init__(self, paged: Paged, query: Any) -> None:
        self.paged = paged
        self.query = query

    def __sql__(self, ctx: Any) -> Any:
        self.paged.__sql__(ctx)
        return self.query._apply_subquery_alias(ctx)
