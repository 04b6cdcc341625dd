"""Many databases, one set of Peewee models.

A model says where it lives; a block, a request or a row's key says otherwise; and every query runs on
the right server, in that server's dialect, or is refused with a sentence that says why.
"""

from .background import (
    ScopedExecutor,
    ascope_headers,
    management_command,
    run_job,
    scope_from_headers,
    scope_headers,
)
from .causality import unit_of_work
from .errors import (
    ClockWentBackwards,
    CollidingKeys,
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    ForEachFailed,
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
    ResolverFailed,
    ScatterNotSupported,
    ScatterTimeout,
    ScopeRefused,
    ShardFailed,
    ShardMoved,
    TenantLocked,
    TooManyConnections,
    TwoPhaseError,
    UncoveredWrite,
    UnknownDatabase,
    WrongShard,
)
from .foreach import afor_each_database, for_each_database
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
from .tenants.resolvers import MappingResolver, TableResolver, TemplateResolver
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
    "ForEachFailed",
    "HashShards",
    "InDoubt",
    "InvalidShardKey",
    "InvalidTenant",
    "LookupShards",
    "MappingResolver",
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
    "ResolverFailed",
    "Route",
    "ScatterNotSupported",
    "ScatterTimeout",
    "ScopeRefused",
    "ScopedExecutor",
    "ShardFailed",
    "ShardMoved",
    "Snowflake",
    "SnowflakeField",
    "StoredMap",
    "TableResolver",
    "TemplateResolver",
    "TenantLocked",
    "TooManyConnections",
    "TwoPhaseError",
    "UUID7Field",
    "UncoveredWrite",
    "UnknownDatabase",
    "WrongShard",
    "__version__",
    "adopt",
    "afor_each_database",
    "after_commit",
    "all_shards",
    "arecover",
    "ascope_headers",
    "atomic",
    "causal_token",
    "check_keys",
    "check_tenant_name",
    "current_db",
    "current_tenant",
    "database_of",
    "databases",
    "explain_route",
    "for_each_database",
    "management_command",
    "propagate",
    "recover",
    "retry_moved",
    "run_job",
    "scope_from_headers",
    "scope_headers",
    "unit_of_work",
    "use_causal_token",
    "use_db",
    "use_primary",
    "use_replica",
    "use_shard",
    "use_tenant",
    "uuid7",
]
