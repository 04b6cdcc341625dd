"""`LookupShards`: a directory of keys, in a table, which can be changed while programs run.

For keys that are few and unlike each other, tenants above all: each is where somebody put it. A process
keeps what it has looked up for a limited time. Keys are stored as the hash of their canonical encoding
(`peewee_multidb.shards.keys`), which no collation can confuse, and beside it in a form to be read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import peewee

from ..drivers import connections
from ..errors import ConfigurationError, InvalidShardKey
from ..registry import Databases, databases
from .keys import encoded
from .rules import Rule, checked_names, key_names

__all__ = ["LookupShards"]

TABLE = "multidb_shard_directory"
CREATE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (name VARCHAR(64) NOT NULL, digest CHAR(32) NOT NULL, "
    "shown VARCHAR(200) NOT NULL, shard VARCHAR(64) NOT NULL, PRIMARY KEY (name, digest))"
)
SELECT = f"SELECT shard FROM {TABLE} WHERE name = {{0}} AND digest = {{0}}"
LIST = f"SELECT shown, shard FROM {TABLE} WHERE name = {{0}} ORDER BY shown"
INSERT = f"INSERT INTO {TABLE} (name, digest, shown, shard) VALUES ({{0}}, {{0}}, {{0}}, {{0}})"
UPDATE = f"UPDATE {TABLE} SET shard = {{0}} WHERE name = {{0}} AND digest = {{0}}"
DELETE = f"DELETE FROM {TABLE} WHERE name = {{0}} AND digest = {{0}}"

SHOWN_LENGTH = 200


class LookupShards(Rule):
    """Look every key up in a directory.

    Args:
        names: the database names of the shards.
        directory: the database name where the table of the directory is.
        key: the field, or tuple of fields, that is looked up; ``Meta.shard_key`` says it too.
        name: the name of this directory: several rules may share the table, and one rule that is written
            down in several programs must have the same name in all of them.
        unknown: what becomes of a key that is not in the directory: None refuses its rows, and reads find
            none; a database name takes them; and a function is called with the key, for each of its new
            rows' first, and the name that it returns is put into the directory.
        lifetime: seconds for which a process believes what it has looked up.
        most: how many keys a process keeps.
        registry: where the names are looked up; the process-wide one when None.

    The table is made with that of any model which uses the rule, or by `prepare`.

    Raises:
        ConfigurationError: no names, one twice, or an `unknown` that is none of the three.
    """

    names: tuple[str, ...] = ()

    def __init__(
        self,
        *names: str,
        directory: str,
        key: str | Sequence[str] | None = None,
        name: str = "default",
        unknown: str | Callable[[Any], str] | None = None,
        lifetime: float = 5.0,
        most: int = 100_000,
        registry: Databases | None = None,
    ) -> None:
        self.names = checked_names(names, "LookupShards")
        self.key = key_names(key, "LookupShards")
        if not isinstance(directory, str) or not directory:
            raise ConfigurationError(f"LookupShards: directory is the name of a database, not {directory!r}.")
        if not isinstance(name, str) or not name or len(name) > 64:
            raise ConfigurationError(f"LookupShards: {name!r} is no name of at most 64 characters.")
        if isinstance(unknown, str):
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
        self.registry = databases if registry is None else registry
        self._known: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

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
            return self.unknown
        return self._put(key, self.unknown(key), replace=False)

    def find(self, key: Any) -> str | None:
        """Return the shard where rows of this key are, or None when there can be none."""
        found = self._look_up(key)
        if found is None and isinstance(self.unknown, str):
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
        """Make the table of the directory, where there is none."""
        self._database().execute_sql(CREATE)

    def assign(self, key: Any, shard: str) -> None:
        """Put a key into the directory, or change what is there; no row moves by that.

        Other processes notice when what they have looked up is older than `lifetime`.

        Args:
            key: the value of the shard key; a tuple for several fields.
            shard: the database name of its shard.

        Raises:
            ConfigurationError: not the name of a shard; or a transaction is open on the directory's database,
                which could undo it.
        """
        self._put(key, shard, replace=True)

    def forget(self, key: Any) -> None:
        """Take a key out of the directory.

        Args:
            key: the value of the shard key; a tuple for several fields.
        """
        digest = _digest(key)
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

    def _look_up(self, key: Any) -> str | None:
        digest = _digest(key)
        known = self._known.get(digest)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        row = self._run(SELECT, self.name, digest).fetchone()
        if row is None:
            with self._lock:
                self._known.pop(digest, None)
            return None
        shard: str = row[0]
        if shard not in self.names:
            raise ConfigurationError(
                f"The directory {self.name!r} of database {self.directory!r} says {shard!r} for {key!r}, "
                f"which is not among the shards ({', '.join(self.names)})."
            )
        self._remember(digest, shard)
        return shard

    def _remember(self, digest: str, shard: str) -> None:
        if self._database().in_transaction():
            # Perhaps it was read from what may yet be undone.
            return
        with self._lock:
            if len(self._known) >= self.most:
                self._known.clear()
            self._known[digest] = (shard, time.monotonic() + self.lifetime)

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
        if not replace or not self._run(UPDATE, shard, self.name, digest).rowcount:
            try:
                with database.atomic():
                    self._run(INSERT, self.name, digest, repr(key)[:SHOWN_LENGTH], shard)
            except peewee.IntegrityError:
                # Somebody was faster, or an UPDATE that changes nothing counts no row.
                if replace:
                    self._run(UPDATE, shard, self.name, digest)
                else:
                    return self._look_up(key) or self._put(key, shard, replace)
        self._remember(digest, shard)
        return str(shard)

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


def _digest(key: Any) -> str:
    return blake2b(encoded(key), digest_size=16).hexdigest()
