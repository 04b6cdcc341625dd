"""Real PostgreSQL and MariaDB servers for tests: private, temporary, and gone afterwards.

Each server lives in a folder of its own below the system's temporary folder and listens on a free
loopback port. Nothing here imports the rest of the package, so that its own suite does not hide a
broken package behind a broken kit. The extra ``testing`` brings PostgreSQL and the drivers; MariaDB is
the machine's own.
"""

from __future__ import annotations

from .base import Server
from .cluster import Cluster, MariaDBCluster, PostgresCluster
from .machine import StartFailed, Unavailable
from .mariadb import MariaDBServer
from .pgbouncer import PgBouncer
from .postgres import PostgresServer
from .proxy import NetworkProxy
from .replicated import ReplicatedServer
from .sqlite import SQLiteCluster, SQLiteReplica

__all__ = [
    "Cluster",
    "MariaDBCluster",
    "MariaDBServer",
    "NetworkProxy",
    "PgBouncer",
    "PostgresCluster",
    "PostgresServer",
    "ReplicatedServer",
    "SQLiteCluster",
    "SQLiteReplica",
    "Server",
    "StartFailed",
    "Unavailable",
]
