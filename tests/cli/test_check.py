"""`check` finds what is not as the settings and the models say."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peewee_multidb import Databases
from peewee_multidb.cli.asking import Facts
from peewee_multidb.cli.check import _of_server
from tests.cli.conftest import MODELS, SETTINGS, Project

NewSettings = Callable[[], dict[str, Any]]


def findings(project: Project, *arguments: str, exit_code: int) -> list[tuple[str, str, str]]:
    found = project.json("check", *arguments, exit_code=exit_code)
    assert found["ok"] is (exit_code == 0)
    return [(one["level"], one["subject"], one["what"]) for one in found["findings"]]


def test_all_is_well(filled: Project) -> None:
    result = filled("check")
    assert result.exit_code == 0, result.output
    assert "All is well." in result.stdout
    found = filled.json("check")
    assert {one["name"] for one in found["servers"]} == {"default", "shard1", "shard2", "archive", "erp"}
    assert all(one["version"] for one in found["servers"])


def test_a_missing_table_and_a_changed_one_are_found(filled: Project) -> None:
    filled.write(MODELS.replace("name = CharField(20)", "name = CharField(20)\n    age = IntegerField()"))
    # What is imported stays imported in this process.
    done = filled.apart("check", "--json")
    assert done.returncode == 1
    assert '"what": "schema"' in done.stdout and "age" in done.stdout


def test_a_plain_numbered_key_of_a_sharded_model_is_a_warning(filled: Project) -> None:
    filled.write(MODELS.replace("    id = SnowflakeField(Snowflake(1), primary_key=True)\n", ""))
    done = filled.apart("check", "--no-schema")
    assert done.returncode == 0, "a warning is no error"
    assert "warning: Order: id is a AutoField" in done.stdout


def test_a_model_in_a_database_that_is_not_configured(filled: Project) -> None:
    filled.settings(SETTINGS.replace("shard2", "shard22"))
    assert ("error", "Order", "models") in findings(filled, exit_code=1)
    assert "did you mean 'shard22'?" in filled("check").stdout


def test_a_driver_that_is_not_installed(filled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pymssql", None)
    filled.settings(SETTINGS.replace('"sqlite:///archive.db"', '"mssql://app@127.0.0.1:1/x"'))
    assert ("error", "archive", "driver") in findings(filled, "--no-schema", exit_code=1)


def test_a_server_that_is_not_there(filled: Project) -> None:
    filled.settings(SETTINGS.replace('"sqlite:///archive.db"', '"postgresql://app@127.0.0.1:1/x"'))
    assert findings(filled, exit_code=1) == [("error", "archive", "connection")]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    kept = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    kept.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    for one in kept:
        one.close()


def test_a_server_that_does_not_answer_holds_up_nobody(filled: Project, silent_port: int) -> None:
    filled.settings(
        SETTINGS.replace('"sqlite:///archive.db"', f'"postgresql://app@127.0.0.1:{silent_port}/x"')
    )
    done = filled.apart("check", "--no-schema", "--timeout", "0.5", "--json")
    assert done.returncode == 1
    assert "no answer in 0.5 seconds" in done.stdout
    done = filled.apart("status", "--timeout", "0.5")
    assert done.returncode == 1 and "no answer in 0.5 seconds" in done.stdout


@pytest.mark.parametrize("given", ["?connect_timeout=2", ""])
def test_a_command_waits_only_so_long_for_a_silent_server(
    filled: Project, silent_port: int, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peewee_multidb.cli.context.PATIENCE", 2 if not given else 3600)
    filled.settings(
        SETTINGS.replace('"sqlite:///archive.db"', f'"postgresql://app@127.0.0.1:{silent_port}/x{given}"')
    )
    done = filled("inspect", "archive")
    assert done.exit_code == 4
    assert "timeout" in done.stderr


def with_cluster(project: Project, default: dict[str, Any]) -> None:
    replicas = ", ".join(f'"{one}"' for one in default["replicas"])
    project.settings(f'[databases]\ndefault = {{{{ url = "{default["url"]}", replicas = [{replicas}] }}}}\n')


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_replicas_are_what_they_are_said_to_be(
    project: Project, engine: str, request: pytest.FixtureRequest
) -> None:
    new: NewSettings = request.getfixturevalue(f"new_{engine}_cluster_settings")
    settings = new()
    with_cluster(project, settings)
    found = project.json("check")
    assert found["findings"] == []
    assert [one["role"] for one in found["servers"]] == ["primary", "replica", "replica"]
    # The primary in the place of a replica, and a replica in that of the primary.
    swapped = {"url": settings["replicas"][0], "replicas": [settings["url"]]}
    with_cluster(project, swapped)
    messages = [one["message"] for one in project.json("check", exit_code=1)["findings"]]
    assert "takes no writes, but is configured as the primary" in messages
    assert "follows no other server, but is configured as a replica" in messages


def test_a_replica_of_somebody_else_is_found(
    project: Project, new_postgres_cluster_settings: NewSettings, postgres_url: str
) -> None:
    settings = new_postgres_cluster_settings()
    with_cluster(project, {"url": settings["url"], "replicas": [postgres_url]})
    messages = [one["message"] for one in project.json("check", exit_code=1)["findings"]]
    assert any("does not follow its primary" in one for one in messages)


def test_a_read_only_file_that_is_empty_is_a_warning(filled: Project) -> None:
    filled.settings(SETTINGS.replace("sqlite:///erp.db", "sqlite:///misspelled.db"))
    found = findings(filled, "--no-schema", exit_code=0)
    assert found == [("warning", "erp", "connection")]
    assert "look whether the path is right" in filled("check", "--no-schema").stdout


def test_a_silent_server_is_a_finding_and_the_others_are_asked(filled: Project, silent_port: int) -> None:
    url = f"postgresql://app@127.0.0.1:{silent_port}/x?connect_timeout=2"
    filled.settings(SETTINGS.replace("sqlite:///archive.db", url))
    found = filled.json("check", "--no-schema", "--timeout", "0.5", exit_code=1)
    (finding,) = found["findings"]
    assert (finding["subject"], finding["what"]) == ("archive", "connection")
    assert "no answer in 0.5 seconds" in finding["message"]
    assert [one["name"] for one in found["servers"]] == ["default", "shard1", "shard2", "erp"]
    servers = filled.json("status", "archive", "default", "--timeout", "0.5", exit_code=1)["servers"]
    assert [(one["name"], one["reachable"]) for one in servers] == [("archive", False), ("default", True)]
    assert "no answer in 0.5 seconds" in servers[0]["problem"] and servers[1]["problem"] is None


def test_models_that_cannot_be_imported_are_one_finding(filled: Project) -> None:
    filled.settings(SETTINGS.replace("{module}.models", "no_such_package.models"))
    found = filled.json("check", exit_code=1)["findings"]
    assert [(one["level"], one["what"]) for one in found] == [("error", "models")]
    assert "no_such_package" in found[0]["message"]


def test_keys_that_collide_and_tables_that_are_missing(project: Project) -> None:
    project.write(MODELS.replace("    id = SnowflakeField(Snowflake(1), primary_key=True)\n", ""))
    found = findings(project, "default", "shard1", "shard2", exit_code=1)
    assert ("warning", "Order", "keys") in found
    assert ("error", "User", "schema") in found and found.count(("error", "Order", "schema")) == 2
    shown = project("check", "shard1").stdout
    assert "warning: Order: id is a AutoField" in shown and shown.endswith("1 error, 1 warning.\n")


def test_shards_that_are_not_alike_are_a_drift(filled: Project) -> None:
    sqlite3.connect("s2.db").execute('CREATE INDEX ours ON "order" (total)')
    found = filled.json("check", exit_code=1)["findings"]
    drift = [one for one in found if one["level"] == "warning"]
    assert [(one["subject"], one["what"]) for one in drift] == [("Order", "schema")]
    assert drift[0]["message"] == "shard2: order is not as in shard1: the index (total) is there only"


def test_tables_that_cannot_be_read_are_an_error_of_their_database(filled: Project) -> None:
    Path("default.db").write_bytes(b"no database, and longer than its head" * 200)
    found = filled.json("check", exit_code=1)["findings"]
    assert [(one["level"], one["subject"]) for one in found] == [("error", "default")]
    assert "file is not a database" in found[0]["message"]


@pytest.mark.parametrize(
    ("host", "facts", "what", "message"),
    [
        ("db.example", Facts(skew=3.04), "clock", "its clock is 3.0 s ahead of this one's"),
        ("db.example", Facts(skew=-2.5), "clock", "its clock is 2.5 s behind this one's"),
        ("db.example", Facts(skew=1.9, encrypted=True, charset="UTF8"), None, ""),
        ("db.example", Facts(encrypted=False), "encryption", "the connection is not encrypted"),
        ("127.0.0.1", Facts(encrypted=False), None, ""),
        ("db.example", Facts(charset="latin1"), "characters", "latin1, which does not have every character"),
    ],
)
def test_what_a_server_says_of_itself_may_be_a_warning(
    host: str, facts: Facts, what: str | None, message: str
) -> None:
    registry = Databases({"db": f"postgresql://app@{host}/x"})
    app: Any = SimpleNamespace(registry=registry)
    one = {"name": "db", "role": "primary", "server": host, "reachable": True, "problem": None}
    found = list(_of_server(app, one, facts, registry.entries["db"].primary))
    assert [(finding.level, finding.subject, finding.what) for finding in found] == (
        [] if what is None else [("warning", "db", what)]
    )
    assert all(message in finding.message for finding in found)
