"""``multidb copy``: tables from one database to another, of another engine too."""

from __future__ import annotations

import shlex
import sys

import click

from ..copying import Copy, CopyPlan, CopyReport
from ..copying.reflecting import reflected
from ..errors import ConfigurationError, CopyError
from .context import App, DatabaseName, ModelName, command
from .progress import progress_of

__all__ = ["copy"]


@command("copy", short_help="Copy tables from one database to another.")
@click.argument("source", type=DatabaseName())
@click.argument("target", type=DatabaseName())
@click.argument("models", nargs=-1, type=ModelName())
@click.option("--table", "tables", multiple=True, metavar="NAME", help="A table without a model.")
@click.option("--batch", type=click.IntRange(1), default=1000, show_default=True, help="Rows at a time.")
@click.option("--append", is_flag=True, help="Add to tables that have rows already.")
@click.option("--resume", is_flag=True, help="Go on with a copy that was interrupted.")
@click.option("--dry-run", is_flag=True, help="Check everything and copy nothing.")
def copy(
    app: App,
    source: str,
    target: str,
    models: tuple[str, ...],
    tables: tuple[str, ...],
    batch: int,
    append: bool,
    resume: bool,
    dry_run: bool,
) -> int:
    """Copy the tables of MODELS from SOURCE to TARGET, or of all models that live in SOURCE.

    Every value is checked before and compared after. A table that is not there is made from its model. Rows
    that change in SOURCE meanwhile are not followed.
    """
    app.names([source, target])
    for name in (source, target):
        app.open(name)
    chosen = [app.model(name) for name in models] + [reflected(app.registry, source, name) for name in tables]
    if not chosen:
        chosen = [model for model in app.models if model._meta.home.lists(source)]
        if not chosen:
            raise ConfigurationError(f"no model lives in {source!r}: name the models, or tables with --table")
    job = Copy(chosen, source, target, registry=app.registry, batch=batch, progress=progress_of(app))
    again = [word for word in sys.argv[1:] if word not in ("--resume", "--json")]
    app.hint = f"what is committed stays; `multidb {shlex.join([*again, '--resume'])}` goes on"
    if dry_run:
        return _print_plan(app, job.plan(append=append, resume=resume))
    try:
        report = job.run(append=append, resume=resume)
    except CopyError as error:
        if isinstance(error.report, CopyReport) and not app.out.json:
            _print(app, error.report)
        raise
    if app.out.json:
        app.out.data(report.as_dict())
    else:
        _print(app, report)
    return 0


def _print_plan(app: App, plan: CopyPlan) -> int:
    if app.out.json:
        app.out.data(plan.as_dict())
    else:
        app.out.text(f"{plan.source} -> {plan.target}; nothing is copied.")
        app.out.table(
            ["model", "table", ">rows", "in the target"],
            [(one.model, one.table, one.rows, _place(one.exists, one.copied)) for one in plan.tables],
        )
        for problem in plan.problems:
            app.out.text(f"problem: {problem}", "red")
    return 1 if plan.problems else 0


def _place(exists: bool, copied: int | None) -> str:
    if copied is not None:
        return f"{copied:,} rows of an unfinished copy"
    return "there" if exists else "will be made"


def _print(app: App, report: CopyReport) -> None:
    app.out.table(
        ["model", ">rows", "checksum", f"in {report.target}"],
        [(one.model, one.rows, one.checksum, "the same" if one.ok else "different") for one in report.tables],
    )
    rate = report.rows / report.seconds if report.seconds else 0.0
    app.out.text(f"{report.rows:,} rows in {report.seconds:.1f} s, {rate:,.0f} a second.")
