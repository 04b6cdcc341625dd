"""The Meta options: what they mean, how they are inherited, and what is said about wrong ones."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField
from playhouse.shortcuts import ThreadSafeDatabaseMetadata

from peewee_multidb import (
    ConfigurationError,
    DatabaseNotAllowed,
    Databases,
    Model,
    UnknownDatabase,
    current_db,
    database_of,
    databases,
    use_db,
)
from tests.model.conftest import base_model, sent_to


def declare(bases: Any = (Model,), body: dict[str, Any] | None = None, **options: Any) -> Any:
    """Make a model class with these Meta options."""
    attributes = {"Meta": type("Meta", (), options), **(body or {}), "__module__": __name__}
    return type(Model)("Thing", bases if isinstance(bases, tuple) else (bases,), attributes)


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"db_nam": "other"}, "Thing.Meta.db_nam is not an option; did you mean 'db_name'"),
    ({"db_names": "other"}, "did you mean 'db_name'"),
    ({"db_pined": True}, "did you mean 'db_pinned'"),
    ({"shard_keys": "a"}, "did you mean 'shard_key'"),
    ({"sharding": "a"}, "is not an option"),
    ({"db_name": 7}, "db_name is 7; it must be a name"),
    ({"db_name": ""}, "is not a database name"),
    ({"db_name": ()}, "empty tuple"),
    ({"db_name": ("a", 7)}, "7 is not a database name"),
    ({"db_name": lambda key: "a"}, "needs shards"),
    ({"db_name": lambda key: "a", "shards": "ab", "shard_key": "k"}, "needs shards"),
    ({"db_name": lambda key: "a", "shards": ("a",)}, "needs shard_key"),
    ({"shards": ("a",)}, "need a sharding rule"),
    ({"shard_key": "a"}, "need a sharding rule"),
    ({"db_pinned": "yes"}, "db_pinned is 'yes'; it takes True or False"),
    ({"managed": 0}, "managed is 0; it takes True or False"),
    ({"registry": {}}, "takes a peewee_multidb.Databases object"),
    ({"reference": True}, "reference = True needs the databases"),
    ({"colocate_with": "x"}, "it takes a sharded model"),
    ({"database": peewee.SqliteDatabase(None), "db_name": "other"}, "both database and db_name"),
)


@pytest.mark.parametrize(("options", "said"), WRONG, ids=[said for _, said in WRONG])
def test_wrong_options_are_refused_when_the_class_is_made(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare(**options)
    assert said in str(caught.value)
    assert str(caught.value).startswith("Thing")


def test_peewees_own_and_a_users_own_options_still_work(lites: Databases) -> None:
    model = declare(registry=lites, table_name="things", my_option=7, indexes=(), only_save_dirty=True)
    assert (model._meta.table_name, model._meta.my_option, model._meta.only_save_dirty) == ("things", 7, True)
    assert declare(model)._meta.only_save_dirty


def test_options_are_inherited_and_overridden(lites: Databases) -> None:
    base = declare(registry=lites, db_name="other", db_pinned=True, managed=False)
    child, grandchild = declare(base), declare(declare(base))
    home = declare(base, db_name="third", db_pinned=False, managed=True)
    for model in (child, grandchild):
        with use_db("third"):
            assert current_db(model) == "other"
        assert not model._meta.home.managed
    with use_db("default"):
        assert current_db(home) == "default"
    assert current_db(home) == "third"
    assert home._meta.home.managed
    assert home._meta.home.registry is lites


def test_a_plain_class_in_the_middle_does_not_stop_inheritance(lites: Databases) -> None:
    class Base(Model):
        class Meta:
            registry = lites
            db_name = "other"

    class Middle(Base):
        pass

    class Leaf(Middle):
        name = CharField()

        class Meta:
            table_name = "leaves"

    assert (current_db(Middle), current_db(Leaf)) == ("other", "other")


def test_meta_classes_may_derive_from_one_another(lites: Databases) -> None:
    class Base(Model):
        class Meta:
            registry = lites
            db_name = "other"

    meta = type("Meta", (), {"registry": lites, "db_name": "third", "db_pinned": True})

    class Left(Base):
        class Meta(meta):
            table_name = "left"

    class Right(Base):
        class Meta(meta):
            db_name = "default"

    assert (current_db(Left), Left._meta.table_name) == ("third", "left")
    assert (current_db(Right), Right._meta.home.pinned) == ("default", True)


def test_plain_mixins_with_a_meta_count(lites: Databases) -> None:
    class Archived:
        class Meta:
            db_name = "third"

    class Pinned:
        class Meta:
            db_pinned = True

    base = base_model(lites, db_name="other")

    class Thing(Archived, Pinned, base):
        name = CharField()

    class Own(Archived, base):
        class Meta:
            db_name = "default"

    class Later(base, Archived):
        pass

    assert (current_db(Thing), Thing._meta.home.pinned) == ("third", True)
    assert current_db(Own) == "default"
    assert current_db(Later) in ("third", "other")


def test_several_bases_give_what_peewee_would_take(lites: Databases) -> None:
    left = declare(registry=lites, db_name="other")
    right = declare(registry=lites, db_name="third", managed=False)

    class Both(left, right):
        name = CharField()

    # As with Peewee's options: the first base that has one counts.
    assert current_db(Both) == "other"
    assert not Both._meta.home.managed


def test_database_and_db_name_replace_each_other_down_the_line(lites: Databases) -> None:
    named = declare(registry=lites, db_name="other")
    bound = declare(named, database=lites["third"])
    named_again = declare(bound, db_name="default")
    assert [current_db(model) for model in (named, bound, declare(bound), named_again)] == [
        "other",
        "third",
        "third",
        "default",
    ]
    assert bound._meta.database is lites["third"]
    with use_db("default"):
        assert current_db(bound) == "default"


def test_no_home_is_inherited_too(lites: Databases) -> None:
    base = declare(registry=lites, db_name=None)
    child = declare(base)
    assert child._meta.home.name is None
    with use_db("third"):
        assert current_db(child) == "third"
    assert current_db(declare(base, db_name="other")) == "other"


def test_a_function_as_db_name_may_be_written_inside_meta(lites: Databases) -> None:
    class Visit(Model):
        region = CharField()

        class Meta:
            registry = lites
            shard_key = "region"
            shards = ("other", "third")

            def db_name(region: str) -> str:
                return {"eu": "other", "us": "third"}[region]

    class Static(Visit):
        class Meta:
            @staticmethod
            def db_name(region: str) -> str:
                return "third"

            shard_key = "region"
            shards = ("third",)

    Visit.create_table()
    assert database_of(Visit.create(region="eu")) == "other"
    assert database_of(Visit.create(region="us")) == "third"
    assert Static._meta.home.rule.shard_of("anything") == "third"


def test_sharding_options_are_inherited_as_one(lites: Databases) -> None:
    base = declare(
        registry=lites, db_name=lambda key: "other", shard_key="k", shards=("other",), body={"k": CharField()}
    )
    child = declare(base)
    assert (child._meta.home.names, child._meta.home.shard_key) == (("other",), ("k",))
    named = declare(base, db_name="third", shard_key=None, shards=None)
    assert (current_db(named), named._meta.home.rule) == ("third", None)


def test_a_tuple_bounds_where_scopes_may_take_a_model(lites: Databases) -> None:
    model = declare(registry=lites, db_name=["other", "third"])
    assert current_db(model) == "other"
    with use_db("third"):
        assert current_db(model) == "third"
    with use_db("default"), pytest.raises(DatabaseNotAllowed):
        current_db(model)


def test_rule_11_models_are_defined_before_the_registry_is_configured(tmp_path: Any) -> None:
    own = Databases()
    base = base_model(own)

    class Tag(base):
        name = CharField()

    class Note(base):
        tag = ForeignKeyField(Tag, backref="notes")
        tags = peewee.ManyToManyField(Tag)
        data = peewee.JSONField(null=True)
        blob = peewee.BlobField(null=True)

    query = Note.select().where(Note.data["a"] == 1)
    with pytest.raises(UnknownDatabase, match="nothing is configured yet"):
        list(query)
    own.configure({"default": f"sqlite:///{tmp_path}/late.db"})
    own.create_tables([Tag, Note, Note.tags.get_through_model()])
    Note.create(tag=Tag.create(name="t"), data={"a": 1}, blob=b"\x00")
    assert [note.tag.name for note in query] == ["t"]
    own.close_all()


def test_rule_11_nothing_connects_before_the_first_query(tmp_path: Any) -> None:
    own = Databases({"default": f"sqlite:///{tmp_path}/untouched.db"})

    class Thing(base_model(own)):
        data = peewee.JSONField()

    query = Thing.select().where(Thing.data["a"] == 1).using("default")
    with use_db("default"):
        assert query.sql() and repr(Thing) and repr(Thing._meta.database) and Thing._meta.table
    assert not (tmp_path / "untouched.db").exists()


def test_registries_are_apart(lites: Databases, tmp_path: Any) -> None:
    more = Databases({"default": f"sqlite:///{tmp_path}/more.db", "only here": f"sqlite:///{tmp_path}/only.db"})
    ours, theirs = declare(registry=lites), declare(registry=more)
    for model in (ours, theirs):
        model.create_table()
        with use_db("default"):
            model.create()
    assert (lites["default"].get_tables(), more["default"].get_tables()) == (["thing"], ["thing"])
    with use_db("only here"), pytest.raises(UnknownDatabase):
        list(ours.select())
    assert declare()._meta.home.registry is databases
    more.close_all()


def test_thread_safe_metadata_keeps_its_threads_apart(lites: Databases) -> None:
    model = declare(
        registry=lites, model_metadata_class=ThreadSafeDatabaseMetadata, body={"name": CharField()}
    )
    for name in lites:
        with use_db(name):
            model.create_table()
            model.create(name=name)
    found: dict[str, Any] = {}
    inside, done = threading.Event(), threading.Event()

    def other_thread() -> None:
        model.bind(lites["third"])
        found["bound"] = model.get().name
        inside.set()
        done.wait()
        with use_db("other"):
            found["scoped"] = model.get().name
        lites.close()

    thread = threading.Thread(target=other_thread)
    thread.start()
    inside.wait()
    found["here"] = model.get().name
    done.set()
    thread.join()
    assert found == {"bound": "third", "here": "default", "scoped": "other"}
    assert isinstance(model._meta, ThreadSafeDatabaseMetadata)
    assert declare(model)._meta.__class__ is model._meta.__class__


def test_a_metadata_class_of_the_users_own_is_asked(lites: Databases) -> None:
    class Shouting(peewee.Metadata):
        def make_table_name(self) -> str:
            return super().make_table_name().upper()

    class Loud(peewee.SchemaManager):
        def _create_table(self, safe: bool = True, **options: Any) -> Any:
            return super()._create_table(safe, **options).literal(" -- loud")

    model = declare(registry=lites, model_metadata_class=Shouting, schema_manager_class=Loud)
    child = declare(model, body={"n": IntegerField(null=True)})
    for one in (model, child):
        assert one._meta.table_name == "THING"
        assert isinstance(one._schema, Loud)
    with sent_to(lites) as sent, use_db("third"):
        child.create_table()
    assert sent.where() == ["third"]
    assert "loud" in sent.log[0][1]


def test_a_subclass_aware_metadata_sees_ours(lites: Databases) -> None:
    base = declare(registry=lites, model_metadata_class=peewee.SubclassAwareMetadata)
    child = declare(base)
    seen: list[Any] = []
    base._meta.map_models(seen.append)
    assert base in seen and child in seen
    peewee.SubclassAwareMetadata.models.clear()


def test_models_that_nobody_needs_any_more_are_let_go(lites: Databases) -> None:
    def make() -> Any:
        model = declare(registry=lites, body={"name": CharField(), "data": peewee.JSONField(null=True)})
        model.create_table(safe=True)
        model.create(name="x")
        list(model.select())
        return weakref.ref(model)

    gone = make()
    gc.collect()
    assert gone() is None
