"""Rule 12: what a Peewee model does, ours does, and where a scope or a row says so."""

from __future__ import annotations

import contextlib
from typing import Any

import peewee
import pytest
from peewee import (
    CharField,
    CompositeKey,
    DeferredForeignKey,
    DeferredThroughModel,
    ForeignKeyField,
    IntegerField,
    ManyToManyField,
)
from playhouse import signals, sqlite_ext
from playhouse.hybrid import hybrid_method, hybrid_property
from playhouse.pydantic_utils import to_pydantic
from playhouse.shortcuts import dict_to_model, model_to_dict, update_model_from_dict

from peewee_multidb import (
    ConfigurationError,
    Databases,
    Model,
    NoDatabaseSelected,
    UnknownDatabase,
    current_db,
    database_of,
    use_db,
    use_shard,
)
from tests.model.conftest import LITES, base_model, sent_to


def everywhere(lites: Databases, *models: Any) -> None:
    for name in LITES:
        with use_db(name):
            lites.create_tables(models)


def test_signals_fire_and_the_row_goes_where_it_should(lites: Databases) -> None:
    class Base(signals.Model, Model):
        class Meta:
            registry = lites

    class Note(Base):
        text = CharField()

    everywhere(lites, Note)
    seen: list[Any] = []

    def hear(kind: str) -> Any:
        return lambda sender, instance, **rest: seen.append((kind, instance.text, database_of(instance)))

    handlers = {kind: hear(kind) for kind in ("pre_save", "post_save", "pre_delete", "post_delete")}
    for kind, handler in handlers.items():
        getattr(signals, kind).connect(handler, name=kind, sender=Note)
    with use_db("other"):
        note = Note.create(text="n")
    note.text = "m"
    note.save()
    note.delete_instance()
    for kind in handlers:
        getattr(signals, kind).disconnect(name=kind, sender=Note)
    assert [(kind, text) for kind, text, _ in seen] == [
        ("pre_save", "n"),
        ("post_save", "n"),
        ("pre_save", "m"),
        ("post_save", "m"),
        ("pre_delete", "m"),
        ("post_delete", "m"),
    ]
    assert {where for _, text, where in seen if text == "m"} == {"other"}
    assert Note.select().using("other").count() == 0


def test_a_handler_that_writes_goes_where_the_row_goes(lites: Databases) -> None:
    class Base(signals.Model, Model):
        class Meta:
            registry = lites

    class Note(Base):
        text = CharField()

    class Audit(Base):
        text = CharField()

    everywhere(lites, Note, Audit)
    signals.post_save.connect(
        lambda sender, instance, created: Audit.create(text=instance.text), name="audit", sender=Note
    )
    with use_db("other"):
        Note.create(text="made")
    signals.post_save.disconnect(name="audit", sender=Note)
    assert [row.text for row in Audit.select().using("other")] == ["made"]
    assert Audit.select().count() == 0


def test_hybrids_work_on_rows_and_in_queries(lites: Databases) -> None:
    class Span(base_model(lites)):
        start = IntegerField()
        end = IntegerField()

        @hybrid_property
        def length(self) -> Any:
            return self.end - self.start

        @hybrid_method
        def holds(self, point: int) -> Any:
            return (self.start <= point) & (point < self.end)

    everywhere(lites, Span)
    with use_db("other"):
        Span.insert_many([(0, 3), (2, 9)], [Span.start, Span.end]).execute()
    query = Span.select().where(Span.length > 3, Span.holds(5)).using("other")
    assert [(row.start, row.length, row.holds(5)) for row in query] == [(2, 7, True)]


def test_shortcuts_follow_the_row(lites: Databases) -> None:
    class User(base_model(lites)):
        name = CharField()

    class Tweet(base_model(lites)):
        user = ForeignKeyField(User, backref="tweets")
        text = CharField()

    everywhere(lites, User, Tweet)
    for name in LITES:
        with use_db(name):
            Tweet.create(user=User.create(name=name), text=f"in {name}")
    tweet = Tweet.select().using("other").get()
    assert model_to_dict(tweet) == {"id": 1, "text": "in other", "user": {"id": 1, "name": "other"}}
    assert model_to_dict(tweet.user, backrefs=True)["tweets"] == [{"id": 1, "text": "in other"}]
    update_model_from_dict(tweet, {"text": "changed", "user": {"name": "renamed"}})
    with use_db("third"):
        tweet.save()
        tweet.user.save()
    assert model_to_dict(Tweet.select().using("other").get())["user"]["name"] == "renamed"
    assert Tweet.get().text == "in default"
    fresh = dict_to_model(Tweet, {"text": "new", "user": {"id": 1, "name": "x"}})
    assert database_of(fresh) is None
    with use_db("third"):
        fresh.save()
    assert (database_of(fresh), Tweet.select().using("third").count()) == ("third", 2)


