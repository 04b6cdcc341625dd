"""Which databases a test may use: its mark, the settings of pytest, and what happens elsewhere."""

from __future__ import annotations

import pytest

from tests.testing.plugin.conftest import Run

TWO = {"default": "sqlite:///a.db", "erp": "sqlite:///b.db", "third": "sqlite:///c.db"}

ERP = """
        def erp():
            return Note.select().using("erp").count()
"""


def test_a_database_that_the_mark_does_not_list_is_refused_with_the_way_out(project: Run) -> None:
    result = project(
        TWO,
        ERP
        + """
        @pytest.mark.databases("default", "third")
        def test_refused():
            Note.create(text="a")
            wanted = r"The test uses database 'erp', and may use 'default', 'third'\\. Add 'erp' to its mark"
            with pytest.raises(DatabaseNotAllowed, match=wanted):
                erp()
            with pytest.raises(DatabaseNotAllowed), atomic("erp"):
                pass
            assert Note.select().count() == 1

        @pytest.mark.databases("default", "erp")
        def test_allowed():
            assert erp() == 0
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_connection_that_is_open_already_is_refused_too(project: Run) -> None:
    result = project(
        TWO,
        ERP
        + """
        @pytest.fixture(scope="module", autouse=True)
        def opened(made):
            databases["erp"].connect()
            yield
            assert Note.select().using("erp").count() == 0

        @pytest.mark.databases("default")
        def test_refused():
            with pytest.raises(DatabaseNotAllowed):
                erp()

        @pytest.mark.databases("default", transaction=False)
        def test_refused_without_a_transaction():
            with pytest.raises(DatabaseNotAllowed):
                erp()
        """,
    )
    result.assert_outcomes(passed=2)


def test_the_nearest_mark_counts(project: Run) -> None:
    result = project(
        TWO,
        ERP
        + """
        pytestmark = pytest.mark.databases("default")

        class TestNear:
            pytestmark = pytest.mark.databases("erp")

            def test_class(self, multidb):
                assert multidb.names == {"erp"} and erp() == 0

            @pytest.mark.databases("third")
            def test_function(self, multidb):
                assert multidb.names == {"third"}

        def test_module(multidb):
            assert multidb.names == {"default"}

        @pytest.mark.databases("*")
        def test_all(multidb):
            assert multidb.names is None and erp() == 0
        """,
    )
    result.assert_outcomes(passed=4)


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("default, erp", {"default", "erp"}),
        ("default\n    erp", {"default", "erp"}),
        ("*", None),
        ("none", ()),
    ],
)
def test_without_a_mark_the_settings_of_pytest_say(project: Run, setting: str, names: object) -> None:
    wanted = None if names is None else set(names)  # type: ignore[call-overload]
    result = project(
        TWO,
        ERP
        + f"""
        WANTED = {wanted!r}

        def test_unmarked(multidb):
            assert multidb.names == WANTED
            if WANTED is None or "erp" in WANTED:
                assert erp() == 0
            else:
                with pytest.raises(DatabaseNotAllowed, match="may use no database"):
                    erp()

        @pytest.mark.databases("erp")
        def test_marked():
            assert erp() == 0

        @pytest.mark.databases(transaction=False)
        def test_a_mark_without_names_keeps_them(multidb):
            assert multidb.names == WANTED
        """,
        ini=f"multidb_databases = {setting}",
    )
    result.assert_outcomes(passed=3)


def test_without_a_setting_only_those_that_ask_are_concerned(project: Run) -> None:
    result = project(
        TWO,
        """
        def test_first():
            Note.create(text="really committed")

        def test_fixture(multidb):
            assert multidb.names is None
            Note.delete().execute()

        def test_third():
            assert Note.select().count() == 1
        """,
    )
    result.assert_outcomes(passed=3)


def test_classes_of_unittest_are_concerned_as_well(project: Run) -> None:
    result = project(
        TWO,
        """
        import unittest

        @pytest.mark.databases("default")
        class Case(unittest.TestCase):
            def test_one(self):
                assert Note.select().count() == 0
                Note.create(text="a")

            test_two = test_one

            def test_refused(self):
                with self.assertRaises(DatabaseNotAllowed):
                    Note.select().using("erp").count()
        """,
    )
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("mark", "problem"),
    [
        ("7", "takes database names and after_commit, transaction, truncate, not (7,)"),
        ("'default', transactions=False", "takes database names and after_commit, transaction, truncate"),
        ("'default', after_commit='later'", "after_commit is 'hold' or 'run', not 'later'"),
        ("'default', truncate=True", "truncate=True goes with transaction=False"),
    ],
)
def test_a_mark_that_makes_no_sense_is_named(project: Run, mark: str, problem: str) -> None:
    result = project(
        TWO,
        f"""
        @pytest.mark.databases({mark})
        def test_nothing():
            pass
        """,
    )
    result.assert_outcomes(errors=1)
    assert problem in result.stdout.str()
    assert "test_it.py::test_nothing" in result.stdout.str()


def test_a_setting_that_makes_no_sense_is_named(project: Run) -> None:
    result = project(
        TWO,
        "def test_nothing():\n    pass",
        ini="multidb_databases = *\nmultidb_after_commit = sometimes",
    )
    result.assert_outcomes(errors=1)
    assert "multidb_after_commit: after_commit is 'hold' or 'run', not 'sometimes'" in result.stdout.str()


def test_a_database_that_a_resolver_found_is_undone_and_refused_in_each_test(project: Run) -> None:
    result = project(
        {"default": "sqlite://"},
        """
        from peewee_multidb import MappingResolver

        @pytest.fixture(scope="session", autouse=True)
        def tenants(tmp_path_factory):
            folder = tmp_path_factory.mktemp("tenants")
            databases.resolver = MappingResolver({name: f"sqlite:///{folder}/{name}.db" for name in "ab"})
            for name in "ab":
                with use_db(name):
                    Note.create_table()
            databases.close()
            yield
            databases.resolver = None

        @pytest.mark.parametrize("turn", [1, 2, 3])
        @pytest.mark.databases("a")
        def test_turns(turn):
            with use_db("a"):
                Note.create(text="of the test")
                assert Note.select().count() == 1
            with use_db("b"), pytest.raises(DatabaseNotAllowed):
                Note.select().count()
        """,
    )
    result.assert_outcomes(passed=3)
