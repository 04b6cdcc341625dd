"""A small project in a folder of its own, and the command run in it, in this process or in one of its own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from peewee_multidb import databases
from peewee_multidb.cli.group import cli

ROOT = Path(__file__).resolve().parents[2]
_numbers = itertools.count(1)

MODELS = """
from peewee import CharField, ForeignKeyField, IntegerField
from peewee_multidb import HashShards, Model, Snowflake, SnowflakeField

class Base(Model):
    pass

class User(Base):
    name = CharField(20)

class Order(Base):
    id = SnowflakeField(Snowflake(1), primary_key=True)
    user = ForeignKeyField(User)
    total = IntegerField()

    class Meta:
        db_name = HashShards("shard1", "shard2", key="user")

class Invoice(Base):
    number = CharField()

    class Meta:
        db_name = "erp"
        db_pinned = True
        managed = False
"""

SETTINGS = """
models = ["{module}.models"]

[databases]
default = "sqlite:///default.db"
shard1 = "sqlite:///s1.db"
shard2 = "sqlite:///s2.db"
archive = "sqlite:///archive.db"
erp = {{ url = "sqlite:///erp.db", read_only = true }}
"""


class Project:
    """A folder with a package of models and settings.

    Attributes:
        folder: where it is.
        module: the name of its package, which no other test has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = f"shop_{next(_numbers)}"
        self.write(MODELS)
        self.settings(SETTINGS)

    def write(self, models: str) -> None:
        package = self.folder / self.module
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        (package / "models.py").write_text(models)

    def settings(self, text: str, **urls: str) -> None:
        (self.folder / "multidb.toml").write_text(text.format(module=self.module, **urls))

    def __call__(self, *arguments: str, input: str | None = None) -> Result:
        """Run the command in this process."""
        result = CliRunner().invoke(cli, arguments, input=input, prog_name="multidb")
        databases.close_all()
        return result

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        """Run the command, which must end so, and return the JSON that it printed."""
        result = self(*arguments, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the command in a process of its own."""
        given: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
        }
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
        return subprocess.Popen(
            [sys.executable, "-m", "peewee_multidb", *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            **{**given, **options},
        )

    def apart(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command in a process of its own."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture(autouse=True)
def any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of pytest-xdist are told a width."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project in the working directory, over SQLite files without tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in os.environ if name.startswith("MULTIDB_")]:
        monkeypatch.delenv(name)
    databases.configure({})
    yield Project(tmp_path)
    databases.close_all()
    databases.configure({})


@pytest.fixture
def filled(project: Project) -> Project:
    """The same with tables, 20 users and as many orders."""
    made = project(
        "shell",
        "-c",
        "databases.create_tables([User, Order])\n"
        "for n in range(20):\n"
        "    user = User.create(name=f'user {n}')\n"
        "    Order.create(user=user.id, total=n)\n",
    )
    assert made.exit_code == 0, made.output
    made = project(
        "shell",
        "-c",
        "from peewee import SqliteDatabase as S; "
        "S('erp.db').execute_sql('CREATE TABLE invoice (id INTEGER PRIMARY KEY, "
        "number VARCHAR(255) NOT NULL)')",
    )
    assert made.exit_code == 0, made.output
    return project


Run = Callable[..., Result]
