"""RETURNING: what the user says is kept, and what nobody says follows the engine."""

from __future__ import annotations

from peewee import CharField

from peewee_multidb import Databases, Model


def test_returning_without_columns_returns_nothing_on_an_engine_that_has_it(postgres_url):
    own = Databases({"default": postgres_url})

    class User(Model):
        name = CharField()

        class Meta:
            registry = own

    own.create_tables([User])
    assert User.insert(name="Ada").returning().execute() is None
    assert User.insert(name="Bob").execute() == 2
    assert User.insert(name="Eve").returning(User.name).execute()[0].name == "Eve"
    own.close_all()
