"""The command as a process: exit codes, pipes, signals, colours, and without its extra."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from peewee_multidb.cli.main import MISSING, main
from peewee_multidb.version import __version__
from tests.cli.conftest import ROOT, Project


def test_the_script_and_the_module_are_one_command(project: Project) -> None:
    script = Path(sys.executable).with_name("multidb")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.stdout == project.apart("--version").stdout == f"multidb, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["databases"], 0), (["nonsense"], 2), (["copy", "default"], 2), (["status", "nowhere"], 3), ([], 2)],
)
def test_exit_codes(project: Project, arguments: list[str], code: int) -> None:
    done = project.apart(*arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_pipe_that_closes_early_is_no_error(project: Project) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = project.start("databases", stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=60)
    assert said == "" and process.returncode == 1


def in_a_terminal(project: Project, env: dict[str, str]) -> str:
    controller, terminal = pty.openpty()
    process = project.start("status", stdout=terminal, env={"TERM": "xterm", "COLUMNS": "80", **env})
    os.close(terminal)
    shown = b""
    try:
        while some := os.read(controller, 65536):
            shown += some
    except OSError:
        pass  # how Linux says that the other end is closed
    os.close(controller)
    process.communicate(timeout=60)
    return shown.decode()


def test_colours_are_for_terminals_and_not_for_those_who_want_none(project: Project) -> None:
    assert "\x1b[" in in_a_terminal(project, {"NO_COLOR": ""})
    assert "\x1b[32m" not in in_a_terminal(project, {"NO_COLOR": "1"})
    assert "\x1b" not in project.apart("status").stdout


def test_without_the_extra_one_sentence_says_what_to_install(project: Project) -> None:
    code = "import sys; sys.modules['click'] = None; from peewee_multidb.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 3
    assert done.stderr == 'The command `multidb` needs click and rich: pip install "peewee-multidb[cli]"\n'


def test_main_exits_with_the_code_of_the_command(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, code, said in (
        (["--version"], 0, f"multidb, version {__version__}\n"),
        (["status", "nowhere"], 3, ""),
    ):
        monkeypatch.setattr(sys, "argv", ["multidb", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert (left.value.code, capsys.readouterr().out) == (code, said)


@pytest.mark.parametrize("package", ["click", "rich"])
def test_main_says_what_to_install_where_the_extra_is_missing(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 3
    assert capsys.readouterr().err == f"{MISSING}\n"
