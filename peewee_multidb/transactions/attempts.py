"""Running a block again that lost a race: a serialization failure, a deadlock, rows that just moved.

Only the outermost block can be run again, since the server has undone the whole transaction; and only while
nothing is committed. Between two attempts there is a pause that grows and is random, so that those who met
once do not meet again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from ..drivers import races
from ..errors import ConfigurationError, PartialCommit, ShardMoved
from .block import Block, current, with_transaction

__all__ = ["Attempt", "Attempts", "run", "run_async"]

#: Seconds of the first pause at the most, and of any.
FIRST_PAUSE = 0.02
LONGEST_PAUSE = 2.0


class Attempts:
    """Attempts at a block, to loop over; made by `atomic.attempts`.

    Args:
        make: returns a new `atomic` for each attempt.
        retries: how many times the block is run again.
    """

    def __init__(self, make: Callable[[], Any], retries: int) -> None:
        if retries < 0:
            raise ConfigurationError(f"atomic.attempts(retries={retries}): a number of times, from 0.")
        self._make = make
        self._retries = retries

    def __iter__(self) -> Iterator[Attempt]:
        for number in self._numbers():
            attempt = Attempt(self._make(), number)
            yield attempt
            if not attempt.is_lost:
                return
            time.sleep(attempt.pause())

    async def __aiter__(self) -> AsyncIterator[Attempt]:
        for number in self._numbers():
            attempt = Attempt(self._make(), number)
            yield attempt
            if not attempt.is_lost:
                return
            await asyncio.sleep(attempt.pause())

    def _numbers(self) -> Iterator[tuple[int, bool]]:
        # Inside of a transaction, only who began that can begin it again.
        retries = self._retries if current() is None and not with_transaction() else 0
        for number in range(retries + 1):
            yield number, number == retries


class Attempt:
    """One attempt: a context manager around the block.

    Attributes:
        number: from 0.
        is_lost: whether it lost a race and is to be made again.
    """

    def __init__(self, around: Any, number: tuple[int, bool]) -> None:
        self._around = around
        self.number, self._is_final = number
        self.is_lost = False
        self._block: Block | None = None

    def __enter__(self) -> Block:
        self._block = block = self._around.__enter__()
        return block  # type: ignore[no-any-return]

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        try:
            self._around.__exit__(kind, error, traceback)
        except Exception as raised:
            error = raised
            if not self._may_repeat(raised):
                raise
        return self._decided(error)

    async def __aenter__(self) -> Block:
        self._block = block = await self._around.__aenter__()
        return block  # type: ignore[no-any-return]

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        try:
            await self._around.__aexit__(kind, error, traceback)
        except Exception as raised:
            error = raised
            if not self._may_repeat(raised):
                raise
        return self._decided(error)

    def pause(self) -> float:
        """Return the seconds to wait before the next attempt."""
        longest: float = min(FIRST_PAUSE * 2**self.number, LONGEST_PAUSE)
        return random.uniform(0.2, 1.0) * longest

    def _decided(self, error: BaseException | None) -> bool:
        self.is_lost = error is not None and self._may_repeat(error)
        return self.is_lost

    def _may_repeat(self, error: BaseException) -> bool:
        block = self._block
        if self._is_final or block is None or block.has_committed:
            return False
        seen: BaseException | None = error
        while seen is not None:
            if isinstance(seen, PartialCommit):
                return False
            if isinstance(seen, ShardMoved) or any(
                races.is_lost_race(database, seen) for database in block.covered()
            ):
                return True
            seen = seen.__cause__
        return False


def run(attempts: Attempts, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function in attempts at a block, and return what it returns."""
    result = None
    for attempt in attempts:
        with attempt:
            result = function(*args, **kwargs)
    return result


async def run_async(attempts: Attempts, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Await a coroutine function in attempts at a block, and return what it returns."""
    result = None
    async for attempt in attempts:
        async with attempt:
            result = await function(*args, **kwargs)
    return result
