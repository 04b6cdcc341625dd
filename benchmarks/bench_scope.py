"""What does it cost to enter and leave a scope, and does that grow with the models?

Target: at most 1.5 microseconds, the same with 1 model and with 1,000. Beside it, what stock Peewee offers
for the same wish: ``Database.bind_ctx(models)`` and ``Model.bind_ctx()``. The models form one chain of
foreign keys, which is what an application's models tend to do.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable
from typing import Any

import measuring
import peewee

import peewee_multidb
from peewee_multidb import databases, use_db

TARGET = 1.5
SIZES = (1, 10, 100, 1000)
#: Seconds that the calls of one measurement take together.
BLOCK = 0.003

BLANKET, LISTED = 'use_db("other")', 'use_db("other", *models), made once'
DATABASE, MODEL = "Database.bind_ctx(models)", "Model.bind_ctx()"


def chain(base: Any, size: int) -> list[Any]:
    """Return so many models, each with a foreign key to the one before."""
    models: list[Any] = []
    for number in range(size):
        fields: dict[str, Any] = {"name": peewee.CharField()}
        if models:
            fields["previous"] = peewee.ForeignKeyField(models[-1])
        models.append(type(f"Chain{size}Model{number}", (base,), fields))
    return models


def measure(operations: dict[Any, Callable[[], Any]], rounds: int) -> dict[Any, float]:
    """Return the median of microseconds a call of each; all take turns, in a new order each round."""
    times = {key: measuring.times_for(operation, BLOCK) for key, operation in operations.items()}
    took: dict[Any, list[float]] = {key: [] for key in operations}
    for number in range(rounds):
        for key in random.sample(list(operations), len(operations)):
            # A stock block over 1,000 models takes a second; three of them say enough.
            if times[key] > 1 or number < 3:
                took[key].append(measuring.timed(operations[key], times[key]) / times[key] * 1e6)
    return {key: statistics.median(found) for key, found in took.items()}


def routed(size: int) -> dict[str, Callable[[], None]]:
    models = chain(peewee_multidb.Model, size)
    listed = use_db("other", *models)

    def blanket() -> None:
        with use_db("other"):
            pass

    def again() -> None:
        with listed:
            pass

    return {BLANKET: blanket, LISTED: again}


def stock(size: int) -> dict[str, Callable[[], None]]:
    here, there = peewee.SqliteDatabase(":memory:"), peewee.SqliteDatabase(":memory:")

    class Base(peewee.Model):
        class Meta:
            database = here

    models = chain(Base, size)

    def every_model() -> None:
        with there.bind_ctx(models):
            pass

    def one_model() -> None:
        with models[-1].bind_ctx(there):
            pass

    return {DATABASE: every_model, MODEL: one_model}


def shown(us: float) -> str:
    for unit, factor in (("µs", 1.0), ("ms", 1e3)):
        if us < 1000 * factor:
            return f"{us / factor:.3g} {unit}"
    return f"{us / 1e6:.3g} s"


def draw(axes: Any, found: dict[str, dict[int, float]]) -> None:
    colours = {
        BLANKET: measuring.ROUTED,
        LISTED: measuring.ROUTED,
        DATABASE: measuring.STOCK,
        MODEL: measuring.STOCK,
    }
    for name, by_size in found.items():
        style = "--" if name in (LISTED, MODEL) else "-"
        axes.plot(list(by_size), list(by_size.values()), style + "o", color=colours[name], label=name)
    axes.axhline(TARGET, color=measuring.OTHER, linewidth=0.8)
    axes.annotate(
        f"target: {TARGET} µs",
        (SIZES[-1], TARGET),
        (-60, 4),
        textcoords="offset points",
        size=8,
        color="#666666",
    )
    axes.set(xscale="log", yscale="log", xlabel="models in the application", ylabel="microseconds")
    axes.set_title("Entering and leaving a block that selects a database")
    axes.legend(frameon=False, fontsize=9)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    databases.configure({"default": "sqlite:///:memory:", "other": "sqlite:///:memory:"})
    operations = {
        (name, size): operation for size in SIZES for name, operation in (routed(size) | stock(size)).items()
    }
    medians = measure(operations, options.rounds)
    found = {
        name: {size: round(medians[name, size], 3) for size in SIZES}
        for name in (BLANKET, LISTED, DATABASE, MODEL)
    }
    table = measuring.table(
        ["block", *(f"{size:,} model{'s' * (size > 1)}" for size in SIZES)],
        [[f"`{name}`", *(shown(us) for us in by_size.values())] for name, by_size in found.items()],
    )
    ours = found[BLANKET]
    worst = max(ours.values())
    verdict = (
        f"`{BLANKET}` takes {worst:.2f} µs at most (target: {TARGET} µs, "
        f"{'met' if worst <= TARGET else 'MISSED'}); with 1,000 models {ours[1000] / ours[1]:.2f} times "
        f"what it takes with one. Stock `{DATABASE}` over 1,000 models takes "
        f"{found[DATABASE][1000] / ours[1000]:,.0f} times as long."
    )
    measuring.report("scope", "Entering and leaving a scope", [table, verdict], found)
    measuring.plot("scope", lambda axes: draw(axes, found))


if __name__ == "__main__":
    main()
