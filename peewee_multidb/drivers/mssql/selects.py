"""SELECT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ctes, grouping, locks, paging
from .columns import expanded, is_star, name_of, names_of, selection, write_columns
from .context import MSSQLContext, quoted, unsupported, writes
from .kinds import comparable
from .ordering import Part, order_parts, resolved
from .sources import write_sources
from .stock import COLUMN, SOURCE, stock
from .windows import has_window

__all__ = ["write_order"]

_NUMBER, _PAGE, _ROWS = "[_rn]", "[_p]", "[_d]"
_INSIDE = {
    "converter": None,
    "in_expr": False,
    "in_function": False,
    "in_projection": False,
    "bare_subquery": False,
    "subquery": True,
    "named": False,
    "keep_order": False,
    "compared": False,
}


@writes(stock.Select)
def select(ctx: MSSQLContext, query: Any) -> Any:
    if ctx.state.scope == COLUMN:
        return query.apply_column(ctx)
    settings = ctx.state.settings
    source = ctx.state.scope == SOURCE and not settings.get("in_projection")
    named = source or settings.get("named")
    operand = bool(settings.get("subquery")) and not source
    sorts = ctx.depth == 1 or settings.get("keep_order")
    compared = bool(settings.get("compared"))
    outer_lock, outer_renames, outer_query = ctx.lock, ctx.renames, ctx.current
    ctx.current = query
    ctx.lock = None if query._for_update is None else locks.lock_of(ctx, query._for_update)
    with ctx.scope_normal(parentheses=query._subquery_parens(ctx), **_INSIDE):
        if query._cte_list:
            ctes.gather(ctx, query._cte_list)
        _Select(ctx, query, selection(query, operand=operand), named, sorts, compared).write()
    ctx.lock, ctx.renames, ctx.current = outer_lock, outer_renames, outer_query
    return query._apply_subquery_alias(ctx)


class _Select:
    """One SELECT on its way to the context.

    Args:
        ctx: the context.
        query: the Select.
        columns: what it selects.
        named: whether its columns need names of their own.
        sorts: whether it may say ORDER BY without TOP.
        compared: whether its rows are compared with those of another query, as in a UNION.
    """

    def __init__(
        self, ctx: MSSQLContext, query: Any, columns: list[Any], named: Any, sorts: Any, compared: bool
    ) -> None:
        self.ctx, self.query, self.columns = ctx, query, columns
        self.page = paging.page_of(query)
        self.distinct = bool(query._simple_distinct) or query._distinct is not None
        self.compared = compared or self.distinct
        self.names = names_of(columns) if named else None
        self.order = query._order_by if query._order_by and (sorts or self.page) else ()
        self.groups = None if not query._group_by else grouping.groups_of(ctx, query, columns)
        if query._distinct:
            raise unsupported(
                ctx, "DISTINCT ON", "Number the rows of each group with ROW_NUMBER() and take the first."
            )

    def write(self) -> None:
        if self.groups is not None and self.groups.literals:
            with self.ctx(value_literals=True):
                self._write()
        else:
            self._write()

    def _write(self) -> None:
        if self.distinct and self.order and not self._sorts_by_columns():
            self._over_rows()
        elif self.page.offset != 0 and 9 <= self.ctx.version.major < 11:
            self._numbered()
        else:
            self._straight()

    def _straight(self) -> None:
        ctx, page = self.ctx, self.page
        limit, offset = page
        if offset != 0 and ctx.version.major < 9:
            limit, offset = paging.skip_or_refuse(ctx, page), 0
        self._head(None if offset != 0 else limit)
        self._columns(self.names)
        self._tail()
        if self.order or offset != 0:
            parts = order_parts(ctx, self.order, self.columns, by_alias=True)
            if not parts and offset != 0:
                # With DISTINCT only what is selected can be sorted by.
                parts = [(["1" if self.distinct else "(SELECT NULL)"], [])]
            write_order(ctx, parts)
            if offset != 0:
                paging.clause(ctx, page)

    def _head(self, limit: Any) -> None:
        self.ctx._sql.append("SELECT DISTINCT " if self.distinct else "SELECT ")
        if limit is not None:
            paging.top(self.ctx, limit)

    def _columns(self, names: Sequence[str] | None) -> None:
        write_columns(self.ctx, self.columns, names, compared=self.compared)

    def _tail(self) -> None:
        ctx, query = self.ctx, self.query
        if query._from_list:
            ctx._sql.append(" FROM ")
            write_sources(ctx, query._from_list)
        if query._where is not None:
            ctx._sql.append(" WHERE ")
            if ctx.state.settings.get("value_literals"):
                with ctx(value_literals=False):
                    ctx.condition(query._where)
            else:
                ctx.condition(query._where)
        if self.groups is not None:
            self.groups.write(ctx)
        if ctx.whole is query and query._having is None:
            ctx._sql.append(" HAVING COUNT(*) >= 0")
        if query._having is not None:
            ctx._sql.append(" HAVING " if self.groups is None or not self.groups.having else " AND ")
            ctx.condition(query._having)

    # The rows numbered in a derived table

    def _numbered(self) -> None:
        """Write the page by ROW_NUMBER, around a derived table whose columns have names of their own."""
        ctx = self.ctx
        self.columns = expanded(ctx, self.query, self.columns)
        if self.distinct or any(has_window(resolved(item, self.columns)) for item in self.order):
            self._over_rows()
            return
        inner = [f"_c{number}" for number in range(1, len(self.columns) + 1)]
        self._outer_columns(_PAGE, inner)
        ctx.literal(" FROM (SELECT ")
        self._columns(inner)
        parts = order_parts(ctx, self.order, self.columns, by_alias=False)
        self._number(parts)
        self._tail()
        self._close_numbered()

    def _number(self, parts: list[Part]) -> None:
        ctx = self.ctx
        ctx.literal(", ROW_NUMBER() OVER (ORDER BY ")
        _commas(ctx, parts or [(["(SELECT NULL)"], [])])
        ctx.literal(f") AS {_NUMBER}")

    def _close_numbered(self) -> None:
        ctx = self.ctx
        ctx.literal(f") AS {_PAGE} WHERE ")
        paging.bounds(ctx, self.page, f"{_PAGE}.{_NUMBER}")
        if ctx.depth == 1:
            ctx.literal(f" ORDER BY {_PAGE}.{_NUMBER}")

    def _outer_columns(self, table: str, inner: Sequence[str]) -> None:
        """Write the selection from a derived table, under the names that the query's own columns have."""
        ctx = self.ctx
        names = self.names or [name or "" for name in map(name_of, self.columns)]
        ctx.literal("SELECT ")
        for number, (name, column) in enumerate(zip(names, inner, strict=True)):
            ctx.literal(", " if number else "").literal(f"{table}.{quoted(column)}")
            if name:
                ctx.literal(f" AS {quoted(name)}")

    def _over_rows(self) -> None:
        """Write the rows as a derived table, and sort and page them outside.

        DISTINCT must come before the number of a row, and after it only what is selected can be sorted by.
        """
        ctx, page = self.ctx, self.page
        self.columns = expanded(ctx, self.query, self.columns)
        inner = [f"_c{number}" for number in range(1, len(self.columns) + 1)]
        written = ctx.captured(self._rows(inner))
        parts = self._outside(inner)
        if page.offset != 0 and 9 <= ctx.version.major < 11:
            self._outer_columns(_PAGE, inner)
            ctx.literal(" FROM (SELECT ")
            ctx.literal(", ".join(f"{_ROWS}.{quoted(name)}" for name in inner))
            self._number(parts)
            ctx.literal(" FROM (").put(written).literal(f") AS {_ROWS}")
            self._close_numbered()
            return
        limit, offset = page
        if offset != 0 and ctx.version.major < 9:
            limit, offset = paging.skip_or_refuse(ctx, page), 0
        start = len(ctx._sql)
        self._outer_columns(_ROWS, inner)
        if limit is not None and offset == 0:
            head = ctx.captured(lambda: paging.top(ctx, limit))
            ctx._sql[start + 1 : start + 1] = head[0]
            ctx._values.extend(head[1])
        ctx.literal(" FROM (").put(written).literal(f") AS {_ROWS}")
        write_order(ctx, parts or ([(["(SELECT NULL)"], [])] if offset != 0 else []))
        if offset != 0:
            paging.clause(ctx, page)

    def _rows(self, inner: Sequence[str]) -> Any:
        def write() -> None:
            self._head(None)
            self._columns(inner)
            self._tail()

        return write

    def _outside(self, inner: Sequence[str]) -> list[Part]:
        """Return ORDER BY, written with the columns of the derived table."""
        ctx = self.ctx
        renames: dict[str, str] = {}
        whole: list[tuple[Part, str]] = []
        for node, name in zip(self.columns, inner, strict=True):
            plain = node.node if isinstance(node, stock.Alias) else node
            part = ctx.captured(lambda plain=plain: ctx.sql(plain))  # type: ignore[misc]
            renames["".join(part[0])] = f"{_ROWS}.{quoted(name)}"
            whole.append((part, f"{_ROWS}.{quoted(name)}"))
        plain_parts = order_parts(ctx, self.order, self.columns, by_alias=False)
        ctx.renames = _Only(renames, ctx)
        try:
            found: list[Part | None] = []
            for part in plain_parts:
                key = (part[0][:-1], part[1])
                direct = [column for known, column in whole if known == key]
                found.append(([direct[0], part[0][-1]], []) if direct else None)
            if all(part is not None for part in found):
                return [part for part in found if part is not None]
            return order_parts(ctx, self.order, self.columns, by_alias=False)
        finally:
            ctx.renames = None

    def _sorts_by_columns(self) -> bool:
        """Whether all that is sorted by is selected too, which DISTINCT demands (Msg 145)."""
        ctx = self.ctx
        if any(is_star(node) for node in self.columns):
            return True
        selected = []
        for node in self.columns:
            plain = node.node if isinstance(node, stock.Alias) else node
            selected.append(ctx.captured(lambda plain=plain: comparable(ctx, plain)))  # type: ignore[misc]
        parts = order_parts(ctx, self.order, self.columns, by_alias=False)
        return all(not part[1] and (part[0][:-1], part[1]) in selected for part in parts)


class _Only(dict[str, str]):
    """The columns that can be sorted by; any other is an error."""

    def __init__(self, columns: dict[str, str], ctx: MSSQLContext) -> None:
        super().__init__(columns)
        self._ctx = ctx

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            raise unsupported(
                self._ctx,
                f"SELECT DISTINCT ... ORDER BY {key}, which is not selected",
                "Select it too, or group by the columns and sort by MIN() or MAX() of it.",
            )
        return self[key]


def _commas(ctx: MSSQLContext, parts: Sequence[Part]) -> None:
    for number, part in enumerate(parts):
        if number:
            ctx.literal(", ")
        ctx.put(part)


def write_order(ctx: MSSQLContext, parts: Sequence[Part]) -> None:
    """Write ORDER BY, if there is anything to sort by."""
    if parts:
        ctx._sql.append(" ORDER BY ")
        _commas(ctx, parts)
