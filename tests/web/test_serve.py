"""``multidb serve``, as a process of its own."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from peewee_multidb import Databases
from peewee_multidb.cli.group import group_for
from peewee_multidb.cli.serve import VARIABLE

TOKEN = "a-token-that-is-long-enough"


@contextmanager
def started(folder: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "multidb.toml").write_text(f'[databases]\ndefault = "sqlite:///{folder}/app.db"\n')
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "peewee_multidb", "serve", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def asked(line: str, **headers: str) -> Any:
    port = int(line.partition("://")[2].partition("/")[0].rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/", headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_it_serves_the_page_on_this_machine_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    with started(tmp_path, "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Serving on http://127.0.0.1:"), process.communicate()
        status, text = asked(line)
        assert status == 200 and "app.db" in text and "Mount the page in it" in text
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert "Traceback" not in errors


def refused(folder: Path, *arguments: str) -> str:
    """Call it in this process; gives what it says when it refuses."""
    registry = Databases({"default": f"sqlite:///{folder}/app.db"})
    result = CliRunner().invoke(group_for(registry), ["serve", "--port", "0", *arguments])
    assert result.exit_code != 0 and "Serving" not in result.output and "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_it_does_not_start_elsewhere_without_a_token(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert "no token" in refused(tmp_path, "--host", host)


def test_with_a_token_it_asks_for_it_and_never_says_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    arguments = ("--host", "0.0.0.0", "--port", "0", "--token-file", "token")
    with started(tmp_path, *arguments) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert asked(line)[0] == 401 and asked(line, Authorization=f"Bearer {TOKEN}")[0] == 200
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert TOKEN not in line + output + errors


@pytest.mark.parametrize("content", [None, "", "short"])
def test_a_token_file_that_is_of_no_use_is_an_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    assert "token" in refused(tmp_path, "--token-file", str(tmp_path / "token"))


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    own = Databases({"default": f"sqlite:///{tmp_path}/app.db"})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(group_for(own), ["serve", "--port", str(port)])
    assert result.exit_code == 3
    assert f"serve: port {port} of '127.0.0.1' cannot be had" in result.output and "--port 0" in result.output
