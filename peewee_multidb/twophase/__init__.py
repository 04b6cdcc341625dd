"""Two-phase commit: all of several databases commit, or none does, whatever dies in between.

`protocol` commits, `log` remembers what was decided, and `recovery` finishes what a program that died has
left.
"""

from __future__ import annotations

from .branches import Branch
from .ids import MOST_BRANCHES, Gid, new_gid
from .log import Log, log_of
from .protocol import Commit

__all__ = ["MOST_BRANCHES", "Branch", "Commit", "Gid", "Log", "log_of", "new_gid"]
