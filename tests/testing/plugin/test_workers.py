"""Several processes of pytest-xdist at the same time, each with databases of its own."""

from __future__ import annotations

import pytest

from peewee_multidb.testing import for_worker, worker_name
from tests.testing.plugin.conftest import Run


def test_the_name_of_the_worker_stands_in_for_the_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw3")
    assert worker_name() == "gw3"
    settings = {
        "default": {"url": "postgresql://h/app_{worker}", "replicas": ["mysql://r/{worker}"], "pool": 2},
        "other": "sqlite:///{worker}.db",
    }
    assert for_worker(settings) == {
        "default": {"url": "postgresql://h/app_gw3", "replicas": ["mysql://r/gw3"], "pool": 2},
        "other": "sqlite:///gw3.db",
    }
    assert for_worker("app_{worker}", "gw1") == "app_gw1"
    monkeypatch.delenv("PYTEST_XDIST_WORKER")
    assert worker_name() == "main" and for_worker("{worker}") == "main"


TESTS = """
        from peewee_multidb.testing import for_worker

        @pytest.fixture(scope="module", autouse=True)
        def own(made, multidb_worker):
            databases.configure({"default": for_worker("sqlite:///{worker}.db")})
            Note.create_table()
            databases.close()
            return multidb_worker

        @pytest.mark.parametrize("number", range(12))
        def test_alone(number, own):
            assert own.startswith("gw")
            assert Note.select().count() == 0
            Note.create(text="the same in every process")
            assert Note.select().count() == 1
"""


def test_workers_are_undone_side_by_side(project: Run) -> None:
    result = project(
        {"default": "sqlite:///common.db"},
        TESTS,
        "-n",
        "2",
        ini="multidb_databases = default",
        processes=True,
    )
    result.assert_outcomes(passed=12)
