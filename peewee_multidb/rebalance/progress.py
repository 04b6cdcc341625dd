"""A progress bar for a rebalance, drawn by `rich` where that is installed and there is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from ..errors import ConfigurationError

__all__ = ["Progress", "drawn", "silent"]

Advance = Callable[[int], None]


class Progress(Protocol):
    """What shows how far a rebalance has come."""

    def __call__(self, what: str, total: int) -> Any:
        """Return a context manager for one stage; entering it gives a function that is told of rows done.

        Args:
            what: the stage, such as ``"copy Order from s1"``.
            total: how many rows it has, about.
        """
        ...


@contextmanager
def silent(what: str, total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda rows: None


@contextmanager
def drawn(what: str, total: int) -> Iterator[Advance]:
    """Draw a bar in a terminal; print a line for each stage elsewhere.

    Raises:
        ConfigurationError: `rich` is not installed.
    """
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        raise ConfigurationError(
            'A progress bar needs rich: pip install "peewee-multidb[demo]". Or hand over a function of '
            "your own as progress."
        ) from None
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows

    if not sys.stdout.isatty():
        yield count
    else:
        columns = (
            TextColumn("{task.description:<34}"),
            BarColumn(30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task(what, total=total)

            def advance(rows: int) -> None:
                count(rows)
                bar.advance(task, rows)

            yield advance
    print(f"{what:<34} {done:>11,} rows", flush=True)
