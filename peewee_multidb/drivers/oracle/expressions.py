"""Expressions that Oracle writes in another way, and the difference between values and conditions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import peewee
from peewee import OP, Expression, fn

__all__ = ["as_value", "in_order", "is_boolean", "is_column_definition", "is_condition", "rewritten"]

Ordering: Any = peewee.Ordering

CONDITIONS = frozenset(
    {OP.AND, OP.OR, OP.EQ, OP.LT, OP.LTE, OP.GT, OP.GTE, OP.NE, OP.IN, OP.NOT_IN, OP.IS, OP.IS_NOT}
    | {OP.LIKE, OP.ILIKE, OP.BETWEEN, OP.REGEXP, OP.IREGEXP}
)
LISTS = (list, tuple, set, frozenset, range)
MOST_IN_LIST = 1000
"""ORA-01795; 23ai takes more."""


def is_condition(node: Any) -> bool:
    """Whether an expression is true or false, and not a value."""
    return isinstance(node, Expression) and node.op in CONDITIONS


def is_boolean(node: Any) -> bool:
    """Whether a node is a value that stands for true or false, which Oracle keeps as 1 or 0."""
    if isinstance(node, peewee.FieldAlias):
        node = node.field
    return isinstance(node, peewee.BooleanField)


def as_value(node: Any) -> Any:
    """Return a condition as 1, 0 or NULL, inside whatever wraps it; anything else as it is.

    Before 23ai a condition is no value. Where it is neither true nor false it stays NULL.
    """
    if isinstance(node, peewee.Ordering):
        inner = as_value(node.node)
        return node if inner is node.node else Ordering(inner, node.direction, node.collation, node.nulls)
    if not is_condition(node):
        return node
    return peewee.Case(None, [(node, peewee.SQL("1")), (~node, peewee.SQL("0"))])


def _condition(node: Any) -> Any:
    return Expression(node, OP.EQ, 1) if is_boolean(node) else node


def _is_row(node: Any) -> bool:
    return isinstance(node, peewee.NodeList) and node.parens and node.glue == ", "


def _upper(node: Any) -> Any:
    if isinstance(node, peewee.NodeList):
        # The pattern of contains(): the text, ESCAPE, and the character that escapes.
        return peewee.NodeList((fn.UPPER(node.nodes[0]), *node.nodes[1:]), node.glue, node.parens)
    return fn.UPPER(node)


def rewritten(node: Any, unsupported: Callable[[str, str], Exception]) -> Any:
    """Return what stands for an expression in Oracle, or the expression itself.

    Args:
        node: an Expression.
        unsupported: makes the error for what there is not.

    Raises:
        peewee.NotSupportedError: Oracle has no such operator.
    """
    lhs, op, rhs = node.lhs, node.op, node.rhs
    if op in (OP.AND, OP.OR) and (is_boolean(lhs) or is_boolean(rhs)):
        return Expression(_condition(lhs), op, _condition(rhs), flat=node.flat)
    if op == OP.ILIKE:
        return Expression(fn.UPPER(lhs), OP.LIKE, _upper(rhs), flat=node.flat)
    if op == OP.REGEXP:
        return fn.REGEXP_LIKE(lhs, rhs)
    if op == OP.IREGEXP:
        return fn.REGEXP_LIKE(lhs, rhs, peewee.SQL("'i'"))
    if op == OP.MOD:
        return fn.MOD(lhs, rhs)
    if op == OP.BIN_AND:
        return fn.BITAND(lhs, rhs)
    if op in (OP.BIN_OR, OP.XOR):
        raise unsupported(f"The operator {op}", "Combine BITAND() and additions.")
    if op in (OP.EQ, OP.NE) and _is_row(lhs) and _is_row(rhs):
        pairs = zip(lhs.nodes, rhs.nodes, strict=True)
        parts = [Expression(left, op, right) for left, right in pairs]
        return functools.reduce(operator.and_ if op == OP.EQ else operator.or_, parts)
    if op in (OP.IN, OP.NOT_IN) and isinstance(rhs, LISTS) and len(rhs) > MOST_IN_LIST:
        values = list(rhs)
        chunks = [values[start : start + MOST_IN_LIST] for start in range(0, len(values), MOST_IN_LIST)]
        whole = Expression(lhs, op, chunks[0])
        for part in chunks[1:]:
            whole = Expression(whole, OP.OR if op == OP.IN else OP.AND, Expression(lhs, op, part))
        return whole
    return node


def is_column_definition(node: Any) -> bool:
    """Whether a list of nodes is a column of CREATE TABLE: a name, a type, and what is said about it."""
    nodes = node.nodes
    return (
        len(nodes) > 2
        and isinstance(nodes[0], peewee.Entity)
        and isinstance(nodes[1], peewee.SQL)
        and any(isinstance(one, peewee.SQL) for one in nodes[2:])
    )


def in_order(node: Any) -> Any:
    """Return a column definition with its default in front of its constraints, where Oracle wants it.

    A default from a sequence is left out: the INSERT names the sequence, before 12c too.
    """
    name, kind, *rest = node.nodes
    defaults: list[Any] = []
    others: list[Any] = []
    for one in rest:
        text = str(one.sql).upper() if isinstance(one, peewee.SQL) else ""
        if not text.startswith("DEFAULT NEXTVAL("):
            (defaults if text.startswith("DEFAULT") else others).append(one)
    return peewee.NodeList((name, kind, *defaults, *others), node.glue, node.parens)
