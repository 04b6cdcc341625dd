"""A shell completes commands, options, database names and models."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from peewee_multidb import databases
from peewee_multidb.cli.group import cli
from tests.cli.conftest import Project


def completed(project: Project, line: str, *, apart: bool = False) -> list[str]:
    """Return what a shell would offer; asked in this process, or as a shell does it in one of its own."""
    words = line.split(" ")
    env = {"_MULTIDB_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    if apart:
        done = project.apart(env=env)
        out, err = done.stdout, done.stderr
    else:
        result = CliRunner().invoke(cli, [], env=env, prog_name="multidb")
        databases.configure({})
        out, err = result.stdout, result.stderr
    assert err == ""
    return [one.partition(",")[2] for one in out.split()]


def test_commands_options_databases_and_models_are_completed(project: Project) -> None:
    assert completed(project, "multidb sta", apart=True) == ["status"]
    assert completed(project, "multidb status sh") == ["shard1", "shard2"]
    assert completed(project, "multidb copy default archive U") == ["User"]
    assert "--watch" in completed(project, "multidb status --w")
    (project.folder / "multidb.toml").write_text("this is no settings file")
    assert completed(project, "multidb status sh") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(project: Project, shell: str) -> None:
    script = project("completion", shell).stdout
    assert "_MULTIDB_COMPLETE" in script
    if shell == "bash":
        bash = shutil.which("bash")
        assert bash is not None
        assert subprocess.run([bash, "-n"], input=script, text=True, capture_output=True).stderr == ""


def test_an_unknown_shell_is_a_wrong_command_line(project: Project) -> None:
    assert project("completion", "tcsh").exit_code == 2
