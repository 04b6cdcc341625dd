"""Running one piece of work on each of several shards at the same time.

On ordinary databases over threads, on asynchronous ones over tasks. Where this thread or task has a
transaction open, the work is done on the connection of that transaction; on SQLite by this thread itself,
to which such a connection belongs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from ..drivers import connections
from . import workers
from .jobs import Deadline, Job, Options, Stopped, failure

__all__ = ["gather"]

Outcome = tuple[int, Any, BaseException | None]


def gather(jobs: list[Job], options: Options) -> list[Any]:
    """Do all jobs and return their results in the same order; None for one that is missing.

    Args:
        jobs: one for each shard.
        options: how; its `missing` is set.

    Raises:
        ShardFailed: a job failed, and not ``options.partial``.
        ScatterTimeout: they took longer than ``options.timeout``, and not ``options.partial``.
        Exception: what a job raised that is not the fault of its shard.
    """
    options.missing = {}
    for job in jobs:
        if connections.has_transaction(job.database):
            job.lend()
    round_ = _Round(jobs, options)
    if connections.is_async(jobs[0].database):
        from playhouse.pwasyncio import await_  # type: ignore[import-untyped]

        await_(_in_tasks(round_))
    else:
        _in_threads(round_)
    return round_.results


class _Round:
    """What is known of the jobs so far."""

    def __init__(self, jobs: list[Job], options: Options) -> None:
        self.jobs = jobs
        self.options = options
        self.deadline = Deadline(options.timeout)
        self.limit = options.limit or len(jobs)
        self.results: list[Any] = [None] * len(jobs)
        self.waiting = set(range(len(jobs)))

    def take(self, outcome: Outcome) -> None:
        number, result, error = outcome
        if number not in self.waiting:
            return
        self.waiting.discard(number)
        if error is None:
            self.results[number] = result
            return
        self._miss(number, failure(self.jobs[number].name, error))

    def expire(self) -> None:
        """The time is up."""
        names = [self.jobs[number].name for number in sorted(self.waiting)]
        error = self.deadline.missed_by(names)
        if not self.options.partial:
            raise error
        for number in sorted(self.waiting):
            self._miss(number, error)
        self.waiting.clear()

    def _miss(self, number: int, error: BaseException) -> None:
        if not self.options.partial or not isinstance(error, Exception):
            raise error
        self.options.missing[self.jobs[number].name] = error

    def stop(self, numbers: set[int]) -> None:
        for number in numbers:
            self.jobs[number].stop()


def _in_threads(round_: _Round) -> None:
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    here = [number for number, job in enumerate(round_.jobs) if job.must_stay()]
    queued = [number for number in range(len(round_.jobs)) if number not in here]
    running: set[int] = set()

    def start_more() -> None:
        while queued and len(running) < round_.limit:
            number = queued.pop(0)
            running.add(number)
            workers.submit(round_.jobs[number], _teller(outcomes, number))

    try:
        start_more()
        for number in here:
            round_.take(_done_here(round_, number))
        while round_.waiting:
            try:
                outcome = outcomes.get(timeout=round_.deadline.left())
            except queue.Empty:
                round_.expire()
                break
            running.discard(outcome[0])
            start_more()
            round_.take(outcome)
    finally:
        _stop_running(round_, running, outcomes)


def _teller(outcomes: queue.SimpleQueue[Outcome], number: int) -> workers.Done:
    return lambda result, error: outcomes.put((number, result, error))


def _done_here(round_: _Round, number: int) -> Outcome:
    job, left = round_.jobs[number], round_.deadline.left()
    # A statement of this very thread can only be stopped by another.
    alarm = None if left is None else threading.Timer(left, job.stop)
    if alarm is not None:
        alarm.daemon = True
        alarm.start()
    try:
        return number, job.run(), None
    except Exception as error:
        if job.stopped:
            round_.expire()
        return number, None, error
    except Stopped:
        round_.expire()
        return number, None, None
    finally:
        if alarm is not None:
            alarm.cancel()


def _stop_running(round_: _Round, running: set[int], outcomes: queue.SimpleQueue[Outcome]) -> None:
    if not running:
        return
    round_.stop(running)
    # A connection that was lent is the caller's again only when nobody uses it any more.
    lent = {number for number in running if round_.jobs[number].is_lent}
    while lent:
        lent.discard(outcomes.get()[0])


async def _in_tasks(round_: _Round) -> None:
    import asyncio

    slots = asyncio.Semaphore(round_.limit)
    tasks = {asyncio.ensure_future(_task(job, slots)): number for number, job in enumerate(round_.jobs)}
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=round_.deadline.left(), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                round_.expire()
                break
            for task in done:
                error = task.exception()
                round_.take((tasks[task], None if error else task.result(), error))
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _task(job: Job, slots: Any) -> Any:
    from playhouse.pwasyncio import greenlet_spawn

    async with slots:
        try:
            return await greenlet_spawn(job.run)
        finally:
            if not job.is_lent:
                for server in job.used:
                    await server.aclose()


#: What `gather` is to those who pass it on.
Gather = Callable[[list[Job], Options], list[Any]]
