"""Rows of several shards that are read while they are used, in constant memory.

A thread or a task for each shard reads a few chunks ahead and then waits until they are taken.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..drivers import connections
from . import workers
from .jobs import Deadline, Job, Options, Stopped, failure

__all__ = ["Feeds"]

#: How many chunks of a shard wait to be taken.
AHEAD = 2

#: Seconds that stopping a worker may take.
STOPPING = 2.0

Chunk = Sequence[Any]
#: Opens a result for a job: yields an iterator of chunks.
Opening = Callable[[Job], contextlib.AbstractContextManager[Iterator[Chunk]]]


class _End:
    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Feeds:
    """The rows of each shard, as iterators of chunks.

    Args:
        shards: database name and Database object of each.
        opening: what opens the result of one.
        options: how; its `missing` is set.
    """

    def __init__(self, shards: Sequence[tuple[str, Any]], opening: Opening, options: Options) -> None:
        options.missing = {}
        self._options = options
        self._deadline = Deadline(options.timeout)
        self._closed = False
        self._feeds: list[_Here | _Threaded | _Tasked] = []
        is_async = connections.is_async(shards[0][1])
        slots = threading.Semaphore(options.limit) if options.limit and not is_async else None
        for name, database in shards:
            job = Job(name, database, lambda job: None)
            if connections.has_transaction(database) or job.must_stay():
                self._feeds.append(_Here(job, opening))
            elif is_async:
                self._feeds.append(_Tasked(job, opening))
            else:
                self._feeds.append(_Threaded(job, opening, slots))

    def chunks(self) -> list[Iterator[Chunk]]:
        """Return an iterator of chunks for each shard."""
        return [self._of(feed) for feed in self._feeds]

    def _of(self, feed: _Here | _Threaded | _Tasked) -> Iterator[Chunk]:
        while True:
            try:
                item = feed.next(self._deadline.left())
            except TimeoutError:
                item = _End(self._deadline.missed_by([feed.job.name]))
            except Exception as error:
                item = _End(error)
            if not isinstance(item, _End):
                yield item
                continue
            if item.error is not None:
                failed = failure(feed.job.name, item.error)
                if not self._options.partial or not isinstance(failed, Exception):
                    raise failed
                self._options.missing[feed.job.name] = failed
            return

    def close(self) -> None:
        """Stop what is still being read."""
        if not self._closed:
            self._closed = True
            for feed in self._feeds:
                feed.close()
            for feed in self._feeds:
                feed.wait()


class _Here:
    """A shard that this thread or task reads itself, on the connection of its transaction."""

    def __init__(self, job: Job, opening: Opening) -> None:
        self.job = job
        self._opening = opening
        self._stack = contextlib.ExitStack()
        self._chunks: Iterator[Chunk] | None = None

    def next(self, left: float | None) -> Chunk | _End:
        if self._chunks is None:
            self._chunks = self._stack.enter_context(self._opening(self.job))
        chunk = next(self._chunks, None)
        if chunk is None:
            self.close()
            return _End()
        return chunk

    def close(self) -> None:
        self._stack.close()

    def wait(self) -> None:
        """Nobody else has a part in it."""


class _Threaded:
    """A shard that a worker reads."""

    def __init__(self, job: Job, opening: Opening, slots: threading.Semaphore | None) -> None:
        self.job = job
        self._opening = opening
        self._slots = slots
        self._items: queue.Queue[Chunk | _End] = queue.Queue(maxsize=AHEAD)
        self._over = threading.Event()
        job.work = self._read
        workers.submit(job, self._done)

    def _read(self, job: Job) -> None:
        with contextlib.ExitStack() as stack:
            with self._slot():
                chunks = stack.enter_context(self._opening(job))
            while True:
                with self._slot():
                    chunk = next(chunks, None)
                if chunk is None:
                    return
                self._items.put(chunk)
                if job.stopped:
                    raise Stopped

    def _slot(self) -> contextlib.AbstractContextManager[Any]:
        return self._slots if self._slots is not None else contextlib.nullcontext()

    def _done(self, result: Any, error: BaseException | None) -> None:
        if not self.job.stopped:
            self._items.put(_End(error))
        self._over.set()

    def next(self, left: float | None) -> Chunk | _End:
        try:
            return self._items.get(timeout=left)
        except queue.Empty:
            raise TimeoutError from None

    def close(self) -> None:
        self.job.stop()
        # Whoever waits for room finds it, and then that nobody wants more.
        with contextlib.suppress(queue.Empty):
            while True:
                self._items.get_nowait()

    def wait(self) -> None:
        """Wait until the transaction that a cursor needs is over; not for a server that does not answer."""
        self._over.wait(STOPPING)


class _Tasked:
    """A shard that a task reads."""

    def __init__(self, job: Job, opening: Opening) -> None:
        import asyncio

        self.job = job
        self._opening = opening
        self._items: asyncio.Queue[Chunk | _End] = asyncio.Queue(maxsize=AHEAD)
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

        error: BaseException | None = None
        try:
            await greenlet_spawn(self._read)
        except Exception as raised:
            error = raised
        finally:
            for server in self.job.used:
                await server.aclose()
        await self._items.put(_End(error))

    def _read(self) -> None:
        from playhouse.pwasyncio import await_

        with self._opening(self.job) as chunks:
            for chunk in chunks:
                await_(self._items.put(chunk))

    def next(self, left: float | None) -> Chunk | _End:
        import asyncio

        from playhouse.pwasyncio import await_

        try:
            return await_(asyncio.wait_for(self._items.get(), left))  # type: ignore[no-any-return]
        except asyncio.TimeoutError:
            raise TimeoutError from None

    def close(self) -> None:
        self._task.cancel()

    def wait(self) -> None:
        """The loop sees to the end of its tasks."""
