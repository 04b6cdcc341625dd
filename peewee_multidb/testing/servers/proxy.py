"""A network that can fail: a TCP proxy in front of a server, with nothing but the standard library.

Between an application and its socket stand a driver, a pool and sometimes an event loop, and only a
real connection that really breaks shows what they make of it. The proxy works in a thread of its own,
so it serves blocking and asynchronous drivers alike and nothing in the test has to wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from .base import Server
from .machine import Port

if TYPE_CHECKING:
    from typing_extensions import Self

    Chunks = asyncio.Queue[tuple[float, bytes]]

CHUNK = 1 << 14
"""Bytes read at once."""

HELD = 64
"""Chunks that one direction of a connection holds back before it reads no more, as a real line would."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: close at once, which tells the other side so with a reset."""

_live: weakref.WeakSet[NetworkProxy] = weakref.WeakSet()


class NetworkProxy:
    """A TCP proxy on a loopback port, whose line to the server can be cut, hung and slowed down.

    It works from `start()` to `close()`, or for a ``with`` block, and always at the same port. A client
    is reset when the server behind the proxy is down.

    Args:
        target: the server behind it, or the host name and port of one.
    """

    def __init__(self, target: Server | tuple[str, int]) -> None:
        self.target = target
        self.host = "127.0.0.1"
        self.connections = 0
        self.bytes_to_server = 0
        self.bytes_to_client = 0
        self._port: Port | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._flowing: asyncio.Event
        self._accepting: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._sockets: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._to_server_delay = self._to_client_delay = 0.0

    # -- addresses

    @property
    def port(self) -> int:
        """The loopback port, the same one from `start()` to `close()`."""
        if self._port is None:
            raise RuntimeError("the proxy has not been started")
        return self._port.number

    def url(
        self, database: str, user: str | None = None, scheme: str | None = None, password: str | None = None
    ) -> str:
        """The URL of a database of the server behind this proxy, by way of the proxy.

        Args:
            database: its name.
            user: whom to connect as, with `password`; the kit's own user, unless another is named.
            scheme: of another driver, such as ``postgresql+asyncpg``.
            password: of `user`.
        """
        if not isinstance(self.target, Server):
            raise TypeError("only a proxy for one of the kit's servers knows its users; use `port`")
        return self.target.url(database, user, scheme, password, port=self.port)

    # -- life

    def start(self) -> Self:
        """Accept connections."""
        if self._thread is None:
            self._port = Port()
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, name=f"proxy {self.port}", daemon=True)
            self._thread.start()
            _live.add(self)
            self.restore()
        return self

    def close(self) -> None:
        """Reset every connection and free the port."""
        if self._thread is None:
            return
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._thread = None
        assert self._port is not None
        self._port.release()
        self._port = None
        _live.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- what can happen to a line

    def cut(self) -> None:
        """Reset every connection and refuse new ones, as where a machine is up and its server is not."""
        self._do(self._cut())

    def reset(self) -> None:
        """Reset every connection; new ones are accepted."""
        self._do(self._reset())

    def hang(self) -> None:
        """Accept connections and let nothing through, in either direction, as a broken route would."""
        self._do(self._hang())

    def delay(self, to_server_ms: float = 0, to_client_ms: float = 0) -> None:
        """Let what is read from now on arrive later.

        Args:
            to_server_ms: how many milliseconds a request takes to the server.
            to_client_ms: how many milliseconds an answer takes to the client.
        """
        self._to_server_delay, self._to_client_delay = to_server_ms / 1000, to_client_ms / 1000

    def restore(self) -> None:
        """Be a sound network again. What was held back by `hang()` arrives; what was reset is lost."""
        self.delay()
        self._do(self._restore())

    # -- what did happen

    @property
    def open(self) -> int:
        """How many connections clients have through the proxy now."""
        return len(self._serving)

    def wait_until(self, condition: Callable[[], bool], timeout: float = 20.0) -> None:
        """Return when `condition`, a question about the proxy's counters, holds.

        Raises:
            TimeoutError: it does not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise TimeoutError(f"{self!r} after {timeout:g} s")

    def __repr__(self) -> str:
        counted = f"{self.connections} connections, {self.open} open"
        return f"<NetworkProxy: {counted}, {self.bytes_to_server} bytes in, {self.bytes_to_client} out>"

    # -- in the proxy's own thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._flowing = asyncio.Event()
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _do(self, order: Coroutine[Any, Any, None]) -> None:
        """Have `order` carried out, and return when it has been."""
        if self._thread is None:
            order.close()
            raise RuntimeError("the proxy has not been started")
        asyncio.run_coroutine_threadsafe(order, self._loop).result()

    async def _cut(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            self._accepting = None
        await self._reset()

    async def _reset(self) -> None:
        if self._serving:
            for task in self._serving:
                task.cancel()
            await asyncio.wait(list(self._serving))

    async def _hang(self) -> None:
        self._flowing.clear()

    async def _restore(self) -> None:
        self._flowing.set()
        if self._accepting is None:
            listener = self._socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
            listener.listen(128)
            self._accepting = asyncio.create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        try:
            while True:
                client, _ = await self._loop.sock_accept(listener)
                self._sockets.add(client)
                task = asyncio.create_task(self._serve(client))
                self._serving.add(task)
                task.add_done_callback(self._served)
                self._count(connections=1)
        finally:
            self._close(listener)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._count()

    async def _serve(self, client: socket.socket) -> None:
        server = self._socket()
        tasks: list[asyncio.Task[None]] = []
        reset = True
        try:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._flowing.wait()
            await self._loop.sock_connect(server, self._address())
            tasks = [
                asyncio.create_task(step)
                for source, target in ((client, server), (server, client))
                for step in self._lane(source, target, to_server=target is server)
            ]
            await asyncio.gather(*tasks)
            reset = False
        except OSError:
            # One side is gone, or the server was never there: the other is told by the reset.
            pass
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            for end in (client, server):
                self._close(end, reset)

    def _lane(
        self, source: socket.socket, target: socket.socket, to_server: bool
    ) -> tuple[Coroutine[Any, Any, None], Coroutine[Any, Any, None]]:
        chunks: Chunks = asyncio.Queue(HELD)
        return self._read(source, chunks, to_server), self._write(target, chunks, to_server)

    async def _read(self, source: socket.socket, chunks: Chunks, to_server: bool) -> None:
        data = b"-"
        while data:
            data = await self._loop.sock_recv(source, CHUNK)
            delay = self._to_server_delay if to_server else self._to_client_delay
            await chunks.put((time.monotonic() + delay, data))

    async def _write(self, target: socket.socket, chunks: Chunks, to_server: bool) -> None:
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._flowing.wait()
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            await self._loop.sock_sendall(target, data)
            self._count(**{"bytes_to_server" if to_server else "bytes_to_client": len(data)})

    def _address(self) -> tuple[str, int]:
        if isinstance(self.target, Server):
            return self.target.host, self.target.port
        return self.target

    def _count(self, **counters: int) -> None:
        with self._changed:
            for name, more in counters.items():
                setattr(self, name, getattr(self, name) + more)
            self._changed.notify_all()

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        self._sockets.add(made)
        return made

    def _close(self, end: socket.socket, reset: bool = False) -> None:
        if reset:
            # Some systems have no such option for a socket that has never been connected.
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        end.close()
        self._sockets.discard(end)

    def _forget(self) -> None:
        """In a forked child: let go of the sockets, which only the parent can cut if it alone has them."""
        for end in self._sockets:
            end.close()
        self._thread = None


def _forget_all() -> None:
    for proxy in list(_live):
        proxy._forget()


os.register_at_fork(after_in_child=_forget_all)
