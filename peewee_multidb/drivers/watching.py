"""The seam where somebody looks at what a Database object sends: one `Sent` for each statement.

Peewee's ``query_hooks`` say what was sent, how long it took and how it failed; they know neither the query
that it was made of nor the rows that came back. A `Watch` therefore stands in the methods that know, as
attributes of the one object that is watched: a Database object that nobody watches has none of it, and pays
nothing.

The hooks get statements as the program wrote them. Comments are added below, at the cursor, so that nothing
that reads statements (write hooks, caches) sees them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from . import connections

__all__ = ["Sent", "Watch", "attach", "housekeeping", "opening", "pipelined", "watch_of", "written"]

logger = logging.getLogger("peewee_multidb")

ATTRIBUTE = "multidb_watch"

#: Adds a comment to a statement: called with the Database object, the query or None, the SQL and whether the
#: driver takes ``%%`` for ``%`` in it.
Writer = Callable[[Any, Any, str, bool], str]

#: Modules that take a percent sign for one in every statement, and those that do in one without parameters.
LITERAL = frozenset(["asyncpg", "mysql"])
LITERAL_WITHOUT_PARAMETERS = frozenset(["psycopg2"])

_housekeeping: ContextVar[bool] = ContextVar("peewee_multidb_housekeeping", default=False)
_telling: ContextVar[bool] = ContextVar("peewee_multidb_telling", default=False)

_lock = threading.Lock()


class Sent:
    """One statement that was sent, or that could not be.

    Attributes:
        database: the Database object.
        query: the query that it was made of; None for plain SQL.
        sql: the statement, with placeholders.
        params: its parameters.
        started: the moment, in seconds since the epoch.
        duration: seconds until the server had answered.
        error: what it failed with, or None.
        rows: how many rows it gave or changed; None where the driver does not know by now.
        housekeeping: the package asked for a purpose of its own, such as the lag of a replica.
    """

    __slots__ = (
        "database",
        "duration",
        "error",
        "housekeeping",
        "params",
        "query",
        "rows",
        "sql",
        "started",
    )

    def __init__(self, database: Any, query: Any, sql: str, params: Any, duration: float, error: Any) -> None:
        self.database = database
        self.query = query
        self.sql = sql
        self.params = params
        self.started = time.time() - duration
        self.duration = duration
        self.error: BaseException | None = error
        self.rows: int | None = None
        self.housekeeping = _housekeeping.get()


class _Frame:
    """A call of a watched method, and what has been sent in it so far."""

    __slots__ = ("before", "query", "sent", "watch")

    def __init__(self, watch: Watch, query: Any) -> None:
        self.watch = watch
        self.query = query
        self.sent: list[Sent] = []


_frame: ContextVar[_Frame | None] = ContextVar("peewee_multidb_frame", default=None)

#: Statements of a pipeline, whose answers are still to come.
_held: ContextVar[list[tuple[_Frame, Any]] | None] = ContextVar("peewee_multidb_held", default=None)


class Watch:
    """What listens to one Database object; made by `attach`, gone with the last listener.

    Attributes:
        database: the object.
    """

    def __init__(self, database: Any) -> None:
        self.database = database
        self._listeners: dict[object, Callable[[Sent], object]] = {}
        self._writers: dict[object, Writer] = {}
        self._before: dict[str, Any] = {}
        self._is_installed = False

    # Coming and going

    def admit(
        self, owner: object, listener: Callable[[Sent], object] | None, writer: Writer | None
    ) -> None:
        """Take a listener and a writer; `attach` calls it."""
        self._install()
        if listener is not None:
            self._listeners = {**self._listeners, owner: listener}
        if writer is not None:
            self._writers = {**self._writers, owner: writer}
            self._install_writers()

    def leave(self, owner: object) -> None:
        """Drop the listener and the writer of an owner; without any the object is as it was."""
        with _lock:
            self._listeners = {key: one for key, one in self._listeners.items() if key is not owner}
            self._writers = {key: one for key, one in self._writers.items() if key is not owner}
            if not self._writers:
                self._restore("cursor", "_execute_cursor", "_pool_acquire")
            if not self._listeners and not self._writers:
                self._uninstall()

    def _install(self) -> None:
        if self._is_installed:
            return
        self._is_installed = True
        vars(self.database)[ATTRIBUTE] = self
        self.database.query_hooks.append(self._hook)
        self._replace("execute", self._executing(self.database.execute))
        if connections.is_async(self.database):
            self._replace("aexecute_sql", self._asending(self.database.aexecute_sql))
            self._replace("iterate", self._iterating(self.database.iterate))
        else:
            self._replace("execute_sql", self._sending(self.database.execute_sql))

    def _install_writers(self) -> None:
        if "cursor" in self._before or "_pool_acquire" in self._before:
            return
        if connections.is_async(self.database):
            self._replace("_pool_acquire", self._acquiring(self.database._pool_acquire))
            return
        plain_cursor, plain_execute = self.database.cursor, self.database._execute_cursor
        self._replace("cursor", lambda *args, **kwargs: _WritingCursor(self, plain_cursor(*args, **kwargs)))
        self._replace("_execute_cursor", lambda *args, **kwargs: _unwrapped(plain_execute(*args, **kwargs)))

    def _replace(self, name: str, value: Any) -> None:
        attributes = vars(self.database)
        self._before[name] = attributes.get(name)
        attributes[name] = value

    def _restore(self, *names: str) -> None:
        attributes = vars(self.database)
        for name in names:
            if name in self._before:
                before = self._before.pop(name)
                if before is None:
                    del attributes[name]
                else:
                    attributes[name] = before

    def _uninstall(self) -> None:
        if not self._is_installed:
            return
        self._is_installed = False
        del vars(self.database)[ATTRIBUTE]
        # A new list: another thread that goes through the old one must not miss a hook of it.
        self.database.query_hooks = [one for one in self.database.query_hooks if one != self._hook]
        self._restore(*list(self._before))

    # What is sent

    def _hook(self, event: Any) -> None:
        frame = _frame.get()
        if frame is None or frame.watch is not self:
            self.tell(Sent(self.database, None, event.sql, event.params, event.duration, event.exception))
            return
        query = None if _housekeeping.get() else frame.query
        sent = Sent(self.database, query, event.sql, event.params, event.duration, event.exception)
        frame.sent.append(sent)

    def tell(self, sent: Sent) -> None:
        """Call the listeners; what they send themselves is told to nobody."""
        if _telling.get():
            return
        _telling.set(True)
        try:
            for listener in self._listeners.values():
                try:
                    listener(sent)
                except Exception:
                    logger.exception("an observer of queries failed; the query goes on")
        finally:
            _telling.set(False)

    def enter(self, query: Any) -> tuple[_Frame, _Frame | None]:
        """Begin a frame: what is sent in this thread or task from now on is of this query."""
        before = _frame.get()
        frame = _Frame(self, query)
        _frame.set(frame)
        return frame, before

    def exit(self, frame: _Frame, before: _Frame | None, cursor: Any) -> None:
        """End a frame, and tell what was sent in it; the last statement is the one that gave the cursor."""
        _frame.set(before)
        held = _held.get()
        if held is not None:
            held.append((frame, cursor))
            return
        self.finish(frame, _rows(cursor))

    def finish(self, frame: _Frame, rows: int | None) -> None:
        """Tell what was sent in a frame."""
        if frame.sent:
            frame.sent[-1].rows = rows
            for sent in frame.sent:
                self.tell(sent)

    def _executing(self, plain: Any) -> Any:
        def execute(query: Any, *args: Any, **kwargs: Any) -> Any:
            frame, before = self.enter(query)
            cursor = None
            try:
                cursor = plain(query, *args, **kwargs)
            finally:
                self.exit(frame, before, cursor)
            return cursor

        return execute

    def _sending(self, plain: Any) -> Any:
        def execute_sql(sql: str, *args: Any, **kwargs: Any) -> Any:
            before = _frame.get()
            if before is not None and before.watch is self:
                return plain(sql, *args, **kwargs)
            frame, before = self.enter(None)
            cursor = None
            try:
                cursor = plain(sql, *args, **kwargs)
            finally:
                self.exit(frame, before, cursor)
            return cursor

        return execute_sql

    def _asending(self, plain: Any) -> Any:
        def aexecute_sql(sql: str, params: Any = None) -> Any:
            # Called in the greenlet of the bridge, whose context the coroutine need not share.
            return send(_frame.get(), sql, params)

        async def send(around: _Frame | None, sql: str, params: Any) -> Any:
            is_inner = around is not None and around.watch is self
            if is_inner:
                before = _frame.get()
                _frame.set(around)
                try:
                    return await plain(sql, params)
                finally:
                    _frame.set(before)
            frame, before = self.enter(None)
            cursor = None
            try:
                cursor = await plain(sql, params)
            finally:
                self.exit(frame, before, cursor)
            return cursor

        return aexecute_sql

    def _iterating(self, plain: Any) -> Any:
        async def iterate(query: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            started = time.perf_counter()
            duration: float | None = None
            rows, failure = 0, None
            try:
                async with contextlib.aclosing(plain(query, *args, **kwargs)) as stream:
                    async for row in stream:
                        if duration is None:
                            duration = time.perf_counter() - started
                        rows += 1
                        yield row
            except Exception as error:
                failure = error
                raise
            finally:
                sql, params = query.sql()
                taken = time.perf_counter() - started if duration is None else duration
                sent = Sent(self.database, query, sql, params, taken, failure)
                sent.rows = None if failure is not None else rows
                self.tell(sent)

        return iterate

    # What is written into statements

    def written(self, sql: str, *, collapses: bool) -> str:
        """Return a statement as it is sent: the statement of a query or of plain SQL, with its comment."""
        frame = _frame.get()
        query = None if frame is None or frame.watch is not self else frame.query
        for writer in self._writers.values():
            try:
                sql = writer(self.database, query, sql, collapses)
            except Exception:
                logger.exception("a comment could not be written; the query goes on without")
        return sql

    def _acquiring(self, acquire: Any) -> Any:
        async def acquire_writing(pool: Any) -> Any:
            conn = await acquire(pool)
            if not hasattr(conn, "multidb_written"):
                conn.multidb_written = True
                conn._execute = self._writing(conn._execute)
                conn.execute_iter = self._writing(conn.execute_iter)
            return conn

        return acquire_writing

    def _writing(self, execute: Any) -> Any:
        def writing(sql: str, params: Any = None) -> Any:
            return execute(self.written(sql, collapses=_collapses(self.database, params)), params)

        return writing


class _WritingCursor:
    """A cursor of a driver whose statements a `Watch` completes."""

    def __init__(self, watch: Watch, wrapped: Any) -> None:
        self.wrapped = wrapped
        self._watch = watch

    def execute(self, sql: str, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped.execute(self._written(sql, *args), *args, **kwargs)

    def executemany(self, sql: str, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped.executemany(self._written(sql, *args), *args, **kwargs)

    def _written(self, sql: str, *args: Any) -> str:
        watch = self._watch
        return watch.written(sql, collapses=_collapses(watch.database, args[0] if args else None))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.wrapped)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


def _unwrapped(cursor: Any) -> Any:
    """Return the driver's own cursor, whose rows come at its own speed."""
    return cursor.wrapped if isinstance(cursor, _WritingCursor) else cursor


