"""T-SQL's functions as Python functions, given to SQLite under names that begin with ``tds_``."""

from __future__ import annotations

import calendar
import datetime
import functools
import re
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from .messages import TsqlError
from .types import Type
from .values import convert, parse_type, present, stored

__all__ = ["install"]

PARTS = {
    **dict.fromkeys(["year", "yy", "yyyy"], "year"),
    **dict.fromkeys(["quarter", "qq", "q"], "quarter"),
    **dict.fromkeys(["month", "mm", "m"], "month"),
    **dict.fromkeys(["dayofyear", "dy", "y"], "dayofyear"),
    **dict.fromkeys(["day", "dd", "d"], "day"),
    **dict.fromkeys(["week", "wk", "ww"], "week"),
    **dict.fromkeys(["weekday", "dw"], "weekday"),
    **dict.fromkeys(["hour", "hh"], "hour"),
    **dict.fromkeys(["minute", "mi", "n"], "minute"),
    **dict.fromkeys(["second", "ss", "s"], "second"),
    **dict.fromkeys(["millisecond", "ms"], "millisecond"),
    **dict.fromkeys(["microsecond", "mcs"], "microsecond"),
}
ANY = Type("datetime2", 0, 7)
BASE = datetime.datetime(1900, 1, 1)
SECONDS = {
    "day": 86400,
    "dayofyear": 86400,
    "week": 604800,
    "weekday": 86400,
    "hour": 3600,
    "minute": 60,
    "second": 1,
}


