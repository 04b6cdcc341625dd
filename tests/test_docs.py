"""The manual does what it shows, and shows every public name."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import peewee_multidb
from peewee_multidb import config, drivers, errors, middleware, shards, testing
from peewee_multidb.model.metadata import OPTIONS
from peewee_multidb.testing import servers
from tests.pages import SERVER_URL, Mismatch, Page, run_apart

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
REFERENCE = (DOCS / "api.md").read_text(encoding="utf-8")


def _id(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def _real_urls(page: Page, request: pytest.FixtureRequest) -> dict[str, str]:
    """A real server's URL for each one that the page shows."""
    for kind in page.servers:
        # Also for a page that starts its own: where there is no server the page cannot run.
        request.getfixturevalue(f"{kind}_server")
    urls: dict[str, str] = {}
    real: dict[tuple[str, str], list[str]] = {}
    hosts: dict[tuple[str, str], list[str]] = {}
    for shown in page.server_urls() if page.servers or page.clusters else ():
        engine, module, where = SERVER_URL.match(shown).groups()  # type: ignore[union-attr]
        kind = {"postgresql": "postgres", "mssql": "mssql"}.get(engine, "mariadb")
        wanted = f"shows {shown}; add `servers: {kind}` to the front matter"
        assert kind in page.servers + page.clusters, wanted
        shown_hosts, _, name = where.rpartition("@")[2].partition("/")
        one = (kind, name if kind in page.clusters else where)
        if one not in real and kind in page.clusters:
            settings = request.getfixturevalue(f"new_{kind}_cluster_settings")()
            real[one] = [settings["url"], *settings["replicas"]]
        elif one not in real:
            real[one] = [request.getfixturevalue(f"new_{kind}_url")()]
        known = hosts.setdefault(one, [])
        known += [host for host in shown_hosts.split(",") if host not in known]
        assert len(known) <= len(real[one]), f"{known}: more servers with {name!r} than there are"
        account, _, there = real[one][0].rpartition("://")[2].rpartition("@")
        addresses = [urlsplit(url).netloc.rpartition("@")[2] for url in real[one]]
        meant = ",".join(addresses[known.index(host)] for host in shown_hosts.split(","))
        urls[shown] = f"{engine}{module or ''}://{account}@{meant}/{there.partition('/')[2]}"
    return urls


