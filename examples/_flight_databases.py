"""The databases of the flights, the models that live in them, and how they are filled."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

import _nycflights as data
import _progress
from peewee import CharField, FloatField, ForeignKeyField, IntegerField, SmallIntegerField

from peewee_multidb import Databases, Model, atomic, databases, use_db

NAMES = ("default", "flights", "noaa", "half")
BATCH = 100

# The models. Those that say nothing live in "default".


class Airline(Model):
    code = CharField(2, primary_key=True)
    name = CharField(60)


class Airport(Model):
    code = CharField(4, primary_key=True)
    name = CharField(80)
    lat = FloatField()
    lon = FloatField()
    alt = IntegerField()


class Plane(Model):
    tailnum = CharField(8, primary_key=True)
    year = SmallIntegerField(null=True)
    manufacturer = CharField(40)
    model = CharField(30)
    seats = SmallIntegerField()


class Flight(Model):
    month = SmallIntegerField()
    day = SmallIntegerField()
    hour = SmallIntegerField()
    airline = ForeignKeyField(Airline, backref="flights", index=False)  # in another database
    number = IntegerField()
    plane = ForeignKeyField(Plane, backref="flights", index=False, null=True)
    origin = ForeignKeyField(Airport, backref="departures", index=False)
    dest = ForeignKeyField(Airport, backref="arrivals", index=False)
    dep_delay = SmallIntegerField(null=True)  # minutes; empty when cancelled
    arr_delay = SmallIntegerField(null=True)
    distance = SmallIntegerField()

    class Meta:
        db_name = "flights"


class WeatherColumns(Model):
    origin = CharField(3)
    month = SmallIntegerField()
    day = SmallIntegerField()
    hour = SmallIntegerField()
    temp = FloatField(null=True)
    wind_speed = FloatField(null=True)
    precip = FloatField(null=True)
    visib = FloatField(null=True)


class Weather(WeatherColumns):
    class Meta:
        db_name = "noaa"
        db_pinned = True  # no blanket use_db() moves it
        managed = False  # no DDL, ever


#: The vendor's own connection to his server, which may write. Ours may not.
vendor = Databases()


class VendorWeather(WeatherColumns):
    class Meta:
        registry = vendor
        db_name = "noaa"
        table_name = "weather"


# The databases.


@contextlib.contextmanager
def configured(urls: dict[str, str]) -> Iterator[None]:
    """Configure the registries: the URLs given, and SQLite files in a temporary folder for the rest."""
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            # The files are thrown away afterwards, so nobody needs to wait for the disk.
            name: {"url": urls.get(name, f"sqlite:///{folder}/{name}.db?journal_mode=wal&synchronous=0")}
            for name in NAMES
        }
        vendor.configure({"noaa": settings["noaa"]})
        databases.configure({**settings, "noaa": {**settings["noaa"], "read_only": True}})
        for name in NAMES:
            print(f"  {name:<9} {databases.entries[name].settings.url if name in urls else 'SQLite'}")
        try:
            yield
        finally:
            databases.close_all()
            vendor.close_all()


def taken_tables(urls: dict[str, str]) -> list[str]:
    """Return the tables that are already on servers that we were sent to."""
    return [f"{name}: {table}" for name in urls for table in databases[name].get_tables()]


# Loading.


def insert(model: Any, rows: list[data.Row], what: str) -> None:
    columns = model._meta.sorted_fields[-len(rows[0]) :]
    with _progress.bar(what, len(rows)) as advance, atomic(model):
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            model.insert_many(batch, columns).as_rowcount().execute()
            advance(len(batch))


def load(everything: list[data.Row]) -> list[data.Row]:
    """Fill all databases and return the flights of the half-year."""
    half = [row for row in everything if row[data.MONTH] <= 6]
    databases.create_tables([Airline, Airport, Plane, Flight, Weather])  # Weather is passed over: not ours
    shared = [
        (Airline, data.table("airlines", data.AIRLINE)),
        (Airport, data.table("airports", data.AIRPORT)),
        (Plane, data.table("planes", data.PLANE)),
    ]
    for model, rows in shared:
        insert(model, rows, f"{model.__name__} -> default")
    insert(Flight, everything, "Flight -> flights")

    # Some planes and airports of the flights are in no list. Where only Flight is moved, its foreign keys
    # lead to another database and no constraint is made of them, so those flights are welcome.
    with use_db(flights="half"):
        Flight.create_table()
    with use_db("half"):
        databases.create_tables([Airline, Airport, Plane])
        for model, rows in shared:
            insert(model, rows, f"{model.__name__} -> half")
        insert(Flight, half, "Flight, January to June -> half")

    vendor.create_tables([VendorWeather])
    insert(VendorWeather, data.table("weather", data.WEATHER), "Weather -> noaa, by the vendor")
    return half


def drop() -> None:
    """Take away what `load` made: for servers, which outlive this program."""
    with use_db(flights="half"):
        Flight.drop_table()
    with use_db("half"):
        databases.drop_tables([Airline, Airport, Plane])
    databases.drop_tables([Airline, Airport, Plane, Flight])
    vendor.drop_tables([VendorWeather])
