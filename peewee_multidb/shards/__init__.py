"""Sharded models: rules that map a key to a database, and finding the key in a query."""

from .hashing import HashShards
from .maps import FixedMap, ShardMap
from .rules import FunctionRule, Rule, ShardingRule
from .stored import StoredMap, retry_moved

__all__ = [
    "FixedMap",
    "FunctionRule",
    "HashShards",
    "Rule",
    "ShardMap",
    "ShardingRule",
    "StoredMap",
    "retry_moved",
]
