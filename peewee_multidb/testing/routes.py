"""`assert_route`: where a query would go."""

from __future__ import annotations

from typing import Any

from ..model import explain_route
from ..routing import Route

__all__ = ["assert_route"]


def assert_route(query: Any, *names: str, role: str | None = None) -> Route:
    """Fail unless a query goes to exactly these databases; it is not run.

    Args:
        query: a query on a model of this package, or such a model.
        names: database names, in any order; none at all looks at the role alone.
        role: ``"primary"`` or ``"replica"``; None for either.

    Returns:
        The route, as `explain_route` gives it.

    Raises:
        AssertionError: it goes elsewhere; with the reasons why.
        MultiDBError: what running the query would raise.
    """
    __tracebackhide__ = True
    if role not in (None, "primary", "replica"):
        raise TypeError(f"assert_route(role=...) takes 'primary' or 'replica', not {role!r}")
    if not names and role is None:
        raise TypeError("assert_route() needs a database name, or role=")
    route = explain_route(query)
    problems = []
    if names and set(names) != set(route.databases):
        problems.append(f"to {_listed(names)}")
    if role is not None and role != route.role:
        problems.append(f"to a {role}" if role == "replica" else "to the primary")
    if problems:
        raise AssertionError(
            f"the query was expected {' and '.join(problems)}, and goes to {_listed(route.databases)} "
            f"({route.role}):\n{route}"
        )
    return route


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, sorted(names))) or "no database"
