"""What a client has written comes along with its next request, and with no other tenant's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from peewee_multidb import Databases, databases, explain_route, use_db
from peewee_multidb.errors import ConfigurationError
from peewee_multidb.middleware import CausalCookie, CausalHeader, MultiDBMiddleware, WSGIMiddleware, by_header
from peewee_multidb.testing.servers import PostgresCluster
from tests.middleware.apps.common import Note, notes
from tests.middleware.conftest import SECRET
from tests.middleware.test_asgi import run
from tests.middleware.test_selectors import asgi, wsgi
from tests.middleware.test_wsgi import Response

REGISTRY = Databases()
REGISTRY.secret_key = SECRET
COOKIE, HEADER = CausalCookie(), CausalHeader()


def carried(carrier: Any, tenant: str | None, token: str = "token") -> tuple[str, str]:
    [(name, value)] = carrier.written(token, tenant, REGISTRY)
    return name, value


def test_a_cookie_is_out_of_reach_of_scripts_and_plain_http() -> None:
    name, value = carried(COOKIE, "acme")
    assert name == "Set-Cookie" and value.startswith("multidb_seen-acme=")
    assert value.endswith("; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax")
    other = CausalCookie(
        "seen", path="/shop", domain="example.com", secure=False, same_site="Strict", max_age=9
    )
    assert carried(other, None)[1].partition("; ")[2] == (
        "Path=/shop; Max-Age=9; Domain=example.com; HttpOnly; SameSite=Strict"
    )


@pytest.mark.parametrize("tenant", ["acme", None])
def test_a_token_is_read_again_for_its_own_tenant_alone(tenant: str | None) -> None:
    _, value = carried(HEADER, tenant)
    for other in ("acme", "bolt", None):
        found = HEADER.read(asgi(x_multidb_seen=value), other, REGISTRY)
        assert found == ("token" if other == tenant else None)
    cookie = carried(COOKIE, tenant)[1].partition(";")[0]
    assert COOKIE.read(wsgi(cookie=cookie), tenant, REGISTRY) == "token"
    moved = cookie.replace("-acme", "") if tenant else cookie.replace("multidb_seen", "multidb_seen-acme")
    assert COOKIE.read(wsgi(cookie=moved), None if tenant else "acme", REGISTRY) is None


def test_what_was_forged_is_as_good_as_none_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    _, value = carried(HEADER, "acme")
    for forged in (
        "x",
        ".",
        value[1:],
        value + "x",
        f"{value}.y",
        "é.é",
        "x" * 20_000,
        value.replace(".", ""),
    ):
        assert HEADER.read(asgi(x_multidb_seen=forged), "acme", REGISTRY) is None
        assert len(forged) < 3 or forged not in caplog.text
    twice = wsgi(cookie=f"multidb_seen-acme={value}; multidb_seen-acme=other")
    assert COOKIE.read(twice, "acme", REGISTRY) is None


def test_an_older_key_still_reads_what_it_signed() -> None:
    _, value = carried(HEADER, "acme")
    changed = Databases()
    changed.secret_key = ["a new text that nobody knows", SECRET]
    assert HEADER.read(asgi(x_multidb_seen=value), "acme", changed) == "token"


def test_a_token_that_browsers_would_drop_is_not_set(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert COOKIE.written("x" * 4000, "acme", REGISTRY) == []
    assert "too large" in caplog.text


@pytest.mark.parametrize("options", [{"same_site": "no"}, {"name": "a b"}, {"path": "/;x"}, {"domain": "ä"}])
def test_attributes_that_do_not_fit_are_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError):
        CausalCookie(**options)


@pytest.fixture
def replicated(postgres_cluster: PostgresCluster, postgres_cluster_settings: dict[str, Any]) -> Any:
    """``acme`` on a primary whose two replicas are behind as long as they are paused."""
    settings = {**postgres_cluster_settings, "pool": 4, "replication": {"wait_ms": 0}}
    databases.configure({"acme": settings, "bolt": "sqlite:///:memory:"})
    databases.secret_key = SECRET
    with use_db("acme"):
        Note.create_table()
    databases.close()
    postgres_cluster.wait_in_step()
    yield postgres_cluster
    postgres_cluster.restore()
    databases.close_all()
    databases.configure({})
    databases.secret_key = None


def visit(environ: Any, start: Any) -> list[bytes]:
    if environ["REQUEST_METHOD"] == "POST":
        Note.create(text="new")
    content = repr((explain_route(Note.select()).role, notes())).encode()
    start("200 OK", [("Content-Type", "text/plain")])
    return [content]


def test_the_next_request_of_a_client_sees_what_it_wrote_although_replicas_are_late(replicated: Any) -> None:
    app = WSGIMiddleware(visit, select=by_header("X-Tenant"), causal=CausalCookie(secure=False))
    first = Response(app, x_tenant="acme")
    assert first.body == b"('replica', [])"
    assert "Set-Cookie" not in first.headers, "nothing was written"
    for replica in replicated.replicas:
        replica.pause()
    written = Response(app, method="POST", x_tenant="acme")
    assert written.body == b"('primary', ['new'])"
    cookie = written.headers["Set-Cookie"].partition(";")[0]
    assert Response(app, x_tenant="acme").body == b"('replica', [])", "another client"
    seen = Response(app, x_tenant="acme", cookie=cookie)
    assert b"['new']" in seen.body
    assert "Set-Cookie" not in seen.headers
    again = Response(app, method="POST", x_tenant="acme", cookie=cookie)
    assert again.headers["Set-Cookie"].partition(";")[0] != cookie


def test_over_asgi_the_token_comes_with_the_beginning_of_the_response(replicated: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await asyncio.to_thread(Note.create, text="new")
        content = repr(await asyncio.to_thread(notes)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})

    async def use(client: Any) -> None:
        acme = {"X-Tenant": "acme"}
        assert "x-multidb-seen" not in (await client.get("/", headers=acme)).headers
        for replica in replicated.replicas:
            replica.pause()
        token = (await client.post("/", headers=acme)).headers["x-multidb-seen"]
        assert (await client.get("/", headers=acme)).text == "[]"
        assert (await client.get("/", headers={**acme, "X-Multidb-Seen": token})).text == "['new']"

    run(MultiDBMiddleware(app, select=by_header("X-Tenant"), causal="header"), use)


@pytest.mark.usefixtures("tenants")
def test_without_a_key_a_request_fails_before_it_writes_what_no_token_could_tell_of() -> None:
    databases.secret_key = None
    begun: list[Any] = []

    def write(environ: Any, start: Any) -> list[bytes]:
        begun.append(environ)
        return []

    app = WSGIMiddleware(write, select=by_header("X-Tenant"), causal="cookie")
    with pytest.raises(ConfigurationError, match="there is no key"):
        Response(app, x_tenant="acme")
    assert not begun
