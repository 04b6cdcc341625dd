"""Sorted streams, merged in rounds, are in the order in which one sort would put their rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.shards.merging import Term, concatenated, key_function, merged

ROWS = st.lists(
    st.tuples(st.none() | st.integers(0, 3), st.text("ab", max_size=2), st.integers(0, 9)), max_size=12
)
TERMS = st.lists(
    st.builds(
        Term,
        position=st.sampled_from([0, 1, 2]),
        descending=st.booleans(),
        nulls_first=st.booleans(),
        prepare=st.none(),
    ),
    min_size=1,
    max_size=3,
)


def before(terms: list[Term]) -> Any:
    """The order of SQL, said as simply as can be."""

    def compare(one: Any, two: Any) -> int:
        for term in terms:
            a, b = one[term.position], two[term.position]
            if a == b:
                continue
            if a is None or b is None:
                return -1 if (a is None) == term.nulls_first else 1
            return -1 if (a < b) != term.descending else 1
        return 0

    return cmp_to_key(compare)


def chunks(rows: list[Any], size: int) -> Iterator[list[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


@given(st.lists(ROWS, min_size=1, max_size=5), TERMS, st.integers(1, 4))
def test_merged_rows_are_in_order_and_all_there(parts: list[Any], terms: list[Term], size: int) -> None:
    streams = [chunks(sorted(rows, key=before(terms)), size) for rows in parts]
    found = [row for batch in merged(streams, terms) for _, row, _ in batch]
    everything = list(itertools.chain(*parts))
    keys = [tuple(row[term.position] for term in terms) for row in found]
    assert keys == [
        tuple(row[term.position] for term in terms) for row in sorted(everything, key=before(terms))
    ]
    assert sorted(map(repr, found)) == sorted(map(repr, everything))


@given(st.lists(ROWS, min_size=1, max_size=4), TERMS)
def test_each_row_has_the_number_of_its_stream(parts: list[Any], terms: list[Term]) -> None:
    streams = [chunks(sorted(rows, key=before(terms)), 2) for rows in parts]
    for batch in merged(streams, terms):
        assert all(row in parts[number] for _, row, number in batch)


def test_no_more_is_read_ahead_than_a_chunk_of_each_stream() -> None:
    read = [0, 0]

    def stream(number: int) -> Iterator[list[Any]]:
        for start in range(0, 1000, 10):
            read[number] += 1
            yield [(value * 2 + number,) for value in range(start, start + 10)]

    rows = merged([stream(0), stream(1)], [Term(0)])
    next(rows)
    assert max(read) <= 2


def test_a_plain_key_is_the_value_itself() -> None:
    key, falling = key_function([Term(1)])
    assert key(("a", 7)) == 7 and not falling
    key, falling = key_function([Term(1, descending=True), Term(0, descending=True)])
    assert key(("a", 7)) == (7, "a") and falling


def test_rows_in_no_order_come_stream_by_stream() -> None:
    found = list(concatenated([iter([[(1,)], [(2,)]]), iter([[(3,)]])]))
    assert [(row, number) for batch in found for _, row, number in batch] == [((1,), 0), ((2,), 0), ((3,), 1)]
