"""Who is let in, and what a browser is told."""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from peewee_multidb import ConfigurationError
from peewee_multidb.web import StatusApp
from peewee_multidb.web.guard import COOKIE, is_loopback
from tests.observe.conftest import Shop
from tests.web.conftest import served

Opened = Callable[..., StatusApp]
TOKEN = "a-token-that-is-long-enough"


def asked(port: int, path: str = "/", method: str = "GET", body: str | None = None, **headers: str) -> Any:
    """Ask over HTTP; gives the status, the headers and the text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def test_without_a_token_only_this_machine_under_its_own_name_is_answered(shop: Shop, opened: Opened) -> None:
    with served(opened(shop.registry)) as port:
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost", f"[::1]:{port}"):
            assert asked(port, Host=host)[0] == 200, host
        foreign = ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.io", "")
        for host in foreign:
            status, _, text = asked(port, Host=host)
            assert status == 403 and "localhost" in text, host
        for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP", "X_Forwarded_Host"):
            assert asked(port, **{header: "127.0.0.1"})[0] == 403


@pytest.mark.parametrize("client", [("192.0.2.1", 5), ("::ffff:192.0.2.1", 5), None])
def test_without_a_token_another_machine_is_refused(shop: Shop, opened: Opened, client: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(opened(shop.registry)({**scope, "client": client, "query_string": b""}, None, send))
    assert sent[0]["status"] == 403


def test_loopback_addresses_are_known_in_every_form() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "", None, "example.org", "localhost.x")))


def test_a_token_opens_the_page_by_header_or_by_a_form_that_gives_a_cookie(
    shop: Shop, opened: Opened
) -> None:
    with served(opened(shop.registry, token=TOKEN)) as port:
        status, _, text = asked(port, Host="status.example")
        assert status == 401 and 'type="password"' in text and "default" not in text
        for path in ("/data.json", "/sections.json"):
            assert asked(port, path)[0] == 401
        assert asked(port, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert asked(port, Authorization=f"Bearer {TOKEN}x")[0] == 401
        assert asked(port, f"/?token={TOKEN}")[0] == 401, "no token in an address"
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        assert asked(port, "/login", "POST", "token=wrong", **form)[0] == 401
        assert asked(port, "/login", "POST", "token=" + "x" * 9000, **form)[0] == 413
        status, headers, _ = asked(port, "/login", "POST", f"token={TOKEN}", **form)
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
        value = cookie.partition(";")[0]
        assert asked(port, Cookie=value)[0] == 200
        assert asked(port, Cookie=f"{COOKIE}=")[0] == 401 and asked(port, Cookie=f"{value}0")[0] == 401
        assert asked(port, Cookie=f"{COOKIE}={TOKEN}")[0] == 401
        status, headers, _ = asked(port, "/logout", "POST", "", **form)
        assert status == 303 and ("expires" in headers["set-cookie"].lower())


def test_a_short_token_is_refused(shop: Shop, opened: Opened) -> None:
    with pytest.raises(ConfigurationError, match="16 or more"):
        opened(shop.registry, token="short")


def test_nothing_can_be_changed_through_the_page(shop: Shop, opened: Opened) -> None:
    with served(opened(shop.registry)) as port:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "POST"):
            assert asked(port, "/", method)[0] == 405
        assert asked(port, "/nothing")[0] == 404 and asked(port, "/../page.py")[0] == 404
        assert asked(port, "/", "HEAD")[0] == 200


def test_a_browser_is_told_to_load_and_to_keep_nothing(shop: Shop, opened: Opened) -> None:
    with served(opened(shop.registry)) as port:
        for path in ("/", "/data.json", "/page.js", "/nothing"):
            headers = {key.lower(): value for key, value in asked(port, path)[1].items()}
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
            assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
            assert headers["x-content-type-options"] == "nosniff" and "frame-ancestors 'none'" in policy


def test_the_token_is_in_no_log(shop: Shop, opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), served(opened(shop.registry, token=TOKEN)) as port:
        asked(port, Authorization=f"Bearer {TOKEN}")
        asked(port, "/login", "POST", f"token={TOKEN}")
    assert TOKEN not in caplog.text


# In this process, without a server in between


def test_it_starts_and_stops_with_the_server_that_runs_it(shop: Shop, opened: Opened) -> None:
    with TestClient(opened(shop.registry), "http://localhost", client=("127.0.0.1", 5)) as client:
        assert client.get("/").status_code == 200


def test_a_web_socket_is_not_answered(shop: Shop, opened: Opened) -> None:
    sent: list[Any] = []
    scope = {"type": "websocket", "path": "/", "headers": [(b"host", b"localhost")]}
    asyncio.run(opened(shop.registry)(scope, None, sent.append))
    assert sent == []


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_without_a_token_there_is_nothing_to_log_in_to(shop: Shop, opened: Opened, path: str) -> None:
    client = TestClient(
        opened(shop.registry), "http://localhost", client=("127.0.0.1", 5), follow_redirects=False
    )
    answer = client.post(path, data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("option", ["interval", "slow"])
@pytest.mark.parametrize("seconds", [0, -1.0])
def test_a_time_that_is_not_above_zero_is_refused(
    shop: Shop, opened: Opened, option: str, seconds: float
) -> None:
    with pytest.raises(ConfigurationError, match="must be above 0"):
        opened(shop.registry, **{option: seconds})
