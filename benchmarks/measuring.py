"""What the benchmarks share: measuring two ways of doing one thing in pairs, and showing what came out.

A ratio of two medians that were taken one after the other is mostly a statement about what else the
machine did meanwhile. So the two ways take turns, in an order that is drawn anew for each pair, and the
ratio is taken within each pair.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peewee

RESULTS = Path(__file__).parent / "results"
Operation = Callable[[], Any]


@dataclass
class Paired:
    """What came out of measuring two operations in pairs.

    Attributes:
        stock: microseconds an operation of each block of the first.
        routed: microseconds an operation of each block of the second.
    """

    stock: list[float] = field(default_factory=list)
    routed: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [b / a for a, b in zip(self.stock, self.routed, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.ratios, n=4)
        return low, high

    @property
    def interval(self) -> tuple[float, float]:
        """Between which two values the true median lies, with a confidence of 95 %."""
        ordered = sorted(self.ratios)
        half = 0.98 * len(ordered) ** 0.5
        middle = (len(ordered) - 1) / 2
        return ordered[max(0, int(middle - half))], ordered[min(len(ordered) - 1, round(middle + half))]

    def extend(self, other: Paired) -> None:
        self.stock += other.stock
        self.routed += other.routed

    def summary(self) -> dict[str, float]:
        low, high = self.quartiles
        return {
            "stock_us": round(statistics.median(self.stock), 3),
            "routed_us": round(statistics.median(self.routed), 3),
            "ratio": round(self.ratio, 4),
            "ratio_low": round(self.interval[0], 4),
            "ratio_high": round(self.interval[1], 4),
            "ratio_q1": round(low, 4),
            "ratio_q3": round(high, 4),
            "pairs": len(self.stock),
        }


def timed(operation: Operation, times: int) -> float:
    """Return the seconds of processor time that so many calls took in this thread.

    What is measured here waits for nothing, so the time in which another process had the processor is not
    part of it.
    """
    turns = itertools.repeat(None, times)
    start = time.thread_time()
    for _ in turns:
        operation()
    return time.thread_time() - start


def times_for(operation: Operation, seconds: float) -> int:
    """Return how many calls fill about so many seconds, at least one."""
    times = 1
    while (took := timed(operation, times)) < seconds / 4:
        times *= 2
    return max(1, round(times * seconds / took))


def in_pairs(
    stock: Operation,
    routed: Operation,
    *,
    pairs: int,
    block: float = 0.0005,
    between: Operation | None = None,
    seed: int | None = None,
) -> Paired:
    """Measure two operations in alternating blocks.

    Args:
        stock: the one to compare with.
        routed: the one to compare.
        pairs: how many blocks of each.
        block: about how long a block takes, in seconds; a disturbance then spoils only a few pairs.
        between: called now and then outside the clock, to empty tables that would grow.
        seed: of the order; None draws one.
    """
    order = random.Random(seed)
    times = times_for(stock, block)
    times_for(routed, block)  # both are warm now
    # What exists is left out of the collector's rounds, whose cost would fall on whoever is running.
    gc.collect()
    gc.freeze()
    found = Paired()
    for number in range(pairs):
        if between is not None and number % 10 == 0:
            between()
        if order.random() < 0.5:
            first, second = timed(stock, times), timed(routed, times)
        else:
            second, first = timed(routed, times), timed(stock, times)
        found.stock.append(first / times * 1e6)
        found.routed.append(second / times * 1e6)
    gc.unfreeze()
    return found


def environment() -> str:
    """Return what the numbers depend on, in one line."""
    return (
        f"{platform.python_implementation()} {platform.python_version()}, peewee {peewee.__version__}, "
        f"SQLite {sqlite3.sqlite_version}, {os.cpu_count()} CPUs"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table whose columns also line up as plain text; the first one to the left."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in cells
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def report(name: str, title: str, lines: Sequence[str], numbers: Any) -> None:
    """Print the findings, and write them to ``results/<name>.md`` and ``.json``."""
    RESULTS.mkdir(exist_ok=True)
    text = "\n\n".join([f"# {title}", *lines, f"Measured with {environment()}."])
    print(text, flush=True)
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    data = {"title": title, "environment": environment(), "numbers": numbers}
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def plot(name: str, draw: Callable[[Any], Any], size: tuple[float, float] = (8.0, 4.5)) -> None:
    """Write ``results/<name>.png``, or say why not.

    Args:
        name: of the file.
        draw: called with the axes.
        size: inches.
    """
    try:
        import matplotlib
    except ImportError:
        print("No plot: matplotlib is missing (pip install 'peewee-multidb[bench]').", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    pyplot.close(figure)


#: The colours of the plots, apart also to a reader who does not see all colours.
STOCK, ROUTED, OTHER = "#d95f02", "#1b6ca8", "#999999"
