"""Reads over several shards: planned, run on all of them at once, and merged."""

from .planning import check
from .running import MergedRows, count, execute, exists, stream
from .shards import Shards, shards_of

__all__ = ["MergedRows", "Shards", "check", "count", "execute", "exists", "shards_of", "stream"]
