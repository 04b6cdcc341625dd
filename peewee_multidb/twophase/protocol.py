"""The commit of one two-phase transaction: prepare, decide, and tell everybody.

1. Every database that can prepare promises to commit.
2. The decision is written where it lasts. Without it, everything rolls back: nobody need ever have heard of
   the transaction (presumed abort).
3. The databases are told.

A database that cannot prepare may take part as the last resource. It commits between the first step and
the third, and then the decision is a row in *its own* transaction: so it commits if and only if the others
do, and whenever this program dies there is one place that knows. If that is not the log, the log says
beforehand where to ask. The log's own database takes that place when it takes part.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import peewee

from ..callers import warn_user
from ..drivers import connections
from ..errors import InDoubt, PartialCommit, TwoPhaseError
from .branches import Branch
from .decisions import ASK, COMMIT, Decisions
from .ids import Gid
from .log import Log, NotWritten

__all__ = ["Commit"]

logger = logging.getLogger("peewee_multidb")

#: What to do about databases that are in doubt.
NEXT = "Run `multidb recover`, or peewee_multidb.recover(), when it can be reached"


class Commit:
    """The end of a transaction over several databases.

    Args:
        log: where the decision is written.
        gid: the name of the transaction.
        branches: the databases that prepare, in this order.
        last: the database that cannot, if there is one.
        is_log: whether that is the database of the log.

    Attributes:
        is_committed: whether the decision to commit is written.
    """

    def __init__(
        self, log: Log, gid: Gid, branches: Sequence[Branch], last: Branch | None, is_log: bool
    ) -> None:
        self._log = log
        self._gid = gid.text
        self._branches = branches
        self._last = last
        self._is_log = is_log
        self._names = [branch.name for branch in branches]
        #: Those that may have promised; the others roll back as ever.
        self._promised: list[Branch] = []
        self._interrupt: BaseException | None = None
        self.is_committed = False

    def run(self) -> list[Branch]:
        """Commit on every database or on none.

        Returns:
            The databases that have promised to commit and could not be told to: their work is done once
            `recover` reaches them.

        Raises:
            TwoPhaseError: everything is rolled back, or will be when `recover` reaches it.
            PartialCommit: nobody knows yet which; the databases wait, and will all do the same.
            Exception: what a database said when it was to prepare; everything is rolled back.
        """
        try:
            for branch in self._branches:
                self._promised.append(branch)
                branch.prepare()
        except BaseException as error:
            self._give_up(error)
        last = self._last
        self._decide()
        self.is_committed = True
        pending = self._tell(True)
        if not pending:
            self._tidy(None if last is None or self._is_log else last.database)
        if self._interrupt is not None:
            self.warn(pending)
            raise self._interrupt
        return pending

    def warn(self, pending: Sequence[Branch]) -> None:
        """Say that the work is committed and some databases do not know yet."""
        if pending:
            names = ", ".join(repr(branch.name) for branch in pending)
            warn_user(
                f"The block is committed, and {names} could not be told yet: what was written there is not "
                f"seen, and stays locked, until then. {NEXT}. (The transaction is {self._gid}.)",
                InDoubt,
            )

    def _tidy(self, last: Any) -> None:
        """Note that all is done; delete decisions when there are enough. What is left, `recover` deletes."""
        gone = self._log.finished(self._gid, last)
        if gone:
            with contextlib.suppress(Exception):
                if last is not None:
                    # There first: without the row of the log, nobody would know that there is one.
                    Decisions(last).forget(gone)
                self._log.run(lambda: self._log.forget(gone))

    # The decision

    def _decide(self) -> None:
        """Write the decision, or roll back and raise."""
        if self._last is None:
            self._ask_log(COMMIT, "")
            return
        if not self._is_log:
            self._ask_log(ASK, self._last.name)
        decisions = Decisions(self._last.database)
        try:
            decisions.insert(self._gid, COMMIT, self._names)
        except BaseException as error:
            self._refused(error, f"in {self._last.name!r}, which is the last to commit")
        last, self._last = self._last, None
        try:
            last.leave((None, None, None))
        except BaseException as error:
            if isinstance(error, Exception) and not connections.is_lost(last.database):
                self._give_up(error)
            connections.drop(last.database)
            self._find_out(error, lambda: decisions.settle(self._gid, "rollback").outcome, last.name)

    def _ask_log(self, outcome: str, place: str) -> None:
        log = self._log
        try:
            log.run(lambda: log.write(self._gid, outcome, self._names, place))
        except NotWritten as error:
            self._refused(error.__cause__ or error, f"in {log.label}")
        except BaseException as error:
            self._find_out(error, lambda: log.run(lambda: log.settle(self._gid)).outcome, log.label, outcome)

    def _refused(self, error: BaseException, where: str) -> NoReturn:
        """The decision is certainly not written: roll back and raise."""
        left = self._roll_back(error)
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, peewee.IntegrityError):
            why = "`recover` took this program for dead and decided against its transaction"
        else:
            why = f"the decision to commit could not be written {where} ({type(error).__name__}: {error})"
        raise self._error(why, left) from error

    def _find_out(
        self, error: BaseException, ask: Callable[[], str], where: str, wanted: str = COMMIT
    ) -> None:
        """Whether the decision was written is not known: make sure, whichever it is.

        Args:
            error: what made it unknown.
            ask: decides against the transaction unless it is decided, and returns what holds.
            where: who is asked.
            wanted: what should be written there.
        """
        try:
            outcome = ask()
        except BaseException as again:
            names = [*self._names, *(branch.name for branch in self._single())]
            undecided = PartialCommit(
                f"The answer of {where} to the decision got lost ({type(error).__name__}: {error}), and it "
                f"cannot be asked ({type(again).__name__}: {again}). {', '.join(map(repr, self._names))} "
                f"wait for the decision, and will then all do the same. {NEXT}. "
                f"(The transaction is {self._gid}.)",
                unknown=names,
            )
            self._let_go(error)
            for interrupt in (error, again):
                if not isinstance(interrupt, Exception):
                    raise interrupt from undecided
            raise undecided from error
        if outcome == wanted:
            if not isinstance(error, Exception):
                self._interrupt = error
            return
        left = self._roll_back(error)
        if not isinstance(error, Exception):
            raise error
        raise self._error(f"the decision to commit did not reach {where} ({error})", left) from error

    def _give_up(self, error: BaseException) -> NoReturn:
        """A database would not commit: roll back and raise what it said."""
        left = self._roll_back(error)
        if left and isinstance(error, Exception):
            raise self._error(f"{type(error).__name__}: {error}", left) from error
        raise error

    def _error(self, why: str, left: list[Branch]) -> TwoPhaseError:
        names = [branch.name for branch in left]
        text = "Everything is rolled back"
        if names:
            text = (
                f"Everything is rolled back, but {', '.join(map(repr, names))} could not be told and will be "
                f"when recovered. {NEXT}"
            )
        return TwoPhaseError(f"Nothing was committed: {why}. {text}; then repeat the block.", in_doubt=names)

    # The second phase

    def _single(self) -> tuple[Branch, ...]:
        return () if self._last is None else (self._last,)

    def _tell(self, commit: bool) -> list[Branch]:
        """Tell those that have promised; return those that could not be."""
        pending = []
        for branch in self._promised:
            try:
                try:
                    branch.finish(commit)
                except Exception:
                    raise
                except BaseException as interrupt:
                    # To stop half-way is what this is all about to avoid.
                    self._interrupt = self._interrupt or interrupt
                    branch.finish(commit)
            except BaseException as error:
                logger.warning("two-phase transaction %s, database %r: %r", self._gid, branch.name, error)
                self._leave_pending(branch, commit, isinstance(error, Exception))
                pending.append(branch)
        return pending

    @staticmethod
    def _leave_pending(branch: Branch, commit: bool, is_failed: bool) -> None:
        # MariaDB and MySQL let nobody at it that a connection holds.
        with contextlib.suppress(BaseException):
            connections.drop(branch.database)
        if not is_failed and connections.is_async(branch.database):
            # This task is cancelled at each step, as anyio does it; another one is not.
            connections.in_background([branch.database], lambda: branch.finish(commit), lambda: None)

    def _let_go(self, error: BaseException) -> None:
        """Leave to `recover` what is in doubt."""
        for branch in self._single():
            self._leave(branch, error)
        for branch in self._promised:
            with contextlib.suppress(BaseException):
                connections.drop(branch.database)

    def _roll_back(self, error: BaseException) -> list[Branch]:
        for branch in self._single():
            self._leave(branch, error)
        for branch in self._branches[len(self._promised) :]:
            self._leave(branch, error)
        return self._tell(False)

    @staticmethod
    def _leave(branch: Branch, error: BaseException) -> None:
        with contextlib.suppress(Exception):  # the error that is under way says why
            branch.leave((type(error), error, error.__traceback__))
