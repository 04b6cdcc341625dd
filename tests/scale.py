"""How much of a test's work to do: the quick suite and `make soak` run the same tests."""

from __future__ import annotations

import os


def scaled(n: int) -> int:
    """`n` repetitions, multiplied by MULTIDB_SOAK_FACTOR (default 1, fractions allowed), at least one."""
    return max(1, int(n * float(os.environ.get("MULTIDB_SOAK_FACTOR", "1"))))
