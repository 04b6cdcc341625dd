"""What has to be true before rows are moved, asked before the first change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import peewee

from ..drivers import connections
from ..errors import ConfigurationError, RebalanceError
from ..home import Home
from ..shards.fences import require_engine
from ..shards.stored import StoredMap

__all__ = ["check_databases", "check_models", "check_tables", "models_of", "references_of"]


def check_models(models: Sequence[Any]) -> StoredMap:
    """Return the map that the models are sharded by.

    Raises:
        ConfigurationError: there is none, or not the same for all; a row does not hold its shard key; or a
            model has no primary key.
    """
    if not models:
        raise ConfigurationError("Rebalance() takes the models whose rows move together.")
    homes = []
    for model in models:
        home = getattr(getattr(model, "_meta", None), "home", None)
        if not isinstance(home, Home) or home.rule is None:
            raise ConfigurationError(f"Rebalance() takes sharded models, not {model!r}.")
        homes.append(home)
    first = homes[0]
    stored = getattr(first.rule, "map", None)
    if not isinstance(stored, StoredMap):
        raise ConfigurationError(
            f"{first.model.__name__} has a sharding rule whose map is fixed. Give a rule of HashShards, "
            "RangeShards or LookupShards a StoredMap, in every program, before rows can move."
        )
    for home in homes:
        name = home.model.__name__
        if home.rule is not first.rule:
            raise ConfigurationError(f"{name} is sharded by another rule than {first.model.__name__}.")
        if not home.shard_key:
            raise ConfigurationError(
                f"A row of {name} does not hold its shard key, only a reference to the row that does, so "
                "it cannot be moved. Add the key as a field."
            )
        if not home.model._meta.primary_key:
            raise ConfigurationError(f"{name} has no primary key, by which a row could be followed.")
    return stored


def models_of(rule: Any) -> Iterator[Any]:
    """Return every model that is sharded by a rule."""
    return (model for model in _models(peewee.Model) if model._meta.home.rule is rule)


def references_of(rule: Any) -> Iterator[Any]:
    """Return every model that is copied to all shards of a rule."""
    for model in _models(peewee.Model):
        home = model._meta.home
        if home.reference and home.rule is None and getattr(home, "_listed", None) is rule:
            yield model


def _models(base: Any) -> Iterator[Any]:
    for model in base.__subclasses__():
        if isinstance(getattr(getattr(model, "_meta", None), "home", None), Home):
            yield model
        yield from _models(model)


def check_databases(stored: StoredMap, names: Sequence[str]) -> None:
    """Refuse databases that a rebalance cannot work with.

    Raises:
        ConfigurationError: one is asynchronous, or of an engine whose locks nobody has tried.
        RebalanceError: a transaction is open here.
        UnknownDatabase: a name is not in the registry.
    """
    for name in (stored.db, *names):
        database = stored.shard(name)
        require_engine(database, name)
        if connections.is_async(database):
            raise ConfigurationError(
                f"A rebalance needs synchronous databases; {name!r} is {type(database).__name__}. "
                "Configure it by a URL without an asynchronous driver in the program that moves the rows."
            )
        if connections.has_transaction(database):
            raise RebalanceError(f"A transaction is open in {name!r}: a rebalance makes its own.")


def check_tables(stored: StoredMap, models: Sequence[Any], sources: Sequence[str]) -> None:
    """Refuse tables whose rows would lose something.

    Raises:
        RebalanceError: a table has a column that the model does not know, a model of the same rule or a
            table that refers to one of these is not among those that move.
    """
    moving = {model._meta.table_name for model in models}
    rule = models[0]._meta.home.rule
    for source in sources:
        database: Any = stored.shard(source)
        tables = set(database.get_tables())
        for other in models_of(rule):
            if other not in models and other._meta.table_name in tables - moving:
                raise RebalanceError(
                    f"{other.__name__} is sharded by the same rule and has a table in {source!r}: its rows "
                    f"have to move along. Say Rebalance(..., {other.__name__})."
                )
        for model in models:
            meta = model._meta
            known = {field.column_name for field in meta.sorted_fields}
            actual = {column.name for column in database.get_columns(meta.table_name, meta.schema)}
            if actual - known:
                raise RebalanceError(
                    f"The table {meta.table_name!r} in {source!r} has the column(s) "
                    f"{', '.join(sorted(actual - known))}, which {model.__name__} does not know: their "
                    "values would be lost. Add the fields."
                )
        for table in sorted(tables - moving):
            for key in database.get_foreign_keys(table):
                if key.dest_table in moving:
                    raise RebalanceError(
                        f"The table {table!r} in {source!r} refers to {key.dest_table!r} by a foreign key, "
                        "so that rows cannot leave. Move its model along, or drop the constraint."
                    )
