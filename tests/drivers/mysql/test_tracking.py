"""What MariaDB adds to the answer to a commit, packet by packet; and packets that are damaged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mysql.tracking import (
    SERVER_SESSION_STATE_CHANGED,
    SESSION_TRACK_SYSTEM_VARIABLES,
    Tracked,
    last_gtids,
)


def text(data: bytes) -> bytes:
    """A length-encoded string."""
    size = len(data)
    if size < 0xFB:
        return bytes([size]) + data
    for head, width in ((0xFC, 2), (0xFD, 3), (0xFE, 8)):
        if size < 1 << (8 * width):
            return bytes([head]) + size.to_bytes(width, "little") + data
    raise AssertionError


def variables(*pairs: tuple[bytes, bytes]) -> bytes:
    return bytes([SESSION_TRACK_SYSTEM_VARIABLES]) + text(
        b"".join(text(name) + text(value) for name, value in pairs)
    )


def message(*states: bytes, info: bytes = b"") -> bytes:
    return text(info) + text(b"".join(states))


class Connection(Tracked):
    def __init__(self) -> None:
        self.committed = {}


GTIDS = st.builds("{}-{}-{}".format, st.integers(0, 5), st.integers(1, 9), st.integers(1, 2**64 - 1))


@given(st.lists(GTIDS, max_size=5), st.binary(max_size=300), st.binary(max_size=300))
def test_the_positions_are_found_among_other_states(gtids: list[str], info: bytes, schema: bytes) -> None:
    states = [bytes([1]) + text(schema)]
    for gtid in gtids:
        states.append(variables((b"autocommit", b"ON"), (b"last_gtid", gtid.encode())))
        states.append(bytes([4]) + text(schema))
    assert list(last_gtids(message(*states, info=info))) == gtids


@pytest.mark.parametrize("size", [0, 1, 0xFA, 0xFB, 0xFF, 0xFFFF, 0x10000])
def test_lengths_of_every_width_are_read(size: int) -> None:
    found = list(last_gtids(message(variables((b"x", b"y" * size), (b"last_gtid", b"0-1-7")))))
    assert found == ["0-1-7"]


def test_an_empty_position_is_none() -> None:
    assert list(last_gtids(message(variables((b"last_gtid", b""))))) == []
    assert list(last_gtids(b"")) == []


@given(st.binary(max_size=200), st.integers(0, 2**16 - 1) | st.none())
def test_no_packet_whatever_breaks_a_connection(data: bytes, status: int | None) -> None:
    connection = Connection()
    connection.note(data, status)
    assert connection.is_told is bool(connection.committed)


@given(st.lists(GTIDS, min_size=1, max_size=3), st.data())
def test_a_packet_that_ends_too_early_tells_nothing_wrong(gtids: list[str], data: Any) -> None:
    whole = message(*(variables((b"last_gtid", gtid.encode())) for gtid in gtids))
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    connection = Connection()
    connection.note(part, SERVER_SESSION_STATE_CHANGED)
    assert set(connection.committed.values()) <= set(gtids)


def test_each_domain_keeps_its_last_one_and_an_answer_without_one_tells_nothing() -> None:
    connection = Connection()

    def answer(*gtids: str, status: int = SERVER_SESSION_STATE_CHANGED) -> None:
        connection.note(message(*(variables((b"last_gtid", one.encode())) for one in gtids)), status)

    answer("0-1-5", "7-1-2")
    assert connection.is_told and connection.committed == {"0": "0-1-5", "7": "7-1-2"}
    answer("0-1-6")
    assert connection.is_told and connection.committed == {"0": "0-1-6", "7": "7-1-2"}
    connection.note(None, 2)
    assert not connection.is_told and connection.committed == {"0": "0-1-6", "7": "7-1-2"}
    answer("0-1-9", status=2)
    assert not connection.is_told and connection.committed["0"] == "0-1-6"
