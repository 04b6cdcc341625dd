"""The rows of an INSERT, and the shard of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .stock import stock
from .values import shard_of_row

if TYPE_CHECKING:
    from ..home import Home

__all__ = ["field_name", "rows_of", "shards_of_rows", "values_of"]


def shards_of_rows(home: Home, query: Any) -> set[str] | None:
    """Return the shards of the rows of an INSERT, or None when one of them does not say.

    Raises:
        InvalidShardKey: no shard takes one of them.
    """
    rows = rows_of(home, query)
    if not rows:
        return None
    found = set()
    for row in rows:
        shard = shard_of_row(home, values_of(home, query, row))
        if shard is None:
            return None
        found.add(shard)
    return found


def rows_of(home: Home, query: Any) -> list[Any] | None:
    """Return the rows of an INSERT as a list that stays the same, or None when it has a query instead.

    What a default of the shard key makes of a row is made here, once: the shard depends on it.
    """
    rows = query._insert
    if isinstance(rows, (stock.SelectQuery, stock.SQL)):
        return None
    if isinstance(rows, Mapping):
        filled = _filled(home, query, rows)
        if filled is not rows:
            query._insert = filled
        return [filled]
    if not isinstance(rows, list):
        # A generator can be read once; Peewee reads it again when it compiles.
        rows = query._insert = list(rows)
    for index, row in enumerate(rows):
        if isinstance(row, Mapping):
            filled = _filled(home, query, row)
            if filled is not row:
                if query._insert is rows:
                    # The caller's own list is left as it is.
                    rows = query._insert = list(rows)
                rows[index] = filled
    return rows


def _filled(home: Home, query: Any, row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    defaults: dict[Any, Any] = home.model._meta.defaults
    missing = [field for field in home.key_fields if callable(defaults.get(field))]
    if not missing:
        return row
    named = values_of(home, query, row)
    added = {field: defaults[field]() for field in missing if field.name not in named}
    return {**row, **added} if added else row


def values_of(home: Home, query: Any, row: Any) -> dict[str, Any]:
    """Return the values of a row of an INSERT by the names of their fields, constant defaults too."""
    meta: Any = home.model._meta
    if isinstance(row, Mapping):
        items: Iterable[tuple[Any, Any]] = row.items()
    else:
        items = zip(query._columns or query.get_default_columns(), row, strict=False)
    named = {field.name: default for field, default in meta.defaults.items() if not callable(default)}
    named.update((field_name(home, key), value) for key, value in items)
    return named


def field_name(home: Home, field: Any) -> Any:
    """Return the name of the field that a key of a row means: a field, its name, or its column's."""
    if isinstance(field, str):
        meta: Any = home.model._meta
        field = meta.combined.get(field, field)
    return field.name if isinstance(field, stock.Field) else field
