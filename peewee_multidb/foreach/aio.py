"""One function in many databases, in tasks."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from ..registry import Databases, databases
from ..scope import use_db
from .journal import Journal
from .plan import Path, Progress, check_options, checked_names, open_journal, planned
from .progress import shown
from .report import Report
from .work import awork, refuse_open

__all__ = ["AsyncNames", "afor_each_database"]

#: Where to go: names, an asynchronous iterable of them, or what returns or awaits either.
AsyncNames: TypeAlias = Iterable[str] | AsyncIterable[str] | Callable[[], Any] | None


async def afor_each_database(
    fn: Callable[[str], Awaitable[Any]],
    names: AsyncNames = None,
    *,
    registry: Databases = databases,
    limit: int = 8,
    on_error: str = "continue",
    progress: bool | Progress = False,
    resume: Path | None = None,
    run: str | None = None,
) -> Report:
    """Await a coroutine function once for each database, each call in a task and inside ``use_db(name)``.

    As `for_each_database`, with tasks in place of threads. When the task that awaits it is cancelled, the
    calls under way are cancelled too and their transactions rolled back; the journal then has what was done.

    Args:
        fn: a coroutine function, called with the name.
        names: which ones; also an asynchronous iterable, or a function or coroutine function that returns
            either. None for every configured name.
        registry: the databases.
        limit: how many calls are under way at once, at most.
        on_error: ``"continue"``, or ``"stop"`` to start nothing new after the first failure.
        progress: as for `for_each_database`.
        resume: as for `for_each_database`. Each finished name is written to the disk by the event loop's
            own thread, which takes as long as one ``fsync``.
        run: as for `for_each_database`.

    Returns:
        What came of each name.

    Raises:
        ConfigurationError: an argument makes no sense, or the file cannot be used.
    """
    check_options(fn, on_error=on_error, at_once=limit, what="limit", coroutine=True)
    journal = open_journal(fn, resume, run)
    with contextlib.ExitStack() as stack:
        if journal is not None:
            stack.enter_context(journal)
        todo, report = planned(checked_names(await _fetched(names), registry), journal)
        advance = stack.enter_context(shown(progress, len(todo), getattr(fn, "__name__", "databases")))
        run_ = _Run(fn, registry, journal, todo, report, advance, stop_on_error=on_error == "stop")
        try:
            await run_.go(limit)
        finally:
            report.arrange(todo)
    return report


async def _fetched(names: Any) -> Any:
    found = names() if callable(names) else names
    if inspect.isawaitable(found):
        found = await found
    if isinstance(found, AsyncIterable):
        return [name async for name in found]
    return found


class _Run:
    def __init__(
        self,
        fn: Callable[[str], Awaitable[Any]],
        registry: Databases,
        journal: Journal | None,
        names: list[str],
        report: Report,
        advance: Progress,
        *,
        stop_on_error: bool,
    ) -> None:
        self.fn = fn
        self.registry = registry
        self.journal = journal
        self.todo = deque(names)
        self.total = len(names)
        self.report = report
        self.advance = advance
        self.stop_on_error = stop_on_error
        self.stopped = False

    async def go(self, limit: int) -> None:
        workers = [asyncio.create_task(self._work()) for _ in range(min(limit, self.total))]
        try:
            await asyncio.gather(*workers)
        finally:
            # When this task was cancelled, so were they; to cancel them again would cut short their
            # rollbacks.
            self.stopped = True
            await asyncio.gather(*workers, return_exceptions=True)
            self.report.not_started = list(self.todo)

    async def _work(self) -> None:
        while self.todo and not self.stopped:
            # A task of its own: what one call sets is not there in the next one, and connections belong to
            # tasks.
            await asyncio.create_task(self._one(self.todo.popleft()))

    async def _one(self, name: str) -> None:
        start = time.perf_counter()
        error: Exception | None = None
        report = self.report
        try:
            if self.journal is not None:
                self.journal.started(name)
            report.results[name] = await self._called(name)
        except Exception as raised:
            report.failed[name] = error = raised
            self.stopped = self.stopped or self.stop_on_error
        except BaseException:
            report.unfinished.append(name)
            self.stopped = True
            raise
        finally:
            report.seconds[name] = time.perf_counter() - start
        if self.journal is not None:
            self.journal.finished(name, error)
        self.advance(len(report.results) + len(report.failed), self.total, name, error)

    async def _called(self, name: str) -> Any:
        async with awork():
            with use_db(name):
                value = await self.fn(name)
            database = self.registry.live.get(name)
            if database is not None:
                refuse_open(database, name, getattr(self.fn, "__name__", "the function"))
        return value
