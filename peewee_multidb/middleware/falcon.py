"""Middleware components for Falcon, over WSGI and over ASGI.

Falcon calls a component before and after the responder, and sends a streaming body later. So a request is
suspended in between: the component puts the context of the server's thread back as it was, and the stream
goes on in a copy that it kept of the request's.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator
from typing import Any

import falcon
import falcon.asgi
import peewee
from playhouse.pool import MaxConnectionsExceeded  # type: ignore[import-untyped]

from ..errors import InvalidTenant
from .replies import Refusal, Reply
from .request import AsgiRequest, Request, WsgiRequest
from .rules import Rules
from .steps import Body
from .visit import Visit

logger = logging.getLogger("peewee_multidb")

__all__ = ["AsyncMultiDBComponent", "MultiDBComponent"]


class _Component:
    """What both have in common.

    Args:
        options: see `Rules`. `by_path_prefix` needs ``move=False``: a component cannot move the path.
    """

    def __init__(self, **options: Any) -> None:
        self.rules = Rules(**options)

    def add_to(self, app: Any) -> None:
        """Add the component to an app, and handlers for errors of databases that its responders raise.

        Args:
            app: the Falcon app. Handlers that it adds later are asked first.
        """
        app.add_middleware(self)
        for kind in (peewee.PeeweeException, InvalidTenant, MaxConnectionsExceeded, OSError):
            app.add_error_handler(kind, self._handler())

    def _handler(self) -> Any:
        raise NotImplementedError

    def _answer(self, req: Any, resp: Any, error: Exception) -> None:
        visit: Visit | None = getattr(req.context, "multidb", None)
        reply = None if visit is None else visit.reply(error)
        if reply is None:
            logger.error("a responder failed: %s %s", req.method, req.path, exc_info=error)
            # Any other error would go past process_response.
            raise falcon.HTTPInternalServerError from error
        _send(resp, reply)

    def _refuse(self, req: Any, resp: Any, refusal: Refusal) -> None:
        visit: Visit = req.context.multidb
        _send(resp, self.rules.reply(visit.request, refusal, visit.tenant))
        resp.complete = True


def _send(resp: Any, reply: Reply) -> None:
    headers, content = reply.rendered()
    resp.status = reply.line
    resp.data = content
    resp.text = resp.media = None
    for name, value in headers:
        if name.lower() != "content-length":
            resp.append_header(name, value) if name.lower() == "set-cookie" else resp.set_header(name, value)


class _Guard:
    """Sees to it that a request is left, also when Falcon calls no process_response.

    That is so when an error handler raises something else than an HTTPError.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit

    def __del__(self) -> None:
        if self._visit.is_here:
            self._visit.leave()


class MultiDBComponent(_Component):
    """The component for ``falcon.App``: ``MultiDBComponent(select=...).add_to(app)``.

    Args:
        options: see `Rules`. `by_path_prefix` needs ``move=False``: a component cannot move the path.
    """

    def _handler(self) -> Any:
        def handle(req: Any, resp: Any, error: Exception, params: Any) -> None:
            self._answer(req, resp, error)

        return handle

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Enter the request.

        Args:
            req: the request.
            resp: the response, complete if the request is refused.
        """
        request: Request = WsgiRequest(req.env)
        req.context.multidb = visit = Visit(self.rules, request)
        req.context.multidb_guard = _Guard(visit)
        try:
            visit.enter(self.rules.choose(request))
        except Refusal as refusal:
            self._refuse(req, resp, refusal)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Leave the request, or suspend it until its stream is sent.

        Args:
            req: the request.
            resp: the response.
            resource: not looked at.
            req_succeeded: not looked at.
        """
        visit: Visit | None = getattr(req.context, "multidb", None)
        if visit is None:
            return
        try:
            for name, value in visit.headers():
                resp.append_header(name, value)
        finally:
            inside = contextvars.copy_context()
            visit.suspend()
            if resp.stream is None or hasattr(resp.stream, "read"):
                inside.run(visit.leave)
            else:
                resp.stream = Body(resp.stream, inside, visit.leave)


class AsyncMultiDBComponent(_Component):
    """The component for ``falcon.asgi.App``: ``AsyncMultiDBComponent(select=...).add_to(app)``.

    Args:
        options: see `Rules`. `by_path_prefix` needs ``move=False``: a component cannot move the path.
    """

    def _handler(self) -> Any:
        async def handle(req: Any, resp: Any, error: Exception, params: Any, *, ws: Any = None) -> None:
            if ws is not None:
                raise error
            self._answer(req, resp, error)

        return handle

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Enter the request.

        Args:
            req: the request.
            resp: the response, complete if the request is refused.
        """
        visit = self._begin(req)
        try:
            await visit.aenter(await self.rules.achoose(visit.request))
        except Refusal as refusal:
            self._refuse(req, resp, refusal)

    async def process_response(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, resource: Any, req_succeeded: bool
    ) -> None:
        """Leave the request, or have it left when its stream is sent.

        Args:
            req: the request.
            resp: the response.
            resource: not looked at.
            req_succeeded: not looked at.
        """
        visit: Visit | None = getattr(req.context, "multidb", None)
        if visit is None:
            return
        is_over = True
        try:
            for name, value in await visit.aheaders():
                resp.append_header(name, value)
            stream: Any = resp.stream
            if stream is not None and hasattr(stream, "__aiter__"):
                resp.stream = _AsyncBody(stream, visit)  # type: ignore[assignment]
                is_over = False
        finally:
            if is_over:
                await visit.aleave()

    async def process_request_ws(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket) -> None:
        """Enter a WebSocket, which is left when its task is done: Falcon says nothing at its end.

        Args:
            req: the request.
            ws: the WebSocket, closed if the request is refused.
        """
        visit = self._begin(req)
        task = asyncio.current_task()
        try:
            await visit.aenter(await self.rules.achoose(visit.request))
        except BaseException as error:
            await visit.aleave()
            if isinstance(error, Refusal):
                raise falcon.HTTPError(error.status, title=error.message) from error
            raise
        assert task is not None
        # Connections of asynchronous databases are given back with the task by themselves.
        task.add_done_callback(lambda _: visit.leave())

    def _begin(self, req: falcon.asgi.Request) -> Visit:
        req.context.multidb = visit = Visit(self.rules, AsgiRequest(req.scope))
        return visit


class _AsyncBody:
    """A stream at whose end its request is left; Falcon sends it in the task of the request."""

    def __init__(self, stream: Any, visit: Visit) -> None:
        self._stream = stream
        self._visit = visit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        finally:
            await self._visit.aleave()

    async def close(self) -> None:
        """End the request, also when the client is gone."""
        for name in ("aclose", "close"):
            closing = getattr(self._stream, name, None)
            if closing is not None:
                await closing()
                break
        await self._visit.aleave()
