"""Related rows, loaded by one query for each relation, also across databases.

Where both ends live in one database Peewee's own loader does it, with a subquery. Where they do not,
the keys of the rows at hand are sent instead, in pieces that the other engine's limit on parameters
admits.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import reduce
from typing import Any

import peewee
from peewee import PREFETCH_TYPE, PrefetchQuery

from .. import drivers, scope
from ..errors import ScatterNotSupported
from .rows import at_home, by_home, home_node
from .stock import stock

__all__ = ["load_related", "load_related_apart", "prefetch"]


def load_related(parents: list[Any], parent_query: Any, loads: Iterable[Any], database: Any) -> None:
    """Run the tree of ``with_related()`` below rows that were loaded from a database."""
    _load(parents, parent_query, loads, database, depth=0, by_key=False)


def load_related_apart(parents: list[Any], parent_query: Any, loads: Iterable[Any]) -> None:
    """Run the tree of ``with_related()`` below rows of several shards, shard by shard."""
    for rows in by_home(parents):
        with at_home(rows[0]):
            database = parent_query.model._meta.database.obj
        _load(rows, parent_query, loads, database, depth=0, by_key=True)


def _load(
    parents: list[Any], parent_query: Any, loads: Iterable[Any], database: Any, depth: int, by_key: bool
) -> None:
    if not parents:
        return
    for load in loads:
        model = load._field.model if load._is_backref else load._field.rel_model
        with at_home(parents[0]):
            query = load._query if load._query is not None else model.select()
            there = query._database
            # Below rows that were fetched in pieces there is no one query to make a subquery of.
            apart = by_key or there is not database
            if apart:
                load = load.clone()
                load._strategy = PREFETCH_TYPE.MATERIALIZE
                children, child_query = [], None
                pieces = _pieces(parents, there)
                _refuse_limit(query, len(pieces))
                for piece in pieces:
                    some, child_query = load._run(piece, parent_query, depth, there)
                    children += some
            else:
                children, child_query = load._run(parents, parent_query, depth, database)
        if load._children:
            _load(children, child_query, load._children, there, depth + 1, apart)


def prefetch(query: Any, *subqueries: Any, prefetch_type: int = PREFETCH_TYPE.WHERE) -> Any:
    """Do what ``peewee.prefetch`` does, each query on the database of the rows that it belongs to."""
    if not subqueries:
        return query
    here = query._database
    around = query._around()
    queries: list[Any] = []
    databases = [here]
    for item in subqueries:
        subquery, target = item if isinstance(item, tuple) else (item, None)
        if stock.is_model(subquery) or isinstance(subquery, peewee.ModelAlias):
            subquery = subquery.select()
            # Built here and not by the caller, whose scope of the moment says nothing about these rows.
            subquery._scope = None
        if hasattr(subquery, "_is_decided") and not subquery._is_decided():
            subquery = _following(subquery, query.model._meta, here, around)
        queries.append((subquery, target) if target is not None else subquery)
        databases.append(subquery._database)
    # This checks the arguments too, so both ways complain alike.
    related = stock.prefetch_add_subquery(query, tuple(queries), prefetch_type)
    if all(database is here for database in databases):
        return peewee.prefetch(query, *queries, prefetch_type=prefetch_type)
    plain = [query, *(item[0] if isinstance(item, tuple) else item for item in queries)]
    return _prefetch_apart(plain, related, databases)


def _following(subquery: Any, meta: Any, database: Any, around: Any) -> Any:
    """Return the query as if it were built beside the rows of another."""
    outside = scope.current()
    scope.switch(home_node(meta, database, around))
    try:
        return subquery.beside()
    finally:
        scope.switch(outside)


def _prefetch_apart(queries: list[Any], related: list[PrefetchQuery], databases: list[Any]) -> list[Any]:
    rows: list[list[Any]] = [list(queries[0])]
    for index in range(1, len(queries)):
        relation = related[index]
        parents = rows[_parent_of(related, index)]
        # Peewee's flag is seen from the parent's side: the foreign key is on the parent.
        key_on_parent = relation.is_backref
        found: list[Any] = []
        pieces = _pieces(parents, databases[index], len(relation.fields))
        _refuse_limit(queries[index], len(pieces))
        for piece in pieces:
            wanted = _wanted(queries[index].model, relation.fields, key_on_parent, piece)
            if wanted is not None:
                found.extend(queries[index].where(wanted))
        if len(pieces) > 1 and len(relation.fields) > 1:
            # One row may belong to parents of several pieces, by one foreign key each.
            found = list({_identity(child): child for child in found}.values())
        for field in relation.fields:
            stock._bucket(_plain(field), not key_on_parent, found, parents)
        rows.append(found)
    return rows[0]


def _identity(row: Any) -> Any:
    """Return the row's key, or what is unique while the row exists if its key was not selected."""
    key = row._pk
    known = key is not None and not (isinstance(key, tuple) and None in key)
    return key if known else id(row)


def _parent_of(related: list[PrefetchQuery], index: int) -> int:
    wanted = related[index].rel_models
    for position in reversed(range(index)):
        model = related[position].model
        # Not by attribute: a model may well have a field that is called model.
        plain = model.model if isinstance(model, peewee.ModelAlias) else model
        if any(one is model or one is plain for one in wanted):
            return position
    raise AssertionError("prefetch_add_subquery found no parent")


def _wanted(model: Any, fields: Iterable[Any], key_on_parent: bool, parents: list[Any]) -> Any:
    """Return the condition for the children of these parents, or None when no parent has a key."""
    conditions = []
    for field in map(_plain, fields):
        name = field.name if key_on_parent else field.rel_field.name
        keys = list(dict.fromkeys(p.__data__.get(name) for p in parents))
        keys = [key for key in keys if key is not None]
        if keys:
            column = getattr(model, field.rel_field.name if key_on_parent else field.name)
            conditions.append(column << keys)
    return reduce(operator.or_, conditions) if conditions else None


def _plain(field: Any) -> Any:
    return field.field if isinstance(field, peewee.FieldAlias) else field


def _pieces(parents: list[Any], database: Any, fields: int = 1) -> list[list[Any]]:
    # Half of the limit is left for the parameters of the query itself.
    size = max(1, drivers.traits_of(database).max_params // 2 // fields)
    return [parents[start : start + size] for start in range(0, len(parents), size)]


def _refuse_limit(query: Any, pieces: int) -> None:
    if pieces > 1 and (query._limit is not None or query._offset is not None):
        raise ScatterNotSupported(
            f"LIMIT or OFFSET on the {query.model.__name__} side of a prefetch from another database: the "
            f"keys need {pieces} statements, and each would be limited on its own. Leave the limit out, or "
            "prefetch fewer rows at a time."
        )
