"""How long does a read over several shards take?  Targets: 1.25 times the slowest shard, and 150,000 rows/s.

Eight shards on one PostgreSQL server, which sleeps for 20 ms in each answer: the scatter is compared with the
slowest of the eight, asked alone, in turns. And a million rows in order through ``iterator()``, as tuples,
from eight SQLite files and from PostgreSQL: rows a second, and how much memory more than one shard's rows
alone.

    python benchmarks/bench_scatter.py [--rounds 60] [--rows 1000000]
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import measuring
import peewee
from peewee import IntegerField, fn

from peewee_multidb import Databases, Model
from peewee_multidb.testing.servers import PostgresServer

SHARDS = tuple(f"s{number}" for number in range(8))
LATENCY = 20
TARGET, ROWS_A_SECOND, MEGABYTES = 1.25, 150_000, 50


def model(own: Databases) -> Any:
    class Entry(Model):
        id = IntegerField(primary_key=True)
        value = IntegerField()

        class Meta:
            registry = own
            db_name = staticmethod(lambda key: SHARDS[key % len(SHARDS)])
            shard_key = "id"
            shards = SHARDS

    return Entry


def fill(own: Databases, Entry: Any, rows: int) -> None:
    Entry.create_table()
    for number, name in enumerate(SHARDS):
        database = own[name]
        mine = [(key, key * 7919 % 1_000_003) for key in range(number, rows, len(SHARDS))]
        with database.atomic():
            for start in range(0, len(mine), 5000):
                Entry.insert_many(mine[start : start + 5000], [Entry.id, Entry.value]).using(name).execute()
        database.close()


# Latency


def latency(server: PostgresServer, rounds: int) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        urls = {}
        for name in SHARDS:
            server.create_database(f"latency_{name}")
            urls[name] = server.url(f"latency_{name}")
        own = Databases(urls)
        stack.callback(own.close_all)
        Entry = model(own)
        fill(own, Entry, 800)
        asleep = peewee.Select(columns=[fn.pg_sleep(LATENCY / 1000)])
        query = Entry.select(Entry.id, Entry.value).order_by(Entry.value).limit(20)
        everything = list(query.tuples())
        query = query.where(peewee.Expression(asleep, "IS NOT", None))
        alone: dict[str, list[float]] = {name: [] for name in SHARDS}
        together = []
        for number in range(rounds):
            for name in SHARDS:
                took = _seconds(lambda name=name: list(query.clone().using(name).tuples()))
                alone[name].append(took * 1000)
            together.append(_seconds(lambda: list(query.clone().tuples())) * 1000)
            if number == 4:  # connections are open by now
                together.clear()
                for times in alone.values():
                    times.clear()
        assert list(query.clone().tuples()) == everything
    # Of medians: the slowest of eight in each round would be whichever the machine held up.
    slowest = max(map(statistics.median, alone.values()))
    return {
        "slowest_ms": round(slowest, 2),
        "scatter_ms": round(statistics.median(together), 2),
        "ratio": round(statistics.median(together) / slowest, 3),
        "rounds": len(together),
    }


def _seconds(operation: Any) -> float:
    start = time.perf_counter()
    operation()
    return time.perf_counter() - start


# Throughput


def stream(urls: dict[str, str], one: bool, answer: Any) -> None:
    """Read everything in a process of its own, and say how long it took and how much memory it took more."""
    own = Databases(urls)
    Entry = model(own)
    query = Entry.select(Entry.id, Entry.value).order_by(Entry.value, Entry.id).tuples()
    if one:
        query = query.using(SHARDS[0])
    next(iter(query.clone().limit(1).iterator()))
    before = peak()
    start = time.perf_counter()
    count, last = 0, None
    for row in query.iterator():
        assert last is None or last <= row[1]
        last = row[1]
        count += 1
    took = time.perf_counter() - start
    answer.put((count, took, peak() - before))


def peak() -> float:
    """Return the most memory that this process has had, in MB; what getrusage says is its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measured(urls: dict[str, str], one: bool) -> tuple[int, float, float]:
    answer: Any = multiprocessing.get_context("spawn").Queue()
    process = multiprocessing.get_context("spawn").Process(target=stream, args=(urls, one, answer))
    process.start()
    found = answer.get()
    process.join()
    return found  # type: ignore[no-any-return]


@contextlib.contextmanager
def places(server: PostgresServer, rows: int) -> Iterator[dict[str, dict[str, str]]]:
    with tempfile.TemporaryDirectory() as folder:
        lite = {name: f"sqlite:///{folder}/{name}.db?synchronous=0" for name in SHARDS}
        post = {}
        for name in SHARDS:
            server.create_database(f"stream_{name}")
            post[name] = server.url(f"stream_{name}")
        for urls in (lite, post):
            own = Databases(urls)
            fill(own, model(own), rows)
            own.close_all()
        yield {"SQLite": lite, "PostgreSQL": post}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    server = PostgresServer()
    server.start()
    try:
        found = latency(server, options.rounds)
        streams = {}
        with places(server, options.rows) as engines:
            for engine, urls in engines.items():
                count, took, grown = measured(urls, one=False)
                _, _, alone = measured(urls, one=True)
                streams[engine] = {
                    "rows": count,
                    "rows_per_second": round(count / took),
                    "megabytes": round(grown, 1),
                    "megabytes_of_one_shard": round(alone, 1),
                }
    finally:
        server.close()
    verdict = "met" if found["ratio"] <= TARGET else "missed"
    lines = [
        f"Eight shards that each answer in {LATENCY} ms: {found['scatter_ms']} ms, where the slowest of them "
        f"alone takes {found['slowest_ms']} ms; {found['ratio']} times, medians of {found['rounds']} rounds. "
        f"Target {TARGET}: {verdict}.",
        f"Rows in order through `iterator()`, as tuples. Targets: {ROWS_A_SECOND:,} rows/s, "
        f"and {MEGABYTES} MB more than one shard's rows take.",
        measuring.table(
            ["8 shards", "rows", "rows/s", "memory, MB", "one shard's, MB"],
            [
                [
                    engine,
                    f"{one['rows']:,}",
                    f"{one['rows_per_second']:,}",
                    one["megabytes"],
                    one["megabytes_of_one_shard"],
                ]
                for engine, one in streams.items()
            ],
        ),
    ]
    measuring.report("scatter", "Reads over several shards", lines, {"latency": found, "streams": streams})

    def draw(axes: Any) -> None:
        names = list(streams)
        axes.barh(names, [streams[name]["rows_per_second"] for name in names], color=measuring.ROUTED)
        axes.axvline(ROWS_A_SECOND, color=measuring.OTHER, linestyle="--")
        axes.set_xlabel("rows a second, merged in order (dashed: the target)")

    measuring.plot("scatter", draw, (8.0, 2.5))


if __name__ == "__main__":
    main()
