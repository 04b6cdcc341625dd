"""How do scoped reads scale over threads, compared with stock Peewee?

Each thread reads rows by primary key and changes database with every read, four SQLite files in turn. Stock
Peewee has two safe ways to do that: a set of models for each database, or one set with
`ThreadSafeDatabaseMetadata` and ``bind_ctx``. Python runs one thread at a time but lets others run while
SQLite works, so a flat line is what to hope for; what counts is the ratio.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring
import peewee
from playhouse.shortcuts import ThreadSafeDatabaseMetadata

import peewee_multidb
from peewee_multidb import databases, use_db

FILES = 4
ROWS = 1000
THREADS = (1, 2, 4, 8)
APART, BIND, ROUTED = "a set of models for each database", "one set, thread-safe bind_ctx", "one set, use_db"

#: Reads the row of a key from the database of a number.
Read = Callable[[int, int], Any]


def stock_models(folder: Path) -> tuple[Read, Read]:
    files = [peewee.SqliteDatabase(folder / f"{n}.db") for n in range(FILES)]

    class Item(peewee.Model):
        name = peewee.CharField()

        class Meta:
            model_metadata_class = ThreadSafeDatabaseMetadata
            database = files[0]

    apart = []
    for file in files:

        class Item1(peewee.Model):
            name = peewee.CharField()

            class Meta:
                database = file
                table_name = "item"

        apart.append(Item1)
        Item1.create_table()
        Item1.insert_many([{"name": f"item {n}"} for n in range(ROWS)]).execute()
        file.close()

    def read_bound(number: int, key: int) -> Any:
        with Item.bind_ctx(files[number]):
            return Item.get_by_id(key)

    return lambda number, key: apart[number].get_by_id(key), read_bound


def routed_model(folder: Path) -> Read:
    databases.configure({f"db{n}": f"sqlite:///{folder}/{n}.db" for n in range(FILES)})

    class Item(peewee_multidb.Model):
        name = peewee.CharField()

        class Meta:
            db_name = None

    names = databases.names

    def read(number: int, key: int) -> Any:
        with use_db(names[number]):
            return Item.get_by_id(key)

    return read


def throughput(read: Read, threads: int, seconds: float) -> float:
    """Return how many reads a second so many threads do together."""
    counts: list[int] = []
    end: list[float] = []
    start = threading.Barrier(threads + 1)

    def work(seed: int) -> None:
        keys = random.Random(seed).choices(range(1, ROWS + 1), k=997)
        for number in range(FILES):
            read(number, 1)  # each thread has connections of its own; they are open now
        start.wait()
        done = 0
        while time.perf_counter() < end[0]:
            for _ in range(20):
                read(done % FILES, keys[done % len(keys)])
                done += 1
        counts.append(done)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(threads)]
    for worker in workers:
        worker.start()
    end.append(time.perf_counter() + seconds)
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - began)


def measure(seconds: float, rounds: int) -> dict[str, dict[int, list[float]]]:
    found: dict[str, dict[int, list[float]]] = {w: {t: [] for t in THREADS} for w in (APART, BIND, ROUTED)}
    with tempfile.TemporaryDirectory() as folder:
        apart, bound = stock_models(Path(folder))
        ways = [(APART, apart), (BIND, bound), (ROUTED, routed_model(Path(folder)))]
        for threads in THREADS:
            for _ in range(rounds):
                for name, read in random.sample(ways, len(ways)):
                    found[name][threads].append(throughput(read, threads, seconds))
        databases.close_all()
    return found


def ratios(found: dict[str, dict[int, list[float]]], against: str, threads: int) -> float:
    rounds = zip(found[ROUTED][threads], found[against][threads], strict=True)
    return statistics.median(ours / theirs for ours, theirs in rounds)


def draw(axes: Any, found: dict[str, dict[int, list[float]]]) -> None:
    for (name, by_threads), colour in zip(
        found.items(), ("#e6ab02", measuring.STOCK, measuring.ROUTED), strict=True
    ):
        medians = [statistics.median(rates) for rates in by_threads.values()]
        axes.plot(THREADS, medians, "o-", color=colour, label=name)
        quartiles = [statistics.quantiles(rates, n=4) for rates in by_threads.values()]
        low, high = [q[0] for q in quartiles], [q[2] for q in quartiles]
        axes.fill_between(THREADS, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_xticks(THREADS)
    axes.set(xlabel="threads", ylabel="reads a second, all threads together")
    axes.set_title("A primary-key read from another SQLite file each time (shaded: quartiles)")
    axes.legend(frameon=False, fontsize=9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=0.2, help="length of one run")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each way with each number of threads")
    options = parser.parse_args()
    found = measure(options.seconds, options.rounds)
    table = measuring.table(
        ["reads a second", *(f"{t} thread{'s' * (t > 1)}" for t in THREADS)],
        [
            [name, *(f"{statistics.median(rates):,.0f}" for rates in by_threads.values())]
            for name, by_threads in found.items()
        ]
        + [
            ["use_db / models for each database", *(f"{ratios(found, APART, t):.2f}" for t in THREADS)],
            ["use_db / thread-safe bind_ctx", *(f"{ratios(found, BIND, t):.2f}" for t in THREADS)],
        ],
    )
    about = (
        f"Medians of {options.rounds} runs of {options.seconds} s, the three ways in random order in each "
        "round; the ratios are medians of the rounds' ratios."
    )
    numbers = {name: {t: [round(r) for r in rates] for t, rates in by.items()} for name, by in found.items()}
    measuring.report("threads", "Scoped reads over threads", [table, about], numbers)
    measuring.plot("threads", lambda axes: draw(axes, found))


if __name__ == "__main__":
    main()
