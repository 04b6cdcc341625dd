"""How much faster are 240 databases migrated in parallel than one after the other, and is each done once?

Every migration leaves a row and sleeps, on the server where there is one, so that the time is that of waiting
and not of this machine's cores. Then the same again, killed in the middle with SIGKILL: a second run has to
finish the rest and to repeat nothing, which the rows tell.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import measuring

from peewee_multidb import Databases
from peewee_multidb.schema import MigrationReport, Migrations
from peewee_multidb.testing.servers import PostgresServer

FIRST = """
from peewee import *

def up(migrator, db):
    class Marker(Model):
        name = CharField()
        class Meta:
            database = db
    db.create_tables([Marker])
"""
STEP = """
import time
from peewee import *

def up(migrator, db):
    db.execute_sql("INSERT INTO marker (name) VALUES ('{name}')")
    migrator.migrate(migrator.add_column("marker", "{name}", IntegerField(null=True)))
    time.sleep({seconds})

def up_postgresql(migrator, db):
    db.execute_sql("INSERT INTO marker (name) VALUES ('{name}')")
    migrator.migrate(migrator.add_column("marker", "{name}", IntegerField(null=True)))
    db.execute_sql("SELECT pg_sleep({seconds})")
"""
STEPS = ("one", "two", "three")
NAMES = ["0001_first", *(f"000{number}_{name}" for number, name in enumerate(STEPS, 2))]

#: What it has to reach.
FACTOR = 6

CHILD = """
import json, os, signal, sys
from peewee_multidb import Databases
from peewee_multidb.schema import Migrations

urls, folder, workers, kill_after = json.loads(open(sys.argv[1]).read()), *sys.argv[2:]

def progress(done, total, name, error):
    if done == int(kill_after):
        os.kill(os.getpid(), signal.SIGKILL)

Migrations(folder, Databases(urls)).up(workers=int(workers), progress=progress)
"""


def write_migrations(folder: Path, seconds: float) -> Path:
    folder.mkdir()
    (folder / "0001_first.py").write_text(FIRST)
    for file, name in zip(NAMES[1:], STEPS, strict=True):
        (folder / f"{file}.py").write_text(STEP.format(name=name, seconds=seconds))
    return folder


class World:
    """The databases, made anew for each run."""

    def __init__(self, server: PostgresServer, folder: Path, files: int, servers: int) -> None:
        self.server = server
        self.folder = folder
        self.files = files
        self.servers = servers
        self.runs = 0
        for number in range(servers):
            server.create_database(f"shop{number}")

    def urls(self) -> dict[str, str]:
        """Return the URLs of empty databases; those on the server are emptied."""
        self.runs += 1
        place = self.folder / str(self.runs)
        place.mkdir()
        found = {f"lite{n}": f"sqlite:///{place}/{n}.db?synchronous=0" for n in range(self.files)}
        for number in range(self.servers):
            name = f"shop{number}"
            self.server.execute("DROP SCHEMA public CASCADE", database=name)
            self.server.execute("CREATE SCHEMA public", database=name)
            found[f"pg{number}"] = self.server.url(name)
        return found


def migrated(urls: dict[str, str], folder: Path, workers: int) -> tuple[float, MigrationReport]:
    own = Databases(urls)
    began = time.perf_counter()
    report = Migrations(folder, own, wait=30).up(workers=workers)
    took = time.perf_counter() - began
    check(own)
    return took, report


def check(own: Databases) -> None:
    """See that each migration left exactly one row in each database, in order."""
    for name in own:
        rows = [row[0] for row in own[name].execute_sql("SELECT name FROM marker ORDER BY id").fetchall()]
        if rows != list(STEPS):
            raise SystemExit(f"{name}: {rows}")
    own.close_all()


def killed(world: World, folder: Path, workers: int, after: int) -> dict[str, Any]:
    """Kill a run when so many databases are done, run again, and count what each run did."""
    urls = world.urls()
    file = world.folder / "urls.json"
    file.write_text(json.dumps(urls))
    command = [sys.executable, "-c", CHILD, str(file), str(folder), str(workers), str(after)]
    child = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
    if child.returncode != -signal.SIGKILL:
        raise SystemExit(f"the child ended with {child.returncode}")
    own = Databases(urls)
    before = Migrations(folder, own).status().names("applied")
    own.close_all()
    _, report = migrated(urls, folder, workers)
    if not report.ok:
        raise SystemExit(str(report))
    exact = all(report.done[name] == NAMES[len(before.get(name, [])) :] for name in urls)
    found = Counter(len(before.get(name, [])) for name in urls)
    return {
        "done": found[len(NAMES)],
        "part": sum(found[n] for n in range(1, len(NAMES))),
        "untouched": found[0],
        "second": sum(map(len, report.done.values())),
        "first": sum(map(len, before.values())),
        "exact": exact,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200, help="SQLite databases")
    parser.add_argument("--servers", type=int, default=40, help="PostgreSQL databases, on one server")
    parser.add_argument("--sleep", type=float, default=0.05, help="seconds that each migration waits")
    parser.add_argument("--workers", type=int, default=24, help="databases at the same time")
    options = parser.parse_args()
    total = options.files + options.servers
    settings = {"max_connections": str(options.workers + 20)}
    with tempfile.TemporaryDirectory() as temporary, PostgresServer(settings=settings) as server:
        world = World(server, Path(temporary), options.files, options.servers)
        folder = write_migrations(Path(temporary) / "migrations", options.sleep)
        idle = write_migrations(Path(temporary) / "idle", 0)
        parallel, report = migrated(world.urls(), folder, options.workers)
        serial, plain = migrated(world.urls(), folder, 1)
        work, _ = migrated(world.urls(), idle, options.workers)
        for one in (report, plain):
            if not one.ok or any(done != NAMES for done in one.done.values()) or len(one.done) != total:
                raise SystemExit(f"the report is not exact:\n{one}")
        kill = killed(world, folder, options.workers, total // 2)
    ratio = serial / parallel
    verdict = "met" if ratio >= FACTOR and kill["exact"] else "missed"
    rows = [
        ["one after the other", f"{serial:.1f} s", "1.0"],
        [f"in parallel, {options.workers} at a time", f"{parallel:.1f} s", f"{ratio:.1f}"],
        ["in parallel, without the sleep", f"{work:.1f} s", ""],
    ]
    lines = [
        f"{options.files} SQLite files and {options.servers} PostgreSQL databases on one server; "
        f"{len(NAMES)} migrations in each, of which {len(STEPS)} wait {options.sleep * 1000:.0f} ms.",
        measuring.table(["", "time", "times as fast"], rows),
        f"Target: {FACTOR} times as fast, and nothing repeated after a kill: {verdict}.",
        f"Killed with SIGKILL when {total // 2} databases were done: {kill['done']} had all, {kill['part']} "
        f"had a part, {kill['untouched']} had nothing. The second run applied {kill['second']} migrations, "
        f"the first {kill['first']}, together {kill['first'] + kill['second']} of {total} x {len(NAMES)}; "
        f"every database has each once: {'yes' if kill['exact'] else 'NO'}.",
    ]
    numbers = {"serial": serial, "parallel": parallel, "idle": work, "ratio": ratio, "kill": kill}
    measuring.report("migrate", "Many databases migrated at the same time", lines, numbers)
    if not kill["exact"]:
        raise SystemExit("something was repeated")


if __name__ == "__main__":
    main()
