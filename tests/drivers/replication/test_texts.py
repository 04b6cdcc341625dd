"""Positions as texts: read, written, compared and joined, for what any server may write and for garbage."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.replication import LSN
from peewee_multidb.drivers.replication.base import ServerState
from peewee_multidb.drivers.replication.mariadb import MARIADB, GtidList
from peewee_multidb.drivers.replication.mysql import MYSQL, GtidSet
from peewee_multidb.drivers.replication.postgresql import POSTGRESQL

LSNS = st.integers(0, 2**64 - 1).map(LSN)
NUMBERS = st.integers(1, 6)
#: Domain to server and sequence number.
LISTS = st.dictionaries(st.integers(0, 3), st.tuples(st.integers(1, 3), NUMBERS), max_size=4).map(
    lambda last: GtidList(",".join(f"{domain}-{server}-{seq}" for domain, (server, seq) in last.items()))
)
SOURCES = [str(uuid.UUID(int=number)) for number in range(3)]
#: The transactions of each server, as pairs of a server and a number.
TRANSACTIONS = st.frozensets(st.tuples(st.sampled_from(SOURCES), st.integers(1, 9)), max_size=12)


def written(transactions: Any) -> GtidSet:
    """Every transaction as an interval of its own."""
    return GtidSet(",".join(f"{source}:{number}" for source, number in sorted(transactions)))


def seen(position: GtidSet) -> set[tuple[str, int]]:
    return {
        (source, number)
        for source, intervals in position.intervals.items()
        for first, last in intervals
        for number in range(first, last + 1)
    }


@given(LSNS, LSNS)
def test_an_lsn_covers_what_comes_before_it(one: LSN, other: LSN) -> None:
    assert LSN.parse(str(one)) == one
    assert POSTGRESQL.parse(str(one)) == one
    assert one.covers(other) is (int(one) >= int(other))
    joined = one.joined(other)
    assert isinstance(joined, LSN) and joined.covers(one) and joined.covers(other)
    assert joined in (one, other)


def test_an_lsn_is_written_as_postgresql_writes_it() -> None:
    assert str(LSN.parse("16/B374D848")) == "16/B374D848"
    assert LSN.parse("0/0") == 0 and LSN.parse("1/0") == 2**32


@given(LISTS, LISTS)
def test_a_list_of_gtids_covers_what_is_no_further_in_any_domain(one: GtidList, other: GtidList) -> None:
    expected = all(
        domain in one.last and one.last[domain][0] >= seq for domain, (seq, _) in other.last.items()
    )
    assert one.covers(other) is expected
    assert one.covers(one)
    joined = one.joined(other)
    assert joined.covers(one) and joined.covers(other)
    assert set(joined.last) == set(one.last) | set(other.last)
    # Nothing is made up: whatever covers both covers it.
    assert all(last in (one.last.get(domain), other.last.get(domain)) for domain, last in joined.last.items())
    assert GtidList(str(joined)).last == joined.last


@given(LISTS, LISTS, LISTS)
def test_covering_is_transitive(one: GtidList, two: GtidList, three: GtidList) -> None:
    if one.covers(two) and two.covers(three):
        assert one.covers(three)


@given(TRANSACTIONS, TRANSACTIONS)
def test_a_set_of_gtids_covers_its_subsets(one: frozenset[Any], other: frozenset[Any]) -> None:
    ours, theirs = written(one), written(other)
    assert seen(ours) == one
    assert ours.covers(theirs) is (other <= one)
    assert seen(ours.joined(theirs)) == one | other
    assert seen(GtidSet(str(ours.joined(theirs)))) == one | other


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), min_size=1, max_size=8))
def test_intervals_are_sorted_and_merged(intervals: list[tuple[int, int]]) -> None:
    text = ":".join(f"{first}-{first + more}" for first, more in intervals)
    merged = GtidSet(f"{SOURCES[0]}:{text}").intervals[SOURCES[0]]
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(merged))
    numbers = {number for first, more in intervals for number in range(first, first + more + 1)}
    assert {n for first, last in merged for n in range(first, last + 1)} == numbers


def test_what_mysql_writes_is_read() -> None:
    """Lines are broken after commas, letters of either case are the same server, tags are apart."""
    server = "3E11FA47-71CA-11E1-9E33-C80AA9429562"
    position = GtidSet(f"{server}:1-5:11-18,\n{SOURCES[1]}:7, {SOURCES[2]}:1:app:1-3")
    assert position.intervals == {
        server.lower(): [(1, 5), (11, 18)],
        SOURCES[1]: [(7, 7)],
        SOURCES[2]: [(1, 1)],
        f"{SOURCES[2]}:app": [(1, 3)],
    }
    assert position.covers(GtidSet(f"{server.lower()}:3-4:12")) and not position.covers(
        GtidSet(f"{server}:5-11")
    )
    assert not position.covers(GtidSet(f"{SOURCES[2]}:2")) and position.covers(GtidSet(""))
    assert "\n" not in str(position)


def test_mysqls_questions_know_both_forms() -> None:
    assert isinstance(MYSQL.parse(f"{SOURCES[0]}:1-5"), GtidSet)
    assert isinstance(MYSQL.parse("0-1-100,1-2-5"), GtidList)
    assert isinstance(MARIADB.parse("0-1-100"), GtidList)


BAD = [
    "x",
    "0",
    "1/",
    "/1",
    "1/2/3",
    "-1/2",
    "1/G",
    "1 /2",
    "0-1",
    "0-1-2-3",
    "a-b-c",
    "0-1-2;1-1-1",
    "\u0660-\u0661-\u0662",
]


@pytest.mark.parametrize("parse", [LSN.parse, MARIADB.parse, MYSQL.parse, GtidSet])
@pytest.mark.parametrize(
    "text", [*BAD, f"{SOURCES[0]}", f"{SOURCES[0]}:", f"{SOURCES[0]}:x-", f"{SOURCES[0]}:1-2-3"]
)
def test_garbage_is_refused_with_a_value_error(parse: Any, text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        parse(text)


@given(st.text())
def test_no_text_whatever_raises_anything_else(text: str) -> None:
    for parse in (LSN.parse, MARIADB.parse, MYSQL.parse, GtidSet):
        try:
            position: Any = parse(text)
        except ValueError:
            continue
        assert parse(str(position)).covers(position)


def at(position: Any) -> ServerState:
    return ServerState(replicating=True, writable=False, position=position, lag=None, identity=None)


@given(TRANSACTIONS, TRANSACTIONS)
def test_a_replica_has_no_transaction_that_its_primary_has_not(
    one: frozenset[Any], other: frozenset[Any]
) -> None:
    assert MYSQL.is_replica_of(at(written(one)), at(written(other))) is (one <= other)


def test_a_set_of_gtids_is_told_apart_from_its_text() -> None:
    text = f"{SOURCES[0]}:1-5"
    assert repr(GtidSet(f" {text}\n")) == f"GtidSet('{text}')" and str(GtidSet(text)) == text
