"""Many databases, one set of Peewee models.

A model says where it lives; a block, a request or a row's key says otherwise; and every query runs on
the right server, in that server's dialect, or is refused with a sentence that says why.
"""

from .causality import unit_of_work
from .errors import (
    ClockWentBackwards,
    CollidingKeys,
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    InDoubt,
    InvalidShardKey,
    InvalidTenant,
    MissingShardKey,
    MultiDBError,
    NoDatabaseSelected,
    NoReplicaAvailable,
    PartialCommit,
    ReadOnlyDatabase,
    RebalanceError,
    ScatterNotSupported,
    ScatterTimeout,
    ShardFailed,
    ShardMoved,
    TenantLocked,
    TooManyConnections,
    TwoPhaseError,
    UncoveredWrite,
    UnknownDatabase,
    WrongShard,
)
from .model import Model, adopt, check_keys, current_db, database_of, explain_route, use_shard
from .rebalance import Rebalance
from .registry import Databases, databases
from .replicas import causal_token, use_causal_token
from .routing import Route
from .scope import propagate, use_db, use_primary, use_replica
from .shards import (
    HashShards,
    LookupShards,
    RangeShards,
    Snowflake,
    SnowflakeField,
    StoredMap,
    UUID7Field,
    retry_moved,
    uuid7,
)
from .shards.everywhere import all_shards
from .tenants.locks import current_tenant, use_tenant
from .tenants.names import check_tenant_name
from .transactions import after_commit, atomic
from .twophase.recovery import RecoveryReport, arecover, recover
from .version import __version__

__all__ = [
    "ClockWentBackwards",
    "CollidingKeys",
    "ConfigurationError",
    "CrossDatabaseQuery",
    "DatabaseNotAllowed",
    "Databases",
    "HashShards",
    "InDoubt",
    "InvalidShardKey",
    "InvalidTenant",
    "LookupShards",
    "MissingShardKey",
    "Model",
    "MultiDBError",
    "NoDatabaseSelected",
    "NoReplicaAvailable",
    "PartialCommit",
    "RangeShards",
    "ReadOnlyDatabase",
    "Rebalance",
    "RebalanceError",
    "RecoveryReport",
    "Route",
    "ScatterNotSupported",
    "ScatterTimeout",
    "ShardFailed",
    "ShardMoved",
    "Snowflake",
    "SnowflakeField",
    "StoredMap",
    "TenantLocked",
    "TooManyConnections",
    "TwoPhaseError",
    "UUID7Field",
    "UncoveredWrite",
    "UnknownDatabase",
    "WrongShard",
    "__version__",
    "adopt",
    "after_commit",
    "all_shards",
    "arecover",
    "atomic",
    "causal_token",
    "check_keys",
    "check_tenant_name",
    "current_db",
    "current_tenant",
    "database_of",
    "databases",
    "explain_route",
    "propagate",
    "recover",
    "retry_moved",
    "unit_of_work",
    "use_causal_token",
    "use_db",
    "use_primary",
    "use_replica",
    "use_shard",
    "use_tenant",
    "uuid7",
]
