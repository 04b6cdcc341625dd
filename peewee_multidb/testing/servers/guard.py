"""The process that outlives the test run, to stop its servers and delete their folders.

A run that is killed cannot clean up after itself, and "die with your parent" flags are no remedy:
they are cleared when a process changes its user, they fire when a *thread* ends, and they delete no
folder. So a run starts this small program beside its servers and tells it, over a pipe, what it
owns. The end of the pipe is the end of the run, however it came about.

One line per fact, fields separated by tabs::

    <folder> <pid> <signal>    the server in <folder> runs as <pid>; <signal> ends it at once
    <folder> 0                 it does not run, the folder remains
    <folder>                   the folder is gone, forget it

Run as a script with the standard library alone (`python -I -S guard.py`), so that it starts fast.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from dataclasses import dataclass

GRACE = 5.0
"""Seconds a server may take to obey its own signal before SIGKILL."""


@dataclass
class Ward:
    """One server folder and the process that works in it, if any."""

    pid: int = 0
    stop_signal: int = signal.SIGKILL
    pidfd: int = -1

    def watch(self, pid: int, stop_signal: int) -> None:
        """Take note of a process while it is certain to be the right one."""
        self.release()
        self.pid, self.stop_signal = pid, stop_signal
        # A pidfd still means the same process when its number has been given to another one.
        if pid and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(pid)

    def release(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pid, self.pidfd = 0, -1

    def send(self, signum: int) -> None:
        with contextlib.suppress(OSError):
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, signum)
            elif self.pid:
                os.kill(self.pid, signum)

    def wait(self, seconds: float) -> bool:
        """Whether the process ended within so many seconds."""
        if self.pidfd >= 0:
            return bool(select.select([self.pidfd], [], [], seconds)[0])
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                os.kill(self.pid, 0)
            except OSError:
                return True
            time.sleep(0.02)
        return False

    def end(self) -> None:
        if not self.pid:
            return
        self.send(self.stop_signal)
        if not self.wait(GRACE):
            self.send(signal.SIGKILL)
            self.wait(GRACE)
        self.release()


def main() -> None:
    # Ctrl-C and a closing terminal are for the run; this process acts on the end of the pipe alone.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    wards: dict[str, Ward] = {}
    for line in sys.stdin:
        folder, *process = line.rstrip("\n").split("\t")
        if process:
            wards.setdefault(folder, Ward()).watch(int(process[0]), int(process[-1]))
        elif folder in wards:
            wards.pop(folder).release()
    for ward in wards.values():
        # All at once first, so that several servers do not queue for their grace.
        ward.send(ward.stop_signal)
    for folder, ward in wards.items():
        ward.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
