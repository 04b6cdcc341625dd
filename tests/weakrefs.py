"""Keeps coverage from hanging on CPython 3.11 when threads end.

Under its concurrency "greenlet" coverage has a WeakKeyDictionary for each thread, keyed by greenlets. When a
thread has ended, greenlet frees what it left in a "pending call" of the interpreter, and the dictionary's
callback runs there. It is a Python function, so it is traced; and a traced function that begins in a pending
call while another such call is waiting never gets past its first instruction on CPython 3.11, since that
instruction is begun anew as long as a call is waiting. Threads that end together are enough. With a
callback in C there is nothing to trace.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any


class _Quiet(weakref.WeakKeyDictionary[Any, Any]):
    """Forgets dead keys by a function that is not written in Python."""

    def __init__(self, dict: Any = None) -> None:
        super().__init__(dict)
        self._remove = self.data.pop  # type: ignore[attr-defined]


def keep_coverage_alive() -> None:
    """Give the threads that coverage traces from now on such dictionaries."""
    if sys.version_info[:2] == (3, 11) and "coverage" in sys.modules:
        weakref.WeakKeyDictionary = _Quiet  # type: ignore[misc]
