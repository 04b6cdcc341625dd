"""The middleware of aiohttp, inside of one process; `test_servers` has it over HTTP with the others."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from peewee_multidb.middleware import by_header
from peewee_multidb.middleware.aiohttp import setup
from peewee_multidb.tenants.locks import current_tenant
from tests.middleware.apps.common import notes
from tests.middleware.conftest import NONE, checked_out


@pytest.mark.usefixtures("tenants")
def test_an_application_inside_of_another_that_are_both_set_up_goes_on_in_its_request() -> None:
    outer, inner = web.Application(), web.Application()

    async def handler(request: web.Request) -> web.Response:
        return web.json_response([current_tenant(), notes()])

    inner.router.add_get("/", handler)
    setup(outer, select=by_header("X-Tenant"), close_on_cleanup=False)
    setup(inner, close_on_cleanup=False)
    outer.add_subapp("/inner", inner)

    async def inside() -> None:
        async with TestClient(TestServer(outer)) as client:
            for tenant in ("acme", "bolt", "acme"):
                response = await client.get("/inner/", headers={"X-Tenant": tenant})
                assert await response.json() == [tenant, [tenant]]
            assert checked_out() == NONE

    asyncio.run(inside())
