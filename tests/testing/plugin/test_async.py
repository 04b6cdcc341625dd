"""Asynchronous databases under pytest-asyncio: undone in their own event loop, whoever made it."""

from __future__ import annotations

from tests.testing.plugin.conftest import Run

ALL = "multidb_databases = *"


def test_each_test_and_its_fixtures_are_undone(project: Run, async_url: str) -> None:
    result = project(
        {"default": async_url},
        """
        @pytest.fixture
        async def written():
            await Note.acreate(text="of the fixture")
            yield
            assert await databases["default"].count(Note.select()) == 3
            await Note.acreate(text="at the end of the fixture")

        @pytest.mark.parametrize("turn", [1, 2])
        async def test_undone(turn, written):
            database = databases["default"]
            assert [note.text for note in await database.list(Note.select())] == ["of the fixture"]
            await Note.acreate(text="a")
            with pytest.raises(peewee.IntegrityError):
                await Note.acreate(text="a")
            async with atomic("default"):
                await Note.acreate(text="b")
                with pytest.raises(ZeroDivisionError):
                    async with atomic("default"):
                        await Note.acreate(text="c")
                        1 / 0
            with pytest.raises(ZeroDivisionError):
                async with database.transaction():
                    await Note.acreate(text="d")
                    1 / 0
            assert not database.in_transaction()
            await databases.aclose()
            await databases.aclose_all()
            found = sorted([note.text async for note in database.iterate(Note.select())])
            assert found == ["a", "b", "of the fixture"]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_tasks_take_turns(project: Run, async_url: str) -> None:
    result = project(
        {"default": {"url": async_url, "pool": 5}},
        """
        from peewee_multidb.testing import turns

        async def work(number):
            for n in range(5):
                async with atomic("default"):
                    await Note.acreate(text=f"{number} {n}")
                with pytest.raises(ZeroDivisionError):
                    async with atomic("default"):
                        await Note.acreate(text=f"{number} {n} again")
                        1 / 0
                await databases["default"].count(Note.select())

        async def test_gathered(assert_queries):
            with assert_queries(default=60):
                await asyncio.gather(*(work(number) for number in range(4)))
            assert await databases["default"].count(Note.select()) == 20

        async def test_stuck(monkeypatch):
            monkeypatch.setattr(turns, "PATIENCE", 0.2)
            async with atomic("default"):
                await Note.acreate(text="a")
                task = asyncio.create_task(databases["default"].count(Note.select()), name="reader")
                with pytest.raises(IsolationError, match="task 'reader' has waited 0.2 s"):
                    await task
            assert await databases["default"].count(Note.select()) == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_a_loop_that_outlives_the_test_is_undone_with_the_test(project: Run, async_url: str) -> None:
    result = project(
        {"default": async_url},
        """
        pytestmark = pytest.mark.asyncio(loop_scope="module")

        @pytest.mark.parametrize("turn", [1, 2, 3])
        async def test_wide(turn):
            assert await databases["default"].count(Note.select()) == 0
            await Note.acreate(text="a")
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=3)


def test_loops_that_a_test_runs_itself_are_undone_when_they_end(project: Run, async_url: str) -> None:
    result = project(
        {"default": async_url},
        """
        async def main():
            assert await databases["default"].count(Note.select()) == 0
            await Note.acreate(text="a")

        @pytest.mark.parametrize("turn", [1, 2])
        def test_own(turn):
            asyncio.run(main())
            asyncio.run(main())

        def test_never_shut_down():
            loop = asyncio.new_event_loop()
            loop.run_until_complete(main())
            loop.close()

        def test_after_that():
            asyncio.run(main())
        """,
        "-W",
        "ignore::ResourceWarning",
        "-W",
        "ignore::pytest.PytestUnraisableExceptionWarning",
        ini=ALL,
    )
    result.assert_outcomes(passed=4)


def test_the_allow_list_and_callbacks_are_the_same(project: Run, async_url: str) -> None:
    result = project(
        {"default": async_url, "other": "sqlite+aiosqlite:///other.db"},
        """
        @pytest.mark.databases("default")
        async def test_refused():
            with pytest.raises(DatabaseNotAllowed, match="uses database 'other'"):
                await databases["other"].count(Note.select().using("other"))

        @pytest.mark.databases("default", transaction=False)
        async def test_refused_without_a_transaction():
            with pytest.raises(DatabaseNotAllowed):
                await databases["other"].count(Note.select().using("other"))

        @pytest.mark.databases("default")
        async def test_callbacks(capture_after_commit):
            called = []
            database = databases["default"]
            with capture_after_commit(run=True) as callbacks:
                async with database.atomic():
                    await Note.acreate(text="a")
                    database.after_commit(lambda: called.append(1))
                database.after_commit(lambda: called.append(2))
                assert called == []
            assert called == [1, 2]

        @pytest.mark.databases("default", after_commit="run")
        async def test_called():
            called = []
            async with databases["default"].atomic():
                databases["default"].after_commit(lambda: called.append(1))
            assert called == [1]
        """,
    )
    result.assert_outcomes(passed=4)


def test_the_end_of_the_tests_transaction_cannot_be_sent_as_sql(project: Run, async_url: str) -> None:
    result = project(
        {"default": async_url},
        """
        async def test_ending():
            await Note.acreate(text="a")
            if databases["default"].quote == "``":
                with pytest.raises(IsolationError, match="'CREATE TABLE' in a test that is rolled back"):
                    await databases["default"].aexecute_sql("CREATE TABLE t (n INT)")
            with pytest.raises(IsolationError, match="was sent as SQL"):
                sql = "XA START 'a'" if databases["default"].quote == "``" else "PREPARE TRANSACTION 'a'"
                await databases["default"].aexecute_sql(sql)
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


def test_a_database_in_memory_keeps_its_tables(project: Run) -> None:
    result = project(
        {"default": "sqlite+aiosqlite:///file.db"},
        """
        pytestmark = pytest.mark.asyncio(loop_scope="module")

        @pytest.fixture(scope="module", autouse=True)
        async def memory(made):
            databases.configure({"default": "sqlite+aiosqlite:///:memory:"})
            await databases["default"].acreate_tables([Note])
            yield
            await databases.aclose_all()

        @pytest.mark.parametrize("turn", [1, 2])
        async def test_memory(turn, memory):
            assert await databases["default"].count(Note.select()) == 0
            await Note.acreate(text="a")
        """,
        "-o",
        "asyncio_default_fixture_loop_scope=module",
        ini=ALL,
    )
    result.assert_outcomes(passed=2)
