"""The guard ends what it was told of, the obedient and the others, and deletes their folders."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peewee_multidb.testing.servers import guard

OBEDIENT = "import time; print(flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


@pytest.fixture(params=["pidfd", "pid"])
def watching(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's help and without it."""
    if request.param == "pid":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no pidfd_open")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def process(code: str) -> subprocess.Popen[bytes]:
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_it_ends_what_is_left_and_nothing_else(
    watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Unburied children count as alive for whoever has no pidfd.
    monkeypatch.setattr(guard, "GRACE", 0.3)
    folders = [tmp_path / name for name in ("obedient", "stubborn", "stopped", "forgotten")]
    for folder in folders:
        folder.mkdir()
    ended, stubborn, stopped, forgotten = (process(OBEDIENT if n != 1 else STUBBORN) for n in range(4))
    facts = [
        *((folders[0], 0), (folders[0], ended.pid, int(signal.SIGTERM))),
        (folders[1], stubborn.pid, int(signal.SIGTERM)),
        *((folders[2], stopped.pid, int(signal.SIGTERM)), (folders[2], 0)),
        *((folders[3], forgotten.pid, int(signal.SIGTERM)), (folders[3],)),
        (tmp_path / "never heard of",),
    ]
    lines = "".join("\t".join(map(str, fact)) + "\n" for fact in facts)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    try:
        guard.main()
        assert ended.wait(10) == -signal.SIGTERM
        assert stubborn.wait(10) == -signal.SIGKILL
        assert stopped.poll() is None and forgotten.poll() is None
        assert [folder.exists() for folder in folders] == [False, False, False, True]
    finally:
        for started in (ended, stubborn, stopped, forgotten):
            started.kill()
            started.communicate()
