"""Urls with several hosts, which are one server that may change its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from peewee_multidb import ConfigurationError
from peewee_multidb.urls import parse_url

HOST = st.from_regex(r"[a-z0-9-]+(\.[a-z0-9-]+)*", fullmatch=True) | st.ip_addresses(v=6).map(str)
ADDRESSES = st.lists(st.tuples(HOST, st.none() | st.integers(1, 65535)), min_size=1, max_size=5)


def written(address: tuple[str, int | None]) -> str:
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"


@given(ADDRESSES, st.sampled_from(["postgresql", "mysql", "mariadb+aiomysql"]))
def test_every_host_is_read_and_written_again(addresses: list[tuple[str, int | None]], scheme: str) -> None:
    text = f"{scheme}://app@{','.join(map(written, addresses))}/name?a=1"
    url = parse_url(text)
    assert list(url.addresses) == addresses
    assert (url.host, url.port) == addresses[0] and list(url.alternatives) == addresses[1:]
    assert str(url) == text
    # All of it can be read back but the password, which is not shown.
    shown = parse_url(str(url))
    assert replace(shown, password=None) == replace(url, password=None)
    assert (shown.password is None) is (url.password is None)


@given(ADDRESSES)
def test_a_password_is_shown_with_none_of_them(addresses: list[tuple[str, int | None]]) -> None:
    url = parse_url(f"postgresql://app:s3kr1t%2C%3A@{','.join(map(written, addresses))}/name")
    assert url.password is not None and url.password.reveal() == "s3kr1t,:"
    assert "s3kr1t" not in str(url) and "s3kr1t" not in repr(url)
    assert list(url.addresses) == addresses


@pytest.mark.parametrize(
    "address",
    [",", "a,", ",a", "a,,b", "a:1,:2", "a:0,b", "a,b:x", "a,b:99999", "a,[::1", "a,b:1:2", "a, b:x"],
)
def test_a_host_that_is_none_is_refused_and_not_quoted(address: str) -> None:
    with pytest.raises(ConfigurationError) as info:
        parse_url(f"postgresql://app:s3kr1t@{address}/name")
    assert "s3kr1t" not in str(info.value)


@given(st.text(alphabet="ab1:,[].@/%", max_size=30))
@example(":@")
@example("a:b@a")
def test_no_list_of_hosts_whatever_raises_anything_else(address: str) -> None:
    try:
        url: Any = parse_url(f"mysql://{address}/name")
    except ConfigurationError:
        return
    # All of it can be read back but the password, which is not shown.
    shown = parse_url(str(url))
    assert replace(shown, password=None) == replace(url, password=None)
    assert (shown.password is None) is (url.password is None)
