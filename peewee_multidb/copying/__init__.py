"""Copying tables from one database to another, of another engine too, so that nothing is lost or guessed.

`Copy` is the whole of it; `columns` says what a column can hold, `fitting` which values it could not,
`values` how a value gets from one engine to another, `state` how far a copy has come, `tables` reads and
writes, and `verifying` compares both sides.
"""

from .run import Copied, Copy, CopyPlan, CopyReport

__all__ = ["Copied", "Copy", "CopyPlan", "CopyReport"]
