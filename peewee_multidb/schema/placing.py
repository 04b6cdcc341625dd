"""Where models live, for DDL: the database names of each, in the order in which tables can be made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import peewee

from .. import scope
from ..errors import ConfigurationError
from ..home import Home
from ..registry import Databases

__all__ = ["Names", "chosen", "home_of", "living_in", "names_of", "scope_of", "sorted_models"]

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

    Of several names in ``db_name`` the first is home. A model without a home has none. Scopes do not count.
    """
    home = home_of(model)
    if home.database is not None:
        name = home.registry.name_of(home.database)
        return () if name is None else (name,)
    if home.rule is not None or home.reference:
        return tuple(home.names or ())
    return () if home.name is None else (home.name,)


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


def living_in(
    models: Iterable[Any], names: Names, registry: Databases
) -> tuple[dict[str, list[Any]], list[tuple[str, str]]]:
    """Return the models that live in each database, and what is left out: a model and why.

    A blanket scope counts: a model that it places is there and nowhere else. A model without a home is in each
    database that is named.

    Args:
        models: in the order that is kept.
        names: of the databases; None for all.
        registry: of the databases.

    Raises:
        ConfigurationError: a model is of another registry.
        UnknownDatabase: a name is not there.
    """
    wanted = chosen(names, registry)
    found: dict[str, list[Any]] = {name: [] for name in wanted}
    left: list[tuple[str, str]] = []
    around = scope.current()
    for model in models:
        home = home_of(model)
        if home.registry is not registry:
            raise ConfigurationError(f"{model.__name__} belongs to another registry than the one that is meant.")
        placed = scope.place(around, home)
        if placed is not None:
            target = placed[0]
            name = target if isinstance(target, str) else registry.name_of(target)
            homes: tuple[str, ...] = () if name is None else (scope.renamed(around, name),)
        elif home.name is None and home.rule is None and not home.reference and home.database is None:
            homes = wanted if names is not None else ()
            if names is None:
                left.append((model.__name__, "it has no home (db_name = None): name the databases"))
        else:
            homes = tuple(dict.fromkeys(scope.renamed(around, name) for name in names_of(model)))
        for name in homes:
            if name in found:
                found[name].append(model)
            elif names is None:
                raise registry.unknown(name)
    return found, left


@contextlib.contextmanager
def scope_of(around: Any) -> Iterator[None]:
    """Be in another scope for a while: in the one of the caller, inside a thread that works for it."""
    here = scope.current()
    scope.switch(around)
    try:
        yield
    finally:
        scope.switch(here)
