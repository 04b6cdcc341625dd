"""The rows of an INSERT, and the shard of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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

    What defaults make of the shard key and of the primary key is made here, once: the one decides where a
    row goes, and the other is what the caller is told.
    """
    rows = query._insert
    if isinstance(rows, (stock.SelectQuery, stock.SQL)):
        return None
    made = _made(home)
    if isinstance(rows, Mapping):
        filled = _filled(made, rows)
        if filled is not rows:
            query._insert = filled
        return [filled]
    if not isinstance(rows, list):
        # A generator can be read once; Peewee reads it again when it compiles.
        rows = query._insert = list(rows)
    if made and rows:
        rows = query._insert = _all_filled(home, query, rows, made)
    return rows


Defaults = list[tuple[Any, Callable[[], Any]]]


def _made(home: Home) -> Defaults:
    """Return the fields of the keys whose defaults are made anew for each row, and what makes them."""
    meta: Any = home.model._meta
    defaults: dict[Any, Any] = meta.defaults
    fields = {field.name: field for field in (*home.key_fields, *meta.get_primary_keys())}
    return [(field, defaults[field]) for field in fields.values() if callable(defaults.get(field))]


def _filled(made: Defaults, row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    missing = {
        field: make()
        for field, make in made
        if field.name not in row and field not in row and field.column_name not in row
    }
    return {**row, **missing} if missing else row


def _all_filled(home: Home, query: Any, rows: list[Any], made: Defaults) -> list[Any]:
    if isinstance(rows[0], Mapping):
        return [_filled(made, row) for row in rows]
    if not query._columns:
        return rows
    named = {field_name(home, one) for one in query._columns}
    missing = [(field, make) for field, make in made if field.name not in named]
    if not missing:
        return rows
    query._columns = [*query._columns, *(field for field, _ in missing)]
    return [(*row, *(make() for _, make in missing)) for row in rows]


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
