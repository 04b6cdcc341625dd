"""The same limits for asynchronous databases, whose pools open connections by themselves.

What a pool does inside is its own business, so this asks before an acquisition that will make it open one,
and compares with the pool's own count afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import time
from typing import TYPE_CHECKING, Any

from playhouse import pwasyncio  # type: ignore[import-untyped]

from .orphans import close_orphans

if TYPE_CHECKING:
    import peewee

    from .governor import Governor, Slot

    Base = peewee.Database
else:
    Base = object

__all__ = ["AsyncGoverned", "close_pool_later", "governed_async", "reclaim_elsewhere"]

#: Seconds after which a task that waits looks by itself for an idle connection.
AGAIN = 0.5

#: Strong references: an event loop holds its tasks weakly.
_closing: set[asyncio.Task[Any]] = set()


class LazySqlitePool(pwasyncio.AsyncSqlitePool):  # type: ignore[misc]
    """Peewee's pool, which opens its connections when they are needed and not all at once."""

    size = 0

    async def initialize(self) -> Any:
        return self

    @property
    def freesize(self) -> int:
        return int(self._queue.qsize())

    @property
    def maxsize(self) -> int:
        return int(self._pool_size)

    async def acquire(self, timeout: float | None = None) -> Any:
        if self._queue.empty() and self.size < self._pool_size and not self._closed:
            return await self._create_connection()
        return await super().acquire(timeout)

    async def _create_connection(self) -> Any:
        self.size += 1
        try:
            return await super()._create_connection()
        except BaseException:
            self.size -= 1
            raise

    async def _close_conn(self, conn: Any) -> None:
        self.size -= 1
        await super()._close_conn(conn)


def size(pool: Any) -> int:
    """How many connections a pool has."""
    return int(pool.get_size() if hasattr(pool, "get_size") else pool.size)


def spare(pool: Any) -> int:
    """How many of them nobody uses."""
    return int(pool.get_idle_size() if hasattr(pool, "get_idle_size") else pool.freesize)


def most(pool: Any) -> int:
    """How many it may have."""
    return int(pool.get_max_size() if hasattr(pool, "get_max_size") else pool.maxsize)


class AsyncGoverned(Base):
    """Mixin on top of an asynchronous Database class: waits for a slot before its pool opens a connection."""

    governor: Governor
    governed_held: list[Slot]
    #: Acquisitions under way that take an idle connection, and those that make the pool open one.
    governed_claims = 0
    governed_opening = 0
    governed_loop: Any = None

    async def _create_pool_async(self) -> Any:
        self.governed_loop = asyncio.get_running_loop()
        database: Any = self
        database._pool_min_size = 0
        if not isinstance(self, pwasyncio.AsyncSqliteDatabase):
            return await super()._create_pool_async()  # type: ignore[misc]
        return LazySqlitePool(
            database.database,
            pool_size=1 if database.database == ":memory:" else database._pool_size,
            on_connect=database._add_conn_hooks,
            timeout=database._timeout,
            **database.connect_params,
        )

    async def _pool_acquire(self, pool: Any) -> Any:
        slot = None
        if spare(pool) <= self.governed_claims and size(pool) + self.governed_opening < most(pool):
            slot = await take(self.governor, self)
            self.governed_opening += 1
        else:
            self.governed_claims += 1
        try:
            connection = await super()._pool_acquire(pool)  # type: ignore[misc]
        except BaseException:
            if slot is not None:
                slot.release()
            self._settle(pool)
            raise
        finally:
            if slot is not None:
                self.governed_opening -= 1
            else:
                self.governed_claims -= 1
        if slot is not None:
            self.governed_held.append(slot)
        self._settle(pool)
        self.governor.used(self)
        return connection

    async def _pool_release(self, conn: Any) -> None:
        database: Any = self
        try:
            await super()._pool_release(conn)  # type: ignore[misc]
        finally:
            if database._pool is not None:
                self._settle(database._pool)
            tokens = self.governor.tokens
            if tokens is not None and tokens.waiting:
                await reclaim(self.governor)
            self.governor.rested(self)

    async def _pool_close(self) -> None:
        try:
            await super()._pool_close()  # type: ignore[misc]
        finally:
            held, self.governed_held = self.governed_held, []
            for slot in held:
                slot.release()

    def _settle(self, pool: Any) -> None:
        """Give back the slots of connections that the pool has closed."""
        while len(self.governed_held) > size(pool) + self.governed_opening:
            self.governed_held.pop().release()

    def governed_abandon(self) -> bool:
        """Let go of a pool whose event loop is closed, which nobody can use any more."""
        database: Any = self
        database._pool = None
        held, self.governed_held = self.governed_held, []
        for slot in held:
            slot.release()
        return bool(held)

    async def governed_close_one(self) -> bool:
        """Close one connection that nobody uses, if there is one."""
        database: Any = self
        pool = database._pool
        if pool is None or self.governed_loop is not asyncio.get_running_loop():
            return False
        self._settle(pool)
        if spare(pool) <= self.governed_claims:
            return False
        self.governed_claims += 1
        try:
            connection = await super()._pool_acquire(pool)  # type: ignore[misc]
        finally:
            self.governed_claims -= 1
        raw = connection.conn
        if isinstance(pool, LazySqlitePool):
            await pool._close_conn(connection)
        elif hasattr(raw, "terminate"):
            raw.terminate()  # asyncpg's, which leaves its pool by itself
        else:
            raw.close()
            connection._pool = pool
            await super()._pool_release(connection)  # type: ignore[misc]
        self._settle(pool)
        return True


