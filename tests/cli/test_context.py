"""Settings are found as other tools find theirs; models are loaded from where they are named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from peewee_multidb import Databases, Model, databases
from peewee_multidb.cli.group import group_for
from tests.cli.conftest import Project


def test_a_file_above_the_working_directory_is_found_and_its_paths_are_relative_to_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project.folder / "deep" / "er")
    found = project.json("databases")
    assert found["settings"] == str(project.folder / "multidb.toml")
    assert found["databases"][0]["url"] == f"sqlite:///{project.folder}/default.db"
    assert [one["model"] for one in project.json("models")["models"]]


def test_the_search_ends_at_the_root_of_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "other" / ".git").mkdir(parents=True)
    monkeypatch.chdir(project.folder / "other")
    result = project("databases")
    assert result.exit_code == 3
    assert "no settings found" in result.stderr
    assert result.stdout == ""


def test_an_option_goes_before_the_variable_and_the_variable_before_the_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (project.folder / f"{name}.toml").write_text(f'[databases]\n{name} = "sqlite://"\n')
    names = [one["name"] for one in project.json("databases")["databases"]]
    assert names[0] == "default"
    monkeypatch.setenv("MULTIDB_CONFIG", "two.toml")
    assert [one["name"] for one in project.json("databases")["databases"]] == ["two"]
    assert [one["name"] for one in project.json("--config", "one.toml", "databases")["databases"]] == ["one"]
    assert [one["name"] for one in project.json("databases", "--config", "one.toml")["databases"]] == ["one"]


def test_the_environment_is_taken_where_there_is_no_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "multidb.toml").unlink()
    (project.folder / ".git").mkdir()
    monkeypatch.setenv("MULTIDB_DEFAULT__URL", "sqlite:///a.db")
    found = project.json("databases")
    assert found["settings"] == "environment variables MULTIDB_*"
    assert [one["name"] for one in found["databases"]] == ["default"]


def test_a_module_that_configures_the_registry_is_settings_enough(project: Project) -> None:
    (project.folder / "multidb.toml").unlink()
    (project.folder / ".git").mkdir()
    name = f"{project.module}_app"
    (project.folder / f"{name}.py").write_text(
        "from peewee_multidb import Model, databases\n"
        "databases.configure({'default': 'sqlite:///x.db'})\nclass Thing(Model): pass\n"
    )
    assert [one["model"] for one in project.json("models", "--models", name)["models"]] == ["Thing"]
    assert f"modules {name}" in project.json("databases", "--models", name)["settings"]


def test_a_module_that_configures_the_registry_does_not_overrule_the_file(project: Project) -> None:
    models = (project.folder / project.module / "models.py").read_text()
    project.write(
        models + "\nfrom peewee_multidb import databases\ndatabases.configure({'x': 'sqlite://'})\n"
    )
    assert project("shell", "-c", "print(*databases)").stdout.split()[0] == "default"


def test_a_base_class_is_no_model(project: Project) -> None:
    assert [one["model"] for one in project.json("models")["models"]] == ["Invoice", "User", "Order"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no module"),
        ("import nothing_of_that_name", "need 'nothing_of_that_name'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_models_that_cannot_be_imported_are_named(project: Project, content: str | None, said: str) -> None:
    if content is None:
        (project.folder / project.module / "models.py").unlink()
    else:
        project.write(content)
    result = project("models")
    assert result.exit_code == 3
    assert said in result.stderr and f"{project.module}.models" in result.stderr
    assert "Traceback" not in result.output
    assert project("databases").exit_code == 0, "it needs no models"


def test_an_asynchronous_url_is_opened_by_the_ordinary_driver(project: Project) -> None:
    project.settings('[databases]\ndefault = "sqlite+aiosqlite:///default.db"\n')
    assert project.json("databases")["databases"][0]["url"] == "sqlite:///default.db"
    assert project.json("status")["servers"][0]["reachable"]


@pytest.mark.parametrize(
    ("url", "scheme"), [("postgres_url", "postgresql+asyncpg"), ("mariadb_url", "mysql+aiomysql")]
)
def test_an_asynchronous_server_is_asked_by_the_ordinary_driver(
    project: Project, url: str, scheme: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(url).partition("://")[2]
    project.settings(f'[databases]\ndefault = "{scheme}://{address}"\n')
    assert project.json("status")["servers"][0]["reachable"]


def test_a_program_mounts_the_commands_on_its_own_registry(tmp_path: Path) -> None:
    own = Databases({"main": "sqlite://"})

    class Thing(Model):
        class Meta:
            registry = own
            db_name = "main"

    before = [*databases]
    result = CliRunner().invoke(group_for(own, [Thing]), ["models", "--json"])
    assert result.exit_code == 0, result.output
    assert '"model": "Thing"' in result.stdout
    result = CliRunner().invoke(group_for(own), ["databases"])
    assert "main" in result.stdout
    assert [*databases] == before


def test_an_unknown_model_or_database_is_named_with_the_nearest(project: Project) -> None:
    result = project("copy", "default", "archive", "Usr")
    assert (result.exit_code, "did you mean 'User'?" in result.stderr) == (3, True)
    result = project("copy", "default", "archiv")
    assert (result.exit_code, "did you mean 'archive'?" in result.stderr) == (3, True)


def test_no_path_is_left_behind_twice(project: Project) -> None:
    project("models")
    before = len(sys.path)
    project("models")
    assert len(sys.path) == before