@pytest.mark.parametrize("path", PAGES, ids=_id)
def test_every_code_block_of_the_page_runs_and_prints_what_it_shows(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = Page.read(path)
    trouble = run_apart(path, _real_urls(page, request), tmp_path)
    if trouble:
        pytest.fail(trouble, pytrace=False)


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_the_hosts_of_a_page_with_clusters_are_a_primary_and_its_replicas(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    engine = "postgresql" if kind == "postgres" else "mysql"
    role = "pg_is_in_recovery()::int" if kind == "postgres" else "@@read_only"
    path = tmp_path / "page.md"
    path.write_text(f"""---
clusters: {kind}
---
```python
from peewee_multidb import Databases
urls = ["{engine}://app@db1/app", "{engine}://app@db2/app", "{engine}://app@db3/app", "{engine}://app@db1/b"]
databases = Databases(dict(zip("abcd", urls)))
[databases[name].execute_sql("SELECT {role}").fetchone()[0] for name in "abcd"]  # -> [0, 1, 1, 0]
databases.close_all()
several = "{engine}://app@db3,db1/app"
```
""")
    page = Page.read(path)
    urls = _real_urls(page, request)
    primary, _, replica, other, several = urls.values()
    address = {url: urlsplit(url).netloc.rpartition("@")[2] for url in urls.values()}
    assert address[several] == f"{address[replica]},{address[primary]}"
    assert address[other] == address[primary] and urlsplit(other).path != urlsplit(primary).path
    assert run_apart(path, urls, tmp_path) == ""


TRACEBACK = "```output\nTraceback (most recent call last):\n  ...\n"

BAD_PAGES = {
    "an error": "```python\n1 / 0\n```",
    "a wrong value": "```python\n1 + 1  # -> 3\n```",
    "a value at no expression": "```python\nx = 1  # -> 1\n```",
    "other output": "```python\nprint(1)\n```\n```output\n2\n```",
    "output that is not shown": "```python\nprint(1)\n```",
    "output that is not printed": "```python\nx = 1\n```\n```output\n1\n```",
    "an error that is not raised": f"```python\nx = 1\n```\n{TRACEBACK}E: e\n```",
    "another error": f"```python\n1 / 0\n```\n{TRACEBACK}KeyError: 1\n```",
    "an error in the middle of a block": f"```python\n1 / 0\n1  # -> 2\n```\n{TRACEBACK}ZeroDivision...\n```",
    "a command that fails": "```console\n$ false\n```",
    "a command that prints something else": "```console\n$ echo 1\n2\n```",
    "settings that are wrong": '```toml\n[databases]\na = "sqlit:///a.db"\n```',
    "a block of no known kind": "```ruby\nputs 1\n```",
    "a plain block": "```\nx\n```",
    "a warning": '```python\nimport warnings\nwarnings.warn("w")\n```',
}


@pytest.mark.parametrize("text", BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_page_that_does_not_do_what_it_shows_is_noticed(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{text}\n")
    assert run_apart(page, {}, tmp_path)


def test_a_page_that_does_what_it_shows_passes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "---\nservers: postgres\n---\n# A page\n\n```python\nx = 1\nx + 1  # -> 2\nprint('a  b')\n```\n"
        "```output\na b\n```\n```{code-block} python\n:caption: one.py\nprint('file')\n```\n"
        "```console\n$ python one.py\nfile\n```\n```python\n1 / 0\n```\n"
        "```output\nTraceback (most recent call last):\n  ...\nZeroDivisionError: ...\n```\n"
        "```python\nassert x == 1\n```\n"
    )
    assert run_apart(page, {}, tmp_path) == ""
    assert Page.read(page).servers == ["postgres"]


def test_a_block_without_a_check_cannot_be_read_at_all(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```js\n1\n```\n")
    with pytest.raises(Mismatch, match="no test checks"):
        Page.read(page)


def _documented() -> set[str]:
    return set(re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", REFERENCE, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(set(peewee_multidb.__all__) - {"__version__"}))
def test_every_public_name_is_in_the_reference_and_has_a_docstring(name: str) -> None:
    assert f"peewee_multidb.{name}" in _documented()
    found = getattr(peewee_multidb, name)
    described = found if callable(found) else type(found)
    assert inspect.getdoc(described)


def _is_for_authors(name: str, value: object) -> bool:
    return name in drivers.__all__ and not inspect.ismodule(value)


@pytest.mark.parametrize(
    "name",
    [
        *(f"peewee_multidb.errors.{name}" for name in errors.__all__ if name not in peewee_multidb.__all__),
        *(f"peewee_multidb.config.{name}" for name in config.__all__ if name.endswith("Settings")),
        *(f"peewee_multidb.shards.{name}" for name in shards.__all__ if name not in peewee_multidb.__all__),
        *(f"peewee_multidb.testing.servers.{name}" for name in servers.__all__),
        *(f"peewee_multidb.middleware.{name}" for name in middleware.__all__),
        *(f"peewee_multidb.testing.{name}" for name in testing.__all__),
        *(
            f"peewee_multidb.drivers.{name}"
            for name, it in vars(drivers).items()
            if _is_for_authors(name, it)
        ),
    ],
)
def test_every_name_that_authors_of_drivers_rules_and_tests_use_is_in_the_reference(name: str) -> None:
    assert name in _documented()


#: Peewee's own methods, which have no docstrings there and mean the same here.
PEEWEES = frozenset(
    {"alias", "bulk_create", "delete", "get_or_create", "insert", "insert_from", "insert_many"}
    | {"noop", "raw", "select", "update"}
)


@pytest.mark.parametrize(
    "kind", [peewee_multidb.Model, peewee_multidb.Databases], ids=lambda kind: kind.__name__
)
def test_every_public_method_of_ours_has_a_docstring(kind: type) -> None:
    ours = [base for base in kind.__mro__ if base.__module__.startswith("peewee_multidb")]
    names = {name for base in ours for name in vars(base) if not name.startswith("_")} - PEEWEES
    methods = [name for name in names if inspect.isroutine(getattr(kind, name))]
    assert len(methods) > 10
    assert [name for name in methods if not inspect.getdoc(getattr(kind, name))] == []


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "MultiDBError"])
def test_every_error_has_a_section_that_says_when_and_what_to_do(name: str) -> None:
    assert re.search(rf"^## {name}$", (DOCS / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)


RESULTS = sorted((DOCS.parent / "benchmarks" / "results").glob("*.md"))


@pytest.mark.parametrize("name", [path.name for path in RESULTS])
def test_every_result_of_a_benchmark_is_on_the_page_of_numbers(name: str) -> None:
    page = (DOCS / "numbers.md").read_text(encoding="utf-8")
    assert f"{{include}} ../benchmarks/results/{name}\n" in page


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_meta_option_is_on_its_page(option: str) -> None:
    assert f"`{option}`" in (DOCS / "models-and-meta.md").read_text(encoding="utf-8")
