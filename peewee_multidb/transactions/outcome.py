"""What became of each database at the end of a block, and the error that says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..drivers import connections
from ..errors import PartialCommit
from ..twophase import Branch, Commit

__all__ = ["Outcome"]


class Outcome:
    """The end of the databases of one block.

    Args:
        exc: what the ``with`` statement handed over.

    Attributes:
        committed: names of the databases whose work is durable.
        pending: those among them that do not know it yet.
    """

    def __init__(self, exc: tuple[Any, ...]) -> None:
        self._exc = exc
        self._failure: tuple[str, BaseException] | None = None
        self._is_told = False
        self.committed: list[str] = []
        self.pending: list[Branch] = []
        self._rolled_back: list[str] = []
        self._unknown: list[str] = []

    def check(self, branches: Sequence[Branch]) -> None:
        """See that no server has given its transaction up, before the first one commits.

        Args:
            branches: the databases.
        """
        if self._exc[0] is not None:
            return
        for branch in branches:
            try:
                branch.require_alive()
            except BaseException as error:
                self._failure = (branch.name, error)
                return

    def end(self, branches: Sequence[Branch], commits: bool = True) -> None:
        """End each transaction in one phase, the last one first, and then the savepoints.

        Args:
            branches: the databases.
            commits: whether that makes anything durable: not where only readers are left.
        """
        # A savepoint that is released cannot be undone any more when a commit fails.
        savepoints = [branch for branch in branches if not branch.is_outermost]
        for branch in (*(one for one in reversed(branches) if one.is_outermost), *reversed(savepoints)):
            try:
                branch.leave(self._seen())
            except BaseException as error:
                self._failed(branch, error)
            else:
                if self._seen()[0] is not None:
                    self._rolled_back.append(branch.name)
                elif branch.is_outermost and commits:
                    self.committed.append(branch.name)

    def two_phase(self, commit: Commit, branches: Sequence[Branch]) -> None:
        """End what takes part in a two-phase commit.

        Args:
            commit: does it.
            branches: the databases.
        """
        if self._seen()[0] is not None:
            self.end(branches)
            return
        try:
            self.pending = commit.run()
        except BaseException as error:
            self._failure = ("", error)
            # It has said what became of each database.
            self._is_told = True
            if not commit.is_committed:
                return
        self.committed += [branch.name for branch in branches]

    def _seen(self) -> tuple[Any, ...]:
        """Return the exception that the next database's transaction should see."""
        if self._exc[0] is None and self._failure is not None:
            error = self._failure[1]
            return type(error), error, error.__traceback__
        return self._exc

    def _failed(self, branch: Branch, error: BaseException) -> None:
        # A server that was told to commit and whose answer was lost may have done so. One that was told
        # nothing rolls back when it notices that the connection is gone.
        was_told = self._seen()[0] is None and branch.is_outermost
        if was_told and (not isinstance(error, Exception) or connections.is_lost(branch.database)):
            self._unknown.append(branch.name)
        else:
            self._rolled_back.append(branch.name)
        if self._failure is None:
            self._failure = (branch.name, error)

    def finish(self) -> None:
        """Raise what there is to raise.

        Raises:
            PartialCommit: some databases have committed and others have not.
            Exception: what the first database said that failed.
        """
        if self._failure is None:
            return
        name, error = self._failure
        partial = None if self._is_told else self._partial(name, error)
        if partial is None:
            raise error
        if isinstance(error, Exception):
            raise partial from error
        # An interrupt or a cancellation stays what it is.
        raise error from partial

    def _partial(self, name: str, error: BaseException) -> PartialCommit | None:
        others = [*self.committed, *self._rolled_back]
        if self._exc[0] is not None or not (self.committed or (self._unknown and others)):
            return None
        states = (
            ("Committed", self.committed),
            ("Rolled back", self._rolled_back),
            ("Unknown, since the answer was lost", self._unknown),
        )
        became = " ".join(f"{state}: {', '.join(map(repr, names))}." for state, names in states if names)
        return PartialCommit(
            f"Committing {name!r} failed ({type(error).__name__}: {error}). {became} "
            "Undo or repeat the work by hand.",
            committed=self.committed,
            rolled_back=self._rolled_back,
            unknown=self._unknown,
        )
