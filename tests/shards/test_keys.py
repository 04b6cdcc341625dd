"""The canonical bytes of keys: the same for ever and everywhere, and different for different keys."""

from __future__ import annotations

import datetime
import enum
import os
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import HashShards, InvalidShardKey
from peewee_multidb.shards.keys import encoded

UTC = datetime.timezone.utc
BERLIN = datetime.timezone(datetime.timedelta(hours=2))


class Colour(enum.IntEnum):
    RED = 1


class Word(str, enum.Enum):
    HELLO = "hello"


#: What a release may never change: rows would be looked for where they are not.
FOR_EVER = [
    (0, b"i0", 179),
    (-7, b"i-7", 8),
    (2**70, b"i1180591620717411303424", 325),
    (Colour.RED, b"i1", 778),
    ("", b"s", 734),
    ("1", b"s1", 340),
    ("süß 🍎", "ssüß 🍎".encode(), 332),
    (Word.HELLO, b"shello", 813),
    (b"\x00\xff", b"b\x00\xff", 1004),
    (bytearray(b"x"), b"bx", 242),
    (memoryview(b"x"), b"bx", 242),
    (uuid.UUID(int=1), b"u" + b"\x00" * 15 + b"\x01", 262),
    (Decimal("1.50"), b"n1.5", 623),
    (Decimal("-0.0"), b"n0", 198),
    (Decimal("1E+3"), b"n1000", 4),
    (Decimal("1E-3"), b"n0.001", 958),
    (datetime.date(2024, 2, 29), b"d2024-02-29", 34),
    (datetime.datetime(2024, 2, 29, 1, 2, 3), b"t2024-02-29T01:02:03.000000", 216),
    (datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=BERLIN), b"z2024-02-28T23:02:03.000000", 3),
    ((1, "a"), b"(\x00\x00\x00\x02i1\x00\x00\x00\x02sa", 369),
    ((), b"(", 815),
]


# A memoryview's own repr has an address in it, and every process must give a test the same name.
NAMES = [f"a view of {bytes(key)!r}" if isinstance(key, memoryview) else repr(key) for key, _, _ in FOR_EVER]


@pytest.mark.parametrize(("key", "data", "bucket"), FOR_EVER, ids=NAMES)
def test_the_form_and_the_bucket_of_a_key_never_change(key: Any, data: bytes, bucket: int) -> None:
    assert encoded(key) == data
    assert HashShards("a").bucket_of(key) == bucket


def test_another_process_with_another_hash_seed_agrees() -> None:
    code = (
        "from peewee_multidb import HashShards; r = HashShards('a'); "
        "print([r.bucket_of(k) for k in (5, 'five', (5, 'x'))])"
    )
    here = HashShards("a")
    expected = str([here.bucket_of(key) for key in (5, "five", (5, "x"))])
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
        )
        assert run.stdout.strip() == expected, run.stderr


def test_types_are_kept_apart() -> None:
    keys: list[Any] = [1, "1", b"1", Decimal(1), (1,), ("1",), "d2024-01-01", datetime.date(2024, 1, 1)]
    keys += [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC)]
    assert len({encoded(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    "key",
    [True, False, 1.5, None, Decimal("NaN"), Decimal("Infinity"), [1], {1}, object(), (1, None), (True,)],
)
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidShardKey, match="is not a shard key"):
        encoded(key)


simple = st.one_of(
    st.integers(),
    st.text(st.characters()),
    st.binary(),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(),
)
keys = st.one_of(simple, st.lists(simple, max_size=3).map(tuple))


@given(keys, keys)
def test_two_keys_are_one_only_if_they_are_equal_and_of_one_type(one: Any, other: Any) -> None:
    assert (encoded(one) == encoded(other)) == (shape(one) == shape(other))


def shape(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(map(shape, key))
    return type(key), key


@given(st.datetimes(timezones=st.sampled_from([UTC, BERLIN]), min_value=datetime.datetime(1000, 1, 1)))
def test_an_aware_datetime_is_its_moment(moment: datetime.datetime) -> None:
    assert encoded(moment) == encoded(moment.astimezone(UTC)) == encoded(moment.astimezone(BERLIN))


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_a_decimal_is_its_value_however_it_is_written(number: Decimal, zeros: int) -> None:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, (*digits, *[0] * zeros), exponent - zeros))
    assert encoded(longer) == encoded(number)
