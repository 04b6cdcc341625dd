"""A synchronous database in a test: one connection for all threads, whose transaction is undone at the end.

The transaction of the test is no business of the program's: to Peewee and to this package no transaction is
open until the program opens one, which then is a savepoint in fact. So callbacks after a commit, reads from
replicas, closing connections and warnings are what they are in production.

All this stands in attributes of the one Database object, which are gone with the test.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import peewee
from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from ..drivers import connections, traits_of
from ..errors import IsolationError
from .refusing import refuse_ending
from .turns import ThreadTurn

__all__ = ["Attributes", "Hold", "Savepoints", "forked", "is_private"]

_errors: Any = peewee.__exception_wrapper__  # type: ignore[attr-defined]
_numbers = itertools.count(1)


class Attributes:
    """Attributes that one object has for a while.

    Args:
        target: the object.
    """

    def __init__(self, target: Any) -> None:
        self._target = vars(target)
        self._before: dict[str, Any] = {}

    def put(self, **values: Any) -> None:
        """Set attributes, of the object and not of its class."""
        for name, value in values.items():
            if name not in self._before:
                self._before[name] = (name in self._target, self._target.get(name))
            self._target[name] = value

    def restore(self) -> None:
        """Make all as it was."""
        for name, (was_there, value) in self._before.items():
            if was_there:
                self._target[name] = value
            else:
                self._target.pop(name, None)
        self._before = {}


class Savepoints:
    """The statements for savepoints of an engine.

    Args:
        engine: the dialect, as in `Traits.engine`.
    """

    def __init__(self, engine: str) -> None:
        tsql = engine == "mssql"
        self._make = "SAVE TRANSACTION {}" if tsql else "SAVEPOINT {}"
        self._undo = "ROLLBACK TRANSACTION {}" if tsql else "ROLLBACK TO SAVEPOINT {}"
        self._release = None if tsql or engine == "oracle" else "RELEASE SAVEPOINT {}"

    @staticmethod
    def new_name() -> str:
        """Return the name of a savepoint that there was none of before."""
        return f"multidb_test_{next(_numbers)}"

    def make(self, name: str) -> list[str]:
        """Return what makes one."""
        return [self._make.format(name)]

    def keep(self, name: str) -> list[str]:
        """Return what forgets one, and keeps what was done since."""
        return [] if self._release is None else [self._release.format(name)]

    def undo(self, name: str) -> list[str]:
        """Return what undoes what was done since, and forgets it."""
        return [self._undo.format(name), *self.keep(name)]


def is_private(database: Any) -> bool:
    """Whether a database is SQLite's in the memory of its connection, and so empty for every other one."""
    name = getattr(database, "database", None)
    return isinstance(database, peewee.SqliteDatabase) and str(name) in (":memory:", "")


def forked(name: str) -> IsolationError:
    """The error for a process that was forked inside a test."""
    return IsolationError(
        f"database {name!r}: a forked process cannot take part in the transaction of the test. "
        "Mark the test @pytest.mark.databases(..., transaction=False)."
    )


