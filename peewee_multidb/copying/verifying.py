"""Comparing what was copied with where it came from: counts and checksums, and if they differ, the rows.

The checksum is a sum over the rows, so the order in which an engine sorts them does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..rebalance.tables import Row, digest
from .tables import CopyTable

__all__ = ["MODULUS", "differences", "shown", "sum_of", "sum_of_keys"]

MODULUS = 1 << 128

Advance = Callable[[int], None]

#: How many differing rows are named.
NAMED = 5


def shown(checksum: int) -> str:
    """Return a checksum as it is printed."""
    return f"{checksum:032x}"


def sum_of(table: CopyTable, batch: int, advance: Advance) -> tuple[int, int]:
    """Return how many rows a table has and their checksum."""
    rows = checksum = 0
    for page in table.pages(batch):
        rows += len(page)
        checksum = (checksum + sum(map(digest, page))) % MODULUS
        advance(len(page))
    return rows, checksum


def sum_of_keys(source: CopyTable, target: CopyTable, batch: int, advance: Advance) -> tuple[int, int]:
    """Return the same of those rows of a target whose primary keys the source has."""
    rows = checksum = 0
    for keys in source.pages(batch, fields=()):
        found = target.having(keys)
        rows += len(found)
        checksum = (checksum + sum(map(digest, found))) % MODULUS
        advance(len(keys))
    return rows, checksum


def differences(source: CopyTable, target: CopyTable, batch: int) -> list[str]:
    """Return sentences about the first rows that differ, read on both sides now."""
    found: list[str] = []
    for page in source.pages(batch):
        theirs = {target.key_of(row): row for row in target.having([source.key_of(row) for row in page])}
        for row in page:
            key = source.key_of(row)
            other = theirs.get(key)
            if other is None:
                found.append(f"{_named(source, key)} is in the source alone")
            elif row != other and digest(row) != digest(other):
                found.append(f"{_named(source, key)} differs in {', '.join(_columns(source, row, other))}")
            if len(found) == NAMED:
                return found
    for keys in target.pages(batch, fields=()):
        there = {source.key_of(row) for row in source.having(keys)}
        for key in keys:
            if key not in there:
                found.append(f"{_named(source, key)} is in the target alone")
            if len(found) == NAMED:
                return found
    return found


def _columns(table: CopyTable, row: Sequence[Any], other: Sequence[Any]) -> list[str]:
    pairs = zip(table.fields, row, other, strict=True)
    return [field.column_name for field, one, two in pairs if digest((one,)) != digest((two,))]


def _named(table: CopyTable, key: Row) -> str:
    return f"{table.model.__name__} {key[0] if len(key) == 1 else key!r}"
