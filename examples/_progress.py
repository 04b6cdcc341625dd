"""A progress bar where there is a terminal and `rich` to draw it, and a line of text where not."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


@contextmanager
def bar(what: str, total: int) -> Iterator[Advance]:
    """Show how far a block has come; it calls what it is given with the number of rows just done."""
    start = time.perf_counter()
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    except ImportError:
        drawn = None
    else:
        drawn = Progress(
            TextColumn("  {task.description:<34}"), BarColumn(30), MofNCompleteColumn(), transient=True
        )
    if drawn is None or not sys.stdout.isatty():
        yield lambda done: None
    else:
        with drawn:
            task = drawn.add_task(what, total=total)
            yield lambda done: drawn.advance(task, done)
    print(f"  {what:<34} {total:>9,} rows   {time.perf_counter() - start:5.1f} s", flush=True)
