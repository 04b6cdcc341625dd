"""The warning for a write that escapes the open blocks, at the line of the user's that made it."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

import peewee
import playhouse  # type: ignore[import-untyped]

from .. import routing
from ..errors import UncoveredWrite
from ..home import Home
from .block import current

__all__ = ["warn_if_uncovered"]

_NOT_THE_USER = (
    str(Path(__file__).parents[1]) + os.sep,
    str(Path(playhouse.__file__).parent) + os.sep,
    peewee.__file__,
)


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
        frame = _user_frame()
        if frame is None:
            warnings.warn(message, UncoveredWrite)
        else:
            # Not by a stacklevel: how deep Peewee is depends on the method that was called.
            warnings.warn_explicit(
                message,
                UncoveredWrite,
                frame.f_code.co_filename,
                frame.f_lineno,
                frame.f_globals.get("__name__"),
                frame.f_globals.setdefault("__warningregistry__", {}),
            )


def _user_frame() -> FrameType | None:
    """Return the innermost frame that belongs neither to Peewee nor to this package."""
    frame: FrameType | None = sys._getframe()
    bridge = sys.modules.get("greenlet")
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_USER):
        frame = frame.f_back
        if frame is None and bridge is not None:
            # The bottom of a greenlet of the asyncio bridge: its caller waits in the parent.
            parent = bridge.getcurrent().parent
            frame, bridge = parent and parent.gr_frame, None
    return frame
