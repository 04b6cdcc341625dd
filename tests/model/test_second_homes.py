"""What a row takes along when it moves, and what is not made of rows that live elsewhere already."""

from __future__ import annotations

from pathlib import Path

import pytest
from peewee import CharField, ForeignKeyField

from peewee_multidb import CrossDatabaseQuery, Databases, Model, database_of, use_db


@pytest.fixture
def models(tmp_path: Path):
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "archive")})

    class User(Model):
        name = CharField()

        class Meta:
            registry = own

    class Tweet(Model):
        user = ForeignKeyField(User)

        class Meta:
            registry = own

    for name in own:
        with use_db(name):
            own.create_tables([User, Tweet])
            User.create(name=name)
    yield User, Tweet
    own.close()


def test_a_moved_row_follows_its_foreign_key_in_its_new_home_and_can_be_saved(models):
    user, tweet = models
    moved = tweet.create(user=user.get())
    moved.move_to("archive")
    assert database_of(moved.user) == "archive"
    assert moved.save() == 1


def test_bulk_create_makes_no_second_home_for_rows_that_have_one(models):
    user, _ = models
    rows = list(user.select())
    with use_db("archive"), pytest.raises(CrossDatabaseQuery, match="copy_to"):
        user.bulk_create(rows)
    assert database_of(rows[0]) == "default"
