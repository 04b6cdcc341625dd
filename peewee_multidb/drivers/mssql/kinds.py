"""What kind of value a node gives, as far as it can be told: T-SQL converts otherwise than others do."""

from __future__ import annotations

from typing import Any

import peewee

from .context import MSSQLContext
from .stock import SOURCE, VALUES, stock

__all__ = [
    "BOOL",
    "DATE",
    "FLOAT",
    "INT",
    "OTHER",
    "TEXT",
    "as_text",
    "comparable",
    "is_large",
    "kind_of",
    "long_bytes",
    "long_text",
]

TEXT, INT, FLOAT, BOOL, DATE, OTHER = "text", "int", "float", "bool", "date", "other"

_TEXTS = """concat concat_ws left lower lpad ltrim nchar replace replicate reverse right rpad rtrim space
    string_agg group_concat stuff substr substring trim upper char chr"""
_TEXT_FUNCTIONS = frozenset(_TEXTS.split())
_TEXT_TYPES = ("TEXT", "VARCHAR", "NVARCHAR", "CHAR", "NCHAR", "STRING", "NTEXT")
_INT_TYPES = ("INT", "INTEGER", "BIGINT", "SMALLINT", "TINYINT", "SIGNED", "UNSIGNED")
_ARITHMETIC = frozenset("+-*/%&|#^")

_FIELDS: tuple[tuple[type, str], ...] = (
    (peewee.BooleanField, BOOL),
    (peewee.IntegerField, INT),
    (stock._StringField, TEXT),
    (peewee.FloatField, FLOAT),
    (peewee.DateTimeField, DATE),
    (peewee.DateField, DATE),
    (peewee.TimeField, DATE),
)


def kind_of(node: Any) -> str:
    """Return which of the kinds a node or value is; OTHER if it cannot be told."""
    if isinstance(node, str):
        return TEXT
    if isinstance(node, bool):
        return BOOL
    if isinstance(node, int):
        return INT
    if isinstance(node, float):
        return FLOAT
    if isinstance(node, peewee.Field):
        return _kind_of_field(node)
    if isinstance(node, stock.StringExpression):
        return TEXT
    if isinstance(node, peewee.Value):
        return OTHER if node.multi else kind_of(node.value)
    if isinstance(node, stock.Cast):
        base = str(node._cast).split("(")[0].strip().upper()
        return TEXT if base in _TEXT_TYPES else INT if base in _INT_TYPES else OTHER
    if isinstance(node, peewee.Function):
        name = (node.name or "").lower()
        if name in ("coalesce", "ifnull", "isnull", "min", "max", "nullif") and node.arguments:
            return kind_of(node.arguments[0])
        return TEXT if name in _TEXT_FUNCTIONS else OTHER
    if isinstance(node, peewee.Case):
        return kind_of(node.expression_tuples[0][1])
    if isinstance(node, peewee.Expression):
        if node.op == "||":
            return TEXT
        if node.op in _ARITHMETIC:
            sides = {kind_of(node.lhs), kind_of(node.rhs)}
            return sides.pop() if len(sides) == 1 else OTHER
        return OTHER
    if isinstance(node, (stock.Alias, stock.BindTo)):
        return kind_of(node.node)
    return OTHER


def _kind_of_field(field: Any) -> str:
    while isinstance(field, stock.FieldAlias):
        field = field.field
    while isinstance(field, peewee.ForeignKeyField):
        field = field.rel_field
    for kind, name in _FIELDS:
        if isinstance(field, kind):
            return name
    return OTHER


def is_large(ctx: MSSQLContext, node: Any) -> bool:
    """Whether a node is a column of a type that cannot be compared, grouped or sorted (Msg 306)."""
    if isinstance(node, stock.WrappedNode) and not isinstance(node, stock.Cast):
        node = node.unwrap()
    return isinstance(node, peewee.Field) and _field_type(node) in ctx.large


def _field_type(field: Any) -> str:
    while isinstance(field, stock.FieldAlias):
        field = field.field
    return str(field.field_type)


def long_text(ctx: MSSQLContext) -> str:
    """Return the longest text type that can be compared."""
    return "NVARCHAR(4000)" if ctx.version.major < 9 else "NVARCHAR(MAX)"


def long_bytes(ctx: MSSQLContext) -> str:
    """Return the longest binary type that can be compared."""
    return "VARBINARY(8000)" if ctx.version.major < 9 else "VARBINARY(MAX)"


def comparable(ctx: MSSQLContext, node: Any) -> Any:
    """Write a node, as a type that can be compared, in an expression."""
    if not ctx.large or not is_large(ctx, node) or ctx.scope == VALUES:
        return ctx.sql(node)
    field = node.unwrap() if isinstance(node, stock.WrappedNode) else node
    blob = _field_type(field) in ("BLOB", "IMAGE")
    kind = long_bytes(ctx) if blob else long_text(ctx)
    ctx.literal("CAST(").sql(field).literal(f" AS {kind})")
    if isinstance(node, stock.Alias) and ctx.scope == SOURCE:
        ctx.literal(" AS ").sql(stock.Entity(node._alias))
    return ctx


def as_text(ctx: MSSQLContext, node: Any) -> Any:
    """Write a node as text, for a concatenation: T-SQL would convert the text into a number."""
    if is_large(ctx, node):
        return comparable(ctx, node)
    kind = kind_of(node)
    if kind == TEXT:
        return ctx.sql(node)
    if kind == DATE:
        ctx.literal("CONVERT(NVARCHAR(30), ").sql(node)
        return ctx.literal(", 121)")
    ctx.literal("CAST(").sql(node)
    return ctx.literal(f" AS {long_text(ctx)})")
