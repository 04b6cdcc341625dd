"""Tenants that the registry's resolver finds: asynchronous middleware asks it before the request begins."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import falcon.asgi
import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from fastapi import FastAPI
from peewee import CharField

from peewee_multidb import Model, TableResolver, databases, use_db, use_tenant
from peewee_multidb.middleware import MultiDBMiddleware, Request, by_header
from peewee_multidb.middleware.aiohttp import setup
from peewee_multidb.middleware.falcon import AsyncMultiDBComponent
from tests.middleware.apps.common import Note, anotes

Ask = Callable[[str], Awaitable[tuple[int, str]]]
TENANT = by_header("X-Tenant")


class Customer(Model):
    """A tenant, in the database of the application."""

    name = CharField(unique=True)
    url = CharField()

    class Meta:
        db_name = "control"
        db_pinned = True


@pytest.fixture
def table(tmp_path: Path) -> Any:
    """The customers ``acme`` and ``bolt``, in a table of an asynchronous database; theirs are so too."""
    databases.configure({"control": f"sqlite:///{tmp_path}/control.db"})
    databases.create_tables([Customer])
    for name in ("acme", "bolt"):
        Customer.create(name=name, url=f"sqlite+aiosqlite:///{tmp_path}/{name}.db")
        databases.add(name, f"sqlite:///{tmp_path}/{name}.db")
        with use_db(name):
            Note.create_table()
            Note.create(text=name)
    databases.close_all()
    databases.configure({"control": f"sqlite+aiosqlite:///{tmp_path}/control.db"})
    databases.resolver = TableResolver(Customer)
    yield
    databases.resolver = None
    databases.configure({})


@asynccontextmanager
async def _asgi(app: Any) -> AsyncIterator[Ask]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://example.com") as client:

        async def ask(tenant: str) -> tuple[int, str]:
            answer = await client.get("/", headers={"X-Tenant": tenant})
            return answer.status_code, answer.text

        yield ask


def fastapi(**options: Any) -> Any:
    app = FastAPI()
    app.add_middleware(MultiDBMiddleware, **options)

    @app.get("/")
    async def read() -> list[str]:
        return await anotes()

    return _asgi(app)


def falcons(**options: Any) -> Any:
    class Notes:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.media = await anotes()

    app = falcon.asgi.App()
    AsyncMultiDBComponent(**options).add_to(app)
    app.add_route("/", Notes())
    return _asgi(app)


@asynccontextmanager
async def aiohttps(**options: Any) -> AsyncIterator[Ask]:
    async def read(_: web.Request) -> web.Response:
        return web.json_response(await anotes())

    app = web.Application()
    setup(app, **options)
    app.router.add_get("/", read)
    async with TestClient(TestServer(app)) as client:

        async def ask(tenant: str) -> tuple[int, str]:
            async with client.get("/", headers={"X-Tenant": tenant}) as answer:
                return answer.status, await answer.text()

        yield ask


def answers(serve: Callable[..., Any], *tenants: str, **options: Any) -> list[tuple[int, str]]:
    async def inside() -> list[tuple[int, str]]:
        async with serve(**{"select": TENANT, **options}) as ask:
            found = [await ask(tenant) for tenant in tenants]
        await databases.aclose_all()
        return found

    return asyncio.run(inside())


SERVERS = pytest.mark.parametrize("serve", [fastapi, falcons, aiohttps])


@SERVERS
@pytest.mark.usefixtures("table")
def test_a_table_in_an_asynchronous_database_says_where_the_tenants_are(serve: Any) -> None:
    found = answers(serve, "acme", "bolt", "nobody", "acme")
    assert [status for status, _ in found] == [200, 200, 404, 200]
    assert ["acme" in text for _, text in found] == [True, False, False, True]


@pytest.mark.usefixtures("table")
def test_a_scope_that_the_selector_returns_may_name_such_a_tenant_too() -> None:
    def select(request: Request) -> Any:
        return use_tenant(TENANT(request), tenant="Acme Corp.")  # type: ignore[arg-type]

    assert answers(fastapi, "acme", "nobody", select=select)[0] == (200, '["acme"]')


@SERVERS
@pytest.mark.usefixtures("table")
def test_a_resolver_that_waits_keeps_no_event_loop_waiting_and_is_asked_once(serve: Any) -> None:
    loop, table, asked = threading.get_ident(), TableResolver(Customer), []
    places = {"acme": "", "bolt": ""}

    def resolver(name: str) -> Any:
        asked.append((name, threading.get_ident() == loop))
        return places.get(name)

    with use_db("control"):
        places.update(asyncio.run(_urls()))
    databases.resolver = resolver
    assert table.is_async
    found = answers(serve, "acme", "acme", "nobody", "nobody")
    assert [status for status, _ in found] == [200, 200, 404, 404]
    assert asked == [("acme", False), ("nobody", False)]


async def _urls() -> dict[str, str]:
    found = {row.name: row.url for row in await Customer.select().aexecute()}
    await databases.aclose_all()
    return found


def test_the_log_says_why_the_resolver_failed(table: Any, caplog: pytest.LogCaptureFixture) -> None:
    def resolver(name: str) -> Any:
        raise OSError("the password is 1234")

    databases.resolver = resolver
    with caplog.at_level(logging.ERROR, "peewee_multidb"):
        assert answers(fastapi, "acme")[0][0] == 503
    assert "tenant 'acme'" in caplog.text and "could not look up the tenant 'acme': OSError" in caplog.text
    assert "1234" not in caplog.text
