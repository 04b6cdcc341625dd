"""``multidb migrate``: the migrations of a directory, in some or all databases."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import click

from ..errors import MigrationError, MigrationHalfDone, MigrationLocked
from ..schema import MigrationReport, Migrations
from .context import App, command
from .schema import databases_option, progress_for, safe, workers_option

__all__ = ["migrate"]

#: Exit codes, of `output.EXIT_CODES`.
PENDING, FAILED, REFUSED, PARTLY = 1, 4, 5, 6

#: What can be asked for in place of applying what is pending; one at a time.
ACTIONS = ("--status", "--down", "--fake", "--create", "--make", "--mark-done", "--mark-undone")


@command("migrate")
@click.argument("target", required=False)
@databases_option
@click.option("--directory", metavar="DIR", help="Of the migrations; 'migrations' in the settings, or here.")
@click.option("--status", is_flag=True, help="Show which database has which migration.")
@click.option("--dry-run", is_flag=True, help="Print the SQL and run none of it.")
@click.option("--down", is_flag=True, help="Undo the last migration, or all back to TARGET and that one too.")
@click.option("--fake", is_flag=True, help="Note what is pending as applied, without running it.")
@click.option("--create", metavar="NAME", help="Write the skeleton of a migration.")
@click.option("--make", metavar="NAME", help="Write the migration that brings the databases to the models.")
@click.option("--mark-done", metavar="MIGRATION", help="Note it as applied in the databases of --db.")
@click.option("--mark-undone", metavar="MIGRATION", help="Note it as not applied in the databases of --db.")
@workers_option
@click.option("--stop", is_flag=True, help="Start nothing new after the first failure.")
@click.option("--wait", type=float, default=0, help="Seconds to wait while another migrates a database.")
def migrate(
    app: App,
    target: str | None,
    names: tuple[str, ...],
    directory: str | None,
    status: bool,
    dry_run: bool,
    down: bool,
    fake: bool,
    create: str | None,
    make: str | None,
    mark_done: str | None,
    mark_undone: str | None,
    workers: int,
    stop: bool,
    wait: float,
) -> int:
    """Apply the migrations that are pending, in every database or those of --db, up to TARGET.

    Many databases are migrated at the same time, each under a lock and with a history of its own. Run again
    after a crash, it goes on with what is left.
    """
    asked = (status, down, fake, create, make, mark_done, mark_undone)
    if sum(bool(one) for one in asked) > 1:
        raise click.UsageError(f"one of {', '.join(ACTIONS)} at a time")
    if dry_run and any((status, fake, create, make, mark_done, mark_undone)):
        raise click.UsageError("--dry-run goes with nothing else, or with --down")
    if (mark_done or mark_undone) and not names:
        raise click.UsageError("say in which databases, with --db: somebody has to have looked at each")
    migrations = Migrations(
        directory or app.settings.migrations or "migrations",
        app.registry,
        models=app.models,
        wait=wait,
    )
    where: Any = names or None
    if status:
        return _status(app, migrations, where, workers)
    if dry_run:
        return _dry_run(app, migrations, where, target, down, workers)
    if create is not None:
        return _written(app, [migrations.create(create)])
    if make is not None:
        return _written(app, migrations.make(make, where))
    if mark_done is not None or mark_undone is not None:
        return _mark(app, migrations, mark_done, mark_undone, names)
    on_error = "stop" if stop else "continue"
    options: dict[str, Any] = {"workers": workers, "on_error": on_error, "progress": progress_for(app)}
    app.hint = "what is applied stays; run multidb migrate again for the rest"
    if down:
        return _done(app, migrations.down(where, target=target, **options))
    return _done(app, migrations.up(where, target=target, fake=fake, **options))


def _done(app: App, report: MigrationReport) -> int:
    if app.out.json:
        app.out.data(safe(app, report.as_dict()))
    else:
        rows = [
            (name, outcome, "; ".join(report.done.get(name, ())) if name in report.failed else said)
            for name, outcome, said in report.rows()
        ]
        app.out.table(["database", report.action, ""], rows)
        for name, error in report.failed.items():
            app.out.text()
            kind = "" if isinstance(error, MigrationError) else f"{name}: {type(error).__name__}: "
            app.out.text(safe(app, f"{kind}{error}"), "red")
        for warning in report.warnings:
            app.out.text(f"warning: {warning}", "yellow")
    if report.ok:
        return 0
    half = any(isinstance(error, MigrationHalfDone) for error in report.failed.values())
    if half or any(report.done.values()):
        return PARTLY
    locked = all(isinstance(error, MigrationLocked) for error in report.failed.values())
    return REFUSED if locked else FAILED


def _status(app: App, migrations: Migrations, names: Any, workers: int) -> int:
    found = migrations.status(names, workers=workers)
    if app.out.json:
        app.out.data(safe(app, found.as_dict()))
    else:
        app.out.table(["database", *found.migrations], found.rows())
        if not found.migrations:
            app.out.text(f"There are no migrations in {migrations.directory}.", "yellow")
        for name, error in found.failed.items():
            app.out.text(safe(app, f"{name}: no answer ({type(error).__name__}: {error})"), "red")
        for name, why in found.passed_over.items():
            app.out.text(f"{name}: passed over, {why}")
    if found.failed:
        return FAILED
    return 0 if found.complete else PENDING


def _dry_run(
    app: App, migrations: Migrations, names: Any, target: str | None, down: bool, workers: int
) -> int:
    told = migrations.dry_run(names, target=target, direction="down" if down else "up", workers=workers)
    if app.out.json:
        app.out.data(safe(app, told.as_dict()))
    else:
        app.out.text(safe(app, str(told)))
    return FAILED if told.failed else 0


def _written(app: App, paths: Sequence[str]) -> int:
    shown = [os.path.relpath(path) for path in paths]
    if app.out.json:
        app.out.data({"written": shown})
    else:
        app.out.text(
            "\n".join(f"{path}: written; read it before it is run" for path in shown) or "no difference"
        )
    return 0


def _mark(
    app: App, migrations: Migrations, done: str | None, undone: str | None, names: tuple[str, ...]
) -> int:
    if done is not None:
        migrations.mark_done(done, names)
    else:
        migrations.mark_undone(str(undone), names)
    if app.out.json:
        app.out.data({"marked": done or undone, "applied": done is not None, "databases": list(names)})
    else:
        said = "applied" if done is not None else "not applied"
        app.out.text(f"{done or undone} counts as {said} in {', '.join(names)}")
    return 0
