"""The New York flights of 2013 in three databases, and their first half-year in a fourth.

Airlines, airports and planes live in "default" and flights in "flights". Weather lives in "noaa", which
plays the server of a vendor: we may read its tables, and no more. "half" holds airlines, airports, planes
and the flights from January to June, so that one word moves the whole report over there. At last the flights
are sharded by carrier over four more, and twenty reports of these are compared with those of one database.

    python examples/flights.py                                       SQLite files in a temporary folder
    python examples/flights.py --url flights=postgresql://app@db/app --url noaa=mysql://...

Its exit code is 0 only if everything that it checks about itself holds.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

import _flight_reports as reports
import _nycflights as data
from _flight_databases import (
    NAMES,
    Airline,
    Airport,
    Flight,
    Plane,
    Weather,
    configured,
    drop,
    load,
    taken_tables,
)
from peewee import fn

from peewee_multidb import (
    CrossDatabaseQuery,
    MultiDBError,
    ReadOnlyDatabase,
    database_of,
    databases,
    explain_route,
    use_db,
)

THREADS = 8


# -- What is true of the data whatever a database says.


@dataclass
class Tally:
    """Flights of one carrier: how many, how many of them departed, and the sum of their delays."""

    flights: int = 0
    departed: int = 0
    delay: int = 0

    @property
    def mean(self) -> float:
        return self.delay / self.departed

    def add(self, delay: int | None) -> None:
        self.flights += 1
        if delay is not None:
            self.departed += 1
            self.delay += delay


def tallies(rows: list[data.Row]) -> dict[str, Tally]:
    """Count without any database."""
    found: dict[str, Tally] = defaultdict(Tally)
    for row in rows:
        found[row[data.CARRIER]].add(row[data.DEP_DELAY])
    return dict(found)


# -- The checks.


@dataclass
class Checks:
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def that(self, holds: bool, what: str) -> None:
        self.done += 1
        print(f"  {'ok' if holds else 'FAILED':<6}  {what}")
        if not holds:
            self.failed.append(what)


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def wrapped(error: Exception, width: int = 100) -> str:
    words, lines = f"{type(error).__name__}: {error}".split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}"
    return "\n".join(f"   {line}" for line in lines)


# -- The report: it says nothing about databases.


@dataclass
class Report:
    carriers: dict[str, Tally]
    names: dict[str, str]
    rain: Tally
    dry: Tally


def report() -> Report:
    """Count by carrier and by weather; three databases, or two, or whatever the scope says."""
    carriers = (
        Flight.select(
            Flight.airline, fn.COUNT(Flight.id), fn.COUNT(Flight.dep_delay), fn.SUM(Flight.dep_delay)
        )
        .group_by(Flight.airline)
        .tuples()
    )
    hours = (
        Flight.select(Flight.origin, Flight.month, Flight.day, Flight.hour)
        .select_extend(fn.COUNT(Flight.id), fn.COUNT(Flight.dep_delay), fn.SUM(Flight.dep_delay))
        .group_by(Flight.origin, Flight.month, Flight.day, Flight.hour)
        .tuples()
    )
    wet = Weather.select(Weather.origin, Weather.month, Weather.day, Weather.hour).where(Weather.precip > 0)
    wet_hours = set(wet.tuples())
    rain, dry = Tally(), Tally()
    for *hour, flights, departed, delay in hours:
        one = rain if tuple(hour) in wet_hours else dry
        one.flights += flights
        one.departed += departed
        one.delay += int(delay or 0)
    return Report(
        {code: Tally(flights, departed, int(delay)) for code, flights, departed, delay in carriers},
        {airline.code: airline.name for airline in Airline.select()},
        rain,
        dry,
    )


def show(year: Report, half: Report) -> None:
    print(f"  {'airline':<28} {'2013':>9} {'late by':>9}   {'Jan-Jun':>9} {'late by':>9}")
    for code, tally in sorted(year.carriers.items(), key=lambda item: -item[1].flights):
        other = half.carriers.get(code, Tally(departed=1))
        print(
            f"  {year.names[code]:<28} {tally.flights:>9,} {tally.mean:>5.1f} min"
            f"   {other.flights:>9,} {other.mean:>5.1f} min"
        )
    for what, tally, other in (("with rain", year.rain, half.rain), ("without", year.dry, half.dry)):
        print(
            f"  {what:<28} {tally.flights:>9,} {tally.mean:>5.1f} min"
            f"   {other.flights:>9,} {other.mean:>5.1f} min"
        )


# -- The story.


def two_scopes(checks: Checks, everything: list[data.Row], half: list[data.Row]) -> tuple[Report, Report]:
    heading("The same report under two scopes: none, and use_db('half')")
    of_year = report()
    with use_db("half"):
        of_half = report()
    with use_db(flights="half"):
        renamed = report()
    show(of_year, of_half)
    checks.that(of_year.carriers == tallies(everything), "2013 equals what plain Python counts in the files")
    checks.that(of_half.carriers == tallies(half), "January to June does so too")
    checks.that(renamed == of_half, "use_db(flights='half') moves the flights alone: the same report")
    return of_year, of_half


def eight_threads(checks: Checks, of_year: Report, of_half: Report) -> None:
    heading(f"The report in {THREADS} threads at once, every other one in use_db('half')")
    results: list[Report | None] = [None] * THREADS
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait()
        try:
            with use_db("half") if number % 2 else contextlib.nullcontext():
                results[number] = report()
        finally:
            databases.close()  # each thread has connections of its own

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same = sum(result == (of_half if number % 2 else of_year) for number, result in enumerate(results))
    print(f"  {time.perf_counter() - began:.1f} s")
    checks.that(same == THREADS, f"{same} of {THREADS} say what they said alone")


def refused_join(checks: Checks) -> None:
    heading("A join of flights and airlines")
    join = Flight.select(Airline.name, fn.COUNT(Flight.id)).join(Airline).group_by(Airline.name)
    try:
        list(join.tuples())
    except CrossDatabaseQuery as error:
        print(wrapped(error))
        checks.that(True, "refused over two databases, before any SQL was sent")
    else:
        checks.that(False, "refused over two databases")
    with use_db("half"):
        counted = dict(join.tuples())
    checks.that(
        sum(counted.values()) > 0, f"answered inside use_db('half'), where both are: {len(counted)} airlines"
    )


def refused_write(checks: Checks) -> None:
    heading("The vendor's server")
    for what, attempt in (("a write", Weather.delete().execute), ("a DROP TABLE", Weather.drop_table)):
        before = Weather.select().count()
        try:
            attempt()
        except ReadOnlyDatabase as error:
            print(wrapped(error))
        checks.that(Weather.select().count() == before, f"{what} leaves all {before:,} rows where they are")


def where_rows_come_from(checks: Checks) -> None:
    heading("Flights of New Year's Day and what belongs to them: prefetch over databases")
    # Not every plane of a flight is in the list of planes; those of these airlines are.
    query = Flight.select().where(Flight.month == 1, Flight.day == 1, Flight.airline << ["UA", "B6", "DL"])
    query = query.where(Flight.dest << ["MIA", "SFO", "LAX", "FLL"]).order_by(Flight.id).limit(4)
    for name in (None, "half"):
        with use_db(name) if name else contextlib.nullcontext():
            rows = query.clone().prefetch(Airline, Plane, Airport)
        seen = set()
        print(f"  {'flight':<16} from      {'airline':<22} from      {'plane':<22} from")
        for row in rows:
            flight = f"{row.airline_id}{row.number} {row.origin_id}-{row.dest_id}"
            plane = f"{row.plane.manufacturer.split()[0].title()} {row.plane.model}"
            print(
                f"  {flight:<16} {database_of(row):<9} {row.airline.name:<22} {database_of(row.airline):<9}"
                f" {plane:<22} {database_of(row.plane)}"
            )
            seen |= {database_of(one) for one in (row, row.airline, row.plane, row.origin, row.dest)}
        where = f"inside use_db({name!r})" if name else "outside every scope"
        checks.that(seen == ({name} if name else {"flights", "default"}), f"{where}, from {sorted(seen)}")


def routes() -> None:
    heading("Why a query goes where it goes: explain_route")
    with use_db("half"):
        inside = [explain_route(Flight.select()), explain_route(Weather.select())]
    for route in [explain_route(Flight.select()), *inside]:
        print("  " + str(route).replace("\n", "\n  "))


def rows_stick(checks: Checks) -> None:
    heading("A row sticks to its database")
    with use_db("half"):
        row = Flight.select().where(Flight.month == 3, Flight.dep_delay == 0).order_by(Flight.id).first()
    same = (
        Flight.month == row.month, Flight.day == row.day, Flight.airline == row.airline_id,
        Flight.number == row.number, Flight.origin == row.origin_id,
    )  # fmt: skip
    row.dep_delay = 1440
    row.save()  # outside the block
    in_half = Flight.select().where(*same).using("half").get()
    in_year = Flight.select().where(*same).get()
    print(f"  {row.airline_id}{row.number} was loaded in use_db('half') and saved outside it, a day late")
    checks.that(in_half.dep_delay == 1440 and database_of(in_half) == "half", "changed in 'half'")
    checks.that(in_year.dep_delay == 0 and database_of(in_year) == "flights", "not changed in 'flights'")
    row.dep_delay = 0
    row.save()


def sharded(checks: Checks, everything: list[data.Row]) -> None:
    heading(
        f"The flights once more, by carrier over {len(reports.SHARDS)} shards: {len(reports.REPORTS)} reports"
    )
    with reports.places(everything) as (one, four):
        for name in reports.SHARDS:
            print(f"  {name}        {four.Flight.select().using(name).count():>9,} flights")
        print(
            f"  {explain_route(four.Flight.select().where(four.Flight.airline == 'UA'))}".replace(
                "\n", "\n  "
            )
        )
        held = 0
        for title, same, found in reports.compare(one, four):
            held += same
            size = f"{len(found):,} rows" if isinstance(found, list) else str(found)
            print(f"  {'same' if same else 'OTHER':<6}  {title:<62} {size:>16}")
        checks.that(
            held == len(reports.REPORTS),
            f"{held} of {len(reports.REPORTS)} say exactly what one database says",
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="load every tenth flight only")
    parser.add_argument(
        "--url", action="append", default=[], metavar="NAME=URL", help=f"of {', '.join(NAMES)}"
    )
    options = parser.parse_args()
    urls = dict(one.split("=", 1) for one in options.url if "=" in one)
    if len(urls) != len(options.url) or not set(urls) <= set(NAMES):
        parser.error(f"--url takes NAME=URL, each once; the names are {', '.join(NAMES)}")
    began = time.perf_counter()
    checks = Checks()
    heading("Four databases")
    with configured(urls):
        if taken := taken_tables(urls):
            parser.error(f"these databases are not empty: {'; '.join(taken)}")
        heading("Loading")
        everything = data.flights(every=10 if options.quick else 1)
        try:
            half = load(everything)
            of_year, of_half = two_scopes(checks, everything, half)
            eight_threads(checks, of_year, of_half)
            refused_join(checks)
            where_rows_come_from(checks)
            routes()
            rows_stick(checks)
            refused_write(checks)
            sharded(checks, everything)
        finally:
            drop()
    held, took = checks.done - len(checks.failed), time.perf_counter() - began
    print(f"\n{held} of {checks.done} checks hold; {took:.0f} s")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (data.DataMissing, MultiDBError) as problem:
        sys.exit(str(problem))