def test_pydantic_models_are_made_of_ours(lites: Databases) -> None:
    class User(base_model(lites)):
        name = CharField()
        age = IntegerField(null=True)

    User.create_table()
    User.create(name="a", age=3)
    schema = to_pydantic(User, exclude_autofield=False)
    found = schema.model_validate(User.get(), from_attributes=True)
    assert found.model_dump() == {"id": 1, "name": "a", "age": 3}


def test_composite_keys_and_no_key_at_all(lites: Databases) -> None:
    class Pair(base_model(lites)):
        a = IntegerField()
        b = IntegerField()
        n = IntegerField(default=0)

        class Meta:
            primary_key = CompositeKey("a", "b")

    class Keyless(base_model(lites)):
        a = IntegerField()

        class Meta:
            primary_key = False

    everywhere(lites, Pair, Keyless)
    with use_db("other"):
        Pair.create(a=1, b=2)
        Keyless.create(a=1)
    pair, keyless = Pair.select().using("other").get(), Keyless.select().using("other").get()
    pair.n = 5
    assert pair.save() == 1
    assert pair.refresh().n == 5
    pair.move_to("third")
    assert [Pair.select().using(name).count() for name in LITES] == [0, 0, 1]
    assert database_of(keyless) == "other"
    copied = keyless.copy_to("third")
    assert (database_of(copied), Keyless.select().using("third").count()) == ("third", 1)


def test_deferred_foreign_keys(lites: Databases) -> None:
    class Tweet(base_model(lites)):
        user = DeferredForeignKey("Writer", backref="tweets", null=True)

    class Writer(base_model(lites)):
        name = CharField()
        best = ForeignKeyField(Tweet, null=True)

    everywhere(lites, Tweet, Writer)
    with use_db("other"):
        writer = Writer.create(name="w")
        writer.best = Tweet.create(user=writer)
        writer.save()
    tweet = Tweet.select().using("other").get()
    assert tweet.user.best.user.tweets.get() == tweet
    assert database_of(tweet.user.best) == "other"


def test_many_to_many_with_a_through_model_and_a_deferred_one(lites: Databases) -> None:
    late = DeferredThroughModel()

    class Person(base_model(lites)):
        name = CharField()

    class Club(base_model(lites)):
        people = ManyToManyField(Person, backref="clubs", through_model=late)

    class Membership(base_model(lites)):
        person = ForeignKeyField(Person)
        club = ForeignKeyField(Club)
        since = IntegerField(default=2000)

    late.set_model(Membership)
    everywhere(lites, Person, Club, Membership)
    with use_db("other"):
        club = Club.create()
        club.people.add([Person.create(name="a"), Person.create(name="b")])
    club = Club.select().using("other").get()
    assert sorted(person.name for person in club.people) == ["a", "b"]
    assert [database_of(found) for found in club.people[0].clubs] == ["other"]
    club.people.remove(club.people[0])
    assert Membership.select().using("other").count() == 1
    assert Membership.select().count() == 0
    with use_db("other"):
        joined = Club.select(Club, Person).join(Membership).join(Person)
    assert joined.count() == 1


def test_the_through_model_shares_its_owners_options(lites: Databases) -> None:
    class Tag(base_model(lites, db_name="other")):
        name = CharField()

    class Post(base_model(lites, db_name="other", db_pinned=True)):
        tags = ManyToManyField(Tag)

    Link = Post.tags.get_through_model()
    assert isinstance(Link, type(Model))
    with use_db("third"):
        assert (current_db(Post), current_db(Link)) == ("other", "other")
    assert Link._meta.home.registry is lites


def test_full_text_search(lites: Databases) -> None:
    class Base(Model, sqlite_ext.FTS5Model):
        class Meta:
            registry = lites

    class Page(Base):
        title = sqlite_ext.SearchField()
        body = sqlite_ext.SearchField(unindexed=True)

    everywhere(lites, Page)
    with use_db("other"):
        Page.insert_many([("a fox", "1"), ("a dog", "2")], [Page.title, Page.body]).execute()
        query = Page.search("fox", with_score=True, score_alias="score")
    assert [(row.body, row.score < 0) for row in query] == [("1", True)]
    assert [row.body for row in Page.select().where(Page.match("dog")).using("other")] == ["2"]
    assert list(Page.search("fox")) == []


