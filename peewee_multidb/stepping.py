"""Functions of every kind, run in a scope: each step of their bodies, and nothing between the steps."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

from .errors import ConfigurationError
from .stack import Scope, confined, current, pop, switch

__all__ = ["decorated", "kept"]

F = TypeVar("F", bound=Callable[..., Any])


def decorated(function: F, enter: Callable[[], Scope | None]) -> F:
    """Wrap a function of any kind so that its body runs in the scope that `enter` returns."""
    if inspect.isclass(function) or not callable(function):
        raise ConfigurationError(f"a scope decorates a function, not {function!r}.")
    wrap: Callable[..., Any]
    if inspect.isasyncgenfunction(function):
        wrap = _async_generator
    elif inspect.isgeneratorfunction(function):
        wrap = _generator
    elif inspect.iscoroutinefunction(function):
        wrap = _coroutine
    else:
        wrap = _function
    return functools.wraps(function)(wrap(function, enter))  # type: ignore[return-value]


def kept(function: Callable[[], Any]) -> Callable[[], Any]:
    """Return a function that is called later in the scope of this moment, wherever that is.

    Unlike a propagated one, it is this code's own to the end: no other lock is put on it.
    """
    captured = current()
    return functools.update_wrapper(_function(function, lambda: captured), function)


def _function(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        outside = current()
        switch(enter())
        try:
            return function(*args, **kwargs)
        finally:
            switch(outside)

    return wrapper


def _coroutine(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await _each_step(function(*args, **kwargs), _Held(enter()))

    return wrapper


def _generator(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    # A generator function itself, because frameworks ask inspect what they were given.
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from _each_step(function(*args, **kwargs), _Held(enter())))

    return wrapper


def _async_generator(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        held = _Held(enter())
        generator = function(*args, **kwargs)
        step: Callable[..., Any] = generator.asend
        argument: Any = None
        while True:
            try:
                value = await _each_step(step(argument), held)
            except StopAsyncIteration:
                return
            try:
                argument = yield value
                step = generator.asend
            except BaseException as error:
                step, argument = generator.athrow, error

    return wrapper


class _Held:
    """The scope of a body that is suspended: what it entered and has not left waits for its next step.

    Args:
        scope: that of its first step, made where the code around it is.
    """

    __slots__ = ("lock", "scope")

    def __init__(self, scope: Scope | None) -> None:
        around = current()
        self.scope = scope
        #: The lock in which it was begun, and which it may have left for itself.
        self.lock = None if around is None else around.lock

    def within(self, around: Scope | None) -> Scope | None:
        """Return the scope of the next step, which is taken there: another lock there holds in it too."""
        if around is None or around.lock is self.lock:
            return self.scope
        return confined(self.scope, around)


@types.coroutine
def _each_step(body: Any, held: _Held) -> Generator[Any, Any, Any]:
    """Run a generator or a coroutine, every step of it inside, and nothing between its steps.

    A plain ``with`` around a ``yield`` would leave the caller in the scope. And a body that is closed
    in another context than it began in, by the garbage collector for instance, would put its own
    caller's scope in place of that of whoever happens to be there.
    """
    step: Callable[..., Any] = body.send
    argument: Any = None
    while True:
        outside = current()
        inside = held.within(outside)
        switch(inside)
        try:
            value = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            if inside is not held.scope and inside is not None:
                # The lock is that of whoever takes this step; the next step may be taken elsewhere.
                pop(inside.entry)
            held.scope = current()
            switch(outside)
        try:
            argument = yield value
            step = body.send
        except BaseException as error:
            step, argument = body.throw, error
