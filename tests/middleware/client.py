"""A client that sends just what it is told, and a server in a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 30.0


@dataclass
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """An application of `tests.middleware.apps` on one of the servers of `tests.middleware.serve`.

    Attributes:
        app: the name of the application's module.
        address: where it listens.
        log: the file that it writes to.
    """

    def __init__(self, kind: str, app: str, settings: dict[str, Any]) -> None:
        self.name, self.app = f"{kind}-{app}", app
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: tuple[str, int] = listening.getsockname()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the server is
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.middleware.serve", kind, app, str(listening.fileno())],
            cwd=ROOT,
            env={**os.environ, "TEST_DATABASES": json.dumps(settings), "PYTHONPATH": str(ROOT)},
            pass_fds=[listening.fileno()],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        listening.close()

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(TIMEOUT)
        finally:
            self._process.kill()
            self._process.wait()
            self.log.close()

    def logged(self) -> str:
        """What the server has written so far."""
        return os.pread(self.log.fileno(), 1 << 26, 0).decode("utf-8", "replace")

    def says(self, text: str) -> bool:
        """Whether the server writes that into its log, which it may do after it has answered."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.logged() and time.monotonic() < deadline:
            time.sleep(0.02)
        return text in self.logged()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=TIMEOUT)

    def raw(self, request: bytes) -> Answer | None:
        """Send these bytes; return the answer, or None if the server hung up without one."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            content = b""
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65536):
                    content += part
        return parsed(content) if content else None

    def request(
        self, method: str, target: str, tenant: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        given = {"Host": "example.com", "Connection": "close", **(headers or {})}
        if tenant is not None:
            given["X-Tenant"] = tenant
        if method == "POST":
            given["Content-Length"] = "0"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        answer = self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))
        assert answer is not None, f"{self.name} hung up: {self.logged()[-4000:]}"
        return answer

    def at_once(self, target: str, tenants: Sequence[str | None], body: bytes = b"") -> str:
        """Send a request of each tenant on one connection, all before the first answer; return the answers.

        Args:
            body: what the first request sends.
        """
        content = b""
        for number, tenant in enumerate(tenants):
            lines = [f"GET {target} HTTP/1.1", "Host: example.com"]
            lines += [] if tenant is None else [f"X-Tenant: {tenant}"]
            lines += [f"Content-Length: {len(body)}"] if number == 0 and body else []
            lines += ["Connection: close"] if number == len(tenants) - 1 else []
            content += "\r\n".join([*lines, "", ""]).encode() + (b"" if number else body)
        with self.connect() as connection:
            sending = threading.Thread(target=connection.sendall, args=[content])
            sending.start()
            found = b""
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65536):
                    found += part
            sending.join()
        return found.decode("latin-1")

    @contextlib.contextmanager
    def keeping(self) -> Iterator[Callable[[str, str, str], bytes]]:
        """Call what this gives for the body of a response, all on one connection if the server keeps it."""
        connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT)

        def ask(method: str, target: str, tenant: str) -> bytes:
            connection.request(method, target, headers={"X-Tenant": tenant})
            response = connection.getresponse()
            content = response.read()
            assert response.status == 200, (content, self.logged()[-3000:])
            return content.strip()

        try:
            yield ask
        finally:
            connection.close()

    def abandon(self, target: str, tenant: str) -> bytes:
        """Begin to read a response and go away in the middle of it; return what was read."""
        with self.connect() as connection:
            # A small window, so that the server is still sending.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lines = f"GET {target} HTTP/1.1\r\nHost: example.com\r\nX-Tenant: {tenant}\r\n\r\n"
            connection.sendall(lines.encode())
            content = b""
            while tenant.encode() not in content.partition(b"\r\n\r\n")[2]:
                part = connection.recv(1024)
                assert part, self.logged()[-4000:]
                content += part
            return content


def parsed(content: bytes) -> Answer:
    head, _, body = content.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    lowered = {name.lower(): value for name, value in headers.items()}
    if lowered.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(body)
    return Answer(int(first.split()[1]), lowered, body)


def _unchunked(body: bytes) -> bytes:
    found = b""
    while match := re.match(rb"([0-9a-fA-F]+)[^\r\n]*\r\n", body):
        length = int(match[1], 16)
        found += body[match.end() : match.end() + length]
        body = body[match.end() + length + 2 :]
        if not length:
            break
    return found
