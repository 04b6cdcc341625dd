"""``delete_instance(recursive=True)`` where the dependents live in other databases.

Peewee finds dependents with subqueries of subqueries, which no statement can do across databases. When a
dependent lives elsewhere, its keys are fetched and sent instead, level by level, deepest rows first.
"""

from __future__ import annotations

from typing import Any

from .. import drivers, routing, scope

__all__ = ["delete_dependents"]


def delete_dependents(row: Any, delete_nullable: bool) -> bool:
    """Delete what refers to the row, if some of it lives in another database than the row.

    Called in the row's own scope.

    Returns:
        Whether it was done; False leaves it to Peewee, whose subqueries are fewer round trips.
    """
    here = _database(type(row))
    models = {fk.model for _, fk in row.dependencies()}
    if all(_database(model) is here for model in models):
        return False
    for fk in type(row)._meta.backrefs:
        _delete(fk, [row.__data__[fk.rel_field.name]], delete_nullable, set())
    return True


def _database(model: Any) -> Any:
    home = getattr(model._meta, "home", None)
    if home is None:
        # A plain Peewee model may refer to one of ours.
        return model._meta.database
    return routing.live(home, routing.decide(home, scope.current()))


def _delete(fk: Any, keys: list[Any], delete_nullable: bool, seen: set[Any]) -> None:
    model = fk.model
    # By identity: fields of two models of one name have one hash, and comparing them is always true.
    keys = [key for key in keys if key is not None and (id(fk), key) not in seen]
    seen.update((id(fk), key) for key in keys)
    size = max(1, drivers.traits_of(_database(model)).max_params // 2)
    for start in range(0, len(keys), size):
        mine = fk << keys[start : start + size]
        if fk.null and not delete_nullable:
            model.update({fk: None}).where(mine).execute()
            continue
        for deeper in model._meta.backrefs:
            query = model.select(deeper.rel_field).where(mine).distinct().tuples()
            _delete(deeper, [value for (value,) in query], delete_nullable, seen)
        model.delete().where(mine).execute()


