"""The operations of playhouse.migrate, on a table with rows, indexes, defaults and a foreign key."""

from __future__ import annotations

import datetime
from typing import Any

import peewee
import pytest
from peewee import SQL, BigIntegerField, CharField, Check, DateTimeField, ForeignKeyField, IntegerField
from playhouse.migrate import migrate

from peewee_multidb.drivers.mssql import VarCharField
from peewee_multidb.drivers.mssql.migrate import MSSQLMigrator
from tests.drivers.mssql.real import not_on_babelfish


class Migrated:
    """Two tables with rows, and the migrator of their database."""

    def __init__(self, database: Any) -> None:
        class Person(peewee.Model):
            name = CharField(50, index=True)
            code = VarCharField(20, null=True)
            n = IntegerField(constraints=[SQL("DEFAULT 5")])

            class Meta:
                table_name = "person"

        class Pet(peewee.Model):
            owner = ForeignKeyField(Person, on_delete="CASCADE")

            class Meta:
                table_name = "pet"

        self.database = database
        self.person, self.pet = Person, Pet
        database.bind([Person, Pet])
        database.create_tables([Person, Pet])
        for name in ("Ann", "Bob"):
            Person.create(name=name, code=name[0], n=len(name))
        Pet.create(owner=1)
        self.migrator = MSSQLMigrator.from_database(database)

    def column(self, name: str, table: str = "person") -> Any:
        return {one.name: one for one in self.database.get_columns(table)}[name]

    def names(self, table: str = "person") -> list[str]:
        return [one.name for one in self.database.get_columns(table)]

    def indexed(self, table: str = "person") -> set[tuple[tuple[str, ...], bool]]:
        return {(tuple(one.columns), one.unique) for one in self.database.get_indexes(table)}

    def rows(self, columns: str, table: str = "person") -> list[Any]:
        found = self.database.execute_sql(f"SELECT {columns} FROM {table} ORDER BY id")
        return [tuple(row) for row in found.fetchall()]


@pytest.fixture
def world(mssql: Any) -> Migrated:
    return Migrated(mssql)


def test_a_column_that_can_be_null_is_added(world: Migrated) -> None:
    migrate(world.migrator.add_column("person", "born", DateTimeField(null=True)))
    assert world.column("born").null
    assert world.rows("name, born") == [("Ann", None), ("Bob", None)]


@not_on_babelfish("ALTER COLUMN ... NOT NULL")
def test_a_column_that_cannot_is_filled_with_its_default_first(world: Migrated) -> None:
    migrate(world.migrator.add_column("person", "city", CharField(30, default="Rome", index=True)))
    assert (world.column("city").null, world.column("city").full_type) == (False, "nvarchar(30)")
    assert world.rows("name, city") == [("Ann", "Rome"), ("Bob", "Rome")]
    assert (("city",), False) in world.indexed()


def test_a_column_without_either_is_refused_by_peewee(world: Migrated) -> None:
    with pytest.raises(ValueError, match="city is not null but has no default"):
        migrate(world.migrator.add_column("person", "city", CharField()))


def test_a_unique_column_lets_nulls_pass(world: Migrated) -> None:
    if world.database.version.major < 10:
        with pytest.raises(peewee.NotSupportedError, match="filtered indexes"):
            migrate(world.migrator.add_column("person", "mail", CharField(null=True, unique=True)))
        return
    migrate(world.migrator.add_column("person", "mail", CharField(null=True, unique=True)))
    assert (("mail",), True) in world.indexed()
    world.database.execute_sql("UPDATE person SET mail = N'a' WHERE id = 1")
    with pytest.raises(peewee.IntegrityError):
        world.database.execute_sql("UPDATE person SET mail = N'a' WHERE id = 2")


def test_a_foreign_key_is_added_with_its_constraint_and_dropped_with_it(world: Migrated) -> None:
    field = ForeignKeyField(world.pet, world.pet.id, null=True)
    migrate(world.migrator.add_column("person", "pet_id", field))
    (key,) = world.database.get_foreign_keys("person")
    assert (key.column, key.dest_table, key.dest_column) == ("pet_id", "pet", "id")
    if world.database.is_babelfish:
        migrate(world.migrator.drop_foreign_key_constraint("person", "pet_id"))
        assert world.database.get_foreign_keys("person") == []
        return
    migrate(world.migrator.drop_column("person", "pet_id"))
    assert "pet_id" not in world.names()


def test_a_foreign_key_constraint_is_dropped_alone(world: Migrated) -> None:
    migrate(world.migrator.drop_foreign_key_constraint("pet", "owner_id"))
    assert world.database.get_foreign_keys("pet") == []
    assert world.rows("owner_id", "pet") == [(1,)]


def test_columns_and_tables_are_renamed_whatever_their_names(world: Migrated) -> None:
    odd = "we ird 'code'" if world.database.is_babelfish else "we]ird 'code'"
    migrate(world.migrator.rename_column("person", "code", odd))
    assert odd in world.names()
    migrate(world.migrator.rename_column("person", odd, "code"))
    migrate(world.migrator.rename_table("pet", "animal"))
    assert world.database.get_tables() == ["animal", "person"]
    assert world.rows("owner_id", "animal") == [(1,)]


