"""Where the parameters of a statement stand.

SQL for SQL Server is written with ``?`` for every module, and each adapter turns the marks into what its
module takes. Only a mark outside of strings, names and comments is one, so no text in a statement can be
mistaken for a parameter, and a percent sign is never more than a percent sign.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import peewee

__all__ = ["first_word", "parts", "words"]

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'          # a string
    |\[(?:[^\]]|\]\])*\]        # a name
    |"(?:[^"]|"")*"             # a name, or a string
    |--[^\n]*|/\*.*?\*/         # a comment
    |\?""",
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"(?<![\w@#$])[A-Za-z_]\w*")


@functools.lru_cache(maxsize=512)
def _split(sql: str) -> tuple[str, ...]:
    found: list[str] = []
    start = 0
    for match in _TOKEN.finditer(sql):
        if match[0] == "?":
            found.append(sql[start : match.start()])
            start = match.end()
    return (*found, sql[start:])


def parts(sql: str, parameters: Sequence[Any]) -> tuple[str, ...]:
    """Return the pieces of a statement between its parameters, one more than there are parameters.

    Args:
        sql: with ``?`` where a parameter belongs.
        parameters: the values; only their number matters.

    Raises:
        peewee.ProgrammingError: there are more or fewer marks than parameters.
    """
    found = _split(sql)
    if len(found) - 1 != len(parameters):
        raise peewee.ProgrammingError(
            f"the statement has {len(found) - 1} marks '?' and {len(parameters)} parameters were given"
        )
    return found


def words(sql: str) -> set[str]:
    """Return the bare words of a statement in upper case: no strings, quoted names or comments."""
    return {match[0].upper() for match in _WORD.finditer(_TOKEN.sub(" ", sql))}


def first_word(sql: str) -> str:
    """Return the first bare word of a statement in upper case, empty if it begins with something else."""
    text = _TOKEN.sub(lambda match: " " if match[0][:1] in "-/" else match[0], sql).lstrip(" \t\r\n(;")
    match = _WORD.match(text)
    return match[0].upper() if match else ""
