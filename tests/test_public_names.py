"""The package as a whole: documented names, imports in one direction, one subject a file, what is shipped."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

import peewee_multidb
from peewee_multidb import Databases, Model, config, drivers, middleware, schema, testing, use_db
from peewee_multidb.drivers import session
from peewee_multidb.testing import plugin, servers

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "peewee_multidb"

#: What pytest finds when it starts, before the package itself; see the module.
PLUGIN = "pytest_peewee_multidb.py"
#: The plan of the house: a room may import rooms of its own level or below.
LEVELS = {
    **dict.fromkeys(["errors", "urls", "settings", "config", "statements", "version"], 0),
    **dict.fromkeys(["callers", "finding", "tomlfile"], 0),
    **dict.fromkeys(["causality", "drivers", "entry", "home", "registry", "scope", "server", "status"], 1),
    **dict.fromkeys(["stack", "stepping", "tenants"], 1),
    **dict.fromkeys(["routing", "replicas", "shards", "transactions", "twophase"], 2),
    **dict.fromkeys(["model"], 3),
    **dict.fromkeys(["copying", "rebalance", "schema", "middleware", "observe", "testing", "cli"], 4),
    **dict.fromkeys(["background", "foreach"], 4),
    **dict.fromkeys(["web"], 4),
    **dict.fromkeys(["__init__", "__main__"], 5),
}
#: `home` holds a model's sharding rule; `shards.rules` itself knows nothing but the errors.
BELOW_ITS_ROOM = {("shards", "rules")}
LARGEST = 500


# Docstrings


def public_members(owner: type, stock: type = object) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that the class adds to `stock`."""
    for name, value in vars(owner).items():
        if name.startswith("_") or hasattr(stock, name):
            continue
        if callable(getattr(owner, name)) or isinstance(value, property):
            yield f"{owner.__name__}.{name}", getattr(owner, name)


def public_names() -> dict[str, Any]:
    found = {name: getattr(peewee_multidb, name) for name in peewee_multidb.__all__ if name != "__version__"}
    found.update(public_members(Databases))
    found.update(public_members(Model, peewee.Model))
    found.update(public_members(use_db))
    for module in (drivers, config, drivers.base, session, servers, middleware, schema, testing, plugin):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value):
                continue
            found[f"{module.__name__}.{name}"] = value
            if inspect.isclass(value) and value.__module__.startswith("peewee_multidb"):
                found.update(public_members(value, peewee.Database))
    return found


PUBLIC = public_names()


def arguments_of(value: Any) -> set[str]:
    """The names of what a caller may hand over, without the obvious."""
    if inspect.isclass(value):
        if (
            issubclass(value, BaseException)
            or "__init__" not in vars(value)
            or hasattr(value, "__dataclass_fields__")
        ):
            return set()
        value = value.__init__
    if not inspect.isroutine(value):
        return set()
    return set(inspect.signature(value).parameters) - {"self", "cls", "args", "kwargs"}


def test_all_is_sorted_complete_and_real() -> None:
    assert sorted(peewee_multidb.__all__) == peewee_multidb.__all__
    assert all(hasattr(peewee_multidb, name) for name in peewee_multidb.__all__)
    imported = {
        alias.asname or alias.name
        for node in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == set(peewee_multidb.__all__), "the public names and nothing else"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    value = PUBLIC[name]
    text = vars(value).get("__doc__") if inspect.isclass(value) else inspect.getdoc(value)
    assert text and text.strip(), f"{name} has no docstring"
    first = text.strip().splitlines()[0]
    assert first[0].isupper() or first[0] in "`'\"", first


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if arguments_of(value)])
def test_every_public_docstring_speaks_of_every_argument(name: str) -> None:
    value = PUBLIC[name]
    text = inspect.getdoc(value) or ""
    # In lower case: "the Database object" is what the argument `database` is.
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in text.lower()).split())
    missing = arguments_of(value) - words
    assert not missing, f"{name}: {sorted(missing)}"


# Imports


@functools.cache
def imports(path: Path) -> tuple[tuple[tuple[str, ...], int], ...]:
    """What of the package a file imports, anywhere in it but under TYPE_CHECKING, and in which line."""
    return tuple(found_imports(path))


def parsed(path: Path) -> ast.Module:
    # CPython 3.11 fails in it when a finalizer that runs meanwhile compiles something in another thread.
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def found_imports(path: Path) -> Iterator[tuple[tuple[str, ...], int]]:
    tree = parsed(path)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    here = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - (node.level - 1)] + tuple(node.module.split(".") if node.module else ())
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            base = tuple((node.module or "").split(".")[1:])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE.name:
                    yield tuple(alias.name.split(".")[1:]), node.lineno
            continue
        else:
            continue
        for alias in node.names:
            inner = PACKAGE.joinpath(*base, alias.name)
            is_module = inner.is_dir() or inner.with_suffix(".py").exists()
            yield (*base, alias.name) if is_module or not base else base, node.lineno


FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


