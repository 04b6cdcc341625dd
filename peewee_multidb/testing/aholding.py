"""An asynchronous database in a test: one connection for all tasks of an event loop, undone with the loop.

The same as `holding` does for threads. A connection belongs to its event loop, and so does what undoes its
transaction: an asynchronous generator that waits from the first query on. The loop itself ends it when it is
closed, whoever made the loop; where the loop outlives the test, the end of the test does.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from ..drivers import connections, traits_of
from ..errors import IsolationError
from .holding import Attributes, Savepoints, forked, is_private
from .refusing import is_characteristic, refuse_ending
from .turns import PATIENCE, TaskTurn

__all__ = ["AsyncHold"]

#: What Peewee itself sends at the beginning and at the end of a transaction.
_BEGIN = re.compile(r"\s*(?:begin|start\s+transaction)\b", re.IGNORECASE)
_COMMIT = re.compile(r"\s*commit\s*;?\s*$", re.IGNORECASE)
_ROLLBACK = re.compile(r"\s*rollback\s*;?\s*$", re.IGNORECASE)


class _Kept:
    """The connection of one event loop, in its transaction."""

    def __init__(self, name: str) -> None:
        self.opening = asyncio.Lock()
        self.turn = TaskTurn(name)
        self.conn: Any = None
        #: The transaction of the test, as asyncpg knows it.
        self.tx: Any = None
        self.attributes: Attributes | None = None
        #: What is sent past this module.
        self.execute: Any = None
        self.names: list[str] = []
        self.ending: AsyncGenerator[None, None] | None = None
        self.is_over = False


class AsyncHold:
    """The hold on one asynchronous Database object during one test.

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
        self._is_asyncpg = traits_of(database).engine == "postgresql"
        self._savepoints = Savepoints(traits_of(database).engine)
        self._attributes = Attributes(database)
        self._kept: dict[asyncio.AbstractEventLoop, _Kept] = {}
        self._process = os.getpid()
        self._plain_acquire = database._pool_acquire
        self._plain_release = database._pool_release
        self._plain_close_pool = database.close_pool
        self._plain_after_commit = database.after_commit
        self._pool: Any = None
        self._state: Any = None
        if not self._is_transactional:
            self._attributes.put(aconnect=self._asking(database.aconnect))
            return
        self._set_aside()
        self._attributes.put(
            _pool_acquire=self._acquire,
            _pool_release=self._release,
            close_pool=self._close_pool,
            after_commit=self._after_commit,
            _run_commit_callbacks=self._run_callbacks,
            is_held=True,
        )
        if self._is_asyncpg:
            block = functools.partial(_owning(), hold=self)
            self._attributes.put(
                atomic=lambda *args, **kwargs: block(database),
                transaction=lambda *args, **kwargs: block(database),
                savepoint=lambda *args, **kwargs: block(database),
            )

    def _asking(self, plain: Any) -> Callable[[], Coroutine[Any, Any, Any]]:
        async def aconnect() -> Any:
            self._allow(self.name)
            return await plain()

        return aconnect

    def _set_aside(self) -> None:
        """Begin with no pool: one that there is belongs to the loop it was made in."""
        database = self._database
        self._state = database._state
        database._state = type(self._state)(release=database._release_conn)
        connections.watch(database)
        if is_private(database):
            return  # its pool has the only connection to it, and aiosqlite goes into any loop
        self._pool = database._pool
        database._pool = None
        database._pool_lock = asyncio.Lock()
        self._attributes.put(_pool_size=1, _pool_min_size=1)

    # Connections

    async def _acquire(self, pool: Any) -> Any:
        self._allow(self.name)
        if os.getpid() != self._process:
            raise forked(self.name)
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None or kept.is_over:
            kept = self._kept[loop] = _Kept(self.name)
        async with kept.opening:
            if kept.conn is None:
                conn = await self._plain_acquire(pool)
                await self._begin_test(kept, conn)
                kept.execute = conn.execute
                kept.attributes = Attributes(conn)
                kept.attributes.put(execute=functools.partial(self._execute, kept))
                kept.conn = conn
                kept.ending = self._until_the_loop_ends(kept)
                await anext(kept.ending)
        return kept.conn

    async def _begin_test(self, kept: _Kept, conn: Any) -> None:
        if self._is_asyncpg:
            kept.tx = conn.conn.transaction()
            await kept.tx.start()
        else:
            await conn.execute("BEGIN")

    async def _release(self, conn: Any) -> None:
        if all(conn is not kept.conn for kept in self._kept.values()):
            await self._plain_release(conn)

    async def _close_pool(self) -> None:
        """The program closes its pool; the test keeps it."""
        self._database._state.reset()

    # Statements

    async def _execute(self, kept: _Kept, sql: str, params: Any = None) -> Any:
        if not self._is_asyncpg:
            if _BEGIN.match(sql):
                return await self._begin(kept)
            if _COMMIT.match(sql):
                return await self._end_block(kept, self._savepoints.keep)
            if _ROLLBACK.match(sql):
                return await self._end_block(kept, self._savepoints.undo)
            if is_characteristic(sql):
                return None
        refuse_ending(self.name, self._database, sql)
        await kept.turn.take()
        try:
            if not self._is_asyncpg or self._database._state.transactions:
                return await kept.execute(sql, params)
            # A statement that fails leaves the whole transaction useless, and autocommit unharmed.
            async with kept.conn.conn.transaction():
                return await kept.execute(sql, params)
        finally:
            kept.turn.give()

    async def _begin(self, kept: _Kept) -> None:
        await kept.turn.take()
        try:
            name = self._savepoints.new_name()
            for sql in self._savepoints.make(name):
                await kept.execute(sql)
            kept.names.append(name)
        except BaseException:
            kept.turn.give()
            raise

    async def _end_block(self, kept: _Kept, statements: Callable[[str], list[str]]) -> None:
        if not kept.names:
            return
        try:
            for sql in statements(kept.names[-1]):
                await kept.execute(sql)
        except BaseException:
            if statements == self._savepoints.keep:
                raise  # Peewee rolls back
            kept.names.pop()
            kept.turn.give()
            raise
        kept.names.pop()
        kept.turn.give()

    def turn(self) -> TaskTurn:
        """The turn of the running loop, for transactions that are not begun by a statement."""
        return self._kept[asyncio.get_running_loop()].turn

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

    async def _until_the_loop_ends(self, kept: _Kept) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._finish(kept)

    async def _finish(self, kept: _Kept) -> None:
        kept.is_over = True
        conn, kept.conn = kept.conn, None
        if kept.attributes is not None:
            kept.attributes.restore()
        with contextlib.suppress(Exception):  # a connection that was lost has lost the transaction as well
            if kept.tx is not None:
                await kept.tx.rollback()
            else:
                await conn.execute("ROLLBACK")
        await self._plain_release(conn)
        for state in list(self._database._state._states.values()):
            if state.conn is conn:
                state.reset()
        if not is_private(self._database):
            await self._plain_close_pool()
            self._database._pool_lock = asyncio.Lock()

    def end(self) -> None:
        """Roll back what the loops that still live have not, and let go of the Database object.

        Raises:
            IsolationError: a loop is still running and does not answer.
        """
        try:
            for loop, kept in self._kept.items():
                if not kept.is_over and kept.ending is not None:
                    self._end_in(loop, kept)
        finally:
            self._attributes.restore()
            if self._is_transactional:
                self._database._state = self._state
                connections.watch(self._database)
                if not is_private(self._database):
                    self._database._pool = self._pool
                    self._database._pool_lock = asyncio.Lock()

    def _end_in(self, loop: asyncio.AbstractEventLoop, kept: _Kept) -> None:
        assert kept.ending is not None
        if not loop.is_closed() and not loop.is_running():
            loop.run_until_complete(kept.ending.aclose())
            return
        kept.is_over = True
        if loop.is_closed():
            # Nobody shut its generators down. The server rolls back when the connection goes.
            _cut(kept.conn)
            return
        done = asyncio.run_coroutine_threadsafe(self._finish(kept), loop)
        try:
            done.result(PATIENCE)
        except TimeoutError:
            raise IsolationError(
                f"database {self.name!r}: an event loop of the test is still running and does not answer; "
                "end it before the test ends."
            ) from None


