"""Whose a request is: what each selector finds in it, and what it refuses."""

from __future__ import annotations

import asyncio
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.errors import ConfigurationError, InvalidTenant
from peewee_multidb.middleware import (
    by_cookie,
    by_header,
    by_host,
    by_path_prefix,
    by_subdomain,
    first_of,
    signed_cookie,
)
from peewee_multidb.middleware.hosts import host_name
from peewee_multidb.middleware.request import AsgiRequest, Request, WsgiRequest
from peewee_multidb.tenants.names import check_tenant_name

SECRET = "a text that nobody else knows"


def wsgi(path: str = "/", root: str = "", **headers: str) -> Request:
    environ = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    raw = path.encode("utf-8", "surrogatepass").decode("latin-1")
    return WsgiRequest({"REQUEST_METHOD": "GET", "PATH_INFO": raw, "SCRIPT_NAME": root, **environ})


def asgi(path: str = "/", root: str = "", **headers: str) -> Request:
    pairs = [
        (name.replace("_", "-").encode(), value.encode("utf-8", "surrogatepass"))
        for name, value in headers.items()
    ]
    return AsgiRequest(
        {"type": "http", "method": "GET", "path": root + path, "root_path": root, "headers": pairs}
    )


BOTH = pytest.mark.parametrize("kind", [wsgi, asgi])


@BOTH
@pytest.mark.parametrize(
    ("host", "tenant"),
    [
        ("acme.example.com", "acme"),
        ("ACME.Example.COM:8080", "acme"),
        ("acme.example.com.", "acme"),
        ("acme.example.com.:443", "acme"),
        ("example.com", None),
        ("www.example.com", None),
        ("acme.example.org", None),
        ("acmeexample.com", None),
        ("acme.example.com.evil.org", None),
        ("[::1]:8000", None),
        ("127.0.0.1", None),
        ("", None),
    ],
)
def test_a_sub_domain_is_the_label_before_the_domain(kind: Any, host: str, tenant: str | None) -> None:
    assert by_subdomain("example.com")(kind(host=host)) == tenant


NO_HOSTS = """
    a.b.example.com .example.com -a.example.com acme..example.com
    acme.example.com:80:80 acme.example.com:x acme.example.com:123456
    acme@example.com acme.example.com/x acme.example.com,bolt.example.com
    [::1 [::1]x [] \u0430cme.example.com
"""


@pytest.mark.parametrize("host", [*NO_HOSTS.split(), "a b", "a" * 300])
@BOTH
def test_what_is_no_host_is_refused(kind: Any, host: str) -> None:
    with pytest.raises(InvalidTenant):
        by_subdomain("example.com")(kind(host=host))


@given(host=st.text(max_size=300))
def test_a_host_is_read_or_refused_and_never_anything_else(host: str) -> None:
    try:
        name = host_name(host)
    except InvalidTenant as error:
        assert len(str(error)) < 200
        return
    assert name == name.lower() and name.isascii()
    assert set(name) <= set(string.ascii_lowercase + string.digits + "-._:[]")
    assert host_name(name) == name


SELECTORS = {
    "sub-domain": (by_subdomain("example.com"), lambda kind, text: kind(host=f"{text}.example.com")),
    "header": (by_header("X-Tenant"), lambda kind, text: kind(x_tenant=text)),
    "path": (by_path_prefix("/t/"), lambda kind, text: kind(f"/t/{text}/orders")),
    "cookie": (by_cookie("tenant"), lambda kind, text: kind(cookie=f"a=1; tenant={text}; b=2")),
    "signed": (by_cookie("tenant", secret=SECRET), lambda kind, text: kind(cookie=f"tenant={text}")),
}


@pytest.mark.parametrize("kind", [wsgi, asgi])
@pytest.mark.parametrize("name", SELECTORS)
@given(text=st.one_of(st.text(max_size=80), st.from_regex(r"[\w./@:%{}'; -]{0,20}", fullmatch=True)))
def test_whatever_is_sent_is_no_tenant_a_valid_name_or_refused(kind: Any, name: str, text: str) -> None:
    select, request = SELECTORS[name]
    try:
        found = select(request(kind, text))
    except InvalidTenant as error:
        assert len(str(error)) < 250 and str(error).isascii()
        return
    if found is not None:
        assert check_tenant_name(found) == found
        assert name != "signed", "nobody signed it"


