"""What has to be true before the first row is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..drivers import connections, traits_of
from ..errors import ConfigurationError, CopyError, NotTransactional, ReadOnlyDatabase
from ..home import Home
from ..rebalance.tables import Row
from ..registry import Databases
from .columns import Column, describe
from .fitting import Check, check_for, impossible
from .tables import CopyTable

__all__ = ["check_databases", "check_models", "problems_of_columns", "problems_of_rows", "watched_columns"]

Advance = Callable[[int], None]

#: How many rows of one column are named.
NAMED = 3


def check_databases(registry: Databases, source: str, target: str) -> tuple[Any, Any]:
    """Return the Database objects of a source and a target.

    Raises:
        UnknownDatabase: a name is not configured.
        ConfigurationError: they are one, or one is asynchronous.
        ReadOnlyDatabase: the target is configured as read-only.
        NotTransactional: the target has no transactions.
        CopyError: a transaction is open there.
    """
    if source == target:
        raise ConfigurationError(f"a copy needs two databases; {source!r} is given as both")
    found = registry[source], registry[target]
    for name, database in zip((source, target), found, strict=True):
        if connections.is_async(database):
            raise ConfigurationError(
                f"a copy needs synchronous databases; {name!r} is {type(database).__name__}. Configure it "
                "by a URL without an asynchronous driver in the program that copies"
            )
        if connections.has_transaction(database):
            raise CopyError(f"a transaction is open in {name!r}: a copy makes its own")
    if registry.entries[target].read_only:
        raise ReadOnlyDatabase(f"{target!r} is configured with read_only: nothing is copied into it")
    if not traits_of(found[1]).transactions:
        raise NotTransactional(
            f"{target!r} has no transactions, so a copy that is interrupted leaves half of a batch"
        )
    return found


def check_models(models: Sequence[Any], registry: Databases, target: str) -> None:
    """Refuse models whose rows must not, or cannot, be copied into a database.

    Raises:
        ConfigurationError: there is none; or one has no primary key, is not managed and lives in the target,
            or is sharded with the target as one of its shards.
    """
    if not models:
        raise ConfigurationError("there is no model to copy")
    for model in models:
        home = getattr(getattr(model, "_meta", None), "home", None)
        if not isinstance(home, Home):
            raise ConfigurationError(f"a copy takes models of peewee_multidb, not {model!r}; see adopt()")
        name = model.__name__
        if not model._meta.primary_key:
            raise ConfigurationError(f"{name} has no primary key, by which its rows could be followed")
        if home.registry is not registry:
            raise ConfigurationError(f"{name} belongs to another registry")
        if not home.managed and home.lists(target):
            raise ConfigurationError(
                f"{name} has managed = False in its Meta and lives in {target!r}: its table is somebody "
                "else's, and nothing is copied into it"
            )
        if home.rule is not None and target in (home.names or ()):
            raise ConfigurationError(
                f"{name} is sharded and {target!r} is one of its shards: its rows go where their keys "
                "belong, see `multidb rebalance`"
            )


def problems_of_columns(table: CopyTable, other: CopyTable, names: tuple[str, str]) -> list[str]:
    """Return why no row of a table may be copied into another one, whatever its values."""
    ours, theirs = _described(table), _described(other)
    where, there = names
    found = []
    known = {field.column_name for field in table.fields}
    model = table.model.__name__
    for column in sorted(ours.keys() - known):
        found.append(
            f"{model}: the column {column!r} of {where!r} is unknown to the model, and its values would be "
            "lost; add the field"
        )
    for column in sorted(known - ours.keys()):
        found.append(f"{model}: there is no column {column!r} in {where!r}")
    for column in sorted(known - theirs.keys()):
        found.append(f"{model}: there is no column {column!r} in {there!r}; migrate it first")
    for column in sorted(theirs.keys() - known):
        if not theirs[column].filled:
            found.append(
                f"{model}: the column {column!r} of {there!r} must have a value, and there is none for it"
            )
    for field in table.fields:
        one, two = ours.get(field.column_name), theirs.get(field.column_name)
        reason = impossible(one, two) if one is not None and two is not None else None
        if reason is not None:
            found.append(f"{model}.{field.name}: {reason}")
    return found


def watched_columns(table: CopyTable, other: CopyTable) -> list[tuple[Any, Check, Column]]:
    """Return the fields some of whose values may not fit, with what tells of a value whether it does."""
    ours, theirs = _described(table), _described(other)
    found = []
    for field in table.fields:
        one, two = ours.get(field.column_name), theirs.get(field.column_name)
        if one is None or two is None:
            continue
        check = check_for(one, two, table.engine, other.engine)
        if check is not None:
            found.append((field, check, two))
    return found


def problems_of_rows(
    table: CopyTable, other: CopyTable, batch: int, after: Row | None, advance: Advance
) -> list[str]:
    """Read the columns that may not fit and return what does not; nothing is read if all types do.

    Args:
        table: the source.
        other: the target.
        batch: rows that are read at a time.
        after: the primary key behind which to begin; None for all rows.
        advance: called with how many rows were read.
    """
    watched = watched_columns(table, other)
    if not watched:
        return []
    counts: dict[str, int] = {}
    found: list[str] = []
    width = len(table.keys)
    for page in table.pages(batch, after, [field for field, _, _ in watched]):
        for row in page:
            for (field, check, column), value in zip(watched, row[width:], strict=True):
                problem = check(value)
                if problem is None:
                    continue
                counts[field.name] = counts.get(field.name, 0) + 1
                if counts[field.name] <= NAMED:
                    key = row[0] if width == 1 else row[:width]
                    found.append(
                        f"{table.model.__name__}.{field.name} of the row {key!s} does not fit "
                        f"{column.declared}: {problem}"
                    )
        advance(len(page))
    found += [
        f"{table.model.__name__}.{name}: {count - NAMED:,} more rows do not fit"
        for name, count in counts.items()
        if count > NAMED
    ]
    return found


def _described(table: CopyTable) -> dict[str, Column]:
    return describe(table.database, table.plain_name, table.model._meta.schema)
