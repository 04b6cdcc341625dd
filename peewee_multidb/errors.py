"""Every exception and warning of the package.

All derive from `MultiDBError`. Where Peewee users already catch something for the same kind of
trouble, the class keeps that Peewee base as well, so that existing ``except`` clauses go on working.
Each message says what happened, for which model and database, and what to do about it; none ever
holds a password.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import peewee

__all__ = [
    "ClockWentBackwards",
    "CollidingKeys",
    "ConfigurationError",
    "CopyError",
    "CrossDatabaseQuery",
    "DatabaseNotAllowed",
    "ForEachFailed",
    "InvalidShardKey",
    "InvalidTenant",
    "IsolationError",
    "MigrationError",
    "MigrationHalfDone",
    "MigrationLocked",
    "MissingShardKey",
    "MultiDBError",
    "NoDatabaseSelected",
    "NoReplicaAvailable",
    "NotAsynchronous",
    "NotTransactional",
    "PartialCommit",
    "ReadOnlyDatabase",
    "RebalanceError",
    "ResolverFailed",
    "ScatterNotSupported",
    "ScatterTimeout",
    "ScopeRefused",
    "ShardFailed",
    "ShardMoved",
    "TenantLocked",
    "TooManyConnections",
    "UncoveredWrite",
    "UnknownDatabase",
    "WrongShard",
]


class MultiDBError(peewee.PeeweeException):
    """The base of every error that this package raises."""


class ConfigurationError(MultiDBError, peewee.ImproperlyConfigured):
    """A setting, a Meta option or an argument does not make sense.

    Attributes:
        key: the key of the settings that is to blame, if it is one that is not known.
    """

    def __init__(self, *args: object, key: str | None = None) -> None:
        super().__init__(*args)
        self.key = key


class UnknownDatabase(MultiDBError, KeyError):
    """A name is not in the registry."""

    # KeyError prints the repr of its argument; a sentence should read as one.
    __str__ = Exception.__str__


class NoDatabaseSelected(MultiDBError, peewee.InterfaceError, peewee.ImproperlyConfigured):
    """A model without a home was queried outside every scope."""


class DatabaseNotAllowed(MultiDBError, peewee.InterfaceError):
    """A model was sent to a database that its ``db_name`` does not list."""


class TenantLocked(DatabaseNotAllowed):
    """Code that is locked to one tenant, by `use_tenant`, reached for the database of another."""


class IsolationError(MultiDBError):
    """A test that is rolled back did what could not be undone, or what cannot share its transaction."""


class InvalidTenant(UnknownDatabase, ValueError):
    """A tenant name from outside is not one that any tenant can have; nothing was looked up."""


class ResolverFailed(MultiDBError, peewee.OperationalError):
    """The resolver of a registry raised an error, so that it is not known whether there is such a tenant."""


class TooManyConnections(MultiDBError, peewee.OperationalError):
    """All connections that the registry may have are in use, and none became free in time."""


class CrossDatabaseQuery(MultiDBError, peewee.NotSupportedError):
    """One SQL statement would need tables of two databases."""


class ReadOnlyDatabase(MultiDBError, peewee.OperationalError):
    """A write was sent to a read-only database or under `use_replica`."""


class NoReplicaAvailable(MultiDBError, peewee.OperationalError):
    """No replica can be read, and the primary may not, or no more, answer in its place."""


class MissingShardKey(MultiDBError, peewee.InterfaceError):
    """A write on a sharded model does not say which shard it belongs to."""


class InvalidShardKey(MultiDBError, peewee.DataError):
    """A value cannot be a shard key: it has the wrong type, or the rule has no shard for it."""


class WrongShard(MultiDBError, peewee.IntegrityError):
    """A row was sent to another shard than the one its key belongs to."""


class ScatterNotSupported(MultiDBError, peewee.NotSupportedError):
    """A query over several shards could not be answered as one database would answer it."""


class ShardFailed(MultiDBError, peewee.DatabaseError):
    """One shard of several could not answer; the others were told to stop.

    What is raised is also an instance of the error that it comes from, a ``peewee.OperationalError`` for
    instance, so that handlers of that go on working.

    Attributes:
        shard: the database name of the shard.
    """

    def __init__(self, message: str, *, shard: str = "") -> None:
        super().__init__(message)
        self.shard = shard


class ScatterTimeout(MultiDBError, peewee.OperationalError, TimeoutError):
    """A query over several shards was not answered in the time it was given.

    Attributes:
        shards: the database names of those that had not answered.
    """

    def __init__(self, message: str, *, shards: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.shards = tuple(shards)


class ShardMoved(MultiDBError, peewee.OperationalError):
    """Rows that a query needs are changing shards, or have just done so: nothing was done, do it again.

    A query outside of a transaction waits and tries again by itself before it raises this. A transaction has
    to be begun again by whoever began it, see `peewee_multidb.retry_moved`.

    Attributes:
        patience: the seconds for which trying again makes sense.
    """

    def __init__(self, message: str, *, patience: float = 0.0) -> None:
        super().__init__(message)
        self.patience = patience


class RebalanceError(MultiDBError, peewee.OperationalError):
    """Moving rows between shards cannot begin, or cannot go on; no row is lost, and the message says why."""


class CopyError(MultiDBError, peewee.OperationalError):
    """Copying tables cannot begin, cannot go on, or has ended with a difference; the message says which.

    Attributes:
        report: what was copied, if both sides were compared and differ; a `CopyReport`.
    """

    report: object = None


class MigrationError(MultiDBError, peewee.OperationalError):
    """A migration cannot be run, or failed; the message says what state the database is in."""


class MigrationHalfDone(MigrationError):
    """Some statements of a migration may have been run and others not: somebody has to look.

    Attributes:
        migration: the name of the file, without its ending.
    """

    def __init__(self, message: str, *, migration: str = "") -> None:
        super().__init__(message)
        self.migration = migration


class MigrationLocked(MigrationError):
    """Somebody else is migrating this database right now."""


class NotAsynchronous(ConfigurationError, peewee.InterfaceError, AttributeError):
    """Something was awaited on a database that is not asynchronous."""


class NotTransactional(MultiDBError, peewee.NotSupportedError):
    """A transaction would write to a table that a rollback leaves as it is, such as one of MyISAM."""


class PartialCommit(MultiDBError, peewee.OperationalError):
    """Some databases of one `atomic` block have committed and others have not.

    Attributes:
        committed: names of the databases whose transaction is durable.
        rolled_back: names of the databases whose transaction is undone.
        unknown: names of the databases that may have done either.
    """

    def __init__(
        self,
        message: str,
        *,
        committed: Iterable[str] = (),
        rolled_back: Iterable[str] = (),
        unknown: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.committed = tuple(committed)
        self.rolled_back = tuple(rolled_back)
        self.unknown = tuple(unknown)


class ForEachFailed(MultiDBError, peewee.OperationalError):
    """Not every database of a `for_each_database` is done.

    Attributes:
        report: what came of each of them, a `peewee_multidb.foreach.Report`.
    """

    def __init__(self, message: str, *, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class ScopeRefused(MultiDBError, peewee.InterfaceError):
    """The headers of a job are not ones that may select a database: the job is not run."""


class UncoveredWrite(MultiDBError, UserWarning):
    """A write went to a database that no open `atomic` block covers."""


class ClockWentBackwards(MultiDBError, peewee.OperationalError):
    """The clock says a time at which ids may have been given already."""


class CollidingKeys(MultiDBError, UserWarning):
    """The shards of a model each number its rows, so that two rows will have one primary key."""


#: The most names that a message lists.
LISTED = 40

#: The most characters of a name that a message shows.
SHOWN = 40


def shown(name: object) -> str:
    """Return the repr of a name for a message: escaped, and only the beginning of a long one."""
    if not isinstance(name, str):
        return f"a {type(name).__name__}"
    text = ascii(name[:SHOWN])
    if len(name) <= SHOWN and len(text) <= SHOWN + 2:
        return text
    return f"{text[:SHOWN]}... ({len(name)} characters)"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that helps with a misspelt `name`.

    Names the closest of `known` and then all of them, the first of them if they are many, or says that there
    are none.
    """
    names = sorted(str(k) for k in known)
    if not names:
        return "none are known"
    is_short = len(name) <= 2 * SHOWN and len(names) <= 25 * LISTED
    close = difflib.get_close_matches(name, names, n=1) if is_short else []
    listed = ", ".join(names[:LISTED])
    if len(names) > LISTED:
        listed += f" and {len(names) - LISTED} more"
    return f"did you mean {close[0]!r}? Known: {listed}" if close else f"known: {listed}"
