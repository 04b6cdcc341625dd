"""GROUP BY, which takes no constant, no position and no alias, and no parameter that it would recognise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from .context import MSSQLContext, unsupported
from .kinds import comparable
from .ordering import is_constant, resolved
from .stock import stock

__all__ = ["Groups", "groups_of"]


class Groups:
    """What a query groups by.

    Attributes:
        nodes: the expressions.
        literals: whether values must be literals: an expression in GROUP BY must read exactly like the one
            that is selected, and two parameters never do (Msg 8120).
        having: whether HAVING is needed in place of a constant: then no rows give no group.
    """

    def __init__(self, nodes: list[Any], literals: bool) -> None:
        self.nodes, self.literals, self.having = nodes, literals, False

    def write(self, ctx: MSSQLContext) -> None:
        number = 0
        for node in self.nodes:
            inner = ctx.inner
            part = ctx.captured(lambda node=node: comparable(ctx, node))  # type: ignore[misc]
            if is_constant(part):
                continue
            ctx._sql.append(", " if number else " GROUP BY ")
            number += 1
            ctx.put(part)
            if ctx.inner != inner:
                raise unsupported(
                    ctx, "GROUP BY of a subquery", "Compute it in a derived table, and group by its column."
                )
        self.having = not number
        if self.having:
            ctx._sql.append(" HAVING COUNT(*) > 0")


def groups_of(ctx: MSSQLContext, query: Any, columns: Sequence[Any]) -> Groups:
    """Return what a query groups by, in terms that T-SQL knows."""
    nodes: list[Any] = []
    seen: list[Any] = []
    for item in query._group_by:
        for node in _several(resolved(item, columns)):
            # The same column twice is no error in GROUP BY, but the same expression object is common.
            if not any(node is other for other in seen):
                seen.append(node)
                nodes.append(node)
    plain = (peewee.Field, stock.Column, stock.Entity, peewee.SQL)
    literals = any(not isinstance(node, plain) for node in nodes)
    return Groups(nodes, literals)


def _several(node: Any) -> list[Any]:
    if isinstance(node, stock.CompositeKey):
        return [node.model._meta.fields[name] for name in node.field_names]
    if isinstance(node, stock.ModelBase):
        return list(node._meta.sorted_fields)
    if isinstance(node, stock.ModelAlias):
        return list(node.get_field_aliases())
    if isinstance(node, stock.NodeList) and node.parens and node.glue == ", ":
        return [part for inner in node.nodes for part in _several(inner)]
    return [node]

