"""A pool of threads whose jobs run where they were submitted.

An executor's threads know nothing of who hands them work. Here each job runs in a copy of the submitter's
context, as ``asyncio.to_thread`` does it: the scope, the tenant's lock, what was written so far, and the
context variables of everybody else, of a tracer for instance.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .. import causality
from ..foreach.work import work

__all__ = ["ScopedExecutor"]

T = TypeVar("T")


class ScopedExecutor(ThreadPoolExecutor):
    """A `concurrent.futures.ThreadPoolExecutor` whose jobs run in the scope of whoever submits them.

    A job is locked to the tenant that its submitter is locked to, reads what its submitter has written, and
    what it writes, its submitter reads. It is no part of the submitter's transactions, which belong to
    another connection.

    Args:
        max_workers: how many threads, at most.
        give_back: give the connections of each job back when it ends, and roll back what it left open.
            Without, a thread keeps its connections for its next job, whoever's that is.
        options: what a ``ThreadPoolExecutor`` takes besides: ``thread_name_prefix``, ``initializer``,
            ``initargs``.
    """

    def __init__(self, max_workers: int | None = None, *, give_back: bool = True, **options: Any) -> None:
        super().__init__(max_workers, **options)
        self._give_back = give_back

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function in a thread, in the scope of this moment.

        Args:
            fn: is called with the other arguments.
            args: positional arguments.
            kwargs: keyword arguments.

        Returns:
            The future of its result.
        """
        # Here, so that the job writes into the submitter's and not into one of its own.
        causality.own_unit()
        run = contextvars.copy_context().run
        if self._give_back:
            return super().submit(run, _given_back, fn, args, kwargs)
        return super().submit(run, fn, *args, **kwargs)

    def map(
        self, fn: Callable[..., T], *iterables: Iterable[Any], timeout: float | None = None, **options: Any
    ) -> Iterator[T]:
        """Run a function for each of some arguments, in the scope of this moment.

        Args:
            fn: is called with an argument of each iterable.
            iterables: the arguments.
            timeout: seconds to wait for all of them; None for no limit.
            options: what ``ThreadPoolExecutor.map`` takes besides, ``chunksize`` for instance.

        Returns:
            The results, in the order of the arguments.
        """
        causality.own_unit()
        # The context of now also for those that the executor submits later, while the results are read.
        context = contextvars.copy_context()
        given_back = self._give_back

        def run(*args: Any) -> T:
            # A context cannot be run by two threads at once.
            if given_back:
                return context.copy().run(_given_back, fn, args, {})
            return context.copy().run(fn, *args)

        return super().map(run, *iterables, timeout=timeout, **options)


def _given_back(fn: Callable[..., T], args: Any, kwargs: Any) -> T:
    with work():
        return fn(*args, **kwargs)
