"""Which columns of a target may not hold what those of a source do, and which values these are.

Two types that differ lose nothing as long as no value shows the difference. So the types only tell where to
look, and the rows decide.
"""

from __future__ import annotations

import datetime
import decimal
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

from .columns import MICROSECONDS, Column

__all__ = ["Check", "check_for", "impossible"]

#: Returns what is wrong with a value, or None.
Check = Callable[[Any], "str | None"]

#: The years of a column: https://dev.mysql.com/doc/refman/8.4/en/datetime.html,
#: https://learn.microsoft.com/sql/t-sql/data-types/datetime-transact-sql
_CODECS = {"latin1": "cp1252", "ascii": "ascii", "latin2": "iso8859_2", "cp1251": "cp1251", "greek": "greek"}
_FIRST_YEAR = {
    ("mysql", "datetime"): 1000,
    ("mysql", "timestamp"): 1970,
    ("mssql", "datetime"): 1753,
    ("mssql", "smalldatetime"): 1900,
}
_LAST_YEAR = {("mysql", "timestamp"): 2037, ("mssql", "smalldatetime"): 2078}


def impossible(source: Column, target: Column) -> str | None:
    """Return why no value of a column can be trusted to stay the same in another one, or None.

    Args:
        source: where the values are.
        target: where they are to go.
    """
    if source.zoned and not target.zoned and not source.dynamic:
        return f"{source.declared} knows the offset from UTC, which {target.declared} cannot keep"
    if target.zoned and not source.zoned and not source.dynamic:
        return (
            f"{source.declared} does not say in which time zone it is, and {target.declared} would have to "
            "guess"
        )
    return None


def check_for(source: Column, target: Column, source_engine: str, target_engine: str) -> Check | None:
    """Return what looks for values that the target cannot hold; None if every value of the source fits.

    Args:
        source: where the values are.
        target: where they are to go.
        source_engine: of the database of the source.
        target_engine: of the database of the target.
    """
    checks = [*_of_engines(source, target, source_engine, target_engine)]
    checks += _checks(source, target, target_engine)
    if not checks:
        return None

    def check(value: Any) -> str | None:
        if value is None:
            return None if target.nullable else "it is NULL"
        return next((problem for one in checks if (problem := one(value))), None)

    return check


def _of_engines(source: Column, target: Column, source_engine: str, target_engine: str) -> Iterator[Check]:
    """Yield what an engine has in a type and others do not."""
    if source.kind == "decimal" and source_engine == "postgresql" != target_engine:
        yield lambda value: None if decimal.Decimal(value).is_finite() else "it is no finite number"
    if source_engine != "mysql" or target_engine == "mysql":
        return
    if source.kind == "time":
        yield lambda value: (
            f"{target.declared} has no times below zero or of more than a day"
            if isinstance(value, datetime.timedelta)
            else None
        )
    if source.kind in ("datetime", "date") and target_engine != "sqlite":
        # A zero date comes as its text.
        yield lambda value: f"{value} is no {source.kind}" if isinstance(value, str) else None


def _checks(source: Column, target: Column, engine: str) -> Iterator[Check]:
    if source.nullable and not target.nullable:
        yield lambda value: None
    if target.dynamic and not source.dynamic and source.kind == "int" and not source.signed:
        # SQLite keeps numbers of 8 bytes, with a sign.
        yield from _integers(source, target, engine)
    if target.dynamic and target.kind not in ("decimal", "datetime", "time", "real", "double"):
        return
    look = {
        "int": _integers,
        "bool": _booleans,
        "decimal": _decimals,
        "real": _floats,
        "double": _floats,
        "text": _texts,
        "blob": _blobs,
        "datetime": _times,
        "date": _times,
        "time": _times,
    }.get(target.kind)
    if look is not None:
        yield from look(source, target, engine)


def _integers(source: Column, target: Column, engine: str) -> Iterator[Check]:
    low = -(1 << (target.bits - 1)) if target.signed else 0
    high = (1 << (target.bits - (1 if target.signed else 0))) - 1
    if not source.dynamic and source.kind == "int":
        its_low = -(1 << (source.bits - 1)) if source.signed else 0
        its_high = (1 << (source.bits - (1 if source.signed else 0))) - 1
        if low <= its_low and its_high <= high:
            return
    if not source.dynamic and source.kind == "bool":
        return

    def check(value: Any) -> str | None:
        if not isinstance(value, int):
            return f"it is {type(value).__name__} and no integer"
        return None if low <= value <= high else f"it is outside of {low} to {high}"

    yield check


def _booleans(source: Column, target: Column, engine: str) -> Iterator[Check]:
    if source.dynamic or source.kind != "bool":
        yield lambda value: None if value in (0, 1) else "it is neither true nor false"


