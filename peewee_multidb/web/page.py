"""The page itself: what is known, as HTML. Nothing of it needs a script."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .charts import line_chart
from .markup import Markup, el, joined
from .recorder import TICK, TICKS

__all__ = ["SECTIONS", "login_page", "page", "section_bodies"]

#: The sections in their order: what their ids are, and their headings.
SECTIONS = (
    ("databases", "Databases"),
    ("throughput", "Throughput"),
    ("lag", "Replica lag"),
    ("shards", "Shard sizes"),
    ("slow", "Slow queries"),
    ("routes", "Recent routes"),
)
ROWS = 200
WHY = {
    "using": "the query said using()",
    "row": "the row lives there",
    "scope": "a scope selected it",
    "shard key": "the shard key",
    "every shard": "one part of a query over several shards",
    "every copy": "one copy of a reference model",
    "reference": "the copy at hand",
    "home": "the model's home",
}


def size(value: float | None) -> str:
    """Return bytes for people."""
    if value is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def seconds(value: float | None) -> str:
    """Return a duration for people."""
    if value is None:
        return "unknown"
    if value == float("inf"):
        return "stopped"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"


def clock(moment: float | None) -> Markup:
    """Return a moment as the time of day in UTC."""
    if moment is None:
        return joined("never")
    at = time.gmtime(moment)
    return el("time", time.strftime("%H:%M:%S", at), datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", at))


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> Markup:
    """Return a table whose first column names the rows; on a narrow screen each row is a card."""
    made = list(rows)
    if not made:
        return el("p", empty, class_="empty")
    body = []
    for row in made[:ROWS]:
        cells = [el("th", row[0], scope="row", data_label=head[0])]
        cells += [el("td", cell, data_label=label) for label, cell in zip(head[1:], row[1:], strict=True)]
        body.append(el("tr", *cells))
    left = f"{len(made) - ROWS:,} more are not shown." if len(made) > ROWS else None
    return joined(
        el(
            "table",
            el("caption", caption),
            el("thead", el("tr", *(el("th", one, scope="col") for one in head))),
            el("tbody", *body),
        ),
        el("p", left, class_="empty") if left else None,
    )


def state(text: str, kind: str) -> Markup:
    """Return a state as a word with a mark: ``good``, ``bad`` or ``meh``."""
    return el("span", text, class_=f"state {kind}")


def _databases(data: dict[str, Any]) -> Markup:
    rows = []
    for one in data["databases"]:
        servers = one["servers"] or [{}]
        for number, server in enumerate(servers):
            first = number == 0
            if not server:
                shown = state("does not answer", "bad") if one["problem"] else state("not asked yet", "meh")
            elif not server["reachable"]:
                shown = state("does not answer", "bad")
            elif server["problem"]:
                shown = state("gets no reads", "meh")
            elif server["role"] == "replica" and server["lag"] == float("inf"):
                shown = state("not replicating", "bad")
            else:
                shown = state("answers", "good")
            problem = server.get("problem") or (one["problem"] if first else None)
            rows.append(
                [
                    one["name"],
                    [server.get("role", "primary"), " (read only)" if one["read_only"] else None],
                    [el("span", server.get("server") or "", class_="server"), el("small", one["engine"])],
                    [shown, el("small", problem, class_="problem") if problem else None],
                    seconds(server["lag"]) if server.get("role") == "replica" else "\u2013",
                    size(one["size"]) if first else "\u2013",
                    _connections(one, server) if first else "\u2013",
                ]
            )
    head = ("Database", "Role", "Server", "State", "Lag", "Size", "Connections")
    found = table("Every server of every database", head, rows, empty="No database is configured.")
    more = f"{data['left_out']:,} more databases are configured and not asked." if data["left_out"] else None
    return joined(found, el("p", more, class_="empty") if more else None)


def _connections(one: dict[str, Any], server: dict[str, Any]) -> str:
    total = "unknown" if one["connections"] is None else str(one["connections"])
    pool = one["pool"]
    return total if pool is None else f"{total}; here {pool['in_use']} of {pool['size']}"


def _throughput(data: dict[str, Any]) -> Markup:
    charts = []
    if data["live"]:
        charts.append(
            line_chart(
                "Queries of this application", data["queries"], unit="queries/s", seconds=TICK, points=TICKS
            )
        )
    for unit, series in data["work"].items():
        title = "What servers do, for everybody"
        charts.append(
            line_chart(title, series, unit=f"{unit}/s", seconds=data["interval"], points=TICKS)
        )
    failed = None
    if data["failed"]:
        failed = f"{data['failed']:,} queries of this application failed since it started."
    if not charts:
        charts = [el("p", "None of the servers counts what it does.", class_="empty")]
    return joined(el("div", *charts, class_="charts"), el("p", failed, class_="note") if failed else None)


def _lag(data: dict[str, Any]) -> Markup:
    if not data["lag"]:
        return el("p", "No database has a replica that tells its lag.", class_="empty")
    title = "Seconds behind the primary"
    return line_chart(title, data["lag"], unit="s", seconds=data["interval"], points=TICKS)


def _shards(data: dict[str, Any]) -> Markup:
    groups = []
    for group in data["shards"]:
        largest = max((one["size"] or 0 for one in group["shards"]), default=0) or 1
        rows = []
        for one in group["shards"]:
            bar = el(
                "svg",
                el("rect", x="0", y="0", height="10", width=f"{100 * (one['size'] or 0) / largest:.1f}"),
                viewBox="0 0 100 10", preserveAspectRatio="none", class_="bar", aria_hidden="true",
            )  # fmt: skip
            rows.append([one["name"], size(one["size"]), bar])
        models = ", ".join(group["models"])
        head = ("Shard", "Size of its database", "Share")
        groups.append(table(f"Shards of {models}", head, rows, empty=""))
    if not groups:
        return el("p", "No sharded model is known here.", class_="empty")
    return joined(*groups)


def _slow(data: dict[str, Any]) -> Markup:
    rows = [
        [
            one["name"],
            el("b", seconds(one["seconds"])),
            [el("code", one["sql"]), el("small", one["model"]) if one.get("model") else None],
            [one["source"], " at ", clock(one["time"])],
        ]
        for one in data["slow"]
    ]
    caption = f"Statements that took or take {seconds(data['threshold'])} or more, without their values"
    return table(caption, ("Database", "Time", "Statement", "Seen"), rows, empty="None was slow lately.")


def _routes(data: dict[str, Any]) -> Markup:
    if not data["live"]:
        return el(
            "p",
            "Routes are decided inside the application. "
            "Mount the page in it with status_app() to see them here.",
            class_="empty",
        )
    rows = [
        [
            one["model"] or "",
            one["statement"],
            [one["name"], el("small", one["tenant"]) if one["tenant"] else None],
            one["role"],
            WHY.get(one["route"], one["route"]),
            [seconds(one["seconds"]), " ", state(one["error"], "bad") if one["error"] else None],
            clock(one["time"]),
        ]
        for one in data["routes"]
    ]
    head = ("Model", "Statement", "Database", "Role", "Because of", "Time", "At")
    return table("The latest queries of models, and where they went", head, rows, empty="No query yet.")


BODIES: dict[str, Callable[[dict[str, Any]], Markup]] = {
    "databases": _databases,
    "throughput": _throughput,
    "lag": _lag,
    "shards": _shards,
    "slow": _slow,
    "routes": _routes,
}


def section_bodies(data: dict[str, Any]) -> dict[str, Markup]:
    """Return the HTML of each section by its id."""
    return {key: BODIES[key](data) for key, _ in SECTIONS}


def summary(data: dict[str, Any]) -> Markup:
    """Return how all is, in a sentence."""
    servers = [server for one in data["databases"] for server in one["servers"]]
    silent = sum(not s["reachable"] for s in servers) + sum(not one["servers"] for one in data["databases"])
    count = f"{len(data['databases']):,} databases on {len(servers):,} servers"
    verdict = state(f"{silent} do not answer", "bad") if silent else state("all answer", "good")
    return joined(count, ": ", verdict, ". Asked at ", clock(data["asked"]), " UTC.")


def page(data: dict[str, Any], root: str, *, refresh: int, log_out: bool) -> Markup:
    """Return the whole page.

    Args:
        data: what is known.
        root: the path that the application is mounted at.
        refresh: seconds after which a browser without scripts loads the page again.
        log_out: whether there is a session to end.
    """
    sections = [
        el("section", el("h2", heading, id=f"{key}-h"), el("div", body, id=key), aria_labelledby=f"{key}-h")
        for (key, heading), body in zip(SECTIONS, section_bodies(data).values(), strict=True)
    ]
    links = [el("li", el("a", heading, href=f"#{key}-h")) for key, heading in SECTIONS]
    jumps = el("nav", el("ul", *links), aria_label="Sections")
    leave = None
    if log_out:
        leave = el("form", el("button", "Log out"), method="post", action=f"{root}/logout")
    head = el(
        "header",
        el("h1", "Databases at a glance"),
        el("p", summary(data), id="summary"),
        el("div", el("p", "", id="live", role="status"), leave, class_="actions", id="actions"),
        jumps,
    )
    noscript = el("noscript", el("meta", http_equiv="refresh", content=str(refresh)))
    script = el("script", src=f"{root}/page.js", defer=True, data_root=root)
    main = el("main", *sections, id="main", tabindex="-1")
    return _document("Databases", root, head, main, extra=[noscript, script])


def login_page(root: str, *, failed: bool) -> Markup:
    """Return the page that asks for the token."""
    form = el(
        "form",
        el("label", "Token", for_="token"),
        el("input", type="password", name="token", id="token", autocomplete="current-password", required=True,
           autofocus=True, aria_describedby="hint"),
        el("p", "It is what the server was started with.", id="hint"),
        el("button", "Show the page"),
        method="post",
        action=f"{root}/login",
    )  # fmt: skip
    problem = el("p", state("This is not the token.", "bad"), role="alert") if failed else None
    heading = el("h1", "Databases at a glance")
    return _document("Token", root, el("main", heading, problem, form, id="main", class_="login"))


def _document(title: str, root: str, *body: Markup, extra: Sequence[Markup] = ()) -> Markup:
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} \u00b7 peewee_multidb"),
        el("link", rel="stylesheet", href=f"{root}/page.css"),
        *extra,
    )
    skip = el("a", "Skip to the databases", href="#main", class_="skip")
    return Markup("<!DOCTYPE html>\n" + el("html", head, el("body", skip, *body), lang="en"))
