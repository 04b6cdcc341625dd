"""WITH: common table expressions stand in front of the statement, wherever in it Peewee has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .context import MSSQLContext, quoted, unsupported, writes
from .sources import write_rows
from .stock import SOURCE, stock

__all__ = ["gather"]


def gather(ctx: MSSQLContext, expressions: Sequence[Any]) -> None:
    """Note the common table expressions of a query, for the start of the statement.

    Raises:
        NotSupportedError: the version has none, or T-SQL does not allow what they say.
    """
    for node in expressions:
        if ctx.version.major < 9:
            _refuse_recursion(ctx, node)
            continue
        known = ctx.cte_names.get(node._alias)
        if known is None:
            ctx.cte_names[node._alias] = hash(node)
            ctx.ctes.append(ctx.captured(lambda node=node: _write(ctx, node)))  # type: ignore[misc]
        elif known != hash(node):
            raise unsupported(
                ctx, f"two common table expressions with the name {node._alias!r}", "Rename one of them."
            )


def _refuse_recursion(ctx: MSSQLContext, node: Any) -> None:
    if node._recursive:
        ctx.require(9, "a recursive common table expression", "Follow the rows level by level in Python.")


def _write(ctx: MSSQLContext, node: Any) -> None:
    query = node._query
    if isinstance(query, stock.ValuesList):
        _write_values(ctx, node, query)
        return
    if not isinstance(query, stock.SelectBase):
        raise unsupported(
            ctx, "INSERT, UPDATE or DELETE in a WITH clause", "Run it first, with returning() if needed."
        )
    if node._recursive:
        _check_recursive(ctx, query)
        ctx.recursive = True
    with ctx.fresh_aliases():
        ctx.alias_manager[node] = node._alias
        ctx.literal(quoted(node._alias))
        if node._columns:
            ctx.literal(" (" + ", ".join(quoted(column._path[-1]) for column in node._columns) + ")")
        ctx.literal(" AS ")
        _body(ctx, node)


def _write_values(ctx: MSSQLContext, node: Any, values: Any) -> None:
    """Write a list of values as a query: in a WITH clause, VALUES is none."""
    rows = list(values._values)
    names = [column._path[-1] for column in node._columns or ()]
    names = names or [str(getattr(name, "name", name)) for name in values._columns or ()]
    names = names or [f"column{number}" for number in range(1, len(rows[0]) + 1)]
    ctx.literal(f"{quoted(node._alias)} ({', '.join(map(quoted, names))}) AS (")
    with ctx(converter=None, in_expr=False, in_function=False, in_projection=False, value_literals=False):
        write_rows(ctx, rows, names, plain=True)
    ctx.literal(")")


def _body(ctx: MSSQLContext, node: Any) -> None:
    with ctx.scope_normal(
        parentheses=True,
        subquery=False,
        named=not node._columns,
        converter=None,
        in_expr=False,
        in_function=False,
        in_projection=False,
        value_literals=False,
    ):
        ctx.sql(node._query)


def _check_recursive(ctx: MSSQLContext, query: Any) -> None:
    while isinstance(query, stock.CompoundSelectQuery):
        if query.op != "UNION ALL":
            raise unsupported(ctx, f"{query.op} in a recursive common table expression", "Use union_all().")
        step = query.rhs
        if isinstance(step, stock.Select) and (
            step._group_by
            or step._having is not None
            or step._limit is not None
            or step._offset is not None
            or step._simple_distinct
            or step._distinct is not None
        ):
            raise unsupported(
                ctx,
                "GROUP BY, DISTINCT or LIMIT in the step of a recursive common table expression",
                "Apply it to the result.",
            )
        query = query.lhs


@writes(stock.CTE)
def cte(ctx: MSSQLContext, node: Any) -> Any:
    if ctx.scope != SOURCE or ctx.version.major >= 9:
        return ctx.literal(quoted(node._alias))
    # 2000 has no WITH: the query stands where its name would.
    _refuse_recursion(ctx, node)
    columns = ""
    if node._columns:
        columns = " (" + ", ".join(quoted(column._path[-1]) for column in node._columns) + ")"
    with ctx.fresh_aliases():
        _body(ctx, node)
    return ctx.literal(f" AS {quoted(node._alias)}{columns}")
