"""`LookupShards`: a directory of keys, in a table, which can be changed while programs run.

For keys that are few and unlike each other, tenants above all: each is where somebody put it. A process
keeps what it has looked up for a limited time. Keys are stored as the hash of their canonical encoding
(`peewee_multidb.shards.keys`), which no collation can confuse, and beside it in a form to be read.

With a `StoredMap` the rows of a key can move while programs run. Its owner is then in the directory alone,
and the map's version says how old an answer of the directory is: it is read in the same statement, and what
a process has kept counts for a map of that version or an older one. A switch changes both in one
transaction. So an answer is never older than the map that a query goes by; and one that is newer meets a
shard whose epoch is newer, too, see `peewee_multidb.shards.fences`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import peewee

from ..drivers import connections
from ..errors import ConfigurationError, InvalidShardKey, ShardMoved
from ..registry import Databases, databases
from .keys import encoded
from .mapstate import CLOSED
from .rules import Rule, checked_names, key_names
from .stored import TABLE as MAP_TABLE
from .stored import StoredMap

__all__ = ["LookupShards"]

TABLE = "multidb_shard_directory"
CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR(64) NOT NULL, digest CHAR(32) NOT NULL, "
    "shown VARCHAR(200) NOT NULL, shard VARCHAR(64) NOT NULL, PRIMARY KEY (name, digest))"
)
SELECT = f"SELECT shard FROM {TABLE} WHERE name = {{0}} AND digest = {{0}}"
SELECT_WITH_VERSION = (
    f"SELECT k.shard, m.version FROM {MAP_TABLE} m "
    f"LEFT JOIN {TABLE} k ON k.name = m.name AND k.digest = {{0}} WHERE m.name = {{0}}"
)
ENTRIES = f"SELECT digest, shard FROM {TABLE} WHERE name = {{0}}"
LIST = f"SELECT shown, shard FROM {TABLE} WHERE name = {{0}} ORDER BY shown"
INSERT = f"INSERT INTO {TABLE} (name, digest, shown, shard) VALUES ({{0}}, {{0}}, {{0}}, {{0}})"
UPDATE = f"UPDATE {TABLE} SET shard = {{0}} WHERE name = {{0}} AND digest = {{0}}"
DELETE = f"DELETE FROM {TABLE} WHERE name = {{0}} AND digest = {{0}}"

SHOWN_LENGTH = 200


class LookupShards(Rule):
    """Look every key up in a directory.

    Args:
        names: the database names of the shards.
        directory: the database name where the table of the directory is; that of the map when it has one.
        key: the field, or tuple of fields, that is looked up; ``Meta.shard_key`` says it too.
        name: the name of this directory: several rules may share the table, and one rule that is written
            down in several programs must have the same name in all of them. ``"default"`` when None, or
            the name of the map.
        unknown: what becomes of a key that is not in the directory: None refuses its rows, and reads find
            none; a database name takes them; and a function is called with the key, for each of its new
            rows' first, and the name that it returns is put into the directory.
        lifetime: seconds for which a process believes what it has looked up.
        most: how many keys a process keeps.
        registry: where the names are looked up; the process-wide one when None.
        map: a `StoredMap` with ``units=0``, which has the names, for keys whose rows can move while programs
            run; see `Rebalance`.

    The table is made with that of any model which uses the rule, or by `prepare`.

    Raises:
        ConfigurationError: no names, one twice, or an `unknown` that is none of the three.
    """

    def __init__(
        self,
        *names: str,
        directory: str | None = None,
        key: str | Sequence[str] | None = None,
        name: str | None = None,
        unknown: str | Callable[[Any], str] | None = None,
        lifetime: float = 5.0,
        most: int = 100_000,
        registry: Databases | None = None,
        map: StoredMap | None = None,
    ) -> None:
        if map is not None:
            directory, name = _of_map(map, names, directory, name)
        self.map = map
        self._names = checked_names(names, "LookupShards") if map is None else ()
        self.key = key_names(key, "LookupShards")
        name = "default" if name is None else name
        if not isinstance(directory, str) or not directory:
            raise ConfigurationError(f"LookupShards: directory is the name of a database, not {directory!r}.")
        if not isinstance(name, str) or not name or len(name) > 64:
            raise ConfigurationError(f"LookupShards: {name!r} is no name of at most 64 characters.")
        if isinstance(unknown, str):
            if map is None:
                self._require(unknown)
        elif unknown is not None and not callable(unknown):
            raise ConfigurationError(
                f"LookupShards(unknown={unknown!r}): it takes None, the name of a shard, or a function."
            )
        if lifetime < 0 or most < 1:
            raise ConfigurationError("LookupShards: lifetime is not below 0, and most not below 1.")
        self.directory = directory
        self.name = name
        self.unknown = unknown
        self.lifetime = lifetime
        self.most = most
        if registry is None:
            registry = databases if map is None else map.registry
        self.registry = registry
        if map is not None:
            map.serve(registry)
            if map.registry is not registry:
                raise ConfigurationError("LookupShards and its map are of two registries; name one.")
        #: The shard of a digest, when to look again, and the version of the map that it was read with.
        self._known: dict[str, tuple[str, float, int]] = {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The database names of the shards."""
        return self._names if self.map is None else self.map.names

    def unit_of(self, key: Any) -> int:
        """Return the number that a key has while it moves, of 63 bits.

        Raises:
            InvalidShardKey: a value of its type cannot be a key.
        """
        return unit_of_digest(_digest(key))

    def shard_of(self, key: Any) -> str:
        """Return the shard for a row of this key; a key that is unknown may be put into the directory.

        Raises:
            InvalidShardKey: the key is unknown, and nothing says what to do with it.
            ConfigurationError: the function for unknown keys returned no shard, or was called for inside a
                transaction of the directory's database, which could undo what it says.
        """
        found = self._look_up(key)
        if found is not None:
            return found
        if self.unknown is None:
            raise InvalidShardKey(
                f"{key!r} is not in the directory {self.name!r} of database {self.directory!r}. Put it "
                f"there: rule.assign({key!r}, name of a shard)."
            )
        if isinstance(self.unknown, str):
            self._require(self.unknown)
            return self.unknown
        return self._put(key, self.unknown(key), replace=False)

    def find(self, key: Any) -> str | None:
        """Return the shard where rows of this key are, or None when there can be none."""
        found = self._look_up(key)
        if found is None and isinstance(self.unknown, str):
            self._require(self.unknown)
            return self.unknown
        return found

    def check(self, fields: Sequence[Any]) -> None:
        """Refuse a model of another registry than the directory's.

        Args:
            fields: the Field objects of the key.

        Raises:
            ConfigurationError: it is.
        """
        for field in fields:
            home = getattr(field.model._meta, "home", None)
            if home is not None and home.registry is not self.registry:
                raise ConfigurationError(
                    f"{field.model.__name__} is of another registry than {self!r}: give the rule the same "
                    "one, LookupShards(..., registry=...)."
                )

    def prepare(self) -> None:
        """Make the table of the directory, where there is none, and what its map needs."""
        self._database().execute_sql(CREATE)
        super().prepare()

    def assign(self, key: Any, shard: str) -> None:
        """Put a key into the directory, or change what is there; no row moves by that.

        Other processes notice when what they have looked up is older than `lifetime`.

        Args:
            key: the value of the shard key; a tuple for several fields.
            shard: the database name of its shard.

        Raises:
            ConfigurationError: not the name of a shard; or a transaction is open on the directory's database,
                which could undo it; or a `Rebalance` is moving the rows of the key.
        """
        self._put(key, shard, replace=True)

    def forget(self, key: Any) -> None:
        """Take a key out of the directory.

        Args:
            key: the value of the shard key; a tuple for several fields.

        Raises:
            ConfigurationError: a `Rebalance` is moving the rows of the key.
        """
        digest = _digest(key)
        with self._changing(key):
            self._run(DELETE, self.name, digest)
        with self._lock:
            self._known.pop(digest, None)

    def refresh(self) -> None:
        """Look everything up anew from now on, in this process."""
        with self._lock:
            self._known.clear()

    def listed(self) -> list[tuple[str, str]]:
        """Return what is in the directory: each key in a form to be read, and its shard."""
        return [(shown, shard) for shown, shard in self._run(LIST, self.name).fetchall()]

    def entries(self) -> dict[str, str]:
        """Return what is in the directory: the digest of each key, and its shard."""
        return dict(self._run(ENTRIES, self.name).fetchall())

    def point(self, digests: Iterable[str], shard: str) -> None:
        """Say where the rows of some keys are now; for `Rebalance`, which has moved them."""
        for digest in digests:
            self._run(UPDATE, shard, self.name, digest)

    def _look_up(self, key: Any) -> str | None:
        digest, needed = _digest(key), 0
        if self.map is not None:
            state = self.map.current()
            if state.closed and unit_of_digest(digest) in state.closed:
                return CLOSED
            needed = state.version
        known = self._known.get(digest)
        is_young = known is not None and known[1] > time.monotonic() and known[2] >= needed
        # Another thread may have found it in a shard that the map here does not know yet.
        if known is not None and is_young and known[0] in self.names:
            return known[0]
        shard, version = self._read(key, digest, needed)
        if shard is None:
            with self._lock:
                self._known.pop(digest, None)
            return None
        if shard not in self.names:
            if self.map is not None and version > needed:
                self._refresh_map(key)
            if shard not in self.names:
                raise ConfigurationError(
                    f"The directory {self.name!r} of database {self.directory!r} says {shard!r} for {key!r}, "
                    f"which is not among the shards ({', '.join(self.names)})."
                )
        self._remember(digest, shard, version)
        return shard

    def _read(self, key: Any, digest: str, needed: int) -> tuple[str | None, int]:
        """Return the shard that the directory says, and the version of the map at that moment."""
        if self.map is None:
            row = self._run(SELECT, self.name, digest).fetchone()
            return (None if row is None else row[0]), 0
        row = self._run(SELECT_WITH_VERSION, digest, self.name).fetchone()
        if row is None or row[1] < needed:
            raise ShardMoved(
                f"{key!r} was looked up in the directory {self.name!r} inside a transaction of database "
                f"{self.directory!r} that began before rows were announced to move, and sees what was then. "
                "Begin it anew, see retry_moved.",
                patience=self.map.patience,
            )
        return row[0], row[1]

    def _refresh_map(self, key: Any) -> None:
        """Read a map anew that does not know a shard of the directory yet."""
        assert self.map is not None
        if self.map.is_viewed:
            raise ShardMoved(
                f"{key!r} is in a shard that is newer than the map that a query goes by. Do it again.",
                patience=self.map.patience,
            )
        self.map.refresh()

    def _remember(self, digest: str, shard: str, version: int) -> None:
        if self._database().in_transaction():
            # Perhaps it was read from what may yet be undone.
            return
        with self._lock:
            if len(self._known) >= self.most:
                self._known.clear()
            self._known[digest] = (shard, time.monotonic() + self.lifetime, version)

    def _put(self, key: Any, shard: Any, replace: bool) -> str:
        self._require(shard)
        database = self._database()
        if connections.has_transaction(database):
            raise ConfigurationError(
                f"{key!r} would be put into the directory {self.name!r} inside a transaction of database "
                f"{self.directory!r}, which could undo it when rows are in {shard!r} already. Call "
                f"assign({key!r}, {shard!r}) before the block."
            )
        digest = _digest(key)
        with self._changing(key if replace else None) as version:
            if replace and self._run(UPDATE, shard, self.name, digest).rowcount:
                inserted = True
            else:
                inserted = self._insert(digest, key, shard)
            if replace and not inserted:
                # Somebody was faster, or an UPDATE that changes nothing counts no row.
                self._run(UPDATE, shard, self.name, digest)
        if not replace and not inserted:
            return self._look_up(key) or self._put(key, shard, replace)
        self._remember(digest, shard, version)
        return str(shard)

    def _insert(self, digest: str, key: Any, shard: str) -> bool:
        try:
            with self._database().atomic():
                self._run(INSERT, self.name, digest, repr(key)[:SHOWN_LENGTH], shard)
        except peewee.IntegrityError:
            return False
        return True

    @contextlib.contextmanager
    def _changing(self, key: Any) -> Iterator[int]:
        """Change the directory while no run announces anything; the version of the map is what is yielded.

        Args:
            key: whose entry is to change or to go, unless its rows are moving; None for a new one.
        """
        if self.map is None:
            yield 0
            return
        with self.map.locked() as state:
            if key is not None and self.unit_of(key) in state.moving:
                raise ConfigurationError(
                    f"The rows of {key!r} are moving: a rebalance of {self.name!r} is under way or "
                    "unfinished. Wait for its end, or resume() or abandon() it."
                )
            yield state.version

    def _require(self, shard: Any) -> None:
        if shard not in self.names:
            raise ConfigurationError(
                f"LookupShards: {shard!r} is not among the shards ({', '.join(self.names)})."
            )

    def _database(self) -> Any:
        return self.registry[self.directory]

    def _run(self, sql: str, *params: Any) -> Any:
        database = self._database()
        return database.execute_sql(sql.format(database.param), params)

    def __repr__(self) -> str:
        return f"LookupShards({', '.join(map(repr, self.names))}, directory={self.directory!r})"


def unit_of_digest(digest: str) -> int:
    """Return the number that a key has while it moves; every engine has room for 63 bits."""
    return int(digest[:16], 16) >> 1


def _of_map(
    map: Any, names: tuple[str, ...], directory: str | None, name: str | None
) -> tuple[str, str]:
    """Return the database name and the name of a directory that has a map.

    Raises:
        ConfigurationError: what was given beside the map says otherwise.
    """
    if not isinstance(map, StoredMap):
        raise ConfigurationError(f"LookupShards(map={map!r}): it takes a StoredMap.")
    if names:
        raise ConfigurationError("LookupShards takes names or a map that has them, not both.")
    map.require_units(0, "LookupShards")
    if directory not in (None, map.db) or name not in (None, map.name):
        raise ConfigurationError(
            f"LookupShards: a directory is in the database of its map and has the name of it; leave out "
            f"directory and name, or say directory={map.db!r}, name={map.name!r}."
        )
    return map.db, map.name


def _digest(key: Any) -> str:
    return blake2b(encoded(key), digest_size=16).hexdigest()
