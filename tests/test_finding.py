"""Programs find the settings as the command line does, and a mistake in them is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.finding import find_settings, read_settings
from peewee_multidb.tomlfile import read_toml


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTIDB_CONFIG", raising=False)
    (tmp_path / ".git").mkdir()


def write(name: str, text: str) -> Path:
    path = Path(name).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nothing_is_found_where_nothing_is() -> None:
    assert find_settings(environ={}) is None
    with pytest.raises(ConfigurationError, match=r"no settings found: the variable MULTIDB_CONFIG .* above"):
        Databases().load()


def test_the_nearest_file_counts_and_multidb_toml_before_pyproject() -> None:
    write("pyproject.toml", '[tool.peewee_multidb.databases]\none = "sqlite://"\n')
    write("deep/pyproject.toml", "[tool.black]\nline-length = 9\n")
    found = find_settings(start="deep", environ={})
    assert found is not None and found.path == Path("pyproject.toml").resolve()
    write("deep/multidb.toml", '[databases]\ntwo = "sqlite://"\n')
    found = find_settings(start="deep", environ={})
    assert found is not None and [*found.databases] == ["two"]
    write("multidb.toml", '[databases]\nthree = "sqlite://"\n')
    found = find_settings(environ={})
    assert found is not None and [*found.databases] == ["three"]


def test_another_tools_pyproject_is_passed_over_even_if_it_is_broken() -> None:
    write("pyproject.toml", "[tool.black\n")
    assert find_settings(environ={}) is None


def test_the_variable_and_the_environment() -> None:
    write("multidb.toml", '[databases]\nfile = "sqlite://"\n')
    other = write("elsewhere/x.toml", '[databases]\nother = "sqlite://"\n')
    environ = {"MULTIDB_CONFIG": str(other), "MULTIDB_A__URL": "sqlite://"}
    found = find_settings(environ=environ)
    assert found is not None and [*found.databases] == ["other"]
    Path("multidb.toml").unlink()
    found = find_settings(environ={"MULTIDB_A__URL": "sqlite://", "MULTIDB_MODELS": "x.models, y.models"})
    assert found is not None and [*found.databases] == ["a"] and found.models == ("x.models", "y.models")
    with pytest.raises(ConfigurationError, match=r"cannot read 'nowhere.toml'"):
        find_settings(environ={"MULTIDB_CONFIG": "nowhere.toml"})


def test_relative_paths_belong_to_the_folder_of_a_file_that_was_found_above(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(
        "multidb.toml",
        '[databases]\na = "sqlite:///a.db"\nb = "sqlite:////abs/b.db"\nc = "sqlite:///:memory:"\n'
        'd = { url = "sqlite:///d.db", replicas = ["sqlite:///r.db"] }\n',
    )
    write("deep/x", "")
    here = str(Path.cwd())
    monkeypatch.chdir("deep")
    found = find_settings(environ={})
    assert found is not None
    urls = {name: one.url.database for name, one in found.databases.items() if one.url is not None}
    assert urls == {"a": f"{here}/a.db", "b": "/abs/b.db", "c": ":memory:", "d": f"{here}/d.db"}
    (replica,) = found.databases["d"].replicas
    assert replica.url is not None and replica.url.database == f"{here}/r.db"
    named = read_settings("../multidb.toml").databases["a"].url
    assert named is not None and named.database == "a.db", "relative to the working directory, if it is named"


def test_keys_of_the_command_line_are_read() -> None:
    write("x.toml", 'models = "shop.models"\nmigrations = "migrations"\n[databases]\na = "sqlite://"\n')
    found = read_settings("x.toml")
    assert found.models == ("shop.models",) and found.migrations == Path("migrations")
    registry = Databases()
    registry.load("x.toml")
    assert [*registry] == ["a"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('modles = 1\n[databases]\na = ""\n', r"line 1: unknown key 'modles'; did you mean 'models'"),
        ('[databases]\na = "sqlite://"\n[migration]\n', r"line 3: unknown key 'migration'"),
        ("[databases.erp]\nurl = ''\nreed_only = true\n", r"line 3: database 'erp': unknown key 'reed_only'"),
        ('[databases]\na = { url = "", optoins = {} }\n', r"line 2: database 'a': unknown key 'optoins'"),
        (
            '[databases.one.pool]\nmax = 1\n[databases.two]\nurl = "sqlite://"\npool.max = 5\n'
            '[databases.one]\nurl = "sqlite://"\n',
            r"line 2: database 'one', pool: unknown key 'max'",
        ),
        ('models = 5\n[databases]\na = "sqlite://"\n', r"'models' must be a string or a list of strings"),
        ('databse = 1\n', r"has no \[databases\] table, but 'databse'"),
        ('[databases]\na = "postgre://x/y"\n', r"unknown URL scheme 'postgre'"),
    ],
)  # fmt: skip
def test_a_typo_is_named_with_the_file_the_line_and_the_nearest_key(text: str, said: str) -> None:
    write("multidb.toml", text)
    registry = Databases({"before": "sqlite://"})
    with pytest.raises(ConfigurationError, match=said):
        registry.load()
    assert [*registry] == ["before"], "nothing is replaced"


def test_tables_of_others_may_stand_in_the_file_but_not_in_the_section() -> None:
    write("x.toml", '[databases]\na = "sqlite://"\n[server]\nport = 1\n')
    assert [*read_toml("x.toml")["databases"]] == ["a"]
    write(
        "y.toml", '[tool.peewee_multidb.databases]\na = "sqlite://"\n[tool.peewee_multidb.server]\nport = 1\n'
    )
    with pytest.raises(ConfigurationError, match=r"line 3: unknown key 'server'"):
        read_toml("y.toml")
