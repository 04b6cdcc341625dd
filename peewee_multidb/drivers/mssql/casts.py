"""CASE and CAST."""

from __future__ import annotations

from typing import Any

import peewee

from . import dates, kinds
from .context import MSSQLContext, writes
from .kinds import comparable
from .stock import stock

__all__ = ["cast_type"]


@writes(peewee.Case)
def case(ctx: MSSQLContext, node: Any) -> Any:
    with ctx(in_function=False, in_expr=False):
        ctx.literal("CASE ")
        if node.predicate is not None:
            ctx.sql(node.predicate).literal(" ")
        for condition, result in node.expression_tuples:
            ctx.literal("WHEN ")
            if node.predicate is None:
                ctx.condition(condition)
            else:
                ctx.sql(condition)
            ctx.literal(" THEN ")
            with ctx(in_function=True):
                comparable(ctx, result)
            ctx.literal(" ")
        if node.default is not None:
            ctx.literal("ELSE ")
            with ctx(in_function=True):
                comparable(ctx, node.default)
            ctx.literal(" ")
        return ctx.literal("END")


@writes(stock.Cast)
def cast(ctx: MSSQLContext, node: Any) -> Any:
    # The operand comes first: the type of a part of a JSON document is known only after it.
    part = ctx.captured(lambda: ctx.sql(node.node))
    kind = cast_type(ctx, node._cast)
    if kind == "DATE" and ctx.version.major < 10:
        return dates.write_date(ctx, node.node)
    if kind.startswith("NVARCHAR") and kinds.kind_of(node.node) == kinds.DATE:
        ctx.literal(f"CONVERT({kind}, ").put(part)
        return ctx.literal(", 121)")
    return ctx.literal("CAST(").put(part).literal(f" AS {kind})")


def cast_type(ctx: MSSQLContext, name: Any) -> str:
    """Return what T-SQL calls a type; without a length, a text would be cut to 30 characters."""
    text = str(name).strip()
    base, _, rest = text.partition("(")
    key = base.strip().upper()
    if key in ("TEXT", "STRING", "CLOB", "JSON", "JSONB", "NTEXT"):
        return kinds.long_text(ctx)
    if key in ("VARCHAR", "CHAR", "NVARCHAR", "NCHAR", "CHARACTER VARYING", "CHARACTER"):
        return f"NVARCHAR({rest}" if rest else kinds.long_text(ctx)
    if key in ("BLOB", "BYTEA", "BINARY", "VARBINARY") and not rest:
        return kinds.long_bytes(ctx)
    if key in ("DATETIME", "TIMESTAMP", "DATETIME2"):
        return "DATETIME" if ctx.version.major < 10 else "DATETIME2"
    if key == "TIME" and ctx.version.major < 10:
        return "DATETIME"
    return _CASTS.get(key, text.upper())


_CASTS = {
    "INTEGER": "INT",
    "SIGNED": "BIGINT",
    "SIGNED INTEGER": "BIGINT",
    "UNSIGNED": "BIGINT",
    "INT8": "BIGINT",
    "INT4": "INT",
    "INT2": "SMALLINT",
    "DOUBLE": "FLOAT",
    "DOUBLE PRECISION": "FLOAT",
    "REAL": "FLOAT",
    "BOOL": "BIT",
    "BOOLEAN": "BIT",
    "UUID": "UNIQUEIDENTIFIER",
    "NUMERIC": "NUMERIC(38, 10)",
    "DECIMAL": "DECIMAL(38, 10)",
}
