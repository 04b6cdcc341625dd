"""The application in aiohttp, with asynchronous databases."""

from __future__ import annotations

from aiohttp import web

from peewee_multidb import databases, use_db
from peewee_multidb.middleware.aiohttp import setup

from . import common


async def notes(request: web.Request) -> web.Response:
    return web.json_response(await common.anotes())


async def add(request: web.Request) -> web.Response:
    await common.Note.acreate(text=request.query_string)
    return web.json_response(await common.anotes())


async def boom(request: web.Request) -> web.Response:
    await common.anotes()
    raise common.Boom


async def leave_open(request: web.Request) -> web.Response:
    await databases[common.tenant()].atomic().__aenter__()
    await common.Note.acreate(text="never committed")
    return web.json_response("open")


async def stray(request: web.Request) -> web.Response:
    return web.json_response(common.stray())


async def tenant(request: web.Request) -> web.Response:
    return web.json_response(common.tenant())


async def away(request: web.Request) -> web.Response:
    with use_db({"acme": "bolt", "bolt": "acme"}[common.tenant()]):
        return web.json_response(await common.anotes())


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    async for line in common.astream():
        await response.write(line)
    return response


async def generated(request: web.Request) -> web.Response:
    return web.Response(body=common.astream())


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for _ in socket:
        await socket.send_json(await common.anotes())
    return socket


def create_app() -> web.Application:
    common.configure()
    app = web.Application()
    setup(app, **common.OPTIONS)
    app.router.add_get("/notes", notes)
    app.router.add_post("/notes", add)
    app.router.add_get("/boom", boom)
    app.router.add_post("/open", leave_open)
    app.router.add_post("/stray", stray)
    app.router.add_get("/tenant", tenant)
    app.router.add_get("/away", away)
    app.router.add_get("/stream", stream)
    app.router.add_get("/generated", generated)
    app.router.add_get("/echo", echo)
    return app
