"""Related rows, loaded by one query for each relation, also across databases.

Where both ends live in one database Peewee's own loader does it, with a subquery. Where they do not,
the keys of the rows at hand are sent instead, in pieces that the other engine's limit on parameters
admits.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable
from functools import reduce
from typing import Any

import peewee
from peewee import PREFETCH_TYPE, PrefetchQuery

from .. import drivers, routing, scope
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
        # Below rows that were fetched in pieces there is no one query to make a subquery of, and each may
        # live somewhere else.
        groups = by_home(parents) if by_key else [parents]
        children: list[Any] = []
        apart, child_query, count = by_key, None, 0
        for group in groups:
            with at_home(group[0]):
                query = load._query if load._query is not None else _related_model(load).select()
                there = None if _is_spread(query) else query._database
                apart = apart or there is not database
                if not apart:
                    children, child_query = load._run(group, parent_query, depth, database)
                    continue
                by_keys = load.clone()
                by_keys._strategy = PREFETCH_TYPE.MATERIALIZE
                pieces = _pieces(group, query.model, there)
                count += len(pieces)
                _refuse_limit(query, count)
                for piece in pieces:
                    # None: the query finds its shards by the keys that are in it.
                    some, child_query = by_keys._run(piece, parent_query, depth, there)
                    children += some
        if load._children:
            _load(children, child_query, load._children, database, depth + 1, apart)


def _related_model(load: Any) -> Any:
    return load._field.model if load._is_backref else load._field.rel_model


def _is_spread(query: Any) -> bool:
    """Whether it is for the query's own clauses to say which of several databases it runs on."""
    home = getattr(query.model._meta, "home", None)
    if home is None or (home.rule is None and not home.reference) or home.database is not None:
        return False
    return not query._is_decided() and scope.place(query._around(), home) is None


def prefetch(query: Any, *subqueries: Any, prefetch_type: int = PREFETCH_TYPE.WHERE) -> Any:
    """Do what ``peewee.prefetch`` does, each query on the database of the rows that it belongs to."""
    if not subqueries:
        return query
    is_spread = _is_spread(query)
    here = None if is_spread else query._database
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
            if is_spread:
                subquery = subquery.clone()
                subquery._scope = around
            else:
                subquery = _following(subquery, query.model._meta, here, around)
        queries.append((subquery, target) if target is not None else subquery)
        spreads = hasattr(subquery, "_is_decided") and _is_spread(subquery)
        databases.append(None if spreads else subquery._database)
    # This checks the arguments too, so both ways complain alike.
    related = stock.prefetch_add_subquery(query, tuple(queries), prefetch_type)
    if here is not None and all(database is here for database in databases):
        return peewee.prefetch(query, *queries, prefetch_type=prefetch_type)
    plain = [query, *(item[0] if isinstance(item, tuple) else item for item in queries)]
    return _prefetch_apart(plain, related, databases)


def _following(subquery: Any, meta: Any, database: Any, around: Any) -> Any:
    """Return the query as if it were built beside the rows of another."""
    outside = scope.current()
    scope.switch(scope.confined(home_node(meta, database, around), outside))
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
        query, database, count = queries[index], databases[index], 0
        # Rows that live beside each other are looked for shard by shard.
        beside = database is None and any(map(_is_link, relation.fields))
        for group in by_home(parents) if beside else [parents]:
            with at_home(group[0]) if beside else contextlib.nullcontext():
                mine = query.beside() if beside else query
                some: list[Any] = []
                pieces = _pieces(group, query.model, database, len(relation.fields))
                count += len(pieces)
                _refuse_limit(query, count)
                for piece in pieces:
                    wanted = _wanted(query.model, relation.fields, key_on_parent, piece)
                    if wanted is not None:
                        some.extend(mine.where(wanted))
            if len(pieces) > 1 and len(relation.fields) > 1:
                # One row may belong to parents of several pieces, by one foreign key each.
                some = list({_identity(child): child for child in some}.values())
            for field in relation.fields:
                stock._bucket(_plain(field), not key_on_parent, some, group)
            found += some
        rows.append(found)
    return rows[0]


def _is_link(field: Any) -> bool:
    """Whether a foreign key says beside which row of a sharded model a row lives."""
    home = getattr(_plain(field).model._meta, "home", None)
    return home is not None and home.rule is not None and _plain(field) is home.link


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


def _pieces(parents: list[Any], model: Any, database: Any, fields: int = 1) -> list[list[Any]]:
    """Cut rows into lists whose keys one statement takes, on a database or on any of the model's."""
    if database is not None:
        most = drivers.traits_of(database).max_params
    else:
        home = model._meta.home
        most = min(drivers.traits_of(routing.live(home, name)).max_params for name in home.names)
    # Half of the limit is left for the parameters of the query itself.
    size = max(1, most // 2 // fields)
    return [parents[start : start + size] for start in range(0, len(parents), size)]


def _refuse_limit(query: Any, pieces: int) -> None:
    if pieces > 1 and (query._limit is not None or query._offset is not None):
        raise ScatterNotSupported(
            f"LIMIT or OFFSET on the {query.model.__name__} side of a prefetch from another database: the "
            f"keys need {pieces} statements, and each would be limited on its own. Leave the limit out, or "
            "prefetch fewer rows at a time."
        )
