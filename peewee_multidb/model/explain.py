"""`explain_route`: where a query goes, and why, without running it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .. import routing, statements
from ..causality import current_unit
from ..errors import ConfigurationError
from ..home import Home
from ..replicas import readers_of
from ..routing import Route
from . import scatter
from .queries import RoutedQuery
from .reading import primary_only, reading_role
from .reads import RoutedNoop, RoutedRead
from .stock import stock
from .writes import RoutedInsert, RoutedRaw, RoutedWrite

__all__ = ["explain_route", "route_sql"]


def explain_route(query: Any) -> Route:
    """Return where a query goes, and why, without running it.

    Args:
        query: a query on a model of this package, or such a model (for its plain SELECT).

    Raises:
        ConfigurationError: something else was given.
        MultiDBError: what running the query would raise; but for a `ScatterNotSupported` for which servers
            have to be asked first, how their text sorts for instance.
    """
    if stock.is_model(query):
        query = query.select()
    if not isinstance(query, RoutedQuery):
        raise ConfigurationError(
            f"explain_route() takes a query on a peewee_multidb model, not {type(query).__name__}."
        )
    reasons: list[str] = []
    home: Home = query.model._meta.home
    if query._scope is not None:
        reasons.append("the query was built inside a scope, which it keeps")
    targets = query._decide_many(reasons.append)
    is_write = isinstance(query, RoutedWrite) or (
        isinstance(query, RoutedRaw) and not statements.only_reads(query._sql)
    )
    if not targets:
        return Route(home.model.__name__, (), "primary", tuple(reasons))
    databases = [routing.live(home, target) for target in targets]
    database = databases[0]
    if is_write:
        for one in databases:
            routing.refuse_write(home, query._around(), one, routing.statement_of(query), query._role)
        reasons.append("primary: it is a write")
    if isinstance(query, RoutedInsert) and isinstance(query._insert, Iterator):
        # Looking at the rows would use them up.
        query._insert = list(query._insert)
    if len(targets) > 1 and isinstance(query, RoutedRead) and not isinstance(query, RoutedNoop):
        scatter.check(query, scatter.shards_of(home, targets))
    # Compiling is what finds tables of other databases; nothing is sent.
    sql = [text for _, text, _ in _compiled(query, home, targets)][-1]
    role = "primary"
    if not is_write:
        asked, _ = reading_role(query)
        why = primary_only(query, database, asked, sql)
        entry = home.registry.entry_of(database)
        if entry is None or not entry.replicas or entry.database is not database:
            role = asked or role
            if asked == "replica":
                reasons.append("a replica is asked for, and there is none: the primary answers")
        elif why is not None:
            reasons.append(f"primary: {why}")
        else:
            role = "replica"
            unit = current_unit()
            seen = None if unit is None else unit.found(entry)
            reasons += [f"replica: {one}" for one in readers_of(home.registry, entry).describe(seen)]
    names = [one if isinstance(one, str) else routing.describe(home, one) for one in targets]
    return Route(
        model=home.model.__name__,
        databases=tuple(names),
        role=role,
        reasons=tuple(reasons),
    )


def route_sql(query: Any) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Return what a query says to each database of its route: the name, the SQL and the parameters.

    Args:
        query: a query, or a model, that `explain_route` took.
    """
    if stock.is_model(query):
        query = query.select()
    home: Home = query.model._meta.home
    targets = query._decide_many(None)
    return [
        (target if isinstance(target, str) else routing.describe(home, target), sql, tuple(params or ()))
        for target, sql, params in _compiled(query, home, targets)
    ]


def _compiled(query: Any, home: Home, targets: Sequence[Any]) -> Iterator[tuple[Any, str, Any]]:
    for target in targets:
        part = query
        if len(targets) > 1:
            part = query.clone()
            part._bound = target
        context: Any = routing.live(home, target).get_sql_context()
        sql, params = context.parse(part)
        yield target, sql, params
