"""``multidb recover``: two-phase transactions that a program or a server left in doubt are finished."""

from __future__ import annotations

import click
from rich.text import Text

from ..errors import MultiDBError
from ..twophase import recovery
from ..twophase.recovery import COMMITTED, FOREIGN, ROLLED_BACK
from .context import App, command
from .schema import safe

__all__ = ["recover"]

STYLES = {COMMITTED: "green", ROLLED_BACK: "green", FOREIGN: "dim"}


@command("recover")
@click.option("--log", metavar="WHERE", help="The database or file with the decisions; else the settings'.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds that an undecided transaction is left to a program that may still be at work.",
)
def recover(app: App, log: str | None, dry_run: bool, grace: float) -> int:
    """Commit or roll back what two-phase transactions left in doubt.

    It is safe while programs run, and to run twice. The exit code is 0 when nothing is in doubt any more, 1
    when something is that a later run will finish, and 4 when a server was not reached.
    """
    app.hint = "nothing is lost: what is in doubt stays so until `multidb recover` succeeds"
    for name in app.registry.names:
        try:
            app.open(name)
        except MultiDBError as error:
            app.out.errors.print(Text(f"{name}: {app.out.sentence(error)}", "yellow"))
    report = recovery.recover(app.registry, log, dry_run=dry_run, grace=grace)
    if app.out.json:
        app.out.data(safe(app, report.as_dict()))
    else:
        rows: list[tuple[object, ...]] = [
            (one.database, one.transaction, _styled(one.state, dry_run), one.reason)
            for one in report.transactions
        ]
        rows += [
            (name, None, Text("not reached", "red"), app.out.sentence(MultiDBError(why)))
            for name, why in report.unreachable.items()
        ]
        if rows:
            app.out.table(("database", "transaction", "state", "why"), rows)
        else:
            app.out.text(f"Nothing is in doubt; decisions are in {report.log}.")
    if report.is_clean:
        return 0
    return 4 if report.unreachable else 1


def _styled(state: str, dry_run: bool) -> Text:
    is_due = dry_run and state in (COMMITTED, ROLLED_BACK)
    return Text(f"to be {state}" if is_due else state, STYLES.get(state, "yellow"))
