"""How far it is: a bar of the package ``rich`` on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..errors import ConfigurationError
from .plan import Progress

__all__ = ["shown"]

#: Where there is no terminal, a line for so many parts of the whole.
LINES = 10


@contextlib.contextmanager
def shown(progress: Any, total: int, what: str) -> Iterator[Progress]:
    """Return what to call when a database is finished.

    Args:
        progress: True for a bar, a function to call instead of one, or False.
        total: how many databases there are.
        what: is being done.

    Raises:
        ConfigurationError: ``rich`` is missing, or `progress` is something else.
    """
    if not progress:
        yield lambda done, total, name, error: None
    elif callable(progress):
        yield progress
    elif progress is not True:
        raise ConfigurationError(f"progress={progress!r}: True, False or a function.")
    else:
        console = _console()
        if console.is_terminal:
            with _bar(console, total, what) as advance:
                yield advance
        else:
            yield _Lines(console, what)


def _console() -> Any:
    try:
        from rich.console import Console
    except ImportError:
        raise ConfigurationError(
            'progress=True needs the package rich: pip install "peewee-multidb[cli]"; '
            "or give a function to be called."
        ) from None
    return Console(stderr=True)


@contextlib.contextmanager
def _bar(console: Any, total: int, what: str) -> Iterator[Progress]:
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[trouble]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(escape(what), total=total, trouble="")
        failed = 0

        def advance(done: int, total: int, name: str, error: Exception | None) -> None:
            nonlocal failed
            if error is not None:
                failed += 1
                bar.console.print(f"[red]{escape(name)}: {escape(_first_line(error))}[/red]", highlight=False)
            bar.update(task, completed=done, trouble=f"[red]{failed} failed[/red]" if failed else "")

        yield advance


class _Lines:
    """A line for each failure, and for every tenth of the whole."""

    def __init__(self, console: Any, what: str) -> None:
        self._console = console
        self._what = what
        self._failed = 0

    def __call__(self, done: int, total: int, name: str, error: Exception | None) -> None:
        if error is not None:
            self._failed += 1
            self._say(f"{name}: {_first_line(error)}")
        if done == total or done * LINES // total > (done - 1) * LINES // total:
            self._say(f"{self._what}: {done} of {total}" + (f", {self._failed} failed" if self._failed else ""))

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
