"""Nothing outlives a test run: no server, no folder, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.testing.servers.conftest import Engine, gone_within

ROOT = Path(__file__).parents[3]

CHILD = """
import signal
import time
# A run in the background of a shell ignores it, and its children with it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from peewee_multidb.testing.servers import {engine}
servers = [{engine}().start()]
{more}
print(*(server.pid for server in servers), *(server.folder for server in servers), sep="\t", flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("more", "end", "signum"),
    [
        ("servers.append(servers[0].replica())", "time.sleep(600)", signal.SIGKILL),
        ("", "time.sleep(600)", signal.SIGTERM),
        ("", "time.sleep(600)", signal.SIGINT),
        ("", "", None),
    ],
    ids=["SIGKILL", "SIGTERM", "SIGINT", "end"],
)
def test_nothing_is_left_of_a_run_however_it_ends(
    engine: Engine, more: str, end: str, signum: signal.Signals | None
) -> None:
    code = CHILD.format(engine=engine.__name__, more=more, end=end)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        facts = run.stdout.readline().rstrip("\n").split("\t")
        pids = [int(pid) for pid in facts[: len(facts) // 2]]
        folders = [Path(folder) for folder in facts[len(facts) // 2 :]]
        assert pids and all(folder.exists() for folder in folders)
        if signum is not None:
            run.send_signal(signum)
        run.wait(30)
    assert gone_within(15, pids, folders)


def test_forked_child_neither_stops_the_servers_nor_keeps_them(engine: Engine) -> None:
    """Neither its exit nor its own copy of the guard's pipe counts."""
    code = textwrap.dedent(
        f"""
        import os, signal, sys, time
        from peewee_multidb.testing.servers import {engine.__name__}
        server = {engine.__name__}().start()
        if (first := os.fork()) == 0:
            sys.exit()
        os.waitpid(first, 0)
        server.execute("SELECT 1")
        if (second := os.fork()) == 0:
            os.close(1)
            time.sleep(600)
        print(server.pid, server.folder, second, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder, second = run.stdout.readline().split()
        run.kill()
        try:
            assert gone_within(15, [int(pid)], [Path(folder)])
            assert psutil.pid_exists(int(second))
        finally:
            os.kill(int(second), signal.SIGKILL)
