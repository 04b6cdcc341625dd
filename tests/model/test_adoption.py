"""adopt(): an existing hierarchy becomes ours without its file being touched."""

from __future__ import annotations

import datetime
import importlib
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import peewee
import pytest
from playhouse import signals

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    Databases,
    Model,
    adopt,
    atomic,
    current_db,
    database_of,
    explain_route,
    use_db,
)
from tests.model.conftest import LITES, sent_to

LEGACY = "tests.model.legacy_app"


@pytest.fixture
def app(lites: Databases) -> Iterator[ModuleType]:
    """The application, imported afresh and bound to the Database object called default."""
    module = importlib.import_module(LEGACY)
    module.database.initialize(lites["default"])
    yield module
    del sys.modules[LEGACY]


@pytest.fixture
def adopted(app: ModuleType, lites: Databases) -> ModuleType:
    """The application after adopt(), with its tables and a few rows in each database."""
    assert adopt(app.Base, db_name="default", registry=lites) is app.Base
    for name in LITES:
        with use_db(name):
            lites.create_tables(app.TABLES)
            boss = app.Person.create(name=f"boss of {name}")
            person = app.Person.create(
                name=name, boss=boss, data={"at": name}, photo=b"\x00\x01", born=datetime.date(2000, 2, 3)
            )
            app.Group.create(name=f"group of {name}").members.add([boss, person])
            app.Letter.create(sender=person, receiver=boss, text=f"letter in {name}")
    return app


def test_every_class_of_the_hierarchy_is_adopted_and_stays_itself(adopted: ModuleType) -> None:
    for model in (adopted.Base, adopted.Named, *adopted.TABLES):
        assert issubclass(model, Model), model
        assert current_db(model) == "default"
    assert adopted.Person.label == "person"
    assert adopted.Person(name="x").shout() == "X"
    assert issubclass(adopted.Person, signals.Model)
    assert isinstance(adopted.Person, adopted.Meta)
    assert isinstance(adopted.Pair, adopted.Loud)


def test_metaclasses_keep_their_say(adopted: ModuleType) -> None:
    class Later(adopted.Pair):
        pass

    class Both(adopted.Pair, adopted.Named):
        pass

    assert (Later.label, Later.loud, Both.loud) == ("later", "LATER", "BOTH")
    assert current_db(Later) == current_db(Both) == "default"


def test_queries_follow_scopes(adopted: ModuleType) -> None:
    Person, Letter = adopted.Person, adopted.Letter
    for name in LITES:
        with use_db(name):
            assert Person.get_by_id(2).name == name
            joined = Letter.select(Letter, Person).join(Person, on=Letter.sender)
            assert [letter.sender.name for letter in joined] == [name]
            assert Person.select().where(Person.data["at"] == name, Person.born.year == 2000).count() == 1
            assert Person.select().count() == 2
        assert Person.select().using(name).where(Person.photo == b"\x00\x01").get().name == name
    assert explain_route(Person.select().using("other")).databases == ("other",)


def test_rows_remember_their_database(adopted: ModuleType) -> None:
    person = adopted.Person.select().using("other").where(adopted.Person.id == 2).get()
    assert database_of(person) == "other"
    with use_db("third"):
        assert person.boss.name == "boss of other"
        assert person.boss.staff.get().name == "other"
        assert [letter.text for letter in person.sent] == ["letter in other"]
        assert [letter.text for letter in person.boss.received] == ["letter in other"]
        person.name = "changed"
        person.save()
    assert adopted.Person.select().using("other").where(adopted.Person.name == "changed").count() == 1
    assert adopted.Person.select().using("third").where(adopted.Person.name == "changed").count() == 0