async def reclaim(governor: Governor) -> bool:
    """Close one idle connection, of the least recently used database that has any."""
    return await _close_own(governor) or governor.reclaim() or reclaim_elsewhere(governor)


async def _close_own(governor: Governor) -> bool:
    """Close one idle connection of this event loop."""
    here = asyncio.get_running_loop()
    for key, database in list(governor.spare.items()):
        if isinstance(database, AsyncGoverned) and database.governed_loop is here:
            if await database.governed_close_one():
                return True
            governor.spare.pop(key, None)
    return False


def reclaim_elsewhere(governor: Governor) -> bool:
    """Have the event loop of another thread close an idle connection, whose slot comes back from there.

    Returns:
        Whether one came back right now: what a loop left behind that is closed.
    """
    here = asyncio._get_running_loop()
    for key, database in list(governor.spare.items()):
        loop = database.governed_loop if isinstance(database, AsyncGoverned) else None
        if loop is None or loop is here:
            continue
        if loop.is_closed():
            governor.spare.pop(key, None)
            if database.governed_abandon():
                return True
        elif loop.is_running():
            with contextlib.suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(_reclaim_own, governor, context=contextvars.Context())
                return False
    return False


def _reclaim_own(governor: Governor) -> None:
    _keep(asyncio.get_running_loop().create_task(_close_own(governor)))


def _keep(task: asyncio.Task[Any]) -> None:
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def take(governor: Governor, database: Any) -> Slot:
    """Return a slot, waiting for one without keeping the event loop.

    Raises:
        TooManyConnections: none became free in time.
    """
    slot = governor.take(database)
    if slot is not None:
        return slot
    tokens: Any = governor.tokens
    loop = asyncio.get_running_loop()
    deadline = time.monotonic() + governor.wait
    seen: dict[int, Any] = {}
    tokens.waiting.append(None)
    try:
        while True:
            # What wakes this task is in place before it looks.
            wake = loop.create_future()
            waker = functools.partial(_wake, loop, wake)

            tokens.wakers.append(waker)
            try:
                if not await reclaim(governor) and not close_orphans(governor.databases(), seen):
                    await _settle_all(governor)
                slot = governor.take(database)
                if slot is not None:
                    return slot
                # Not wait_for(): that one may take a cancellation for an answer, and then somebody gets a
                # connection who is not there any more.
                remaining = deadline - time.monotonic()
                await asyncio.wait([wake], timeout=max(0.0, min(AGAIN, remaining)))
                if not wake.done() and remaining <= AGAIN:
                    slot = governor.take(database)
                    if slot is not None:
                        return slot
                    raise governor.full(database)
            finally:
                if wake.done():
                    # Woken, and perhaps not in need of it any more.
                    tokens.wake()
                with contextlib.suppress(ValueError):
                    tokens.wakers.remove(waker)
    finally:
        tokens.waiting.pop()


def _wake(loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[None]) -> None:
    def done() -> None:
        if not waiting.done():
            waiting.set_result(None)

    with contextlib.suppress(RuntimeError):  # its loop is closed, and nobody waits there any more
        loop.call_soon_threadsafe(done)


async def _settle_all(governor: Governor) -> None:
    """Notice what the pools have closed by themselves, of connections that were idle for long."""
    for database in governor.databases():
        if isinstance(database, AsyncGoverned) and getattr(database, "_pool", None) is not None:
            database._settle(database._pool)  # type: ignore[attr-defined]


def close_pool_later(database: Any) -> None:
    """Close the pool of a database that nobody uses, in a task of its event loop."""
    pool, database._pool = database._pool, None
    if pool is None:
        return

    async def close() -> None:
        # With the pool in place only for as long as closing it takes its first step.
        held, database.governed_held = database.governed_held, []
        try:
            if hasattr(pool, "wait_closed"):
                pool.close()
                await pool.wait_closed()
            else:
                await pool.close()
        finally:
            for slot in held:
                slot.release()

    _keep(asyncio.get_running_loop().create_task(close()))


def governed_async(kind: type) -> type:
    """Return an asynchronous Database class that keeps to the limits of a `Governor`."""
    return type(kind.__name__, (AsyncGoverned, kind), {"__module__": kind.__module__})
