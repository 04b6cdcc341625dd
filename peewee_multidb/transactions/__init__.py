"""One `atomic` block over one or several databases, in one phase or in two, and what escapes it.

`atomics` is the interface, `block` what is open, `outcome` its end, `attempts` another try, and `uncovered`
the warning for a write that no block covers.
"""

from __future__ import annotations

from .atomics import atomic, together
from .attempts import Attempt, Attempts
from .block import Block, after_commit, current, enlist, switch
from .uncovered import warn_if_uncovered

__all__ = [
    "Attempt",
    "Attempts",
    "Block",
    "after_commit",
    "atomic",
    "current",
    "enlist",
    "switch",
    "together",
    "warn_if_uncovered",
]
