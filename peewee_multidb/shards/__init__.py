"""Sharded models: rules that map a key to a database, finding the key in a query, ids for all shards."""

from .hashing import HashShards
from .ids import Snowflake, SnowflakeField, UUID7Field, uuid7
from .lookup import LookupShards
from .maps import FixedMap, ShardMap
from .ranges import RangeShards
from .rules import FunctionRule, Rule, ShardingRule
from .stored import StoredMap, retry_moved

__all__ = [
    "FixedMap",
    "FunctionRule",
    "HashShards",
    "LookupShards",
    "RangeShards",
    "Rule",
    "ShardMap",
    "ShardingRule",
    "Snowflake",
    "SnowflakeField",
    "StoredMap",
    "UUID7Field",
    "retry_moved",
    "uuid7",
]
