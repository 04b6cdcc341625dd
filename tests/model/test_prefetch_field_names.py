"""prefetch across databases is not misled by what the fields are called."""

from __future__ import annotations

from typing import Any

from peewee import CharField, ForeignKeyField

from peewee_multidb import Databases, database_of


def test_rule_5_prefetch_across_databases_finds_the_parent_beside_a_model_with_a_field_called_model(
    base: Any, lites: Databases
) -> None:
    class Plane(base):
        model = CharField()

        class Meta:
            db_name = "other"

    class Airport(base):
        name = CharField()

        class Meta:
            db_name = "other"

    class Flight(base):
        plane = ForeignKeyField(Plane)
        origin = ForeignKeyField(Airport, backref="departures")
        dest = ForeignKeyField(Airport, backref="arrivals")

    lites.create_tables([Plane, Airport, Flight])
    plane = Plane.create(model="A320")
    jfk, sfo = Airport.create(name="JFK"), Airport.create(name="SFO")
    Flight.create(plane=plane, origin=jfk, dest=sfo)

    [flight] = Flight.select().prefetch(Plane, Airport)

    loaded = flight.__rel__
    assert set(loaded) == {"plane", "origin", "dest"}
    assert (loaded["plane"].model, loaded["origin"].name, loaded["dest"].name) == ("A320", "JFK", "SFO")
    assert {database_of(flight), database_of(loaded["dest"])} == {"default", "other"}
