"""The coordinator is killed between every two steps; then everything is on all databases or on none."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from peewee_multidb import databases, recover
from tests.scale import scaled
from tests.twophase import crashing

KINDS = pytest.mark.parametrize("kind", list(crashing.KINDS))


@pytest.fixture
def folder(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[Path]:
    crashing.prepare(postgres_url, mariadb_url, tmp_path)
    yield tmp_path
    databases.close_all()
    databases.configure({})


@KINDS
def test_a_coordinator_that_is_killed_at_any_step_leaves_all_or_nothing(kind: str, folder: Path) -> None:
    became: Counter[bool] = Counter()
    steps = crashing.steps_of(kind, folder)
    for n, at in crashing.chosen(steps, 1 if kind == "two and a file" else 3):
        databases.close()
        assert crashing.killed_at(kind, folder, n, at), f"step {at} of {steps} was not reached"
        crashing.recovered(kind, folder)
        found = crashing.where_is(kind, n)
        assert len(set(found)) == 1, f"killed at step {at} of {steps}: {found}"
        became[found[0]] += 1
    assert became[True] and became[False], "neither outcome is a matter of course"


@pytest.mark.parametrize("kind", list(crashing.KINDS)[1:2])
def test_before_recovery_nothing_is_committed_in_part_but_in_doubt(kind: str, folder: Path) -> None:
    """What one database has and another lacks is prepared there: nothing is lost."""
    steps = crashing.steps_of(kind, folder)
    doubtful = 0
    for n, at in crashing.chosen(steps, 4):
        databases.close()
        crashing.killed_at(kind, folder, n, at)
        dry = recover(log=crashing.place(kind, folder), dry_run=True)
        found = crashing.where_is(kind, n)
        waiting = {one.database: one.state for one in dry.in_doubt}
        doubtful += bool(waiting)
        if any(found):
            lacking = {
                model._meta.home.name
                for model, has in zip(crashing.KINDS[kind][0], found, strict=True)
                if not has
            }
            assert lacking == waiting.keys() and set(waiting.values()) <= {"committed"}
        databases.close()
        crashing.recovered(kind, folder)
    assert doubtful


def test_a_kill_at_any_moment_leaves_all_or_nothing(folder: Path) -> None:
    """Not at a step, but whenever it happens to be: in the middle of a statement or a write."""
    kind = "two and a file"
    crashing.steps_of(kind, folder)
    randomly = random.Random(7)
    for n in range(1, scaled(12) + 1):
        databases.close()
        pid = os.fork()
        if pid == 0:
            try:
                for m in range(n * 1000, n * 1000 + 999):
                    crashing.write(kind, folder, m, -1, lambda: None)
            finally:
                os._exit(0)
        time.sleep(randomly.uniform(0.03, 0.12))  # any moment will do
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        crashing.recovered(kind, folder)
        rows = [{row.n for row in model.select()} for model in crashing.KINDS[kind][0]]
        assert rows[0] == rows[1]
