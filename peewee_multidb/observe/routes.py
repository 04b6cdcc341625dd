"""How the database of a query was decided, in one word; and in sentences for those who ask."""

from __future__ import annotations

from typing import Any

from .. import scope as scopes
from ..errors import MultiDBError

__all__ = ["model_of", "route_of", "routed", "sentences_of"]

#: How deep Peewee wraps a query of a model for ``count()``, ``exists()`` and the like, at the most.
DEEPEST = 6


def routed(query: Any) -> Any:
    """Return the query of a model that a query is, or is wrapped around; None if there is none."""
    for _ in range(DEEPEST):
        if model_of(query) is not None:
            return query
        sources = getattr(query, "_from_list", None)
        # SELECT EXISTS(...) has its query among the columns.
        columns = getattr(query, "_returning", None)
        if sources:
            query = sources[0]
        elif columns:
            query = (getattr(columns[0], "arguments", None) or [None])[0]
        else:
            return None
    return None


def model_of(query: Any) -> Any:
    """Return the model class of a query, also of one on an alias; None if it has none."""
    model = getattr(query, "model", None)
    while model is not None and not isinstance(model, type):
        model = getattr(model, "model", None)
    return model


def route_of(query: Any) -> str | None:
    """Return what decided where a query of a model runs, in a word; None if nothing had to be decided."""
    home = getattr(getattr(model_of(query), "_meta", None), "home", None)
    if home is None or not hasattr(query, "_is_part"):
        return None
    if query._is_part:
        return "every copy" if home.reference else "every shard"
    if query._told() is not None:
        return "using"
    try:
        placed = scopes.place(query._around(), home)
    except MultiDBError:
        return "scope"
    if placed is not None:
        # The entry of a row knows whose row it is; what a block says has no such thing.
        return "row" if hasattr(placed[1], "epoch") else "scope"
    if home.rule is not None:
        return "shard key"
    return "reference" if home.reference else "home"


def sentences_of(query: Any) -> tuple[str, ...]:
    """Return the reasons of the decision, as `explain_route` gives them, without the choice of a replica."""
    if route_of(query) is None:
        return ()
    if query._is_part:
        return ("one part of a statement that concerns several databases",)
    reasons: list[str] = []
    if query._scope is not None:
        reasons.append("the query was built inside a scope, which it keeps")
    try:
        query._decide_many(reasons.append)
    except MultiDBError as error:
        reasons.append(str(error))
    return tuple(reasons)