def test_many_to_many_fields_follow_scopes_and_rows(adopted: ModuleType) -> None:
    group = adopted.Group.select().using("other").get()
    with use_db("third"):
        assert sorted(person.name for person in group.members) == ["boss of other", "other"]
        person = group.members.order_by(adopted.Person.id)[0]
        assert database_of(person) == "other"
        assert [found.name for found in person.groups] == ["group of other"]
        group.members.remove(person)
        assert [left.name for left in group.members] == ["other"]
        person.groups.add(group)
        assert group.members.count() == 2
        group.members.clear()
    counts = [adopted.Membership.select().using(name).count() for name in LITES]
    assert counts == [2, 0, 2]
    with use_db("third"):
        adopted.Group.create(name="g").members.add(1)
    assert [adopted.Membership.select().using(name).count() for name in LITES] == [2, 0, 3]


def test_signals_still_fire(adopted: ModuleType) -> None:
    heard: list[Any] = []
    signals.post_save.connect(
        lambda sender, instance, created: heard.append((instance.name, created)),
        name="heard",
        sender=adopted.Person,
    )
    with use_db("other"):
        person = adopted.Person.create(name="new")
    person.name = "newer"
    person.save()
    signals.post_save.disconnect(name="heard", sender=adopted.Person)
    assert heard == [("new", True), ("newer", False)]
    assert database_of(person) == "other"


def test_subclasses_made_afterwards_are_adopted_too(adopted: ModuleType, lites: Databases) -> None:
    class Later(adopted.Named):
        n = peewee.IntegerField(default=1)

    class Elsewhere(adopted.Base):
        person = peewee.ForeignKeyField(adopted.Person, backref="elsewhere")

        class Meta:
            db_name = "other"

    lites.create_tables([Later, Elsewhere])
    assert (current_db(Later), current_db(Elsewhere), Later.label) == ("default", "other", "later")
    with use_db("third"):
        Later.create_table()
        Later.create(name="x")
    assert [Later.select().using(name).count() for name in ("default", "third")] == [0, 1]
    row = Elsewhere.create(person=2)
    assert (database_of(row), row.person.name) == ("other", "default")
    assert [found.id for found in adopted.Person.get_by_id(2).elsewhere] == [row.id]
    with pytest.raises(CrossDatabaseQuery):
        list(Elsewhere.select().join(adopted.Person))


def test_foreign_keys_from_outside_the_hierarchy(app: ModuleType, lites: Databases) -> None:
    """A model of ours, made before adopt(), refers to one that is adopted later."""

    class Visit(Model):
        person = peewee.ForeignKeyField(app.Person, backref="visits")

        class Meta:
            registry = lites
            db_name = "other"

    adopt(app.Base, db_name="default", registry=lites)
    lites.create_tables([*app.TABLES, Visit])
    visit = Visit.create(person=app.Person.create(name="p"))
    assert visit.refresh().person.name == "p"
    assert [found.id for found in app.Person.get().visits] == [visit.id]


def test_without_db_name_they_keep_their_database_object(app: ModuleType, lites: Databases) -> None:
    adopt(app.Base, registry=lites)
    lites["default"].create_tables(app.TABLES)
    with use_db("other"):
        lites.create_tables(app.TABLES)
        app.Person.create(name="o")
    person = app.Person.create(name="d")
    assert (database_of(person), current_db(app.Person)) == ("default", "default")
    assert app.Person.select().using("other").get().name == "o"
    with use_db(default="other"):
        assert app.Person.get().name == "o"


def test_a_database_object_that_no_registry_knows_still_serves(app: ModuleType, tmp_path: Any) -> None:
    stray = peewee.SqliteDatabase(tmp_path / "stray.db")
    app.database.initialize(stray)
    adopt(app.Base)
    stray.create_tables(app.TABLES)
    group = app.Group.create(name="g")
    group.members.add(app.Person.create(name="p", data={"a": 1}))
    assert app.Person.select().where(app.Person.data["a"] == 1).get().groups.get() == group
    assert (current_db(app.Person), database_of(group)) == (None, None)
    stray.close()


