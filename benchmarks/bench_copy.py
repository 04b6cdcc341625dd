"""How fast is a copy between engines, and how much memory does it take?  Target: 1,000,000 rows in 200 MB.

A table of nine columns goes from SQLite to PostgreSQL, from there to MariaDB, and back to SQLite. Each copy is
a process of its own, whose largest memory the kernel tells. The first one is killed half-way by SIGKILL and
resumed, and then done once more in one go: all checksums have to be the same.

    python benchmarks/bench_copy.py [--rows 1000000] [--batch 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measuring
from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    DateTimeField,
    DecimalField,
    DoubleField,
    IntegerField,
    TextField,
)

from peewee_multidb import Model, databases
from peewee_multidb.copying import Copy
from peewee_multidb.testing.servers import MariaDBServer, PostgresServer

WAYS = [("start", "post"), ("post", "maria"), ("maria", "end")]
MEGABYTES = 200


class Payment(Model):
    account = IntegerField()
    reference = CharField(40)
    note = TextField()
    amount = DecimalField(12, 2)
    rate = DoubleField()
    nonce = BigIntegerField()
    settled = BooleanField()
    at = DateTimeField()

    class Meta:
        db_name = "start"


def fill(rows: int) -> None:
    Payment.create_table()
    database = databases["start"]
    for start in range(1, rows + 1, 50_000):
        database.execute_sql(
            "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO payment "
            "SELECT i, i % 9973, 'ref-' || i, 'Überweisung Nr. ' || i || ' für Konto ' || (i % 9973), "
            "i % 100000 / 100.0, i / 7.0, i * 7919 * 65537 % 9007199254740991, i % 3 = 0, "
            "datetime(1500000000 + i, 'unixepoch') FROM n",
            (start, min(rows, start + 49_999)),
        )
    databases.close_all()


def work(settings: str, source: str, target: str, batch: int, kill_at: int) -> None:
    """Copy in this process, which is to die after so many rows, and print what came out."""
    databases.configure(json.loads(settings))
    done = 0

    class Progress:
        def __init__(self, what: str, total: int) -> None:
            self.counts = what.startswith("copy")

        def __enter__(self) -> Any:
            return self.advance

        def __exit__(self, *exc: object) -> None:
            pass

        def advance(self, rows: int) -> None:
            nonlocal done
            done += rows if self.counts else 0
            if kill_at and done >= kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = Copy([Payment], source, target, batch=batch, progress=Progress).run(resume=True)
    table = report.tables[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "rows": table.target_rows,
        "checksum": table.checksum,
        "target_checksum": table.target_checksum,
        "seconds": round(report.seconds, 2),
        "rows_per_second": round(table.rows / report.seconds),
        "megabytes": round(peak / 1024, 1),
        "megabytes_before": round(before / 1024, 1),
    }
    print(json.dumps(found))
    databases.close_all()


def apart(settings: dict[str, str], source: str, target: str, batch: int, kill_at: int = 0) -> dict[str, Any]:
    """Copy in a process of its own; nothing comes back of one that was killed."""
    command = [sys.executable, __file__, "--work", json.dumps(settings), source, target]
    began = time.monotonic()
    done = subprocess.run([*command, str(batch), str(kill_at)], capture_output=True, text=True)
    if kill_at:
        assert done.returncode == -signal.SIGKILL, done.stderr
        return {}
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "wall_seconds": round(time.monotonic() - began, 2)}


def main() -> None:
    if "--work" in sys.argv:
        settings, source, target, batch, kill_at = sys.argv[2:]
        work(settings, source, target, int(batch), int(kill_at))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1000)
    options = parser.parse_args()
    postgres, maria = PostgresServer(), MariaDBServer()
    folder = tempfile.TemporaryDirectory()
    try:
        postgres.start()
        maria.start()
        settings = {
            "start": f"sqlite:///{Path(folder.name) / 'start.db'}?synchronous=1&journal_mode=wal",
            "end": f"sqlite:///{Path(folder.name) / 'end.db'}?synchronous=1&journal_mode=wal",
            **{name: _new(server, name) for server, name in ((postgres, "post"), (maria, "maria"))},
            "again": _new(postgres, "again"),
        }
        databases.configure(settings)
        fill(options.rows)
        apart(settings, "start", "post", options.batch, kill_at=options.rows // 2)
        found = {"start to post, resumed": apart(settings, "start", "post", options.batch)}
        found["start to post, in one go"] = apart(settings, "start", "again", options.batch)
        for source, target in WAYS[1:]:
            found[f"{source} to {target}"] = apart(settings, source, target, options.batch)
    finally:
        databases.close_all()
        maria.close()
        postgres.close()
        folder.cleanup()
    show(found, options.rows)


def _new(server: Any, name: str) -> str:
    server.create_database(name)
    return str(server.url(name))


def show(found: dict[str, dict[str, Any]], rows: int) -> None:
    sums = {one[key] for one in found.values() for key in ("checksum", "target_checksum")}
    assert all(one["rows"] == rows for one in found.values())
    most = max(one["megabytes"] for one in found.values())
    verdict = "met" if most < MEGABYTES and len(sums) == 1 else "missed"
    engines = {"start": "SQLite", "post": "PostgreSQL", "maria": "MariaDB", "end": "SQLite"}

    def named(way: str) -> str:
        way, _, how = way.partition(", ")
        names = " to ".join(engines[one] for one in way.split(" to "))
        return f"{names}, {how}" if how else names

    lines = [
        f"{rows:,} rows of nine columns, checked, copied and compared. The first copy was killed half-way by "
        f"SIGKILL and resumed. Different checksums, of both sides of all copies: {len(sums)}. Target: one, and "
        f"less than {MEGABYTES} MB: {verdict}.",
        measuring.table(
            ["copy", "seconds", "rows/s", "most memory, MB", "at the start, MB", "checksum"],
            [
                [
                    named(way),
                    one["seconds"],
                    f"{one['rows_per_second']:,}",
                    one["megabytes"],
                    one["megabytes_before"],
                    one["target_checksum"],
                ]
                for way, one in found.items()
            ],
        ),
        "A resumed copy counts the rows that were there already, so its rows a second say little.",
    ]
    measuring.report("copy", "Copies between engines", lines, {"rows": rows, "copies": found})


if __name__ == "__main__":
    main()
