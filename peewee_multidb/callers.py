"""Warnings at the line of the user's that gave rise to them, however deep in Peewee they are given."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from types import FrameType

import peewee
import playhouse  # type: ignore[import-untyped]

__all__ = ["warn_user"]

_NOT_THE_USER = (
    str(Path(__file__).parent) + os.sep,
    str(Path(playhouse.__file__).parent) + os.sep,
    peewee.__file__,
)


def warn_user(message: str, category: type[Warning]) -> None:
    """Give a warning, at the innermost line that belongs neither to Peewee nor to this package.

    Args:
        message: the sentence.
        category: its class.
    """
    frame = _user_frame()
    if frame is None:
        warnings.warn(message, category)
    else:
        # Not by a stacklevel: how deep Peewee is depends on the method that was called.
        warnings.warn_explicit(
            message,
            category,
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
