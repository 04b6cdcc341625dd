"""`status` shows every server, once or again and again."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from peewee_multidb.cli.asking import Facts
from peewee_multidb.cli.output import Output
from peewee_multidb.cli.status import as_dict
from peewee_multidb.status import ServerStatus
from tests.cli.conftest import SETTINGS, Project


def test_the_servers_of_all_databases_or_of_some(filled: Project) -> None:
    found = filled.json("status")["servers"]
    assert [one["name"] for one in found] == ["default", "shard1", "shard2", "archive", "erp"]
    assert all(one["reachable"] and one["size"] is not None for one in found)
    assert [one["name"] for one in filled.json("status", "shard2")["servers"]] == ["shard2"]
    assert filled("status", "nowhere").exit_code == 3


def test_lag_size_and_clients_of_real_servers(
    project: Project,
    new_postgres_cluster_settings: Callable[[], dict[str, Any]],
    new_mariadb_cluster_settings: Callable[[], dict[str, Any]],
) -> None:
    lines = ["[databases]"]
    for name, new in (("pg", new_postgres_cluster_settings), ("my", new_mariadb_cluster_settings)):
        one = new()
        replicas = ", ".join(f'"{url}"' for url in one["replicas"])
        lines.append(f'{name} = {{{{ url = "{one["url"]}", replicas = [{replicas}] }}}}')
    project.settings("\n".join(lines))
    found = project.json("status")["servers"]
    assert [(one["name"], one["role"]) for one in found] == [
        *(("pg", role) for role in ("primary", "replica", "replica")),
        *(("my", role) for role in ("primary", "replica", "replica")),
    ]
    for one in found:
        assert one["reachable"] and one["version"] and one["problem"] is None
        assert one["connections"] <= one["max_connections"]
        assert abs(one["clock_skew"]) < 2
        assert one["replicating"] is (one["role"] == "replica")
    assert all(one["writable"] is (one["role"] == "primary") for one in found)
    assert found[0]["size"] > 1000


def test_a_server_that_is_down_makes_the_exit_code_1(filled: Project) -> None:
    filled.settings(SETTINGS.replace('"sqlite:///archive.db"', '"postgresql://app@127.0.0.1:1/x"'))
    result = filled("status")
    assert result.exit_code == 1
    assert "problem: archive, primary: OperationalError" in result.stdout


def read_until(fd: int, wanted: str, so_far: str = "") -> str:
    while wanted not in so_far:
        assert select.select([fd], [], [], 30)[0], so_far
        so_far += os.read(fd, 65536).decode(errors="replace")
    return so_far


def test_watching_in_a_terminal_redraws_in_place_and_ends_with_ctrl_c(filled: Project) -> None:
    controller, terminal = pty.openpty()
    process = filled.start(
        "status", "--watch", "0.05", stdout=terminal, stderr=terminal, env={"COLUMNS": "100", "TERM": "xterm"}
    )
    os.close(terminal)
    shown = read_until(controller, "Ctrl-C ends")
    # Up again over what was drawn before: the table is drawn anew in its place.
    shown = read_until(controller, "\x1b[1A", shown)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    os.close(controller)
    assert "default" in shown and "Traceback" not in shown


def test_watching_as_json_gives_one_line_a_look(filled: Project) -> None:
    process = filled.start("status", "--watch", "0.01", "--json")
    assert process.stdout is not None
    first, second = (json.loads(process.stdout.readline()) for _ in range(2))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert [one["name"] for one in first["servers"]] == [one["name"] for one in second["servers"]]


def test_a_database_file_that_cannot_be_made(filled: Project, tmp_path: Path) -> None:
    filled.settings(SETTINGS.replace("archive.db", "no/such/folder/archive.db"))
    found = {one["name"]: one for one in filled.json("status", exit_code=1)["servers"]}
    assert not found["archive"]["reachable"] and found["default"]["reachable"]


@pytest.fixture
def two_looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Ctrl-C in the second pause; the pauses."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("peewee_multidb.cli.status.time.sleep", pause)
    return pauses


def test_ctrl_c_ends_watching_with_the_code_of_the_last_look(filled: Project, two_looks: list[float]) -> None:
    result = filled("status", "default", "--watch", "--json")
    assert result.exit_code == 0 and two_looks == [2.0, 2.0]
    looks = [json.loads(line)["servers"] for line in result.stdout.splitlines()]
    assert [[one["name"] for one in look] for look in looks] == [["default"], ["default"]]
    two_looks.clear()
    filled.settings(SETTINGS.replace("archive.db", "no/such/folder/archive.db"))
    result = filled("status", "archive", "--watch", "0.5")
    assert result.exit_code == 1 and two_looks == [0.5, 0.5]
    assert result.stdout.count("problem: archive, primary: ") == 2


def test_each_look_is_drawn_over_the_last_one_in_a_terminal(
    filled: Project, two_looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100)
    monkeypatch.setattr(Output, "console", console)
    assert filled("status", "default", "--watch", "1").exit_code == 0
    shown = file.getvalue()
    assert shown.count("Ctrl-C ends") >= 2 and "\x1b[1A" in shown
    assert "up" in shown and "default" in shown


def test_a_replica_that_stopped_or_follows_nobody_and_a_primary_without_writes_are_problems() -> None:
    def problem(role: str, *, server: str = "x", **given: Any) -> Any:
        one = ServerStatus("db", server, role, True, True, 0.0, None, None, 0, None, None, role == "replica")
        shown = as_dict(replace(one, **given), Facts())
        assert shown["lag"] != float("inf"), "JSON has no infinity"
        return shown["problem"]

    assert problem("primary") is None and problem("replica") is None
    assert problem("primary", writable=False) == "takes no writes, but is configured as the primary"
    assert problem("replica", lag=float("inf")) == "replication has stopped"
    lonely = "follows no other server, but is configured as a replica"
    assert problem("replica", replicating=False) == lonely
    assert problem("replica", replicating=False, server="mirror") is None
