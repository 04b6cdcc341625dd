"""Statements that every new connection runs before anybody uses it: the role, and read-only.

They run once a physical connection and not once a checkout, so that a pool costs no round trip. Hence
they hang on the one method that opens a connection, below the pool class in the order of bases:
``class Pooled(_PooledPostgresqlDatabase, SessionStatements, PostgresqlDatabase)``. The asynchronous
databases of Peewee each open connections in a way of their own, so each has a mixin of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import peewee

from ..config import DatabaseSettings
from . import connections

if TYPE_CHECKING:
    # The mixins stand in front of a Database class; mypy needs to see one behind them.
    Base = peewee.Database
else:
    Base = object

__all__ = ["AsyncSession", "SessionStatements", "Statement", "start_session"]


#: Seconds after which an attempt to connect took long enough to spare others the same.
LONG = 0.5


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL for a new connection, and what for, as in "could not <purpose>"."""

    sql: str
    purpose: str


class Session(Base):
    """What the synchronous and asynchronous mixins share.

    Attributes:
        session_name: the name of the database in error messages.
        session_statements: what a new connection runs, in this order.
        opened: another object after each new connection: the server may have been restarted before it.
    """

    session_name: str = ""
    opened: object = None
    session_statements: tuple[Statement, ...] = ()

    def _statements_for(self, conn: Any) -> Iterable[Statement]:
        """Return the statements for a new connection of the driver."""
        return self.session_statements

    @contextlib.contextmanager
    def _explained(self, statement: Statement) -> Iterator[None]:
        try:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                yield
        except Exception as exc:
            kind = type(exc) if isinstance(exc, peewee.DatabaseError) else peewee.OperationalError
            raise kind(f"database {self.session_name!r}: could not {statement.purpose}: {exc}") from exc


S = TypeVar("S", bound=Session)


def start_session(database: S, settings: DatabaseSettings, statements: Iterable[Statement]) -> S:
    """Return `database` after telling it what each of its new connections runs.

    Args:
        database: a Database object with one of the mixins of this module.
        settings: whose name error messages give.
        statements: what to run, in this order.
    """
    database.session_name = settings.name
    database.session_statements = tuple(statements)
    return database


class SessionStatements(Session):
    """Mixin for a synchronous Database class; stands right in front of it, behind a pool class."""

    #: When an attempt to connect that took long failed, and how.
    _failure: tuple[float, Exception] | None = None

    def connect(self, reuse_if_open: bool = False) -> Any:
        """Connect this thread; the threads of a process do so one after the other.

        Who waits for somebody's attempt that fails does not try the same for as long once more: he gets that
        failure. So a server that is down costs each of its users a time-out, not the sum of everybody's.
        """
        state: Any = self._state  # type: ignore[attr-defined]
        state.asked = time.monotonic()
        return super().connect(reuse_if_open)

    def begin(self, *args: Any, **kwargs: Any) -> Any:
        """Begin a transaction, on a new connection if the old one is lost or to a server that was demoted."""
        if (connections.is_left(self) or connections.is_lost(self)) and not self.in_transaction():
            connections.drop(self)
        return super().begin(*args, **kwargs)

    def _connect(self) -> Any:
        conn = self._opened_once()
        try:
            cursor = conn.cursor()
            for statement in self._statements_for(conn):
                with self._explained(statement):
                    cursor.execute(statement.sql)
            cursor.close()
        except BaseException:
            conn.close()
            raise
        self.opened = object()
        return conn


    def _opened_once(self) -> Any:
        begun = time.monotonic()
        failure = self._failure
        state: Any = self._state  # type: ignore[attr-defined]
        if failure is not None and failure[0] > getattr(state, "asked", begun):
            raise failure[1]
        try:
            conn = super()._connect()  # type: ignore[misc]
        except Exception as error:
            if time.monotonic() - begun >= LONG:
                # A copy: the frames that the error itself came through hold the password.
                self._failure = time.monotonic(), _copied(error)
            raise
        self._failure = None
        return conn


def _copied(error: Exception) -> Exception:
    try:
        return copy.copy(error).with_traceback(None)
    except Exception:
        return peewee.OperationalError(str(error))


class AsyncSession(Session):
    """Mixin for a class of `playhouse.pwasyncio`; use the subclass of the engine."""

    async def aconnect(self) -> Any:
        """Connect, on a new connection if the old one is to a server that was demoted."""
        if connections.is_left(self) and not self.in_transaction():
            await connections.adrop(self)
        try:
            return await super().aconnect()  # type: ignore[misc]
        except Exception as error:
            # The bridge loses where it was raised.
            with contextlib.suppress(AttributeError):
                error.while_connecting = True  # type: ignore[attr-defined]
            raise

    async def _run_session_statements(self, conn: Any) -> None:
        """Run the statements on the driver's own connection, whose ``execute`` is a coroutine."""
        for statement in self._statements_for(conn):
            with self._explained(statement):
                await conn.execute(statement.sql)
        self.opened = object()


