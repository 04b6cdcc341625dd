"""Replicas without a server: copies of an SQLite file, which fall behind until they are told to catch up.

Nothing replicates SQLite by itself, and for a test that is a convenience: lag is what happens when the
test does nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

WAIT = 20.0
"""Seconds to wait for the readers of a copy to finish, unless told otherwise."""

BETWEEN_TRIES = 0.01


class SQLiteReplica:
    """The copies that the replica with this `number` has of a cluster's files; made by `SQLiteCluster`.

    Attributes:
        is_paused: whether it stays behind when its `cluster` is told to be in step.
    """

    def __init__(self, cluster: SQLiteCluster, number: int) -> None:
        self._cluster = cluster
        self._number = number
        self.is_paused = False

    def path(self, database: str) -> Path:
        """The file of this replica for `database`."""
        return self._cluster.folder / f"{database}-replica{self._number}.db"

    def url(self, database: str) -> str:
        """The URL of this replica's copy of `database`."""
        return f"sqlite:///{self.path(database)}"

    def pause(self) -> None:
        """Be left out by `SQLiteCluster.wait_in_step`."""
        self.is_paused = True

    def resume(self) -> None:
        """Take part again, from the next `SQLiteCluster.wait_in_step` on."""
        self.is_paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[Self]:
        """A block in which this replica stays behind."""
        self.pause()
        try:
            yield self
        finally:
            self.resume()

    def catch_up(self, database: str, timeout: float = WAIT) -> None:
        """Copy `database` from the primary as it is committed now, a pause notwithstanding.

        Raises:
            TimeoutError: somebody has kept the file locked for `timeout` seconds.
        """
        deadline = time.monotonic() + timeout

        def in_time(*progress: int) -> None:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.path(database)} is locked; a query on it has not been read to its end"
                )

        with (
            contextlib.closing(sqlite3.connect(self._cluster.path(database))) as primary,
            contextlib.closing(sqlite3.connect(self.path(database), timeout=0)) as copy,
        ):
            primary.backup(copy, progress=in_time, sleep=BETWEEN_TRIES)


class SQLiteCluster:
    """A primary and its replicas in a folder of files: `PostgresCluster` for tests that have no server.

    Args:
        folder: where the files are, made if it is missing; pytest's ``tmp_path`` is good.
        replicas: how many.
    """

    def __init__(self, folder: Path | str, replicas: int = 2) -> None:
        self.folder = Path(folder)
        self.replicas = [SQLiteReplica(self, number) for number in range(1, replicas + 1)]
        self._databases: list[str] = []

    def path(self, database: str) -> Path:
        """The file of the primary for `database`."""
        return self.folder / f"{database}.db"

    def create_database(self, name: str) -> None:
        """Make an empty database called `name`, with its replicas."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self.path(name))) as primary:
            # Else nobody could read a file while it is written, which no server does to its clients.
            primary.execute("PRAGMA journal_mode = wal")
        self._databases.append(name)
        for replica in self.replicas:
            replica.catch_up(name)

    def settings(self, database: str) -> dict[str, Any]:
        """What `databases.configure` takes for one database: the URL of the primary and of each replica.

        Args:
            database: the name of one that `create_database` has made.
        """
        replicas = [replica.url(database) for replica in self.replicas]
        return {"url": f"sqlite:///{self.path(database)}", "replicas": replicas}

    def wait_in_step(self, timeout: float = WAIT) -> None:
        """Bring every replica that is not paused to what the primary has now.

        Raises:
            TimeoutError: somebody has kept a replica locked for `timeout` seconds.
        """
        for replica in self.replicas:
            if not replica.is_paused:
                for database in self._databases:
                    replica.catch_up(database, timeout)
