"""`explain_route`: where a query goes, and why, without running it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import routing
from ..errors import ConfigurationError
from ..home import Home
from ..routing import Route
from .queries import RoutedQuery
from .stock import stock
from .writes import RoutedInsert, RoutedRaw, RoutedWrite

__all__ = ["explain_route"]


def explain_route(query: Any) -> Route:
    """Return where a query goes, and why, without running it.

    Args:
        query: a query on a model of this package, or such a model (for its plain SELECT).

    Raises:
        ConfigurationError: something else was given.
        MultiDBError: what running the query would raise.
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
    target = query._decide(reasons.append)
    is_write = isinstance(query, RoutedWrite) or (
        isinstance(query, RoutedRaw) and not routing.only_reads(query._sql)
    )
    database = routing.live(home, target)
    if is_write:
        routing.refuse_write(home, query._around(), database, routing.statement_of(query))
        reasons.append("primary: it is a write")
    if isinstance(query, RoutedInsert) and isinstance(query._insert, Iterator):
        # Looking at the rows would use them up.
        query._insert = list(query._insert)
    # Compiling is what finds tables of other databases; nothing is sent.
    context: Any = database.get_sql_context()
    context.parse(query)
    name = target if isinstance(target, str) else routing.describe(home, target)
    return Route(
        model=home.model.__name__,
        databases=(name,),
        role=routing.role_for(home, query._around(), is_write),
        reasons=tuple(reasons),
    )
