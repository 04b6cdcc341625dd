"""The driver of docs/drivers.md as a distribution of its own: built, installed with pip, used by URL.

The wheel is written here, as a build tool would write it, so that nothing has to be fetched to build it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from peewee_multidb.tomlfile import _loader
from tests.pages import Page

ROOT = Path(__file__).parents[2]
GROUP = "peewee_multidb.drivers"


def shown(file: str) -> str:
    """The text of a file that the manual's page shows."""
    [text] = [block.text for block in Page.read(ROOT / "docs" / "drivers.md").blocks if block.file == file]
    return text


def wheel(folder: Path, name: str, module: str, points: dict[str, str]) -> Path:
    """Write a wheel of one module with entry points; see PEP 427."""
    info = f"{name}-1.0.dist-info"
    lines = "".join(f"{scheme} = {target}\n" for scheme, target in points.items())
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{GROUP}]\n{lines}",
    }
    record = f"{info}/RECORD,,\n"
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    made = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return made


def install(folder: Path, name: str, module: str, points: dict[str, str]) -> Path:
    """Install a distribution with pip, without a network, and return the folder it is in."""
    made = wheel(folder, name, module, points)
    target = folder / "site"
    options = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check", "--no-compile"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", target, made],
        check=True,
        capture_output=True,
        text=True,
    )
    return target


def run(site: Path, program: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        cwd=site,
    )


USE = """
    import sys
    from peewee import CharField
    from peewee_multidb import Model, databases

    databases.configure({
        "default": "memory:///app?timeout=3",
        "look": {"url": "memory:///app", "read_only": True},
    })

    class User(Model):
        name = CharField()

    User.create_table()
    User.create(name="Ada")
    print(User.select().using("look").get().name, type(databases["look"]).__module__)
    try:
        databases["look"].execute_sql("DELETE FROM user")
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_the_driver_of_the_manual_is_installed_and_used_by_its_url(tmp_path: Path) -> None:
    project = _loader()(shown("pyproject.toml"))
    points = project["project"]["entry-points"][GROUP]
    module = shown("memory_driver.py")
    assert points == {"memory": "memory_driver:MemoryDriver"}
    assert len(module.strip().splitlines()) <= 40
    result = run(install(tmp_path, "memory_driver", module, points), USE)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "Ada memory_driver",
        "OperationalError attempt to write a readonly database",
    ]


FIND = """
    from peewee_multidb import databases
    try:
        databases.configure({"default": "broken://host/name"})
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    print(databases.names)
"""


@pytest.mark.parametrize(
    ("module", "target", "problem"),
    [
        ("import a_module_that_is_missing", "broken_driver:Driver", "cannot be loaded: ModuleNotFoundError"),
        ("", "broken_driver:Driver", "cannot be loaded: AttributeError"),
        ("", "another_module:Driver", "cannot be loaded: ModuleNotFoundError"),
        ("1 +", "broken_driver:Driver", "cannot be loaded: SyntaxError"),
        ("class Driver: pass", "broken_driver:Driver", "is a Driver, not a peewee_multidb.drivers.Driver"),
        (
            "from peewee_multidb.drivers import Driver",
            "broken_driver:Driver",
            "cannot be loaded: TypeError: Can't instantiate abstract class",
        ),
        (
            "from peewee_multidb.drivers import Driver as Base\n"
            "class Driver(Base):\n"
            "    def build(self, settings, url, *, read_only): ...\n",
            "broken_driver:Driver",
            "declares no traits",
        ),
    ],
)
def test_a_broken_distribution_is_named_with_what_is_wrong(
    tmp_path: Path, module: str, target: str, problem: str
) -> None:
    site = install(tmp_path, "broken_driver", module, {"broken": target})
    result = run(site, FIND)
    assert result.stderr == ""
    error, names = result.stdout.splitlines()
    driver = r"the driver 'broken' of the distribution 'broken_driver'"
    assert error.startswith(f"ConfigurationError: database 'default': {driver} {problem}"), error
    assert names == "()"


def test_a_driver_that_builds_no_database_is_named(tmp_path: Path) -> None:
    module = (
        "from peewee_multidb.drivers import Driver as Base, Traits\n"
        "class Driver(Base):\n"
        "    traits = Traits('nothing', max_params=1)\n"
        "    def build(self, settings, url, *, read_only):\n"
        "        return None\n"
    )
    site = install(tmp_path, "broken_driver", module, {"broken": "broken_driver:Driver"})
    result = run(
        site,
        """
        from peewee_multidb import databases
        databases.configure({"default": "broken://host/name"})
        try:
            databases["default"]
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
        """,
    )
    assert result.stdout.strip() == (
        "ConfigurationError: database 'default': the driver of broken:// returned a NoneType, "
        "not a peewee Database"
    ), result.stderr
