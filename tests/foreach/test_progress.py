"""`progress=True`: a bar on a terminal, and lines elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.foreach import for_each_database

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
