"""MariaDB servers from the machine's own `mariadbd`, primary and GTID replicas."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .machine import Unavailable, give_to_server
from .replicated import WAIT, ReplicatedServer
from .wards import new_folder

if TYPE_CHECKING:
    import pymysql
    from typing_extensions import Self

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

STATE = ("Slave_IO_Running", "Last_IO_Error", "Slave_SQL_Running", "Last_SQL_Error", "Gtid_IO_Pos")
"""What of a replica's state says why it does not go on."""

InnoDB = tuple[tuple[str, str], ...]

_installed: dict[InnoDB, Path] = {}
_installing = threading.Lock()

LOCK_WAIT_TIMEOUT = 1205
UNKNOWN_XID = 1397


def program(name: str) -> Path:
    """The path of one of MariaDB's programs."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *PLACES))
    found = shutil.which(name, path=path)
    if found is None:
        raise Unavailable(f"{name} is not installed (on Debian: apt-get install mariadb-server)")
    return Path(found)


class MariaDBServer(ReplicatedServer):
    """One MariaDB server with a binary log.

    `app`, the user of `url()`, may do everything but write to a read-only server; `root` may do that
    too, and connects through the socket in the server's folder.

    Args:
        durable: on the disk, and safe against a power cut; slower.
        settings: options of mariadbd without their dashes, over the kit's own.
        primary: the server to follow; `replica()` is the usual way to say so.
    """

    engine = "MariaDB"
    scheme = "mysql"
    polite_signal = signal.SIGTERM
    abrupt_signal = signal.SIGKILL

    primary: MariaDBServer | None

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
        self._lives = 0

    # -- administration

    @contextlib.contextmanager
    def admin(self, database: str | None = None) -> Iterator[pymysql.Connection[Any]]:
        """An autocommit connection of root to `database`, closed at the end of the block."""
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
        with self.admin(database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def create_database(self, name: str) -> None:
        self.execute(f"CREATE DATABASE `{name}`")

    def drop_database(self, name: str) -> None:
        import pymysql

        drop = f"DROP DATABASE IF EXISTS `{name}`"
        self.end_sessions(name)
        with self.admin() as connection, connection.cursor() as cursor:
            # InnoDB's own timeout too: a prepared transaction may hold a table without a metadata lock.
            cursor.execute("SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 1")
            try:
                cursor.execute(drop)
            except pymysql.err.OperationalError as error:
                if error.args[0] != LOCK_WAIT_TIMEOUT:
                    raise
                self._roll_back_prepared(cursor)
                cursor.execute(drop)

    def end_sessions(self, database: str) -> None:
        import pymysql

        # The system user is the replica's own thread, which would not begin again by itself.
        sessions = "SELECT id FROM information_schema.processlist WHERE db = %s AND user <> 'system user'"
        with self.admin() as connection, connection.cursor() as cursor:
            while cursor.execute(sessions, (database,)):
                for (session,) in cursor.fetchall():
                    # If it has not ended by itself meanwhile.
                    with contextlib.suppress(pymysql.err.OperationalError):
                        cursor.execute(f"KILL {session}")

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

    def replication(self) -> dict[str, Any]:
        """The row of SHOW SLAVE STATUS, empty on a server that follows nobody."""
        with self.admin() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            row = cursor.fetchone()
            return dict(zip((column[0] for column in cursor.description), row, strict=True)) if row else {}

    def position(self) -> str:
        return str(self.execute("SELECT @@gtid_current_pos")[0][0])

    def wait_for(self, position: str, timeout: float = WAIT) -> None:
        [(outcome,)] = self.execute("SELECT MASTER_GTID_WAIT(%s, %s)", position, timeout)
        if outcome != 0:
            row = self.replication()
            state = {name: row[name] for name in STATE if name in row}
            raise TimeoutError(f"{self.engine}: no replay of {position} within {timeout:g} s: {state}")

    def received(self) -> int:
        # One domain, in which each transaction's number is higher than the last one's.
        position = self.replication()["Gtid_IO_Pos"] or self.position()
        return int(position.rpartition("-")[2] or 0)

    def pause(self) -> None:
        self.execute("STOP SLAVE SQL_THREAD")

    def resume(self) -> None:
        if self.replication():
            self.execute("START SLAVE SQL_THREAD")

    def delay(self, seconds: float) -> None:
        """Replay each commit `seconds` after it was made on the primary, or up to two seconds later.

        What was received is thrown away and fetched again, so the primary should be there.
        """
        # The server counts in whole seconds, from the beginning of the one in which the commit was made.
        whole = math.ceil(seconds) + 1 if seconds else 0
        if self.replication()["SQL_Delay"] != whole:
            self._change_master(f"MASTER_DELAY = {whole}")

    def disconnect(self) -> None:
        """Receive nothing more from the primary; what was received is replayed. Clients notice nothing.

        A replica that is paused as well throws away what it has not replayed.
        """
        self.execute("STOP SLAVE IO_THREAD")

    def reconnect(self) -> None:
        self.execute("START SLAVE IO_THREAD")

    def is_receiving(self) -> bool:
        state = self.replication()
        primary = self.primary.port if self.primary is not None else None
        return state.get("Slave_IO_Running") == "Yes" and state["Master_Port"] == primary

    def replica(self, settings: dict[str, str] | None = None) -> Self:
        """Start a read-only GTID replica of this server, which replays its log from the first transaction.

        The caller closes it.

        Args:
            settings: options of its mariadbd, over those of this server.
        """
        changed = {**self.settings, "read-only": "1", **(settings or {})}
        server = type(self)(durable=self.durable, settings=changed, primary=self).start()
        try:
            server.follow(self)
        except BaseException:
            server.close()
            raise
        return server

    def promote(self) -> None:
        """Make a replica a primary of its own, and return when it takes writes.

        What it has received is replayed first, a pause notwithstanding; a delay is waited for.
        """
        if self.replication():
            # In this order: what was received is thrown away while neither thread runs.
            self.resume()
            self.execute("STOP SLAVE IO_THREAD")
            state = self.replication()
            self.wait_for(state["Gtid_IO_Pos"], WAIT + state["SQL_Delay"])
            self.execute("STOP SLAVE")
            self.execute("RESET SLAVE ALL")
        self.set_read_only(False)
        self.primary = None

    def demote(self) -> None:
        """Make a primary read-only, which is all that a replica of nobody is."""
        self.set_read_only()

    def follow(self, primary: Self, anew: bool = False) -> None:
        self.primary, self.password = primary, primary.password
        if anew:
            self.stop()
            shutil.rmtree(self._data)
            # A replica skips what was written under its own number, and it has to receive that now.
            self._lives += 1
            self._create()
        self.start()
        self.set_read_only()
        if not self.replication():
            # What a former primary wrote itself it need not receive.
            self.execute("SET GLOBAL gtid_slave_pos = @@gtid_current_pos")
        self._change_master(
            f"MASTER_HOST = '{primary.host}', MASTER_PORT = {primary.port}, "
            f"MASTER_USER = '{primary.user}', MASTER_PASSWORD = '{primary.password}', "
            "MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1"
        )

    def set_read_only(self, on: bool = True) -> None:
        self.execute(f"SET GLOBAL read_only = {int(on)}")
        # For the next start.
        self.settings["read-only"] = str(int(on))

    def _change_master(self, options: str) -> None:
        """Set options that only a stopped replica takes; a pause outlasts it."""
        paused = self.replication().get("Slave_SQL_Running") == "No"
        if self.replication():
            self.execute("STOP SLAVE")
        self.execute(f"CHANGE MASTER TO {options}")
        self.execute("START SLAVE IO_THREAD" if paused else "START SLAVE")

    # -- what the base asks for

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """The unix socket through which root connects."""
        return self.folder / "server.sock"

    def _create(self) -> None:
        program("mariadbd")
        options = self._innodb()
        with _installing:
            if options not in _installed:
                _installed[options] = self._install(options)
        # As the servers' user, to whom the files belong then.
        self.run(["cp", "-R", _installed[options], self._data])
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

    def _install(self, options: InnoDB) -> Path:
        """Make the files of an empty server, which takes as long as starting one, and return their folder."""
        data = new_folder("multidb-mariadb-") / "data"
        self.run(
            [
                *(program("mariadb-install-db"), "--no-defaults", f"--datadir={data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
                *(f"--{name}={value}" for name, value in options),
            ]
        )
        return data

    @property
    def _server_id(self) -> int:
        return self.port + (self._lives << 16)

    def _innodb(self) -> InnoDB:
        return tuple((name, value) for name, value in self.settings.items() if name.startswith("innodb-"))

    def _command(self) -> Sequence[str | Path]:
        return [
            *(program("mariadbd"), "--no-defaults", f"--datadir={self._data}"),
            *(f"--socket={self.socket}", f"--pid-file={self.folder / 'server.pid'}"),
            *(f"--bind-address={self.host}", f"--port={self.port}", f"--server-id={self._server_id}"),
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
