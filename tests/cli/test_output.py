"""What is printed suits who reads it, and every kind of error has its exit code."""

from __future__ import annotations

import json
from typing import Any

import peewee
import pytest
from click.testing import CliRunner

from peewee_multidb import Databases, errors
from peewee_multidb.cli.context import App, command
from peewee_multidb.cli.output import EXIT_CODES, Output, exit_code, shown_bytes
from tests.cli.conftest import Project


def every(base: type[Exception]) -> list[type[Exception]]:
    return [one for kind in base.__subclasses__() for one in (kind, *every(kind))]


def test_every_error_of_the_package_has_an_exit_code_of_the_table() -> None:
    kinds = [
        kind for kind in every(errors.MultiDBError) if kind.__module__.startswith("peewee_multidb.errors")
    ]
    assert len(kinds) > 20
    codes = {kind.__name__: exit_code(kind("x")) for kind in kinds}
    assert set(codes.values()) <= {3, 4, 5, 6}
    assert codes["ConfigurationError"] == codes["UnknownDatabase"] == 3
    assert codes["NoReplicaAvailable"] == 4
    assert codes["ReadOnlyDatabase"] == codes["WrongShard"] == 5
    assert codes["CopyRefused"] == 5
    assert codes["PartialCommit"] == codes["CopyError"] == codes["RebalanceError"] == 6
    assert exit_code(peewee.OperationalError("x")) == 4
    assert exit_code(RuntimeError("x")) == 70
    assert set(codes.values()) <= EXIT_CODES.keys()


def test_an_error_is_one_sentence_and_json_where_that_was_asked_for(project: Project) -> None:
    result = project("route", "User.select().where(")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and len(result.stderr.splitlines()) == 1
    result = project("route", "User.select().where(", "--json")
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == "ConfigurationError" and error["exit_code"] == result.exit_code == 3
    assert result.stderr == f"error: {error['message']}\n"


def test_an_unexpected_error_says_so_and_debug_shows_where(project: Project) -> None:
    result = project("shell", "-c", "{}['key']")
    assert result.exit_code == 70
    assert result.stderr == "error: KeyError: 'key' (--debug shows where)\n"
    result = project("shell", "--debug", "-c", "{}['key']")
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr and "KeyError: 'key'" in result.stderr


def test_debug_changes_no_exit_code(project: Project) -> None:
    project.write("raise ValueError('no')")
    plain, debug = project("models"), project("models", "--debug")
    assert plain.exit_code == debug.exit_code == 3
    assert debug.stderr.endswith(plain.stderr) and "Traceback" in debug.stderr


def test_a_module_that_ends_the_program_is_an_error_of_the_models(project: Project) -> None:
    project.write("import sys\nsys.exit(0)")
    result = project("models")
    assert result.exit_code == 3
    assert "cannot be imported: SystemExit: 0" in result.stderr


def test_a_table_in_a_pipe_has_each_row_in_one_line(project: Project) -> None:
    result = project("models")
    assert len(result.stdout.splitlines()) == 2 + 3
    assert "\x1b" not in result.stdout


def test_a_narrow_terminal_loses_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = project("models").stdout
    monkeypatch.setenv("COLUMNS", "80")
    narrow = project("models").stdout
    assert max(map(len, narrow.splitlines())) <= 80 < max(map(len, wide.splitlines()))
    # A cell goes on in the next line; no letter of it is missing.
    assert sorted("".join(wide.split()).replace("─", "")) == sorted("".join(narrow.split()).replace("─", ""))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (8192, "8.2 kB"), (123_456, "123 kB"), (2 * 10**12, "2.0 TB")],
)
def test_bytes_are_written_for_people(size: int, text: str) -> None:
    assert shown_bytes(size) == text


def test_text_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.text("[bold]x[/] :smile:")
    out.table(["a [red]"], [["[/nothing]"]])
    printed: Any = capsys.readouterr().out
    assert "[bold]x[/] :smile:" in printed and "[/nothing]" in printed


def test_json_has_no_numbers_that_json_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    Output().data({"lag": float("inf"), "params": [float("nan"), 1.5]})
    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found == {"lag": "inf", "params": ["nan", 1.5]}


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 5), ("\n", 5), ("", 130)])
def test_who_says_no_is_told_that_nothing_was_changed(answer: str, code: int) -> None:
    done = []

    @command("burn")
    def burn(app: App) -> None:
        app.confirm("Burn it?")
        done.append(True)

    result = CliRunner().invoke(burn, input=answer, obj=App(Databases(), configured=True))
    assert result.exit_code == code, result.output
    assert bool(done) is (code == 0)
    assert ("nothing was changed" in result.stderr) is (code == 5)
