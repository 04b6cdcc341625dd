"""Says whose a request is, over ASGI."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from peewee_multidb.middleware import MultiDBMiddleware
from peewee_multidb.tenants.locks import current_tenant

from . import common, hosts


async def respond(request: Request) -> PlainTextResponse:
    return PlainTextResponse(current_tenant() or "")


def create_app() -> Any:
    common.configure()
    app = Starlette(routes=[Route("/{path:path}", respond)])
    return MultiDBMiddleware(app, **hosts.options())
