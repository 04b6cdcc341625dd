"""What does routing add to a query, compared with stock Peewee?  Target: at most 1.03 times the time.

The same operations on the same tables in two in-memory SQLite databases, in one process, pair by pair;
several processes one after the other, since where things happen to lie in memory differs from one to the
next. Stock Peewee against itself shows what of a ratio is noise.

    python benchmarks/bench_overhead.py [--pairs 500] [--processes 3] [--only get]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import random
from typing import Any

import measuring
import peewee
from measuring import Paired

import peewee_multidb
from peewee_multidb import databases, use_db

TARGET = 1.03
ROWS = 1000
CONTROL = "stock against stock: get_by_id"
TARGETS = ("get_by_id", "select().where(pk).get()", "create", "insert().execute()")


class World:
    """One set of models, its tables filled, and the operations to be measured on them."""

    def __init__(self, base: Any, create: Any) -> None:
        class Person(base):
            name = peewee.CharField()
            age = peewee.IntegerField()

        class Pet(base):
            owner = peewee.ForeignKeyField(Person, backref="pets")
            name = peewee.CharField()

        class Note(base):
            text = peewee.CharField()
            number = peewee.IntegerField()

        self.Person, self.Pet, self.Note = Person, Pet, Note
        create([Person, Pet, Note])
        self.fill()
        self.many = [{"text": f"note {n}", "number": n} for n in range(1000)]
        # The same keys in the same order in each world.
        self.key = itertools.cycle(random.Random(1).sample(range(1, ROWS + 1), ROWS)).__next__
        self.person = Person.get_by_id(1)
        self.pets = itertools.cycle(Pet.select().limit(100)).__next__

    def fill(self) -> None:
        self.Person.insert_many([{"name": f"person {n}", "age": n % 90} for n in range(ROWS)]).execute()
        self.Pet.insert_many([{"owner": n // 3 + 1, "name": f"pet {n}"} for n in range(ROWS)]).execute()

    def empty_notes(self) -> None:
        self.Note.delete().execute()

    def operations(self) -> dict[str, Any]:
        Person, Pet, Note, key = self.Person, self.Pet, self.Note, self.key

        def lazy_owner() -> Any:
            pet = self.pets()
            pet.__rel__.clear()
            return pet.owner

        def save() -> Any:
            self.person.age += 1
            return self.person.save()

        join = Pet.select(Pet, Person).join(Person).limit(100)
        return {
            "get_by_id": lambda: Person.get_by_id(key()),
            "select().where(pk).get()": lambda: Person.select().where(Person.id == key()).get(),
            "create": lambda: Note.create(text="a note", number=7),
            "insert().execute()": lambda: Note.insert(text="a note", number=7).execute(),
            "update().where(pk).execute()": lambda: Person.update(age=8).where(Person.id == key()).execute(),
            "save() of a loaded row": save,
            "foreign key, loaded lazily": lazy_owner,
            "back-reference, 3 rows": lambda: list(self.person.pets),
            "count()": lambda: Person.select().where(Person.age > 88).count(),
            "100 rows": lambda: list(Person.select().limit(100)),
            "100 rows as dicts": lambda: list(Person.select().limit(100).dicts()),
            "100 rows of a join": lambda: list(join.clone()),
            "insert_many of 1,000": lambda: Note.insert_many(self.many).execute(),
        }


def stock_world() -> World:
    # The pragma that our driver sets: the comparison is of the library, not of SQLite's settings.
    database = peewee.SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})

    class Base(peewee.Model):
        class Meta:
            pass

    Base._meta.set_database(database)
    return World(Base, database.create_tables)


def routed_world() -> World:
    databases.configure({"default": "sqlite:///:memory:", "other": "sqlite:///:memory:"})
    world = World(peewee_multidb.Model, databases.create_tables)
    with use_db("other"):
        databases.create_tables([world.Person, world.Pet, world.Note])
        world.fill()
    return world


def measure(pairs: int, only: str) -> dict[str, Paired]:
    """Measure every operation once, in this process."""
    stock, twin, routed = stock_world(), stock_world(), routed_world()
    theirs, ours = stock.operations(), routed.operations()

    def between() -> None:
        stock.empty_notes()
        routed.empty_notes()

    def scoped() -> Any:
        with use_db("other"):
            return ours["get_by_id"]()

    cases = {CONTROL: (theirs["get_by_id"], twin.operations()["get_by_id"])}
    cases |= {name: (theirs[name], ours[name]) for name in theirs}
    cases["get_by_id inside use_db"] = (theirs["get_by_id"], scoped)
    return {
        name: measuring.in_pairs(*case, pairs=pairs, between=between)
        for name, case in cases.items()
        if only in name or name == CONTROL
    }


def draw(axes: Any, found: dict[str, Paired]) -> None:
    names = list(found)[::-1]
    for row, name in enumerate(names):
        low, high = found[name].quartiles
        colour = measuring.OTHER if name == CONTROL else measuring.ROUTED
        axes.plot([low, high], [row, row], color=colour, linewidth=5, alpha=0.25, solid_capstyle="butt")
        axes.plot(found[name].interval, [row, row], color=colour, linewidth=5, solid_capstyle="butt")
        axes.plot(found[name].ratio, row, "o", color=colour)
        axes.annotate(
            f"{found[name].ratio:.3f}",
            (found[name].ratio, row),
            (0, 6),
            textcoords="offset points",
            ha="center",
            size=8,
        )
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.axvline(
        TARGET,
        color=measuring.STOCK,
        linewidth=1,
        linestyle="--",
        label=f"target of those with a star: {TARGET}",
    )
    axes.set_yticks(range(len(names)), [f"{n} *" if n in TARGETS else n for n in names])
    axes.set_ylim(-0.6, len(names) + 0.4)
    axes.set_xlabel(
        "time relative to stock Peewee: median of the pairs, its 95 % interval, and quartiles (pale)"
    )
    axes.set_title("What routing adds to a query, in-memory SQLite")
    axes.legend(loc="upper right", fontsize=8, frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=500, help="pairs of blocks in each process")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes, one after the other")
    parser.add_argument(
        "--only", default="", help="only operations with this in their name; writes no results"
    )
    options = parser.parse_args()

    found: dict[str, Paired] = {}
    spawn = multiprocessing.get_context("spawn")
    for number in range(options.processes):
        with spawn.Pool(1) as one:
            for name, paired in one.apply(measure, (options.pairs, options.only)).items():
                found.setdefault(name, Paired()).extend(paired)
                if options.only:
                    print(f"process {number + 1}: {name}: {paired.ratio:.4f}", flush=True)

    rows = []
    for name, paired in found.items():
        low, high = paired.quartiles
        s = paired.summary()
        target = ("met" if paired.ratio <= TARGET else "MISSED") if name in TARGETS else ""
        rows.append(
            [
                name,
                f"{s['stock_us']:.1f}",
                f"{s['routed_us']:.1f}",
                f"{paired.ratio:.3f}",
                f"{s['ratio_low']:.3f} to {s['ratio_high']:.3f}",
                f"{low:.3f} to {high:.3f}",
                target,
            ]
        )
    head = [
        "operation",
        "stock, µs",
        "routed, µs",
        "ratio",
        "95 % interval",
        "quartiles",
        f"at most {TARGET}",
    ]
    lines = measuring.table(head, rows)
    if options.only:
        print(lines)
        return
    about = (
        f"In-memory SQLite, one thread. Medians over {options.processes} processes of {options.pairs} pairs "
        "of blocks of 0.5 ms of processor time, in random order within a pair; the ratio is the median of "
        "the pairs' ratios, and the interval is where it lies with a confidence of 95 %. The first row is "
        "stock Peewee against a second set of stock models: what it is off 1 is noise."
    )
    numbers = {name: paired.summary() for name, paired in found.items()}
    measuring.report("overhead", "What routing adds to a query", [lines, about], numbers)
    measuring.plot("overhead", lambda axes: draw(axes, found), (8.5, 6.0))


if __name__ == "__main__":
    main()
