"""What does two-phase commit cost, compared with one commit after the other?

A block inserts one row into PostgreSQL and one into MariaDB, both of which wait for their disks at a commit.
The ways take turns, in an order that is drawn anew for each round. With the log in a file, each database
waits twice (the promise and the commit) and the log once; with the log in a database that takes part, that
waits once.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
from peewee import IntegerField

from peewee_multidb import Model, atomic, databases, recover
from peewee_multidb.testing.servers import MariaDBServer, PostgresServer

ONE = "one commit after the other"
FILE = "two phases, the log in a file"
INSIDE = "two phases, the log in PostgreSQL"
LAST = "two phases, with SQLite as the last resource"
ALONE = "one database alone"


class InPostgres(Model):
    n = IntegerField()

    class Meta:
        db_name = "post"


class InMariaDB(Model):
    n = IntegerField()

    class Meta:
        db_name = "maria"


class InSQLite(Model):
    n = IntegerField()

    class Meta:
        db_name = "lite"


def block(*models: Any, **options: Any) -> Callable[[], None]:
    """Return what writes a row to each model in one block."""

    def run() -> None:
        with atomic(*models, **options):
            for model in models:
                model.insert(n=1).execute()

    return run


def ways() -> dict[str, Callable[[], None]]:
    pair = (InPostgres, InMariaDB)
    return {
        ALONE: block(InPostgres),
        ONE: block(*pair),
        FILE: block(*pair, two_phase=True),
        INSIDE: block(*pair, two_phase=True, log="post"),
        LAST: block(*pair, InSQLite, two_phase=True),
    }


def measure(rounds: int, blocks: int) -> dict[str, list[float]]:
    """Return the milliseconds a block of each round, by way."""
    made = ways()
    for run in made.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(rounds):
        for name in random.sample(list(made), len(made)):
            start = time.perf_counter()
            for _ in range(blocks):
                made[name]()
            found[name].append((time.perf_counter() - start) / blocks * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40, help="rounds, each way has a turn in each")
    parser.add_argument("--blocks", type=int, default=10, help="blocks in a turn")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder,
        PostgresServer(durable=True) as post,
        MariaDBServer(durable=True) as maria,
    ):
        os.chdir(folder)
        for server in (post, maria):
            server.create_database("bench")
        databases.configure(
            {"post": post.url("bench"), "maria": maria.url("bench"), "lite": f"sqlite:///{folder}/lite.db"}
        )
        databases.create_tables([InPostgres, InMariaDB, InSQLite])
        found = measure(options.rounds, options.blocks)
        clean = recover(grace=0).is_clean and recover(log="post", grace=0).is_clean
        databases.close_all()
        os.chdir(Path(__file__).parent)
    base = found[ONE]
    rows = []
    for name, times in found.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times, base, strict=True))
        low, _, high = statistics.quantiles(times, n=4)
        rows.append([name, f"{statistics.median(times):.2f}", f"{low:.2f} to {high:.2f}", f"{ratio:.2f}"])
    lines = [
        "Milliseconds for a block that inserts a row into PostgreSQL and one into MariaDB, which wait for "
        f"the disk as they do in production. Medians of {options.rounds} rounds of {options.blocks} blocks, "
        "with the quartiles; the ratio is the median of the ratios within the rounds.",
        measuring.table(["a block", "ms", "quartiles", "ratio"], rows),
        f"Nothing was left in doubt: {'yes' if clean else 'NO'}.",
    ]
    measuring.report("two_phase", "What two-phase commit costs", lines, found)


if __name__ == "__main__":
    main()
