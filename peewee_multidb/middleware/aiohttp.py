"""Middleware for the server of aiohttp.

aiohttp serves all requests of a connection in one task, so what a request enters has to be left in the same
task before the next one; nothing is left to the end of the task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web
from aiohttp.payload import AsyncIterablePayload

from .replies import Reply
from .request import Headers, Request, host_of_target
from .rules import Rules
from .visit import Visit

__all__ = ["AiohttpRequest", "setup"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# What came before 3.14 has text alone for keys, which later ones warn of.
_SERVING: Any = (
    web.RequestKey("peewee_multidb_serving", object)
    if hasattr(web, "RequestKey")
    else "peewee_multidb_serving"
)


class _Headers(Headers):
    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def all(self, name: str) -> list[str]:
        found: list[str] = self._headers.getall(name, [])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name in self._headers))


class AiohttpRequest(Request):
    """A request of aiohttp.

    Args:
        request: the request, which is `source`.
    """

    __slots__ = ()

    def __init__(self, request: web.BaseRequest) -> None:
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        super().__init__(
            kind="websocket" if is_websocket else "http",
            method=request.method,
            path=request.path,
            root_path="",
            scheme=request.scheme,
            headers=_Headers(request.headers),
            source=request,
        )

    def _target_host(self) -> str | None:
        return host_of_target(self.source.raw_path)


class _Serving:
    """What the signal of aiohttp has to know of a request that is on its way.

    Args:
        visit: the request.
        outer: what an application around this one has begun for the same request.
    """

    __slots__ = ("has_begun", "outer", "visit")

    def __init__(self, visit: Visit, outer: _Serving | None) -> None:
        self.visit = visit
        self.outer = outer
        self.has_begun = False

    async def begin(self, response: web.StreamResponse) -> None:
        """Add what the response gets besides its own headers, once."""
        if not self.has_begun:
            self.has_begun = True
            response.headers.extend(await self.visit.aheaders())
        if self.outer is not None:
            await self.outer.begin(response)


def setup(app: web.Application, *, close_on_cleanup: bool = True, **options: Any) -> None:
    """Serve each request and each WebSocket of an application in the databases that are its own.

    The middleware is added in front of those that the application has.

    Args:
        app: the application.
        close_on_cleanup: close every connection and pool of the registry when the application ends.
        options: see `Rules`. `by_path_prefix` needs ``move=False``, since aiohttp has no such notion.
    """
    rules = Rules(**options)

    @web.middleware
    async def multidb(request: web.Request, handler: Handler) -> web.StreamResponse:
        visit = Visit(rules, AiohttpRequest(request))
        outer: _Serving | None = request.get(_SERVING)
        request[_SERVING] = serving = _Serving(visit, outer)
        try:
            await visit.aenter(await rules.achoose(visit.request))
            response = await handler(request)
            await serving.begin(response)
            if isinstance(getattr(response, "body", None), AsyncIterablePayload):
                # aiohttp would run the application's generator after the last middleware.
                await response.prepare(request)
                await response.write_eof()
            return response
        except web.HTTPException as answer:
            await serving.begin(answer)
            raise
        except Exception as error:
            reply = None if serving.has_begun else visit.reply(error)
            if reply is None:
                raise
            return _response(reply)
        finally:
            request[_SERVING] = outer
            await visit.aleave()

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        serving: _Serving | None = request.get(_SERVING)
        if serving is not None:
            await serving.begin(response)

    async def clean_up(_: web.Application) -> None:
        await rules.registry.aclose_all()

    app.middlewares.insert(0, multidb)
    app.on_response_prepare.append(prepare)
    if close_on_cleanup:
        app.on_cleanup.append(clean_up)


def _response(reply: Reply) -> web.Response:
    headers, content = reply.rendered()
    return web.Response(status=reply.status, headers=headers, body=content)
