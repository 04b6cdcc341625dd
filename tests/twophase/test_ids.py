"""The names of transactions: unique, short enough, and telling whether their program is still there."""

from __future__ import annotations

import os

import pytest

from peewee_multidb.twophase.ids import (
    MOST_BRANCHES,
    NOWHERE,
    _own_start,
    new_gid,
    new_log_id,
    parse_gid,
    parse_xid,
)
from tests.drivers.test_fork import in_child


def test_a_name_can_be_read_back_as_text_and_as_bytes() -> None:
    gid = new_gid(new_log_id())
    for number in (0, 7, MOST_BRANCHES):
        assert parse_xid(gid.branch(number)) == parse_xid(gid.branch(number).encode()) == gid
    assert parse_gid(gid.text) == gid
    assert gid.pid == os.getpid() and not gid.is_orphaned


def test_names_fit_into_what_engines_have_for_them() -> None:
    longest = new_gid("f" * 10)._replace(pid=2**22 - 1, started=2**36 - 1)
    text = "-".join(["mdb", longest.log, longest.place, f"{longest.pid:x}", f"{longest.started:x}", "0" * 16])
    assert parse_gid(text) is not None
    assert len(longest._replace(text=text).branch(MOST_BRANCHES)) <= 64, "XA"
    assert len(text) <= 64, "the key of the table"


def test_names_differ() -> None:
    assert len({new_gid("0" * 10).text for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "foreign", ["", "mdb", "mdb-1", "x" * 64, "prepared by hand", b"\xff\xfe", "mdb-" + "0" * 60, "_sf:1.0"]
)
def test_names_of_others_are_not_taken_for_ours(foreign: str | bytes) -> None:
    assert parse_xid(foreign) is None


def test_a_child_that_ended_is_gone_and_another_process_of_its_number_is_not_it() -> None:
    child = in_child(lambda: new_gid("0" * 10))
    assert child.pid != os.getpid() and child.is_orphaned
    again = child._replace(pid=os.getpid(), started=_own_start(os.getpid()) + 1)
    assert again.is_orphaned


def test_nothing_is_known_of_another_machine() -> None:
    for place in ("12345678", NOWHERE):
        assert not new_gid("0" * 10)._replace(place=place, pid=2**22).is_orphaned
