"""A tenant's name from outside is checked before anything is done with it."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import InvalidTenant, MultiDBError, check_tenant_name

GOOD = string.ascii_letters + string.digits + "_"

HOSTILE = [
    "",
    " ",
    "-acme",
    "acme ",
    "acme\n",
    "\nacme",
    "ac\0me",
    "acme\r\nX-Evil: 1",
    "../acme",
    "..",
    ".",
    "acme.com",
    "a/b",
    "a\\b",
    "acme%2f..",
    "%00",
    "acme?sslmode=disable",
    "acme#",
    "user:pass@host",
    "sqlite:///x",
    "acme'; drop table users; --",
    'acme"',
    "acme`",
    "acme;",
    "{acme}",
    "$acme",
    "\u0430cme",  # Cyrillic
    "acm\u0435",
    "acme\u200b",
    "\uff41cme",  # full width
    "acme\u0301",
    "K".replace("K", "\u212a"),  # the Kelvin sign, which lowers to k
    "\u0661\u0662",  # digits, but not ASCII's
    "\ud800",
    "a" * 65,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_what_no_tenant_can_be_called_is_refused(name: str) -> None:
    with pytest.raises(InvalidTenant) as info:
        check_tenant_name(name)
    assert isinstance(info.value, (MultiDBError, ValueError))
    assert str(info.value).isascii() and str(info.value).isprintable()


@pytest.mark.parametrize("value", [None, 3, b"acme", ["acme"], ("a",)], ids=repr)
def test_only_text_is_a_name(value: Any) -> None:
    with pytest.raises(InvalidTenant, match="must be a str"):
        check_tenant_name(value)


@given(st.text(GOOD + "-", min_size=1, max_size=64).filter(lambda name: not name.startswith("-")))
def test_a_good_name_is_returned_as_it_is(name: str) -> None:
    assert check_tenant_name(name) == name


@given(st.text(min_size=0, max_size=80))
def test_nothing_else_passes(name: str) -> None:
    is_good = 0 < len(name) <= 64 and name[0] in GOOD and set(name) <= {*GOOD, "-"}
    if is_good:
        assert check_tenant_name(name) == name
    else:
        with pytest.raises(InvalidTenant):
            check_tenant_name(name)


def test_names_that_differ_in_case_are_two() -> None:
    assert check_tenant_name("Acme") != check_tenant_name("acme")


@given(st.text(min_size=65, max_size=2000))
def test_a_message_never_holds_the_whole_value(name: str) -> None:
    with pytest.raises(InvalidTenant) as info:
        check_tenant_name(name)
    assert name not in str(info.value)
    assert len(str(info.value)) < 160


def test_a_megabyte_is_refused_as_fast_as_a_word() -> None:
    huge = "a\n" * 500_000

    class Counting(str):
        """Text that must not be looked at beyond its beginning."""

        def __iter__(self) -> Any:
            raise AssertionError("somebody walks through a megabyte")

        lower = upper = strip = encode = __iter__

    before = time.process_time()
    with pytest.raises(InvalidTenant, match="more than 64 characters"):
        check_tenant_name(Counting(huge))
    assert time.process_time() - before < 5


def test_the_limit_may_be_another() -> None:
    assert check_tenant_name("a" * 100, max_length=100)
    with pytest.raises(InvalidTenant):
        check_tenant_name("abc", max_length=2)


def test_a_subclass_of_str_comes_back_as_plain_text() -> None:
    class Sly(str):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    assert type(check_tenant_name(Sly("acme"))) is str
