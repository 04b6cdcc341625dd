"""The transaction of one database, from its beginning to its end in one or in two phases.

A `Branch` begins as Peewee's ``atomic()`` does, so that savepoints, callbacks and the rest work inside. At
its end Peewee's bookkeeping is taken over: a transaction that was prepared is neither committed nor rolled
back, and the connection no longer has it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import peewee

from ..drivers import connections, races, traits_of
from ..drivers.base import TwoPhase
from ..errors import NotTransactional
from .ids import Gid

__all__ = ["Branch", "finish_prepared", "listed"]

#: Attempts to reach a server that has promised to commit, and the seconds between two of them.
TRIES = 3
PAUSE = 0.05

#: PQTRANS_INERROR of libpq.
IN_ERROR = 3


class _Began(peewee._transaction):
    """A transaction that begins with a statement of the engine's own, such as XA START."""

    def __init__(self, db: Any, sql: str) -> None:
        super().__init__(db)
        self._sql = sql

    def _begin(self) -> None:
        self.db.execute_sql(self._sql)


class Branch:
    """The part of one database in a block.

    Args:
        name: how messages call the database.
        database: its Database object.

    Attributes:
        is_outermost: whether leaving it commits: a savepoint's work waits for the transaction around it.
        two_phase: how it is prepared; None where it is not.
        xid: its name as part of a two-phase transaction, None while it has none.
        callbacks: what Peewee was to call after the commit; see `take_callbacks`.
    """

    __slots__ = ("_entered", "callbacks", "database", "is_outermost", "name", "two_phase", "xid")

    def __init__(self, name: str, database: Any) -> None:
        self.name = name
        self.database = database
        self.two_phase: TwoPhase | None = None
        self.xid: str | None = None
        self.callbacks: list[Any] = []
        self.is_outermost = not connections.has_transaction(database)
        traits = traits_of(database)
        if not (traits.transactions if self.is_outermost else traits.savepoints):
            missing = "transactions" if self.is_outermost else "savepoints, which an inner block needs"
            raise NotTransactional(f"atomic({name!r}): {type(database).__name__} has no {missing}.")

    def begin(self) -> None:
        """Begin the transaction, or make a savepoint in the one that is open."""
        self._entered = self.database.atomic()
        self._entered.__enter__()

    def begin_prepared(self, two_phase: TwoPhase, gid: Gid, number: int) -> None:
        """Begin a transaction that can be prepared.

        Args:
            two_phase: how this engine does it.
            gid: the whole transaction.
            number: of this part.
        """
        self.two_phase = two_phase
        self.xid = gid.branch(number)
        if two_phase.begin is None:
            self.begin()
            return
        database = self.database
        if not database.is_closed() and (connections.is_left(database) or connections.is_lost(database)):
            connections.drop(database)
        self._entered = _Began(database, self._text(two_phase.begin))
        self._entered.__enter__()

    def leave(self, exc: tuple[Any, ...]) -> None:
        """End it in one phase.

        Args:
            exc: what a ``with`` statement hands over: rolled back if there is an exception in it.
        """
        two_phase = self.two_phase
        if two_phase is None or two_phase.begin is None:
            self._entered.__exit__(*exc)
            return
        self._detach()
        if exc[0] is None:
            try:
                self._run(*two_phase.commit_alone)
            except Exception:
                self._undo()
                raise
        else:
            self._undo()

    def take_callbacks(self) -> None:
        """Keep what Peewee would call after the commit of this database alone."""
        if self.is_outermost:
            callbacks = self.database._state.commit_callbacks
            self.callbacks, callbacks[:] = list(callbacks), []

    def prepare(self) -> None:
        """Have the server promise to commit. It rolls back if it does not.

        Raises:
            Exception: whatever the driver says; a lost connection leaves open whether it has promised.
        """
        two_phase = self.two_phase
        assert two_phase is not None
        self._detach()
        try:
            self._run(*two_phase.prepare)
        except BaseException:
            if two_phase.undo:
                self._undo()
            raise
        finally:
            self._tidy()

    def finish(self, commit: bool) -> None:
        """Commit or roll back what was prepared, on a new connection if the old one is lost.

        Raises:
            Exception: the server cannot be reached, or does not do it; it still keeps its promise.
        """
        database = self.database
        for attempt in range(1, TRIES + 1):
            try:
                finish_prepared(database, self.two_phase, self.xid, commit)
                return
            except Exception as error:
                if not races.is_unknown_xid(error):
                    # What failed on a connection does not speak for the next one.
                    connections.drop(database)
                elif self.xid not in listed(database, self.two_phase):
                    return  # `recover` was quicker
                # Else a server that has not noticed yet that our connection is gone: it still holds it.
                if attempt == TRIES:
                    raise
                connections.pause(database, PAUSE * attempt)

    def require_alive(self) -> None:
        """See that the server has not given the transaction up: PostgreSQL would answer COMMIT with ROLLBACK.

        Raises:
            peewee.InternalError: it has, after an error that somebody caught.
        """
        database = self.database
        if traits_of(database).engine != "postgresql":
            return
        info = getattr(database._state.conn, "info", None)
        if info is None:
            database.execute_sql("SELECT 1")  # asyncpg does not tell; the server does
        elif int(info.transaction_status) == IN_ERROR:
            raise peewee.InternalError(
                f"The transaction on {self.name!r} had failed, by an error that was caught inside of the "
                "block: the server can only roll it back. Put what may fail into an atomic block of its own."
            )

    def _text(self, template: str) -> str:
        return template.format(xid=f"'{self.xid}'")

    def _run(self, *templates: str) -> None:
        for template in templates:
            self.database.execute_sql(self._text(template))

    def _undo(self) -> None:
        assert self.two_phase is not None
        self.database._clear_commit_callbacks()
        for template in self.two_phase.undo:
            # A deadlock has rolled it back already, and a lost connection does it too.
            with contextlib.suppress(peewee.PeeweeException):
                self._run(template)
        if connections.is_lost(self.database):
            connections.drop(self.database)

    def _detach(self) -> None:
        """Make Peewee take the connection for one without a transaction."""
        self.database.pop_transaction()

    def _tidy(self) -> None:
        """Bring asyncpg's own bookkeeping in line: it believes that the transaction is still open."""
        if getattr(self._entered, "_tx", None) is not None:
            with contextlib.suppress(Exception):
                self.database.execute_sql("BEGIN")
                self._entered.rollback(False)


def finish_prepared(database: Any, two_phase: Any, xid: Any, commit: bool) -> None:
    """Commit or roll back a prepared transaction.

    Args:
        database: the Database object; no transaction may be open on it.
        two_phase: how its engine does it.
        xid: the name of the branch.
        commit: whether it is committed.
    """
    template = two_phase.commit if commit else two_phase.rollback
    database.execute_sql(template.format(xid=f"'{xid}'"))


def listed(database: Any, two_phase: Any) -> list[str]:
    """Return the names of the prepared transactions of a server, of anybody's."""
    rows = database.execute_sql(two_phase.recover).fetchall()
    found = [row[two_phase.recovered_xid] for row in rows]
    return [one.decode("ascii", "replace") if isinstance(one, bytes) else str(one) for one in found]
