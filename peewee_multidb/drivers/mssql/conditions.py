"""Expressions: conditions, which T-SQL takes in WHERE and its kin alone, and values."""

from __future__ import annotations

from typing import Any

import peewee
from peewee import Node

from . import rowvalues
from .context import MSSQLContext, conditions, writes
from .kinds import BOOL, as_text, comparable, kind_of
from .like import like, regexp
from .stock import stock

__all__ = ["expression", "operand"]

_LOGIC = {"AND": " AND ", "OR": " OR "}
_COMPARISONS = {"=": " = ", "!=": " <> ", "<>": " <> ", "<": " < ", "<=": " <= ", ">": " > ", ">=": " >= "}
_OTHERS = frozenset({"IN", "NOT IN", "IS", "IS NOT", "LIKE", "ILIKE", "NOT LIKE", "NOT ILIKE", "BETWEEN",
                     "NOT BETWEEN", "REGEXP", "IREGEXP"})
_CONDITIONS = frozenset({*_LOGIC, *_COMPARISONS, *_OTHERS})
_NEVER_NULL = frozenset({"IS", "IS NOT"})
_ARITHMETIC = {"+": " + ", "-": " - ", "*": " * ", "/": " / ", "%": " % ", "&": " & ", "|": " | ",
               "#": " ^ ", "^": " ^ "}
#: Longer lists are written as literals: a statement takes no more than 2,100 parameters.
_MOST_PARAMETERS_IN = 1000


@writes(peewee.Expression)
def expression(ctx: MSSQLContext, node: Any) -> Any:
    if node.op not in _CONDITIONS:
        return arithmetic(ctx, node)
    return _expected(ctx, node, node.op in _NEVER_NULL)


@writes(stock.Negated)
def negated(ctx: MSSQLContext, node: Any) -> Any:
    return _expected(ctx, node, False)


def _expected(ctx: MSSQLContext, node: Any, never_null: bool) -> Any:
    if ctx.expects_condition():
        return ctx.condition(node)
    return condition_as_value(ctx, node, never_null)


def condition_as_value(ctx: MSSQLContext, node: Any, never_null: bool) -> Any:
    """Write a condition as 1, 0 or, where it is neither true nor false, NULL."""
    part = ctx.captured(lambda: ctx.condition(node))
    ctx.literal("CASE WHEN ").put(part)
    if never_null:
        return ctx.literal(" THEN 1 ELSE 0 END")
    return ctx.literal(" THEN 1 WHEN NOT ").put(part).literal(" THEN 0 END")


@conditions(stock.Negated)
def negated_condition(ctx: MSSQLContext, node: Any) -> Any:
    return ctx.literal("NOT ").condition(node.node)


@conditions(peewee.Field)
def field_condition(ctx: MSSQLContext, node: Any) -> Any:
    ctx.literal("(")
    ctx.sql(node)
    return ctx.literal(" = 1)" if kind_of(node) == BOOL else " <> 0)")


@conditions(peewee.Value)
def value_condition(ctx: MSSQLContext, node: Any) -> Any:
    if node.multi or node.converter:
        return ctx.literal("(").sql(node).literal(" <> 0)")
    return ctx.condition(node.value)


@conditions(stock.NodeList)
def list_condition(ctx: MSSQLContext, node: Any) -> Any:
    words = {part.sql.upper().split(" ")[0] for part in node.nodes if isinstance(part, peewee.SQL)}
    if words & {"OVER", "COLLATE"}:
        return ctx.literal("(").sql(node).literal(" <> 0)")
    if len(node.nodes) == 1:
        return ctx.condition(node.nodes[0])
    return ctx.sql(node)