def test_peewees_own_bind_is_for_the_process_and_bind_ctx_for_the_block(lites: Databases, base: Any) -> None:
    class Thing(base):
        name = CharField()

    everywhere(lites, Thing)
    with Thing.bind_ctx(lites["other"]):
        Thing.create(name="x")
        assert current_db(Thing) == "other"
    with lites["third"].bind_ctx([Thing]):
        Thing.create(name="y")
    assert current_db(Thing) == "default"
    Thing.bind(lites["third"])
    assert (current_db(Thing), Thing.get().name, Thing._meta.database) == ("third", "y", lites["third"])
    with use_db("other"):
        assert Thing.get().name == "x"
    Thing._meta.set_database(None)
    assert (current_db(Thing), Thing.select().count()) == ("default", 0)


def test_the_database_of_a_model_is_whichever_it_resolves_to(lites: Databases, base: Any) -> None:
    class Thing(base):
        name = CharField()

    everywhere(lites, Thing)
    database = Thing._meta.database
    assert database.obj is lites["default"]
    with use_db("other"):
        assert database.obj is lites["other"]
        assert "'other'" in repr(database)
        with contextlib.suppress(RuntimeError), database.atomic():
            Thing.create(name="undone")
            raise RuntimeError
        with database.atomic(), use_db("third"):
            Thing.create(name="elsewhere")
        assert Thing.select().count() == 0
    assert Thing.select().using("third").count() == 1
    with pytest.raises(ConfigurationError, match="cannot be initialized"):
        database.initialize(lites["other"])

    @database.atomic()
    def work() -> None:
        Thing.create(name="undone")
        raise RuntimeError

    with use_db("other"):
        with pytest.raises(RuntimeError):
            work()
        assert Thing.select().count() == 0


def test_current_db_database_of_and_use_shard_say_what_they_take(lites: Databases, base: Any) -> None:
    class Homeless(base_model(lites, db_name=None)):
        pass

    class Stray(base_model(lites, db_name="nowhere")):
        pass

    assert current_db(Stray) == "nowhere"
    with pytest.raises(UnknownDatabase, match="Stray: No database is called 'nowhere'"):
        list(Stray.select())
    with pytest.raises(NoDatabaseSelected):
        current_db(Homeless)
    for wrong in (peewee.Model, 7, None):
        with pytest.raises(ConfigurationError, match="takes a model of peewee_multidb"):
            current_db(wrong)
    assert [database_of(thing) for thing in (None, 7, Homeless(), {})] == [None] * 4
    with pytest.raises(ConfigurationError, match="not a sharding rule"):
        use_shard(Homeless, 1)


def test_use_shard_is_the_scope_of_a_keys_shard(lites: Databases) -> None:
    class Visit(base_model(lites, db_name=lambda r: LITES[r], shard_key="r", shards=LITES)):
        r = IntegerField()

    class Bystander(base_model(lites)):
        pass

    Visit.create_table()
    for r in range(3):
        Visit.create(r=r)
    with use_shard(Visit, 2):
        assert [visit.r for visit in Visit] == [2]
        assert (current_db(Visit), current_db(Bystander)) == ("third", "default")


def test_a_new_row_decides_once_where_it_goes(lites: Databases, base: Any) -> None:
    class Thing(base):
        name = CharField()

    everywhere(lites, Thing)
    with sent_to(lites) as sent, use_db("other"):
        thing = Thing(name="x")
        thing.save()
        thing.save(force_insert=False)
    assert set(sent.where()) == {"other"}


def test_fields_added_later_are_dressed_too(lites: Databases, base: Any) -> None:
    class Thing(base):
        name = CharField()

    Thing._meta.add_field("data", peewee.JSONField(null=True))
    Thing._meta.add_field("other", ForeignKeyField(Thing, null=True, backref="others"))
    everywhere(lites, Thing)
    with use_db("third"):
        first = Thing.create(name="a", data={"n": 1})
        Thing.create(name="b", other=first)
    row = Thing.select().where(Thing.data["n"] == 1).using("third").get()
    assert [other.name for other in row.others] == ["b"]
    Thing._meta.remove_field("data")
    assert "data" not in Thing.select().sql()[0]