def test_rows_pickle_and_old_pickles_load(app: ModuleType, lites: Databases) -> None:
    lites["default"].create_tables(app.TABLES)
    before = pickle.dumps(app.Person.create(name="before"))
    adopt(app.Base, db_name="default", registry=lites)
    with use_db("other"):
        lites.create_tables(app.TABLES)
        row = pickle.loads(pickle.dumps(app.Person.create(name="after")))
    assert database_of(row) == "other"
    old = pickle.loads(before)
    assert (old.name, database_of(old)) == ("before", None)
    old.name = "saved"
    assert old.save() == 1
    assert [person.name for person in app.Person] == ["saved"]


def test_transactions_cover_adopted_models(adopted: ModuleType, lites: Databases) -> None:
    with pytest.raises(RuntimeError):
        with atomic(adopted.Person):
            adopted.Person.create(name="undone")
            raise RuntimeError
    with pytest.raises(RuntimeError):
        with adopted.Person._meta.database.atomic():
            adopted.Person.create(name="undone")
            raise RuntimeError
    assert adopted.Person.select().where(adopted.Person.name == "undone").count() == 0


def test_composite_keys_bulk_and_ddl(adopted: ModuleType, lites: Databases) -> None:
    with use_db("other"):
        adopted.Pair.insert_many([(1, 2), (3, 4)]).execute()
        adopted.Person.bulk_create([adopted.Person(name="b1"), adopted.Person(name="b2")])
    assert [adopted.Pair.select().using(name).count() for name in LITES] == [0, 2, 0]
    assert [adopted.Person.select().using(name).count() for name in LITES] == [2, 4, 2]
    with sent_to(lites) as sent, use_db("third"):
        adopted.Letter.drop_table()
        adopted.Letter.create_table()
    assert set(sent.where()) == {"third"}


def test_options_reach_every_model(app: ModuleType, lites: Databases) -> None:
    adopt(app.Base, db_name="default", registry=lites, db_pinned=True, managed=False)
    with sent_to(lites) as sent, use_db("other"):
        assert current_db(app.Membership) == current_db(app.Person) == "default"
        lites.create_tables(app.TABLES)
    assert sent.log == []


def test_part_of_a_hierarchy(app: ModuleType, lites: Databases) -> None:
    adopt(app.Letter, db_name="other", registry=lites)
    with use_db("other"):
        assert current_db(app.Letter) == "other"
    assert not issubclass(app.Person, Model)
    assert app.Person._meta.database is app.database


def test_a_sharded_hierarchy(app: ModuleType, lites: Databases) -> None:
    adopt(app.Pair, db_name=lambda left: LITES[left], shard_key="left", shards=LITES, registry=lites)
    app.Pair.create_table()
    for left in range(3):
        assert database_of(app.Pair.create(left=left, right=0)) == LITES[left]


def test_wrong_arguments_are_refused_and_change_nothing(app: ModuleType, lites: Databases) -> None:
    with pytest.raises(ConfigurationError, match="takes a model class"):
        adopt(7)
    for everybodys in (peewee.Model, signals.Model):
        with pytest.raises(ConfigurationError, match="would change every model"):
            adopt(everybodys)
    with pytest.raises(ConfigurationError, match="did you mean 'db_name'"):
        adopt(app.Base, db_nam="other")
    for options in ({"db_name": 7}, {"registry": 7}, {"managed": "no"}, {"db_name": lambda k: "x"}):
        with pytest.raises(ConfigurationError):
            adopt(app.Base, **options)
    assert not any(issubclass(model, Model) for model in app.TABLES)
    lites["default"].create_tables(app.TABLES)
    group = app.Group.create(name="g")
    group.members.add(app.Person.create(name="p", data=[1]))
    assert group.members.count() == 1
    assert app.Person._meta.database is app.database
    adopt(app.Base, registry=lites)
    with pytest.raises(ConfigurationError, match="already"):
        adopt(app.Base)
