"""Where a row that is about to be written goes: one that is new, one that lives somewhere, many at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .. import drivers, routing, scope
from ..errors import CrossDatabaseQuery, MissingShardKey
from ..home import Home
from ..scope import Scope, Target
from ..shards import pruning
from ..shards.values import shard_of_instance
from .rows import entry_of, refuse_strangers, rehome, row_home

__all__ = ["by_place", "in_batches", "new_home", "place_new", "refuse_under_replica"]


def refuse_under_replica(home: Home, around: Scope | None, what: str) -> None:
    """Raise if the caller is in `use_replica`, before the row's own scope takes its place."""
    if around is not None and scope.role_of(around, home) == "replica":
        target = (home.names or ("",))[0] if home.rule is not None else routing.decide(home, around)
        routing.refuse_write(home, around, routing.live(home, target), what)


def new_home(model: Any, values: dict[str, Any], around: Scope | None) -> Scope:
    """Return the node for a row of these values that is about to be inserted.

    Args:
        model: its model.
        values: its values by the names of their fields; a row where a foreign key has one.
        around: the scope that it is inserted in.
    """
    home: Home = model._meta.home
    insert = model.insert(**values) if home.rule is not None else None
    return _node(model, routing.decide(home, around, query=insert), around)


def _node(model: Any, target: Target, around: Scope | None) -> Scope:
    home: Home = model._meta.home
    if not isinstance(target, str):
        target = home.registry.name_of(target) or target
    around = scope.placing(around)
    if around is None and target == home.name:
        return model._meta.settled  # type: ignore[no-any-return]
    return Scope(entry_of(target, home), around)


def values_of(row: Any) -> dict[str, Any]:
    """Return what a row's shard may depend on: its values, and the row beside which it lives, if at hand."""
    home: Home = row._meta.home
    link = home.link if home.rule is not None else None
    if link is not None and link.name in row.__rel__:
        return {**row.__data__, link.name: row.__rel__[link.name]}
    values: dict[str, Any] = row.__data__
    return values


def place_new(model: Any, rows: list[Any], around: Scope | None, what: str) -> list[tuple[Scope, list[Any]]]:
    """Return the rows in groups, each with the node of the database that it is to be inserted into.

    Args:
        model: the model of all of them.
        rows: instances, new or of the database that they go to.
        around: the scope of the caller.
        what: the caller, for messages.

    Raises:
        CrossDatabaseQuery: one lives somewhere else, or has a foreign key to a row that does.
        MissingShardKey: one has no key.
    """
    home: Home = model._meta.home
    if home.rule is None or home.database is not None or scope.place(around, home) is not None:
        node = new_home(model, values_of(rows[0]), around)
        if home.rule is not None:
            # Those whose key says something else are refused.
            for row in rows[1:]:
                new_home(model, values_of(row), around)
        groups = [(node, rows)]
    else:
        groups = _by_shard(model, home, rows, around, what)
    for node, group in groups:
        there = row_home(node).target
        for row in group:
            _refuse_elsewhere(home, row, there, what)
            if row.__rel__:
                refuse_strangers(row, there)
    return groups


def _by_shard(
    model: Any, home: Home, rows: list[Any], around: Scope | None, what: str
) -> list[tuple[Scope, list[Any]]]:
    chosen: dict[str, list[Any]] = {}
    for position, row in enumerate(rows):
        shard = shard_of_instance(home, row)
        if shard is None:
            raise MissingShardKey(pruning.without_key(home, f"row {position + 1} of {len(rows)} of {what}"))
        chosen.setdefault(shard, []).append(row)
    return [
        (_node(model, scope.renamed(around, name), around), chosen[name])
        for name in home.names or ()
        if name in chosen
    ]


def _refuse_elsewhere(home: Home, row: Any, there: Any, what: str) -> None:
    if row._home is not None and row_home(row._home).target != there:
        raise CrossDatabaseQuery(
            f"{what} would insert {row!r} into {routing.describe(home, there)}, but it lives "
            f"in {routing.describe(home, row_home(row._home).target)}. Use row.copy_to(name), or "
            "insert_many(list(query.dicts())) for many."
        )


def by_place(model: Any, rows: Iterable[Any], around: Scope | None) -> list[tuple[Scope | None, list[Any]]]:
    """Return rows that are about to be updated in groups of one database each, with its node.

    Those that were never loaded or saved are where their key says, or else in the scope of the caller, for
    which the node is None.
    """
    home: Home = model._meta.home
    groups: dict[Any, tuple[Scope | None, list[Any]]] = {}
    for row in rows:
        if home.stored is not None:
            rehome(row)
        node = row._home
        if node is None and home.rule is not None and scope.place(around, home) is None:
            shard = shard_of_instance(home, row)
            node = None if shard is None else _node(model, scope.renamed(around, shard), around)
        target = node and row_home(node).target
        # Database objects need not be hashable.
        key = target if isinstance(target, str) else id(target)
        groups.setdefault(key, (node, []))[1].append(row)
    return list(groups.values())


def in_batches(rows: list[Any], database: Any, params: int) -> list[list[Any]]:
    """Cut rows into lists, each of which one statement takes.

    Args:
        rows: what is cut.
        database: the Database object of the statement.
        params: how many bound parameters each row needs.
    """
    size = max(1, drivers.traits_of(database).max_params // max(1, params))
    return [rows[start : start + size] for start in range(0, len(rows), size)]
