"""The README does what it shows, and points at what is there."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from tests.pages import run_apart

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.compile(r"^```sh\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.partition("  #")[0].strip() for block in SHELL.findall(README) for line in block.splitlines()
]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def test_the_example_does_what_it_shows(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    # What is left after the commands, which the tests below check, may hold no block that nobody runs.
    page.write_text(SHELL.sub("", README), encoding="utf-8")
    assert "```python" in page.read_text(encoding="utf-8")
    assert run_apart(page, {}, tmp_path) == ""


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_each_make_command_has_its_target(command: str) -> None:
    done = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("pip ")])
def test_each_pip_command_asks_for_extras_that_there_are(command: str) -> None:
    matched = re.fullmatch(r"pip install (?:\.|'\.\[([a-z,]+)\]')", command)
    assert matched is not None
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    asked = set(filter(None, (matched[1] or "").split(",")))
    assert asked <= set(metadata["options.extras_require"])


def test_every_command_is_checked_by_one_of_the_tests_above() -> None:
    assert len(COMMANDS) >= 4
    assert [one for one in COMMANDS if not one.startswith(("make ", "pip "))] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_project_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert links or page != "README.md"


@pytest.mark.parametrize(
    "name", re.findall(r"^\| `make (\w+)`", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
)
def test_each_target_that_contributors_are_told_of_is_there(name: str) -> None:
    assert re.search(rf"^{name}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
