"""Where models live, for DDL: the database names of each, in the order in which tables can be made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import peewee

from .. import scope
from ..errors import ConfigurationError
from ..home import Home
from ..registry import Databases

__all__ = ["Names", "chosen", "home_of", "names_of", "sorted_models"]

#: Which databases: names, a function that returns them, or None for all.
Names = Iterable[str] | Callable[[], Iterable[str]] | None

# Not in Peewee's type stubs.
sort: Any = peewee.sort_models  # type: ignore[attr-defined]


def home_of(model: Any) -> Home:
    """Return the home of a model.

    Raises:
        ConfigurationError: it is no model of this package.
    """
    home = getattr(getattr(model, "_meta", None), "home", None)
    if not isinstance(home, Home):
        what = getattr(model, "__name__", repr(model))
        raise ConfigurationError(
            f"{what} is no model of peewee_multidb: derive it from peewee_multidb.Model, or adopt() it."
        )
    return home


def names_of(model: Any) -> tuple[str, ...]:
    """Return the names of the databases that have the table of a model: its home, its shards or its copies.

    Of several names in ``db_name`` the first is home. A model without a home has none. Renames of the current
    scope apply.
    """
    home = home_of(model)
    around = scope.current()
    if home.database is not None:
        name = home.registry.name_of(home.database)
        return () if name is None else (name,)
    if home.rule is not None or home.reference:
        return tuple(dict.fromkeys(scope.renamed(around, name) for name in home.names or ()))
    return () if home.name is None else (scope.renamed(around, home.name),)


def sorted_models(models: Iterable[Any]) -> list[Any]:
    """Return models, each once, so that one comes after those that its foreign keys refer to.

    Raises:
        ConfigurationError: one is no model of this package.
    """
    unique = list(dict.fromkeys(models))
    for model in unique:
        home_of(model)
    ordered: list[Any] = sort(unique)
    return ordered


def chosen(names: Names, registry: Databases) -> tuple[str, ...]:
    """Return the names that a caller means, each once.

    Args:
        names: as the caller gave them.
        registry: where they have to be.

    Raises:
        UnknownDatabase: one is not there.
    """
    if isinstance(names, str):
        names = (names,)
    given = registry.names if names is None else names() if callable(names) else names
    found = tuple(dict.fromkeys(given))
    for name in found:
        if name not in registry:
            raise registry.unknown(name)
    return found
