"""MySQL and MariaDB, of this year and of 2004, through PyMySQL or aiomysql.

The two differ in their JSON functions and in what Peewee writes for an upsert, and each has grown with
its versions; Peewee learns which one it talks to only from a connection. So the first query connects
before it is compiled, and the server's own version string decides, unless the scheme is ``mariadb`` or
the setting ``server_version`` says it beforehand.
"""

from __future__ import annotations

from .database import MySQLDatabase, PooledMySQLDatabase
from .driver import AsyncMySQLDriver, MySQLDriver
from .fields import (
    EnumField,
    SetField,
    UnsignedBigIntegerField,
    UnsignedIntegerField,
    UnsignedSmallIntegerField,
    UnsignedTinyIntegerField,
)
from .reflection import introspector

__all__ = [
    "AsyncMySQLDriver",
    "EnumField",
    "MySQLDatabase",
    "MySQLDriver",
    "PooledMySQLDatabase",
    "SetField",
    "UnsignedBigIntegerField",
    "UnsignedIntegerField",
    "UnsignedSmallIntegerField",
    "UnsignedTinyIntegerField",
    "introspector",
]
