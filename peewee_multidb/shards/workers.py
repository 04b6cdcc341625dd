"""Threads that wait for databases, each for one, so that it can keep its connection open.

A thread pool that serves every database would open a connection to each in every thread. A worker here
belongs to one Database object, is used again, and goes away with its connections when nobody has needed it
for a while.
"""

from __future__ import annotations

import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from ..drivers import connections
from .jobs import Job

__all__ = ["submit"]

#: Seconds after which an idle worker closes its connections and ends.
IDLE = 20.0

_lock = threading.Lock()
_idle: dict[int, list[_Worker]] = {}

Done = Callable[[Any, BaseException | None], None]


class _Worker:
    def __init__(self, database: Any) -> None:
        self.database = database
        self.servers: list[Any] = []
        self.inbox: queue.SimpleQueue[tuple[Job, contextvars.Context, Done]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="multidb-shard", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                job, context, done = self.inbox.get(timeout=IDLE)
            except queue.Empty:
                if self._retire():
                    return
                continue
            result, error = None, None
            try:
                result = context.run(job.run)
            except BaseException as raised:
                error = raised
            self.servers += [server for server in job.used if server not in self.servers]
            context.run(job.give_back)
            # Free again before anybody is told, who may want it at once.
            with _lock:
                _idle.setdefault(id(self.database), []).append(self)
            done(result, error)
            del job, context, done, result, error

    def _retire(self) -> bool:
        with _lock:
            waiting = _idle.get(id(self.database), [])
            if self not in waiting:
                return False  # a job is on its way
            waiting.remove(self)
            if not waiting:
                del _idle[id(self.database)]
        for server in self.servers:
            connections.drop(server)
        return True


def submit(job: Job, done: Done) -> None:
    """Have a worker of the job's database do it, in a copy of this context.

    Args:
        job: the work.
        done: called in the worker's thread with the result and the error, one of which is None.
    """
    with _lock:
        waiting = _idle.get(id(job.database))
        worker = waiting.pop() if waiting else None
    if worker is None:
        worker = _Worker(job.database)
    worker.inbox.put((job, contextvars.copy_context(), done))


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
