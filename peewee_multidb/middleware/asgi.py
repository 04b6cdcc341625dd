"""Middleware for ASGI: Starlette, FastAPI, Litestar, Quart, Django, and any server.

It is a plain ASGI application and starts no task of its own, so what it enters reaches the endpoint, the
thread that a synchronous endpoint runs in, background tasks and the end of a streaming response.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .replies import Reply
from .request import AsgiRequest
from .rules import Rules
from .visit import Visit

__all__ = ["MultiDBMiddleware"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

#: "Policy violation" and "try again later", see https://www.iana.org/assignments/websocket.
CLOSE_REFUSED, CLOSE_LATER = 1008, 1013


class MultiDBMiddleware:
    """Serve each request and each WebSocket of an ASGI application in the databases that are its own.

    Args:
        app: the application.
        close_on_shutdown: close every connection and pool of the registry when the server stops, which ASGI
            tells by its lifespan protocol.
        options: see `Rules`.
    """

    def __init__(self, app: App, *, close_on_shutdown: bool = True, **options: Any) -> None:
        self.app = app
        self.close_on_shutdown = close_on_shutdown
        self.rules = Rules(**options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket, or the life of the server.

        Args:
            scope: what it is.
            receive: brings the events of the client.
            send: takes those of the application.
        """
        if scope["type"] not in ("http", "websocket"):
            await self._live(scope, receive, send)
            return
        request = AsgiRequest(scope)  # type: ignore[arg-type]
        visit = Visit(self.rules, request)
        has_started = False

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal has_started
            if not has_started and message["type"] in ("http.response.start", "websocket.accept"):
                has_started = True
                added = await visit.aheaders()
                if added:
                    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in added]
                    message = {**message, "headers": [*message.get("headers", ()), *pairs]}
            await send(message)

        try:
            await visit.aenter(await self.rules.achoose(request))
            if request.prefix:
                scope = {**scope, "root_path": scope.get("root_path", "").rstrip("/") + request.prefix}
            await self.app(scope, receive, sending)
        except Exception as error:
            reply = None if has_started else visit.reply(error)
            if reply is None:
                raise
            await _answer(reply, scope, send)
        finally:
            await visit.aleave()

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" or not self.close_on_shutdown:
            await self.app(scope, receive, send)
            return

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self.rules.registry.aclose_all()
            await send(message)

        await self.app(scope, receive, sending)


async def _answer(reply: Reply, scope: Scope, send: Send) -> None:
    headers, content = reply.rendered()
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if scope["type"] == "websocket":
        if "websocket.http.response" not in scope.get("extensions", {}):
            code = CLOSE_LATER if reply.status == 503 else CLOSE_REFUSED
            await send({"type": "websocket.close", "code": code, "reason": ""})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
    if scope.get("method") == "HEAD":
        content = b""
    await send({"type": f"{kind}.start", "status": reply.status, "headers": pairs})
    await send({"type": f"{kind}.body", "body": content})
