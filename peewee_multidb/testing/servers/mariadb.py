"""MariaDB servers from the machine's own `mariadbd`, primary and GTID replicas."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import Server
from .machine import Unavailable, give_to_server

if TYPE_CHECKING:
    import pymysql

PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
"""Where `mariadbd` is when it is not on PATH: Debian keeps it off the PATH of ordinary users."""

SETTINGS = {
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
    "default-time-zone": "+00:00",
    "max-connections": "300",
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "32M",
    # Asynchronous I/O slots are a machine-wide resource that containers often lack.
    "innodb-use-native-aio": "0",
    "log-bin": "binlog",
    "log-slave-updates": "1",
    "binlog-format": "ROW",
    "gtid-strict-mode": "1",
    "slave-net-timeout": "10",
    "skip-name-resolve": "1",
}

FAST = {
    # The operating system keeps what a killed server wrote; only a power cut needs more than this.
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-doublewrite": "0",
    "innodb-flush-method": "nosync",
    "sync-binlog": "0",
    "sync-master-info": "0",
    "sync-relay-log": "0",
    "sync-relay-log-info": "0",
}

DURABLE = {"innodb-flush-log-at-trx-commit": "1", "sync-binlog": "1"}

LOCK_WAIT_TIMEOUT = 1205
UNKNOWN_XID = 1397


def program(name: str) -> Path:
    """The path of one of MariaDB's programs."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(f"{name} is not installed (on Debian: apt-get install mariadb-server)")
    return Path(found)


