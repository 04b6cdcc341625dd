"""Where the tables of a query are: whether each shard has what its part of the query needs.

That rows which belong together are on one shard, `peewee_multidb.shards.pruning` has seen to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ... import routing
from ... import scope as scopes
from ...home import Home
from ...shards import pieces
from ..stock import stock
from ..tables import cross_database

__all__ = ["check_sources", "conditions_of", "model_of", "nullable_sources", "sharded_home", "sources_of"]

model_of = pieces.model_of

_PRESERVES_LEFT = ("LEFT", "FULL")
_PRESERVES_RIGHT = ("RIGHT", "FULL")


def sharded_home(source: Any) -> Home | None:
    """Return the home of a source whose rows are spread over shards, or None."""
    home = getattr(getattr(model_of(source), "_meta", None), "home", None)
    return home if isinstance(home, Home) and home.rule is not None and not home.reference else None


def sources_of(item: Any) -> list[Any]:
    """Return the sources that a FROM item is made of."""
    if isinstance(item, stock.Join):
        return [*sources_of(item.lhs), *sources_of(item.rhs)]
    return [item]


def conditions_of(query: Any) -> list[Any]:
    """Return the ON clauses of a SELECT."""
    return [found for item in query._from_list for found in _conditions(item)]


def _conditions(item: Any) -> list[Any]:
    if not isinstance(item, stock.Join):
        return []
    return [item._on, *_conditions(item.lhs), *_conditions(item.rhs)]


def nullable_sources(query: Any) -> set[int]:
    """Return the ids of sources whose columns may be NULL because an outer join found no row."""
    found: set[int] = set()
    for item in query._from_list:
        _nullable(item, found)
    return found


def _nullable(item: Any, found: set[int]) -> None:
    if not isinstance(item, stock.Join):
        return
    kind = _kind(item)
    if any(word in kind for word in _PRESERVES_LEFT):
        found.update(map(id, sources_of(item.rhs)))
    if any(word in kind for word in _PRESERVES_RIGHT):
        found.update(map(id, sources_of(item.lhs)))
    _nullable(item.lhs, found)
    _nullable(item.rhs, found)


def _kind(join: Any) -> str:
    return str(join.join_type or "INNER").upper()


def check_sources(query: Any, shards: Any) -> None:
    """Refuse a query on tables that the shards do not have.

    On one shard the guard of `peewee_multidb.model.tables` would do that; it lets a query that is told
    where to go take its tables along.

    Raises:
        CrossDatabaseQuery: a model in it lives elsewhere.
    """
    root: Home = query.model._meta.home
    around = query._around()
    for source in _all_sources(query):
        model = model_of(source)
        home = getattr(getattr(model, "_meta", None), "home", None)
        if not isinstance(home, Home) or home.rule is not None:
            continue
        if home.reference and home.database is None:
            copies = {scopes.renamed(around, name) for name in home.names or ()}
            if not copies.issuperset(shards.names):
                raise cross_database(root, shards.names[0], home, min(copies))
        else:
            raise cross_database(root, shards.names[0], home, routing.decide(home, around))


def _all_sources(query: Any) -> Iterator[Any]:
    if isinstance(query, stock.CompoundSelectQuery):
        yield from _all_sources(query.lhs)
        yield from _all_sources(query.rhs)
        return
    for item in query._from_list:
        for source in sources_of(item):
            if isinstance(source, stock.SelectBase):
                yield from _all_sources(source)
            else:
                yield source
    clauses = (query._where, query._having, query._returning, query._order_by, query._group_by)
    for part in (conditions_of(query), *clauses):
        for inner in pieces.queries(part):
            yield from _all_sources(inner)
