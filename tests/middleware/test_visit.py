"""A request and those around it: what it is in, and what it has nothing to do with."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi.responses import PlainTextResponse
from starlette.applications import Starlette
from starlette.routing import Mount

from peewee_multidb import databases
from peewee_multidb.middleware import MultiDBMiddleware
from peewee_multidb.tenants.locks import current_tenant
from tests.middleware.apps.common import notes
from tests.middleware.conftest import NONE, checked_out
from tests.middleware.test_asgi import TENANT, get


@pytest.mark.usefixtures("tenants")
def test_a_request_that_a_server_begins_in_the_context_of_another_is_not_of_its_tenant() -> None:
    found: list[Any] = []
    tasks: list[asyncio.Task[None]] = []

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        found.append((scope["path"], current_tenant(), notes() if current_tenant() else None))
        with databases[current_tenant() or "acme"].atomic():
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    app = MultiDBMiddleware(endpoint, select=TENANT)
    waiting = [("/2", None), ("/3", "bolt"), ("/4", "acme")]

    def begin(path: str, tenant: str | None) -> None:
        headers = [] if tenant is None else [(b"x-tenant", tenant.encode())]
        scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
        tasks.append(asyncio.get_running_loop().create_task(app(scope, None, send)))  # type: ignore[arg-type]

    async def send(message: Any) -> None:
        # As uvicorn does with what is pipelined: when an answer is complete, and in the task that sent it.
        if message["type"] == "http.response.body" and waiting:
            begin(*waiting.pop(0))

    async def inside() -> None:
        begin("/1", "acme")
        while tasks:
            await tasks.pop(0)
        assert checked_out() == NONE

    asyncio.run(inside())
    assert found == [
        ("/1", "acme", ["acme"]),
        ("/2", None, None),
        ("/3", "bolt", ["bolt"]),
        ("/4", "acme", ["acme"]),
    ]


@pytest.mark.usefixtures("tenants")
def test_a_middleware_inside_of_another_goes_on_in_its_request() -> None:
    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(f"{current_tenant()} {notes()}")(scope, receive, send)

    inner = MultiDBMiddleware(endpoint)
    app = MultiDBMiddleware(Starlette(routes=[Mount("/inner", inner)]), select=TENANT)
    assert get(app, "/inner/").text == "acme ['acme']"
    assert checked_out() == NONE
