"""How a row changes homes: copied to another database, or moved there."""

from __future__ import annotations

from typing import Any

from .. import routing, scope
from ..errors import ConfigurationError
from ..home import Home
from .rows import RowHome, at_home

__all__ = ["copy_to", "move_to"]


def copy_to(row: Any, name: str) -> Any:
    """Insert a copy of the row into the database of that name and return the copy."""
    node = row._home
    if node is not None and node.entry.target == name:
        raise ConfigurationError(f"{row!r} lives in {name!r} already; copy_to() takes another database.")
    home: Home = row._meta.home
    if home.rule is not None:
        # A key that belongs elsewhere is refused by the insert itself.
        routing.decide(home, None, using=name, query=type(row).insert(**row.__data__))
    target = routing.decide(home, None, using=name)
    routing.live(home, target)
    copy = type(row)(__no_default__=True)
    copy.__data__ = dict(row.__data__)
    copy._dirty = set(copy.__data__)
    copy._home = scope.Scope(RowHome(target, home), None)
    copy.save(force_insert=True)
    return copy


def move_to(row: Any, name: str) -> None:
    """Move the row to the database of that name."""
    node = row._home
    if node is None:
        raise ConfigurationError(
            f"{row!r} was never loaded or saved, so it has no home to leave; save it inside use_db({name!r})."
        )
    if node.entry.target == name:
        return
    home: Home = row._meta.home
    source = routing.live(home, node.entry.target)
    there = routing.live(home, routing.decide(home, None, using=name))
    # The deletion waits for its commit until the copy is durable.
    with source.atomic():
        with at_home(row):
            deleted = type(row).delete().where(row._pk_expr()).execute()
        if not deleted:
            raise row.DoesNotExist(f"{row!r} is no longer in {routing.describe(home, node.entry.target)}.")
        with there.atomic():
            copy = copy_to(row, name)
    row._home = copy._home
