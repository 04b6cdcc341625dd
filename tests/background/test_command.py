"""`management_command`: for one database, for several or for all, from Python and with click."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from peewee import CharField

from peewee_multidb import ConfigurationError, Databases, Model, UnknownDatabase, management_command, use_db
from peewee_multidb.background.command import _label

own = Databases()
NAMES = ("acme", "globex", "initech")


class Note(Model):
    text = CharField()

    class Meta:
        registry = own
        db_name = None


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Iterator[None]:
    own.configure({name: f"sqlite:///{tmp_path}/{name}.db" for name in NAMES})
    for name in NAMES:
        with use_db(name):
            Note.create_table()
    own.close_all()
    yield
    own.close_all()
    own.configure({})


@management_command(registry=own)
def add(text: str, times: int = 1) -> int:
    """Add a note."""
    if text == "bad":
        raise ValueError("not here")
    for _ in range(times):
        Note.create(text=text)
    return Note.select().count()


def texts() -> dict[str, list[str]]:
    found = {}
    for name in NAMES:
        with use_db(name):
            found[name] = [note.text for note in Note.select()]
    return found


def test_it_runs_where_it_is_told_and_only_there() -> None:
    assert add("x", database="globex").results == {"globex": 1}
    assert add("y", 2, database=["acme", "globex"]).results == {"acme": 2, "globex": 3}
    assert texts() == {"acme": ["y", "y"], "globex": ["x", "y", "y"], "initech": []}
    assert add("z", all_databases=True, workers=1).ok
    assert add.__name__ == "add" and add.__doc__ == "Add a note."


def test_it_does_not_guess_where() -> None:
    with pytest.raises(ConfigurationError, match=r"say which databases: .*all_databases=True"):
        add("x")
    with pytest.raises(ConfigurationError, match="not both"):
        add("x", database="acme", all_databases=True)
    with pytest.raises(UnknownDatabase, match="no database is called 'acne'; did you mean 'acme'"):
        add("x", database="acne")
    assert texts() == {name: [] for name in NAMES}


def test_a_journal_is_for_the_same_arguments(tmp_path: Path) -> None:
    journal = str(tmp_path / "journal")
    assert len(add("x", all_databases=True, resume=journal).results) == 3
    assert add("x", all_databases=True, resume=journal).skipped == list(NAMES)
    assert len(add("y", all_databases=True, resume=journal).results) == 3
    assert _label(texts, (1,), {"b": 2}) != _label(texts, (1,), {"b": 3})


def test_all_is_what_the_names_say_and_they_may_be_what_makes_them_known() -> None:
    def registered() -> list[str]:
        if "late" not in own:
            own.add("late", "sqlite:///file:late?mode=memory&cache=shared")
        return ["acme", "late"]

    @management_command(names=registered, registry=own)
    def visit() -> None:
        own["late"].execute_sql("SELECT 1")

    assert list(visit(database="late").results) == ["late"]
    assert sorted(visit(all_databases=True).results) == ["acme", "late"]
    with pytest.raises(UnknownDatabase):
        visit(database="globex")


@click.command()
@click.argument("text")
@click.option("--times", default=1)
@management_command(registry=own)
def command(text: str, times: int) -> Any:
    """Add a note, from the command line."""
    if text == "bad":
        raise ValueError("not here")
    for _ in range(times):
        Note.create(text=text)


def test_click_gets_the_options_the_report_and_the_exit_status(tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(command, ["x", "--times", "2", "--database", "acme", "--database", "globex"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "2 done")
    assert texts() == {"acme": ["x", "x"], "globex": ["x", "x"], "initech": []}
    journal = str(tmp_path / "journal")
    assert run(command, ["y", "--all-databases", "--workers", "2", "--resume", journal]).exit_code == 0
    assert "3 skipped" in run(command, ["y", "--all-databases", "--resume", journal]).output
    failed = run(command, ["bad", "--all-databases"])
    assert failed.exit_code == 1 and "ValueError: not here" in failed.output and "3 failed" in failed.output
    for arguments, message in (
        ([], "say which"),
        (["--database", "nobody"], "no database is called 'nobody'"),
    ):
        refused = run(command, ["x", *arguments])
        assert refused.exit_code == 2 and message in refused.output
    shown = run(command, ["--help"]).output
    assert all(option in shown for option in ("--times", "--database", "--all-databases", "--resume"))
