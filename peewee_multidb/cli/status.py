"""``multidb status``: every server, its role, lag, size and connections; once, or again and again."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from ..status import ServerStatus, status_of
from .asking import Facts, at_once, facts_of
from .context import App, DatabaseName, command
from .output import shown_bytes

__all__ = ["status"]

COLUMNS = ["name", "role", "server", "state", ">lag", ">size", ">clients"]


@command("status")
@click.argument("names", nargs=-1, type=DatabaseName())
@click.option(
    "--watch",
    type=float,
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Ask again every so many seconds (2), until Ctrl-C.",
)
@click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds that servers may take.")
def status(app: App, names: tuple[str, ...], watch: float | None, timeout: float) -> int:
    """Show the servers of databases: role, lag, size, connections.

    The exit code is 1 when a server does not answer, or is not what it is configured to be.
    """
    chosen = app.names(names)
    if watch is None:
        return _print(app, look(app, chosen, timeout))
    return _watch(app, chosen, watch, timeout)


def _watch(app: App, names: list[str], every: float, timeout: float) -> int:
    console, found = app.out.console, look(app, names, timeout)
    try:
        if app.out.json or not console.is_terminal:
            while True:
                if app.out.json:
                    # One line for each look, so that a program can read while it goes on.
                    click.echo(json.dumps({"servers": found}))
                else:
                    _print(app, found)
                time.sleep(every)
                found = look(app, names, timeout)
        with Live(_watched(app, found), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                found = look(app, names, timeout)
                live.update(_watched(app, found), refresh=True)
    except KeyboardInterrupt:
        return 1 if _is_bad(found) else 0


def look(app: App, names: list[str], timeout: float) -> list[dict[str, Any]]:
    """Ask all servers of some databases at the same time and return what each is, as for JSON."""
    registry = app.registry
    for name in names:
        app.open(name)
    entries = [registry.entries[name] for name in names]
    answers = at_once(
        [lambda entry=entry: _asked(entry) for entry in entries],  # type: ignore[misc]
        lambda: [server.database for entry in entries for server in entry.servers()],
        timeout,
    )
    found = []
    for entry, answer in zip(entries, answers, strict=True):
        if isinstance(answer, Exception):
            problem = app.out.sentence(answer)
            for server in entry.servers():
                silent = ServerStatus(
                    server.name, server.label, server.role, False, None, None, None, None, 0, None, problem
                )
                found.append(as_dict(silent, Facts()))
            continue
        found += [as_dict(one, facts) for one, facts in answer]
    return found


def _asked(entry: Any) -> list[tuple[ServerStatus, Facts]]:
    asked = status_of(entry)
    return [
        (one, facts_of(server) if one.reachable else Facts())
        for one, server in zip(asked, entry.servers(), strict=True)
    ]


def as_dict(one: ServerStatus, facts: Facts) -> dict[str, Any]:
    """Return a server for JSON."""
    return {
        "name": one.name,
        "server": one.server,
        "role": one.role,
        "reachable": one.reachable,
        "writable": one.writable,
        # JSON has no infinity: replication has stopped.
        "lag": None if one.lag is None or one.lag == float("inf") else one.lag,
        "replicating": None if one.role == "primary" or not one.reachable else one.lag != float("inf"),
        "lag_bytes": one.lag_bytes,
        "position": one.position,
        "version": facts.version,
        "size": facts.size,
        "connections": facts.connections,
        "max_connections": facts.max_connections,
        "clock_skew": None if facts.skew is None else round(facts.skew, 3),
        "problem": _problem(one),
    }


def _problem(one: ServerStatus) -> str | None:
    if one.problem is not None or not one.reachable:
        return " ".join((one.problem or "does not answer").split())
    if one.role == "primary" and one.writable is False:
        return "takes no writes, but is configured as the primary"
    if one.role == "replica" and one.writable and one.server != "mirror":
        return "takes writes, but is configured as a replica"
    if one.role == "replica" and one.lag == float("inf"):
        return "replication has stopped"
    return None


def _is_bad(found: list[dict[str, Any]]) -> bool:
    return any(one["problem"] is not None for one in found)


def _print(app: App, found: list[dict[str, Any]]) -> int:
    if app.out.json:
        app.out.data({"servers": found})
    else:
        app.out.console.print(_shown(app, found))
    return 1 if _is_bad(found) else 0


def _shown(app: App, found: list[dict[str, Any]], *more: Text) -> Group:
    table = app.out.table_of(COLUMNS, [_row(one) for one in found])
    problems = [
        Text.assemble(("problem: ", "bold red"), f"{one['name']}, {one['role']}: {one['problem']}")
        for one in found
        if one["problem"] is not None
    ]
    return Group(table, *([Text(), *problems] if problems else []), *more)


def _watched(app: App, found: list[dict[str, Any]]) -> Group:
    return _shown(app, found, Text(), Text(f"{time.strftime('%H:%M:%S')}  Ctrl-C ends", style="dim"))


def _row(one: dict[str, Any]) -> list[Any]:
    state = Text("down", style="bold red") if not one["reachable"] else Text("up", style="green")
    if one["reachable"] and one["problem"]:
        state = Text("up", style="yellow")
    clients = None
    if one["connections"] is not None:
        clients = f"{one['connections']}/{one['max_connections']}"
    return [
        one["name"],
        one["role"],
        one["server"],
        state,
        None if one["lag"] is None else f"{one['lag']:.1f} s",
        None if one["size"] is None else shown_bytes(one["size"]),
        clients,
    ]
