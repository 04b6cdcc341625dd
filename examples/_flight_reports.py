"""Twenty reports on the flights of 2013, of one database and of four shards: do they say the same?

The flights are sharded by carrier. Airlines and airports are reference models, of which every shard has a
copy, so a report may join them wherever a flight is.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _nycflights as data
from peewee import CharField, ForeignKeyField, IntegerField, SmallIntegerField, fn

from peewee_multidb import Databases, HashShards, Model

SHARDS = ("s1", "s2", "s3", "s4")


@dataclass
class Models:
    """The models of one place."""

    Airline: Any
    Airport: Any
    Flight: Any


class AirlineColumns(Model):
    code = CharField(2, primary_key=True)
    name = CharField(60)


class AirportColumns(Model):
    code = CharField(4, primary_key=True)
    name = CharField(80)
    alt = IntegerField()


class FlightColumns(Model):
    id = IntegerField(primary_key=True)
    month = SmallIntegerField()
    day = SmallIntegerField()
    hour = SmallIntegerField(null=True)
    number = IntegerField()
    tailnum = CharField(8, null=True)
    origin = CharField(4)
    dest = CharField(4)
    dep_delay = SmallIntegerField(null=True)
    arr_delay = SmallIntegerField(null=True)
    distance = SmallIntegerField()


def models(own: Databases, place: str | HashShards) -> Models:
    """Return the models in one database, or over shards."""
    everywhere = {"registry": own, "db_name": place}
    if not isinstance(place, str):
        everywhere["reference"] = True

    class Airline(AirlineColumns):
        Meta = type("Meta", (), everywhere)

    class Airport(AirportColumns):
        Meta = type("Meta", (), everywhere)

    class Flight(FlightColumns):
        airline = ForeignKeyField(Airline, backref="flights", index=False)

        class Meta:
            registry = own
            db_name = place

    return Models(Airline, Airport, Flight)


# The reports. Each is a query whose rows come in an order that leaves nothing open.

Report = Callable[[Models], Any]
REPORTS: dict[str, Report] = {}


def report(function: Report) -> Report:
    REPORTS[(function.__doc__ or "").strip()] = function
    return function


@report
def total(m: Models) -> Any:
    """all flights"""
    return m.Flight.select().count()


@report
def by_carrier(m: Models) -> Any:
    """flights and mean delay by carrier"""
    F = m.Flight
    query = F.select(F.airline, fn.COUNT(F.id), fn.AVG(F.dep_delay)).group_by(F.airline)
    return list(query.order_by(F.airline).tuples())


@report
def by_month(m: Models) -> Any:
    """flights by month"""
    F = m.Flight
    return list(F.select(F.month, fn.COUNT(F.id)).group_by(F.month).order_by(F.month).tuples())


@report
def delay_by_month(m: Models) -> Any:
    """mean, least and greatest delay by month"""
    F = m.Flight
    query = F.select(F.month, fn.AVG(F.arr_delay), fn.MIN(F.arr_delay), fn.MAX(F.arr_delay))
    return list(query.group_by(F.month).order_by(F.month).tuples())


@report
def busiest(m: Models) -> Any:
    """the ten busiest destinations"""
    F = m.Flight
    count = fn.COUNT(F.id)
    return list(F.select(F.dest, count).group_by(F.dest).order_by(count.desc(), F.dest).limit(10).tuples())


@report
def longest(m: Models) -> Any:
    """the twenty longest delays"""
    F = m.Flight
    query = F.select(F.id, F.airline, F.number, F.dep_delay).where(F.dep_delay.is_null(False))
    return list(query.order_by(F.dep_delay.desc(), F.id).limit(20).tuples())


@report
def page(m: Models) -> Any:
    """page 7 of the flights of Christmas"""
    F = m.Flight
    query = F.select().where(F.month == 12, F.day == 25).order_by(F.hour, F.dest.desc(), F.id)
    return [(row.id, row.hour, row.dest) for row in query.paginate(7, 25)]


@report
def airlines(m: Models) -> Any:
    """flights by the airline's full name"""
    F, A = m.Flight, m.Airline
    query = F.select(A.name, fn.COUNT(F.id)).join(A).group_by(A.name)
    return list(query.order_by(fn.COUNT(F.id).desc(), A.name).tuples())


@report
def destinations(m: Models) -> Any:
    """how many destinations there are"""
    return m.Flight.select(fn.COUNT(m.Flight.dest.distinct())).scalar()


@report
def planes(m: Models) -> Any:
    """planes and flights of each origin"""
    F = m.Flight
    query = F.select(F.origin, fn.COUNT(F.tailnum.distinct()), fn.COUNT(F.id)).group_by(F.origin)
    return list(query.order_by(F.origin).tuples())


@report
def routes(m: Models) -> Any:
    """all routes"""
    F = m.Flight
    return list(F.select(F.origin, F.dest).distinct().order_by(F.origin, F.dest).tuples())


