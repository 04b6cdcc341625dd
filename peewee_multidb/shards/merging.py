"""Merging sorted streams of rows, in rounds.

Each shard hands over its rows sorted, in chunks. In every round the lowest of the chunks' last keys is the
mark up to which nothing smaller can still come; what lies before the mark is cut off each chunk and put in
order by one sort, which for a few sorted runs is a merge, done in C. A heap would cost a comparison
in Python for every row.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

__all__ = ["Term", "concatenated", "key_function", "merged"]

Row = Sequence[Any]
Chunks = Iterator[Sequence[Row]]
#: A row with its place in the order and the number of the shard that it is from.
Tagged = tuple[Any, Row, int]

_first = itemgetter(0)


@dataclass(frozen=True)
class Term:
    """One term of an ORDER BY.

    Attributes:
        position: of the value in a row, from 0.
        descending: DESC.
        nulls_first: whether NULL comes before every value; None where there is no NULL.
        prepare: makes of a value, not of NULL, what compares as the engine compares; None for itself.
    """

    position: int
    descending: bool = False
    nulls_first: bool | None = None
    prepare: Callable[[Any], Any] | None = None


class _Reversed:
    """A value that compares the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Reversed) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]


def key_function(terms: Sequence[Term]) -> tuple[Callable[[Row], Any], bool]:
    """Return the function that makes a row's sort key, and whether rows come in falling order of keys."""
    falling = all(term.descending for term in terms)
    parts = [_part(term, reverse=term.descending and not falling, falling=falling) for term in terms]
    if len(parts) == 1:
        return parts[0], falling
    if all(_is_plain(term) for term in terms) and (falling or not any(t.descending for t in terms)):
        return itemgetter(*(term.position for term in terms)), falling
    if len(parts) == 2:
        one, two = parts
        return lambda row: (one(row), two(row)), falling
    return lambda row: tuple([part(row) for part in parts]), falling


def _is_plain(term: Term) -> bool:
    return term.nulls_first is None and term.prepare is None


def _part(term: Term, *, reverse: bool, falling: bool) -> Callable[[Row], Any]:
    position, prepare = term.position, term.prepare
    get: Callable[[Row], Any] = itemgetter(position)
    value = get if prepare is None else (lambda row: prepare(row[position]))
    if reverse:
        plain = value
        value = lambda row: _Reversed(plain(row))  # noqa: E731 - one of several shapes of one function
    if term.nulls_first is None:
        return value
    # In falling order what has the greater key comes first.
    null = (0,) if term.nulls_first != falling else (2,)
    return lambda row: null if row[position] is None else (1, value(row))


class _Run:
    """What is at hand of one shard's rows."""

    __slots__ = ("at", "chunks", "done", "keys", "number", "rows")

    def __init__(self, number: int, chunks: Chunks) -> None:
        self.number = number
        self.chunks = chunks
        self.rows: Sequence[Row] = ()
        self.keys: list[Any] = []
        self.at = 0
        self.done = False

    def fill(self, key: Callable[[Row], Any]) -> bool:
        """See that there is a row at hand; False when there are no more."""
        while self.at >= len(self.rows) and not self.done:
            rows = next(self.chunks, None)
            if rows is None:
                self.done, self.rows, self.keys = True, (), []
            else:
                self.rows, self.keys = rows, list(map(key, rows))
            self.at = 0
        return self.at < len(self.rows)

    def take(self, end: int) -> Iterator[Tagged]:
        at, self.at = self.at, end
        return zip(self.keys[at:end], self.rows[at:end], itertools.repeat(self.number))

    def end_of(self, mark: Any, falling: bool) -> int:
        """Return how far the rows go that come before the mark or are level with it."""
        low, high, keys = self.at, len(self.keys), self.keys
        while low < high:
            middle = (low + high) // 2
            beyond = keys[middle] < mark if falling else mark < keys[middle]
            if beyond:
                high = middle
            else:
                low = middle + 1
        return low


def merged(streams: Sequence[Chunks], terms: Sequence[Term]) -> Iterator[list[Tagged]]:
    """Merge the rows of several streams, each in the order of the terms.

    Args:
        streams: for each shard an iterator of chunks of rows.
        terms: the order.

    Yields:
        Lists of sort key, row and number of the stream, in order from list to list.
    """
    key, falling = key_function(terms)
    runs = [_Run(number, chunks) for number, chunks in enumerate(streams)]
    while True:
        runs = [run for run in runs if run.fill(key)]
        if not runs:
            return
        if len(runs) == 1:
            run = runs[0]
            yield list(run.take(len(run.rows)))
            continue
        # The last key of a chunk: of its stream nothing comes before that.
        marks = [run.keys[-1] for run in runs]
        mark = marks[0]
        for other in marks[1:]:
            if (mark < other) if falling else (other < mark):
                mark = other
        batch: list[Tagged] = []
        for run in runs:
            batch.extend(run.take(run.end_of(mark, falling)))
        batch.sort(key=_first, reverse=falling)
        yield batch


def concatenated(streams: Iterable[Chunks]) -> Iterator[list[Tagged]]:
    """Return the rows of one stream after the other's, in no order that anybody asked for."""
    for number, chunks in enumerate(streams):
        for rows in chunks:
            yield [(None, row, number) for row in rows]