class Hold:
    """The hold on one Database object during one test.

    Args:
        name: the database name.
        database: the Database object.
        allow: called before it connects; raises if the test may not use it.
        committed: called with each callback of the program's that is due after a commit.
        transaction: False only watches who connects, and leaves the rest alone.
    """

    def __init__(
        self,
        name: str,
        database: Any,
        *,
        allow: Callable[[str], None],
        committed: Callable[[Any], None],
        transaction: bool = True,
    ) -> None:
        self.name = name
        self._database = database
        self._allow = allow
        self._committed = committed
        self._is_transactional = transaction and traits_of(database).transactions
        self._attributes = Attributes(database)
        self._savepoints = Savepoints(traits_of(database).engine)
        # A statement that fails leaves PostgreSQL's whole transaction useless, and autocommit unharmed.
        self._guards = traits_of(database).engine == "postgresql"
        self._turn = ThreadTurn(name)
        self._opening = threading.RLock()
        self._process = os.getpid()
        self._conn: Any = None
        self._is_adopted = False
        self._only_thread: int | None = None
        self._has_begun = False
        self._names: list[str] = []
        self._own = threading.local()
        self._start()

    def _start(self) -> None:
        database = self._database
        if database.in_transaction():
            raise IsolationError(
                f"database {self.name!r}: a transaction is open when the test begins; end it first, or "
                "mark the test @pytest.mark.databases(..., transaction=False)."
            )
        self._state = database._state
        self._plain_connect = database._connect
        self._plain_close = database._close
        if not self._is_transactional:
            if not self._state.closed:
                # It is in use as it is; only what is opened in the test is asked for.
                self._only_asking()
                return
            self._attributes.put(_connect=self._asked)
            return
        self._adopt()
        database._state = type(self._state)()
        connections.watch(database)
        self._plain_begin = database.begin
        self._plain_rollback = database.rollback
        self._plain_execute = database._execute_cursor
        self._plain_after_commit = database.after_commit
        self._plain_initialize = database._initialize_connection
        self._attributes.put(
            _connect=self._connect,
            _close=self._close,
            _initialize_connection=self._initialize,
            _execute_cursor=self._execute,
            begin=self._begin,
            commit=self._commit,
            rollback=self._rollback,
            after_commit=self._after_commit,
            _run_commit_callbacks=self._run_callbacks,
            is_held=True,
        )
        if isinstance(database, PooledDatabase):
            self._attributes.put(close_all=self._close_all, manual_close=database.close)

    def _only_asking(self) -> None:
        plain = self._database.cursor

        def cursor(*args: Any, **kwargs: Any) -> Any:
            self._allow(self.name)
            return plain(*args, **kwargs)

        self._attributes.put(cursor=cursor, _connect=self._asked)

    def _asked(self) -> Any:
        self._allow(self.name)
        return self._plain_connect()

    def _adopt(self) -> None:
        """Take the connection that this thread has already, if another would not do or would cost time."""
        state = self._state
        is_file = isinstance(self._database, peewee.SqliteDatabase) and not is_private(self._database)
        # The connection to a file belongs to its thread, unless it is made otherwise.
        if not state.closed and not is_file:
            self._conn, self._is_adopted = state.conn, True
            if is_private(self._database) and self._database.connect_params.get("check_same_thread", True):
                self._only_thread = threading.get_ident()

    # Connections

    def _connect(self) -> Any:
        self._allow(self.name)
        if os.getpid() != self._process:
            raise forked(self.name)
        with self._opening:
            if self._conn is None:
                self._conn = self._opened()
            if self._only_thread not in (None, threading.get_ident()):
                raise IsolationError(
                    f"database {self.name!r}: thread {threading.current_thread().name!r} cannot share a "
                    "SQLite database in memory with the test. Use a file, or ?check_same_thread=0 in its URL."
                )
            return self._conn

    def _opened(self) -> Any:
        if not isinstance(self._database, peewee.SqliteDatabase):
            return self._plain_connect()
        options = self._database.connect_params
        before = dict(options)
        options["check_same_thread"] = False
        try:
            return self._plain_connect()
        finally:
            options.clear()
            options.update(before)

    def _initialize(self, conn: Any) -> None:
        with self._opening:
            if not self._has_begun:
                self._plain_initialize(conn)
                with self._ours():
                    self._plain_begin()
                self._has_begun = True

    def _close(self, conn: Any, *args: Any, **kwargs: Any) -> None:
        if conn is not self._conn:
            self._plain_close(conn, *args, **kwargs)

    def _close_all(self) -> None:
        self._database.close()
        self._database.close_idle()

    # Statements

    @contextlib.contextmanager
    def _ours(self) -> Iterator[None]:
        self._own.depth = getattr(self._own, "depth", 0) + 1
        try:
            yield
        finally:
            self._own.depth -= 1

    def _send(self, statements: list[str]) -> None:
        with self._ours(), _errors:
            for sql in statements:
                self._database.cursor().execute(sql)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        self._take()
        try:
            yield
        finally:
            self._turn.give()

    def _take(self) -> None:
        if self._turn.take() and self._names:
            # Of a thread that has ended in the middle of its transaction.
            self._send(self._savepoints.undo(self._names[0]))
            self._names = []

    def _execute(self, sql: str, params: Any, **options: Any) -> Any:
        if getattr(self._own, "depth", 0):
            return self._plain_execute(sql, params, **options)
        refuse_ending(self.name, self._database, sql)
        if os.getpid() != self._process:
            raise forked(self.name)
        with self._in_turn():
            if self._names or not self._guards:
                return self._plain_execute(sql, params, **options)
            name = self._savepoints.new_name()
            self._send(self._savepoints.make(name))
            try:
                cursor = self._plain_execute(sql, params, **options)
            except Exception:
                with contextlib.suppress(Exception):  # the error that is under way says why
                    self._send(self._savepoints.undo(name))
                raise
            self._send(self._savepoints.keep(name))
            return cursor

    # Transactions of the program

    def _begin(self, *args: Any, **kwargs: Any) -> None:
        self._take()
        try:
            name = self._savepoints.new_name()
            self._send(self._savepoints.make(name))
            self._names.append(name)
        except BaseException:
            self._turn.give()
            raise

    def _commit(self) -> None:
        self._require_open("commit")
        if self._names:
            self._send(self._savepoints.keep(self._names[-1]))
            self._leave()

    def _rollback(self) -> None:
        self._require_open("rollback")
        if self._names:
            try:
                self._send(self._savepoints.undo(self._names[-1]))
            finally:
                self._leave()

    def _leave(self) -> None:
        self._names.pop()
        self._turn.give()

    def _require_open(self, what: str) -> None:
        if self._database.is_closed():
            raise peewee.InterfaceError(f"Cannot {what}, database connection not open.")

    def _after_commit(self, function: Any) -> Any:
        if self._database.transaction_depth():
            return self._plain_after_commit(function)
        self._committed(function)
        return function

    def _run_callbacks(self) -> None:
        callbacks = self._database._state.commit_callbacks
        todo, callbacks[:] = list(callbacks), []
        for function in todo:
            self._committed(function)

    # The end

    def end(self) -> None:
        """Roll back, and let go of the Database object.

        Raises:
            IsolationError: a thread still has a transaction open.
        """
        database = self._database
        if not self._is_transactional:
            self._attributes.restore()
            return
        try:
            if self._has_begun and os.getpid() == self._process:
                self._turn.take()
                self._undo()
        finally:
            conn, self._conn = self._conn, None
            database._state.reset()
            self._attributes.restore()
            if conn is not None and not self._is_adopted and os.getpid() == self._process:
                with contextlib.suppress(Exception):  # a connection that is dead anyway
                    database._close(conn)
            database._state = self._state
            connections.watch(database)

    def _undo(self) -> None:
        state = self._database._state
        if state.closed or state.conn is not self._conn:
            state.set_connection(self._conn)
        with self._ours(), contextlib.suppress(peewee.PeeweeException):
            # A connection that was lost has lost the transaction as well.
            self._plain_rollback()