def _cut(conn: Any) -> None:
    """Drop the connection of a loop that is closed, and can send nothing any more."""
    raw = conn.conn
    if type(raw).__module__.startswith("aiosqlite"):
        # It lives in a thread, and goes into any loop.
        asyncio.run(raw.close())
        return
    with contextlib.suppress(Exception):  # it may be closed already
        # asyncpg's is in a proxy of its pool; aiomysql's writes to a stream.
        transport = raw._con._transport if hasattr(raw, "_con") else raw._writer.transport
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


@functools.cache
def _owning() -> Any:
    """Return the block of asyncpg's transactions that waits for its turn."""
    from playhouse.pwasyncio import AsyncPgAtomic, await_  # type: ignore[import-untyped]

    class Owning(AsyncPgAtomic):  # type: ignore[misc]
        def __init__(self, db: Any, *, hold: AsyncHold) -> None:
            super().__init__(db)
            self._hold = hold

        def _build_ctx(self) -> Any:
            return Owning(self.db, hold=self._hold)

        def __enter__(self) -> Any:
            await_(self.db.aconnect())
            await_(self._hold.turn().take())
            try:
                return super().__enter__()
            except BaseException:
                self._hold.turn().give()
                raise

        def __exit__(self, *exc: Any) -> Any:
            try:
                return super().__exit__(*exc)
            finally:
                self._hold.turn().give()

    return Owning