@conditions(peewee.Expression)
def expression_condition(ctx: MSSQLContext, node: Any) -> Any:
    op = node.op
    word = _LOGIC.get(op)
    if word is not None:
        ctx.literal("(").condition(node.lhs)
        ctx.literal(word).condition(node.rhs)
        return ctx.literal(")")
    word = _COMPARISONS.get(op)
    if word is not None:
        return comparison(ctx, node, word)
    if op in _OTHERS:
        return _WRITERS[op](ctx, node)
    if op in _ARITHMETIC or op == "||":
        ctx.literal("(")
        arithmetic(ctx, node)
        return ctx.literal(" <> 0)")
    return arithmetic(ctx, node)


def _field_of(node: Any) -> Any:
    """Return the field on the left, whose converter is for the values on the right, if there is one."""
    field = node.unwrap() if isinstance(node, stock.WrappedNode) else node
    return field if isinstance(field, peewee.Field) and node._coerce else None


def operand(ctx: MSSQLContext, node: Any, field: Any = None) -> Any:
    """Write one side of an operator.

    Args:
        ctx: the context.
        node: the side, a node or a value.
        field: the field on the other side, whose converter is for values.
    """
    if isinstance(node, (Node, list, tuple, set, frozenset, range)):
        if type(node) in _SIMPLE or isinstance(node, peewee.Field):
            return comparable(ctx, node)
        converter = None if field is None else field.db_value
        with ctx(converter=converter, in_expr=True, is_fk_expr=isinstance(field, peewee.ForeignKeyField)):
            return comparable(ctx, node)
    return ctx.value(node, False if field is None else field.db_value)


#: Nodes with nothing inside that would look at the state.
_SIMPLE = frozenset({stock.Entity, stock.Column})


def comparison(ctx: MSSQLContext, node: Any, word: str) -> Any:
    lhs, rhs = node.lhs, node.rhs
    if rowvalues.is_row(lhs) or rowvalues.is_row(rhs):
        return rowvalues.comparison(ctx, node)
    flat = node.flat
    if not flat:
        ctx._sql.append("(")
    operand(ctx, lhs)
    ctx._sql.append(word)
    operand(ctx, rhs, _field_of(lhs) if isinstance(lhs, Node) else None)
    if not flat:
        ctx._sql.append(")")
    return ctx


def arithmetic(ctx: MSSQLContext, node: Any) -> Any:
    """Write an operator that gives a value."""
    if node.op == "||":
        return concatenation(ctx, node)
    word = _ARITHMETIC.get(node.op)
    if word is None:
        operations = ctx.state.settings.get("operations") or {}
        word = f" {operations.get(node.op, node.op)} "
    if word == " + " and "text" in (kind_of(node.lhs), kind_of(node.rhs)):
        return concatenation(ctx, node)
    if not node.flat:
        ctx.literal("(")
    operand(ctx, node.lhs)
    ctx.literal(word)
    operand(ctx, node.rhs, _field_of(node.lhs) if isinstance(node.lhs, Node) else None)
    return ctx if node.flat else ctx.literal(")")


def concatenation(ctx: MSSQLContext, node: Any) -> Any:
    with ctx(converter=None, in_expr=True):
        if not node.flat:
            ctx.literal("(")
        as_text(ctx, node.lhs)
        ctx.literal(" + ")
        as_text(ctx, node.rhs)
    return ctx if node.flat else ctx.literal(")")


@writes(stock.StringExpression)
def string_expression(ctx: MSSQLContext, node: Any) -> Any:
    return concatenation(ctx, node) if node.op == "||" else expression(ctx, node)


def _in(ctx: MSSQLContext, node: Any) -> Any:
    lhs, rhs = node.lhs, node.rhs
    negative = node.op == "NOT IN"
    if isinstance(rhs, peewee.Value) and rhs.multi:
        items: Any = rhs.values
    elif isinstance(rhs, (list, tuple, set, frozenset, range)):
        items = list(rhs)
    elif isinstance(rhs, stock.NodeList) and not rhs.nodes:
        items = []
    else:
        items = None
    if items is not None and not items:
        return ctx.literal("1 = 1" if negative else "0 = 1")
    if rowvalues.is_row(lhs):
        return rowvalues.within(ctx, node, items, negative)
    field = _field_of(lhs) if isinstance(lhs, Node) else None
    ctx.literal("(")
    operand(ctx, lhs)
    ctx.literal(" NOT IN " if negative else " IN ")
    if items is None:
        operand(ctx, rhs, field)
    elif len(items) > _MOST_PARAMETERS_IN:
        with ctx(value_literals=True):
            _list(ctx, items, field)
    else:
        _list(ctx, items, field)
    return ctx.literal(")")


