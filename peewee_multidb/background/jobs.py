"""What every queue's integration does around one job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from ..foreach.work import work
from ..registry import Databases
from .headers import scope_from_headers

__all__ = ["JobOptions", "in_context", "run_job"]

T = TypeVar("T")


class JobOptions:
    """What the integrations are told.

    Args:
        registry: whose ``secret_key`` signs; None for the process-wide registry.
        max_age: seconds after which a job's scope is refused; None for no limit.
        required: refuse jobs that carry no scope; else they run outside of every scope.
    """

    __slots__ = ("max_age", "registry", "required")

    def __init__(
        self, registry: Databases | None = None, max_age: float | None = None, required: bool = True
    ) -> None:
        self.registry = registry
        self.max_age = max_age
        self.required = required

    @contextmanager
    def entered(self, headers: Mapping[str, Any] | None) -> Iterator[None]:
        """Run a block as one job: in the scope of its headers, with connections that are given back."""
        scope = scope_from_headers(headers, self.registry, max_age=self.max_age, required=self.required)
        with work(), scope:
            yield


def run_job(headers: Mapping[str, Any] | None, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a function as one job of a queue that has no integration of its own.

    It runs in the scope of the headers and in a context of its own, so that nothing which it sets is there
    for the next job of this thread. Its connections are given back, also after an error.

    Args:
        headers: what `scope_headers` returned where the job was sent.
        fn: is called with the other arguments.
        args: positional arguments.
        kwargs: keyword arguments.

    Returns:
        What the function returns.

    Raises:
        ScopeRefused: the headers are not to be trusted; the function is not called.
    """
    return in_context(JobOptions(), headers, lambda: fn(*args, **kwargs))


def in_context(options: JobOptions, headers: Mapping[str, Any] | None, call: Callable[[], T]) -> T:
    """Call something as one job, in a copy of the context of this thread that is dropped afterwards."""
    return copy_context().run(_in_scope, options, headers, call)


def _in_scope(options: JobOptions, headers: Mapping[str, Any] | None, call: Callable[[], T]) -> T:
    with options.entered(headers):
        return call()
