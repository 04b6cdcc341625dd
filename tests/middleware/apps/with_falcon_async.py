"""The application in Falcon, over ASGI, with asynchronous databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import falcon.asgi

from peewee_multidb import databases, use_db
from peewee_multidb.middleware.falcon import AsyncMultiDBComponent

from . import common


class Answer:
    """A resource that answers GET with what a coroutine returns, and POST with that of another one."""

    def __init__(
        self,
        get: Callable[..., Awaitable[Any]] | None = None,
        post: Callable[..., Awaitable[Any]] | None = None,
    ) -> None:
        self.get, self.post = get, post

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = await self.get() if self.get is not None else None

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = await self.post(req.query_string) if self.post is not None else None


class Stream:
    """The notes as a stream."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = "text/plain"
        resp.stream = common.astream()


class Echo:
    """A WebSocket that answers each message with the notes."""

    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket) -> None:
        await ws.accept()
        while True:
            await ws.receive_text()
            await ws.send_text(falcon.media.JSONHandler()._dumps(await common.anotes()))


async def add(text: str) -> list[str]:
    await common.Note.acreate(text=text)
    return await common.anotes()


async def boom() -> None:
    await common.anotes()
    raise common.Boom


async def leave_open(_: str) -> str:
    await databases[common.tenant()].atomic().__aenter__()
    await common.Note.acreate(text="never committed")
    return "open"


async def stray(_: str) -> str:
    return common.stray()


async def tenant() -> str:
    return common.tenant()


async def away() -> list[str]:
    with use_db({"acme": "bolt", "bolt": "acme"}[common.tenant()]):
        return await common.anotes()


def create_app() -> falcon.asgi.App:
    common.configure()
    app = falcon.asgi.App()
    AsyncMultiDBComponent(**common.OPTIONS).add_to(app)
    app.add_route("/notes", Answer(common.anotes, add))
    app.add_route("/boom", Answer(boom))
    app.add_route("/open", Answer(post=leave_open))
    app.add_route("/stray", Answer(post=stray))
    app.add_route("/tenant", Answer(tenant))
    app.add_route("/away", Answer(away))
    app.add_route("/stream", Stream())
    app.add_route("/echo", Echo())
    return app
