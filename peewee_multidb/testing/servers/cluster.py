"""A primary and its replicas, started together and handed to `databases.configure` as one database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .mariadb import MariaDBServer
from .postgres import PostgresServer
from .proxy import NetworkProxy
from .replicated import WAIT, ReplicatedServer

if TYPE_CHECKING:
    from typing_extensions import Self

AnyServer = TypeVar("AnyServer", bound=ReplicatedServer)


class Cluster(ABC, Generic[AnyServer]):
    """A primary and its replicas, from `start()` to `close()` or for a ``with`` block.

    Args:
        replicas: how many.
        durable: on the disk, and safe against a power cut; slower.
        settings: options of every server, over the kit's own.

    Attributes:
        primary: the server that takes writes; another one after `fail_over()`.
        replicas: the servers that follow it.
        servers: all of them, former primaries too.
    """

    def __init__(
        self, replicas: int = 2, *, durable: bool = False, settings: dict[str, str] | None = None
    ) -> None:
        self._wanted = replicas
        self.primary: AnyServer = self._server(durable, settings)
        self.replicas: list[AnyServer] = []
        self.servers: list[AnyServer] = [self.primary]

    @abstractmethod
    def _server(self, durable: bool, settings: dict[str, str] | None) -> AnyServer:
        """A server of the engine, not yet started."""

    def start(self) -> Self:
        """Start the primary, then all its replicas at once, and return when they have caught up.

        Raises:
            Unavailable: this machine cannot run them.
        """
        try:
            self.primary.start()
            with ThreadPoolExecutor(max(1, self._wanted)) as pool:
                missing = self._wanted - len(self.replicas)
                starting = [pool.submit(self.primary.replica) for _ in range(missing)]
            self.servers += [start.result() for start in starting if start.exception() is None]
            self.replicas += [start.result() for start in starting]
            self._wait_until_sound()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all servers and delete their folders."""
        for server in reversed(self.servers):
            server.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def settings(
        self, database: str, *, scheme: str | None = None, via: Iterable[NetworkProxy] = ()
    ) -> dict[str, Any]:
        """What `databases.configure` takes for one database: the URL of the primary and of each replica.

        Args:
            database: its name on the servers.
            scheme: of another driver, such as ``postgresql+asyncpg``.
            via: proxies; the servers that stand behind them are reached through them.
        """
        proxies = {proxy.target: proxy for proxy in via}
        primary, *replicas = (
            proxies.get(server, server).url(database, scheme=scheme)
            for server in (self.primary, *self.replicas)
        )
        return {"url": primary, "replicas": replicas}

    def create_database(self, name: str) -> None:
        """Make an empty database called `name`, and return when every replica has it."""
        self.primary.create_database(name)
        self.wait_in_step()

    def drop_database(self, name: str) -> None:
        """Drop the database `name` everywhere, whoever is connected to it."""
        self.primary.drop_database(name)
        for replica in self.replicas:
            if replica.running:
                # A transaction that is open there would keep the replica from dropping it.
                replica.end_sessions(name)

    def wait_in_step(self, timeout: float = WAIT) -> None:
        """Return when each replica that runs has replayed all that the primary has written until now.

        Raises:
            TimeoutError: one has not within `timeout` seconds.
        """
        position = self.primary.position()
        for replica in self.replicas:
            if replica.running:
                replica.wait_for(position, timeout)

    def restore(self) -> None:
        """Undo all that a test may have done: all servers run, replicas follow without delay, in step."""
        for server in (self.primary, *self.replicas):
            server.start()
        self.primary.set_read_only(False)
        for replica in self.replicas:
            replica.delay(0)
            replica.resume()
            replica.reconnect()
        self._wait_until_sound()

    def _wait_until_sound(self) -> None:
        for replica in self.replicas:
            replica.wait_until(replica.is_receiving, "connection to the primary")
        self.wait_in_step()

    def fail_over(self, to: AnyServer | None = None) -> None:
        """Promote a replica, and let the others follow it.

        The old primary stays as it is, dead or alive, and is no longer one of the cluster's: stop or kill
        it before, or leave it alone to have two servers that take writes. `rejoin()` takes it back.

        Args:
            to: the replica to promote; unless one is given, the one that has received most.
        """
        received = {replica: replica.received() for replica in self.replicas if replica.running}
        promoted = to or max(received, key=lambda replica: received[replica])
        promoted.promote()
        self.primary = promoted
        self.replicas.remove(promoted)
        for replica in self.replicas:
            if replica.running:
                replica.follow(promoted, anew=received[replica] > received[promoted])

    def rejoin(self, server: AnyServer) -> None:
        """Make a former primary a replica, as a new copy of the primary: what only it had is lost.

        Args:
            server: one of `servers`.
        """
        server.follow(self.primary, anew=True)
        self.replicas.append(server)


class PostgresCluster(Cluster[PostgresServer]):
    """A PostgreSQL primary and its streaming replicas; see `Cluster`."""

    def _server(self, durable: bool, settings: dict[str, str] | None) -> PostgresServer:
        return PostgresServer(durable=durable, settings=settings)


class MariaDBCluster(Cluster[MariaDBServer]):
    """A MariaDB primary and its GTID replicas; see `Cluster`."""

    def _server(self, durable: bool, settings: dict[str, str] | None) -> MariaDBServer:
        return MariaDBServer(durable=durable, settings=settings)
