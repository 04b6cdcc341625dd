"""Sharded models: rules that map a key to a database, and finding the key in a query."""

from .rules import FunctionRule, ShardingRule

__all__ = ["FunctionRule", "ShardingRule"]