def _list(ctx: MSSQLContext, items: list[Any], field: Any) -> None:
    ctx.literal("(")
    for number, item in enumerate(items):
        if number:
            ctx.literal(", ")
        operand(ctx, item, field)
    ctx.literal(")")


def _is(ctx: MSSQLContext, node: Any) -> Any:
    lhs, rhs = node.lhs, node.rhs
    negative = node.op == "IS NOT"
    if isinstance(rhs, peewee.Value) and not rhs.multi:
        rhs = rhs.value
    if rhs is None or (isinstance(rhs, peewee.SQL) and rhs.sql.upper() == "NULL"):
        ctx.literal("(")
        # Any column can be asked whether it is NULL, also one that cannot be compared.
        ctx.sql(lhs) if isinstance(lhs, Node) else ctx.value(lhs, False)
        return ctx.literal(" IS NOT NULL)" if negative else " IS NULL)")
    if isinstance(rhs, peewee.SQL):
        ctx.literal("(").sql(lhs)
        return ctx.literal(f" {node.op} ").sql(rhs).literal(")")
    return _null_safe(ctx, lhs, rhs, negative)


def _null_safe(ctx: MSSQLContext, lhs: Any, rhs: Any, negative: bool) -> Any:
    """Write a comparison in which NULL is a value like others."""
    field = _field_of(lhs) if isinstance(lhs, Node) else None
    left = ctx.captured(lambda: operand(ctx, lhs))
    right = ctx.captured(lambda: operand(ctx, rhs, field))
    if ctx.version.major >= 16:
        word = " IS DISTINCT FROM " if negative else " IS NOT DISTINCT FROM "
        return ctx.literal("(").put(left).literal(word).put(right).literal(")")
    if not isinstance(rhs, Node):
        ctx.literal("(").put(left).literal(" <> " if negative else " = ").put(right)
        return ctx.literal(" OR " if negative else " AND ").put(left).literal(
            " IS NULL)" if negative else " IS NOT NULL)")
    ctx.literal("NOT " if negative else "").literal("(CASE WHEN ").put(left).literal(" = ").put(right)
    ctx.literal(" THEN 1 WHEN ").put(left).literal(" IS NULL AND ").put(right)
    return ctx.literal(" IS NULL THEN 1 ELSE 0 END = 1)")


def _between(ctx: MSSQLContext, node: Any) -> Any:
    field = _field_of(node.lhs) if isinstance(node.lhs, Node) else None
    ctx.literal("(")
    operand(ctx, node.lhs)
    ctx.literal(f" {node.op} ")
    if isinstance(node.rhs, stock.NodeList) and len(node.rhs.nodes) == 3:
        operand(ctx, node.rhs.nodes[0], field)
        ctx.literal(" AND ")
        operand(ctx, node.rhs.nodes[2], field)
    else:
        operand(ctx, node.rhs, field)
    return ctx.literal(")")


def _like(ctx: MSSQLContext, node: Any) -> Any:
    return like(ctx, node, _field_of(node.lhs) if isinstance(node.lhs, Node) else None)


_WRITERS = {
    "IN": _in,
    "NOT IN": _in,
    "IS": _is,
    "IS NOT": _is,
    "BETWEEN": _between,
    "NOT BETWEEN": _between,
    "LIKE": _like,
    "ILIKE": _like,
    "NOT LIKE": _like,
    "NOT ILIKE": _like,
    "REGEXP": regexp,
    "IREGEXP": regexp,
}
