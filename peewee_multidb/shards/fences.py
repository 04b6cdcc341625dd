"""The row in each shard that says how often units came or went, and which are closed right now.

A write looks at the row in its own transaction and keeps a shared lock on it until the end, so that units
cannot leave the shard under it. `Rebalance` takes the exclusive lock, which waits for the writes under way,
and closes the units that it is about to switch: that is the fence.

A shard is closed in two phases. While it is *closed*, the units take no writes, and everybody still reads
them. While it is *switching*, rows appear in one shard and disappear from the other, and nobody who knows
that something moves reads from either. The epoch is raised together with the rows, in one transaction. So
a reader who finds the same epoch before and after, and no switching, has read what the map said.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import peewee

from ..drivers import traits_of
from ..errors import ConfigurationError

__all__ = ["Fence", "close", "create", "lock_exclusively", "look", "open_again", "require_engine", "share"]

TABLE = "multidb_shard_fence"
CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR(64) NOT NULL PRIMARY KEY, "
    "epoch BIGINT NOT NULL, units {text} NOT NULL, switching INTEGER NOT NULL)"
)
SELECT = f"SELECT epoch, units, switching FROM {TABLE} WHERE name = {{param}} {{lock}}"
TOUCH = f"UPDATE {TABLE} SET epoch = epoch WHERE name = {{param}}"
INSERT = f"INSERT INTO {TABLE} (name, epoch, units, switching) VALUES ({{param}}, 0, '[]', 0)"
CLOSE = (
    f"UPDATE {TABLE} SET epoch = {{param}}, units = {{param}}, switching = {{param}} WHERE name = {{param}}"
)
ENGINES = ("sqlite", "postgresql", "mysql")

#: The seconds that the exclusive lock is waited for at a time: while it waits, new writes wait behind it.
LOCK_SECONDS = 2


NO_UNITS: frozenset[int] = frozenset()


class Fence(NamedTuple):
    """What the row says.

    Attributes:
        epoch: how often units came or went.
        units: the numbers of the units that take no writes now.
        switching: whether rows are changing shards this very moment.
    """

    epoch: int
    units: frozenset[int]
    switching: bool


def require_engine(database: Any, name: str) -> None:
    """Refuse an engine whose locks nobody has tried.

    Raises:
        ConfigurationError: it is neither SQLite nor PostgreSQL nor MySQL or MariaDB.
    """
    engine = traits_of(database).engine
    if engine not in ENGINES:
        raise ConfigurationError(
            f"A StoredMap needs SQLite, PostgreSQL, MySQL or MariaDB; {name!r} is {engine}. "
            "Give the rule a fixed map there."
        )


def create(database: Any, name: str, map_name: str) -> None:
    """Make the row of a map in a shard, and its table, where they are missing."""
    require_engine(database, name)
    if not database.table_exists(TABLE):
        text = "MEDIUMTEXT" if traits_of(database).engine == "mysql" else "TEXT"
        database.execute_sql(CREATE.format(text=text))
    if _read(database, map_name, "") is None:
        with contextlib.suppress(peewee.IntegrityError), database.atomic():
            database.execute_sql(INSERT.format(param=database.param), (map_name,))


def look(database: Any, map_name: str) -> Fence:
    """Return what the row says, without a lock."""
    return _required(database, map_name, "")


def share(database: Any, map_name: str) -> Fence:
    """Return what the row says, and keep a shared lock on it until the end of the transaction."""
    engine = traits_of(database).engine
    if engine == "sqlite":
        # The first write of a transaction; it waits for the writer before it, and locks out the next.
        database.execute_sql(TOUCH.format(param=database.param), (map_name,))
        return _required(database, map_name, "")
    return _required(database, map_name, "FOR SHARE" if engine == "postgresql" else "LOCK IN SHARE MODE")


@contextlib.contextmanager
def lock_exclusively(database: Any, map_name: str) -> Iterator[Fence]:
    """A transaction that holds the exclusive lock; entering it waits for the writes under way.

    Raises:
        peewee.OperationalError: they took longer than `LOCK_SECONDS`.
    """
    engine = traits_of(database).engine
    if engine == "mysql":
        database.execute_sql(f"SET SESSION innodb_lock_wait_timeout = {LOCK_SECONDS}")
    begin = ("IMMEDIATE",) if engine == "sqlite" else ()
    try:
        with database.atomic(*begin):
            if engine == "postgresql":
                database.execute_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                # Of the table first: its queue is fair, a row's is not. Writers lock it in ROW SHARE mode.
                database.execute_sql(f"LOCK TABLE {TABLE} IN EXCLUSIVE MODE")
            yield _required(database, map_name, "" if engine == "sqlite" else "FOR UPDATE")
    finally:
        if engine == "mysql":
            database.execute_sql("SET SESSION innodb_lock_wait_timeout = DEFAULT")


def close(database: Any, map_name: str, units: list[int], *, switching: bool, epoch: int) -> None:
    """Say which units take no writes; inside of `lock_exclusively`."""
    values = (epoch, json.dumps(sorted(units)), int(switching), map_name)
    database.execute_sql(CLOSE.format(param=database.param), values)


def open_again(database: Any, map_name: str) -> None:
    """Say that every unit takes writes again."""
    with lock_exclusively(database, map_name) as fence:
        close(database, map_name, [], switching=False, epoch=fence.epoch)


def _required(database: Any, map_name: str, lock: str) -> Fence:
    fence = _read(database, map_name, lock)
    if fence is None:
        raise ConfigurationError(
            f"A shard has no row of the shard map {map_name!r} in {TABLE}: call create() of the map."
        )
    return fence


def _read(database: Any, map_name: str, lock: str) -> Fence | None:
    sql = SELECT.format(param=database.param, lock=lock)
    row = database.execute_sql(sql, (map_name,)).fetchone()
    if row is None:
        return None
    return Fence(row[0], NO_UNITS if row[1] == "[]" else frozenset(json.loads(row[1])), bool(row[2]))
