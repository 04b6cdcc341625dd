"""A rebalance that is killed at any point, while other processes write, loses and duplicates no row."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import databases
from peewee_multidb.testing.servers import MariaDBServer
from tests.rebalance.shop import NAMES, SHOPS
from tests.scale import sized

ROOT = Path(__file__).resolve().parent.parent.parent
WRITERS = 2
KILLS = sized(2, thorough=3)
#: How many moments (before or after a statement or a commit) a whole run has, about.
MOMENTS = 1500
#: How many of these a few switches have.
SWITCHING = 400


def run(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.rebalance.shop", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def writers(shop: str, folder: Path, urls: Path) -> Iterator[list[Any]]:
    """Processes that write and read until the end of the block; then what each expects is in the list."""
    expected: list[Any] = []
    with ExitStack() as running:
        started = [run(shop, "write", urls, number, folder / f"{number}.json") for number in range(WRITERS)]
        started.append(run(shop, "read", urls, folder / f"{WRITERS}.json"))
        for process in started:
            running.callback(process.kill)
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield expected
        for process in started:
            process.send_signal(signal.SIGTERM)
        for number, process in enumerate(started):
            said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, said
            expected.append(json.loads((folder / f"{number}.json").read_text()))


def kill_and_check(name: str, folder: Path, urls: dict[str, str], seed: int) -> None:
    shop = SHOPS[name]
    file = folder / "urls.json"
    file.write_text(json.dumps(urls))
    shop.open(urls)
    quiet = {key: row[1:] for key, row in shop.rows().items()}
    databases.close_all()
    chance = random.Random(seed)
    kills = 0
    with writers(name, folder, file) as expected:
        while kills < KILLS:
            # Copying takes long, so most are told to die while they switch.
            moment = chance.randrange(1, MOMENTS) if kills % 4 == 3 else -chance.randrange(1, SWITCHING)
            process = run(name, "rebalance", file, moment)
            said, _ = process.communicate(timeout=120)
            assert process.returncode in (0, -signal.SIGKILL), said
            kills += process.returncode != 0
        process = run(name, "rebalance", file, 0)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    found = shop.rows()
    wanted: dict[tuple[str, int], Any] = dict(quiet)
    for one in expected:
        assert one["done"] > 0
        for model in ("Order", "Line"):
            wanted |= {(model, key): (user, n) for key, user, n in one[model]}
    lost = {key for key in wanted if key not in found}
    extra = {key for key in found if key not in wanted}
    assert not lost
    assert not extra
    assert {key: row[1:] for key, row in found.items()} == wanted


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    yield
    databases.close_all()
    databases.configure({})
    SHOPS["keys"].rule.refresh()


moved = pytest.mark.parametrize("name", SHOPS)


@moved
def test_killed_on_sqlite(name: str, tmp_path: Path) -> None:
    urls = {name: f"sqlite:///{tmp_path}/{name}.db?synchronous=0&timeout=30" for name in NAMES}
    kill_and_check(name, tmp_path, urls, seed=1)


@moved
def test_killed_on_postgresql(
    name: str, tmp_path: Path, postgres_urls: Callable[[int], list[str]]
) -> None:
    kill_and_check(name, tmp_path, dict(zip(NAMES, postgres_urls(4), strict=True)), seed=2)


@moved
def test_killed_on_mariadb(
    name: str, tmp_path: Path, mariadb_server: MariaDBServer, mariadb_urls: Callable[[int], list[str]]
) -> None:
    # A server that writes a binary log lets nobody else make triggers.
    mariadb_server.execute("SET GLOBAL log_bin_trust_function_creators = 1")
    kill_and_check(name, tmp_path, dict(zip(NAMES, mariadb_urls(4), strict=True)), seed=3)
