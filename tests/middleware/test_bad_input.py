"""What comes from outside and is no tenant's name: refused over real HTTP, and never logged whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.middleware.client import Server

SERVERS = {
    "threaded": "hosts_wsgi",
    "gevent": "hosts_wsgi",
    "waitress": "hosts_wsgi",
    "uvicorn": "hosts_asgi",
    "hypercorn": "hosts_asgi",
    "aiohttp": "hosts_aiohttp",
}
MEGABYTE = b"m4rk" * 250_000

#: By what they are; each is tried as a header, in the path, as a cookie and as a sub-domain.
NAMES = {
    "traversal": b"../../etc/passwd",
    "encoded traversal": b"%2e%2e%2fetc",
    "sql": b"acme'; DROP TABLE note; --",
    "url": b"postgresql://evil@10.0.0.1/app",
    "url fragment": b"acme@evil/x?y=1#z",
    "format": b"{0.__class__}%s",
    "look-alike": "аcme".encode(),  # noqa: RUF001 - the first letter is Cyrillic
    "full width": "ａcme".encode(),  # noqa: RUF001
    "zero width": "ac\u200bme".encode(),
    "case and blanks": b" acme x",
    "leading dash": b"-acme",
    "a letter too many": b"a" * 65,
    "not UTF-8": b"acme\xff\xfe",
    "control": b"ac\x01me",
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    started = Server(request.param, SERVERS[request.param], {"acme": "sqlite:///:memory:"})
    yield started
    started.close()


def send(server: Server, target: bytes = b"/", *lines: bytes, host: bytes = b"example.com") -> int | None:
    """Return the status, or None if the server itself hung up."""
    hosts = [b"Host: " + host] if host else []
    head = b"\r\n".join([b"GET " + target + b" HTTP/1.1", *hosts, *lines, b"Connection: close", b"", b""])
    answer = server.raw(head)
    return None if answer is None else answer.status


def test_a_right_name_is_served_whatever_it_came_by(server: Server) -> None:
    assert send(server, b"/", b"X-Tenant: acme") == 200
    assert send(server, b"/t/acme/orders") == 200
    assert send(server, b"/", b"Cookie: other=1; tenant=acme") == 200
    for host in (b"acme.example.com", b"ACME.example.com:8080", b"acme.example.com."):
        assert send(server, host=host) == 200
    for host in (b"example.com", b"www.example.com", b"[::1]:80", b"[2001:db8::1]", b"127.0.0.1"):
        assert send(server, host=host) == 400, "no tenant"


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_no_name_is_refused_before_anything_is_looked_up(server: Server, kind: str) -> None:
    name = NAMES[kind]
    refused = (400, 404, 431, None)
    assert send(server, b"/", b"X-Tenant: " + name) in refused
    assert send(server, b"/t/" + name.replace(b" ", b"%20") + b"/orders") in refused
    assert send(server, b"/", b"Cookie: tenant=" + name) in refused
    assert send(server, host=name.replace(b" ", b"+") + b".example.com") in refused
    # What the server itself refuses it may log; nothing gets as far as an error of ours.
    assert "peewee_multidb" not in server.logged(), server.logged()[-3000:]


def test_a_megabyte_is_refused_and_not_logged(server: Server) -> None:
    for line in (b"X-Tenant: ", b"Cookie: tenant=", b"X-Forwarded-Host: "):
        assert send(server, b"/", line + MEGABYTE) in (400, 413, 431, None)
    assert send(server, b"/t/" + MEGABYTE) in (400, 404, 414, 431, None)
    assert send(server, b"/", b"X-Tenant: " + MEGABYTE[:6000]) == 400
    assert MEGABYTE[:6000].decode() not in server.logged()
    assert send(server, b"/", b"X-Tenant: acme") == 200


def test_an_empty_or_missing_name_is_no_tenant(server: Server) -> None:
    for lines in ((), (b"X-Tenant:",), (b"X-Tenant: ",), (b"Cookie: tenant=",), (b"Cookie: tenant",)):
        assert send(server, b"/", *lines) == 400
    for target in (b"/t/", b"/t//orders", b"/t", b"//acme"):
        assert send(server, target) == 400


def test_a_name_that_is_said_twice_is_refused(server: Server) -> None:
    assert send(server, b"/", b"X-Tenant: acme", b"X-Tenant: bolt") == 400
    assert send(server, b"/", b"Cookie: tenant=acme; tenant=bolt") == 400
    assert send(server, b"/", b"Host: acme.example.com") == 400, "two Host headers"


def test_an_unknown_name_is_not_found(server: Server) -> None:
    assert send(server, b"/", b"X-Tenant: nobody") == 404
    assert send(server, host=b"nobody.example.com") == 404


def test_a_host_of_the_request_line_that_contradicts_the_header_is_refused(server: Server) -> None:
    answer = send(server, b"http://acme.example.com/", host=b"bolt.example.com")
    assert answer in (400, 404), "never a tenant's page"
    assert send(server, b"http://evil.example/", host=b"acme.example.com") in (400, 404)


def test_a_forwarded_host_is_not_believed_unless_told_so(server: Server) -> None:
    assert send(server, b"/", b"X-Forwarded-Host: acme.example.com") == 400
    assert send(server, b"/", b"Forwarded: host=acme.example.com") == 400


def test_a_header_that_is_injected_stays_a_part_of_the_answer_to_nobody(server: Server) -> None:
    answer = server.raw(
        b"GET /t/acme%0d%0aSet-Cookie:%20tenant=evil/x HTTP/1.1\r\nHost: example.com\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert answer is not None and answer.status == 400 and "set-cookie" not in answer.headers
