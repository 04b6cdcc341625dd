"""The warning for a write that escapes the open blocks."""

from __future__ import annotations

from typing import Any

from .. import routing
from ..callers import warn_user
from ..errors import UncoveredWrite
from ..home import Home
from .block import current

__all__ = ["warn_if_uncovered"]


def warn_if_uncovered(home: Home, database: Any, what: str) -> None:
    """Warn of a write to a database that the open blocks do not cover.

    Args:
        what: the statement, for the message, such as ``"INSERT"``.
    """
    block = current()
    # Asking the database itself also finds the child task or the thread that inherited the block's
    # context but has a connection of its own.
    if block is not None and not database.in_transaction():
        block.note_commit()
        names = ", ".join(sorted({routing.describe(home, one) for one in block.covered()})) or "nothing yet"
        here = routing.describe(home, database)
        message = (
            f"{what} on {home.model.__name__} goes to {here}, which the open atomic block does not cover "
            f"(it covers {names}): the write stays even if the block is rolled back. "
            f"Add {here} to atomic(...)."
        )
        warn_user(message, UncoveredWrite)
