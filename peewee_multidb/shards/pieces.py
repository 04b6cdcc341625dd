"""The parts of a Peewee query, as far as finding shards needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from peewee import OP

from .stock import stock

__all__ = [
    "column_of",
    "conjuncts",
    "indivisible",
    "label",
    "membership",
    "model_of",
    "queries",
    "single_column",
]

#: Functions of one row. Any other may be an aggregate.
SCALAR = frozenset(
    {"abs", "ceil", "ceiling", "floor", "round", "mod", "power", "sqrt", "sign", "lower", "upper", "length"}
    | {"char_length", "substr", "substring", "trim", "ltrim", "rtrim", "replace", "coalesce", "ifnull"}
    | {"nullif", "concat", "greatest", "least", "date_part", "date_trunc", "extract", "strftime", "date"}
    | {"time", "datetime", "year", "month", "day", "cast", "instr", "left", "right", "reverse"}
)

_LEAVES = (stock.Field, stock.Column, stock.Table, stock.SQL, stock.Entity, stock.Model)


def model_of(node: Any) -> Any:
    """Return the model of a model, an alias of one or its table; None for anything else."""
    if isinstance(node, type):
        return node if issubclass(node, stock.Model) else None
    if isinstance(node, stock.ModelAlias):
        return node.model
    return getattr(node, "_model", None) if isinstance(node, stock.Table) else None


def label(node: Any) -> str:
    """Return how messages name an item of a FROM clause."""
    if isinstance(node, stock.Join):
        return f"{label(node.lhs)} and {label(node.rhs)}"
    model = model_of(node)
    return model.__name__ if model is not None else "a subquery"


def conjuncts(node: Any) -> Iterator[Any]:
    """Return the parts of a condition that must all hold."""
    if isinstance(node, stock.Expression) and node.op == OP.AND:
        yield from conjuncts(node.lhs)
        yield from conjuncts(node.rhs)
    else:
        yield node


def queries(node: Any) -> Iterator[Any]:
    """Return the queries inside of something that is compiled, the outermost ones."""
    if node is None or isinstance(node, (str, bytes, int, float, type)):
        return
    if isinstance(node, (stock.SelectQuery, stock._WriteQuery)):
        yield node
    elif isinstance(node, (list, tuple, set, frozenset)):
        for one in node:
            yield from queries(one)
    elif isinstance(node, dict):
        for one in node.values():
            yield from queries(one)
    elif isinstance(node, stock.Node) and not isinstance(node, (*_LEAVES, stock.ModelAlias, stock.CTE)):
        for one in vars(node).values():
            yield from queries(one)


def membership(node: Any) -> tuple[Any, Any, bool]:
    """Take ``x IN (query)`` and ``EXISTS (query)`` apart.

    Returns:
        The query, what must be in it, if anything, and whether there must be such a row: not for NOT IN.
        Nothing for other conditions.
    """
    if isinstance(node, stock.Expression) and node.op in (OP.IN, OP.NOT_IN):
        if isinstance(node.rhs, stock.SelectQuery):
            return node.rhs, node.lhs, bool(node.op == OP.IN)
    elif isinstance(node, stock.Function) and (node.name or "").lower() == "exists":
        inner = node.arguments[0] if len(node.arguments) == 1 else None
        return (inner, None, True) if isinstance(inner, stock.SelectQuery) else (None, None, False)
    return None, None, False


def single_column(query: Any) -> Any:
    """Return what a query of one column selects, without its alias; None for more columns."""
    columns: Any = getattr(query, "_returning", None) or ()
    if isinstance(query, stock.CompoundSelectQuery) or len(columns) != 1:
        return None
    return _bare(columns[0])


def column_of(query: Any, columns: Any, name: Any) -> Any:
    """Return what a derived table's column of a name is in the query that makes it.

    Args:
        query: the query.
        columns: the names that a CTE gives to its columns, if it does.
        name: a column's name, or the Field that it has in the query.
    """
    if isinstance(query, stock.CompoundSelectQuery):
        return None
    wanted = name if isinstance(name, str) else name.column_name
    if columns:
        names = [getattr(one, "_path", (one,))[-1] for one in columns]
        return query._returning[names.index(wanted)] if wanted in names else None
    for one in query._returning or ():
        if isinstance(one, stock.Alias):
            if one._alias == wanted:
                return _bare(one)
        elif getattr(one, "column_name", None) == wanted or getattr(one, "name", None) == wanted:
            return one
    return None


def _bare(node: Any) -> Any:
    while isinstance(node, stock.Alias):
        node = node.node
    return node


def indivisible(query: Any, anchors: Callable[[Any], Any], rows: bool = False) -> str | None:
    """Return what of a query inside another cannot be done shard by shard, in words; None if all can.

    Args:
        query: the query.
        anchors: returns something true for a field that decides the shard of its row.
        rows: whether only the rows count, and not how often there is each.
    """
    if isinstance(query, stock.CompoundSelectQuery):
        if query.op != "UNION ALL" or query._limit is not None or query._offset is not None:
            return f"{query.op} in a subquery"
        return indivisible(query.lhs, anchors, rows) or indivisible(query.rhs, anchors, rows)
    if isinstance(query, stock._WriteQuery):
        return None
    if query._limit is not None or query._offset is not None:
        return "LIMIT or OFFSET in a subquery"
    selected = [_bare(one) for one in query._returning or ()]
    keeps_apart = any(anchors(one) for one in selected)
    if (query._distinct is not None or query._simple_distinct) and not (rows or keeps_apart):
        return "DISTINCT in a subquery"
    if query._group_by:
        if not any(anchors(_bare(one)) for one in query._group_by):
            return "GROUP BY in a subquery"
        return None if not any(map(_windows, selected)) else "a window in a subquery"
    if query._having is not None or not all(map(_is_scalar, selected)):
        return "an aggregate in a subquery"
    return None


def _windows(node: Any) -> bool:
    return isinstance(node, stock.NodeList) or (
        isinstance(node, stock.Expression) and (_windows(node.lhs) or _windows(node.rhs))
    )


def _is_scalar(node: Any) -> bool:
    if isinstance(node, (stock.Alias, stock.Cast)):
        return _is_scalar(node.node)
    if isinstance(node, stock.Expression):
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    if isinstance(node, stock.Function):
        return (node.name or "").lower() in SCALAR and all(map(_is_scalar, node.arguments))
    if isinstance(node, stock.Node):
        return isinstance(node, (stock.Field, stock.Column, stock.Value, stock.SelectQuery))
    return True