class MariaDBServer(Server):
    """One MariaDB server with a binary log.

    `app`, the user of `url()`, may do everything but write to a read-only server; `root` may do that
    too, and connects through the socket in the server's folder.

    Args:
        settings: options of mariadbd without their dashes, over the kit's own.
        primary: the server to follow; `replica()` is the usual way to say so.
    """

    engine = "MariaDB"
    scheme = "mysql"
    polite_signal = signal.SIGTERM
    abrupt_signal = signal.SIGKILL

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: dict[str, str] | None = None,
        primary: MariaDBServer | None = None,
    ) -> None:
        super().__init__(durable=durable)
        self.settings = {**SETTINGS, **(DURABLE if durable else FAST), **(settings or {})}
        self.primary = primary
        if primary is not None:
            self.password = primary.password

    # -- administration

    @contextlib.contextmanager
    def admin(self, database: str | None = None) -> Iterator[pymysql.Connection[Any]]:
        """An autocommit connection of root, closed at the end of the block."""
        import pymysql

        connection = pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            autocommit=True,
            charset="utf8mb4",
            # PyMySQL prepares TLS even for a unix socket, reading all root certificates: 30 ms a connection.
            ssl_disabled=True,
        )
        try:
            yield connection
        finally:
            connection.close()

    def execute(self, sql: str, *parameters: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as root and return its rows, none for a statement without a result."""
        with self.admin(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        self.execute(f"CREATE DATABASE `{name}`")

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it and whatever they have prepared there."""
        import pymysql

        drop = f"DROP DATABASE IF EXISTS `{name}`"
        with self.admin() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
            for (session,) in cursor.fetchall():
                # If it has not ended by itself meanwhile.
                with contextlib.suppress(pymysql.err.OperationalError):
                    cursor.execute(f"KILL {session}")
            # InnoDB's own timeout too: a prepared transaction may hold a table without a metadata lock.
            cursor.execute("SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
            try:
                cursor.execute(drop)
            except pymysql.err.OperationalError as error:
                if error.args[0] != LOCK_WAIT_TIMEOUT:
                    raise
                self._roll_back_prepared(cursor)
                cursor.execute(drop)

    def _roll_back_prepared(self, cursor: pymysql.cursors.Cursor) -> None:
        """Roll back the XA transactions that survived their connections and keep their tables locked."""
        import pymysql

        cursor.execute("XA RECOVER FORMAT='SQL'")
        for *_, xid in cursor.fetchall():
            try:
                cursor.execute(f"XA ROLLBACK {xid}")
            except pymysql.err.Error as error:
                # Still in the hands of a living connection, hence of another test's database.
                if error.args[0] != UNKNOWN_XID:
                    raise

    # -- replication

    def replica(self, settings: dict[str, str] | None = None) -> MariaDBServer:
        """Start a read-only GTID replica of this server, which replays its log from the first transaction.

        The caller closes it. Args: settings: options of its mariadbd, over those of this server.
        """
        changed = {**self.settings, "read-only": "1", **(settings or {})}
        server = MariaDBServer(durable=self.durable, settings=changed, primary=self).start()
        try:
            server.execute(
                f"CHANGE MASTER TO MASTER_HOST = '{self.host}', MASTER_PORT = {self.port}, "
                f"MASTER_USER = '{self.user}', MASTER_PASSWORD = '{self.password}', "
                "MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1"
            )
            server.execute("START SLAVE")
        except BaseException:
            server.close()
            raise
        return server

    def promote(self) -> None:
        """Make a replica a primary of its own, once it has replayed all it has received."""
        self.execute("STOP SLAVE IO_THREAD")
        received = self.replication()["Gtid_IO_Pos"]
        self.wait_for(received)
        self.execute("STOP SLAVE")
        self.execute("RESET SLAVE ALL")
        self.execute("SET GLOBAL read_only = 0")
        self.settings.pop("read-only", None)
        self.primary = None

    def replication(self) -> dict[str, Any]:
        """The row of SHOW SLAVE STATUS, empty on a server that follows nobody."""
        with self.admin() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            row = cursor.fetchone()
            return dict(zip((column[0] for column in cursor.description), row, strict=True)) if row else {}

    def position(self) -> str:
        """How far this server's log has come (GTID): written on a primary, replayed on a replica."""
        return str(self.execute("SELECT @@gtid_current_pos")[0][0])

    def wait_for(self, position: str, timeout: float = 20.0) -> None:
        """Return when this replica has replayed `position`; TimeoutError after `timeout` seconds."""
        [(outcome,)] = self.execute("SELECT MASTER_GTID_WAIT(%s, %s)", position, timeout)
        if outcome != 0:
            state = self.replication()
            raise TimeoutError(f"{self.engine}: no replay of {position} within {timeout:g} s: {state}")

    # -- what the base asks for

    @property
    def socket(self) -> Path:
        return self.folder / "server.sock"

    def _create(self) -> None:
        program("mariadbd")
        self.run(
            [
                *(program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder / 'data'}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
                *(f"--{name}={value}" for name, value in self._innodb()),
            ]
        )
        # Neither is in the binary log, so that a replica, made the same way, can replay the log from
        # its first transaction. Root has no password but no way in besides the private socket either.
        accounts = self.folder / "accounts.sql"
        accounts.touch(mode=0o600)
        give_to_server(accounts)
        accounts.write_text(
            "SET sql_log_bin = 0;\n"
            f"CREATE USER IF NOT EXISTS '{self.user}'@'%' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{self.user}'@'%' WITH GRANT OPTION;\n"
            f"REVOKE SUPER, READ ONLY ADMIN ON *.* FROM '{self.user}'@'%';\n"
        )

    def _innodb(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.settings.items() if name.startswith("innodb-")]

    def _command(self) -> Sequence[str | Path]:
        return [
            *(program("mariadbd"), "--no-defaults", f"--datadir={self.folder / 'data'}"),
            *(f"--socket={self.socket}", f"--pid-file={self.folder / 'server.pid'}"),
            *(f"--bind-address={self.host}", f"--port={self.port}", f"--server-id={self.port}"),
            *(f"--report-host={self.host}", f"--report-port={self.port}"),
            *(f"--tmpdir={self.folder}", f"--init-file={self.folder / 'accounts.sql'}"),
            *(f"--{name}={value}" for name, value in self.settings.items()),
        ]

    def _answers(self) -> bool:
        import pymysql

        # PyMySQL leaves a socket open when it cannot connect, so let it try only where somebody listens.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        try:
            self.execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True
