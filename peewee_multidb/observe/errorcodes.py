"""What an error is called, without its text, in which a server may quote data."""

from __future__ import annotations

from typing import Any

from ..drivers import failures

__all__ = ["code_of", "kind_of"]


def kind_of(error: BaseException) -> str:
    """Return the class of an error as Peewee or the driver calls it, ``"IntegrityError"`` for instance."""
    return type(error).__name__


def code_of(error: BaseException) -> str | None:
    """Return the code that the server gave: an SQLSTATE on PostgreSQL, a number elsewhere; None without."""
    inner: Any = failures.original(error)
    for value in (getattr(inner, "number", None), *getattr(inner, "args", ())[:1]):
        if isinstance(value, int):
            return str(value)
    for attribute in ("sqlstate", "pgcode", "sqlite_errorname"):
        value = getattr(inner, attribute, None)
        if isinstance(value, str):
            return value
    return None