def _collapses(database: Any, params: Any) -> bool:
    """Whether a driver makes ``%`` of each ``%%`` of a statement."""
    if database.param != "%s":
        return False
    conn = getattr(database._state, "conn", None)
    # The asyncio bridge has a connection of its own around the driver's.
    modules = {type(one).__module__.partition(".")[0] for one in (conn, getattr(conn, "conn", None))}
    if modules & LITERAL:
        return False
    return bool(params) or not modules & LITERAL_WITHOUT_PARAMETERS


def _rows(cursor: Any) -> int | None:
    """Return how many rows a cursor has given or will give, or has changed; None if it does not know."""
    count = getattr(cursor, "rowcount", None)
    if isinstance(count, int) and count >= 0:
        # SQLite changes the rows of a RETURNING while they are fetched.
        if getattr(cursor, "description", None) and type(cursor).__module__.startswith("sqlite3"):
            return None
        return count
    rows = getattr(cursor, "_rows", None)
    if isinstance(rows, list) and getattr(cursor, "_fetch_many", None) is None:
        return len(rows)
    return None


def attach(
    database: Any,
    owner: object,
    *,
    listener: Callable[[Sent], object] | None = None,
    writer: Writer | None = None,
) -> Watch:
    """Watch a Database object.

    Args:
        database: the object.
        owner: whose watch it is, for `Watch.leave`; it has one listener and one writer at a time.
        listener: called with each `Sent`, in the thread or task that sent it; what it raises is logged, and
            the query goes on.
        writer: rewrites statements before they are sent, to add a comment.
    """
    with _lock:
        watch = watch_of(database) or Watch(database)
        watch.admit(owner, listener, writer)
        return watch


