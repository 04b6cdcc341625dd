"""`get_or_create` where it is the row that says which database it is in."""

from __future__ import annotations

from typing import Any

import peewee

from .. import routing, scope
from .sharded_writes import together

__all__ = ["get_or_create"]


def get_or_create(model: Any, **kwargs: Any) -> tuple[Any, bool]:
    """Do what Peewee's ``get_or_create`` does for a sharded or a reference model.

    It looks where the row may be, which without the shard key is every shard, and creates it where it
    belongs.
    """
    values = {**kwargs, **kwargs.get("defaults", {})}
    values.pop("defaults", None)
    kwargs.pop("defaults", None)
    query = model.select()
    for name, value in kwargs.items():
        query = query.where(getattr(model, name) == value)
    # Before anything is asked: without its key the row could not be created.
    targets = routing.decide_many(model._meta.home, scope.current(), query=model.insert(**values))
    try:
        return query.get(), False
    except model.DoesNotExist:
        pass
    try:
        # In a transaction that is open this is a savepoint: a row that cannot be created must not end it.
        with together(model._meta.home, targets, at_least=1):
            return model.create(**values), True
    except peewee.IntegrityError:
        found = query.clone().get_or_none()
        if found is None:
            raise
        return found, False
