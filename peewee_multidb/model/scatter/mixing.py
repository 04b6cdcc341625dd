"""What shards of different engines can be asked: what each of them understands alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ..stock import stock
from .locality import conditions_of
from .nodes import Kind, is_distinct, kind_of, walk
from .refusals import refused

__all__ = ["check_mixed", "summing"]

#: Operators that mean the same everywhere, given operands of the same kind.
_SAME = frozenset(
    {"AND", "OR", "=", "!=", "<", "<=", ">", ">=", "IN", "NOT IN", "IS", "IS NOT", "BETWEEN", "+", "-", "*"}
)
_FUNCTIONS = frozenset(
    {"count", "sum", "min", "max", "avg", "abs", "coalesce", "nullif", "distinct", "exists"}
)


def check_mixed(query: Any, comparing: Any) -> None:
    """Refuse what two engines do not do alike.

    Raises:
        ScatterNotSupported: the query has such a thing.
    """
    for clause, part in (
        ("WHERE", query._where),
        ("ON", conditions_of(query)),
        ("GROUP BY", query._group_by),
        ("HAVING", query._having),
        ("ORDER BY", query._order_by),
        ("SELECT", query._returning),
    ):
        for node in walk(list(part) if isinstance(part, (list, tuple)) else part):
            _check(query, clause, node, comparing)


def _check(query: Any, clause: str, node: Any, comparing: Any) -> None:
    if isinstance(node, stock.Expression):
        operator = str(node.op)
        if operator not in _SAME:
            raise refused(query, f"{operator} in {clause}", "is not the same for every engine of the shards")
        if operator not in ("AND", "OR", "IS", "IS NOT") and Kind.TEXT in (
            kind_of(node.lhs),
            kind_of(node.rhs),
        ):
            rule = comparing.rule_of(node, clause)
            if not rule.exact:
                raise refused(query, clause, f"compares text by the collation {rule.name} of one engine")
    elif isinstance(node, stock.Function) and (node.name or "").lower() not in _FUNCTIONS:
        raise refused(query, f"{node.name}() in {clause}", "is not the same for every engine of the shards")


def summing(query: Any, name: str, node: Any, shards: Any) -> Any:
    """Return what makes of a merged aggregate what the first shard's engine would give; None for nothing.

    Raises:
        ScatterNotSupported: the engines do not calculate alike.
    """
    if name in ("count", "min", "max"):
        return None
    argument, first = node.arguments[0], shards.engines[0]
    distinct = is_distinct(node)
    argument = argument if distinct is None else distinct
    kind = kind_of(argument)
    if kind == Kind.FLOAT:
        return lambda value: None if value is None else float(value)
    if kind == Kind.DECIMAL and "sqlite" not in shards.engines and (name, first) != ("avg", "mysql"):
        return None
    if kind != Kind.INT:
        raise refused(
            query, f"{node.name}() of {kind} values", "is not the same for every engine of the shards",
            "Add them up in Python.",
        )  # fmt: skip
    if name == "avg":
        return None
    if first == "sqlite" or (first == "postgresql" and _is_small(argument)):
        return lambda value: None if value is None else int(value)
    return lambda value: None if value is None else Decimal(value)


def _is_small(node: Any) -> bool:
    """Whether PostgreSQL takes the values for INTEGER, whose sums are BIGINT; those of BIGINT are NUMERIC."""
    for one in walk(node):
        if isinstance(one, stock.Field) and str(one.field_type).upper() not in ("INT", "SMALLINT", "AUTO"):
            return False
        if isinstance(one, int) and not -(2**31) <= one < 2**31:
            return False
    return True
