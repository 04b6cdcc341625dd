"""The names of two-phase transactions: whose they are, which program made them, and whether it lives.

A name says which log decides about it, so that `recover` never touches what belongs to another application.
It also says which process of which machine coordinates, so that nobody waits for a process that is gone. The
branch of each database is the name and a number, in the 64 bytes that XA has for it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple

__all__ = ["Gid", "new_gid", "new_log_id", "parse_xid"]

PREFIX = "mdb"
#: What a place is called where the operating system tells nothing about its processes.
NOWHERE = "0" * 8
_XID = re.compile(
    rf"(?P<gid>{PREFIX}-(?P<log>[0-9a-f]{{10}})-(?P<place>[0-9a-f]{{8}})-(?P<pid>[0-9a-f]{{1,8}})"
    r"-(?P<started>[0-9a-f]{1,10})-[0-9a-f]{16})\.[0-9a-f]{1,2}"
)
#: The most databases of one transaction.
MOST_BRANCHES = 255


class Gid(NamedTuple):
    """The name of a two-phase transaction.

    Attributes:
        text: the name itself.
        log: the id of the log that decides about it.
        place: where the process runs that coordinates: the boot of a machine, and a process namespace.
        pid: the number of that process.
        started: when it was started, in the kernel's units; tells it from another with the same number.
    """

    text: str
    log: str
    place: str
    pid: int
    started: int

    def branch(self, number: int) -> str:
        """Return the name of its part in one database, as an SQL literal's content.

        Args:
            number: from 0 to `MOST_BRANCHES`.
        """
        return f"{self.text}.{number:x}"

    @property
    def is_orphaned(self) -> bool:
        """Whether the process is known to be gone; False when nothing can be known about it."""
        if self.place == NOWHERE or self.place != _place():
            return False
        return _started(self.pid) != self.started


def new_log_id() -> str:
    """Return an id for a new log."""
    return secrets.token_hex(5)


def new_gid(log: str) -> Gid:
    """Return a name that no other transaction has.

    Args:
        log: the id of the log that will decide about it.
    """
    place, pid = _place(), os.getpid()
    started = _own_start(pid)
    text = f"{PREFIX}-{log}-{place}-{pid:x}-{started:x}-{secrets.token_hex(8)}"
    return Gid(text, log, place, pid, started)


def parse_xid(xid: str | bytes) -> Gid | None:
    """Return the transaction that a branch belongs to; None for one that is not of this package.

    Args:
        xid: the name of the branch, as a server lists it.
    """
    found = _XID.fullmatch(xid.decode("ascii", "replace") if isinstance(xid, bytes) else xid)
    if found is None:
        return None
    return Gid(found["gid"], found["log"], found["place"], int(found["pid"], 16), int(found["started"], 16))


def parse_gid(text: str) -> Gid | None:
    """Return the transaction of that name, None if it is none."""
    return parse_xid(f"{text}.0")


@functools.cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Containers may share the kernel and the name of the host; process numbers they do not share.
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return NOWHERE
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:8]


@functools.lru_cache(maxsize=2)
def _own_start(pid: int) -> int:
    return _started(pid) or 0


def _started(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since the boot; None if it runs no more."""
    try:
        # The name of the program is in parentheses, and may hold any character.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
