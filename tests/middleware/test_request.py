"""A request as selectors see it: its headers as a mapping, its cookies, and the host that it is for."""

from __future__ import annotations

import pytest

from peewee_multidb.errors import InvalidTenant
from peewee_multidb.middleware.request import (
    LONGEST_COOKIE,
    AsgiRequest,
    Headers,
    Request,
    WsgiRequest,
    host_of_target,
)


def wsgi(*headers: tuple[str, str], **environ: str) -> Request:
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers}
    return WsgiRequest({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": "", **named, **environ})


def asgi(*headers: tuple[str, str], path: str = "/") -> Request:
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    return AsgiRequest({"type": "http", "method": "GET", "path": path, "headers": pairs})


BOTH = pytest.mark.parametrize("kind", [wsgi, asgi])


@BOTH
def test_headers_are_a_mapping_without_regard_to_case(kind: type) -> None:
    headers = kind(("X-Tenant", "acme"), ("Accept", "text/html")).headers
    assert dict(headers) == {"x-tenant": "acme", "accept": "text/html"}
    assert len(headers) == 2 and headers["ACCEPT"] == "text/html" and "x-other" not in headers
    with pytest.raises(KeyError):
        headers["x-other"]


def test_several_lines_of_one_name_are_one_value_and_no_tenant() -> None:
    headers = asgi(("x-tenant", "acme"), ("X-Tenant", "bolt")).headers
    assert (len(headers), headers["x-tenant"]) == (1, "acme,bolt")
    with pytest.raises(InvalidTenant, match="x-tenant was sent 2 times"):
        headers.one("x-tenant")


def test_what_headers_there_are_is_for_each_kind_of_server_to_say() -> None:
    with pytest.raises(NotImplementedError):
        Headers.all(asgi().headers, "host")
    with pytest.raises(NotImplementedError):
        Headers.__iter__(asgi().headers)


@BOTH
def test_of_several_cookies_with_one_name_the_first_is_seen_and_none_is_the_only_one(kind: type) -> None:
    request = kind(("Cookie", 'a=1; a=2; b="x y"; flag; c=3; c=3'))
    assert request.cookies == {"a": "1", "b": "x y", "c": "3"}
    assert request.one_cookie("c") == "3" and request.one_cookie("flag") is None
    with pytest.raises(InvalidTenant, match="cookie a was sent 2 times"):
        request.one_cookie("a")


@BOTH
def test_a_cookie_header_that_is_too_long_is_not_read(kind: type) -> None:
    assert kind(("Cookie", f"a=1; b={'x' * LONGEST_COOKIE}")).cookies == {}


@BOTH
@pytest.mark.parametrize("value", ['"half', '"', '"x" b(=c'])
def test_a_quoted_cookie_that_is_no_quoted_text_is_never_an_error(kind: type, value: str) -> None:
    assert set(kind(("Cookie", f"a={value}; b=2")).cookies) == {"a", "b"}


def test_a_request_line_with_another_host_than_the_header_is_refused() -> None:
    same = "http://ACME.example.com/notes"
    assert wsgi(("Host", "acme.example.com"), RAW_URI=same).host == "acme.example.com"
    for request in (
        wsgi(("Host", "acme.example.com"), RAW_URI="http://bolt.example.com/notes"),
        wsgi(RAW_URI="http://bolt.example.com/notes"),
        asgi(("host", "acme.example.com"), path="http://bolt.example.com/"),
    ):
        with pytest.raises(InvalidTenant, match="two hosts"):
            _ = request.host


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://a.example/x", "a.example"),
        ("http://user@a.example:80?x", "a.example:80"),
        ("/x", None),
        ("1://x", None),
    ],
)
def test_the_host_of_a_target_is_what_stands_before_its_path(target: str, host: str | None) -> None:
    assert host_of_target(target) == host
