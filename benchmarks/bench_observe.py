"""What does observing cost a query?  Target: nobody observes, and it is at most 1.01 times the time.

The same operations on two registries in one process, pair by pair, as in bench_overhead.py: one that nobody
has ever observed, and one that somebody observed before (off), observes, logs, counts or comments now.

    python benchmarks/bench_observe.py [--pairs 300] [--processes 3]
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
from typing import Any

import measuring
import peewee
from measuring import Paired
from prometheus_client import CollectorRegistry

from peewee_multidb import Databases, Model
from peewee_multidb.observe import comment_queries, export_metrics, log_queries, observe

TARGET = 1.01
OFF = "observed before, off now"


def world() -> Any:
    """Return a registry on memory, and a function that reads one row of it."""
    registry_ = Databases({"default": "sqlite:///:memory:"})

    class Person(Model):
        name = peewee.CharField()
        age = peewee.IntegerField()

        class Meta:
            registry = registry_

    Person.create_table()
    Person.insert_many([{"name": f"person {n}", "age": n % 90} for n in range(1000)]).execute()
    key = itertools.cycle(range(1, 1001)).__next__
    return registry_, lambda: Person.get_by_id(key())


def measure(pairs: int) -> dict[str, Paired]:
    """Measure every way once, in this process."""
    logging.getLogger("bench").setLevel(logging.WARNING)
    ways: dict[str, Any] = {
        "never observed, against itself": lambda registry: None,
        OFF: lambda registry: observe(print, registry=registry).close(),
        "observe()": lambda registry: observe(lambda event: None, registry=registry),
        "log_queries(), below the level": lambda registry: log_queries("bench", registry=registry),
        "export_metrics()": lambda registry: export_metrics(CollectorRegistry(), registry=registry),
        "comment_queries()": lambda registry: comment_queries(registry=registry),
    }
    found = {}
    for name, begin in ways.items():
        _, plain = world()
        registry, watched = world()
        handle = begin(registry)
        found[name] = measuring.in_pairs(plain, watched, pairs=pairs, between=lambda: None)
        if handle is not None:
            handle.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=300, help="pairs of blocks in each process")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes, one after the other")
    parser.add_argument("--no-results", action="store_true", help="print only")
    options = parser.parse_args()
    found: dict[str, Paired] = {}
    for _ in range(options.processes):
        with multiprocessing.get_context("spawn").Pool(1) as one:
            for name, paired in one.apply(measure, (options.pairs,)).items():
                found.setdefault(name, Paired()).extend(paired)
    rows = []
    for name, paired in found.items():
        s = paired.summary()
        target = ("met" if paired.ratio <= TARGET else "MISSED") if name == OFF else ""
        interval = f"{s['ratio_low']:.3f} to {s['ratio_high']:.3f}"
        plain, watched = f"{s['stock_us']:.1f}", f"{s['routed_us']:.1f}"
        rows.append([name, plain, watched, f"{paired.ratio:.3f}", interval, target])
    head = ["get_by_id", "plain, µs", "observed, µs", "ratio", "95 % interval", f"at most {TARGET}"]
    lines = measuring.table(head, rows)
    if options.no_results:
        print(lines)
        return
    about = (
        f"In-memory SQLite, one thread. Medians over {options.processes} processes of {options.pairs} pairs "
        "of blocks in random order within a pair. The first row is noise."
    )
    numbers = {name: paired.summary() for name, paired in found.items()}
    measuring.report("observe", "What observing costs a query", [lines, about], numbers)


if __name__ == "__main__":
    main()