class AsyncSqliteSession(AsyncSession):
    """For `AsyncSqliteDatabase`, whose pool calls this hook for each connection it opens."""

    async def _add_conn_hooks(self, conn: Any) -> None:
        try:
            await super()._add_conn_hooks(conn)  # type: ignore[misc]
            await self._run_session_statements(conn)
        except BaseException:
            # The pool does not close it, and the thread of an open connection keeps the process alive.
            await conn.close()
            raise


@dataclass(frozen=True, slots=True)
class _Handing:
    """Stands for a pool: hands over what is being acquired there already."""

    acquiring: asyncio.Future[Any]

    def acquire(self) -> asyncio.Future[Any]:
        return self.acquiring


class AsyncHanding(AsyncSession):
    """For pools that may hand over a connection just when nobody waits for it any more.

    A driver that is cancelled while it connects may have what it waited for by then, and go on. ``wait_for``
    in Peewee drops what comes of that, and the pool would count it as used for ever.
    """

    async def _pool_acquire(self, pool: Any) -> Any:
        acquiring = asyncio.ensure_future(pool.acquire())
        try:
            return await super()._pool_acquire(_Handing(acquiring))  # type: ignore[misc]
        except BaseException:
            if not acquiring.done():
                acquiring.cancel()
                acquiring.add_done_callback(functools.partial(self._return_late, pool))
            else:
                self._return_late(pool, acquiring)
            raise

    def _return_late(self, pool: Any, acquired: asyncio.Future[Any]) -> None:
        if not acquired.cancelled() and acquired.exception() is None:
            self._give_up(pool, acquired.result())

    def _give_up(self, pool: Any, conn: Any) -> None:
        """Have the pool no longer count a connection of its driver as used."""
        raise NotImplementedError


class AsyncPostgresqlSession(AsyncHanding):
    """For `AsyncPostgresqlDatabase`, which gives this hook to asyncpg as the ``init`` of its pool.

    asyncpg sends RESET ALL when a connection returns to the pool. It spares the role, but nothing that
    was SET: such settings must go to ``server_settings``, which RESET ALL returns to.
    """

    async def register_adapters(self, conn: Any) -> None:
        await super().register_adapters(conn)  # type: ignore[misc]
        await self._run_session_statements(conn)

    def _give_up(self, pool: Any, conn: Any) -> None:
        conn.terminate()


class AsyncMySQLSession(AsyncHanding):
    """For `AsyncMySQLDatabase`. aiomysql has no hook for new connections, so checkouts are looked at."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._session_ready: weakref.WeakSet[Any] = weakref.WeakSet()

    async def _pool_acquire(self, pool: Any) -> Any:
        acquired = await super()._pool_acquire(pool)
        conn = acquired.conn
        if conn not in self._session_ready:
            try:
                await self._prepare(conn)
            except BaseException:
                self._give_up(pool, conn)
                raise
            conn.__class__ = _binary_safe(conn.__class__)
            self._session_ready.add(conn)
            self.opened = object()
        return acquired

    def _give_up(self, pool: Any, conn: Any) -> None:
        # One that is new is closed: a limit on connections counts those that somebody got.
        if conn not in self._session_ready:
            conn.close()
        pool.release(conn)
        if conn.closed:
            _wake_next(pool)

    async def _pool_release(self, conn: Any) -> None:
        pool: Any = self._pool  # type: ignore[attr-defined]
        try:
            await super()._pool_release(conn)  # type: ignore[misc]
        finally:
            if pool is not None and conn is not None and conn.conn.closed:
                _wake_next(pool)

    async def _prepare(self, conn: Any) -> None:
        """Run the statements on a new connection of aiomysql."""
        for statement in self._statements_for(conn):
            with self._explained(statement):
                await conn.query(statement.sql)


# Strong references: an event loop holds its tasks weakly.
_waking: set[asyncio.Task[None]] = set()


def _wake_next(pool: Any) -> None:
    """Wake one task that waits for a connection of an aiomysql pool.

    The pool (0.3.2) wakes nobody when what it gets back is closed, after a cancellation for instance,
    although there is room for a new one; whoever waits then would wait for ever.
    """
    task = asyncio.get_running_loop().create_task(pool._wakeup())
    _waking.add(task)
    task.add_done_callback(_waking.discard)


@functools.cache
def _binary_safe(connection: type) -> type:
    """Return aiomysql's connection class with an ``escape`` that can write binary values.

    For bytes, aiomysql (0.3.2) calls a function that PyMySQL 1.2 no longer has, and in place of a bytearray
    it stores the text that ``repr`` makes of it, without an error.
    """

    def escape(self: Any, value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"_binary X'{bytes(value).hex()}'"
        return connection.escape(self, value)  # type: ignore[attr-defined]

    return type(connection.__name__, (connection,), {"escape": escape})
