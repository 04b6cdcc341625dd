"""Replicas are mirrored onto their primary: they know what the test has written, and refuse to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.testing.plugin.conftest import Run

TESTS = """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_mirrored(turn, assert_queries, assert_route):
            assert_route(Note.select(), "default", role="replica")
            with assert_queries(default=3) as queries:
                Note.create(text="a")
                assert Note.select().count() == 1
                with use_replica():
                    assert Note.get().text == "a"
            assert [event.role for event in queries.events] == ["primary", "replica", "replica"]
            with use_replica():
                assert_route(Note.select(), "default", role="replica")
                with pytest.raises(ReadOnlyDatabase):
                    Note.create(text="b")
                with pytest.raises(ReadOnlyDatabase):
                    Note.raw("DELETE FROM note").execute()
            with atomic("default"):
                Note.create(text="b")
                assert_route(Note.select(), "default", role="primary")
                assert Note.select().count() == 2
"""


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_replicas_see_what_the_test_has_written(
    project: Run, engine: str, request: pytest.FixtureRequest
) -> None:
    settings = request.getfixturevalue(f"{engine}_cluster_settings")
    result = project({"default": settings}, TESTS, ini="multidb_databases = *")
    result.assert_outcomes(passed=2)


def test_it_needs_no_server_at_the_replicas_address(project: Run) -> None:
    settings = {"url": "sqlite:///a.db", "replicas": ["sqlite:////nowhere/at/all.db"]}
    project({"default": settings}, TESTS, ini="multidb_databases = *").assert_outcomes(passed=2)


def test_real_replicas_are_back_after_the_test(project: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    settings: dict[str, Any] = {"url": "sqlite:///a.db", "replicas": [f"sqlite:///{copy}"]}
    result = project(
        {"default": settings},
        f"""
        import sqlite3

        @pytest.fixture(scope="module", autouse=True)
        def copied(made):
            Note.create(text="of the primary")
            with sqlite3.connect({str(copy)!r}) as replica:
                replica.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
                replica.execute("INSERT INTO note (text) VALUES ('of the replica')")
            replica.close()

        @pytest.mark.databases("default")
        def test_mirrored():
            assert Note.get().text == "of the primary"

        @pytest.mark.databases("default", transaction=False)
        def test_real():
            with use_replica():
                assert Note.get().text == "of the replica"

        def test_not_concerned():
            seen = []

            def work():  # a thread of its own has not written, and so need not read from the primary
                with use_replica():
                    seen.append(Note.get().text)
                databases.close()

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert seen == ["of the replica"]
        """,
    )
    result.assert_outcomes(passed=3)
