"""The shell has the models, a scope if one is wanted, and runs a line."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from tests.cli.conftest import SETTINGS, Project


def test_an_expression_is_printed_and_a_statement_is_run(filled: Project) -> None:
    assert filled("shell", "-c", "User.select().count()").stdout == "20\n"
    assert filled("shell", "-c", "for n in range(2): print(n, fn.COUNT)").stdout.startswith("0 ")
    assert filled("shell", "-c", "None").stdout == ""


def test_a_scope_holds_for_the_line(filled: Project) -> None:
    filled("shell", "--db", "archive", "-c", "User.create_table()")
    assert filled("shell", "--db", "archive", "-c", "User.select().count()").stdout == "0\n"
    assert filled("shell", "-c", "User.select().using('archive').count()").stdout == "0\n"


def test_the_prompt_knows_the_models(filled: Project) -> None:
    done = filled.apart("shell", "--plain", "--db", "archive", stdin=(filled.folder / "multidb.toml").open())
    assert "Models: Invoice, User, Order" in done.stderr and "use_db('archive')" in done.stderr
    file = filled.folder / "lines"
    file.write_text("print(User.select().count() + 1)\n")
    with file.open() as lines:
        done = filled.apart("shell", "--plain", stdin=lines)
    assert done.returncode == 0 and "21" in done.stdout


def test_an_error_of_the_line_is_a_sentence(filled: Project) -> None:
    result = filled("shell", "-c", "databases['nowhere']")
    assert (result.exit_code, result.stderr.startswith("error: No database is called 'nowhere'")) == (3, True)


def test_an_error_of_a_driver_names_the_database(project: Project) -> None:
    project.settings(SETTINGS.replace("sqlite:///default.db", "sqlite:////no/such/folder/default.db"))
    result = project("shell", "-c", "User.select().count()")
    assert result.exit_code == 4 and result.stderr.startswith("error: default: unable to open database file")


def test_lines_of_the_prompt_run_inside_of_the_scope(
    filled: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(sys, "ps2", "... ", raising=False)
    lines = "User.create_table()\nprint('users:', User.select().count())\n"
    result = filled("shell", "--plain", "--db", "archive", input=lines)
    assert result.exit_code == 0, result.output
    assert "users: 0" in result.stdout
    assert "Databases: default, shard1, shard2, archive, erp\n" in result.stderr
    assert "Models: Invoice, User, Order Inside of use_db('archive').\n" in result.stderr
    result = filled("shell", "--plain", input="print('users:', User.select().count())\n")
    assert "users: 20" in result.stdout and "Inside of" not in result.stderr


def test_the_tab_key_completes_the_names_of_the_models(filled: Project) -> None:
    readline = pytest.importorskip("readline")
    before = readline.get_completer()
    try:
        assert filled("shell", "--plain", input="").exit_code == 0
        assert readline.get_completer()("Invoi", 0).startswith("Invoice")
    finally:
        readline.set_completer(before)


def test_ipython_is_taken_where_it_is_installed_and_plain_does_without(
    filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, Any]] = []
    ipython = ModuleType("IPython")
    ipython.start_ipython = lambda **given: started.append(given)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    result = filled("shell", input="print('not read')\n")
    assert result.exit_code == 0 and "Models: Invoice, User, Order" in result.stdout
    assert "not read" not in result.stdout
    assert [one["argv"] for one in started] == [["--no-banner"]]
    assert started[0]["user_ns"]["User"].__name__ == "User"
    filled("shell", "--plain", input="")
    assert len(started) == 1
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert "is read" in filled("shell", input="print('is read')\n").stdout
