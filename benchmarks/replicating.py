"""What the replica benchmarks share: a cluster, a registry over it, and who answered what."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import peewee

from peewee_multidb import Databases, Model
from peewee_multidb.drivers import traits_of
from peewee_multidb.testing.servers import MariaDBCluster, PostgresCluster

CLUSTERS: dict[str, Any] = {"PostgreSQL": PostgresCluster, "MariaDB": MariaDBCluster}

#: How a read is kept from being older than a write of its own thread.
PROTECTIONS = ("positions", "two seconds", "nothing")


class Site:
    """A registry over a cluster with one model, and counts of what each server answered.

    Args:
        cluster: a running cluster.
        database: the name of a database on it.
        protection: one of `PROTECTIONS`.
        replication: settings.
    """

    def __init__(
        self, cluster: Any, database: str, protection: str = "positions", **replication: Any
    ) -> None:
        self.cluster = cluster
        if protection != "positions":
            replication["window"] = 2 if protection == "two seconds" else 0
        self.registry = Databases(
            {"default": {**cluster.settings(database), "replication": {"check_interval": 1, **replication}}}
        )
        self.served: Counter[str] = Counter()
        self._lock = threading.Lock()

        class Note(Model):
            thread = peewee.IntegerField()

            class Meta:
                registry = self.registry

        self.Note: Any = Note
        primary = self.registry["default"]
        for server in self.registry.entries["default"].servers():
            if protection != "positions":
                # As if the engine had no positions: then only the time since the write counts.
                plain = dataclasses.replace(traits_of(server.database), replication=None)
                # A MySQL or MariaDB object makes its traits anew, of those of its class, when it connects.
                server.database.traits = server.database.class_traits = plain
            server.database.query_hooks.append(self._count(server.role))
        Note.create_table()
        cluster.wait_in_step()
        assert primary is self.registry["default"]

    def _count(self, role: str) -> Any:
        def note(event: Any) -> None:
            if event.sql.startswith("SELECT") and "note" in event.sql:
                with self._lock:
                    self.served[role] += 1

        return note

    def close(self) -> None:
        self.registry.close_all()


@contextlib.contextmanager
def running(engine: str) -> Iterator[Any]:
    """A cluster of a primary and two replicas, with as many databases as are asked for."""
    with CLUSTERS[engine](replicas=2) as cluster:
        yield cluster


def fresh(cluster: Any, number: int) -> str:
    """Make a database on the cluster and return its name."""
    name = f"bench_{number}"
    cluster.create_database(name)
    return name


def in_threads(count: int, work: Any) -> float:
    """Run `work(number)` in so many threads; return the seconds it took."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began
