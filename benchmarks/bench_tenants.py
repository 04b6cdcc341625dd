"""What do ten thousand tenants cost, and do the limits hold while all of them are visited?

Targets: 10,000 tenants are configured in under 1 s and under 2 KB of memory each; never more than
``max_open`` connections while threads visit them at random; a warm switch between tenants costs under 20
microseconds. Each tenant has an SQLite file of its own, and the connections are counted by a connection
class of the driver, which knows nothing of the limits.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import measuring
import peewee

from peewee_multidb import Databases, Model, databases, use_db, use_tenant

CONFIGURED, EACH, SWITCH = 1.0, 2048, 20.0


class Note(Model):
    text = peewee.CharField()

    class Meta:
        db_name = None


class Plain(peewee.Model):
    """The same table for stock Peewee."""

    text = peewee.CharField()

    class Meta:
        table_name = "note"


def settings(folder: Path, tenants: int) -> dict[str, Any]:
    return {
        name_of(number): {
            "url": f"sqlite:///{folder / name_of(number)}.db",
            "tenant": True,
            "pool": 4,
            "options": {"factory": CountedConnection},
        }
        for number in range(tenants)
    }


def name_of(number: int) -> str:
    return f"t{number:05d}"


def configuring(mapping: dict[str, Any]) -> dict[str, float]:
    took = []
    for _ in range(3):
        start = time.perf_counter()
        Databases(mapping)
        took.append(time.perf_counter() - start)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = Databases(mapping)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return {"seconds": min(took), "bytes_each": used / len(kept)}


class CountedConnection(sqlite3.Connection):
    """A connection of the driver that counts itself, from before it opens the file until it has closed it."""

    lock = threading.Lock()
    open = most = opened = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kind = CountedConnection
        with self.lock:
            kind.open += 1
            kind.opened += 1
            kind.most = max(kind.most, kind.open)
        self.is_open = True
        super().__init__(*args, **kwargs)

    def close(self) -> None:
        super().close()
        self.__del__()

    def __del__(self) -> None:
        with self.lock:
            CountedConnection.open -= self.is_open
            self.is_open = False


def files_open(folder: Path) -> int:
    """Return how many databases of a folder this process has open, as the operating system lists them."""
    links = [entry.resolve() for entry in Path("/proc/self/fd").iterdir()]
    return sum(link.parent == folder.resolve() and link.suffix == ".db" for link in links)


def visiting(folder: Path, tenants: int, visits: int, threads: int, max_open: int) -> dict[str, Any]:
    """Visit tenants at random from threads, writing a row and reading it back."""
    databases.configure(settings(folder, tenants))
    databases.max_open, databases.max_databases, databases.wait_open = max_open, 2 * max_open, 30
    wrong: list[str] = []

    def visitor(seed: int) -> int:
        order = random.Random(seed)
        for turn in range(visits // threads):
            name = name_of(order.randrange(tenants))
            with use_tenant(name):
                Note.create_table()
                Note.create(text=name)
                if any(note.text != name for note in Note.select()):
                    wrong.append(name)
            if turn % 3 == 0:
                # Another one before the first is given back: a request that uses two databases.
                with use_tenant(name_of(order.randrange(tenants))):
                    Note.create_table()
            databases.close()
        return visits // threads

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(visitor, range(threads)))
    took = time.perf_counter() - start
    live, left = len(databases.live), files_open(folder)
    databases.close_all()
    return {
        "visits": done,
        "per_second": done / took,
        "most_open": CountedConnection.most,
        "opened": CountedConnection.opened,
        "live": live,
        "open_at_the_end": left,
        "wrong": len(wrong),
    }


def switching(folder: Path) -> dict[str, float]:
    """Measure a switch between tenants whose connections are warm."""
    databases.max_databases = databases.max_open = None
    databases.configure(settings(folder, 50))
    names = [name_of(number) for number in range(50)]
    for name in names:
        with use_tenant(name):
            Note.create_table()
    turn = iter(range(sys.maxsize))
    objects = [databases[name] for name in names]

    def locked() -> None:
        with use_tenant(names[next(turn) % 50]):
            pass

    def blanket() -> None:
        with use_db(names[next(turn) % 50]):
            pass

    def query_there() -> None:
        with use_tenant(names[next(turn) % 50]):
            Note.select().first()

    def query_here() -> None:
        Note.select().first()

    def stock_here() -> None:
        Plain.select().bind(objects[0]).first()

    def stock_there() -> None:
        Plain.select().bind(objects[next(turn) % 50]).first()

    times = {one.__name__: measuring.times_for(one, 0.2) for one in (locked, blanket)}
    found = {
        "use_tenant_us": measuring.timed(locked, times["locked"]) / times["locked"] * 1e6,
        "use_db_us": measuring.timed(blanket, times["blanket"]) / times["blanket"] * 1e6,
    }
    # The whole switch: what a query in the next tenant's database costs more than one in the same; and as
    # much of that as is SQLite's, which has the pages of another file to look at, by stock Peewee's queries.
    with use_tenant(names[0]):
        pairs = measuring.in_pairs(query_here, outside(query_there), pairs=400)
    stock = measuring.in_pairs(stock_here, stock_there, pairs=400)
    found["query_same_us"] = pairs.summary()["stock_us"]
    found["query_switched_us"] = pairs.summary()["routed_us"]
    found["stock_same_us"] = stock.summary()["stock_us"]
    found["stock_switched_us"] = stock.summary()["routed_us"]
    databases.close_all()
    return found


def outside(query: Any) -> Any:
    """Return the same outside of the lock around it: a switch begins with leaving the tenant before."""

    def run() -> None:
        with use_db(unlock=True):
            query()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--visits", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--max-open", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = configuring(settings(folder, options.tenants))
        seen = visiting(folder, options.tenants, options.visits, options.threads, options.max_open)
        switched = switching(folder)
    rows = [
        ["configured", f"{made['seconds']:.2f} s", f"{CONFIGURED:g} s"],
        ["memory each", f"{made['bytes_each']:,.0f} B", f"{EACH:,} B"],
        ["most connections at a time", seen["most_open"], options.max_open],
        ["connections left after close()", seen["open_at_the_end"], options.max_open],
        ["rows of another tenant", seen["wrong"], 0],
        ["`use_tenant` entered and left", f"{switched['use_tenant_us']:.2f} µs", f"{SWITCH:g} µs"],
        ["`use_db` entered and left", f"{switched['use_db_us']:.2f} µs", ""],
        [
            "a query in the next tenant's database, less one in the same",
            f"{switched['query_switched_us'] - switched['query_same_us']:.1f} µs",
            "",
        ],
        [
            "the same with stock Peewee's `bind()`, without any scope",
            f"{switched['stock_switched_us'] - switched['stock_same_us']:.1f} µs",
            "",
        ],
    ]
    measuring.report(
        "tenants",
        f"{options.tenants:,} tenants",
        [
            measuring.table(["", "measured", "at most"], rows),
            f"{seen['visits']:,} visits by {options.threads} threads, {seen['per_second']:,.0f} a second, in "
            f"{options.tenants:,} SQLite files with `max_open = {options.max_open}`; {seen['live']} Database "
            f"objects were live at the end. {seen['opened']:,} connections were opened, and counted by the "
            "driver's own class.",
        ],
        {"configured": made, "visited": seen, "switched": switched},
    )


if __name__ == "__main__":
    main()
