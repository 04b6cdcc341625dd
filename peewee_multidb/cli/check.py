"""``multidb check``: is everything as the settings and the models say?

Each finding is an ``error`` (something does not work or is not what it is said to be) or a ``warning`` (it
works, and may not be what is wanted).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import click
import peewee
from rich.text import Text

from ..drivers import traits_of
from ..errors import ConfigurationError, nearest
from ..model.checking import check_keys
from ..schema import compare
from ..status import status_of
from .asking import Facts, at_once, facts_of
from .context import App, DatabaseName, command
from .status import as_dict

__all__ = ["check"]

#: Seconds between a server's clock and this one's that nobody minds.
SKEW = 2.0

LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        level: ``error`` or ``warning``.
        subject: the database, server or model.
        what: ``settings``, ``driver``, ``connection``, ``role``, ``clock``, ``encryption``, ``characters``,
            ``models``, ``keys`` or ``schema``.
        message: a sentence.
    """

    level: str
    subject: str
    what: str
    message: str


@command("check")
@click.argument("names", nargs=-1, type=DatabaseName())
@click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds that servers may take.")
@click.option("--no-schema", is_flag=True, help="Do not compare the tables with the models.")
def check(app: App, names: tuple[str, ...], timeout: float, no_schema: bool) -> int:
    """Check settings, drivers, servers, roles, keys and tables.

    The exit code is 1 when there is an error; a warning alone is no error.
    """
    chosen = app.names(names)
    found = list(_drivers(app, chosen))
    there = [name for name in chosen if app.opened(name) is not None]
    servers, of_servers = _servers(app, there, timeout)
    found += of_servers
    found += _models(app)
    silent = {one.subject for one in found if one.what in ("driver", "connection") and one.level == "error"}
    if not no_schema:
        found += _schema(app, [name for name in there if name not in silent])
    is_bad = any(one.level == "error" for one in found)
    if app.out.json:
        app.out.data(
            {
                "settings": app.settings.source,
                "servers": servers,
                "findings": [asdict(one) for one in found],
                "ok": not is_bad,
            }
        )
        return 1 if is_bad else 0
    _print(app, servers, found)
    return 1 if is_bad else 0