def _decimals(source: Column, target: Column, engine: str) -> Iterator[Check]:
    if target.digits is None:
        return
    if target.dynamic:
        if source.digits is None or source.digits > target.digits:
            yield lambda value: None if _fits_double(value) else "it has more digits than SQLite keeps"
        return
    scale, whole = target.scale or 0, target.digits - (target.scale or 0)
    if not source.dynamic and source.kind == "decimal" and source.digits is not None:
        its_scale = source.scale or 0
        if its_scale <= scale and source.digits - its_scale <= whole:
            return

    def check(value: Any) -> str | None:
        number = decimal.Decimal(str(value))
        if not number.is_finite():
            return "it is no finite number"
        _, digits, exponent = number.normalize().as_tuple()
        assert isinstance(exponent, int)
        if -exponent > scale:
            return f"it has more than {scale} digits behind the point"
        is_long = len(digits) + exponent > whole
        return f"it has more than {whole} digits before the point" if is_long else None

    yield check


def _fits_double(value: Any) -> bool:
    number = decimal.Decimal(str(value))
    return number.is_finite() and decimal.Decimal(repr(float(number))) == number


def _floats(source: Column, target: Column, engine: str) -> Iterator[Check]:
    if engine != "postgresql":
        yield lambda value: None if math.isfinite(value) else "it is no finite number"
    if target.kind == "real" and not target.dynamic:
        shown = _shown_by_mysql if engine == "mysql" else _shown_by_postgresql
        yield (
            lambda value: (
                "it has more digits than 4 bytes keep"
                if math.isfinite(value) and shown(value) != value
                else None
            )
        )


def _shown_by_postgresql(value: float) -> float:
    """Return what comes back of a number from 4 bytes: the shortest text that means the same."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return math.inf
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == packed:
            return float(text)
    return math.nan


def _shown_by_mysql(value: float) -> float:
    """MySQL shows six digits of a FLOAT: https://dev.mysql.com/doc/refman/8.4/en/problems-with-float.html."""
    return float(f"{value:.6g}")


def _texts(source: Column, target: Column, engine: str) -> Iterator[Check]:
    size = target.size
    is_wider = source.dynamic or source.size is None or (size is not None and source.size > size)
    if size is not None and is_wider:
        # A TEXT of MySQL is limited in bytes, and the limit it states is that of a text in ASCII.
        in_bytes = engine == "mysql" and "text" in target.declared

        def long(value: Any) -> str | None:
            length = len(str(value).encode()) if in_bytes else len(str(value))
            return None if length <= size else f"it has {length} {'bytes' if in_bytes else 'characters'}"

        yield long
    if target.charset is not None and target.charset != source.charset:
        charset = target.charset
        yield lambda value: None if _encodable(str(value), charset) else f"{charset} lacks some of it"
    if engine == "postgresql" and is_wider and size is not None:
        yield lambda value: "it has a NUL character" if "\0" in str(value) else None


def _encodable(text: str, charset: str) -> bool:
    if charset in ("utf8", "utf8mb3", "ucs2"):
        return all(ord(character) <= 0xFFFF for character in text)
    codec = _CODECS.get(charset, "ascii")
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _blobs(source: Column, target: Column, engine: str) -> Iterator[Check]:
    size = target.size
    if size is not None and (source.dynamic or source.size is None or source.size > size):
        yield lambda value: None if len(value) <= size else f"it has {len(value)} bytes"


def _times(source: Column, target: Column, engine: str) -> Iterator[Check]:
    if source.dynamic:
        wanted = {"datetime": datetime.datetime, "date": datetime.date, "time": datetime.time}[target.kind]
        yield lambda value: None if isinstance(value, wanted) else f"it is no {target.kind} but {value!r:.40}"
        if not target.zoned:
            yield (
                lambda value: (
                    "it has an offset from UTC" if getattr(value, "tzinfo", None) is not None else None
                )
            )
    if target.fraction < min(source.fraction, MICROSECONDS):
        step = 10 ** (MICROSECONDS - target.fraction)
        yield (
            lambda value: (
                f"{target.declared} keeps {target.fraction} digits of a second"
                if getattr(value, "microsecond", 0) % step
                else None
            )
        )
    kind = target.declared.partition("(")[0].lower()
    first, last = _FIRST_YEAR.get((engine, kind), 1), _LAST_YEAR.get((engine, kind), 9999)
    if target.kind != "time" and (first > 1 or last < 9999):
        yield (
            lambda value: (
                None
                if first <= getattr(value, "year", first) <= last
                else f"{target.declared} has the years {first} to {last}"
            )
        )
