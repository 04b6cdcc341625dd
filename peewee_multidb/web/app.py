"""The status page as an ASGI application."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs

from ..errors import ConfigurationError
from ..registry import Databases, databases

try:
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, RedirectResponse, Response
except ImportError:
    raise ConfigurationError('The status page needs starlette: pip install "peewee-multidb[web]"') from None

from .asking import Asker
from .guard import COOKIE, HEADERS, Guard
from .page import login_page, page, section_bodies, summary
from .recorder import Recorder
from .snapshot import snapshot

__all__ = ["StatusApp", "status_app"]

FILES = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}
HTML = "text/html; charset=utf-8"
#: Bytes of a form with a token in it.
LONGEST_FORM = 4096
#: Seconds after which a browser without scripts loads the page again.
REFRESH = 15


class StatusApp:
    """An ASGI application; made by `status_app`. ``close()`` ends its thread and its observing."""

    def __init__(
        self,
        registry: Databases,
        guard: Guard,
        asker: Asker,
        recorder: Recorder | None,
        models: Sequence[Any] | None,
        slow: float,
        interval: float,
    ) -> None:
        self._registry = registry
        self._guard = guard
        self.asker = asker
        self._recorder = recorder
        self._models = models
        self._slow = slow
        self._interval = interval

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._respond(request)
        for key, value in HEADERS.items():
            response.headers[key] = value
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        refusal = self._guard.refusal(request)
        if refusal is not None:
            return Response(refusal, 403, media_type="text/plain")
        root = request.scope.get("root_path", "").rstrip("/")
        path = request.scope["path"].removeprefix(root) or "/"
        if request.method == "POST":
            return await self._post(request, root, path)
        if request.method not in ("GET", "HEAD"):
            return Response("The page is read only.", 405, {"allow": "GET, HEAD"}, "text/plain")
        if path in FILES:
            return Response(_file(path[1:]), media_type=FILES[path])
        if path not in ("/", "/data.json", "/sections.json"):
            return Response("There is no such page.", 404, media_type="text/plain")
        if not self._guard.knows(request):
            if path != "/":
                return JSONResponse({"error": "a token is needed"}, 401, {"www-authenticate": "Bearer"})
            return Response(login_page(root, failed=False), 401, media_type=HTML)
        data = await run_in_threadpool(self.data)
        if path == "/data.json":
            return JSONResponse(_plain(data))
        if path == "/sections.json":
            return JSONResponse({"summary": summary(data), "sections": section_bodies(data)})
        whole = page(data, root, refresh=REFRESH, log_out=self._guard.has_token)
        return Response(whole, media_type=HTML)

    async def _post(self, request: Request, root: str, path: str) -> Response:
        home = f"{root}/"
        if path not in ("/login", "/logout"):
            return Response("The page is read only.", 405, {"allow": "GET, HEAD"}, "text/plain")
        if not self._guard.has_token:
            return RedirectResponse(home, 303)
        if path == "/logout":
            response: Response = RedirectResponse(home, 303)
            response.delete_cookie(COOKIE, path=home, httponly=True, samesite="strict")
            return response
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LONGEST_FORM:
                return Response("This is no token.", 413, media_type="text/plain")
        given = parse_qs(body.decode(errors="replace")).get("token", [""])[0]
        if not self._guard.fits(given):
            return Response(login_page(root, failed=True), 401, media_type=HTML)
        response = RedirectResponse(home, 303)
        is_secure = request.url.scheme == "https"
        response.set_cookie(
            COOKIE, self._guard.cookie, path=home, httponly=True, samesite="strict", secure=is_secure
        )
        return response

    def data(self) -> dict[str, Any]:
        """Return what the page shows; the first call asks the servers."""
        self.asker.start()
        return snapshot(self._registry, self.asker, self._recorder, self._models, self._slow, self._interval)

    def close(self) -> None:
        """Stop asking and observing."""
        self.asker.close()
        if self._recorder is not None:
            self._recorder.close()


def status_app(
    registry: Databases = databases,
    *,
    token: str | None = None,
    models: Iterable[Any] | None = None,
    names: Iterable[str] | None = None,
    live: bool = True,
    interval: float = 5.0,
    slow: float = 0.5,
) -> StatusApp:
    """Return the status page as an ASGI application, to be mounted or served.

    Without a token it answers to this machine alone: a loopback address that asks for ``localhost``.

    Args:
        registry: whose databases.
        token: what gives access from anywhere, at least 16 characters.
        models: models whose shards are shown; every sharded model of the registry by default.
        names: databases whose servers are asked; the first hundred by default.
        live: whether the queries of this process are observed and shown.
        interval: seconds between two questions to each server.
        slow: seconds from which on a query is a slow one.

    Raises:
        ConfigurationError: starlette is not installed, the token is too short, or a number is not above 0.
    """
    if interval <= 0 or slow <= 0:
        raise ConfigurationError("status page: interval and slow must be above 0.")
    guard = Guard(token)
    asker = Asker(registry, interval, slow, names)
    recorder = Recorder(registry, slow) if live else None
    chosen = None if models is None else list(models)
    return StatusApp(registry, guard, asker, recorder, chosen, slow, interval)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _plain(value: Any) -> Any:
    """Return data without infinities, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return "infinite" if isinstance(value, float) and value == float("inf") else value


@functools.cache
def _file(name: str) -> bytes:
    return importlib.resources.files(__package__).joinpath("static").joinpath(name).read_bytes()
