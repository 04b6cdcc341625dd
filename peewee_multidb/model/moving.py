"""How a row changes homes: copied to another database, or moved there."""

from __future__ import annotations

from typing import Any

from .. import routing, scope
from ..errors import ConfigurationError
from ..home import Home
from .rows import at_home, entry_of

__all__ = ["copy_to", "move_to"]


def copy_to(row: Any, name: str) -> Any:
    """Insert a copy of the row into the database of that name and return the copy."""
    _require_name("copy_to", name)
    node = row._home
    if node is None:
        raise ConfigurationError(
            f"{row!r} was never loaded or saved, so there is nothing to copy; "
            f"save it inside use_db({name!r})."
        )
    if node.entry.target == name:
        raise ConfigurationError(f"{row!r} lives in {name!r} already; copy_to() takes another database.")
    return _insert_copy(row, _whole(row), name)


def _insert_copy(row: Any, values: dict[str, Any], name: str) -> Any:
    home: Home = row._meta.home
    if home.rule is not None:
        # A key that belongs elsewhere is refused by the insert itself.
        routing.decide(home, None, using=name, query=type(row).insert(**values))
    target = routing.decide(home, None, using=name)
    routing.live(home, target)
    copy = type(row)(__no_default__=True)
    copy.__data__ = values
    copy._dirty = set(copy.__data__)
    copy._home = scope.Scope(entry_of(target, home), None)
    copy.save(force_insert=True)
    return copy


def move_to(row: Any, name: str) -> None:
    """Move the row to the database of that name."""
    _require_name("move_to", name)
    node = row._home
    if node is None:
        raise ConfigurationError(
            f"{row!r} was never loaded or saved, so it has no home to leave; save it inside use_db({name!r})."
        )
    if node.entry.target == name:
        return
    home: Home = row._meta.home
    routing.refuse_locked(home, node.entry.target)
    source = routing.live(home, node.entry.target)
    there = routing.live(home, routing.decide(home, None, using=name))
    # The deletion waits for its commit until the copy is durable.
    with source.atomic():
        values = _whole(row)
        with at_home(row):
            deleted = type(row).delete().where(row._pk_expr()).execute()
        if not deleted:
            raise row.DoesNotExist(f"{row!r} is no longer in {routing.describe(home, node.entry.target)}.")
        with there.atomic():
            copy = _insert_copy(row, values, name)
    row._home = copy._home
    # What was loaded beside the row is beside it no more.
    row.__rel__.clear()


def _whole(row: Any) -> dict[str, Any]:
    """Return the values of every field of the row: its own, and those that it was loaded without.

    A copy without them would have the defaults of the fields there instead.

    Raises:
        Model.DoesNotExist: they have to be loaded, and the row is gone.
    """
    values: dict[str, Any] = row.__data__
    # By name: comparing fields makes an expression.
    missing = [field for field in row._meta.sorted_fields if field.name not in values]
    if not missing:
        return dict(values)
    with at_home(row):
        # What is copied must not be old.
        rest = type(row).select(*missing).where(row._pk_expr()).using(role="primary").get()
    return {**rest.__data__, **values}


def _require_name(caller: str, name: object) -> None:
    if not isinstance(name, str):
        raise ConfigurationError(f"{caller}() takes a database name, not {name!r}.")
