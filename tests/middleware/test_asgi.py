"""The ASGI middleware: endpoints, threads, tasks, streams, WebSockets, and the life of the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import peewee
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from peewee_multidb import NoDatabaseSelected, atomic, databases, use_db
from peewee_multidb.causality import current_unit
from peewee_multidb.drivers import borrowing
from peewee_multidb.middleware import MultiDBMiddleware, Request, by_header, by_path_prefix
from peewee_multidb.middleware.fastapi import CurrentTenant, Tenant, TenantDatabase
from peewee_multidb.scope import current
from peewee_multidb.tenants.locks import current_tenant
from tests.middleware.apps.common import Note, anotes, notes
from tests.middleware.conftest import NONE, checked_out

TENANT = by_header("X-Tenant")
ACME = {"X-Tenant": "acme"}


@pytest.fixture
def asynchronous(tmp_path: Path) -> Iterator[None]:
    """``acme`` and ``bolt`` on asynchronous databases."""
    databases.configure(
        {
            name: {"url": f"sqlite+aiosqlite:///{tmp_path}/{name}.db", "pool": {"max_connections": 2}}
            for name in ("acme", "bolt")
        }
    )
    yield
    databases.configure({})


def run(app: Any, use: Callable[[httpx.AsyncClient], Awaitable[Any]], raises: bool = True) -> Any:
    async def inside() -> Any:
        before = current_unit()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=raises)
        async with httpx.AsyncClient(transport=transport, base_url="http://example.com") as client:
            found = await use(client)
        assert current() is None and current_unit() is before and borrowing.current() is None
        await databases.aclose_all()
        return found

    return asyncio.run(inside())


def get(app: Any, path: str = "/", raises: bool = True, **headers: str) -> httpx.Response:
    return run(app, lambda client: client.get(path, headers=headers or ACME), raises)  # type: ignore[no-any-return]


def fastapi(**options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(MultiDBMiddleware, **{"select": TENANT, **options})
    return app


async def settled() -> None:
    """Wait until what threads were using is given back, which they do when they have told their result."""
    while checked_out() != NONE:
        await asyncio.sleep(0)


@pytest.mark.usefixtures("tenants")
def test_a_synchronous_endpoint_runs_in_a_thread_and_in_the_database_of_its_tenant() -> None:
    app = fastapi()
    threads = set()

    @app.get("/")
    def endpoint() -> Any:
        threads.add(threading.get_ident())
        return notes(), current_tenant()

    async def use(client: httpx.AsyncClient) -> None:
        for _ in range(3):
            answers = await asyncio.gather(
                *(client.get("/", headers={"X-Tenant": name}) for name in ("acme", "bolt") * 8)
            )
            for answer, name in zip(answers, ("acme", "bolt") * 8, strict=True):
                assert answer.json() == [[name], name]
        await settled()

    run(app, use)
    assert threading.get_ident() not in threads


@pytest.mark.usefixtures("tenants")
def test_a_dependency_and_its_endpoint_are_on_one_connection_and_in_its_transaction() -> None:
    app = fastapi()

    def unit() -> Iterator[None]:
        with databases[current_tenant() or ""].atomic():
            yield

    @app.post("/", dependencies=[Depends(unit)])
    def endpoint(fails: bool = False) -> Any:
        assert databases[current_tenant() or ""].in_transaction()
        Note.create(text="one more")
        if fails:
            raise peewee.IntegrityError
        return notes()

    async def use(client: httpx.AsyncClient) -> None:
        with pytest.raises(peewee.IntegrityError):
            await client.post("/?fails=1", headers=ACME)
        assert (await client.post("/", headers=ACME)).json() == ["acme", "one more"]
        await settled()

    run(app, use)
    with use_db("acme"):
        assert notes() == ["acme", "one more"]


@pytest.mark.usefixtures("tenants")
def test_a_stream_whose_steps_run_in_several_threads_is_on_one_connection() -> None:
    app = fastapi()
    connections = set()

    @app.get("/")
    def endpoint() -> Any:
        def lines() -> Iterator[str]:
            with databases["acme"].atomic():
                for number in range(20):
                    Note.create(text=str(number))
                    connections.add(id(databases["acme"].connection()))
                    yield f"{Note.select().count()} "

        return StreamingResponse(lines(), media_type="text/plain")

    async def use(client: httpx.AsyncClient) -> str:
        text = (await client.get("/", headers=ACME)).text
        await settled()
        return text

    assert run(app, use) == "".join(f"{number + 2} " for number in range(20))
    assert len(connections) == 1
    with use_db("acme"):
        assert Note.select().count() == 21


@pytest.mark.usefixtures("tenants")
def test_threads_of_one_request_that_run_at_once_have_a_connection_each() -> None:
    app = fastapi()
    barrier = threading.Barrier(3, timeout=20)

    def work() -> int:
        found = id(databases["acme"].connection())
        barrier.wait()
        assert notes() == ["acme"]
        barrier.wait()
        return found

    @app.get("/")
    async def endpoint() -> Any:
        return await asyncio.gather(*(asyncio.to_thread(work) for _ in range(3)))

    async def use(client: httpx.AsyncClient) -> Any:
        found = (await client.get("/", headers=ACME)).json()
        await settled()
        return found

    assert len(set(run(app, use))) == 3


@pytest.mark.usefixtures("tenants")
def test_a_thread_that_outlives_its_request_gives_back_its_connection_when_it_is_done() -> None:
    app = fastapi()
    may_go, is_going = threading.Event(), threading.Event()
    left: list[Any] = []

    def linger() -> None:
        left.append(notes())
        is_going.set()
        assert may_go.wait(20)
        left.append((notes(), databases["acme"].in_transaction()))

    @app.get("/")
    async def endpoint() -> str:
        left.append(asyncio.get_running_loop().create_task(asyncio.to_thread(linger)))
        while not is_going.is_set():
            await asyncio.sleep(0)
        return "begun"

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/", headers=ACME)).status_code == 200
        assert checked_out()["acme"] == 1, "it is still in use"
        may_go.set()
        await left.pop(0)
        await settled()

    run(app, use)
    assert left == [["acme"], (["acme"], False)]


@pytest.mark.usefixtures("tenants")
def test_background_tasks_are_inside_of_their_request() -> None:
    app = fastapi()

    @app.post("/")
    def endpoint(tasks: BackgroundTasks) -> Any:
        tasks.add_task(Note.create, text="later")
        return notes()

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.post("/", headers=ACME)).json() == ["acme"]
        await settled()

    run(app, use)
    with use_db("acme"):
        assert notes() == ["acme", "later"]


@pytest.mark.usefixtures("tenants")
def test_a_middleware_that_runs_the_application_in_a_task_of_its_own_is_served_too() -> None:
    class Around(BaseHTTPMiddleware):
        async def dispatch(self, request: StarletteRequest, call_next: Any) -> Any:
            response = await call_next(request)
            response.headers["X-Seen"] = current_tenant() or ""
            return response

    app = FastAPI()
    app.add_middleware(Around)
    app.add_middleware(MultiDBMiddleware, select=TENANT)
    app.add_middleware(Around)

    @app.get("/")
    def endpoint() -> Any:
        return notes()

    response = get(app)
    assert response.json() == ["acme"]
    assert response.headers.get_list("x-seen") == ["", "acme"] or response.headers["x-seen"] == ""


@pytest.mark.usefixtures("tenants")
def test_a_synchronous_query_in_an_asynchronous_endpoint_is_of_its_own_request() -> None:
    app = fastapi()
    inside = asyncio.Event()

    @app.get("/hold")
    async def hold() -> Any:
        with atomic("acme"):
            Note.create(text="not yet committed")
            inside.set()
            await asyncio.sleep(0)
            return databases["acme"].in_transaction()

    @app.get("/look")
    async def look() -> Any:
        await inside.wait()
        return databases["acme"].in_transaction(), notes()

    async def use(client: httpx.AsyncClient) -> Any:
        held, seen = await asyncio.gather(
            client.get("/hold", headers=ACME), client.get("/look", headers=ACME)
        )
        await settled()
        return held.json(), seen.json()

    assert run(app, use) == (True, [False, ["acme"]])


@pytest.mark.usefixtures("asynchronous")
def test_asynchronous_databases_are_given_back_at_the_end_of_each_request() -> None:
    app = fastapi(required=True)

    @app.get("/")
    async def endpoint() -> Any:
        return await anotes()

    @app.get("/fails")
    async def fails() -> None:
        await anotes()
        raise ZeroDivisionError

    @app.get("/open")
    async def leave(tenant: Tenant, database: TenantDatabase) -> str:
        await database.atomic().__aenter__()  # type: ignore[attr-defined]
        await Note.acreate(text="never")
        return tenant

    @app.get("/tasks")
    async def tasks() -> Any:
        return await asyncio.gather(anotes(), anotes())

    async def use(client: httpx.AsyncClient) -> None:
        for name in ("acme", "bolt"):
            with use_db(name):
                await databases[name].run(Note.create_table)
                await Note.acreate(text=name)
        await databases.aclose()
        for path in ("/", "/fails", "/open", "/tasks") * 3:
            # With two connections a database, one that leaks twice is the last.
            for name in ("acme", "bolt"):
                answer = await client.get(path, headers={"X-Tenant": name})
                assert answer.status_code == (500 if path == "/fails" else 200)
        assert (await client.get("/", headers=ACME)).json() == ["acme"]

    run(app, use, raises=False)


@pytest.mark.usefixtures("asynchronous")
def test_a_request_that_is_cancelled_gives_back_its_connections() -> None:
    inside = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anotes()
        inside.set()
        await asyncio.Event().wait()

    async def use(client: httpx.AsyncClient) -> None:
        with use_db("acme"):
            await databases["acme"].run(Note.create_table)
        await databases.aclose()
        for _ in range(4):
            inside.clear()
            task = asyncio.ensure_future(client.get("/", headers=ACME))
            await inside.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with use_db("acme"):
            assert await anotes() == []

    run(MultiDBMiddleware(app, select=TENANT), use)


@pytest.mark.usefixtures("tenants")
def test_a_websocket_is_inside_of_its_tenants_database_up_to_its_end() -> None:
    app = fastapi(required=True)
    ended = threading.Event()

    @app.websocket("/")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.receive_text()
                await socket.send_json([current_tenant(), await asyncio.to_thread(notes)])
        except WebSocketDisconnect:
            pass
        finally:
            ended.set()

    with TestClient(app) as client:
        for name in ("acme", "bolt"):
            with client.websocket_connect("/", headers={"X-Tenant": name}) as socket:
                for _ in range(2):
                    socket.send_text("?")
                    assert socket.receive_json() == [name, [name]]
        for headers in ({}, {"X-Tenant": "nobody"}, {"X-Tenant": "a b"}):
            with pytest.raises(Exception) as raised, client.websocket_connect("/", headers=headers):
                pass
            assert type(raised.value).__name__ in ("WebSocketDisconnect", "WebSocketDenialResponse")
    assert ended.wait(20)


def test_a_websocket_that_is_refused_is_closed_with_a_code() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": [], "scheme": "wss"}
    asyncio.run(MultiDBMiddleware(app, select=TENANT, required=True)(scope, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


@pytest.mark.usefixtures("tenants")
def test_the_end_of_the_server_closes_the_pools() -> None:
    app = fastapi()

    @app.get("/")
    def endpoint() -> Any:
        return notes()

    with TestClient(app) as client:
        assert client.get("/", headers=ACME).json() == ["acme"]
        assert len(databases["acme"]._connections) >= 1  # type: ignore[attr-defined]
    assert not databases["acme"]._connections  # type: ignore[attr-defined]


@pytest.mark.usefixtures("tenants")
def test_errors_of_databases_become_answers_unless_the_application_has_a_handler() -> None:
    app = fastapi(retry_after=3)
    databases.add("down", "sqlite:////nowhere/at/all.db")

    @app.get("/")
    def endpoint() -> Any:
        return notes()

    @app.get("/needs")
    async def needs(tenant: Tenant) -> str:
        return tenant

    @app.get("/may")
    async def may(tenant: CurrentTenant) -> Any:
        return tenant

    down = get(app, **{"X-Tenant": "down"})
    assert (down.status_code, down.headers["retry-after"]) == (503, "3")
    assert get(app, **{"X-Other": "1"}).status_code == 400
    assert get(app, "/needs", **{"X-Other": "1"}).status_code == 400
    assert get(app, "/needs").json() == "acme"
    assert get(app, "/may", **{"X-Other": "1"}).json() is None

    @app.exception_handler(NoDatabaseSelected)
    async def handler(request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("mine", 418)

    app.middleware_stack = None
    assert get(app, "/needs", **{"X-Other": "1"}).text == "mine"


def test_an_error_after_the_response_has_begun_is_the_servers() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise NoDatabaseSelected("too late")

    with pytest.raises(NoDatabaseSelected):
        get(MultiDBMiddleware(app))


@pytest.mark.usefixtures("tenants")
def test_a_selector_may_be_a_coroutine_function() -> None:
    async def select(request: Request) -> str | None:
        await asyncio.sleep(0)
        return request.headers.get("x-tenant")

    app = fastapi(select=select)

    @app.get("/")
    async def endpoint() -> Any:
        return current_tenant()

    assert get(app).json() == "acme"
    assert get(app, **{"X-Tenant": "a b"}).status_code == 400
    assert get(app, **{"X-Tenant": "nobody", "Accept": "application/json"}).json()["error"] == "unknown"


@pytest.mark.usefixtures("tenants")
def test_a_path_prefix_becomes_the_root_path_and_links_are_below_it() -> None:
    async def page(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(f"{request.url_for('page')} {current_tenant()}")

    inner = Starlette(routes=[Route("/orders", page, name="page"), Mount("/sub", routes=[Route("/x", page)])])
    app = MultiDBMiddleware(inner, select=by_path_prefix())
    assert get(app, "/acme/orders").text == "http://example.com/acme/orders acme"
    assert get(app, "/bolt/sub/x").text.endswith("bolt")
    assert get(app, "/nobody/orders").status_code == 404


async def count(database: TenantDatabase) -> int:
    return len(await asyncio.to_thread(lambda: database.execute_sql("SELECT 1").fetchall()))


@pytest.mark.usefixtures("tenants")
def test_annotated_dependencies_are_what_fastapi_takes() -> None:
    app = fastapi()

    @app.get("/")
    async def endpoint(tenant: Tenant, rows: Annotated[int, Depends(count)]) -> Any:
        return tenant, rows

    assert get(app).json() == ["acme", 1]


async def _lines() -> AsyncIterator[bytes]:
    for number in range(3):
        yield f"{number} {current_tenant()} ".encode()


@pytest.mark.usefixtures("tenants")
def test_an_asynchronous_stream_is_inside() -> None:
    app = fastapi()

    @app.get("/")
    async def endpoint() -> Any:
        return StreamingResponse(_lines())

    assert get(app).text == "0 acme 1 acme 2 acme "
