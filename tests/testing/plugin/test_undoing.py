"""What a test does to a database is undone, and until then the database behaves as in production."""

from __future__ import annotations

import pytest

from tests.testing.plugin.conftest import Run

ALL = "multidb_databases = *"


def test_each_test_begins_with_what_the_session_made(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_written(turn):
            assert Note.select().count() == 0
            Note.create(text="a")
            assert Note.select().count() == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_blocks_of_the_program_are_undone_and_kept_as_they_would_be(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_blocks(turn):
            database = databases["default"]
            with atomic("default"):
                Note.create(text="kept")
                with pytest.raises(ZeroDivisionError), atomic("default"):
                    Note.create(text="inner")
                    1 / 0
            with pytest.raises(ZeroDivisionError), database.transaction():
                Note.create(text="undone")
                1 / 0
            with database.transaction() as block:
                Note.create(text="rolled back by hand")
                block.rollback()
                Note.create(text="after that")
                block.commit()
                Note.create(text="after the commit")
                block.rollback()
            with database.manual_commit():
                database.begin()
                Note.create(text="by hand")
                database.commit()
                database.begin()
                Note.create(text="by hand, undone")
                database.rollback()
            assert sorted(note.text for note in Note.select()) == ["after that", "by hand", "kept"]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_no_transaction_is_open_until_the_program_opens_one(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        def test_depth():
            database = databases["default"]
            Note.create(text="a")
            assert not database.in_transaction()
            with atomic("default"):
                assert database.in_transaction() and database.transaction_depth() == 1
            assert not database.in_transaction()
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


def test_a_statement_that_fails_outside_of_blocks_leaves_the_rest_usable(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        def test_failing():
            Note.create(text="a")
            with pytest.raises(peewee.IntegrityError):
                Note.create(text="a")
            with pytest.raises(peewee.DatabaseError):
                databases["default"].execute_sql("SELECT nothing FROM nowhere")
            assert Note.select().count() == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("pool", [None, 3])
def test_connections_that_the_program_closes_lose_nothing(project: Run, url: str, pool: int | None) -> None:
    result = project(
        {"default": {"url": url, "pool": pool}},
        """
        @pytest.mark.parametrize("turn", [1, 2, 3])
        def test_closing(turn):
            Note.create(text="a")
            databases.close()
            assert databases["default"].is_closed()
            Note.create(text="b")
            databases.close_all()
            assert Note.select().count() == 2
            with databases["default"].connection_context():
                assert Note.select().count() == 2
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=3)


def test_what_was_there_before_the_test_is_there_afterwards(project: Run, url: str) -> None:
    """The connection that a fixture of the session has opened is lent to the tests, and given back open."""
    result = project(
        {"default": url},
        """
        @pytest.fixture(scope="module", autouse=True)
        def opened(made):
            Note.create(text="of the module")
            yield databases["default"].connection()
            assert not databases["default"].is_closed()
            Note.delete().execute()

        @pytest.mark.parametrize("turn", [1, 2])
        def test_more(turn, opened):
            assert Note.get().text == "of the module"
            Note.update(text="changed").execute()
            databases.close()
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_a_database_in_memory_keeps_the_tables_of_the_session(project: Run) -> None:
    result = project(
        {"default": "sqlite:///file.db"},
        """
        @pytest.fixture(scope="module", autouse=True)
        def memory(made):
            databases.configure({"default": peewee.SqliteDatabase(":memory:")})
            Note.create_table()

        @pytest.mark.parametrize("turn", [1, 2])
        def test_memory(turn, memory):
            assert Note.select().count() == 0
            Note.create(text="a")
            databases.close()
            assert Note.select().count() == 1

        def test_threads(memory):
            failures = []
            def work():
                try:
                    Note.select().count()
                except IsolationError as error:
                    failures.append(str(error))
            thread = threading.Thread(target=work, name="worker")
            thread.start()
            thread.join()
            assert "thread 'worker' cannot share a SQLite database in memory" in failures[0]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=3)


def test_a_lazily_opened_database_costs_nothing_before_its_first_query(project: Run) -> None:
    result = project(
        {"default": "sqlite:///a.db"},
        """
        def test_lazy():
            databases.add("nobody", "postgresql://app@nowhere.invalid/app")
            databases.add("other", "sqlite:///other.db")
            databases["nobody"]
            assert databases["other"].is_closed() and databases["default"].is_closed()
            with use_db("other"):
                Note.create_table()
                Note.create(text="a")
            databases.remove("nobody")

        def test_a_database_that_is_added_in_the_test_is_undone_as_well():
            assert databases["other"].get_tables() == []
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_tables_of_a_test_are_undone_where_that_can_be(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        class Extra(Note):
            pass

        @pytest.mark.parametrize("turn", [1, 2])
        def test_tables(turn):
            Note.create(text="a")
            if databases["default"].quote == "``":
                with pytest.raises(IsolationError, match="'CREATE TABLE' in a test that is rolled back"):
                    Extra.create_table()
                databases["default"].execute_sql("CREATE TEMPORARY TABLE passing (n INT)")
            else:
                assert not Extra.table_exists()
                Extra.create_table()
                Extra.create(text="a")
            assert Note.select().count() == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_the_end_of_the_tests_transaction_cannot_be_sent_as_sql(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        @pytest.mark.parametrize("sql", ["COMMIT", "rollback;", "BEGIN", "START TRANSACTION", "end"])
        def test_ending(sql):
            Note.create(text="a")
            with pytest.raises(IsolationError, match="was sent as SQL"):
                databases["default"].execute_sql(sql)
            assert Note.select().count() == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=5)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_what_prepares_a_transaction_as_sql_is_refused(
    project: Run, engine: str, request: pytest.FixtureRequest
) -> None:
    result = project(
        {"default": request.getfixturevalue(f"{engine}_url")},
        """
        @pytest.mark.parametrize("sql", ["PREPARE TRANSACTION 'a'", "XA START 'a'", "xa prepare 'a'"])
        def test_preparing(sql):
            Note.create(text="before")
            with pytest.raises(IsolationError, match="two-phase commit .*transaction=False"):
                databases["default"].execute_sql(sql)
            assert Note.select().count() == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=3)


def test_a_transaction_that_is_open_before_the_test_is_named(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        @pytest.fixture(scope="module", autouse=True)
        def opened(made):
            with atomic("default"):
                yield

        def test_nothing(opened):
            pass
        """,
        ini=ALL,
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*IsolationError: database 'default': a transaction is open when the test*"])


def test_rows_are_read_in_chunks(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        def test_iterator():
            Note.insert_many([{"text": str(n)} for n in range(50)]).execute()
            assert len(list(Note.select().iterator())) == 50
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


def test_a_two_phase_block_is_undone_with_the_test_and_leaves_no_trace(
    project: Run, postgres_url: str, mariadb_url: str
) -> None:
    """Nothing commits there, so nothing is prepared and no decision is written; savepoints are as ever."""
    result = project(
        {"default": postgres_url, "maria": mariadb_url, "lite": "sqlite:///a.db"},
        """
        import os

        ALL = ("default", "maria", "lite")

        def texts():
            return [sorted(note.text for note in Note.select().using(name)) for name in ALL]

        @pytest.mark.parametrize("names", [ALL, ("default", "maria"), ()])
        def test_it(names):
            with atomic(*names, two_phase=True):
                for name in names or ALL:
                    Note.insert(text="kept").using(name).execute()
            with pytest.raises(ZeroDivisionError), atomic(*names, two_phase=True):
                for name in names or ALL:
                    Note.insert(text="undone").using(name).execute()
                1 / 0
            assert texts() == [["kept"] if name in (names or ALL) else [] for name in ALL]
            assert not os.path.exists("multidb-transactions.db")
        """,
        ini="multidb_databases = *",
    )
    result.assert_outcomes(passed=3)
