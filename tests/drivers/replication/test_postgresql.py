"""PostgreSQL's positions, on a real primary with a replica where the server has a say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import Databases
from peewee_multidb.drivers.replication import LSN, POSTGRESQL

PAGE, SEGMENT = 8192, 16 << 20


@given(st.integers(0, 2**64 - 1))
def test_an_lsn_is_read_as_it_is_written(number: int) -> None:
    assert LSN.parse(str(LSN(number))) == number


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "G/0", "0/123456789", "0/0 ", "-1/0", "0/0/0"])
def test_other_text_is_no_lsn(text: str) -> None:
    with pytest.raises(ValueError, match="not an LSN"):
        LSN.parse(text)


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_a_later_position_covers_an_earlier_one(one: int, other: int) -> None:
    assert LSN(one).covers(LSN(other)) == (one >= other)
    assert LSN(one).joined(LSN(other)) == max(one, other)


@pytest.mark.parametrize(
    ("place", "end"),
    [
        (3 * PAGE + 24, 3 * PAGE),
        (5 * SEGMENT + 40, 5 * SEGMENT),
        (5 * SEGMENT + 24, 5 * SEGMENT + 24 - 24),
        (3 * PAGE + 40, 3 * PAGE + 40),
        (3 * PAGE + 32, 3 * PAGE + 32),
        (3 * PAGE, 3 * PAGE),
    ],
)
def test_a_record_that_fills_its_page_ends_before_the_next_header(place: int, end: int) -> None:
    assert LSN(place).end_of_record(PAGE, SEGMENT) == end


def test_a_replica_gets_to_the_end_of_a_record_that_fills_its_page(
    postgres_cluster: Any, postgres_cluster_settings: dict[str, Any]
) -> None:
    registry = Databases({"default": postgres_cluster_settings})
    database = registry["default"]

    def insert_place() -> LSN:
        return LSN.parse(database.execute_sql("SELECT pg_current_wal_insert_lsn()::text").fetchone()[0])

    def emit(size: int) -> None:
        database.execute_sql("SELECT pg_logical_emit_message(false, 'x', repeat('y', %s))", [size])

    for _ in range(200):
        before = insert_place()
        # What a message takes besides its text is learnt from one, and the next one fills the page.
        emit(600)
        after = insert_place()
        left = PAGE - after % PAGE
        if after // PAGE == before // PAGE and left > after - before:
            emit(600 + left - (after - before))
        if insert_place() % PAGE == 24:
            break
    else:
        pytest.fail("no record ended with its page")
    position = POSTGRESQL.written(database)
    replica = registry.entries["default"].replicas[0].database
    assert POSTGRESQL.wait(replica, position, 20).covers(position)
    assert position % PAGE == 0 or insert_place() % PAGE != 24
    registry.close_all()
