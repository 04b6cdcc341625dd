"""Threads that a test starts share its transaction, one at a time, or are refused with a sentence."""

from __future__ import annotations

import threading

import pytest

from peewee_multidb.errors import IsolationError
from peewee_multidb.testing.turns import ThreadTurn
from tests.testing.plugin.conftest import Run

ALL = "multidb_databases = *"


@pytest.mark.parametrize("pool", [None, 4])
def test_threads_see_and_write_the_rows_of_the_test(project: Run, url: str, pool: int | None) -> None:
    result = project(
        {"default": {"url": url, "pool": pool}},
        """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_sharing(turn):
            Note.create(text="of the test")
            failures = []

            def work(number):
                try:
                    for n in range(8):
                        with atomic("default"):
                            Note.create(text=f"{number} {n}")
                            with pytest.raises(peewee.IntegrityError), atomic("default"):
                                Note.create(text="of the test")
                        assert Note.select().where(Note.text == "of the test").count() == 1
                    with pytest.raises(ZeroDivisionError), atomic("default"):
                        Note.delete().execute()
                        1 / 0
                except BaseException as error:
                    failures.append(error)
                finally:
                    databases.close()

            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            assert failures == []
            assert Note.select().count() == 33
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_a_thread_that_waits_for_a_transaction_around_it_is_told_so(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        from peewee_multidb.testing import turns

        def test_stuck(monkeypatch):
            monkeypatch.setattr(turns.ThreadTurn.take, "__defaults__", (0.3,))
            said = []

            def work():
                try:
                    Note.select().count()
                except IsolationError as error:
                    said.append(str(error))

            with atomic("default"):
                Note.create(text="a")
                thread = threading.Thread(target=work, name="worker")
                thread.start()
                thread.join()
            assert said and said[0].startswith("database 'default': thread 'worker' has waited")
            assert "'MainThread' has a transaction open" in said[0] and "transaction=False" in said[0]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


def test_a_thread_that_dies_inside_its_transaction_loses_it(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_dead(turn):
            Note.create(text="of the test")

            def work():
                databases["default"].begin()
                Note.create(text="of the thread")

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
            assert [note.text for note in Note.select()] == ["of the test"]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_a_thread_that_goes_on_after_the_test_has_a_connection_of_its_own(project: Run) -> None:
    result = project(
        {"default": "sqlite:///a.db"},
        """
        go, gone = threading.Event(), threading.Event()
        seen = []

        def work():
            seen.append(Note.select().count())
            gone.set()
            go.wait(30)
            seen.append(Note.select().count())
            databases.close()

        thread = threading.Thread(target=work)

        def test_first():
            Note.create(text="a")
            thread.start()
            assert gone.wait(30)

        def test_second():
            go.set()
            thread.join()
            assert seen == [1, 0]
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=2)


def test_a_forked_process_is_refused(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        """
        import multiprocessing

        def work(answers):
            try:
                answers.put(Note.select().count())
            except IsolationError as error:
                answers.put(str(error))

        @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
        def test_forked():
            Note.create(text="a")
            fork = multiprocessing.get_context("fork")
            answers = fork.SimpleQueue()
            process = fork.Process(target=work, args=(answers,))
            process.start()
            assert "a forked process cannot take part in the transaction" in answers.get()
            process.join()
            assert Note.select().count() == 1
        """,
        ini=ALL,
    )
    result.assert_outcomes(passed=1)


def test_a_turn_is_given_back_as_often_as_it_was_taken() -> None:
    turn = ThreadTurn("default")
    turn.take()
    turn.take()
    turn.give()
    failures: list[str] = []

    def other() -> None:
        try:
            turn.take(patience=0)
        except IsolationError as error:
            failures.append(str(error))

    for expected in (1, 1):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(failures) == expected
        turn.give()
