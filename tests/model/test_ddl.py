"""Rule 6: DDL goes where the model lives, and a foreign key to another database makes no constraint."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import CharField, DeferredForeignKey, ForeignKeyField, IntegerField, ManyToManyField

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    Databases,
    NoDatabaseSelected,
    ReadOnlyDatabase,
    use_db,
    use_replica,
)
from tests.model.conftest import ENGINES, LITES, base_model, sent_to


def where(own: Databases, table: str) -> list[str]:
    """Return the names of the databases that have the table, by asking the servers."""
    return [name for name in own.names if table in own[name].get_tables()]


def test_a_model_is_created_and_dropped_at_its_home(lites: Databases) -> None:
    class Thing(base_model(lites, db_name="other")):
        name = CharField(index=True)

    Thing.create_table()
    assert where(lites, "thing") == ["other"]
    assert Thing.table_exists()
    assert [index.columns for index in lites["other"].get_indexes("thing")] == [["name"]]
    Thing.drop_table()
    assert where(lites, "thing") == []
    assert not Thing.table_exists()


def test_a_scope_says_where_and_table_exists_asks_there(lites: Databases, base: Any) -> None:
    class Thing(base):
        name = CharField(unique=True)

    with use_db("third"):
        Thing.create_table()
        assert Thing.table_exists()
    assert not Thing.table_exists()
    with use_db(default="other"):
        Thing.create_table()
    with use_db("default", Thing):
        Thing.create_table()
    assert where(lites, "thing") == list(LITES)
    with use_db("third"):
        Thing.drop_table()
    assert where(lites, "thing") == ["default", "other"]


def test_twice_changes_nothing(lites: Databases) -> None:
    class Thing(base_model(lites, db_name="other")):
        name = CharField(index=True)

    for _ in range(2):
        lites.create_tables([Thing])
        Thing.create_table()
    Thing.create(name="kept")
    lites.create_tables([Thing])
    assert Thing.get().name == "kept"
    with pytest.raises(peewee.OperationalError, match="already exists"):
        lites.create_tables([Thing], safe=False)
    for _ in range(2):
        lites.drop_tables([Thing])
    with pytest.raises(peewee.OperationalError, match="no such table"):
        lites.drop_tables([Thing], safe=False)


def test_the_registry_creates_parents_first_on_each_server(engines: Databases) -> None:
    for name in ENGINES:

        class User(base_model(engines, db_name=name)):
            name = CharField()

        class Post(base_model(engines, db_name=name)):
            user = ForeignKeyField(User)

        class Comment(base_model(engines, db_name=name)):
            post = ForeignKeyField(Post)
            user = ForeignKeyField(User)

        models = [Comment, Post, User]
        engines.create_tables(models)
        assert {"user", "post", "comment"} <= set(engines[name].get_tables())
        assert len(engines[name].get_foreign_keys("comment")) == 2
        engines.create_tables(models)
        engines.drop_tables(models)
        engines.drop_tables(models)
        assert engines[name].get_tables() == []


def test_the_first_of_several_names_is_home(lites: Databases) -> None:
    class Thing(base_model(lites, db_name=("other", "third"))):
        name = CharField()

    Thing.create_table()
    assert where(lites, "thing") == ["other"]
    with use_db("third"):
        Thing.create_table()
    assert where(lites, "thing") == ["other", "third"]
    with use_db("default"), pytest.raises(DatabaseNotAllowed, match="Thing may not be sent"):
        Thing.create_table()


def by_region(region: str) -> str:
    return {"eu": "other", "us": "third"}[region]


@pytest.fixture
def visit(lites: Databases) -> Any:
    class Visit(base_model(lites, db_name=by_region, shard_key="region", shards=("other", "third"))):
        region = CharField(index=True)

    return Visit


def test_every_shard_has_the_table(lites: Databases, visit: Any) -> None:
    for _ in range(2):
        visit.create_table()
        assert where(lites, "visit") == ["other", "third"]
    visit.create(region="eu")
    visit.create(region="us")
    visit.truncate_table()
    assert [visit.select().using(name).count() for name in ("other", "third")] == [0, 0]
    with use_db("other"):
        visit.drop_table()
    assert where(lites, "visit") == ["third"]
    visit.drop_table()
    assert where(lites, "visit") == []


def test_a_rename_moves_one_shard(lites: Databases, visit: Any) -> None:
    with use_db(other="default"):
        visit.create_table()
    assert where(lites, "visit") == ["default", "third"]


def test_unmanaged_models_are_never_touched(lites: Databases) -> None:
    class Vendor(base_model(lites, managed=False)):
        name = CharField(index=True)

    class Ours(base_model(lites)):
        name = CharField()

    lites["default"].execute_sql("CREATE TABLE vendor (id INTEGER PRIMARY KEY, name TEXT)")
    Vendor.create(name="kept")
    with sent_to(lites) as sent:
        Vendor.create_table()
        Vendor.drop_table()
        lites.drop_tables([Vendor])
        for refused in (
            Vendor.truncate_table,
            Vendor._schema.create_all,
            Vendor._schema.create_table,
            Vendor._schema.drop_table,
            Vendor._schema.create_indexes,
            Vendor._schema.truncate_table,
        ):
            with pytest.raises(ConfigurationError, match="managed = False"):
                refused()
        with use_db("other"):
            Vendor.create_table()
    assert sent.log == []
    lites.create_tables([Vendor, Ours])
    assert (Vendor.get().name, Ours.select().count()) == ("kept", 0)


def test_read_only_databases_are_refused_before_anything_is_sent(lites: Databases, tmp_path: Any) -> None:
    lites.add("frozen", f"sqlite:///{tmp_path}/frozen.db", read_only=True)

    class Thing(base_model(lites, db_name="frozen")):
        name = CharField()

    class Spread(
        base_model(lites, db_name=lambda n: "frozen", shard_key="n", shards=("default", "frozen"))
    ):
        n = IntegerField()

    with sent_to(lites) as sent:
        for ddl in (Thing.create_table, Thing.drop_table, Thing.truncate_table, Spread.create_table):
            with pytest.raises(ReadOnlyDatabase, match="'frozen'"):
                ddl()
        with use_db("default"), use_replica(), pytest.raises(ReadOnlyDatabase, match="use_replica"):
            Thing.create_table()
    assert sent.log == []


def test_a_model_without_a_home_needs_a_scope(lites: Databases) -> None:
    class Tenant(base_model(lites, db_name=None)):
        name = CharField()

    with pytest.raises(NoDatabaseSelected, match="Tenant has no home"):
        Tenant.create_table()
    for name in ("other", "third"):
        with use_db(name):
            lites.create_tables([Tenant])
    assert where(lites, "tenant") == ["other", "third"]


def test_truncate_empties_only_the_home(engines: Databases) -> None:
    class Thing(base_model(engines, db_name="lite")):
        name = CharField()

    for name in ENGINES:
        with use_db(name):
            Thing.create_table()
            Thing.create(name=name)
    for name in ENGINES:
        with use_db(name):
            Thing.truncate_table()
            assert Thing.select().count() == 0
        later = ENGINES[ENGINES.index(name) + 1 :]
        assert all(Thing.select().using(other).count() == 1 for other in later)


@pytest.mark.parametrize("name", ENGINES)
def test_only_a_foreign_key_of_one_database_makes_a_constraint(engines: Databases, name: str) -> None:
    elsewhere = ENGINES[ENGINES.index(name) - 1]

    class Far(base_model(engines, db_name=elsewhere)):
        code = CharField(primary_key=True, max_length=10)

    class Near(base_model(engines, db_name=name)):
        code = CharField(max_length=10, unique=True)

    class Row(base_model(engines, db_name=name)):
        far = ForeignKeyField(Far, on_delete="CASCADE")
        near = ForeignKeyField(Near, field="code", on_delete="CASCADE", null=True)
        parent = ForeignKeyField("self", null=True)

    models = [Far, Near, Row]
    for _ in range(2):
        engines.create_tables(models)
    keys = sorted((key.column, key.dest_table) for key in engines[name].get_foreign_keys("row"))
    assert keys == [("near_id", "near"), ("parent_id", "row")]
    indexed = sorted(index.columns for index in engines[name].get_indexes("row"))
    assert [columns for columns in indexed if columns != ["id"]] == [["far_id"], ["near_id"], ["parent_id"]]
    with pytest.raises(peewee.IntegrityError):
        Row.create(far="x", near="missing")
    Far.create(code="x")
    Near.create(code="y")
    row = Row.create(far="x", near="y")
    assert (row.refresh().far.code, row.near.code) == ("x", "y")
    assert [one.id for one in Far.get().row_set] == [row.id]
    with pytest.raises(CrossDatabaseQuery, match="another database"):
        Row._schema.create_foreign_key(Row.far)
    Near.delete().execute()
    assert Row.select().count() == 0


def test_a_scope_that_parts_or_joins_two_models_counts_for_constraints(lites: Databases) -> None:
    class Far(base_model(lites, db_name="other")):
        name = CharField()

    class Row(base_model(lites)):
        far = ForeignKeyField(Far)

    lites.create_tables([Far, Row])
    assert lites["default"].get_foreign_keys("row") == []
    with use_db("third"):
        lites.create_tables([Far, Row])
    assert len(lites["third"].get_foreign_keys("row")) == 1
    with use_db("other", Row):
        Row.create_table()
    assert len(lites["other"].get_foreign_keys("row")) == 1


def test_deferred_keys_and_through_models_across_databases(lites: Databases) -> None:
    class Row(base_model(lites)):
        far = DeferredForeignKey("Distant", null=True)

    class Distant(base_model(lites, db_name="other")):
        rows = ManyToManyField(Row, backref="distants")

    Link = Distant.rows.get_through_model()
    for _ in range(2):
        lites.create_tables([Row, Distant, Link])
    assert where(lites, "row") == ["default"]
    assert where(lites, Link._meta.table_name) == ["other"]
    assert [key.dest_table for key in lites["other"].get_foreign_keys(Link._meta.table_name)] == ["distant"]
    assert lites["default"].get_foreign_keys("row") == []


def test_the_foreign_key_itself_is_left_as_it_was(lites: Databases) -> None:
    class Far(base_model(lites, db_name="other")):
        name = CharField()

    class Row(base_model(lites)):
        far = ForeignKeyField(Far)

    before = (Row.far.deferred, Row._meta.sorted_fields, Row._schema.model)
    Row.create_table()
    assert (Row.far.deferred, Row._meta.sorted_fields, Row._schema.model) == before
    assert Row._meta.sorted_fields[1] is Row.far


def test_schemas_of_postgresql(postgres_urls: Any) -> None:
    own = Databases(dict(zip(("default", "other"), postgres_urls(2), strict=True)))

    class Thing(base_model(own, schema="box")):
        name = CharField(index=True)

        class Meta:
            indexes = ((("name", "id"), True),)

    for name in own:
        with use_db(name):
            own[name].execute_sql("CREATE SCHEMA box")
            for _ in range(2):
                Thing.create_table()
            assert Thing.table_exists()
            Thing.create(name=name)
        assert own[name].get_tables("box") == ["thing"]
        assert own[name].get_tables() == []
        assert len(own[name].get_indexes("thing", "box")) == 3
    assert Thing.select().using("other").get().name == "other"
    Thing.drop_table()
    assert (own["default"].get_tables("box"), own["other"].get_tables("box")) == ([], ["thing"])
    own.close_all()


@pytest.mark.parametrize("name", ENGINES)
def test_temporary_tables(engines: Databases, name: str) -> None:
    class Scratch(base_model(engines, db_name=name)):
        n = IntegerField()

        class Meta:
            temporary = True

    Scratch.create_table()
    Scratch.create(n=4)
    assert Scratch.get().n == 4
    engines.close()
    with pytest.raises(peewee.DatabaseError):
        Scratch.get()


def test_create_table_as_and_indexes_added_later(lites: Databases) -> None:
    class Thing(base_model(lites, db_name="other")):
        name = CharField()
        n = IntegerField()

    Thing.add_index(Thing.n, Thing.name, unique=True)
    Thing.create_table()
    assert [index.unique for index in lites["other"].get_indexes("thing")] == [True]
    Thing.create(name="a", n=1)
    Thing.select(Thing.name).create_table("names")
    assert where(lites, "names") == ["other"]
