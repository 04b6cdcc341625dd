"""How rows change homes: copy_to and move_to, and what is left when something fails half-way."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import peewee
import pytest
from peewee import AutoField, BlobField, CharField, IntegerField, JSONField, UUIDField

from peewee_multidb import (
    ConfigurationError,
    DatabaseNotAllowed,
    Databases,
    ReadOnlyDatabase,
    UnknownDatabase,
    WrongShard,
    database_of,
    use_db,
)
from tests.model.conftest import ENGINES, LITES, base_model, sent_to


@pytest.fixture
def note(base: Any) -> Any:
    """A model with a row of key 1 in default, and an empty table in other."""

    class Note(base):
        id = AutoField()
        text = CharField()

    for name in LITES[:2]:
        with use_db(name):
            Note.create_table()
    Note.create(text="home")
    return Note


def texts(note: Any, name: str) -> list[str]:
    return [row.text for row in note.select().using(name).order_by(note.id)]


def test_copy_to_leaves_the_row_and_gives_a_copy_there(note: Any) -> None:
    row = note.get()
    row.text = "changed and not saved"
    copied = row.copy_to("other")
    assert (copied.id, database_of(copied), database_of(row)) == (row.id, "other", "default")
    assert not copied.is_dirty()
    assert texts(note, "default") == ["home"]
    assert texts(note, "other") == ["changed and not saved"]
    copied.text = "there"
    copied.save()
    assert (texts(note, "default"), texts(note, "other")) == (["home"], ["there"])


def test_move_to_takes_the_row_along(note: Any) -> None:
    row = note.get()
    with use_db("other"):
        assert row.move_to("other") is None
    assert database_of(row) == "other"
    assert (texts(note, "default"), texts(note, "other")) == ([], ["home"])
    row.text = "moved"
    assert row.save() == 1
    row.move_to("default")
    assert (texts(note, "default"), texts(note, "other")) == (["moved"], [])


def test_moving_home_changes_nothing_and_copying_home_is_refused(lites: Databases, note: Any) -> None:
    row = note.get()
    with sent_to(lites) as sent:
        row.move_to("default")
        with pytest.raises(ConfigurationError, match="lives in 'default' already"):
            row.copy_to("default")
    assert sent.log == []


def test_a_key_that_is_taken_there_changes_nothing(note: Any) -> None:
    with use_db("other"):
        note.create(text="was here")
    row = note.get()
    for move in (row.copy_to, row.move_to):
        with pytest.raises(peewee.IntegrityError):
            move("other")
        assert database_of(row) == "default"
        assert (texts(note, "default"), texts(note, "other")) == (["home"], ["was here"])


def test_a_row_that_is_gone_is_not_brought_back(note: Any) -> None:
    row = note.get()
    note.delete().execute()
    with pytest.raises(note.DoesNotExist, match="no longer in 'default'"):
        row.move_to("other")
    assert texts(note, "other") == []
    assert database_of(row) == "default"


def test_a_table_that_is_missing_there_loses_nothing(note: Any) -> None:
    row = note.get()
    with pytest.raises(peewee.OperationalError, match="no such table"):
        row.move_to("third")
    assert texts(note, "default") == ["home"]
    assert database_of(row) == "default"


def test_a_deletion_that_fails_loses_nothing_and_copies_nothing(lites: Databases, note: Any) -> None:
    lites["default"].execute_sql(
        "CREATE TRIGGER stay BEFORE DELETE ON note BEGIN SELECT RAISE(ABORT, 'stays'); END"
    )
    row = note.get()
    with pytest.raises(peewee.IntegrityError, match="stays"):
        row.move_to("other")
    assert (texts(note, "default"), texts(note, "other")) == (["home"], [])


def test_a_source_that_cannot_commit_leaves_the_row_twice_and_never_nowhere(
    lites: Databases, base: Any
) -> None:
    """A deferred constraint strikes at COMMIT, when the copy is durable already."""

    class Parent(base):
        text = CharField()

    class Child(base):
        parent = peewee.ForeignKeyField(Parent, deferrable="INITIALLY DEFERRED")

    for name in LITES[:2]:
        with use_db(name):
            lites.create_tables([Parent, Child])
    parent = Parent.create(text="p")
    Child.create(parent=parent)
    with pytest.raises(peewee.IntegrityError):
        parent.move_to("other")
    assert database_of(parent) == "default"
    assert [Parent.select().using(name).count() for name in LITES[:2]] == [1, 1]


def test_what_cannot_be_moved_is_refused_before_anything_is_sent(lites: Databases, note: Any) -> None:
    class Bounded(base_model(lites, db_name=("default", "other"))):
        text = CharField()

    Bounded.create_table()
    bounded = Bounded.create(text="x")
    unsaved, row = note(text="x"), note.get()
    with sent_to(lites) as sent:
        with pytest.raises(DatabaseNotAllowed):
            bounded.copy_to("third")
        with pytest.raises(DatabaseNotAllowed):
            bounded.move_to("third")
        with pytest.raises(ConfigurationError, match="never loaded or saved"):
            unsaved.move_to("other")
        for move in (row.copy_to, row.move_to):
            with pytest.raises(UnknownDatabase, match="did you mean 'other'"):
                move("othr")
    assert sent.log == []
    assert Bounded.select().count() == 1


def test_a_read_only_end_loses_nothing(lites: Databases, note: Any, tmp_path: Any) -> None:
    lites.add("frozen", f"sqlite:///{tmp_path}/other.db", read_only=True)
    row = note.get()
    with pytest.raises(ReadOnlyDatabase):
        row.move_to("frozen")
    assert texts(note, "default") == ["home"]
    with use_db("other"):
        note.create(text="cold")
    cold = note.select().using("frozen").get()
    cold.id = 7
    with pytest.raises(ReadOnlyDatabase):
        cold.move_to("default")
    assert (texts(note, "default"), texts(note, "other")) == (["home"], ["cold"])


def test_a_sharded_row_moves_only_to_the_shard_of_its_key(lites: Databases) -> None:
    def by_region(region: str) -> str:
        return {"eu": "default", "us": "other"}[region]

    class Visit(base_model(lites, db_name=by_region, shard_key="region", shards=("default", "other"))):
        region = CharField()

    Visit.create_table()
    visit = Visit.create(region="eu")
    assert database_of(visit) == "default"
    for move in (visit.copy_to, visit.move_to):
        with pytest.raises(WrongShard):
            move("other")
    assert Visit.select().using("default").count() == 1
    assert Visit.select().using("other").count() == 0


def test_move_inside_a_transaction_of_the_source_waits_for_it(lites: Databases, note: Any) -> None:
    row = note.get()
    with pytest.raises(RuntimeError):
        with lites["default"].atomic():
            row.move_to("other")
            raise RuntimeError
    # The copy was committed on its own; the deletion was undone with the block around it.
    assert (texts(note, "default"), texts(note, "other")) == (["home"], ["home"])


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(ENGINES, 2)))
def test_rows_move_between_engines_with_their_values(engines: Databases, source: str, target: str) -> None:
    class Thing(base_model(engines, db_name="lite")):
        id = UUIDField(primary_key=True)
        data = JSONField()
        blob = BlobField()
        n = IntegerField(null=True)

    for name in ENGINES:
        with use_db(name):
            Thing.create_table()
    key = uuid.uuid4()
    with use_db(source):
        Thing.create(id=key, data={"a": [1, None, "ü"], "b": "123"}, blob=b"\x00\xff'\\")
        row = Thing.get()
    row.move_to(target)
    found = Thing.select().using(target).get()
    assert (found.id, found.data, bytes(found.blob), found.n) == (
        key,
        {"a": [1, None, "ü"], "b": "123"},
        b"\x00\xff'\\",
        None,
    )
    assert Thing.select().using(source).count() == 0
    assert row.copy_to(source).data == found.data