@report
def popular(m: Models) -> Any:
    """routes with more than 5,000 flights"""
    F = m.Flight
    query = F.select(F.origin, F.dest, fn.COUNT(F.id)).group_by(F.origin, F.dest)
    return list(query.having(fn.COUNT(F.id) > 5000).order_by(F.origin, F.dest).tuples())


@report
def cancelled(m: Models) -> Any:
    """cancelled flights by hour"""
    F = m.Flight
    query = F.select(F.hour, fn.COUNT(F.id)).where(F.dep_delay.is_null()).group_by(F.hour)
    return list(query.order_by(F.hour.desc(nulls="last")).tuples())


@report
def miles(m: Models) -> Any:
    """miles flown, and the mean of a flight"""
    F = m.Flight
    return F.select(fn.SUM(F.distance), fn.AVG(F.distance)).tuples().get()


@report
def high(m: Models) -> Any:
    """flights to airports above 5,000 feet"""
    F, P = m.Flight, m.Airport
    query = F.select(P.name, fn.COUNT(F.id)).join(P, on=(F.dest == P.code)).where(P.alt > 5000)
    return list(query.group_by(P.name).order_by(P.name).tuples())


@report
def elsewhere(m: Models) -> Any:
    """flights to airports that are not in the list"""
    F, P = m.Flight, m.Airport
    return F.select().where(F.dest.not_in(P.select(P.code))).count()


@report
def exists(m: Models) -> Any:
    """whether anything flew to Anchorage, and to Zurich"""
    F = m.Flight
    return F.select().where(F.dest == "ANC").exists(), F.select().where(F.dest == "ZRH").exists()


@report
def united_and_jetblue(m: Models) -> Any:
    """flights of two carriers by weekday of January"""
    F = m.Flight
    query = F.select(F.airline, F.day, fn.COUNT(F.id)).where(F.airline << ["UA", "B6"], F.month == 1)
    return list(query.group_by(F.airline, F.day).order_by(F.day, F.airline).tuples())


@report
def early_or_far(m: Models) -> Any:
    """early flights and far ones, as one list"""
    F = m.Flight
    early = F.select(F.id, F.dest).where(F.dep_delay < -25)
    far = F.select(F.id, F.dest).where(F.distance > 4900, F.month == 2)
    return list((early | far).order_by(F.id).tuples())


@report
def streamed(m: Models) -> Any:
    """every flight of July in the order of its delay, read while it is used"""
    F = m.Flight
    query = F.select(F.id, F.dep_delay).where(F.month == 7).order_by(F.dep_delay, F.id)
    return list(query.tuples().iterator())


# Both places.


@contextmanager
def places(everything: list[data.Row]) -> Iterator[tuple[Models, Models]]:
    """Yield the models of one database and those of four shards, filled with the same flights."""
    with tempfile.TemporaryDirectory() as folder:
        url = "sqlite:///{}/{}.db?synchronous=0&journal_mode=wal"
        own = Databases({name: url.format(Path(folder), name) for name in ("year", *SHARDS)})
        rule = HashShards(*SHARDS, key="airline")
        one, four = models(own, "year"), models(own, rule)
        parts: dict[str, list[Any]] = defaultdict(list)
        # id, then the columns of FlightColumns, and last the carrier, as the model has them.
        for number, row in enumerate(everything, 1):
            month, day, hour, carrier, flight, tail, *rest = row
            parts[rule.shard_of(carrier)].append((number, month, day, hour, flight, tail, *rest, carrier))
        try:
            _fill(own, one, {"year": [row for rows in parts.values() for row in rows]})
            _fill(own, four, parts)
            yield one, four
        finally:
            own.close_all()


def _fill(own: Databases, place: Models, parts: dict[str, list[Any]]) -> None:
    for model in (place.Airline, place.Airport, place.Flight):
        model.create_table()
    airlines = data.table("airlines", data.AIRLINE)
    airports = [(code, name, alt) for code, name, _, _, alt in data.table("airports", data.AIRPORT)]
    for name, rows in parts.items():
        database = own[name]
        with database.atomic():
            for model, some in ((place.Airline, airlines), (place.Airport, airports), (place.Flight, rows)):
                columns = [field.column_name for field in model._meta.sorted_fields]
                marks = ", ".join("?" * len(columns))
                # Peewee would be asked for three hundred thousand rows to no purpose of the story.
                database.connection().executemany(
                    f"INSERT INTO {model._meta.table_name} ({', '.join(columns)}) VALUES ({marks})", some
                )


def compare(one: Models, four: Models) -> Iterator[tuple[str, bool, Any]]:
    """Yield what each report is of, whether both places say the same, and what they say."""
    for title, ask in REPORTS.items():
        expected, found = ask(one), ask(four)
        yield title, found == expected and _types(found) == _types(expected), found


def _types(answer: Any) -> Any:
    if isinstance(answer, (list, tuple)):
        return [_types(item) for item in answer]
    return type(answer)
