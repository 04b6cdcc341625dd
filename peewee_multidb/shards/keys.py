"""Keys as bytes: one canonical form of every value that can be a shard key.

What is hashed must be the same on every machine, under every version of Python and of this package, for
as long as the rows exist, and must not depend on how a value happens to be written: Decimal("1.0") and
Decimal("1.00") are one key, an aware datetime is its moment in UTC. Values of different types are
different keys: 1 and "1" are. Three types are refused. A bool is nearly always a mistake; a float is not
what it looks like; and None is no key at all.

The encoding is a letter for the type and then:

====  ======================  =====================================================
 i    int                     its decimal digits, with a minus sign if negative
 s    str                     UTF-8
 b    bytes                   as it is
 u    uuid.UUID               its 16 bytes
 n    decimal.Decimal         its digits without exponent and without trailing zeros
 d    datetime.date           YYYY-MM-DD
 t    datetime.datetime       naive: YYYY-MM-DDTHH:MM:SS.ffffff
 z    datetime.datetime       aware: the same, of the moment in UTC
 (    tuple                   for each element its length in 4 bytes, and the element
====  ======================  =====================================================
"""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

from ..errors import InvalidShardKey

__all__ = ["encoded"]


def encoded(key: Any) -> bytes:
    """Return the canonical bytes of a key.

    Raises:
        InvalidShardKey: a value of its type cannot be a key.
    """
    kind = type(key)
    if kind is int:
        return b"i%d" % key
    if kind is str:
        return b"s" + bytes(key.encode("utf-8", "surrogatepass"))
    if isinstance(key, bool):
        raise InvalidShardKey(f"{key!r} is not a shard key: a bool says too little; use an int.")
    if isinstance(key, int):
        return b"i%d" % int(key)
    if isinstance(key, str):
        return b"s" + bytes(str.encode(key, "utf-8", "surrogatepass"))
    if isinstance(key, (bytes, bytearray, memoryview)):
        return b"b" + bytes(key)
    if isinstance(key, uuid.UUID):
        return b"u" + key.bytes
    if isinstance(key, Decimal):
        return b"n" + _digits(key)
    if isinstance(key, datetime.datetime):
        return _moment(key)
    if isinstance(key, datetime.date):
        return b"d" + key.isoformat().encode()
    if isinstance(key, tuple):
        parts = [encoded(value) for value in key]
        return b"(" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    raise InvalidShardKey(
        f"{key!r} is not a shard key: a {kind.__name__} cannot be one. "
        "Use an int, a str, bytes, a UUID, a Decimal, a date, a datetime, or a tuple of these."
    )


def _digits(key: Decimal) -> bytes:
    if not key.is_finite():
        raise InvalidShardKey(f"{key!r} is not a shard key: it is not a number.")
    if not key:
        return b"0"
    text = format(key, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.encode()


def _moment(key: datetime.datetime) -> bytes:
    if key.tzinfo is None or key.utcoffset() is None:
        return b"t" + key.replace(tzinfo=None).isoformat(timespec="microseconds").encode()
    utc = key.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return b"z" + utc.isoformat(timespec="microseconds").encode()
