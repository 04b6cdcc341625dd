"""What every test server needs: a folder, a port, an unprivileged user, a supervised process.

Servers run in sessions of their own, so that Ctrl-C reaches the tests and not the servers under
them, and `guard.py` ends whatever a dying run leaves behind.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .machine import Port, StartFailed, Unavailable, unprivileged_user
from .wards import guard, new_folder

if TYPE_CHECKING:
    from typing_extensions import Self

START_TIMEOUT = 60.0
"""Seconds from the start of a server's process to its first answer."""

STOP_TIMEOUT = 20.0
"""Seconds a polite shutdown may take before the process is killed."""

PORT_ATTEMPTS = 5
LOG_TAIL_LINES = 30

_owner = os.getpid()
_live: weakref.WeakSet[Server] = weakref.WeakSet()


def _close_all() -> None:
    # A forked child that ends with sys.exit() runs this too, and owns none of it.
    if os.getpid() == _owner:
        for server in list(_live):
            server.close()
        guard.close()


atexit.register(_close_all)


class Server(ABC):
    """One database server: `start()` makes it and undoes `stop()` and `kill()`; nothing undoes `close()`.

    Args:
        durable: on the disk and with the settings that survive a power cut. Without them a server is
            many times faster and still survives the death of its process, all that tests can cause.
    """

    engine: ClassVar[str]
    user: ClassVar[str] = "app"
    scheme: ClassVar[str]
    polite_signal: ClassVar[signal.Signals]
    abrupt_signal: ClassVar[signal.Signals]
    """What ends the process at once and together with the processes it started."""

    def __init__(self, *, durable: bool = False) -> None:
        self.durable = durable
        self.host = "127.0.0.1"
        self.password = secrets.token_hex(8)
        self._port: Port | None = None
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    # -- what an engine provides

    @abstractmethod
    def _create(self) -> None:
        """Fill the new folder with an empty cluster."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """The command line that serves the folder in the foreground."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a query gets an answer."""

    # -- addresses

    @property
    def folder(self) -> Path:
        """Where the server keeps everything, its log included."""
        if self._folder is None:
            raise RuntimeError(f"{self.engine} has not been started")
        return self._folder

    @property
    def port(self) -> int:
        """The loopback port, the same one from the first start to `close()`."""
        if self._port is None:
            raise RuntimeError(f"{self.engine} has not been started")
        return self._port.number

    @property
    def log(self) -> Path:
        """The file of the server's messages."""
        return self.folder / "server.log"

    @property
    def pid(self) -> int | None:
        """The process id of a running server."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    def url(
        self,
        database: str,
        user: str | None = None,
        scheme: str | None = None,
        password: str | None = None,
        port: int | None = None,
    ) -> str:
        """The URL of a database of this server.

        Args:
            database: its name.
            user: whom to connect as, with `password`; the kit's own user, unless another is named.
            scheme: of another driver, such as ``postgresql+asyncpg``.
            password: of `user`.
            port: of somebody in between, such as a `NetworkProxy`.
        """
        account = f"{user or self.user}:{password or self.password}"
        return f"{scheme or self.scheme}://{account}@{self.host}:{port or self.port}/{database}"

    # -- life and death

    def start(self) -> Self:
        """Start the server, making it first if need be, and return once it answers.

        Raises:
            Unavailable: this machine cannot run it.
        """
        if self.running:
            return self
        if self._folder is None:
            self._folder = new_folder(f"multidb-{self.engine.lower()}-", on_disk=self.durable)
            _live.add(self)
            try:
                self._create()
                self._start_on_some_port()
            except BaseException:
                self.close()
                raise
        else:
            self._launch()
        return self

    def stop(self) -> None:
        """Shut the server down in its own good order; its data stay for the next `start()`."""
        self._end(self.polite_signal)

    def kill(self) -> None:
        """End the server without warning, as a crash would; its data stay for the next `start()`."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the server and delete its folder."""
        self._end(self.abrupt_signal)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            guard.tell(self._folder)
            self._folder = None
        if self._port is not None:
            self._port.release()
            self._port = None
        _live.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def run(self, command: Sequence[str | Path], **env: str) -> None:
        """Run a program of the engine as the servers' user, in the folder, to its end.

        Args:
            command: the program and its arguments.
            env: variables of its environment, over those of this process.

        Raises:
            Unavailable: it cannot be run, or fails.
        """
        try:
            result = subprocess.run(
                [str(part) for part in command],
                cwd=self.folder,
                env={**os.environ, **self._environment(), **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                **unprivileged_user(),
            )
        except OSError as error:
            # Also what a container says that does not let root become somebody else.
            raise Unavailable(f"{command[0]} cannot be run: {error}") from error
        if result.returncode:
            raise StartFailed(f"{command[0]} failed:\n{_tail(result.stdout)}")

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = START_TIMEOUT) -> None:
        """Poll `condition` until it holds.

        Args:
            condition: asked about fifty times a second.
            what: the name of what is waited for, for the message.
            timeout: in seconds.

        Raises:
            StartFailed: the server ended, or `timeout` seconds went by; with the tail of its log.
        """
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.engine}: no {what} within {timeout:g} s\n{self.log_tail()}")
            # Waiting for the process's end is the pause between two polls: its death is noticed at once.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                raise StartFailed(f"{self.engine} ended before {what}\n{self.log_tail()}")

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the server's log."""
        return _tail(self.log.read_text(errors="replace"), lines) if self.log.exists() else "(no log)"

    def _environment(self) -> dict[str, str]:
        # The user who runs the servers has no home, and settings found there would not be private.
        # Two MariaDBs that are installed at once trip over each other's temporary files.
        private = str(self.folder)
        return {"HOME": private, "TMPDIR": private, "TZ": "UTC", "LC_ALL": "C"}

    def _start_on_some_port(self) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._port = Port()
            try:
                self._launch()
            except StartFailed:
                self._port.release()
                log = self.log.read_text(errors="replace") if self.log.exists() else ""
                if attempt == PORT_ATTEMPTS or "in use" not in log.lower():
                    raise
                self.log.unlink()
            else:
                return

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in self._command()],
                cwd=self.folder,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **unprivileged_user(),
            )
        guard.tell(self.folder, self._process.pid, int(self.abrupt_signal))
        try:
            self.wait_until(self._answers, "answer")
        except BaseException:
            self._end(self.abrupt_signal)
            raise

    def _end(self, signum: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signum)
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        guard.tell(self.folder, 0)


def _tail(text: str, lines: int = LOG_TAIL_LINES) -> str:
    return "\n".join(text.splitlines()[-lines:])
