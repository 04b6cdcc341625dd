"""pymssql has no parameters on the wire: the literals that are written instead."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any

import peewee
import pytest

from peewee_multidb.drivers.mssql import ServerVersion
from peewee_multidb.drivers.mssql.adapters.literals import literal

NEW, OLD = ServerVersion(15), ServerVersion(8)


class Colour(enum.IntEnum):
    RED = 3


class Name(str):
    pass


@pytest.mark.parametrize(
    ("value", "new", "old"),
    [
        (None, "NULL", "NULL"),
        (True, "1", "1"),
        (Colour.RED, "3", "3"),
        (-(2**63), "-9223372036854775808", "-9223372036854775808"),
        (0.5, "0.5e0", "0.5e0"),
        (1e300, "1e+300", "1e+300"),
        (Decimal("1E+3"), "1000", "1000"),
        (Decimal("-0.10"), "-0.10", "-0.10"),
        (Name("it's %s"), "N'it''s %s'", "N'it''s %s'"),
        ("a\\\nb", "(N'a\\'+N'\nb')", "(N'a\\'+N'\nb')"),
        ("a\\\r\nb", "(N'a\\'+N'\r\nb')", "(N'a\\'+N'\r\nb')"),
        ("a\0b", "(N'a'+NCHAR(0)+N'b')", "(N'a'+NCHAR(0)+N'b')"),
        (b"", "0x", "0x"),
        (bytearray(b"abc"), "0x616263", "0x616263"),
        (
            uuid.UUID(int=10),
            "'00000000-0000-0000-0000-00000000000A'",
            "'00000000-0000-0000-0000-00000000000A'",
        ),
        (
            datetime.datetime(2020, 1, 2, 3, 4, 5, 678000),
            "'2020-01-02T03:04:05.678'",
            "'2020-01-02T03:04:05.678'",
        ),
        (
            datetime.datetime(2020, 1, 2, 3, 4, 5, 678901),
            "CAST('2020-01-02T03:04:05.678901' AS DATETIME2(6))",
            "'2020-01-02T03:04:05.678'",
        ),
        (datetime.date(1999, 12, 31), "'19991231'", "'19991231'"),
        (datetime.time(1, 2, 3), "'01:02:03.000'", "'1900-01-01T01:02:03.000'"),
        (datetime.time(1, 2, 3, 4), "CAST('01:02:03.000004' AS TIME(6))", "'1900-01-01T01:02:03.000'"),
    ],
)
def test_what_is_written_for_a_value(value: Any, new: str, old: str) -> None:
    assert literal(value, NEW) == new
    assert literal(value, OLD) == old


def test_a_sum_of_texts_is_long_enough_for_all_of_them() -> None:
    """The sum of two NVARCHAR literals is cut off at 4,000 characters."""
    value = "a" * 3000 + "\\\n" + "b" * 3000
    assert literal(value, NEW).startswith("(CAST(N'' AS NVARCHAR(MAX))+N'aaa")
    assert literal("a" * 3998 + "\\\n", NEW).startswith("(N'")
    assert literal("\N{GRINNING FACE}" * 2000 + "\0", NEW).startswith("(CAST(")
    assert literal("a" * 5000, OLD) == "N'" + "a" * 5000 + "'"
    with pytest.raises(peewee.DataError, match="cuts a text"):
        literal(value, OLD)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (10**38, peewee.DataError),
        (Decimal(10) ** 38, peewee.DataError),
        (Decimal("Infinity"), peewee.DataError),
        (float("nan"), peewee.DataError),
        ("\udc00", peewee.DataError),
        ([1], peewee.ProgrammingError),
        (datetime.timedelta(1), peewee.ProgrammingError),
    ],
)
def test_what_no_literal_can_say_is_refused(value: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        literal(value, NEW)
