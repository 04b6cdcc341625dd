"""ORDER BY, which in T-SQL takes no constant, no column twice, and not everything after DISTINCT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import peewee

from .context import MSSQLContext, quoted, writes
from .kinds import comparable
from .stock import stock

__all__ = [
    "Part",
    "is_constant",
    "names_in",
    "order_parts",
    "position_of",
    "resolved",
    "said_direction",
    "simple_name",
]

Part = tuple[list[str], list[Any]]

#: What constant expressions are written with, and texts, whatever is in them.
_CONSTANT = re.compile(r"N?'(?:[^']|'')*'|\b(?:CASE|WHEN|NOT|THEN|ELSE|END|AND|OR|NULL|IS|IN|LIKE|[\d.E]+)\b")
_ORDINAL = re.compile(r"\d+\Z")
_NAMED = re.compile(r"\s*[\[\"`]?(\w+)[\]\"`]?(?:\s+(ASC|DESC))?\s*\Z", re.IGNORECASE)


def names_in(columns: Sequence[Any]) -> dict[str, Any]:
    """Return the nodes of a selection by their aliases."""
    return {node._alias: node.node for node in columns if isinstance(node, stock.Alias)}


def is_constant(part: Part) -> bool:
    """Whether what was written is the same for every row (Msg 164, 408)."""
    left = _CONSTANT.sub("", "".join(part[0]))
    return not any(character.isalpha() or character in "[_" for character in left)


def order_parts(
    ctx: MSSQLContext, order: Sequence[Any], columns: Sequence[Any], *, by_alias: bool
) -> list[Part]:
    """Return what to sort by, written.

    Args:
        ctx: the context.
        order: nodes of ORDER BY.
        columns: what is selected.
        by_alias: whether an alias may stand for its column: in ORDER BY it may, in OVER it may not.
    """
    aliases = names_in(columns)
    parts: list[Part] = []
    for item in order:
        for node, direction in _split(item, aliases, columns):
            if _is_constant(node):
                continue
            part = ctx.captured(lambda node=node: _key(ctx, node, aliases, by_alias))  # type: ignore[misc]
            if not is_constant(part) and all(part != (seen[0][: len(part[0])], seen[1]) for seen in parts):
                parts.append(([*part[0], direction], part[1]))
    return parts


def _split(item: Any, aliases: dict[str, Any], columns: Sequence[Any]) -> list[tuple[Any, str]]:
    """Return the keys of one item, with their directions."""
    direction, nulls, collation = "", None, None
    if isinstance(item, stock.Ordering):
        direction, nulls, collation = f" {item.direction}", item.nulls, item.collation
        item = item.node
    if isinstance(item, peewee.SQL) and not item.params:
        item, said = _resolved(item, aliases, columns)
        direction = direction or said
    if collation:
        item = stock.NodeList((item, peewee.SQL(f"COLLATE {collation}")))
    keys = [(item, direction)]
    if nulls:
        keys.insert(0, (stock.Ordering(item, "ASC")._null_ordering_case(nulls), ""))
    return keys


def _resolved(item: Any, aliases: dict[str, Any], columns: Sequence[Any]) -> tuple[Any, str]:
    """Return what an SQL fragment in ORDER BY or GROUP BY means: a column by its position or its alias."""
    if _ORDINAL.match(item.sql) and 0 < int(item.sql) <= len(columns):
        node = columns[int(item.sql) - 1]
        return (node.node if isinstance(node, stock.Alias) else node), ""
    named = _NAMED.match(item.sql)
    if named is not None and named[1] in aliases:
        return stock.Alias(aliases[named[1]], named[1]), f" {named[2].upper()}" if named[2] else ""
    return item, ""


def resolved(item: Any, columns: Sequence[Any]) -> Any:
    """Return what an item of GROUP BY or ORDER BY means, when it can neither be a position nor an alias."""
    aliases = names_in(columns)
    if isinstance(item, stock.Ordering):
        item = item.node
    if isinstance(item, peewee.SQL) and not item.params:
        item = _resolved(item, aliases, columns)[0]
    elif isinstance(item, stock.Entity) and len(item._path) == 1 and item._path[0] in aliases:
        item = aliases[item._path[0]]
    return item.node if isinstance(item, stock.Alias) else item


def _is_constant(node: Any) -> bool:
    if isinstance(node, stock.Alias):
        node = node.node
    return node is None or not isinstance(node, peewee.Node) or isinstance(node, peewee.Value)


def _key(ctx: MSSQLContext, node: Any, aliases: dict[str, Any], by_alias: bool) -> None:
    if isinstance(node, stock.Alias) and by_alias and node._alias in aliases:
        ctx.literal(quoted(node._alias))
    elif isinstance(node, peewee.Function) and (node.name or "").lower() in ("random", "rand"):
        ctx.literal("NEWID()")
    else:
        comparable(ctx, node)


def position_of(item: Any) -> int | None:
    """Return the position, from 1, of the column that an item of ORDER BY names by a number; or None."""
    if isinstance(item, stock.Ordering):
        item = item.node
    if isinstance(item, peewee.SQL) and not item.params and _ORDINAL.match(item.sql):
        return int(item.sql)
    return None


def said_direction(item: Any) -> str:
    """Return the direction of an item of which `simple_name` gives the name, with a space before it."""
    if isinstance(item, stock.Ordering):
        return f" {item.direction}"
    named = _NAMED.match(item.sql) if isinstance(item, peewee.SQL) else None
    return f" {named[2].upper()}" if named is not None and named[2] else ""


def simple_name(item: Any) -> str | None:
    """Return the name of a column, if that is all that an item of ORDER BY is."""
    if isinstance(item, stock.Ordering):
        if item.nulls or item.collation:
            return None
        item = item.node
    if isinstance(item, stock.Alias):
        return str(item._alias)
    if isinstance(item, stock.FieldAlias):
        item = item.field
    if isinstance(item, peewee.Field):
        return str(item.column_name)
    if isinstance(item, stock.Column):
        return str(item.name)
    if isinstance(item, stock.Entity):
        return str(item._path[-1])
    if isinstance(item, peewee.SQL):
        named = _NAMED.match(item.sql)
        return named[1] if named is not None else None
    return None


@writes(stock.Ordering)
def ordering(ctx: MSSQLContext, node: Any) -> Any:
    for number, (key, direction) in enumerate(_split(node, {}, ())):
        ctx.literal(", " if number else "")
        _key(ctx, key, {}, False)
        ctx.literal(direction)
    return ctx
