"""Callbacks after a commit: kept, called at a word, or called as in production."""

from __future__ import annotations

from tests.testing.plugin.conftest import Run

ALL = "multidb_databases = *"


def test_callbacks_are_kept_and_not_called(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        def test_kept(multidb):
            called = []
            database = databases["default"]
            with atomic("default"):
                database.after_commit(lambda: called.append("inside"))
                assert multidb.callbacks == []
            with pytest.raises(ZeroDivisionError), atomic("default"):
                database.after_commit(lambda: called.append("rolled back"))
                1 / 0
            database.after_commit(lambda: called.append("outside"))
            assert called == [] and len(multidb.callbacks) == 2
            [callback() for callback in multidb.callbacks]
            assert called == ["inside", "outside"]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


def test_a_block_captures_them_and_calls_them_at_its_end(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        def greet(called):
            with atomic("default"):
                databases["default"].after_commit(lambda: called.append("second"))

        def test_captured(capture_after_commit):
            called = []
            with capture_after_commit() as callbacks:
                databases["default"].after_commit(lambda: called.append("first"))
                assert callbacks == []
            assert len(callbacks) == 1 and called == []
            with capture_after_commit(run=True) as callbacks:
                with atomic("default"):
                    databases["default"].after_commit(lambda: called.append("first"))
                    databases["default"].after_commit(lambda: greet(called))
                assert called == []
            assert called == ["first", "second"] and len(callbacks) == 3

        def test_after_a_failure_none_is_called(capture_after_commit):
            called = []
            with pytest.raises(ZeroDivisionError), capture_after_commit(run=True) as callbacks:
                databases["default"].after_commit(lambda: called.append(1))
                1 / 0
            assert len(callbacks) == 1 and called == []
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_they_are_called_where_that_is_said(project: Run, url: str) -> None:
    tests = """
        def test_called(multidb):
            called = []
            with atomic("default"):
                Note.create(text="a")
                databases["default"].after_commit(lambda: called.append(Note.select().count()))
                assert called == []
            assert called == [1] and multidb.callbacks == []
    """
    mark = '\n        pytestmark = pytest.mark.databases("default", after_commit="run")\n'
    project({"default": url}, mark + tests).assert_outcomes(passed=1)
    project({"default": url}, tests, ini=f"{ALL}\nmultidb_after_commit = run").assert_outcomes(passed=1)


def test_atomic_over_several_databases_knows_which_committed(project: Run) -> None:
    """The package's own callbacks are a part of the commit, whatever becomes of the program's."""
    result = project(
        {"default": "sqlite:///a.db", "other": "sqlite:///b.db"},
        """
        from peewee_multidb import PartialCommit

        def test_partial(monkeypatch):
            def failing():
                raise peewee.OperationalError("the disk is full")

            with pytest.raises(PartialCommit) as caught:
                with atomic("default", "other"):
                    Note.create(text="a")
                    monkeypatch.setattr(databases["default"], "commit", failing)
            assert caught.value.committed == ("other",)
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)
