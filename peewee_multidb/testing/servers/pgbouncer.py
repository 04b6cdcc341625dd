"""PgBouncer, a pooler in front of a PostgreSQL server: what applications with many connections put there.

In transaction mode each transaction may run on another connection to the server, and whatever one leaves
behind in its session is there for the next, of somebody else.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from .base import Server
from .machine import Unavailable, give_to_server
from .postgres import PostgresServer

__all__ = ["PgBouncer"]


class PgBouncer(Server):
    """A pooler in front of a server of this kit, with the same user and password.

    Args:
        server: the server, which has to be running.
        pool_mode: ``transaction``, ``session`` or ``statement``.
        pool_size: connections to the server for each database.
    """

    engine = "PgBouncer"
    scheme = "postgresql"
    polite_signal = signal.SIGINT
    abrupt_signal = signal.SIGKILL

    def __init__(
        self, server: PostgresServer, *, pool_mode: str = "transaction", pool_size: int = 2
    ) -> None:
        super().__init__()
        self.server = server
        self.user = server.user  # type: ignore[misc]
        self.password = server.password
        self.pool_mode = pool_mode
        self.pool_size = pool_size

    def _create(self) -> None:
        if _program() is None:
            raise Unavailable("pgbouncer is not installed; on Debian: apt-get install pgbouncer")
        users = self.folder / "users.txt"
        users.touch(mode=0o600)
        give_to_server(users)
        users.write_text(f'"{self.user}" "{self.password}"\n')

    def _command(self) -> Sequence[str | Path]:
        # Written at each start: the port is known only now.
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self.folder / "users.txt",
            "pool_mode": self.pool_mode,
            "default_pool_size": self.pool_size,
            "max_client_conn": 500,
            "logfile": "",
            "ignore_startup_parameters": "extra_float_digits",
        }
        config = self.folder / "pgbouncer.ini"
        lines = ["[databases]", f"* = host={self.server.host} port={self.server.port}", "[pgbouncer]"]
        config.write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in settings.items()), ""]))
        give_to_server(config)
        program = _program()
        assert program is not None
        return [program, config]

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


def _program() -> str | None:
    # Debian puts it where only root's PATH leads.
    return shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
