"""Does a row go astray when threads change places all the time?

Eight threads write to four databases, 10,000 rows each into each, every insert in a block of its own and the
blocks in random order, while the interpreter switches threads every microsecond. Afterwards the rows are
counted where they lie. Target: none in a wrong database.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time

import measuring
import peewee

from peewee_multidb import Model, databases, use_db

THREADS = 8
NAMES = ("north", "south", "east", "west")
OPTIONS = "journal_mode=wal&synchronous=0&busy_timeout=120000"


class Row(Model):
    meant_for = peewee.CharField()

    class Meta:
        db_name = None


def write(rows: int) -> list[Exception]:
    """Insert from every thread into every database; return what was raised."""
    raised: list[Exception] = []
    start = threading.Barrier(THREADS)

    def work(number: int) -> None:
        order = [name for name in NAMES for _ in range(rows)]
        random.Random(number).shuffle(order)
        start.wait()
        try:
            for name in order:
                with use_db(name):
                    Row.insert(meant_for=name).execute()
        except Exception as error:
            raised.append(error)
        finally:
            databases.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return raised


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000, help="rows of each thread in each database")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        databases.configure({name: f"sqlite:///{folder}/{name}.db?{OPTIONS}" for name in NAMES})
        for name in NAMES:
            with use_db(name):
                Row.create_table()
        began = time.monotonic()
        raised = write(rows)
        seconds = time.monotonic() - began
        found = {}
        for name in NAMES:
            cursor = databases[name].execute_sql("SELECT meant_for, count(*) FROM row GROUP BY meant_for")
            found[name] = dict(cursor.fetchall())
        databases.close()
    wrong = {name: sum(n for meant, n in rows.items() if meant != name) for name, rows in found.items()}
    table = measuring.table(
        ["database", "rows", "meant for another"],
        [[name, f"{sum(found[name].values()):,}", wrong[name]] for name in NAMES],
    )
    expected = THREADS * rows
    complete = not raised and all(sum(counts.values()) == expected for counts in found.values())
    verdict = "met" if complete and not any(wrong.values()) else "MISSED"
    lines = [
        table,
        f"{THREADS} threads x {len(NAMES)} databases x {rows:,} inserts at a switch interval of one "
        f"microsecond, in {seconds:.0f} s: {sum(wrong.values())} rows in a wrong database, {len(raised)} "
        f"threads failed (target: 0, {verdict}).",
    ]
    numbers = {"found": found, "wrong": wrong, "seconds": seconds}
    measuring.report("hostile_threads", "Eight threads, four databases", lines, numbers)


if __name__ == "__main__":
    main()
