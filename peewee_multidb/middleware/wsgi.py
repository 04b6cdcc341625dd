"""Middleware for WSGI: any framework, any server.

Each request runs in a copy of the context of the server's thread, its response's body too, step by step. So
whatever a request enters, opens or forgets to leave is gone from the thread as soon as a step is over.
"""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .replies import Reply
from .request import WsgiRequest
from .rules import Rules
from .steps import Body
from .visit import Visit

__all__ = ["WSGIMiddleware"]

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class WSGIMiddleware:
    """Serve each request of a WSGI application in the databases that are its own.

    Args:
        app: the application.
        options: see `Rules`.
    """

    def __init__(self, app: App, **options: Any) -> None:
        self.app = app
        self.rules = Rules(**options)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request.

        Args:
            environ: the environment of the request.
            start_response: begins the response.
        """
        context = contextvars.copy_context()
        return context.run(self._serve, environ, start_response, context)

    def _serve(
        self, environ: Environ, start_response: Callable[..., Any], context: contextvars.Context
    ) -> Iterable[bytes]:
        request = WsgiRequest(environ)
        visit = Visit(self.rules, request)
        has_started = False

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal has_started
            has_started = True
            return start_response(status, [*headers, *visit.headers()], *([exc_info] if exc_info else []))

        try:
            visit.enter(self.rules.choose(request))
            body = self.app(_moved(environ, request.prefix), start)
        except BaseException as error:
            try:
                reply = visit.reply(error) if isinstance(error, Exception) else None
            finally:
                visit.leave()
            if reply is None:
                raise
            return _answer(reply, environ, start_response, sys.exc_info() if has_started else None)
        if _is_plain(body, environ):
            visit.leave()
            return body
        return Body(body, context, visit.leave)


def _is_plain(body: Any, environ: Environ) -> bool:
    """Whether a body runs no code of the application: then the request is over, and servers see its kind."""
    if type(body) in (list, tuple):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _moved(environ: Environ, prefix: str) -> Environ:
    """Return the environment with the beginning of its path moved to the root of the application."""
    if not prefix:
        return environ
    raw = prefix.encode().decode("latin-1")
    return {
        **environ,
        "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + raw,
        "PATH_INFO": environ.get("PATH_INFO", "")[len(raw) :],
    }


def _answer(
    reply: Reply, environ: Environ, start_response: Callable[..., Any], exc_info: Any
) -> Iterable[bytes]:
    headers, content = reply.rendered()
    # The server raises the error itself if the application's response is on its way already.
    start_response(reply.line, headers, *([exc_info] if exc_info else []))
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [content]
