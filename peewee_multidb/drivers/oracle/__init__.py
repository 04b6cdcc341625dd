"""Oracle Database, through python-oracledb's thin mode.

It was written from the documentation, and its statements are checked against a grammar; it has not been
run on a server. See the page on Oracle in the manual.
"""

from __future__ import annotations

from .database import OracleDatabase, PooledOracleDatabase
from .driver import OracleDriver

__all__ = ["OracleDatabase", "OracleDriver", "PooledOracleDatabase"]
