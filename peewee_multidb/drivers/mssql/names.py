"""Names: tables, columns, aliases, quoted in brackets."""

from __future__ import annotations

from typing import Any

import peewee

from .context import MSSQLContext, conditions, quoted, writes
from .stock import COLUMN, SOURCE, VALUES, stock

__all__ = ["column_text"]

#: How the rows that a statement wrote are called in its OUTPUT clause.
_OUTPUT = frozenset({"INSERTED", "DELETED"})


def column_text(ctx: MSSQLContext, source: Any, alias: str | None, name: str) -> str:
    """Return a column with the alias of its source.

    Args:
        ctx: the context, for the aliases.
        source: a Table or ModelAlias.
        alias: what the user calls it, or None.
        name: the column.
    """
    manager = ctx.alias_manager
    if alias:
        manager[source] = alias
    else:
        alias = manager.get(source)
    if alias in _OUTPUT:
        return f"{alias}.{quoted(name)}"
    text = f"{quoted(alias)}.{quoted(name)}"
    renames = ctx.renames
    return text if renames is None else renames.get(text, text)


@writes(peewee.Field)
def field(ctx: MSSQLContext, node: Any) -> Any:
    if ctx.state.scope == VALUES:
        ctx._sql.append(quoted(node.column_name))
        return ctx
    table = node.model._meta.table
    ctx._sql.append(column_text(ctx, table, table._alias, node.column_name))
    return ctx


@writes(stock.FieldAlias)
def field_alias(ctx: MSSQLContext, node: Any) -> Any:
    name = node.field.column_name
    if ctx.state.scope == VALUES:
        ctx._sql.append(quoted(name))
        return ctx
    source = node.source
    ctx._sql.append(column_text(ctx, source, source.alias, name))
    return ctx


@writes(peewee.Column)
def column(ctx: MSSQLContext, node: Any) -> Any:
    if ctx.state.scope == VALUES:
        return ctx.literal(quoted(node.name))
    source = node.source
    if isinstance(source, stock.Table):
        return ctx.literal(column_text(ctx, source, source._alias, node.name))
    start = len(ctx._sql)
    with ctx.scope_column():
        ctx.sql(source).literal(".").literal(quoted(node.name))
    if ctx.renames is not None:
        text = "".join(ctx._sql[start:])
        if text in ctx.renames:
            ctx._sql[start:] = [ctx.renames[text]]
    return ctx


@writes(peewee.Entity)
def entity(ctx: MSSQLContext, node: Any) -> Any:
    return ctx.literal(".".join([quoted(part) for part in node._path]))


@writes(peewee.Alias)
def alias(ctx: MSSQLContext, node: Any) -> Any:
    if ctx.scope == SOURCE:
        return ctx.sql(node.node).literal(" AS ").literal(quoted(node._alias))
    if ctx.scope == VALUES:
        return ctx.literal(quoted(node._alias))
    # Only ORDER BY knows the names of selected columns, and it asks for the name itself.
    return ctx.sql(node.node)


@conditions(peewee.Alias)
def alias_condition(ctx: MSSQLContext, node: Any) -> Any:
    return ctx.condition(node.node)


@writes(peewee.SQL)
def raw(ctx: MSSQLContext, node: Any) -> Any:
    ctx.literal(node.sql)
    for param in node.params or ():
        ctx.value(param, False, add_param=False)
    return ctx


@conditions(peewee.SQL)
def raw_condition(ctx: MSSQLContext, node: Any) -> Any:
    return raw(ctx, node)


@writes(stock.NamespaceAttribute)
def namespace_attribute(ctx: MSSQLContext, node: Any) -> Any:
    name = node._attribute
    if not isinstance(name, str):
        name = name.column_name
    return ctx.literal(f"{node._namespace._name}.{quoted(name)}")


@writes(stock.CompositeKey)
def composite_key(ctx: MSSQLContext, node: Any) -> Any:
    fields = [node.model._meta.fields[name] for name in node.field_names]
    return ctx.sql(stock.NodeList(fields, ", ", ctx.scope not in (SOURCE, COLUMN)))