def _print(app: App, servers: list[dict[str, Any]], found: list[Finding]) -> None:
    app.out.text(f"Settings: {app.settings.source}")
    app.out.text()
    app.out.table(
        ["name", "role", "server", "version", "answers"],
        [(s["name"], s["role"], s["server"], s["version"], s["reachable"]) for s in servers],
    )
    app.out.text()
    if not found:
        app.out.text("All is well.", "green")
        return
    for one in found:
        style = "bold red" if one.level == "error" else "yellow"
        app.out.text(Text.assemble((f"{one.level}: ", style), f"{one.subject}: {one.message}"))
    errors = sum(one.level == "error" for one in found)
    app.out.text()
    app.out.text(f"{_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _drivers(app: App, names: list[str]) -> Iterator[Finding]:
    for name in names:
        try:
            app.open(name)
        except ConfigurationError as error:
            yield Finding("error", name, "driver", app.out.sentence(error))


# Servers


def _servers(app: App, names: list[str], timeout: float) -> tuple[list[dict[str, Any]], list[Finding]]:
    entries = [app.registry.entries[name] for name in names]
    answers = at_once(
        [lambda entry=entry: _asked(entry) for entry in entries],  # type: ignore[misc]
        lambda: [server.database for entry in entries for server in entry.servers()],
        timeout,
    )
    rows: list[dict[str, Any]] = []
    found: list[Finding] = []
    for entry, answer in zip(entries, answers, strict=True):
        if isinstance(answer, Exception):
            found.append(Finding("error", entry.name, "connection", app.out.sentence(answer)))
            continue
        shown = [(as_dict(one, facts), facts, server) for one, facts, server, _ in answer]
        rows += [one for one, _, _ in shown]
        for one, facts, server in shown:
            found += _of_server(app, one, facts, server)
        strangers = [server.label for _, _, server, is_kin in answer if is_kin is False]
        found += [
            Finding("error", entry.name, "role", f"{label} does not follow its primary: its rows are others")
            for label in strangers
        ]
    return rows, found


def _asked(entry: Any) -> list[tuple[Any, Facts, Any, bool | None]]:
    """Ask each server what it is, and each replica whether it follows the primary."""
    statuses = {id(server): one for one, server in zip(status_of(entry), entry.servers(), strict=True)}
    found = []
    for server in entry.servers():
        status = statuses[id(server)]
        facts = facts_of(server) if status.reachable else Facts()
        found.append((status, facts, server, _is_kin(entry, server, status, statuses)))
    return found


def _is_kin(entry: Any, server: Any, status: Any, statuses: dict[int, Any]) -> bool | None:
    primary = entry.primary
    if server is primary or server.label == "mirror":
        return None
    if not status.reachable or not statuses[id(primary)].reachable:
        return None
    replication = traits_of(server.database).replication
    if replication is None:
        return None
    try:
        # The replica is asked first, so that it cannot be ahead.
        its = server.look()
        return replication.is_replica_of(its, primary.look())
    except peewee.PeeweeException:
        return None


def _of_server(app: App, one: dict[str, Any], facts: Facts, server: Any) -> Iterator[Finding]:
    subject = one["name"] if one["role"] == "primary" else f"{one['name']}, replica {one['server']}"
    if not one["reachable"]:
        level = "error" if one["role"] == "primary" else "warning"
        message = f"does not answer: {one['problem']}"
        yield Finding(level, subject, "connection", message)
        return
    read_only = app.registry.entries[one["name"]].read_only
    if one["problem"] and not (one["role"] == "primary" and read_only):
        yield Finding("error", subject, "role", str(one["problem"]))
    if read_only and facts.size == 0 and traits_of(server.database).engine == "sqlite":
        empty = "its file is empty, as SQLite makes one that is not there: look whether the path is right"
        yield Finding("warning", subject, "connection", empty)
    if facts.skew is not None and abs(facts.skew) > SKEW:
        side = "ahead of" if facts.skew > 0 else "behind"
        yield Finding("warning", subject, "clock", f"its clock is {abs(facts.skew):.1f} s {side} this one's")
    url = app.registry.entries[one["name"]].settings.url
    host = getattr(url, "host", None)
    if facts.encrypted is False and host and host not in LOCAL and not host.startswith("/"):
        yield Finding("warning", subject, "encryption", "the connection is not encrypted")
    if facts.charset is not None and facts.charset.lower() not in ("utf8", "utf8mb4"):
        lacks = f"its character set is {facts.charset}, which does not have every character"
        yield Finding("warning", subject, "characters", lacks)


# Models


def _models(app: App) -> Iterator[Finding]:
    try:
        models = app.models
    except ConfigurationError as error:
        yield Finding("error", "models", "models", app.out.sentence(error))
        return
    for model in models:
        home = model._meta.home
        names = [home.name] if home.name is not None else []
        for name in dict.fromkeys([*names, *(home.names or ())]):
            if name not in app.registry:
                message = f"it lives in {name!r}, which is not configured; {nearest(name, app.registry)}"
                yield Finding("error", model.__name__, "models", message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in check_keys(*models) if models else ():
            subject, _, message = text.partition(".")
            yield Finding("warning", subject, "keys", message)


def _schema(app: App, names: list[str]) -> Iterator[Finding]:
    try:
        models = [model for model in app.models if _is_configured(model, app)]
    except ConfigurationError:
        return
    if not models or not names:
        return
    compared = compare(models, names, registry=app.registry)
    for one in compared.found:
        subject = one.database if one.model is None else one.model.__name__
        yield Finding("error", subject, "schema", str(one))
    for drift in compared.drift:
        yield Finding("warning", drift.model.__name__, "schema", str(drift))
    for name, error in compared.failed.items():
        yield Finding("error", name, "schema", f"its tables cannot be read: {app.out.sentence(error)}")


def _is_configured(model: Any, app: App) -> bool:
    home = model._meta.home
    names = list(home.names or ()) or ([home.name] if home.name is not None else [])
    return all(name in app.registry for name in names)
