"""Locks that are waited for in small portions, so that nobody has to wait long behind them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import peewee

from ..drivers import traits_of
from ..errors import MultiDBError, RebalanceError
from ..shards.fences import LOCK_SECONDS

__all__ = ["persist", "short_ddl"]

T = TypeVar("T")

#: What MySQL answers to whoever lacks a privilege; the last one is for triggers under a binary log.
FORBIDDEN = frozenset({1044, 1045, 1142, 1143, 1227, 1419})

#: Seconds between two attempts.
PAUSE = 0.05


def persist(what: str, patience: float, action: Callable[[], T]) -> T:
    """Do something that may find a table or a database locked, over and over.

    Args:
        what: for the message, such as ``"copy Order from 's1'"``.
        patience: seconds to try for.
        action: what to do; it leaves nothing half done when it fails.

    Raises:
        RebalanceError: the patience is over.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return action()
        except peewee.OperationalError as error:
            if isinstance(error, MultiDBError):
                raise
            if error.args and error.args[0] in FORBIDDEN:
                raise RebalanceError(f"Could not {what}: {error.args[-1]}.") from error
            if time.monotonic() > deadline:
                raise RebalanceError(
                    f"Could not {what} for {patience:g} seconds ({type(error).__name__}: {error}). "
                    "Run it again: it goes on where it stopped."
                ) from error
            time.sleep(PAUSE)


@contextlib.contextmanager
def short_ddl(database: Any) -> Iterator[None]:
    """A transaction for DDL whose locks are given up again soon: whoever comes later waits behind them."""
    engine = traits_of(database).engine
    if engine == "mysql":
        database.execute_sql(f"SET SESSION lock_wait_timeout = {LOCK_SECONDS}")
    try:
        with database.atomic():
            if engine == "postgresql":
                database.execute_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            yield
    finally:
        if engine == "mysql":
            database.execute_sql("SET SESSION lock_wait_timeout = DEFAULT")
