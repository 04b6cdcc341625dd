"""The application in FastAPI, with synchronous endpoints: they run in a pool of threads."""

from __future__ import annotations

from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

from peewee_multidb.middleware import MultiDBMiddleware
from peewee_multidb.middleware.fastapi import Tenant

from . import common


def create_app() -> FastAPI:
    common.configure()
    app = FastAPI()
    app.add_middleware(MultiDBMiddleware, **common.OPTIONS)

    @app.get("/notes")
    def notes() -> Any:
        return common.notes()

    @app.post("/notes")
    def add(request: Request) -> Any:
        return common.add(request.url.query)

    @app.post("/later")
    def later(request: Request, tasks: BackgroundTasks) -> Any:
        tasks.add_task(common.add, request.url.query)
        return common.notes()

    @app.get("/boom")
    def boom() -> Any:
        common.boom()

    @app.post("/open")
    def leave_open() -> Any:
        return common.leave_open()

    @app.post("/stray")
    def stray() -> Any:
        return common.stray()

    @app.get("/tenant")
    def tenant(name: Tenant) -> Any:
        assert common.tenant() == name
        return name

    @app.get("/away")
    def away() -> Any:
        return common.away()

    @app.get("/stream")
    def stream() -> Any:
        return StreamingResponse(common.lines(), media_type="text/plain")

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.receive_text()
            await socket.send_json(common.notes())

    return app
