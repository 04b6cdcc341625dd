"""Many databases, one set of Peewee models.

A model says where it lives; a block, a request or a row's key says otherwise; and every query runs on
the right server, in that server's dialect, or is refused with a sentence that says why.
"""

from .causality import unit_of_work
from .errors import (
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    MissingShardKey,
    MultiDBError,
    NoDatabaseSelected,
    NoReplicaAvailable,
    PartialCommit,
    ReadOnlyDatabase,
    ScatterNotSupported,
    UncoveredWrite,
    UnknownDatabase,
    WrongShard,
)
from .model import Model, adopt, current_db, database_of, explain_route, use_shard
from .registry import Databases, databases
from .replicas import causal_token, use_causal_token
from .routing import Route
from .scope import propagate, use_db, use_primary, use_replica
from .transactions import atomic
from .version import __version__

__all__ = [
    "ConfigurationError",
    "CrossDatabaseQuery",
    "DatabaseNotAllowed",
    "Databases",
    "MissingShardKey",
    "Model",
    "MultiDBError",
    "NoDatabaseSelected",
    "NoReplicaAvailable",
    "PartialCommit",
    "ReadOnlyDatabase",
    "Route",
    "ScatterNotSupported",
    "UncoveredWrite",
    "UnknownDatabase",
    "WrongShard",
    "__version__",
    "adopt",
    "atomic",
    "causal_token",
    "current_db",
    "database_of",
    "databases",
    "explain_route",
    "propagate",
    "unit_of_work",
    "use_causal_token",
    "use_db",
    "use_primary",
    "use_replica",
    "use_shard",
]
