"""``delete_instance(recursive=True)`` where the dependents live in other databases.

Peewee finds dependents with subqueries of subqueries, which no statement can do across databases. When a
dependent lives elsewhere, its keys are fetched and sent instead, level by level, deepest rows first.

Dependents of a sharded row that are colocated with it are in its shard; others may be in any.
"""

from __future__ import annotations

from typing import Any

from .. import drivers, routing, scope
from ..home import Home
from ..shards.everywhere import all_shards
from .rows import binds, row_home

__all__ = ["delete_dependents"]


def delete_dependents(row: Any, delete_nullable: bool) -> bool:
    """Delete what refers to the row, if some of it lives in another database than the row.

    Called in the row's own scope.

    Returns:
        Whether it was done; False leaves it to Peewee, whose subqueries are fewer round trips.
    """
    home: Home | None = getattr(row._meta, "home", None)
    models = {fk.model for _, fk in row.dependencies()}
    if not any(map(_is_spread, (type(row), *models))):
        here = _database(type(row))
        if all(_database(model) is here for model in models):
            return False
    shard = row_home(row._home).target if home is not None and home.rule is not None and row._home else None
    for fk in type(row)._meta.backrefs:
        _delete(fk, [row.__data__[fk.rel_field.name]], delete_nullable, set(), shard)
    return True


def _is_spread(model: Any) -> bool:
    """Whether rows of a model may be in several databases, and nothing here selects one."""
    home: Home | None = getattr(model._meta, "home", None)
    if home is None or home.database is not None or (home.rule is None and not home.reference):
        return False
    return scope.place(scope.current(), home) is None


def _database(model: Any) -> Any:
    home = getattr(model._meta, "home", None)
    if home is None:
        # A plain Peewee model may refer to one of ours.
        return model._meta.database
    return routing.live(home, routing.decide(home, scope.current()))


def _most_params(model: Any) -> int:
    if not _is_spread(model):
        return drivers.traits_of(_database(model)).max_params
    home: Home = model._meta.home
    return min(drivers.traits_of(routing.live(home, name)).max_params for name in home.names or ())


def _delete(fk: Any, keys: list[Any], delete_nullable: bool, seen: set[Any], shard: Any) -> None:
    """Delete the rows of a foreign key's model that refer to one of these keys, and theirs before.

    Args:
        fk: the foreign key.
        keys: what it refers to.
        delete_nullable: whether a row goes that could be left without what it refers to.
        seen: what was gone through already.
        shard: the shard of the rows that are referred to, if they are all of one.
    """
    model = fk.model
    # By identity: fields of two models of one name have one hash, and comparing them is always true.
    keys = [key for key in keys if key is not None and (id(fk), key) not in seen]
    seen.update((id(fk), key) for key in keys)
    beside = _beside(fk, shard)
    size = max(1, _most_params(model) // 2)
    for start in range(0, len(keys), size):
        mine = fk << keys[start : start + size]
        if fk.null and not delete_nullable:
            _run(model.update({fk: None}).where(mine), beside)
            continue
        for deeper in model._meta.backrefs:
            query = model.select(deeper.rel_field).where(mine).distinct().tuples()
            found = query if beside is None else query.using(beside)
            _delete(deeper, [value for (value,) in found], delete_nullable, seen, beside)
        _run(model.delete().where(mine), beside)


def _beside(fk: Any, shard: Any) -> Any:
    """Return the shard of the rows that refer by a foreign key to rows of a shard, if it must be the same."""
    home: Home | None = getattr(fk.model._meta, "home", None)
    other: Home | None = getattr(fk.rel_model._meta, "home", None)
    if home is None or other is None or home.rule is None or home.rule is not other.rule:
        return None
    return shard if isinstance(shard, str) and binds(home, fk) else None


def _run(query: Any, beside: Any) -> None:
    if beside is not None:
        query.using(beside).execute()
    elif _is_spread(query.model) and query.model._meta.home.rule is not None:
        with all_shards(query.model):
            query.clone().execute()
    else:
        query.execute()