def test_every_room_of_the_package_is_in_the_plan() -> None:
    assert {room_of(path.relative_to(PACKAGE).parts) for path in FILES} <= LEVELS.keys()
    assert (PACKAGE / "model").is_dir() and not (PACKAGE / "model.py").exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room_of(path.relative_to(PACKAGE).parts)
    against = [
        f"line {line}: {'.'.join(parts)}"
        for parts, line in imports(path)
        if parts and LEVELS.get(parts[0], -1) > LEVELS[here] and parts[:2] not in BELOW_ITS_ROOM
    ]
    assert not against, f"{here} imports what stands above it: {against}"


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "drivers").rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_drivers_stand_on_the_settings_alone(path: Path) -> None:
    against = {parts[0] for parts, _ in imports(path) if parts and parts[0] != "drivers" and LEVELS[parts[0]]}
    assert not against, f"a driver imports what makes use of drivers: {against}"


def test_the_servers_of_the_tests_do_not_stand_on_what_is_tested() -> None:
    files = sorted((PACKAGE / "testing" / "servers").glob("*.py"))
    imported = {parts for path in files for parts, _ in imports(path)}
    assert len(imported) > 5
    assert all(parts[:2] == ("testing", "servers") for parts in imported)


def test_no_two_files_import_each_other() -> None:
    edges: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for path in FILES:
        name = path.relative_to(PACKAGE).with_suffix("").parts
        if name[-1] != "__init__":  # a package imports its parts, and they may ask the package
            edges[name] = {parts for parts, _ in imports(path)}
    below = {
        path.relative_to(PACKAGE).with_suffix("").parts
        for path in FILES
        if path.relative_to(PACKAGE).with_suffix("").parts in {("shards", "rules"), ("errors",), ("urls",)}
    }
    assert all(edges[name] <= {("errors",)} for name in below), "the foundations stand on the errors alone"
    circles = {tuple(sorted((a, b))) for a, found in edges.items() for b in found if a in edges.get(b, ())}
    assert not circles


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_large_for_one_subject(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LARGEST


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_importing_the_package_gives_no_warning() -> None:
    run = python("-W", "error", "-c", "import peewee_multidb")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


#: Importing one of these, where it is installed, costs time that SQLite users need not spend.
HEAVY = (
    "greenlet",
    "playhouse.pwasyncio",
    "asyncpg",
    "aiomysql",
    "aiosqlite",
    "rich",
    "pydantic",
    "hypothesis",
)


def test_importing_the_package_imports_no_driver_of_its_own_accord() -> None:
    """Peewee itself looks for psycopg and PyMySQL when it is imported; the package adds nothing to that."""
    code = """
import sys
import peewee, playhouse.pool, playhouse.db_url, playhouse.shortcuts
before = set(sys.modules)
import peewee_multidb
from peewee_multidb import databases
databases.configure({"default": "sqlite://", "pg": "postgresql://h/d", "a": "sqlite+aiosqlite://"})
databases["default"].execute_sql("SELECT 1")
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(added - set(sys.stdlib_module_names) - {"peewee_multidb"}))
print(*(heavy for heavy in sys.argv[1:] if heavy in sys.modules))
"""
    run = python("-c", code, *HEAVY)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() in ([], ["playhouse"])


def test_the_package_works_without_any_optional_module() -> None:
    code = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
from peewee import CharField
from peewee_multidb import ConfigurationError, Model, databases, use_db
databases.configure({"default": "sqlite://", "b": "sqlite://", "pg": "postgresql://h/d", "m": "mysql://h/d",
                     "apg": "postgresql+asyncpg://h/d", "am": "mysql+aiomysql://h/d", "al": "sqlite+aiosqlite://"})
class User(Model):
    name = CharField()
databases.create_tables([User])
User.create(name="x")
with use_db("b"):
    databases.create_tables([User])
    assert User.select().count() == 0
for name in ("pg", "m", "apg", "am", "al"):
    try:
        databases[name]
    except ConfigurationError as error:
        assert "pip install" in str(error), error
    else:
        raise AssertionError(name)
"""
    optional = ("psycopg", "psycopg2", "pymysql", "MySQLdb", "tomli", "asyncpg", "aiomysql", "aiosqlite")
    run = python("-W", "error", "-c", code, "greenlet", *optional)
    assert (run.returncode, run.stderr) == (0, "")


# What is shipped


def test_the_wheel_holds_the_package_its_types_marker_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    # A copy: building in place would leave build/ and *.egg-info behind.
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            (source / name).write_bytes((ROOT / name).read_bytes())
    shipped = [*FILES, PACKAGE / "py.typed", ROOT / PLUGIN, *(PACKAGE / "web" / "static").iterdir()]
    for path in shipped:
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    build = ("-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "--quiet")
    where = ("--wheel-dir", str(tmp_path / "wheels"), str(source))
    # With what is installed, if it can build wheels; else pip fetches what can.
    run = python(*build, "--no-build-isolation", *where)
    if run.returncode:
        run = python(*build, *where)
    if "No matching distribution" in run.stderr:
        pytest.skip("there is nothing installed that builds wheels, and no package index in reach")
    assert run.returncode == 0, run.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {str(path.relative_to(ROOT)) for path in shipped}
