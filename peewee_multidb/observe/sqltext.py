"""What the text of a statement tells: its verb; and the text without the values that are written in it."""

from __future__ import annotations

import functools
import re

__all__ = ["sanitized", "verb_of"]

#: Characters of a statement that are looked at for its verb, and the longest text that is kept.
LONGEST_KEPT = 4000

_COMMENT = r"/\*.*?\*/|--[^\n]*(?:\n|$)"
_LEAD = re.compile(rf"(?:\s|\(|{_COMMENT})*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]+")
# Names in quotes are kept, and everything that may be a value is not. Where engines differ in where a text
# ends, the longer reading counts: more is taken out, and never less.
_VALUES = re.compile(
    r"""
    (?P<name>"(?:[^"]|"")*"|`[^`]*`|\[[A-Za-z_][^\]'"]*\])      # quoted names
    |(?P<comment>/\*.*?(?:\*/|$)|--[^\n]*)
    |(?P<text>[A-Za-z]?'(?:[^'\\]|''|\\.)*(?:'|$))              # 'text', N'text', E'text', x'00'
    |(?P<dollar>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))          # $$text$$
    |(?P<keep>[$:@]\w+|%s|%%|[A-Za-z_]\w*)                      # placeholders, and names with digits
    |(?P<number>0[xX][0-9a-fA-F]+|\d[\d.]*(?:[eE][+-]?\d+)?|\.\d+)
    """,
    re.DOTALL | re.VERBOSE,
)
_DML = re.compile(r"\b(?:insert|update|delete|merge|select)\b", re.IGNORECASE)


def verb_of(sql: str) -> str:
    """Return the verb of a statement in capitals, ``"SELECT"`` for instance; behind a WITH, the first one.

    An empty statement has the verb ``""``.
    """
    return _verb_of(sql[:LONGEST_KEPT])


@functools.lru_cache(maxsize=1024)
def _verb_of(sql: str) -> str:
    lead = _LEAD.match(sql)
    word = _WORD.match(sql, lead.end() if lead else 0)
    if word is None:
        return ""
    verb = word[0].upper()
    if verb != "WITH":
        return verb
    # What stands at no depth of brackets behind the common table expressions.
    depth = 0
    text = sanitized(sql)
    for found in re.finditer(r"[()]|[A-Za-z]+", text):
        if found[0] in "()":
            depth += 1 if found[0] == "(" else -1
        elif depth == 0 and _DML.fullmatch(found[0]):
            return found[0].upper()
    return "SELECT"


def sanitized(sql: str) -> str:
    """Return a statement with a ``?`` in the place of every value that is written in its text.

    Comments go too. Placeholders stay, and so do names, quoted or not.
    """
    if len(sql) <= LONGEST_KEPT:
        return _sanitized(sql)
    return _sanitized.__wrapped__(sql)


@functools.lru_cache(maxsize=1024)
def _sanitized(sql: str) -> str:
    return _VALUES.sub(_replaced, sql)


def _replaced(match: re.Match[str]) -> str:
    if match["name"] or match["keep"]:
        return match[0]
    return "" if match["comment"] else "?"