def watch_of(database: Any) -> Watch | None:
    """Return what watches a Database object, or None."""
    watch: Watch | None = vars(database).get(ATTRIBUTE)
    return watch


def written(database: Any, sql: str, params: Any) -> str:
    """Return a statement as a Database object would send it, for cursors that it does not make itself."""
    watch = watch_of(database)
    return sql if watch is None else watch.written(sql, collapses=_collapses(database, params or ()))


@contextlib.contextmanager
def housekeeping() -> Iterator[None]:
    """What is sent inside is a question of the package's own, not of the program's."""
    before = _housekeeping.get()
    _housekeeping.set(True)
    try:
        yield
    finally:
        _housekeeping.set(before)


class opening:
    """A result that is opened in a block, and told as one statement when it is closed, with its rows.

    Attributes:
        rows: how many were read.
    """

    def __init__(self, database: Any, query: Any) -> None:
        self._watch = watch_of(database)
        self._query = query
        self._frame: _Frame | None = None
        self.rows = 0

    def __enter__(self) -> opening:
        if self._watch is not None:
            self._frame, self._before = self._watch.enter(self._query)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._frame is not None:
            _frame.set(self._before)
            if kind is not None:
                self.close()

    def note(self, sql: str, params: Any, start: float, error: Exception | None) -> None:
        """Note a statement that no hook sees."""
        if self._frame is not None:
            database = self._frame.watch.database
            taken = time.perf_counter() - start
            self._frame.sent.append(Sent(database, self._query, sql, params, taken, error))

    def close(self) -> None:
        """Tell it, once."""
        frame, self._frame = self._frame, None
        if frame is not None:
            failed = frame.sent and frame.sent[-1].error is not None
            frame.watch.finish(frame, None if failed else self.rows)


@contextlib.contextmanager
def pipelined() -> Iterator[list[BaseException]]:
    """A block of statements whose answers come at its end; put a failure of the last one into the list."""
    held: list[tuple[_Frame, Any]] = []
    failures: list[BaseException] = []
    before, start = _held.get(), time.perf_counter()
    _held.set(held)
    try:
        yield failures
    finally:
        _held.set(before)
        taken = time.perf_counter() - start
        for frame, cursor in held:
            for sent in frame.sent:
                sent.duration = taken
            if failures and frame is held[-1][0] and frame.sent:
                frame.sent[-1].error = failures[0]
                cursor = None
            frame.watch.finish(frame, _rows(cursor))

