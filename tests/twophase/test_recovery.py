"""`recover`: what it finds, what it leaves alone, what it reports; and the command."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import atomic, databases, recover
from peewee_multidb.twophase import log_of, new_gid
from peewee_multidb.twophase.ids import new_log_id
from tests.engines import Maria, Post, counts
from tests.twophase import crashing

KIND = "two and a file"


@pytest.fixture
def folder(three: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(databases, "transaction_log", "decisions.db")
    crashing.steps_of(KIND, tmp_path)
    databases.close()
    return tmp_path


def decided(folder: Path) -> int:
    """Return a step at which both have promised and the decision is written."""
    steps = crashing.steps_of(KIND, folder)
    databases.close()
    return steps - 4


def prepare_by_hand(xid: str) -> None:
    """Leave a prepared transaction on PostgreSQL, whoever's it is."""
    post = databases["post"]
    post.execute_sql("BEGIN")
    post.execute_sql("INSERT INTO post (n) VALUES (77)")
    post.execute_sql(f"PREPARE TRANSACTION '{xid}'")


def test_nothing_in_doubt_is_a_clean_report(folder: Path) -> None:
    report = recover()
    assert report.is_clean and report.transactions == [] and str(report) == "nothing is in doubt"
    assert json.loads(json.dumps(report.as_dict()))["clean"] is True


def test_a_dry_run_says_what_would_be_done_and_does_nothing(folder: Path) -> None:
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    before = crashing.prepared()
    report = recover(dry_run=True)
    assert {(one.database, one.state) for one in report.transactions} == {
        ("post", "committed"),
        ("maria", "committed"),
    }
    assert not report.is_clean and crashing.prepared() == before and len(before) == 2
    assert recover().is_clean
    assert crashing.where_is(KIND, 5) == [True, True] and recover().transactions == []


def test_a_dry_run_makes_no_log(folder: Path) -> None:
    prepare_by_hand(new_gid(new_log_id()).branch(0))
    report = recover(log="other.db", dry_run=True)
    assert [one.state for one in report.transactions] == ["foreign"] and not (folder / "other.db").exists()
    databases["post"].execute_sql(f"ROLLBACK PREPARED '{report.transactions[0].transaction}'")


def test_what_another_log_decides_about_or_nobody_is_not_touched(folder: Path) -> None:
    other = new_gid(new_log_id()).branch(3)
    for xid in (other, "by hand"):
        prepare_by_hand(xid)
    report = recover(grace=0)
    assert [(one.transaction, one.state) for one in report.transactions] == [(other, "foreign")]
    assert report.is_clean and set(crashing.prepared()) == {other, "by hand"}
    for xid in (other, "by hand"):
        databases["post"].execute_sql(f"ROLLBACK PREPARED '{xid}'")


def test_the_undecided_of_another_machine_waits_for_the_grace(folder: Path) -> None:
    own = log_of(databases).id
    gid = new_gid(own)
    text = gid.text.replace(gid.place, "12345678")
    prepare_by_hand(f"{text}.0")
    for report in (recover(grace=2), recover(grace=2)):
        assert [one.state for one in report.transactions] == ["waiting"] and not report.is_clean
    assert "waiting" in str(report)
    deadline = time.monotonic() + 20
    while not (report := recover(grace=1)).is_clean:
        assert time.monotonic() < deadline
    assert report.transactions[0].state == "rolled back" and crashing.prepared() == []
    # The decision stays, for the program that may still come to write its own.
    recover(grace=0)
    assert [one.outcome for one in log_of(databases).every()] == ["rollback"]


def test_a_server_that_is_not_reached_is_reported_and_finished_next_time(
    folder: Path, mariadb_url: str
) -> None:
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    databases.remove("maria")
    databases.add("maria", "mysql://nobody@127.0.0.1:1/nothing")
    report = recover(grace=0)
    assert set(report.unreachable) == {"maria"} and not report.is_clean
    assert "maria: not reached" in str(report)
    assert [one.database for one in report.transactions] == ["post"]
    assert any(one.outcome == "commit" for one in log_of(databases).every()), "it is needed next time"
    databases.remove("maria")
    databases.add("maria", mariadb_url)
    report = recover(grace=0)
    assert [(one.database, one.state) for one in report.transactions] == [("maria", "committed")]
    assert report.is_clean and crashing.where_is(KIND, 5) == [True, True]
    recover(grace=0)
    assert log_of(databases).every() == []


