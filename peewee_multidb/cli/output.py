"""The only place of the command line that prints: tables for people, JSON for programs, sentences for errors.

What is found goes to the standard output, errors and progress to the standard error. Colours are left out
where ``NO_COLOR`` is set and where nobody looks; a table that goes into a pipe has each row in one line.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
import peewee
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import errors

__all__ = ["EXIT_CODES", "Output", "exit_code", "fail", "shown_bytes"]

#: What each exit code means; in the manual as well.
EXIT_CODES = {
    0: "all is well",
    1: "it ran, and found something that is not as it should be",
    2: "the command line itself is wrong",
    3: "the settings or the models are wrong",
    4: "a database could not be reached, or failed",
    5: "refused: nothing was changed",
    6: "part of it was done; the message says what to run next",
    70: "an error that nobody expected; --debug shows where",
    130: "interrupted from the keyboard",
}

UNEXPECTED = 70

#: The exit code of each kind of error; the first that fits.
_CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
    (errors.CopyRefused, 5),
    ((errors.PartialCommit, errors.RebalanceError, errors.CopyError), 6),
    ((errors.ConfigurationError, errors.UnknownDatabase), 3),
    ((errors.NoReplicaAvailable, errors.ShardFailed, errors.ScatterTimeout), 4),
    (errors.MultiDBError, 5),
    (peewee.ImproperlyConfigured, 3),
    ((peewee.PeeweeException, OSError), 4),
)

#: The user of a URL, and the password behind it.
_PASSWORD = re.compile(r"(//[^\s/@:'\"]*):[^\s'\"]*@")

#: A pipe has no width.
ANY_WIDTH = 10_000


class Output:
    """Where a command writes what it found.

    Attributes:
        json: print JSON in place of tables.
    """

    def __init__(self) -> None:
        self.json = False
        #: Returns the passwords that are known, so that no driver's message can show one.
        self.secrets: Callable[[], Iterable[str]] = tuple

    @property
    def console(self) -> Console:
        """Where tables go."""
        return _console(sys.stdout)

    @property
    def errors(self) -> Console:
        """Where sentences about errors and progress go."""
        return _console(sys.stderr)

    def data(self, value: Any) -> None:
        """Print JSON."""
        click.echo(json.dumps(_plain(value), indent=2, default=str, ensure_ascii=False))

    def text(self, text: str | Text = "", style: str | None = None) -> None:
        """Print lines as they are: no markup is read in them."""
        self.console.print(text if isinstance(text, Text) else Text(text, style or ""), soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
        """Print a table.

        Args:
            columns: the heads; one that begins with ``>`` stands to the right.
            rows: a cell is a text, a `rich.text.Text`, or something with a text; None is a dash.
            title: above it.
        """
        self.console.print(self.table_of(columns, rows, title))

    @staticmethod
    def table_of(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
        """Return what `table` prints."""
        made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
        for column in columns:
            right = column.startswith(">")
            made.add_column(
                Text(column.removeprefix(">")), justify="right" if right else "left", overflow="fold"
            )
        for row in rows:
            made.add_row(*(cell if isinstance(cell, Text) else Text(_shown(cell)) for cell in row))
        return made

    def sentence(self, error: BaseException) -> str:
        """Return an error as one line, without what is known to be secret."""
        return self._shown(" ".join(str(error).split()) or type(error).__name__)

    def traceback(self, error: BaseException) -> None:
        """Print where an error comes from, without what is known to be secret or looks like it."""
        text = "".join(traceback.format_exception(error))
        self.errors.print(self._shown(text), soft_wrap=True, end="")

    def _shown(self, text: str) -> str:
        for secret in self.secrets():
            text = text.replace(secret, "***")
        # A line of somebody's source may have a URL in it that was never configured.
        return _PASSWORD.sub(r"\1:***@", text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    # JSON has no infinity, and no number that is none.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _shown(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _console(file: Any) -> Console:
    is_seen = file.isatty()
    width = None if is_seen or "COLUMNS" in os.environ else ANY_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def shown_bytes(size: int) -> str:
    """Return a number of bytes in three digits or so."""
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error, one of `EXIT_CODES`."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), UNEXPECTED)


def fail(out: Output, error: BaseException, where: str | None = None, code: int | None = None) -> int:
    """Print an error as one sentence, and as JSON where that was asked for; return its exit code.

    Args:
        out: where to.
        error: what was raised.
        where: the name of the database, for errors that do not say it.
        code: another exit code than that of the error's kind.
    """
    code = exit_code(error) if code is None else code
    message = f"{where}: {out.sentence(error)}" if where else out.sentence(error)
    if code == UNEXPECTED:
        message = f"{type(error).__name__}: {message} (--debug shows where)"
    if out.json:
        shape = {"error": {"kind": type(error).__name__, "message": message, "exit_code": code}}
        out.data(shape)
    out.errors.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
    return code
