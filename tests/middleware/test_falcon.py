"""The Falcon components in this process: what is inside of a request, and what a failure is answered with."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import falcon
import falcon.asgi
import falcon.testing
import peewee
import pytest

from peewee_multidb import current_tenant, databases, use_db
from peewee_multidb.causality import current_unit
from peewee_multidb.drivers import borrowing
from peewee_multidb.errors import NoReplicaAvailable
from peewee_multidb.middleware import Reply, by_header
from peewee_multidb.middleware.falcon import AsyncMultiDBComponent, MultiDBComponent
from peewee_multidb.scope import current
from tests.middleware.apps.common import Note, notes
from tests.middleware.conftest import NONE, checked_out

pytestmark = pytest.mark.usefixtures("tenants")

Client = falcon.testing.TestClient
BOTH = pytest.mark.parametrize("kind", ["wsgi", "asgi"])


class Answer:
    """Answers with what a function returns."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = self.function()


class AsyncAnswer(Answer):
    async def on_get(self, req: Any, resp: Any) -> None:  # type: ignore[override]
        resp.media = self.function()


class ServedApp(falcon.asgi.App):
    """Gets headers to be read twice, as from every server; those of Falcon's test client can be read once."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # type: ignore[override]
        if "headers" in scope:
            scope["headers"] = [tuple(pair) for pair in scope["headers"]]
        await super().__call__(scope, receive, send)


def client(kind: str, function: Callable[[], Any], *outside: Any, **options: Any) -> Client:
    """A client of an application that answers with what a function returns."""
    options = {"select": by_header("X-Tenant"), "required": True, **options}
    app: Any
    if kind == "wsgi":
        app = falcon.App(middleware=list(outside))
        MultiDBComponent(**options).add_to(app)
        app.add_route("/", Answer(function))
    else:
        app = ServedApp(middleware=list(outside))
        AsyncMultiDBComponent(**options).add_to(app)
        app.add_route("/", AsyncAnswer(function))
    return Client(app)


def get(client: Client, tenant: str | None = "acme") -> Any:
    return client.simulate_get("/", headers={} if tenant is None else {"X-Tenant": tenant})


def nothing_is_left() -> bool:
    is_outside = current() is None and current_unit() is None and borrowing.current() is None
    return is_outside and checked_out() == NONE


def raising(error: Exception) -> Callable[[], Any]:
    def function() -> Any:
        notes()
        raise error

    return function


@BOTH
def test_each_request_is_in_its_tenants_database_and_leaves_nothing(kind: str) -> None:
    asked = client(kind, lambda: [current_tenant(), *notes()])
    assert [get(asked, name).json for name in ("acme", "bolt")] == [["acme", "acme"], ["bolt", "bolt"]]
    assert nothing_is_left()


@BOTH
@pytest.mark.parametrize(("tenant", "status"), [("nobody", 404), ("a b", 400), (None, 400)])
def test_a_request_that_is_refused_does_not_reach_the_responder(
    kind: str, tenant: str | None, status: int
) -> None:
    reached: list[bool] = []
    answer = get(client(kind, lambda: reached.append(True)), tenant)
    assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
    assert not reached and nothing_is_left()


@BOTH
def test_a_database_that_does_not_answer_is_a_503_with_a_time_to_try_again(kind: str) -> None:
    answer = get(client(kind, raising(NoReplicaAvailable("down")), retry_after=7))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert nothing_is_left()


@BOTH
@pytest.mark.parametrize("error", [peewee.IntegrityError("twice"), OSError("disk")])
def test_any_other_error_of_a_database_is_a_500_that_is_logged(
    kind: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    answer = get(client(kind, raising(error)))
    assert answer.status_code == 500 and str(error) not in answer.text
    assert "a responder failed: GET /" in caplog.text and str(error) in caplog.text
    assert nothing_is_left()


@BOTH
def test_what_is_raised_before_the_component_is_asked_is_answered_without_it(kind: str) -> None:
    class Closed:
        def process_request(self, req: Any, resp: Any) -> None:
            raise falcon.HTTPForbidden

    class AsyncClosed:
        async def process_request(self, req: Any, resp: Any) -> None:
            raise falcon.HTTPForbidden

    answer = get(client(kind, notes, Closed() if kind == "wsgi" else AsyncClosed()))
    assert answer.status_code == 403 and nothing_is_left()


def test_a_request_whose_error_handler_fails_is_left_too() -> None:
    def fail() -> None:
        notes()
        raise LookupError("no such thing")

    asked = client("wsgi", fail)

    def handle(req: Any, resp: Any, error: Exception, params: Any) -> None:
        raise ValueError("the handler is broken")

    asked.app.add_error_handler(LookupError, handle)
    with pytest.raises(ValueError, match="broken"):
        get(asked)
    gc.collect()
    assert nothing_is_left()


@BOTH
def test_each_reply_of_the_application_is_sent_with_its_headers(kind: str) -> None:
    def on_error(request: Any, refusal: Any) -> Reply:
        return Reply(410, {"gone": refusal.kind}, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])

    answer = get(client(kind, notes, on_error=on_error), "nobody")
    assert (answer.status_code, answer.json) == (410, {"gone": "unknown"})
    assert {name: cookie.value for name, cookie in answer.cookies.items()} == {"a": "1", "b": "2"}


class Stream:
    """The notes as a stream."""

    def __init__(self, ended: list[str | None]) -> None:
        self.ended = ended

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.stream = self.lines()

    def lines(self) -> Iterator[bytes]:
        try:
            for note in Note.select().order_by(Note.id):
                yield note.text.encode()
        finally:
            self.ended.append(current_tenant())


class AsyncStream(Stream):
    async def on_get(self, req: Any, resp: Any) -> None:  # type: ignore[override]
        resp.stream = self.alines()

    async def alines(self) -> AsyncIterator[bytes]:
        try:
            for note in Note.select().order_by(Note.id):
                yield note.text.encode()
        finally:
            self.ended.append(current_tenant())


@BOTH
def test_a_stream_is_sent_inside_of_its_request_and_leaves_nothing(kind: str) -> None:
    ended: list[str | None] = []
    asked = client(kind, notes)
    asked.app.add_route("/stream", Stream(ended) if kind == "wsgi" else AsyncStream(ended))
    for name in ("acme", "bolt"):
        with use_db(name):
            Note.create(text="two")
        answer = asked.simulate_get("/stream", headers={"X-Tenant": name})
        assert answer.text == f"{name}two"
    assert ended == ["acme", "bolt"]
    databases.close()
    assert checked_out() == NONE


def test_each_message_of_a_websocket_is_in_its_tenants_database_and_it_leaves_nothing() -> None:
    class Echo:
        async def on_websocket(self, req: Any, ws: Any) -> None:
            await ws.accept()
            for _ in range(2):
                await ws.receive_text()
                await ws.send_text(f"{current_tenant()} {notes()}")

    asked = client("asgi", notes)
    asked.app.add_route("/echo", Echo())

    async def talk(tenant: str) -> list[str]:
        said = []
        async with (
            falcon.testing.ASGIConductor(asked.app) as conductor,
            conductor.simulate_ws("/echo", headers={"X-Tenant": tenant}) as ws,
        ):
            for _ in range(2):
                await ws.send_text("?")
                said.append(await ws.receive_text())
        return said

    assert asyncio.run(asyncio.wait_for(talk("bolt"), 5)) == ["bolt ['bolt']"] * 2
    with pytest.raises(falcon.WebSocketDisconnected) as refused:
        asyncio.run(asyncio.wait_for(talk("nobody"), 5))
    assert refused.value.code == 3404
    assert nothing_is_left()
