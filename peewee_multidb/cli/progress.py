"""A progress bar on the standard error, where somebody sees it; nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ..rebalance import Progress
from .context import App

__all__ = ["progress_of"]

Advance = Callable[[int], None]


def progress_of(app: App) -> Progress:
    """Return a progress, as `rebalance.Progress` describes, that is drawn on the standard error.

    Args:
        app: whose output it belongs to.
    """

    @contextmanager
    def drawn(what: str, total: int) -> Iterator[Advance]:
        console = app.out.errors
        if not console.is_terminal:
            yield lambda rows: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with rich.progress.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda rows: bar.advance(task, rows)

    return drawn
