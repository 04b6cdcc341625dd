"""A pool of processes whose jobs run where they were submitted.

Apart from the pool of threads, for the standard library's multiprocessing is not imported by who needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

from ..foreach.work import work
from .headers import scope_from_headers, scope_headers

__all__ = ["ScopedProcessExecutor"]

T = TypeVar("T")


class ScopedProcessExecutor(ProcessPoolExecutor):
    """A `concurrent.futures.ProcessPoolExecutor` whose jobs run in the scope of whoever submits them.

    The scope travels as `scope_headers`, so the process-wide registry needs a ``secret_key``, and the
    processes
    need the same one: forked, they have it; spawned, they configure their registry when they import the
    function. What a job has written is not known to its submitter.

    Args:
        max_workers: how many processes, at most.
        options: what a ``ProcessPoolExecutor`` takes besides: ``mp_context``, ``initializer``, ``initargs``.
    """

    def __init__(self, max_workers: int | None = None, **options: Any) -> None:
        super().__init__(max_workers, **options)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function in a process, in the scope of this moment; its connections are given back.

        Args:
            fn: is called with the other arguments; it and they have to be picklable.
            args: positional arguments.
            kwargs: keyword arguments.

        Raises:
            ConfigurationError: the scope cannot travel, or there is no ``secret_key``; see `scope_headers`.
        """
        return super().submit(_in_process, scope_headers(), fn, args, kwargs)


def _in_process(headers: dict[str, str], fn: Callable[..., T], args: Any, kwargs: Any) -> T:
    with work(), scope_from_headers(headers):
        return fn(*args, **kwargs)
