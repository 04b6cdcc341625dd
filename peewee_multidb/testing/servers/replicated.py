"""What a server can do as a primary or a replica, in the same words for every engine.

All of it is done to the real thing: replay stops because the server was told to stop replaying, and a
promoted replica takes writes because it has left recovery.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .base import Server

if TYPE_CHECKING:
    from typing_extensions import Self

WAIT = 20.0
"""Seconds to wait for a replica unless told otherwise; a healthy one needs a few milliseconds."""


class ReplicatedServer(Server):
    """A server that has replicas or is one.

    Attributes:
        primary: the server that this one follows; None for a primary and for a replica of nobody.
    """

    primary: ReplicatedServer | None

    # -- statements and databases

    @abstractmethod
    def execute(self, sql: str, *parameters: object, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as the administrator, who may write to a read-only server where the engine can.

        Args:
            sql: the statement, with ``%s`` for each of the `parameters`.
            database: where to run it; the engine's own database, if none is named.

        Returns:
            The rows; none for a statement without a result.
        """

    @abstractmethod
    def create_database(self, name: str) -> None:
        """Make an empty database called `name`."""

    @abstractmethod
    def drop_database(self, name: str) -> None:
        """Drop the database `name`, whoever is connected to it and whatever they have prepared there."""

    @abstractmethod
    def end_sessions(self, database: str) -> None:
        """Close every connection to `database`, as an administrator or a restart would."""

    # -- positions

    @abstractmethod
    def position(self) -> str:
        """How far this server's log has come: written on a primary, replayed on a replica."""

    @abstractmethod
    def wait_for(self, position: str, timeout: float = WAIT) -> None:
        """Return when this replica has replayed `position`.

        Raises:
            TimeoutError: it has not within `timeout` seconds.
        """

    @abstractmethod
    def received(self) -> int:
        """How much of its primary's log this replica has, replayed or not; to be compared with others."""

    # -- lag

    @abstractmethod
    def pause(self) -> None:
        """Replay nothing more. What the primary sends is received and kept; a restart ends the pause."""

    @abstractmethod
    def resume(self) -> None:
        """Go on replaying; on a server that has been promoted there is nothing to do."""

    @contextlib.contextmanager
    def paused(self) -> Iterator[Self]:
        """A block in which this replica replays nothing."""
        self.pause()
        try:
            yield self
        finally:
            # Whoever killed it in the block has ended the pause too.
            if self.running:
                self.resume()

    @abstractmethod
    def delay(self, seconds: float) -> None:
        """Replay each commit `seconds` after it was made on the primary; 0 is as soon as possible."""

    @abstractmethod
    def disconnect(self) -> None:
        """Receive nothing more from the primary; what was received is replayed. Clients notice nothing."""

    @abstractmethod
    def reconnect(self) -> None:
        """Receive again, and first of all what was missed."""

    @abstractmethod
    def is_receiving(self) -> bool:
        """Whether the connection to the primary stands, so that what is written now arrives at once."""

    # -- roles

    @abstractmethod
    def replica(self, settings: dict[str, str] | None = None) -> Self:
        """Start a replica of this server; it has the same databases, users and passwords.

        The caller closes it.

        Args:
            settings: options of the new server, over those of this one.
        """

    @abstractmethod
    def promote(self) -> None:
        """Make a replica a primary of its own, and return when it takes writes.

        What it has received is replayed first, a pause notwithstanding.
        """

    @abstractmethod
    def demote(self) -> None:
        """Make a primary what a replica is: read-only, to itself and to those who ask. It follows nobody."""

    @abstractmethod
    def follow(self, primary: Self, anew: bool = False) -> None:
        """Make this server a replica of `primary`.

        Args:
            primary: the server to follow from now on.
            anew: begin with a copy of `primary` and forget all that this server had, which is the only
                way for one that has something that `primary` has not. Otherwise its data are kept, and
                the connections to a replica too.
        """

    @abstractmethod
    def set_read_only(self, on: bool = True) -> None:
        """Refuse every write to a primary that otherwise stays one, or with `on` False take writes again."""
