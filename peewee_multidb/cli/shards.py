"""``multidb shards``: rows and bytes of each shard, how even they are, and what a rebalance would do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
import peewee

from ..drivers import traits_of
from ..errors import ConfigurationError
from ..rebalance import Plan, Rebalance
from ..rebalance.tables import TableOf
from .context import App, DatabaseName, command
from .output import shown_bytes
from .progress import progress_of

__all__ = ["families", "plan_as_dict", "shards"]


@command("shards")
@click.option("--add", multiple=True, type=DatabaseName(), help="Show what would move if this shard came.")
@click.option("--remove", multiple=True, type=DatabaseName(), help="Show what would move if this shard went.")
@click.option("--map", "name", metavar="NAME", help="Only the models of this shard map.")
def shards(app: App, add: tuple[str, ...], remove: tuple[str, ...], name: str | None) -> None:
    """Show rows and bytes of each shard, by model, and how even they are.

    The skew is what the largest shard has over what all have on average: 1.00 is even.
    """
    groups = families(app, name)
    found = []
    for rule, models in groups:
        for one in shards_of(rule):
            app.open(one)
        sizes = {one: _sizes(app, one, models) for one in shards_of(rule)}
        totals = {one: sum(rows for rows, _ in sizes[one].values()) for one in sizes}
        stored: Any = getattr(rule, "map", None)
        is_stored = bool(getattr(stored, "is_stored", False))
        plan = None
        if add or remove:
            if not is_stored:
                raise ConfigurationError(
                    f"{models[0].__name__} has a map that is fixed, so nothing can move: give its rule a "
                    "StoredMap first"
                )
            plan = Rebalance(*models, progress=progress_of(app)).plan(add=add, remove=remove)
        found.append(
            {
                "rule": str(rule) if not is_stored else f"map {stored.name}",
                "map": stored.name if is_stored else None,
                "models": [model.__name__ for model in models],
                "shards": [
                    {
                        "name": one,
                        "rows": totals[one],
                        "bytes": _total(size for _, size in sizes[one].values()),
                        "models": {
                            model: {"rows": rows, "bytes": size} for model, (rows, size) in sizes[one].items()
                        },
                    }
                    for one in sizes
                ],
                "skew": _skew(totals.values()),
                "plan": None if plan is None else plan_as_dict(plan),
                "text": None if plan is None else str(plan),
            }
        )
    _print(app, found)


def _print(app: App, found: list[dict[str, Any]]) -> None:
    if app.out.json:
        app.out.data({"rules": [{key: one[key] for key in one if key != "text"} for one in found]})
        return
    if not found:
        app.out.text("No model is sharded.")
    for number, one in enumerate(found):
        if number:
            app.out.text()
        app.out.text(f"{', '.join(one['models'])}: {one['rule']}", "bold")
        models = one["models"]
        app.out.table(
            ["shard", *(f">{model}" for model in models), ">rows", ">bytes"],
            [
                [
                    shard["name"],
                    *(shard["models"][model]["rows"] for model in models),
                    shard["rows"],
                    None if shard["bytes"] is None else shown_bytes(shard["bytes"]),
                ]
                for shard in one["shards"]
            ],
        )
        if one["skew"] is not None:
            app.out.text(f"Skew: {one['skew']:.2f}")
        if one["text"]:
            app.out.text(one["text"])


def families(app: App, name: str | None = None) -> list[tuple[Any, list[Any]]]:
    """Return each sharding rule with the models that have it.

    Args:
        app: whose models are looked at.
        name: of a shard map, if only its models are wanted.

    Raises:
        ConfigurationError: there is no such map.
    """
    found: dict[int, tuple[Any, list[Any]]] = {}
    for model in app.models:
        rule = model._meta.home.rule
        if rule is not None:
            found.setdefault(id(rule), (rule, []))[1].append(model)
    groups = list(found.values())
    if name is None:
        return groups
    chosen = [one for one in groups if getattr(getattr(one[0], "map", None), "name", None) == name]
    if not chosen:
        raise ConfigurationError(f"no model is sharded by a map of the name {name!r}")
    return chosen


def shards_of(rule: Any) -> list[str]:
    """Return the shards of a rule."""
    return list(rule.names)


def plan_as_dict(plan: Plan) -> dict[str, Any]:
    """Return a plan for JSON."""
    return {
        "map": plan.map,
        "units": sum(plan.units.values()),
        "moving_units": len(plan.moves),
        "rows": sum(plan.rows.values()),
        "moving_rows": plan.moving_rows,
        "shards": list(plan.names),
        "moves": [
            {"unit": one.unit, "from": one.source, "to": one.target, "rows": one.total} for one in plan.moves
        ],
    }


def _sizes(app: App, name: str, models: list[Any]) -> dict[str, tuple[int, int | None]]:
    database: Any = app.registry[name]
    found = {}
    for model in models:
        table = TableOf(database, model)
        exists = database.table_exists(table.plain_name, schema=model._meta.schema)
        found[model.__name__] = (table.count(), _bytes(database, table)) if exists else (0, 0)
    return found


def _bytes(database: Any, table: TableOf) -> int | None:
    """Return how much room a table takes with its indexes, or None where the engine cannot tell."""
    engine, schema = traits_of(database).engine, table.model._meta.schema
    try:
        if engine == "postgresql":
            row = table.run("SELECT pg_total_relation_size(%s::regclass)", (table.name,)).fetchone()
        elif engine == "mysql":
            row = table.run(
                "SELECT data_length + index_length FROM information_schema.tables "
                f"WHERE table_name = %s AND table_schema = {'%s' if schema else 'DATABASE()'}",
                (table.plain_name, schema) if schema else (table.plain_name,),
            ).fetchone()
        elif engine == "sqlite":
            row = table.run(
                "SELECT SUM(pgsize) FROM dbstat "
                "WHERE name IN (SELECT name FROM sqlite_master WHERE tbl_name = ?)",
                (table.plain_name,),
            ).fetchone()
        else:
            return None
    except peewee.PeeweeException:
        # SQLite need not have been built with dbstat.
        return None
    return None if row is None or row[0] is None else int(row[0])


def _total(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


def _skew(rows: Iterable[int]) -> float | None:
    counts = list(rows)
    return round(max(counts) * len(counts) / sum(counts), 3) if sum(counts) else None
