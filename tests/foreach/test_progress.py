"""`progress=True`: a bar on a terminal, and lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from rich.console import Console

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.foreach import for_each_database
from peewee_multidb.foreach.progress import shown

CODE = """
from peewee_multidb import Databases
from peewee_multidb.foreach import for_each_database
registry = Databases({f"t{n}": "sqlite://" for n in range(20)})
def visit(name):
    if name == "t7":
        raise ValueError("[bold]no[/bold]")
for_each_database(visit, registry=registry, workers=1, progress=True)
"""


def test_without_a_terminal_there_is_a_line_for_a_failure_and_for_each_tenth() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (0, "")
    assert lines.pop(3) == "t7: ValueError: [bold]no[/bold]"
    failed = [""] * 3 + [", 1 failed"] * 7
    assert lines == [f"visit: {n * 2} of 20{text}" for n, text in zip(range(1, 11), failed, strict=True)]


def test_on_a_terminal_there_is_a_bar() -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", CODE], stderr=follower, env=environment)
    os.close(follower)
    shown = b""
    while True:
        try:
            some = os.read(leader, 4096)
        except OSError:
            break  # how Linux tells that the other side is closed
        if not some:
            break
        shown += some
    os.close(leader)
    assert process.wait(30) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "visit" in text and "20/20" in text and "1 failed" in text
    assert "t7: ValueError: [bold]no[/bold]" in text


def test_without_rich_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(ConfigurationError, match=r"peewee-multidb\[cli\]"):
        for_each_database(print, ["a"], registry=Databases({"a": "sqlite://"}), progress=True)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> io.StringIO:
    """What a console writes that is a terminal, if the test says so."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=request.param, color_system=None, width=100)
    monkeypatch.setattr("peewee_multidb.foreach.progress._console", lambda: console)
    return file


def visit(name: str) -> None:
    if name in ("t3", "t7"):
        raise ValueError("[bold]no[/bold]\nand more" if name == "t3" else "")


@pytest.mark.parametrize("written", [True], indirect=True)
def test_the_bar_counts_failures_and_shows_the_first_line_of_each_as_it_is(written: io.StringIO) -> None:
    registry = Databases({f"t{n}": "sqlite://" for n in range(10)})
    for_each_database(visit, registry=registry, workers=1, progress=True)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    lines = [line.strip() for line in re.split(r"[\r\n]+", text)]
    failures = [line for line in lines if line.startswith("t")]
    assert failures == ["t3: ValueError: [bold]no[/bold]", "t7: ValueError"]
    assert "10/10" in text and "2 failed" in text and "and more" not in text


@pytest.mark.parametrize("written", [False], indirect=True)
def test_the_lines_count_failures_and_name_each_where_it_happens(written: io.StringIO) -> None:
    registry = Databases({f"t{n}": "sqlite://" for n in range(10)})
    for_each_database(visit, registry=registry, workers=1, progress=True)
    assert written.getvalue().splitlines() == [
        *(f"visit: {n} of 10" for n in (1, 2, 3)),
        "t3: ValueError: [bold]no[/bold]",
        *(f"visit: {n} of 10, 1 failed" for n in (4, 5, 6, 7)),
        "t7: ValueError",
        *(f"visit: {n} of 10, 2 failed" for n in (8, 9, 10)),
    ]


def test_a_function_is_called_in_place_of_a_bar_and_nothing_else_is_a_progress() -> None:
    seen: list[tuple[int, int, str, bool]] = []
    for_each_database(
        visit,
        ["t2", "t3"],
        registry=Databases({"t2": "sqlite://", "t3": "sqlite://"}),
        workers=1,
        progress=lambda done, total, name, error: seen.append((done, total, name, error is None)),
    )
    assert seen == [(1, 2, "t2", True), (2, 2, "t3", False)]
    with pytest.raises(ConfigurationError, match="progress='bar': True, False or a function"):
        shown("bar", 1, "visit").__enter__()
