"""Says whose a request is, in aiohttp."""

from __future__ import annotations

from aiohttp import web

from peewee_multidb.middleware.aiohttp import setup
from peewee_multidb.tenants.locks import current_tenant

from . import common, hosts


async def respond(request: web.Request) -> web.Response:
    return web.Response(text=current_tenant() or "")


def create_app() -> web.Application:
    common.configure()
    app = web.Application()
    setup(app, **hosts.options(move=False))
    app.router.add_get("/{path:.*}", respond)
    return app
