"""Statements whose answers come later than the call that sends them: opened results, and pipelines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from .sent import Sent
from .watching import Frame, current_frame, held, rows_of, watch_of

__all__ = ["opening", "pipelined"]


class opening:
    """A result that is opened in a block, and told as one statement when it is closed, with its rows.

    Attributes:
        rows: how many were read.
    """

    def __init__(self, database: Any, query: Any) -> None:
        self._watch = watch_of(database)
        self._query = query
        self._frame: Frame | None = None
        self.rows = 0

    def __enter__(self) -> opening:
        if self._watch is not None:
            self._frame, self._before = self._watch.enter(self._query)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._frame is not None:
            current_frame.set(self._before)
            if kind is not None:
                self.close()

    def note(self, sql: str, params: Any, start: float, error: Exception | None) -> None:
        """Note a statement that no hook sees."""
        if self._frame is not None:
            database = self._frame.watch.database
            taken = time.perf_counter() - start
            self._frame.sent.append(Sent(database, self._query, sql, params, taken, error))

    def close(self) -> None:
        """Tell it, once."""
        frame, self._frame = self._frame, None
        if frame is not None:
            failed = frame.sent and frame.sent[-1].error is not None
            frame.watch.finish(frame, None if failed else self.rows)


@contextlib.contextmanager
def pipelined() -> Iterator[list[BaseException]]:
    """A block of statements whose answers come at its end; put a failure of the last one into the list."""
    frames: list[tuple[Frame, Any]] = []
    failures: list[BaseException] = []
    before, start = held.get(), time.perf_counter()
    held.set(frames)
    try:
        yield failures
    finally:
        held.set(before)
        taken = time.perf_counter() - start
        for frame, cursor in frames:
            for sent in frame.sent:
                sent.duration = taken
            if failures and frame is frames[-1][0] and frame.sent:
                frame.sent[-1].error = failures[0]
                cursor = None
            frame.watch.finish(frame, rows_of(cursor))

