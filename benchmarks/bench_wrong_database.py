"""How many rows end up in a database that nobody meant?

Four threads, then four asyncio tasks, each with a database of its own. Each opens a block that selects its
database, does 0.2 ms of other work in it (on average: were it always the same, the workers would fall into
step), and inserts one row that says which database it was meant for. Afterwards the rows are counted where
they lie. Target: none in a wrong database.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measuring
import peewee
from playhouse.shortcuts import ThreadSafeDatabaseMetadata

import peewee_multidb
from peewee_multidb import databases, use_db

WORKERS = 4
WORK = 0.0002

#: Wait for each other's writes; what is measured is where a row goes and not how fast.
PRAGMAS = {"journal_mode": "wal", "synchronous": 0, "busy_timeout": 60_000}


@dataclass
class Way:
    """One way of selecting a database.

    Attributes:
        name: what it is called in the report.
        model: with a field ``meant_for``.
        databases: one for each worker.
        block: returns the block that selects the database of a worker.
    """

    name: str
    model: Any
    databases: list[peewee.Database]
    block: Callable[[int], AbstractContextManager[Any]]

    def prepare(self) -> None:
        for worker, database in enumerate(self.databases):
            with self.block(worker):
                self.model.create_table()
            database.close()

    def finish(self) -> tuple[int, int]:
        """Return how many rows there are, and how many of them in a wrong database."""
        total = wrong = 0
        for worker, database in enumerate(self.databases):
            found = database.execute_sql(f"SELECT meant_for FROM {self.model._meta.table_name}").fetchall()
            total += len(found)
            wrong += sum(meant_for != worker for (meant_for,) in found)
            database.close()
        return total, wrong


def stock(folder: Path, name: str, metadata: Any) -> Way:
    files = [peewee.SqliteDatabase(folder / f"{n}.db", pragmas=PRAGMAS) for n in range(WORKERS)]

    class Row(peewee.Model):
        meant_for = peewee.IntegerField()

        class Meta:
            database = files[0]
            model_metadata_class = metadata

    return Way(name, Row, files, lambda worker: Row.bind_ctx(files[worker]))


def routed(folder: Path, name: str) -> Way:
    options = "&".join(f"{key}={value}" for key, value in PRAGMAS.items())
    databases.configure({f"db{n}": f"sqlite:///{folder}/{n}.db?{options}" for n in range(WORKERS)})

    class Row(peewee_multidb.Model):
        meant_for = peewee.IntegerField()

        class Meta:
            db_name = None

    return Way(name, Row, [databases[f"db{n}"] for n in range(WORKERS)], lambda worker: use_db(f"db{worker}"))


def in_threads(way: Way, rows: int) -> int:
    """Insert from a thread for each database; return how many inserts were refused."""
    refused: list[Exception] = []
    start = threading.Barrier(WORKERS)

    def work(worker: int) -> None:
        start.wait()
        pauses = random.Random(worker)
        for _ in range(rows):
            try:
                with way.block(worker):
                    time.sleep(pauses.uniform(0, 2 * WORK))
                    way.model.create(meant_for=worker)
            except peewee.PeeweeException as error:
                refused.append(error)
        for database in way.databases:
            database.close()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(refused)


def in_tasks(way: Way, rows: int) -> int:
    """Insert from a task for each database; return how many inserts were refused."""
    refused: list[Exception] = []

    async def work(worker: int) -> None:
        pauses = random.Random(worker)
        for _ in range(rows):
            try:
                with way.block(worker):
                    await asyncio.sleep(pauses.uniform(0, 2 * WORK))
                    way.model.create(meant_for=worker)
            except peewee.PeeweeException as error:
                refused.append(error)

    async def main() -> None:
        await asyncio.gather(*map(work, range(WORKERS)))

    asyncio.run(main())
    return len(refused)


def measure(rows: int) -> list[dict[str, Any]]:
    found = []
    for place, run in (("4 threads", in_threads), ("4 asyncio tasks", in_tasks)):
        for name, make in (
            ("stock bind_ctx", lambda folder, name: stock(folder, name, peewee.Metadata)),
            (
                "stock bind_ctx, thread-safe metadata",
                lambda folder, name: stock(folder, name, ThreadSafeDatabaseMetadata),
            ),
            ("use_db", routed),
        ):
            with tempfile.TemporaryDirectory() as folder:
                way = make(Path(folder), name)
                way.prepare()
                refused = run(way, rows)
                total, wrong = way.finish()
            found.append({"place": place, "way": name, "rows": total, "wrong": wrong, "refused": refused})
    return found


def draw(axes: Any, found: list[dict[str, Any]]) -> None:
    colours = (measuring.STOCK, "#e6ab02", measuring.ROUTED)
    for index, one in enumerate(found):
        group, position = divmod(index, 3)
        share = 100 * one["wrong"] / one["rows"]
        where = group * 3.6 + position
        label = one["way"] if group == 0 else None
        axes.bar(where, share, color=colours[position], label=label)
        axes.annotate(f"{one['wrong']:,}", (where, share), (0, 3), textcoords="offset points", ha="center")
    axes.set_xticks([1, 4.6], [found[0]["place"], found[3]["place"]])
    axes.tick_params(axis="x", length=0)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("% of the rows")
    axes.set_ylim(0, 125)
    axes.set_title(f"Rows in a wrong database, of {found[0]['rows']:,} inserted")
    axes.legend(frameon=False, loc="upper center", ncols=3, fontsize=9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1000, help="rows of each thread and task")
    found = measure(parser.parse_args().rows)
    table = measuring.table(
        ["", "where", "rows", "in a wrong database", "share", "refused"],
        [
            [
                f["way"],
                f["place"],
                f"{f['rows']:,}",
                f"{f['wrong']:,}",
                f"{f['wrong'] / f['rows']:.1%}",
                f["refused"],
            ]
            for f in found
        ],
    )
    ours = sum(f["wrong"] for f in found if f["way"] == "use_db")
    about = f"`use_db` put {ours} rows into a wrong database (target: 0, {'MISSED' if ours else 'met'})."
    measuring.report("wrong_database", "Rows in a wrong database", [table, about], found)
    measuring.plot("wrong_database", lambda axes: draw(axes, found))


if __name__ == "__main__":
    main()
