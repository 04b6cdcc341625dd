"""Where the rows of an INSERT go, many at a time: those that are given, and those that a query selects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import pieces
from .inserted import values_of
from .pruning import footprint
from .sources import Statement
from .stock import stock
from .values import is_value, python_value, shard_of_row

if TYPE_CHECKING:
    from ..home import Home

__all__ = ["reader", "shards_of_selected"]


def reader(home: Home, query: Any, columns: Sequence[Any]) -> Callable[[Any], str | None]:
    """Return a function from a row of an INSERT to its shard, None for a row without a key.

    Args:
        home: the sharded model.
        query: the INSERT.
        columns: the fields of its columns.
    """
    fields = home.key_fields
    if len(fields) == 1:
        field, rule = fields[0], home.rule
        shard_of: Callable[[Any], str] = rule.shard_of  # type: ignore[union-attr]
        position = next((index for index, one in enumerate(columns) if one is field), None)
        if position is not None:
            name = field.name

            def by_one_field(row: Any) -> str | None:
                # The commonest rows, without a dict made for each.
                if isinstance(row, dict):
                    if name not in row:
                        return shard_of_row(home, values_of(home, query, row))
                    value = row[name]
                else:
                    value = row[position]
                if value is None or not is_value(value):
                    return None
                return shard_of(python_value(field, value))

            return by_one_field
    return lambda row: shard_of_row(home, values_of(home, query, row))


def shards_of_selected(home: Home, query: Any) -> tuple[str, ...] | None:
    """Return the shards that can each insert the rows which a query selects there.

    None where a selected row may belong to another shard than the one that has it, or where the query cannot
    be answered shard by shard.
    """
    source = query._insert
    if isinstance(source, stock.CompoundSelectQuery) or getattr(source, "_is_decided", bool)():
        return None
    statement = Statement(source)
    block = statement.roots[0]
    columns = [one if isinstance(one, stock.Field) else None for one in query._columns or ()]
    selected = list(source._returning or ())
    if len(columns) != len(selected) or not block.sources:
        return None
    groups = set()
    fields = home.key_fields or ((home.link,) if home.link is not None else ())
    for position, field in enumerate(fields):
        index = next((i for i, one in enumerate(columns) if one is field), None)
        if index is None:
            return None
        wanted = (
            ("key", home.rule, position, len(fields))
            if home.key_fields
            else ("row", home.parent, home.link.rel_field.name)
        )
        found = {s.group for s, what in statement.anchors(selected[index], (block,)) if what == wanted}
        if not found:
            return None
        groups |= found
    if len(groups) != 1:
        return None
    touched = footprint(block.sources[0].home, source)
    if touched.apart is not None:
        return None
    if len(touched.shards) > 1 and pieces.indivisible(source, lambda one: statement.anchors(one, (block,))):
        return None
    return touched.shards