def test_a_forwarded_host_counts_only_when_it_is_trusted() -> None:
    request = wsgi(host="bolt.example.com", x_forwarded_host="acme.example.com")
    assert by_subdomain("example.com")(request) == "bolt"
    assert by_subdomain("example.com", trust_forwarded=True)(request) == "acme"
    assert by_host({"acme.example.com": "acme"}, trust_forwarded=True)(request) == "acme"


def test_a_table_of_hosts_knows_its_hosts_and_no_others() -> None:
    select = by_host({"shop.acme.org": "acme"})
    assert select(wsgi(host="Shop.Acme.org:80")) == "acme"
    assert select(wsgi(host="other.org")) is None
    assert select(wsgi()) is None


@BOTH
def test_a_path_prefix_moves_to_the_root_of_the_application(kind: Any) -> None:
    request = kind("/t/acme/orders/1", root="/shop")
    assert by_path_prefix("/t/")(request) == "acme"
    assert request.prefix == "/t/acme"
    request = kind("/t/acme/orders/1")
    assert by_path_prefix("/t/", move=False)(request) == "acme"
    assert request.prefix == ""
    assert by_path_prefix("/t")(kind("/tacme/x")) is None
    assert by_path_prefix()(kind("/")) is None


def test_a_signed_cookie_is_of_one_name_and_one_tenant() -> None:
    value = signed_cookie("tenant", "acme", SECRET)
    assert by_cookie("tenant", secret=SECRET)(wsgi(cookie=f"tenant={value}")) == "acme"
    assert (
        by_cookie("tenant", secret=["another secret text", SECRET])(wsgi(cookie=f"tenant={value}")) == "acme"
    )
    signature = value.partition(".")[2]
    other = signed_cookie("session", "acme", SECRET)
    for forged in (f"bolt.{signature}", "acme.", "acme", f"acme.{signature[:-1]}", other, f"acme.{'é' * 3}"):
        with pytest.raises(InvalidTenant):
            by_cookie("tenant", secret=SECRET)(wsgi(cookie=f"tenant={forged}"))
    with pytest.raises(InvalidTenant):
        by_cookie("tenant", secret="another secret text")(wsgi(cookie=f"tenant={value}"))
    with pytest.raises(ConfigurationError):
        by_cookie("tenant", secret="short")
    with pytest.raises(InvalidTenant):
        signed_cookie("tenant", "a b", SECRET)


def test_a_cookie_in_quotes_is_read_as_what_it_means() -> None:
    assert by_cookie("tenant")(wsgi(cookie='tenant="acme"')) == "acme"
    assert by_cookie("tenant")(wsgi(cookie="x" * 20_000 + "; tenant=acme")) is None


def test_the_first_selector_that_says_anything_counts() -> None:
    select: Any = first_of(by_header("X-Tenant"), by_path_prefix("/t/"))
    assert select(wsgi("/t/bolt/x", x_tenant="acme")) == "acme"
    assert select(wsgi("/t/bolt/x")) == "bolt"
    assert select(wsgi("/")) is None
    with pytest.raises(InvalidTenant):
        select(wsgi("/t/bolt/x", x_tenant="a b"))


def test_the_first_of_several_may_be_a_coroutine_function() -> None:
    async def slow(request: Request) -> str | None:
        await asyncio.sleep(0)
        return request.headers.get("x-slow")

    select: Any = first_of(by_header("X-Tenant"), slow)
    assert asyncio.run(select(asgi(x_slow="bolt"))) == "bolt"
    assert asyncio.run(select(asgi(x_slow="bolt", x_tenant="acme"))) == "acme"
    assert asyncio.run(select(asgi())) is None


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ("", "a b", "exa mple.com", "http://example.com"):
        with pytest.raises(ConfigurationError):
            by_subdomain(wrong)
    with pytest.raises(ConfigurationError):
        by_path_prefix("t/")
