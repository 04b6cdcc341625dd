"""What this machine can offer a test server: an unprivileged user, folders it can reach, a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

SHARED_MEMORY = Path("/dev/shm")
ROOMY = 4 << 30
"""Bytes; a primary with two replicas of each engine and their logs stays well below it."""


class Unavailable(Exception):
    """This machine cannot run the server; the message says why."""


class StartFailed(Unavailable):
    """The server's program is there but does not come up; the message ends with its log."""


def unprivileged_user() -> dict[str, Any]:
    """Popen arguments that drop root, which PostgreSQL refuses and no test server needs; else nothing."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Unavailable("running as root, and there is no user 'nobody' to run servers as") from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def reachable(path: Path) -> bool:
    """Whether the user that runs the servers can get to `path`: no folder on the way is closed to others."""
    if os.geteuid() != 0:
        return os.access(path, os.X_OK)
    resolved = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (resolved, *resolved.parents))


def roomy_memory() -> list[str]:
    """The machine's memory-backed folder, if it has room for a few servers.

    A fresh PostgreSQL database is three hundred files: about 15 ms there, up to 300 ms on a disk.
    A TMPDIR in the environment is a choice already made.
    """
    if "TMPDIR" in os.environ or not SHARED_MEMORY.is_dir():
        return []
    return [str(SHARED_MEMORY)] if shutil.disk_usage(SHARED_MEMORY).free >= ROOMY else []


def give_to_server(path: Path) -> None:
    """Make the servers' user the owner of `path`."""
    user = unprivileged_user()
    if user:
        os.chown(path, user["user"], user["group"])


class Port:
    """A loopback port, kept by a bound socket that never listens.

    On Linux two sockets with SO_REUSEADDR may share a port as long as one listens, so the server
    gets in and nobody is given the port meanwhile, not even while the server is down between a kill
    and a restart. Elsewhere the socket is closed at once, and a start that loses the race tries
    another port.
    """

    def __init__(self) -> None:
        self._holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.number: int = self._holder.getsockname()[1]
        if not sys.platform.startswith("linux"):
            self._holder.close()

    def release(self) -> None:
        """Leave the port to whoever asks for one."""
        self._holder.close()