@not_on_babelfish("dropping the default of a column by its name")
def test_a_column_is_dropped_with_its_default_its_indexes_and_its_checks(world: Migrated) -> None:
    migrate(
        world.migrator.add_constraint("person", "positive", Check("[n] > 0")),
        world.migrator.add_index("person", ("n", "name")),
        world.migrator.drop_column("person", "n"),
        world.migrator.drop_column("person", "name"),
    )
    assert world.names() == ["id", "code"]
    assert world.indexed() == {(("id",), True)}


@not_on_babelfish("ALTER COLUMN ... NOT NULL, and the names of indexes in the catalog")
def test_nullability_changes_under_an_index_that_is_there_again_afterwards(world: Migrated) -> None:
    before = world.indexed()
    migrate(world.migrator.drop_not_null("person", "name"))
    assert world.column("name").null
    migrate(world.migrator.add_not_null("person", "name"))
    assert not world.column("name").null
    assert world.column("name").full_type == "nvarchar(50)"
    assert world.indexed() == before
    with pytest.raises(ValueError, match="Primary keys can not be null"):
        migrate(world.migrator.drop_not_null("person", "id"))


@not_on_babelfish("dropping the default of a column by its name")
def test_a_type_changes_and_nullability_default_and_rows_stay(world: Migrated) -> None:
    migrate(
        world.migrator.alter_column_type("person", "n", BigIntegerField()),
        world.migrator.alter_column_type("person", "code", VarCharField(99)),
    )
    assert (world.column("n").full_type, world.column("n").null) == ("bigint", False)
    assert (world.column("code").full_type, world.column("code").null) == ("varchar(99)", True)
    world.database.execute_sql("INSERT INTO person (name) VALUES (N'Cid')")
    assert world.rows("n, code") == [(3, "A"), (3, "B"), (5, None)]
    with pytest.raises(ValueError, match="does not support cast"):
        migrate(world.migrator.alter_column_type("person", "n", IntegerField(), cast="x"))


@not_on_babelfish("dropping the default of a column by its name")
def test_a_default_takes_the_place_of_another(world: Migrated) -> None:
    migrate(
        world.migrator.add_column_default("person", "n", 7),
        world.migrator.add_column_default("person", "code", "it's"),
    )
    world.database.execute_sql("INSERT INTO person (name) VALUES (N'Cid')")
    assert world.rows("n, code")[-1] == (7, "it's")
    migrate(world.migrator.drop_column_default("person", "code"))
    assert world.column("code").default is None
    migrate(world.migrator.drop_column_default("person", "code"))
    with pytest.raises(ValueError, match="must be not None"):
        migrate(world.migrator.add_column_default("person", "code", None))


def test_a_default_is_a_call_or_an_expression_too(world: Migrated) -> None:
    migrate(
        world.migrator.add_column("person", "at", DateTimeField(null=True)),
        world.migrator.add_column_default("person", "at", "GETDATE()"),
        world.migrator.add_column_default("person", "code", lambda: "x"),
    )
    world.database.execute_sql("INSERT INTO person (name) VALUES (N'Cid')")
    at, code = world.rows("at, code")[-1]
    assert isinstance(at, datetime.datetime)
    assert code == "x"


def test_indexes_and_constraints_come_and_go(world: Migrated) -> None:
    migrate(
        world.migrator.add_index("person", ("code", "n")),
        world.migrator.add_unique("person", "name", "n"),
        world.migrator.add_constraint("person", "positive", Check("n > 0")),
    )
    assert {(("code", "n"), False), (("name", "n"), True)} <= world.indexed()
    with pytest.raises(peewee.IntegrityError):
        world.database.execute_sql("UPDATE person SET n = 0")
    migrate(
        world.migrator.drop_index("person", "person_code_n"),
        world.migrator.drop_constraint("person", "uniq_name_n"),
        world.migrator.drop_constraint("person", "positive"),
    )
    assert world.indexed() == {(("id",), True), (("name",), False)}
    world.database.execute_sql("UPDATE person SET n = 0")


def test_a_migration_that_fails_leaves_nothing(world: Migrated) -> None:
    with pytest.raises(peewee.DatabaseError), world.migrator.migration_context():
        migrate(
            world.migrator.add_column("person", "born", DateTimeField(null=True)),
            world.migrator.drop_table("nowhere"),
        )
    assert "born" not in world.names()


def test_a_column_that_is_not_there_is_named(world: Migrated) -> None:
    with pytest.raises(ValueError, match="table 'person' has no column 'nmae'"):
        migrate(world.migrator.add_not_null("person", "nmae"))


def test_a_table_in_a_schema_is_changed_there(world: Migrated) -> None:
    if world.database.version.major < 9:
        return  # 2000 has owners and no schemas
    world.database.execute_sql("CREATE SCHEMA hr")
    world.database.execute_sql("CREATE TABLE hr.person (id INT NOT NULL PRIMARY KEY)")
    migrator = MSSQLMigrator(world.database, schema="hr")
    migrate(
        migrator.add_column("person", "x", IntegerField(null=True)),
        migrator.add_index("person", ("x",)),
        migrator.rename_column("person", "x", "y"),
        migrator.drop_index("person", "person_x"),
    )
    assert [one.name for one in world.database.get_columns("person", "hr")] == ["id", "y"]
    assert "y" not in world.names()
    migrate(migrator.drop_table("person", safe=True), migrator.drop_table("person", safe=True))
    assert not world.database.table_exists("person", "hr")
    assert world.database.table_exists("person")


def test_a_database_of_another_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="MSSQLMigrator is for SQL Server"):
        MSSQLMigrator.from_database(peewee.SqliteDatabase(None))
