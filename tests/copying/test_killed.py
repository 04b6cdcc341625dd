"""A copy that is killed at any moment and resumed ends with the checksum of one that was not."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import databases
from tests.copying.shop import MODELS, copy, fill
from tests.scale import scaled

ROOT = Path(__file__).resolve().parents[2]
WAYS = [("sqlite", "post"), ("post", "maria"), ("maria", "sqlite")]
THINGS = scaled(300)
#: About how many statements a whole copy has: pages, batches, notes and comparisons.
MOMENTS = THINGS // 6
KILLS = scaled(3)


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[dict[str, Any]]:
    found = {
        "default": f"sqlite:///{tmp_path}/a.db",
        "sqlite": f"sqlite:///{tmp_path}/b.db",
        "post": postgres_url,
        "maria": mariadb_url,
    }
    databases.configure(found)
    fill(THINGS)
    yield found
    databases.close_all()
    databases.configure({})


@pytest.mark.parametrize(("source", "target"), WAYS)
def test_killed_and_resumed(
    settings: dict[str, Any], tmp_path: Path, source: str, target: str, request: pytest.FixtureRequest
) -> None:
    wanted = copy("default", source)
    databases.close_all()
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings))
    chance = random.Random(WAYS.index((source, target)))
    kills = 0
    for moment in [*(chance.randrange(1, MOMENTS) for _ in range(KILLS)), 0]:
        command = [sys.executable, "-m", "tests.copying.shop", str(file), source, target, str(moment)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        kills += done.returncode != 0
        if done.returncode == 0:
            break
    assert kills
    report = json.loads(done.stdout)
    assert report["ok"]
    found = {one["model"]: (one["rows"], one["checksum"]) for one in report["tables"]}
    assert found == {one.model: (one.rows, one.checksum) for one in wanted.tables}
    assert {one["model"]: one["target_checksum"] for one in report["tables"]} == {
        one.model: one.target_checksum for one in wanted.tables
    }
    assert not databases[target].table_exists("multidb_copy")
    assert [model.select().using(target).count() for model in MODELS] == [one.rows for one in wanted.tables]
