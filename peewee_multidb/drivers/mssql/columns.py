"""The columns of a selection, and their names: a derived table must have one for each, and no two alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import peewee

from .context import MSSQLContext, quoted, unsupported
from .kinds import comparable, is_large
from .stock import stock

__all__ = ["expanded", "name_of", "names_of", "selection", "write_columns"]

_AS = re.compile(r"\bAS\s+[\[\"`]?(\w+)[\]\"`]?\s*\Z", re.IGNORECASE)
_PLAIN = re.compile(r"(?:[\w\[\]\"]+\.)?[\[\"]?([A-Za-z_]\w*)[\]\"]?\Z")


def selection(query: Any, *, operand: bool) -> list[Any]:
    """Return what a query selects.

    Args:
        query: a Select.
        operand: whether it is a value in an expression, where a selection of all columns means the key.
    """
    columns = list(query._returning or ())
    if operand and len(columns) > 1 and getattr(query, "_is_default", False):
        key = query.model._meta.primary_key
        if key is not False:
            columns = [key]
    flat: list[Any] = []
    for node in columns:
        if isinstance(node, stock.CompositeKey):
            flat.extend(node.model._meta.fields[name] for name in node.field_names)
        else:
            flat.append(node)
    return flat


def is_star(node: Any) -> bool:
    """Whether a node stands for all columns."""
    if isinstance(node, stock.Star):
        return True
    return isinstance(node, peewee.SQL) and node.sql.strip().endswith("*")


def name_of(node: Any) -> str | None:
    """Return the name that a selected node gives to its column, or None."""
    if isinstance(node, stock.Alias):
        return str(node._alias)
    if isinstance(node, stock.BindTo):
        return name_of(node.node)
    if isinstance(node, stock.FieldAlias):
        node = node.field
    if isinstance(node, peewee.Field):
        return str(node.column_name)
    if isinstance(node, stock.Column):
        return str(node.name)
    if isinstance(node, stock.Entity):
        return str(node._path[-1])
    if isinstance(node, stock.SelectBase) and node._alias:
        return str(node._alias)
    if isinstance(node, peewee.SQL):
        found = _AS.search(node.sql) or _PLAIN.match(node.sql)
        return found[1] if found else None
    return None


def names_of(columns: Sequence[Any]) -> list[str]:
    """Return a name for each column of a derived table, each different from the others."""
    names: list[str] = []
    taken = {name.lower() for node in columns if (name := name_of(node)) is not None}
    seen: set[str] = set()
    for number, node in enumerate(columns, 1):
        name = name_of(node)
        if name is None or name.lower() in seen:
            name = f"_c{number}"
            while name in taken or name in seen:
                name = f"_{name}"
        seen.add(name.lower())
        names.append(name)
    return names


def expanded(ctx: MSSQLContext, query: Any, columns: list[Any]) -> list[Any]:
    """Return the columns with the ones that ``*`` stands for.

    Raises:
        NotSupportedError: nobody knows which these are.
    """
    found: list[Any] = []
    for node in columns:
        if not is_star(node):
            found.append(node)
            continue
        sources = [node.source] if isinstance(node, stock.Star) else query._from_list
        for source in sources:
            found.extend(_columns_of(ctx, source))
    return found


def _columns_of(ctx: MSSQLContext, source: Any) -> list[Any]:
    if isinstance(source, stock.Join):
        return [*_columns_of(ctx, source.lhs), *_columns_of(ctx, source.rhs)]
    if isinstance(source, stock.ModelAlias):
        return list(source.get_field_aliases())
    if isinstance(source, stock.ModelBase):
        return list(source._meta.sorted_fields)
    names: Any = None
    if isinstance(source, stock.CTE):
        names = source._columns and [node._path[-1] for node in source._columns]
        names = names or _names_in(ctx, source._query)
    elif isinstance(source, stock.SelectBase):
        names = _names_in(ctx, source)
    elif isinstance(source, (stock.Table, stock.ValuesList)):
        names = source._columns
    if not names:
        raise unsupported(ctx, "OFFSET over a selection of *", "Name the columns that are selected.")
    return [stock.Column(source, name) for name in names]


def _names_in(ctx: MSSQLContext, query: Any) -> list[str]:
    while isinstance(query, stock.CompoundSelectQuery):
        query = query.lhs
    return names_of(expanded(ctx, query, selection(query, operand=False)))


def write_columns(
    ctx: MSSQLContext, columns: Sequence[Any], names: Sequence[str] | None, *, compared: bool
) -> None:
    """Write a selection.

    Args:
        ctx: the context.
        columns: the nodes.
        names: what to call the columns; None if their own names will do.
        compared: whether the rows are compared with each other, as for DISTINCT.
    """
    with ctx.scope_source(in_projection=True):
        for number, node in enumerate(columns):
            if number:
                ctx._sql.append(", ")
            name = None if names is None or is_star(node) else names[number]
            if name is not None and name_of(node) != name:
                plain = node.node if isinstance(node, stock.Alias) else node
                comparable(ctx, plain) if compared else ctx.sql(plain)
                ctx._sql.append(f" AS {quoted(name)}")
            elif compared and is_large(ctx, node):
                comparable(ctx, node)
                if isinstance(node, peewee.Field):
                    ctx._sql.append(f" AS {quoted(name_of(node) or '')}")
            else:
                ctx.sql(node)