def _moment(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return BASE + datetime.timedelta(days=value)
    return present(value, ANY)


def _part(part: str) -> str:
    if part not in PARTS:
        raise TsqlError(155, f"'{part}' is not a recognized datepart option.")
    return PARTS[part]


def datepart(part: str, value: Any) -> int | None:
    if value is None:
        return None
    moment = _moment(value)
    name = _part(part)
    day_of_year = moment.timetuple().tm_yday
    first_weekday = datetime.date(moment.year, 1, 1).isoweekday() % 7
    found = {
        "quarter": (moment.month + 2) // 3,
        "dayofyear": day_of_year,
        "week": (day_of_year + first_weekday - 1) // 7 + 1,
        "weekday": moment.isoweekday() % 7 + 1,
        "millisecond": moment.microsecond // 1000,
    }
    return found[name] if name in found else int(getattr(moment, name))


def dateadd(part: str, count: Any, value: Any) -> Any:
    if value is None or count is None:
        return None
    moment, name, count = _moment(value), _part(part), int(count)
    months = {"year": 12, "quarter": 3, "month": 1}.get(name)
    if months is not None:
        year, month = divmod(moment.year * 12 + moment.month - 1 + months * count, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return stored(moment.replace(year=year, month=month + 1, day=min(moment.day, last)))
    if name in SECONDS:
        return stored(moment + datetime.timedelta(seconds=SECONDS[name] * count))
    return stored(moment + datetime.timedelta(microseconds=count * (1000 if name == "millisecond" else 1)))


def datediff(part: str, first: Any, second: Any) -> int | None:
    if first is None or second is None:
        return None
    start, end, name = _moment(first), _moment(second), _part(part)
    if name in ("year", "quarter", "month"):
        size = {"year": 12, "quarter": 3, "month": 1}[name]
        return int((end.year * 12 + end.month - 1) // size - (start.year * 12 + start.month - 1) // size)
    if name == "week":
        return (end.toordinal() // 7) - (start.toordinal() // 7)
    size = SECONDS.get(name, 0) * 1_000_000 or (1000 if name == "millisecond" else 1)
    micro = [(moment - BASE) // datetime.timedelta(microseconds=1) // size for moment in (start, end)]
    return int(micro[1] - micro[0])


def datename(part: str, value: Any) -> str | None:
    if value is None:
        return None
    names = {"month": "%B", "weekday": "%A"}
    name = _part(part)
    return _moment(value).strftime(names[name]) if name in names else str(datepart(part, value))


STYLES = {
    **dict.fromkeys((20, 120), "%Y-%m-%d %H:%M:%S"),
    **dict.fromkeys((21, 121, 25), "%Y-%m-%d %H:%M:%S.%f"),
    23: "%Y-%m-%d",
    112: "%Y%m%d",
    **dict.fromkeys((8, 108), "%H:%M:%S"),
    126: "%Y-%m-%dT%H:%M:%S",
}


def styled(value: Any, type_name: str, style: int) -> Any:
    """CONVERT with a style."""
    kind = parse_type(type_name)
    if value is None or kind.name not in ("varchar", "nvarchar", "char", "nchar"):
        if isinstance(value, str) and style in (1, 2) and kind.name in ("varbinary", "binary"):
            return bytes.fromhex(value.removeprefix("0x"))
        return convert(value, kind)
    if isinstance(value, bytes):
        return ("0x" if style == 1 else "") + value.hex().upper()
    if style in STYLES and isinstance(value, (str, int)):
        text = _moment(value).strftime(STYLES[style])
        return convert(text[:-3] if style in (21, 121, 25) else text, kind)
    return convert(value, kind)


def add(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if (isinstance(left, str) and isinstance(right, str)) or (
        isinstance(left, bytes) and isinstance(right, bytes)
    ):
        return left + right
    sides = []
    for side in (left, right):
        if isinstance(side, str):
            try:
                side = float(side) if re.search("[.eE]", side) else int(side)
            except ValueError:
                raise TsqlError(
                    245, f"Conversion failed when converting the nvarchar value '{side}' to data type int."
                ) from None
        sides.append(side)
    return sides[0] + sides[1]


@functools.lru_cache(maxsize=1000)
def _pattern(pattern: str, escape: str, exact: bool) -> re.Pattern[str]:
    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if escape and char == escape and at < len(pattern):
            out += re.escape(pattern[at])
            at += 1
        elif char == "%":
            out += ".*"
        elif char == "_":
            out += "."
        elif char == "[" and "]" in pattern[at:]:
            end = pattern.index("]", at + 1 if pattern[at] == "]" else at)
            inside = pattern[at:end]
            negated = inside.startswith("^")
            out += "[" + "^" * negated + re.sub(r"([\\\[\]])", r"\\\1", inside[negated:]) + "]"
            at = end + 1
        else:
            out += re.escape(char)
    return re.compile(out, re.DOTALL | (0 if exact else re.IGNORECASE))


def like(value: Any, pattern: Any, escape: str, exact: int) -> int | None:
    if value is None or pattern is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return int(_pattern(str(pattern), escape, bool(exact)).fullmatch(text) is not None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else convert(value, Type("nvarchar", -1)) or ""


def _null_first(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda first, *rest: None if first is None else function(first, *rest)


def charindex(needle: Any, text: Any, start: int = 1) -> int | None:
    if needle is None or text is None:
        return None
    return _text(text).lower().find(_text(needle).lower(), max(start - 1, 0)) + 1


def substring(value: Any, start: int, length: int) -> Any:
    end = start - 1 + length
    text = value if isinstance(value, bytes) else _text(value)
    return text[max(start - 1, 0) : max(end, 0)]


def stuff(value: str, start: int, length: int, new: Any) -> str | None:
    if start < 1 or start > len(value):
        return None
    return value[: start - 1] + _text(new) + value[start - 1 + length :]


def datalength(value: Any) -> int:
    if isinstance(value, bytes):
        return len(value)
    return len(value.encode("utf-16-le", "surrogatepass")) if isinstance(value, str) else 8


class IntegerAverage:
    """AVG of whole numbers, which is a whole number."""

    def __init__(self) -> None:
        self.sum = self.count = 0

    def step(self, value: Any) -> None:
        if value is not None:
            self.sum, self.count = self.sum + value, self.count + 1

    def finalize(self) -> int | None:
        if not self.count:
            return None
        return abs(self.sum) // self.count * (1 if self.sum >= 0 else -1)


PURE: dict[str, Callable[..., Any]] = {
    "tds_cast": lambda value, kind, column="": convert(value, parse_type(kind), column),
    "tds_convert": styled,
    "tds_empty": lambda: b"",
    "tds_float": float,
    "tds_add": add,
    "tds_xor": lambda a, b: None if a is None or b is None else a ^ b,
    "tds_like": like,
    "tds_datepart": datepart,
    "tds_datename": datename,
    "tds_dateadd": dateadd,
    "tds_datediff": datediff,
    "tds_datediff_big": datediff,
    "tds_year": lambda value: datepart("year", value),
    "tds_month": lambda value: datepart("month", value),
    "tds_day": lambda value: datepart("day", value),
    "tds_len": _null_first(lambda value: len(_text(value).rstrip(" "))),
    "tds_datalength": _null_first(datalength),
    "tds_upper": _null_first(lambda value: _text(value).upper()),
    "tds_lower": _null_first(lambda value: _text(value).lower()),
    "tds_ltrim": _null_first(lambda value: _text(value).lstrip(" ")),
    "tds_rtrim": _null_first(lambda value: _text(value).rstrip(" ")),
    "tds_trim": _null_first(lambda value: _text(value).strip(" ")),
    "tds_left": _null_first(lambda value, count: _text(value)[: int(count)]),
    "tds_right": _null_first(lambda value, count: _text(value)[-int(count) :] if int(count) else ""),
    "tds_substring": _null_first(substring),
    "tds_charindex": charindex,
    "tds_stuff": _null_first(stuff),
    "tds_replicate": _null_first(lambda value, count: _text(value) * int(count)),
    "tds_reverse": _null_first(lambda value: _text(value)[::-1]),
    "tds_concat": lambda *values: "".join(_text(value) for value in values if value is not None),
    "tds_isnull": lambda value, other: other if value is None else value,
    "tds_iif": lambda condition, yes, no: yes if condition else no,
    "tds_quotename": _null_first(lambda value: "[" + value.replace("]", "]]") + "]"),
    "tds_ascii": _null_first(lambda value: ord(value[0]) if value else None),
    "tds_char": _null_first(lambda value: chr(int(value))),
    "tds_nchar": _null_first(lambda value: chr(int(value))),
    "tds_floor": _null_first(lambda value: int(value // 1)),
    "tds_ceiling": _null_first(lambda value: int(-(-value // 1))),
    "tds_sqrt": _null_first(lambda value: float(value) ** 0.5),
    "tds_power": _null_first(lambda value, exponent: value**exponent),
    "tds_sign": _null_first(lambda value: (value > 0) - (value < 0)),
}
CHANGING: dict[str, Callable[..., Any]] = {
    "tds_getdate": lambda: convert(stored(datetime.datetime.now()), Type("datetime")),
    "tds_getutcdate": lambda: convert(
        stored(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)), Type("datetime")
    ),
    "tds_sysdatetime": lambda: stored(datetime.datetime.now()),
    "tds_sysutcdatetime": lambda: stored(datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)),
    "tds_newid": lambda: str(uuid.uuid4()).upper(),
}


def install(
    conn: sqlite3.Connection, own: dict[str, Callable[..., Any]], failed: Callable[[Exception], None]
) -> None:
    """Give a connection all functions.

    Args:
        conn: to give them to.
        own: those that know the session, by name.
        failed: told what a function raised, since SQLite does not pass it on.
    """

    def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                failed(error)
                raise

        return call

    for name, function in PURE.items():
        conn.create_function(name, -1, guarded(function), deterministic=True)
    for name, function in (*CHANGING.items(), *own.items()):
        conn.create_function(name, -1, guarded(function))
    conn.create_aggregate("tds_avg", 1, IntegerAverage)  # type: ignore[arg-type]
