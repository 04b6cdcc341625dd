"""Does a thread read its own writes from replicas, and what does that cost?

Eight threads write a row and read it back, again and again, on a primary with two replicas: once while the
replicas are in step, once while one is paused, once while both replay three seconds late. In the last case
each thread also reads an earlier row of its own, written two and a half seconds before. Compared are
positions (ours), the fixed two-second window that Rails uses, and no protection at all. Targets: no stale
read and no error with positions, and at least 95 % of the reads on replicas while they are in step.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time

import measuring
import replicating

THREADS = 8
LATE = 3.0
LATER = 2.5

_numbers = itertools.count(1)


def pairs(cluster: object, protection: str, state: str, count: int) -> dict[str, object]:
    """Write and read back `count` rows in all; return what came of it."""
    site = replicating.Site(cluster, replicating.fresh(cluster, next(_numbers)), protection)
    replicas = cluster.replicas  # type: ignore[attr-defined]
    site.Note.select().count()
    site.served.clear()
    for replica in replicas[: 1 if state == "one paused" else 0]:
        replica.pause()
    for replica in replicas if state == "3 s late" else ():
        replica.delay(LATE)
    stale, failed, asked = [], [], []
    lock = threading.Lock()

    def work(number: int) -> None:
        note = site.Note
        written: list[tuple[float, int]] = []
        try:
            for _ in range(count // THREADS):
                row = note.create(thread=number)
                wanted = [row.id]
                written.append((time.monotonic(), row.id))
                if state == "3 s late" and time.monotonic() - written[0][0] > LATER:
                    wanted.append(written.pop(0)[1])
                asked.extend(wanted)
                for key in wanted:
                    if note.get_or_none(note.id == key) is None:
                        with lock:
                            stale.append(key)
        except Exception as error:
            with lock:
                failed.append(repr(error))
        finally:
            site.registry.close()

    seconds = replicating.in_threads(THREADS, work)
    # What a replica was asked together with its position, and answered too early, is asked again.
    primary = site.served["primary"]
    found = {
        "pairs": count,
        "reads": len(asked),
        "stale": len(stale),
        "errors": len(failed),
        "on_replicas": 1 - primary / len(asked) if asked else 0.0,
        "pairs_per_second": count / seconds,
    }
    cluster.restore()  # type: ignore[attr-defined]
    site.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10_000, help="of a write and a read, in all threads")
    count = parser.parse_args().pairs
    numbers: dict[str, dict[str, object]] = {}
    rows = []
    for engine in replicating.CLUSTERS:
        with replicating.running(engine) as cluster:
            for state in ("in step", "one paused", "3 s late"):
                for protection in replicating.PROTECTIONS:
                    found = pairs(cluster, protection, state, count)
                    numbers[f"{engine}, {state}, {protection}"] = found
                    rows.append(
                        [
                            f"{engine}, {state}",
                            protection,
                            f"{found['reads']:,}",
                            f"{found['stale']:,}",
                            found["errors"],
                            f"{found['on_replicas']:.1%}",
                            f"{found['pairs_per_second']:,.0f}",
                        ]
                    )
    ours = [found for key, found in numbers.items() if key.endswith("positions")]
    in_step = [found for key, found in numbers.items() if key.endswith("in step, positions")]
    clean = not any(found["stale"] or found["errors"] for found in ours)
    served = min(float(str(found["on_replicas"])) for found in in_step)
    lines = [
        measuring.table(
            ["replicas", "protection", "reads", "stale", "errors", "on replicas", "pairs/s"], rows
        ),
        f"With positions: {'0 stale reads and 0 errors' if clean else 'STALE READS OR ERRORS'} (target: 0, "
        f"{'met' if clean else 'MISSED'}); in step, at least {served:.1%} of the reads on replicas (target: "
        f"95 %, {'met' if served >= 0.95 else 'MISSED'}).",
    ]
    measuring.report("replica_reads", "Reading one's own writes from replicas", lines, numbers)

    def draw(axes: object) -> None:
        late = [numbers[f"PostgreSQL, 3 s late, {one}"]["stale"] for one in replicating.PROTECTIONS]
        colours = [measuring.ROUTED, measuring.STOCK, measuring.OTHER]
        bars = axes.bar(replicating.PROTECTIONS, late, color=colours)  # type: ignore[attr-defined]
        axes.bar_label(bars, fmt="{:,.0f}")  # type: ignore[attr-defined]
        axes.set_ylabel("stale reads")  # type: ignore[attr-defined]
        axes.set_title(f"PostgreSQL, replicas 3 s late, {count:,} writes read back")  # type: ignore[attr-defined]

    measuring.plot("replica_reads", draw)


if __name__ == "__main__":
    main()
