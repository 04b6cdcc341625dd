"""Commands that are run for one database, for some, or for all of them.

The function stays a function that takes a name's work: the decorator adds the choice of databases, as keyword
arguments for whoever calls it from Python, and as options where click makes a command of it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError, UnknownDatabase, nearest, shown
from ..foreach import Report, for_each_database
from ..foreach.plan import Names, checked_names
from ..registry import Databases, databases

__all__ = ["management_command"]

Command = Callable[..., Any]


def management_command(
    function: Command | None = None,
    *,
    names: Names = None,
    registry: Databases = databases,
    workers: int = 4,
) -> Any:
    """Decorate a command that works in one database, so that it can be run for any, for several or for all.

    The function is called once for each database, in its scope, as `for_each_database` does it. There is no
    default: a command that is told neither `database` nor `all_databases` refuses, since it would have to
    guess. Called in Python it takes these besides its own arguments, and returns a `Report`::

        @management_command
        def prune(days): ...

        prune(30, database="acme")
        prune(30, all_databases=True, workers=8, resume="prune.journal")

    Under click, put it below ``@click.command()``, and ``@click.option`` below it. The options
    ``--database NAME`` (several times for several), ``--all-databases``, ``--workers N`` and
    ``--resume FILE`` are added; it prints the report, and its exit status is 1 when a database failed.

    Args:
        function: the command; it may be decorated with or without parentheses.
        names: what all databases are: names, or what returns them, from the control database for instance.
            None for every configured name.
        registry: the databases.
        workers: how many databases at once, unless the caller says otherwise.

    Raises:
        ConfigurationError: when it is called: nothing or both of one and all are chosen.
        UnknownDatabase: when it is called: a chosen one is not among `names`.
    """
    if function is None:
        return functools.partial(management_command, names=names, registry=registry, workers=workers)
    command = function

    @functools.wraps(command)
    def run(
        *args: Any,
        database: str | tuple[str, ...] | list[str] | None = None,
        all_databases: bool = False,
        workers: int = workers,
        resume: str | None = None,
        progress: Any = False,
        on_error: str = "continue",
        **kwargs: Any,
    ) -> Report:
        chosen = [database] if isinstance(database, str) else list(database or ())
        context = _click_context(run)
        if bool(chosen) is all_databases:
            refusal = (
                f"{command.__name__}: say which databases: database=NAME (--database NAME), or "
                "all_databases=True (--all-databases)" + (", not both." if chosen else ".")
            )
            if context is not None:
                context.fail(refusal)
            raise ConfigurationError(refusal)
        # For chosen ones too: to ask for the names may be what makes them known.
        every = checked_names(names, registry)
        unknown = [name for name in chosen if name not in every]
        if unknown:
            near = nearest(unknown[0], every)
            refusal = f"{command.__name__}: no database is called {shown(unknown[0])}; {near}."
            if context is not None:
                context.fail(refusal)
            raise UnknownDatabase(refusal)
        report = for_each_database(
            _Bound(command, args, kwargs),
            every if all_databases else chosen,
            registry=registry,
            workers=workers,
            resume=resume,
            progress=progress,
            on_error=on_error,
            run=None if resume is None else _label(command, args, kwargs),
        )
        if context is not None:
            print(report)
            context.exit(0 if report.ok else 1)
        return report

    return _with_options(run, workers)


def _label(command: Command, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What a journal knows it by: with other arguments it is another run."""
    return f"{command.__module__}:{command.__qualname__} {args!r} {sorted(kwargs.items())!r}"


def _click_context(run: Command) -> Any:
    """Return the context of the click command that is calling, or None when it is called from Python."""
    click = sys.modules.get("click")
    context = None if click is None else click.get_current_context(silent=True)
    return context if context is not None and context.command.callback is run else None


def _with_options(run: Command, workers: int) -> Command:
    """Leave the options with the function, in case that click makes a command of it."""
    click = sys.modules.get("click")
    if click is None:
        return run
    # A list of its own: click keeps them in an attribute, which `functools.wraps` took over from the command.
    run.__click_params__ = list(getattr(run, "__click_params__", ()))  # type: ignore[attr-defined]
    for option in (
        click.option("--database", multiple=True, metavar="NAME", help="In this database; may be repeated."),
        click.option("--all-databases", is_flag=True, help="In every database."),
        click.option(
            "--workers", type=click.IntRange(1), default=workers, show_default=True, help="At once."
        ),
        click.option("--resume", metavar="FILE", help="Remember what is done, and skip what is."),
    ):
        run = option(run)
    return run


class _Bound:
    """The command with its own arguments; the name is in the scope that it is called in."""

    def __init__(self, command: Command, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.__name__ = command.__name__
        self._command = command
        self._args = args
        self._kwargs = kwargs

    def __call__(self, name: str) -> Any:
        return self._command(*self._args, **self._kwargs)
