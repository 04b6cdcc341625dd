"""Who may use the one connection that a database has in a test: one thread, or one task, at a time.

Whoever has a transaction open keeps it until the end, since savepoints of two of them would undo each other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from ..errors import IsolationError

__all__ = ["PATIENCE", "TaskTurn", "ThreadTurn"]

#: Seconds that one waits for the other.
PATIENCE = 10.0


def _stuck(name: str, who: str, other: str, kind: str) -> IsolationError:
    return IsolationError(
        f"database {name!r}: {who} has waited {PATIENCE:g} s for its turn, while {other} has a transaction "
        f"open. In a test that is rolled back all {kind} share one connection, one at a time, so neither may "
        "wait for the other inside a transaction. "
        "Mark the test @pytest.mark.databases(..., transaction=False)."
    )


class ThreadTurn:
    """The turn of a thread.

    Args:
        name: the database name, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._free = threading.Condition()
        self._owner: threading.Thread | None = None
        self._depth = 0

    def take(self, patience: float = PATIENCE) -> bool:
        """Wait for the turn, which this thread may have already; whether a thread died and left it.

        Args:
            patience: seconds to wait at the most.

        Raises:
            IsolationError: another thread keeps it for longer.
        """
        me = threading.current_thread()
        deadline = time.monotonic() + patience
        with self._free:
            while self._owner is not None and self._owner is not me and self._owner.is_alive():
                # A thread that dies tells nobody.
                if not self._free.wait(0.1) and time.monotonic() > deadline:
                    who, other = f"thread {me.name!r}", f"thread {self._owner.name!r}"
                    raise _stuck(self._name, who, other, "threads")
            inherited = self._owner is not None and self._owner is not me
            self._depth = 1 if self._owner is not me else self._depth + 1
            self._owner = me
            return inherited

    def give(self) -> None:
        """Let the next one have it, after as many calls as there were of `take`."""
        with self._free:
            self._depth -= 1
            if self._depth <= 0:
                self._owner, self._depth = None, 0
                self._free.notify()


class TaskTurn:
    """The same for the tasks of one event loop.

    Args:
        name: the database name, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None
        self._depth = 0

    async def take(self) -> None:
        """Wait for the turn, which this task may have already.

        Raises:
            IsolationError: another task keeps it for too long.
        """
        me = asyncio.current_task()
        if self._owner is not None and self._owner is me:
            self._depth += 1
            return
        if self._owner is not None and self._owner.done():
            self._release()
        try:
            await asyncio.wait_for(self._lock.acquire(), PATIENCE)
        except asyncio.TimeoutError:
            raise _stuck(self._name, _named(me), _named(self._owner), "tasks") from None
        self._owner, self._depth = me, 1

    def give(self) -> None:
        """Let the next one have it, after as many calls as there were of `take`."""
        self._depth -= 1
        if self._depth <= 0 and self._lock.locked():
            self._release()

    def _release(self) -> None:
        self._owner, self._depth = None, 0
        self._lock.release()


def _named(task: asyncio.Task[Any] | None) -> str:
    return "another task" if task is None else f"task {task.get_name()!r}"
