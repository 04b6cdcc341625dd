"""This process's side of `guard.py`: every folder of a server is made here, and known to the guard."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from .machine import Unavailable, give_to_server, reachable, roomy_memory

MAX_SOCKET_PATH = 100
"""Characters; the kernel's limit for a unix socket's path is 108 bytes, on some systems 104."""


class Guard:
    """This process's end of the pipe to `guard.py`, started before the first folder is made."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the guard, once."""
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(__file__).with_name("guard.py"))],
                    stdin=subprocess.PIPE,
                    # An inherited pipe would keep `pytest | tee` waiting for the guard.
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                    # Unbuffered: a forked child must have nothing of ours to flush, and threads that
                    # start servers at the same time must not mix their lines.
                    bufsize=0,
                )

    def tell(self, *fields: object) -> None:
        """Send one fact; see `guard.py` for the fields."""
        self._pipe.write(("\t".join(map(str, fields)) + "\n").encode())

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process is not None and self._process.stdin is not None
        return self._process.stdin

    def close(self) -> None:
        """End the pipe and wait until the guard has put everything away."""
        if self._process is not None:
            self._pipe.close()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """In a forked child: let go of the pipe, which must end with the parent and not with the child."""
        self._lock = threading.Lock()
        if self._process is not None:
            self._pipe.close()
            self._parents, self._process = self._process, None


guard = Guard()
os.register_at_fork(after_in_child=guard.forget)


def new_folder(prefix: str, on_disk: bool = False) -> Path:
    """A new folder that the servers' user owns, with a path short enough for a unix socket in it.

    It disappears with this process at the latest.
    """
    for parent in (*([] if on_disk else roomy_memory()), tempfile.gettempdir(), "/tmp", "/var/tmp"):
        too_long = len(parent) + len(prefix) + len("/xxxxxxxx/server.sock") > MAX_SOCKET_PATH
        if too_long or not Path(parent).is_dir() or not reachable(Path(parent)):
            continue
        guard.start()
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        guard.tell(folder, 0)
        give_to_server(folder)
        return folder
    raise Unavailable("no temporary folder that the servers' user can reach")
