"""Migrations written from differences: run, they leave none; run back, they are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from peewee import SQL, CharField, ForeignKeyField, IntegerField, TextField

from peewee_multidb import Databases, errors
from peewee_multidb.schema import Migrations, compare, create
from tests.schema.conftest import ENGINES, base_of
from tests.schema.test_comparing import same


def old_and_new(own: Databases, name: str) -> tuple[list[Any], list[Any]]:
    def of(**options: Any) -> Any:
        return base_of(own, db_name=name, **options)

    class Owner(of()):
        name = CharField(50)
        n = IntegerField(null=True)
        gone = IntegerField(null=True)

    class NewOwner(of()):
        name = CharField(90, index=True)
        n = IntegerField()
        city = CharField(30, default="Rome")

        class Meta:
            table_name = "owner"

    class Pet(of()):
        owner = ForeignKeyField(NewOwner, on_delete="CASCADE")
        note = TextField(null=True)

        class Meta:
            indexes = ((("owner", "id"), True),)

    return [Owner], [NewOwner, Pet]


@pytest.mark.parametrize("name", ENGINES)
def test_what_is_written_brings_the_database_to_the_models(
    engines: Databases, tmp_path: Path, name: str
) -> None:
    old, new = old_and_new(engines, name)
    create(old, registry=engines).raise_for_failures()
    before = compare(new, registry=engines)
    assert {one.kind for one in before} >= {"type", "null", "missing column", "extra column", "missing table"}
    migrations = Migrations(tmp_path / "m", engines, models=new)
    (path,) = migrations.make("grow", [name])
    text = Path(path).read_text()
    assert f"databases = ('{name}',)" in text and "# By hand: " in text and "TODO" not in text
    migrations.up().raise_for_failures()
    assert same(compare(new, registry=engines)), text
    assert migrations.make("again", [name]) == []
    assert [one.name for one in migrations.files()] == ["0001_grow"]


def test_databases_that_need_the_same_share_a_file(lites: Databases, tmp_path: Path) -> None:
    class Visit(base_of(lites, db_name=lambda key: key, shard_key="key", shards=("a", "b", "c"))):
        key = CharField()

    class User(base_of(lites, db_name="d")):
        name = CharField()

    class Order(base_of(lites, db_name="c")):
        user = ForeignKeyField(User)
        twin = ForeignKeyField("self", null=True)

    class Vendor(base_of(lites, db_name="a", managed=False)):
        name = CharField()

    models = [Visit, User, Order, Vendor]
    migrations = Migrations(tmp_path / "m", lites, models=models)
    paths = migrations.make("start")
    texts = [Path(path).read_text() for path in paths]
    assert ["databases = ('a', 'b')" in text for text in texts].count(True) == 1
    assert all("vendor" not in text for text in texts)
    migrations.up().raise_for_failures()
    assert same(compare([Visit, User, Order], registry=lites))
    assert "user_id" in [column.name for column in lites["c"].get_columns("order")]
    assert [key.dest_table for key in lites["c"].get_foreign_keys("order")] == ["order"]
    migrations.down(target="0001").raise_for_failures()
    assert all(not {"visit", "user", "order"} & set(lites[name].get_tables()) for name in lites)


def test_one_file_for_all_says_no_names(lites: Databases, tmp_path: Path) -> None:
    class Copy(base_of(lites, db_name=("a", "b", "c", "d"), reference=True)):
        name = CharField(constraints=[SQL("DEFAULT 'x'")])

    migrations = Migrations(tmp_path / "m", lites, models=[Copy])
    create([Copy], registry=lites)
    for name in lites:
        lites[name].execute_sql("ALTER TABLE copy ADD COLUMN more INTEGER")
    (path,) = migrations.make("drop more")
    assert "databases" not in Path(path).read_text()
    migrations.up().raise_for_failures()
    assert same(compare([Copy], registry=lites))
    Copy.name.constraints = [SQL("DEFAULT 'y'")]
    (path,) = migrations.make("by hand")
    assert "# By hand: the default of copy.name is 'x', and Copy says 'y'" in Path(path).read_text()


def test_nothing_is_written_while_something_is_pending(lites: Databases, three: Path) -> None:
    class User(base_of(lites, db_name="a")):
        name = CharField()

    with pytest.raises(errors.MigrationError, match="has to be applied first, in a, b, c, d"):
        Migrations(three, lites, models=[User]).make("x")
    with pytest.raises(errors.MigrationError, match="hand them to Migrations"):
        Migrations(three, lites).make("x")
