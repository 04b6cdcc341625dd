"""What do readers and writers notice when replicas are killed and restarted at random?

Eight threads write a row, read it back and read a list, and one more only reads, for a minute on each
engine, while every second or so one of two replicas is killed without warning and started again a little
later. Counted are reads and writes that failed, rows that were not there when they were read back, and writes
that a replica was sent. After each restart the time until the replica gets reads again is measured, for the
thread that only reads: the others also wait until the replica has their own writes, which is the server's
business. Targets: no failure, no stale read, no write on a replica, and reads again within the back-off.
"""

from __future__ import annotations

import argparse
import random
import statistics
import threading
import time

import measuring
import replicating

THREADS = 8
BACKOFF = 1.0


READER = "reader"


class Load:
    """What the threads have done and seen."""

    def __init__(self, site: replicating.Site) -> None:
        self.site = site
        self.stop = threading.Event()
        self.done = self.stale = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def work(self, number: int) -> None:
        note = self.site.Note
        while not self.stop.is_set():
            stale, failed = 0, None
            try:
                row = note.create(thread=number)
                stale = note.get_or_none(note.id == row.id) is None
                list(note.select().order_by(note.id.desc()).limit(10))
            except Exception as error:
                failed = f"{type(error).__name__}: {error}"
            with self._lock:
                self.done += 1
                self.stale += stale
                if failed is not None:
                    self.failed.append(failed)
        self.site.registry.close()

    def read(self) -> None:
        """Read and never write, so that nothing has to be waited for."""
        note = self.site.Note
        while not self.stop.is_set():
            try:
                list(note.select().order_by(note.id.desc()).limit(10))
            except Exception as error:
                with self._lock:
                    self.failed.append(f"{type(error).__name__}: {error}")
        self.site.registry.close()


def chaos(cluster: object, seconds: float) -> dict[str, object]:
    site = replicating.Site(cluster, replicating.fresh(cluster, 1), backoff=BACKOFF)
    entry = site.registry.entries["default"]
    last_read = [0.0, 0.0]
    writes_there: list[str] = []
    for number, server in enumerate(entry.replicas):

        def note_read(event: object, number: int = number) -> None:
            sql = event.sql  # type: ignore[attr-defined]
            done = event.exception is None  # type: ignore[attr-defined]
            if done and "note" in sql and threading.current_thread().name == READER:
                last_read[number] = time.monotonic()
            elif sql.startswith(("INSERT", "UPDATE", "DELETE")):
                writes_there.append(sql)

        server.database.query_hooks.append(note_read)
    load = Load(site)
    threads = [threading.Thread(target=load.work, args=(number,)) for number in range(THREADS)]
    threads.append(threading.Thread(target=load.read, name=READER))
    for thread in threads:
        thread.start()
    chance = random.Random(5)
    ends = time.monotonic() + seconds
    kills, back = 0, []
    while time.monotonic() < ends:
        number = chance.randrange(2)
        replica = cluster.replicas[number]  # type: ignore[attr-defined]
        replica.kill()
        kills += 1
        time.sleep(chance.uniform(0.1, 1.0))
        replica.start()
        began = time.monotonic()
        while last_read[number] < began and time.monotonic() < began + 30:
            time.sleep(0.002)
        back.append(time.monotonic() - began)
        time.sleep(chance.uniform(0.0, 0.5))
    load.stop.set()
    for thread in threads:
        thread.join()
    site.close()
    return {
        "rounds": load.done,
        "kills": kills,
        "failed": len(load.failed),
        "first_failure": load.failed[:1],
        "stale": load.stale,
        "writes_on_replicas": len(writes_there),
        "back_median": statistics.median(back),
        "back_most": max(back),
        "on_replicas": site.served["replica"] / sum(site.served.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for each engine")
    seconds = parser.parse_args().seconds
    numbers = {}
    rows = []
    for engine in replicating.CLUSTERS:
        with replicating.running(engine) as cluster:
            found = numbers[engine] = chaos(cluster, seconds)
        rows.append(
            [
                engine,
                f"{found['rounds']:,}",
                found["kills"],
                found["failed"],
                found["stale"],
                found["writes_on_replicas"],
                f"{found['back_median']:.2f} s",
                f"{found['back_most']:.2f} s",
                f"{found['on_replicas']:.0%}",
            ]
        )
    clean = not any(
        found[key] for found in numbers.values() for key in ("failed", "stale", "writes_on_replicas")
    )
    most = max(float(str(found["back_most"])) for found in numbers.values())
    lines = [
        measuring.table(
            [
                *("engine", "rounds", "kills", "failed", "stale", "writes on replicas"),
                *("back after", "at most", "on replicas"),
            ],
            rows,
        ),
        f"A round is a write and two reads; {THREADS} threads and a reader, {seconds:g} s each. Failures, "
        f"stale reads and writes on replicas: {'none' if clean else 'SOME'} (target: 0, "
        f"{'met' if clean else 'MISSED'}). A restarted replica got reads after {most:.2f} s at most (target: "
        f"its back-off of {BACKOFF:g} s, {'met' if most <= BACKOFF else 'MISSED'}).",
    ]
    measuring.report("replica_chaos", "Replicas killed and restarted at random", lines, numbers)


if __name__ == "__main__":
    main()
