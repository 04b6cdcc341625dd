"""The application in FastAPI, with asynchronous endpoints and databases."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from peewee_multidb import databases, use_db
from peewee_multidb.middleware import MultiDBMiddleware
from peewee_multidb.middleware.fastapi import Tenant

from . import common


def create_app() -> FastAPI:
    common.configure()
    app = FastAPI()
    app.add_middleware(MultiDBMiddleware, **common.OPTIONS)

    @app.get("/notes")
    async def notes() -> Any:
        return await common.anotes()

    @app.post("/notes")
    async def add(request: Request) -> Any:
        await common.Note.acreate(text=request.url.query)
        return await common.anotes()

    @app.get("/boom")
    async def boom() -> Any:
        await common.anotes()
        raise common.Boom

    @app.post("/open")
    async def leave_open(tenant: Tenant) -> Any:
        await databases[tenant].atomic().__aenter__()
        await common.Note.acreate(text="never committed")
        return "open"

    @app.post("/stray")
    async def stray() -> Any:
        return common.stray()

    @app.get("/tenant")
    async def tenant() -> Any:
        return common.tenant()

    @app.get("/away")
    async def away() -> Any:
        with use_db({"acme": "bolt", "bolt": "acme"}[common.tenant()]):
            return await common.anotes()

    @app.get("/stream")
    async def stream() -> Any:
        return StreamingResponse(common.astream(), media_type="text/plain")

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.receive_text()
            await socket.send_json(await common.anotes())

    return app
