"""``multidb rebalance``: rows move between shards while the application runs."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import ConfigurationError, RebalanceError
from ..rebalance import Rebalance, Report
from .context import App, DatabaseName, command
from .output import fail
from .progress import progress_of
from .shards import families, plan_as_dict

__all__ = ["rebalance"]

#: An exit code, of `output.EXIT_CODES`.
REFUSED = 5


@command("rebalance")
@click.option("--add", multiple=True, type=DatabaseName(), help="A new shard, which gets its share.")
@click.option("--remove", multiple=True, type=DatabaseName(), help="A shard that gives everything away.")
@click.option("--move", "moves", multiple=True, metavar="KEY=SHARD", help="A key whose rows go to a shard.")
@click.option("--map", "name", metavar="NAME", help="The shard map, if there are several.")
@click.option("--dry-run", is_flag=True, help="Show the plan, check whether it can be done, and stop.")
@click.option("--resume", is_flag=True, help="Finish a run that was killed or that failed.")
@click.option("--abandon", is_flag=True, help="Take back what is not switched yet of a run.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--chunk", type=click.IntRange(1), default=1000, show_default=True, help="Rows at a time.")
@click.option("--drain", type=float, default=5.0, show_default=True, help="Seconds to watch at the end.")
def rebalance(
    app: App,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    moves: tuple[str, ...],
    name: str | None,
    dry_run: bool,
    resume: bool,
    abandon: bool,
    yes: bool,
    chunk: int,
    drain: float,
) -> int:
    """Move rows between shards while programs run."""
    wishes = bool(add or remove or moves)
    if sum((wishes, resume, abandon)) != 1:
        raise click.UsageError("give one of: --add, --remove and --move; --resume; --abandon")
    models = _models(app, name)
    for one in (*models[0]._meta.home.names, *add):
        app.open(one)
    job = Rebalance(*models, chunk=chunk, drain=drain, progress=progress_of(app))
    app.hint = "no row is lost; `multidb rebalance --resume` finishes the run"
    if abandon:
        job.abandon()
        _say(app, {"abandoned": True}, "The unfinished run is taken back.")
        return 0
    if resume:
        report = job.resume()
        _say(app, _as_dict(report), str(report) if report.batches else "There was no unfinished run.")
        return 0
    wanted = _moves(moves, models[0])
    try:
        plan = job.plan(add=add, remove=remove, move=wanted)
        if not app.out.json:
            app.out.text(str(plan))
        if dry_run:
            job.run(plan, dry_run=True)
    except RebalanceError as error:
        if app.debug:
            app.out.traceback(error)
        return fail(app.out, error, code=REFUSED)
    if dry_run:
        _say(app, {"plan": plan_as_dict(plan)}, "It can be done. Nothing was changed.")
        return 0
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to be asked: say --yes, or --dry-run")
        app.confirm("Move these rows?")
    report = job.run(plan)
    _say(app, {"plan": plan_as_dict(plan), **_as_dict(report)}, str(report))
    return 0


def _models(app: App, name: str | None) -> list[Any]:
    movable = [
        models
        for rule, models in families(app, name)
        if getattr(getattr(rule, "map", None), "is_stored", False)
    ]
    if len(movable) == 1:
        return movable[0]
    if not movable:
        raise ConfigurationError(
            "no model is sharded by a StoredMap, so no row can move; see the manual's page about growing"
        )
    names = ", ".join(models[0]._meta.home.rule.map.name for models in movable)
    raise ConfigurationError(f"there is more than one shard map: say --map with one of {names}")


def _moves(texts: tuple[str, ...], model: Any) -> dict[Any, str] | None:
    """Read ``KEY=SHARD``; a key becomes what the field of the shard key makes of it."""
    found = {}
    fields = model._meta.home.key_fields
    for text in texts:
        key, equals, shard = text.rpartition("=")
        if not equals or not key:
            raise click.UsageError(f"--move {text}: write KEY=SHARD")
        if len(fields) != 1:
            raise click.UsageError("--move takes keys of one field; these models have several")
        field = fields[0]
        while hasattr(field, "rel_field"):
            field = field.rel_field
        found[field.adapt(key)] = shard
    return found or None


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "rows": report.rows,
        "batches": len(report.batches),
        "longest_closed": max((batch.closed for batch in report.batches), default=0.0),
        "strays": report.strays,
    }


def _say(app: App, data: dict[str, Any], text: str) -> None:
    if app.out.json:
        app.out.data(data)
    else:
        app.out.text(text)