def test_a_standby_is_not_asked_since_it_tells_nothing(folder: Path, postgres_cluster_settings: Any) -> None:
    """Its empty list is no sign that everybody has followed: after a failover it has all that is prepared."""
    settings = postgres_cluster_settings
    databases.remove("post")
    databases.add("post", settings["url"])
    databases.create_tables([Post])
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    databases.remove("post")
    databases.add("post", settings["replicas"][0])
    report = recover(grace=0)
    assert "is a standby" in report.unreachable["post"] and not report.is_clean
    databases.remove("post")
    databases.add("post", settings["url"])
    assert recover(grace=0).is_clean and crashing.where_is(KIND, 5) == [True, True]


def test_a_database_that_the_registry_lost_is_named(folder: Path, mariadb_url: str) -> None:
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    databases.remove("maria")
    for _ in range(2):
        report = recover(grace=0)
        lost = [one for one in report.transactions if one.database == "maria"]
        assert len(lost) == 1 and "the registry has no database of this name" in lost[0].reason
    databases.add("maria", mariadb_url)
    assert recover(grace=0).is_clean and crashing.where_is(KIND, 5) == [True, True]


def test_the_wrong_log_says_which_one_was_asked(folder: Path) -> None:
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    report = recover(log="elsewhere.db")
    assert [one.state for one in report.transactions] == ["foreign", "foreign"]
    assert "here is the file" in report.transactions[0].reason
    assert recover().is_clean and crashing.where_is(KIND, 5) == [True, True]


def test_two_names_of_one_server_report_a_transaction_once(folder: Path, mariadb_server: Any) -> None:
    mariadb_server.create_database("second")
    databases.add("second", mariadb_server.url("second"))
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    report = recover()
    assert sorted(one.state for one in report.transactions) == ["committed", "committed"]
    assert recover().transactions == []
    databases.remove("second")
    mariadb_server.drop_database("second")


def test_several_at_once_do_no_harm(folder: Path) -> None:
    for n in range(1, 6):
        assert crashing.killed_at(KIND, folder, n, decided(folder) - 2 * n)
    children = []
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                recover()
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    crashing.recovered(KIND, folder)
    for n in range(1, 6):
        assert len(set(crashing.where_is(KIND, n))) == 1


def test_it_runs_while_a_program_works(folder: Path) -> None:
    """And takes nothing from it: every block commits."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for _ in range(40):
                recover()
            code = 0
        finally:
            os._exit(code)
    before = counts(Post, Maria)
    for n in range(100, 140):
        with atomic("post", "maria", two_phase=True):
            Post.create(n=n)
            Maria.create(n=n)
    assert os.waitpid(pid, 0)[1] == 0
    assert counts(Post, Maria) == [before[0] + 40, before[1] + 40] and crashing.prepared() == []


def test_inside_a_transaction_it_does_not_ask_there(folder: Path) -> None:
    with databases["post"].atomic():
        report = recover()
    assert "outside of it" in report.unreachable["post"]


def test_asynchronous_databases_want_arecover(three_async: None, tmp_path: Path) -> None:
    report = recover(log=tmp_path / "x.db")
    assert set(report.unreachable) == {"post", "maria"}
    assert all("await arecover()" in why for why in report.unreachable.values())


def test_the_command(folder: Path) -> None:
    from click.testing import CliRunner

    from peewee_multidb.cli.group import group_for

    run = CliRunner().invoke
    group = group_for(databases)
    assert run(group, ["recover"]).output.startswith("Nothing is in doubt; decisions are in the file")
    assert crashing.killed_at(KIND, folder, 5, decided(folder))
    result = run(group, ["recover", "--dry-run"])
    assert result.exit_code == 1 and "to be committed" in result.output
    result = run(group, ["recover", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found["clean"] and [one["state"] for one in found["transactions"]] == ["committed", "committed"]
    databases.add("away", "postgresql://nobody@127.0.0.1:1/nothing")
    result = run(group, ["recover"])
    assert result.exit_code == 4 and "not reached" in result.output
    databases.remove("away")
