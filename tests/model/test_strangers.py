"""A row of another database is no value for a foreign key, where both models live side by side."""

from __future__ import annotations

from pathlib import Path

import peewee
import pytest
from peewee import CharField, ForeignKeyField

from peewee_multidb import CrossDatabaseQuery, Databases, Model, database_of, use_db


@pytest.fixture
def models(tmp_path: Path):
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "north", "orders")})

    class User(Model):
        name = CharField()

        class Meta:
            registry = own

    class Tweet(Model):
        user = ForeignKeyField(User, null=True)

        class Meta:
            registry = own

    class Order(Model):
        user = ForeignKeyField(User)

        class Meta:
            registry = own
            db_name = "orders"

    own.create_tables([User, Tweet, Order])
    with use_db("north"):
        own.create_tables([User, Tweet])
    yield User, Tweet, Order
    own.close()


def test_a_row_of_another_database_is_refused_and_the_message_names_both(models):
    user, tweet, _ = models
    with use_db("north"):
        stranger = user.create(name="Ada")
    user.create(name="somebody else with the same key")
    with pytest.raises(CrossDatabaseQuery, match=r"Tweet.user is a User from 'north'.*saved to 'default'"):
        tweet.create(user=stranger)
    assert tweet.select().count() == 0
    loaded = tweet.create()
    loaded.user = stranger
    with pytest.raises(CrossDatabaseQuery):
        loaded.save()
    assert tweet.get_by_id(loaded.id).user is None


def test_the_key_alone_a_row_of_the_same_database_and_a_row_from_elsewhere_are_accepted(models):
    user, tweet, order = models
    with use_db("north"):
        stranger = user.create(name="Ada")
        beside = tweet.create(user=stranger)
    assert database_of(beside) == "north"
    assert order.create(user=stranger).user_id == stranger.id
    copied = stranger.copy_to("default")
    assert database_of(copied) == "default"
    assert tweet.create(user=copied).user == copied
    assert tweet.create(user=stranger.id).user_id == stranger.id


def test_tenants_without_a_home_cannot_refer_to_one_another(tmp_path):
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("acme", "bolt")})

    class Patient(Model):
        name = CharField()

        class Meta:
            registry = own
            db_name = None

    class Record(Model):
        patient = ForeignKeyField(Patient)

        class Meta:
            registry = own
            db_name = None

    for tenant in own:
        with use_db(tenant):
            own.create_tables([Patient, Record])
    with use_db("acme"):
        patient = Patient.create(name="Ada")
    with use_db("bolt"), pytest.raises(CrossDatabaseQuery):
        Record.create(patient=patient)
    own.close()


def test_a_database_object_and_its_name_are_the_same_home(tmp_path):
    database = peewee.SqliteDatabase(str(tmp_path / "a.db"))
    own = Databases({"default": database})

    class User(Model):
        name = CharField()

        class Meta:
            registry = own
            database = own["default"]

    class Tweet(Model):
        user = ForeignKeyField(User)

        class Meta:
            registry = own

    own.create_tables([User, Tweet])
    writer = User.create(name="Ada")
    assert Tweet.create(user=User.get()).user == writer
    own.close()
