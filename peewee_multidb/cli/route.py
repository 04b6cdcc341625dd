"""``multidb route``: where a query would go, why, and with which SQL."""

from __future__ import annotations

from typing import Any

import click

from ..errors import ConfigurationError
from ..model.explain import explain_route, route_sql
from .context import App, DatabaseName, command, scope_of
from .namespace import evaluated, namespace_of

__all__ = ["route"]


@command("route")
@click.argument("query")
@click.option("--db", type=DatabaseName(), help="Ask inside of use_db(NAME).")
def route(app: App, query: str, db: str | None) -> None:
    """Show where a QUERY goes, and why: multidb route "User.select().where(User.id == 3)".

    QUERY is Python, with your models, Peewee's names and those of this package; it is your own code and is
    evaluated as such. The query itself is not run on any server.
    """
    names = namespace_of(app)
    with scope_of(db):
        with refusing_queries(app):
            found = evaluated(query, names)
        decided = explain_route(found)
        statements = route_sql(found)
    if app.out.json:
        app.out.data(
            {
                "model": decided.model,
                "databases": list(decided.databases),
                "role": decided.role,
                "reasons": list(decided.reasons),
                "statements": [
                    {"database": name, "sql": sql, "params": [_plain(one) for one in params]}
                    for name, sql, params in statements
                ],
            }
        )
        return
    app.out.text(str(decided) if decided.databases else f"{decided.model}: no database, it is empty")
    # Shards of one engine have one statement, shown once.
    shared: dict[tuple[str, str], list[str]] = {}
    for name, sql, params in statements:
        shared.setdefault((sql, repr(list(params))), []).append(name)
    for (sql, shown), where in shared.items():
        app.out.text()
        app.out.text(f"On {', '.join(where)}:", "bold")
        app.out.text(f"  {sql}")
        if shown != "[]":
            app.out.text(f"  {shown}", "dim")


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


class refusing_queries:
    """A block in which no database of the registry takes a statement: what is evaluated only makes a query.

    Args:
        app: whose registry.
    """

    def __init__(self, app: App) -> None:
        self._databases = [
            server.database
            for name in app.registry
            if app.opened(name)
            for server in app.registry.entries[name].servers()
        ]

    def __enter__(self) -> None:
        for database in self._databases:
            database.execute_sql = _refuse

    def __exit__(self, *exc: object) -> None:
        for database in self._databases:
            vars(database).pop("execute_sql", None)


def _refuse(*_: Any, **__: Any) -> Any:
    raise ConfigurationError(
        "the expression would run a query; give one that is not run yet, without .get(), .count(), "
        ".execute() or a loop over it"
    )
