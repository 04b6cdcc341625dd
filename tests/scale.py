"""How much of a test's work to do: the quick suite and `make soak` run the same tests."""

from __future__ import annotations

import os


def soaking() -> bool:
    """Whether this is `make soak`."""
    return os.environ.get("MULTIDB_SOAK") == "1"


def sized(quick: int, thorough: int) -> int:
    """`quick` repetitions in the suite, and `scaled(thorough)` under `make soak`: for the slowest tests."""
    return scaled(thorough) if soaking() else quick


def scaled(n: int) -> int:
    """`n` repetitions, multiplied by MULTIDB_SOAK_FACTOR (default 1, fractions allowed), at least one."""
    return max(1, int(n * float(os.environ.get("MULTIDB_SOAK_FACTOR", "1"))))
