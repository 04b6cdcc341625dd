"""The names of Oracle's tables and columns: upper case there, lower case here.

A name that is written without quotes is stored in upper case, and that is what nearly every schema has.
Peewee quotes every name, and Python's are in lower case. So a name that is all lower case is quoted in
upper case, and comes back in lower case; a name with capitals is taken as it is written.
"""

from __future__ import annotations

import hashlib
import re

__all__ = ["fold", "quoted", "shortened", "unfolded"]

PLAIN = re.compile(r"[a-z_][a-z0-9_$#]*")
STORED = re.compile(r"[A-Z_][A-Z0-9_$#]*")


def fold(name: str) -> str:
    """Return the name that the database has for a name in Python."""
    return name.upper() if PLAIN.fullmatch(name) else name


def unfolded(name: str) -> str:
    """Return the name in Python for a name of the database."""
    return name.lower() if STORED.fullmatch(name) else name


def quoted(name: str, *, fold_names: bool = True) -> str:
    """Return a name as it is written in SQL.

    Args:
        name: a name in Python.
        fold_names: whether lower case stands for upper case.

    Raises:
        ValueError: it holds a double quote or a zero byte, which no name of Oracle can.
    """
    if '"' in name or "\0" in name:
        raise ValueError(f"{name!r} cannot be a name in Oracle, which has none with a double quote in it")
    return f'"{fold(name) if fold_names else name}"'


def shortened(name: str, length: int) -> str:
    """Return a name of at most `length` bytes, with a hash of what was cut off at its end."""
    if len(name.encode()) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:7]
    kept = name.encode()[: length - 8].decode(errors="ignore")
    return f"{kept}_{digest}"
