"""Tests that really commit: what they wrote stays, or the tables of managed models are emptied."""

from __future__ import annotations

from tests.testing.plugin.conftest import Run

MODELS = """
        from peewee import CharField, ForeignKeyField, IntegerField
        from peewee_multidb import Model

        class Owner(Model):
            name = CharField()

        class Pet(Model):
            owner = ForeignKeyField(Owner)

        class Vendor(Model):
            id = IntegerField(primary_key=True)
            name = CharField()

            class Meta:
                managed = False

        TABLE = "CREATE TABLE vendor (id INTEGER PRIMARY KEY, name VARCHAR(20))"

        @pytest.fixture(scope="module", autouse=True)
        def tables(made):
            databases.create_tables([Owner, Pet])
            databases["default"].execute_sql(TABLE)
            yield
            databases.close()
"""


def test_without_a_transaction_all_is_as_in_production(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        @pytest.mark.databases("default", transaction=False)
        def test_committed():
            called = []
            with atomic("default"):
                Note.create(text="a")
                databases["default"].after_commit(lambda: called.append(1))
            assert called == [1]
            databases["default"].execute_sql("CREATE TABLE made_here (n INT)")
            databases.close()

        def test_it_stays():
            assert Note.select().count() == 1
            assert databases["default"].table_exists("made_here")
            databases.close()
        """,
    )
    result.assert_outcomes(passed=2)


def test_tables_of_managed_models_are_emptied_where_it_wrote(project: Run, url: str) -> None:
    result = project(
        {"default": url, "other": "sqlite:///other.db"},
        MODELS
        + """
        @pytest.mark.parametrize("turn", [1, 2])
        @pytest.mark.databases("default", "other", transaction=False, truncate=True)
        def test_written(turn):
            assert Owner.select().count() == Pet.select().count() == 0
            Pet.create(owner=Owner.create(name="Ada"))
            Vendor.insert(id=turn, name="stays").execute()
            assert Note.select().using("other").count() == 1

        @pytest.mark.databases("default", "other", transaction=False, truncate=True)
        def test_only_read():
            assert Vendor.select().count() == 2
            assert Owner.select().count() == Pet.select().count() == 0
            with pytest.raises(peewee.IntegrityError):
                # Foreign keys are enforced as before.
                Pet.create(owner=999)

        @pytest.fixture(scope="module", autouse=True)
        def other(tables):
            with use_db("other"):
                Note.create(text="was there before")
            yield
        """,
    )
    result.assert_outcomes(passed=3)


def test_an_asynchronous_database_is_not_emptied_and_that_is_said(project: Run) -> None:
    result = project(
        {"default": "sqlite+aiosqlite:///a.db"},
        """
        @pytest.mark.databases("default", transaction=False, truncate=True)
        async def test_written():
            await Note.acreate(text="a")
            await databases.aclose_all()
        """,
    )
    result.assert_outcomes(passed=1, errors=1)
    assert "IsolationError: database 'default' is asynchronous: truncate=True" in result.stdout.str()
