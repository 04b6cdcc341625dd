"""Run one of `tests.middleware.apps` on one of the servers people use, on a socket that is open already.

    python -m tests.middleware.serve waitress plain 7

The third argument is the number of the listening socket. Whoever opened it may connect at once.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

THREADS = 4


def gunicorn(module: str, fd: int, *options: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{fd}", "--workers", "1", *options]
    os.execv(sys.executable, [*command, f"{module}:create_app()"])


def threaded(module: str, fd: int) -> None:
    gunicorn(module, fd, "--worker-class", "gthread", "--threads", str(THREADS))


def gevent(module: str, fd: int) -> None:
    gunicorn(module, fd, "--worker-class", "gevent")


def waitress(module: str, fd: int) -> None:
    from waitress import serve

    serve(_app(module), sockets=[socket.socket(fileno=fd)], threads=THREADS, _quiet=True)


def reference(module: str, fd: int) -> None:
    """The server of the standard library, with its judge of WSGI in between."""
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
    from wsgiref.validate import validator

    server = WSGIServer(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=fd)
    server.server_address = server.socket.getsockname()
    server.server_name, server.server_port = "127.0.0.1", server.server_address[1]
    server.setup_environ()
    server.set_app(validator(_app(module)))
    server.serve_forever()


def uvicorn(module: str, fd: int) -> None:
    import uvicorn

    uvicorn.run(_app(module), fd=fd, log_level="warning")


def hypercorn(module: str, fd: int) -> None:
    os.execv(
        sys.executable,
        [sys.executable, "-m", "hypercorn", "--bind", f"fd://{fd}", f"{module}:create_app()"],
    )


def aiohttp(module: str, fd: int) -> None:
    from aiohttp import web

    web.run_app(_app(module), sock=socket.socket(fileno=fd), print=None, handle_signals=True)


def _app(module: str) -> Any:
    import importlib

    return importlib.import_module(module).create_app()


SERVERS = {one.__name__: one for one in (threaded, gevent, waitress, reference, uvicorn, hypercorn, aiohttp)}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](f"tests.middleware.apps.{sys.argv[2]}", int(sys.argv[3]))
