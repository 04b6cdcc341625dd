"""Real PostgreSQL and MariaDB servers for the suite: private, temporary, and gone afterwards.

Each server lives in a folder of its own below the system's temporary folder and listens on a free
loopback port. Nothing here imports the package under test, so that a broken package cannot hide
behind a broken kit.
"""

from __future__ import annotations

from .base import Server
from .machine import StartFailed, Unavailable
from .mariadb import MariaDBServer
from .postgres import PostgresServer

__all__ = ["MariaDBServer", "PostgresServer", "Server", "StartFailed", "Unavailable"]
