"""What is to be done where: the names, the run that the journal knows it by, and what is done already."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from ..errors import ConfigurationError
from ..registry import Databases
from .journal import Journal
from .report import Report

__all__ = ["Names", "Path", "Progress", "checked_names", "open_journal", "planned"]

#: Where to go: names, or what returns them; None for every configured name.
Names: TypeAlias = Iterable[str] | Callable[[], Iterable[str]] | None
Path: TypeAlias = str | os.PathLike[str]
#: Called when a database is finished: how many are, of how many, its name, and what it raised or None.
Progress: TypeAlias = Callable[[int, int, str, Exception | None], object]

ON_ERROR = ("continue", "stop")


def checked_names(names: Any, registry: Databases) -> list[str]:
    """Return each name once, in the order given.

    They are fetched before anything begins: an open cursor on the control database would have to live as
    long as the slowest of them.

    Raises:
        ConfigurationError: something among them is not a name.
    """
    if names is None:
        return list(registry.names)
    found = names() if callable(names) else names
    if isinstance(found, str):
        raise ConfigurationError(f"names={found!r}: give a list of database names, [{found!r}] for one.")
    if not isinstance(found, Iterable):
        raise ConfigurationError(f"names={found!r}: give database names, or a function that returns them.")
    listed = list(found)
    for name in listed:
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"names: {name!r} is not a database name.")
    return list(dict.fromkeys(listed))


def check_options(fn: Any, *, on_error: str, at_once: int, what: str, coroutine: bool) -> None:
    """Raise `ConfigurationError` for options that make no sense."""
    if not callable(fn):
        raise ConfigurationError(f"for_each_database() calls a function with each name, not {fn!r}.")
    if inspect.iscoroutinefunction(_unwrapped(fn)) is not coroutine:
        raise ConfigurationError(
            f"{_label(fn) or fn!r} is "
            + ("not a coroutine function: use for_each_database()." if coroutine else "")
            + ("" if coroutine else "a coroutine function: use afor_each_database().")
        )
    if on_error not in ON_ERROR:
        raise ConfigurationError(f"on_error={on_error!r}: 'continue' or 'stop'.")
    if not isinstance(at_once, int) or isinstance(at_once, bool) or at_once < 1:
        raise ConfigurationError(f"{what}={at_once!r}: at least 1.")


def open_journal(fn: Any, resume: Path | None, run: str | None) -> Journal | None:
    """Open the journal, if there is to be one.

    Raises:
        ConfigurationError: the run has no label and the function no name; or the file cannot be used.
    """
    if resume is None:
        if run is not None:
            raise ConfigurationError(f"run={run!r} is for a journal: give resume=PATH as well.")
        return None
    label = _label(fn) if run is None else run
    if not label:
        raise ConfigurationError(
            f"resume={os.fspath(resume)!r}: {fn!r} has no name of its own by which a second run would be "
            "known; give run=TEXT."
        )
    return Journal(resume, label)


def planned(names: list[str], journal: Journal | None) -> tuple[list[str], Report]:
    """Return the names that are to be done, and the report so far."""
    report = Report()
    if journal is None:
        return names, report
    report.run = journal.run
    done, under_way = journal.done(), journal.under_way()
    report.skipped = [name for name in names if name in done]
    report.repeated = [name for name in names if name in under_way]
    return [name for name in names if name not in done], report


def _unwrapped(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if inspect.isroutine(fn) or isinstance(fn, type) else type(fn).__call__


def _label(fn: Any) -> str | None:
    """Return module and name of a function that has one; a lambda has none to be known by."""
    name = getattr(fn, "__qualname__", None)
    return None if name is None or "<lambda>" in name else f"{fn.__module__}:{name}"
