"""What holds for every framework on every server: over real HTTP, with PostgreSQL behind it."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from peewee_multidb import databases, use_db
from peewee_multidb.testing.servers import PostgresServer
from tests.middleware.apps.common import LINES, Note
from tests.middleware.client import Answer, Server
from tests.scale import scaled

STACKS = {
    "threaded": "with_flask",
    "gevent": "with_flask",
    "waitress": "with_falcon",
    "reference": "plain",
    "uvicorn": "with_fastapi",
    "hypercorn": "with_fastapi_async",
    "aiohttp": "with_aiohttp",
    "uvicorn-falcon": "with_falcon_async",
}
ASYNC = ("with_fastapi_async", "with_aiohttp", "with_falcon_async")
TENANTS = ("acme", "bolt")
#: Fewer than the requests that fail or are left in a test, so that one that leaks is missed soon.
POOL = {"max_connections": 4, "timeout": 20}


@pytest.fixture(scope="module")
def urls(postgres_server: PostgresServer) -> Iterator[dict[str, str]]:
    """A database of each tenant, with the table; and one where nobody listens."""
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    names = {name: f"middleware_{name}" for name in TENANTS}
    for database in names.values():
        postgres_server.create_database(database)
    urls = {name: postgres_server.url(database) for name, database in names.items()}
    databases.configure(urls)
    for name in TENANTS:
        with use_db(name):
            Note.create_table()
    databases.close_all()
    databases.configure({})
    port = closed.getsockname()[1]
    yield {**urls, "down": f"postgresql://app@127.0.0.1:{port}/app?connect_timeout=3"}
    closed.close()
    for database in names.values():
        postgres_server.drop_database(database)


@pytest.fixture(scope="module", params=STACKS)
def server(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[Server]:
    app = STACKS[request.param]
    settings: dict[str, Any] = {}
    for name, url in urls.items():
        if app in ASYNC:
            url = url.replace("postgresql://", "postgresql+asyncpg://").replace("connect_timeout", "timeout")
        settings[name] = {"url": url} if name == "acme" and app not in ASYNC else {"url": url, "pool": POOL}
    started = Server(request.param.partition("-")[0], app, settings)
    yield started
    started.close()


@pytest.fixture
def rows(urls: dict[str, str]) -> Iterator[Callable[[str], list[str]]]:
    """What is in the tables, read past the server; they are empty at the beginning."""
    databases.configure({name: urls[name] for name in TENANTS})

    def read(tenant: str) -> list[str]:
        with use_db(tenant):
            return [note.text for note in Note.select().order_by(Note.id)]

    for name in TENANTS:
        with use_db(name):
            Note.delete().execute()
    yield read
    databases.close_all()
    databases.configure({})


@pytest.fixture
def idle(postgres_server: PostgresServer, server: Server) -> Callable[[], None]:
    """Call it to see that the server holds no transaction, nor any connection that is not in a pool."""

    def check() -> None:
        # What a client left, the server may find out when it sends the next part.
        deadline = time.monotonic() + 30
        while (found := _activity(postgres_server, server)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not found, (found, server.logged()[-3000:])

    return check


def _activity(postgres: PostgresServer, server: Server) -> list[Any]:
    strictly = "OR datname = 'middleware_acme'" if server.app not in ASYNC else ""
    return postgres.execute(
        "SELECT datname, state, query FROM pg_stat_activity "
        f"WHERE starts_with(datname, 'middleware_') AND (state <> 'idle' {strictly})"
    )


def everywhere(server: Server, method: str, target: str, times: int) -> list[Answer]:
    """Send so many requests of each tenant, eight at a time, in turns."""
    with ThreadPoolExecutor(8) as pool:
        tenants = [TENANTS[number % 2] for number in range(2 * times)]
        return list(pool.map(lambda tenant: server.request(method, target, tenant), tenants))


def test_each_request_reads_and_writes_in_the_database_of_its_tenant(
    server: Server, rows: Callable[[str], list[str]], idle: Callable[[], None]
) -> None:
    def visit(number: int) -> None:
        tenant = TENANTS[number % 2]
        answer = server.request("POST", f"/notes?{tenant}{number}", tenant)
        assert answer.status == 200, (answer, server.logged()[-3000:])
        assert f"{tenant}{number}" in answer.json
        assert all(text.startswith(tenant) for text in answer.json)

    times = scaled(24)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(times)))
    for tenant in TENANTS:
        assert sorted(rows(tenant)) == sorted(
            f"{tenant}{number}" for number in range(times) if TENANTS[number % 2] == tenant
        )
    databases.close()
    idle()


def test_an_error_leaves_nothing_behind(server: Server, idle: Callable[[], None]) -> None:
    answers = everywhere(server, "GET", "/boom", 6)
    assert {answer.status for answer in answers} == {500}
    assert b"Boom" not in answers[0].body and b"Traceback" not in answers[0].body
    assert server.request("GET", "/notes", "bolt").status == 200
    idle()


def test_a_transaction_that_nobody_ends_is_rolled_back_and_told(
    server: Server, rows: Callable[[str], list[str]], idle: Callable[[], None]
) -> None:
    answers = everywhere(server, "POST", "/open", 6)
    assert {answer.status for answer in answers} == {200}, server.logged()[-3000:]
    assert {answer.status for answer in everywhere(server, "GET", "/tenant", 6)} == {200}
    assert [rows(tenant) for tenant in TENANTS] == [[], []]
    databases.close()
    idle()
    assert server.says("was still open at the end of a request")


def test_a_scope_that_nobody_leaves_does_not_reach_the_next_request(server: Server) -> None:
    # On one connection where the server keeps it, which aiohttp serves in one task.
    with server.keeping() as ask:
        for tenant in TENANTS * 4:
            assert ask("POST", "/stray", tenant) == b'"stray"'
            assert ask("GET", "/tenant", tenant) == f'"{tenant}"'.encode()


def test_requests_that_are_sent_at_once_on_one_connection_are_each_of_their_own_tenant(
    server: Server,
) -> None:
    found = server.at_once("/tenant", ["acme", None, "bolt", "acme"])
    # Bodies and statuses, in their order; the server of the standard library closes after the first.
    answers = re.findall(r'"(acme|bolt)"|HTTP/1\.[01] (400|500)', found)
    expected = ["acme", "400", "bolt", "acme"]
    assert [one or other for one, other in answers] == expected[: 1 if server.name[:3] == "ref" else None]


def test_a_request_cannot_reach_the_database_of_another_tenant(server: Server) -> None:
    answers = everywhere(server, "GET", "/away", 2)
    assert {answer.status for answer in answers} == {500}
    assert server.says("TenantLocked")


def test_a_stream_is_inside_of_its_request_up_to_its_end(server: Server, idle: Callable[[], None]) -> None:
    for tenant in TENANTS:
        answer = server.request("GET", "/stream", tenant)
        lines = answer.body.decode().splitlines()
        assert len(lines) == LINES, server.logged()[-3000:]
        assert {line.split()[0] for line in lines} == {tenant}
    idle()


def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(
    server: Server, idle: Callable[[], None]
) -> None:
    for tenant in TENANTS:
        for _ in range(5):
            assert tenant.encode() in server.abandon("/stream", tenant)
    idle()
    assert server.request("GET", "/notes", "bolt").status == 200


def test_a_tenant_whose_database_is_down_gets_503_and_the_others_notice_nothing(server: Server) -> None:
    with ThreadPoolExecutor(8) as pool:
        down = [pool.submit(server.request, "GET", "/notes", "down") for _ in range(4)]
        up = everywhere(server, "GET", "/notes", 8)
        answers = [one.result() for one in down]
    assert {answer.status for answer in up} == {200}
    assert {answer.status for answer in answers} == {503}, (answers, server.logged()[-3000:])
    assert {answer.headers["retry-after"] for answer in answers} == {"7"}
    assert b"127.0.0.1" not in answers[0].body and b"app" not in answers[0].body


def test_a_request_without_a_tenant_is_refused_and_so_is_an_unknown_one(server: Server) -> None:
    assert server.request("GET", "/notes").status == 400
    assert server.request("GET", "/notes", "nobody").status == 404
    asked = server.request("GET", "/notes", "nobody", headers={"Accept": "application/json"})
    assert asked.json == {"error": "unknown", "message": "There is no such tenant."}
    assert server.request("HEAD", "/notes", "nobody").body == b""
