"""``multidb create``, ``drop``, ``diff`` and ``inspect``: tables of many databases, and models of one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from ..schema import TableReport, compare, create, drop, inspect
from .context import App, DatabaseName, ModelName, command

__all__ = [
    "create_tables",
    "databases_option",
    "diff",
    "drop_tables",
    "inspect_database",
    "progress_for",
    "safe",
    "workers_option",
]

#: Exit codes, of `output.EXIT_CODES`.
DIFFERENT, UNREACHABLE, PARTLY = 1, 4, 6

databases_option = click.option(
    "--db",
    "names",
    multiple=True,
    type=DatabaseName(),
    metavar="NAME",
    help="Only this database; may be repeated.",
)
models_argument = click.argument("models", nargs=-1, type=ModelName())
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=8, show_default=True, help="Databases at the same time."
)


def progress_for(app: App) -> bool:
    """Whether somebody sees a progress bar."""
    return bool(app.out.errors.is_terminal) and not app.out.json


def safe(app: App, value: Any) -> Any:
    """Return what is printed without the passwords that are known: an error of a driver may quote one."""
    if isinstance(value, str):
        for secret in app.out.secrets():
            value = value.replace(secret, "***")
        return value
    if isinstance(value, dict):
        return {key: safe(app, one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(safe(app, one) for one in value)
    return value


def _chosen(app: App, models: Sequence[str]) -> list[Any]:
    found = [app.model(name) for name in models] if models else app.models
    if not found:
        raise ConfigurationError(
            'there are no models: say models = ["shop.models"] in the settings, or --models'
        )
    return found


@command("create")
@models_argument
@databases_option
@workers_option
def create_tables(app: App, models: tuple[str, ...], names: tuple[str, ...], workers: int) -> int:
    """Create the tables that are missing, of MODELS or of all, where each model lives.

    A table that is there is left as it is. Models with managed = False and read-only databases are passed
    over, and the table says so.
    """
    return _act(app, create, _chosen(app, models), names, workers)


@command("drop")
@models_argument
@databases_option
@workers_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop_tables(app: App, models: tuple[str, ...], names: tuple[str, ...], workers: int, yes: bool) -> int:
    """Drop the tables of MODELS, with all of their rows, where each model lives."""
    if not models:
        raise click.UsageError("name the models whose tables are to be dropped")
    found = _chosen(app, models)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to be asked: say --yes")
        where = ", ".join(names) or "every database where they live"
        tables = ", ".join(model._meta.table_name for model in found)
        app.confirm(f"Drop {tables} with all rows in {where}?")
    return _act(app, drop, found, names, workers)


def _act(
    app: App, act: Callable[..., TableReport], models: list[Any], names: tuple[str, ...], workers: int
) -> int:
    report = act(models, names or None, registry=app.registry, workers=workers, progress=progress_for(app))
    if app.out.json:
        app.out.data(safe(app, report.as_dict()))
    else:
        app.out.table(["database", "", "tables"], safe(app, report.rows()))
    if report.ok:
        return 0
    return PARTLY if any(report.done.values()) else UNREACHABLE


@command("diff")
@models_argument
@databases_option
@workers_option
@click.option("--extra-tables", is_flag=True, help="Tables that no model covers are differences too.")
def diff(app: App, models: tuple[str, ...], names: tuple[str, ...], workers: int, extra_tables: bool) -> int:
    """Compare MODELS, or all, with their tables in each database, and those tables with one another.

    The exit code is 0 if all are the same, 1 if anything differs, 4 if a database did not answer.
    """
    found = compare(
        _chosen(app, models),
        names or None,
        registry=app.registry,
        extra_tables=extra_tables,
        workers=workers,
    )
    if app.out.json:
        app.out.data(safe(app, found.as_dict()))
    else:
        app.out.text(safe(app, str(found)))
    if found.failed:
        return UNREACHABLE
    return DIFFERENT if found else 0


@command("inspect")
@click.argument("name", type=DatabaseName())
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Only this table; may be repeated.")
@click.option("--schema", metavar="NAME", help="The schema of the tables.")
@click.option("--unmanaged", is_flag=True, help="Write managed = False: no DDL is ever run for the models.")
@click.option("--views", is_flag=True, help="Views become models too.")
@click.option(
    "--output", type=click.Path(dir_okay=False), help="The file to write; one that is there is kept."
)
def inspect_database(
    app: App,
    name: str,
    tables: tuple[str, ...],
    schema: str | None,
    unmanaged: bool,
    views: bool,
    output: str | None,
) -> None:
    """Print the source of models for the tables of the database NAME."""
    app.names([name])
    source = inspect(
        name,
        registry=app.registry,
        tables=tables or None,
        schema=schema,
        managed=not unmanaged,
        views=views,
    )
    if output is not None:
        if Path(output).exists():
            raise click.UsageError(f"{output} is there already; give another name, or remove it")
        Path(output).write_text(source, encoding="utf-8")
    if app.out.json:
        app.out.data({"database": name, "source": source, "file": output})
    elif output is None:
        click.echo(source, nl=False)
    else:
        app.out.text(f"{output}: written")
