"""LIKE, whose patterns in T-SQL have one special character more, ``[``; and regular expressions."""

from __future__ import annotations

from typing import Any

import peewee
from peewee import Node

from . import kinds
from .context import MSSQLContext
from .parameters import Parameter
from .stock import stock

__all__ = ["like", "regexp"]


def like(ctx: MSSQLContext, node: Any, field: Any) -> Any:
    """Write LIKE, which minds the case, or ILIKE, which does as the column's collation says.

    Args:
        ctx: the context.
        node: the expression.
        field: the field on the left, or None.
    """
    ctx.literal("(")
    strict = node.op.endswith(" LIKE") or node.op == "LIKE"
    with ctx(converter=None, in_expr=True):
        _searched(ctx, node.lhs)
        if strict:
            ctx.literal(f" COLLATE {ctx.database.like_collation}")
        ctx.literal(" NOT LIKE " if node.op.startswith("NOT ") else " LIKE ")
        _pattern(ctx, node.rhs, field)
    return ctx.literal(")")


def _searched(ctx: MSSQLContext, node: Any) -> None:
    if kinds.kind_of(node) == kinds.OTHER and isinstance(node, peewee.Field):
        ctx.sql(node)
    elif isinstance(node, Node) and kinds.kind_of(node) in (kinds.TEXT, kinds.OTHER):
        kinds.comparable(ctx, node)
    else:
        kinds.as_text(ctx, node)


def _pattern(ctx: MSSQLContext, pattern: Any, field: Any) -> None:
    escape = None
    if isinstance(pattern, stock.NodeList) and len(pattern.nodes) == 3:
        # What Peewee makes of contains() and its kin: the pattern, ESCAPE, and the character.
        pattern, _, escape = pattern.nodes
        escape = escape.value
    value, converter = pattern, None if field is None else field.db_value
    if isinstance(value, peewee.Value) and not value.multi:
        converter = None if value.converter is False else value.converter or converter
        value = value.value
    if converter is not None and not isinstance(value, Node):
        value = converter(value)
    if isinstance(value, Parameter):
        ctx.sql(value.holding(_escaped(value.value, escape)))
    elif isinstance(value, Node):
        ctx.literal("REPLACE(")
        kinds.as_text(ctx, value)
        ctx.literal(", ").literal("N'['").literal(", ").literal("N'[[]'").literal(")")
    else:
        ctx.value(_escaped(value, escape), False)


def _escaped(pattern: Any, escape: str | None) -> str:
    """Return a pattern in which what means itself stands in brackets, which needs no ESCAPE.

    Args:
        pattern: as other engines read it, which know ``%`` and ``_`` and no brackets.
        escape: the character behind which one of these means itself.
    """
    out = []
    signs = iter(str(pattern))
    for sign in signs:
        literal = sign == "["
        if sign == escape:
            sign = next(signs, sign)
            literal = sign in "%_["
        out.append(f"[{sign}]" if literal else sign)
    return "".join(out)


def regexp(ctx: MSSQLContext, node: Any) -> Any:
    """Write a match of a regular expression."""
    ctx.require(17, "regular expressions", "Use contains(), startswith() or LIKE, or filter in Python.")
    ctx.literal("REGEXP_LIKE(")
    with ctx(converter=None, in_expr=True):
        kinds.as_text(ctx, node.lhs)
        ctx.literal(", ")
        ctx.sql(node.rhs) if isinstance(node.rhs, Node) else ctx.value(node.rhs, False)
    return ctx.literal(", 'i')" if node.op == "IREGEXP" else ", 'c')")
