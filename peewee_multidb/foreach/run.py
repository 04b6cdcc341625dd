"""One function in many databases, in threads.

The threads are of our own and daemons, and not those of an executor: an executor's hold up the end of the
program until each has finished, so that a second Ctrl-C would change nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..registry import Databases, databases
from ..scope import use_db
from .journal import Journal
from .plan import Names, Path, Progress, check_options, checked_names, open_journal, planned
from .progress import shown
from .report import Interrupted, Report
from .work import refuse_open, work

__all__ = ["for_each_database"]

#: Seconds: a signal that another thread's system call took is seen by this one only when it wakes.
BLINK = 0.2


def for_each_database(
    fn: Callable[[str], Any],
    names: Names = None,
    *,
    registry: Databases = databases,
    workers: int = 8,
    on_error: str = "continue",
    progress: bool | Progress = False,
    resume: Path | None = None,
    run: str | None = None,
) -> Report:
    """Call a function once for each database, in threads, each call inside ``use_db(name)``.

    The scope around the call holds in the threads too, and each call is a `unit_of_work` of its own, after
    which its connections are given back. What it raises is in the report; so is a transaction that it left
    open, which is rolled back.

    Args:
        fn: is called with the name.
        names: which ones, perhaps of databases that are resolved when they are asked for; also a function
            that returns them. None for every configured name.
        registry: the databases.
        workers: how many threads, at most.
        on_error: ``"continue"``, or ``"stop"`` to start nothing new after the first failure.
        progress: True for a progress bar (extra ``cli``), or a function that is called in this thread with
            how many are finished, how many there are, the name, and the exception or None.
        resume: a file, made if there is none, that remembers which names are done. A second run skips these
            and does the others, however the first one ended. A name that was under way when the process was
            killed is done again, so `fn` should bear that; `Report.repeated` tells which these were.
        run: what the file knows this run by; None for the module and name of `fn`.

    Returns:
        What came of each name. It raises nothing by itself: see `Report.raise_for_failures`.

    Raises:
        ConfigurationError: an argument makes no sense, or the file cannot be used.
        Interrupted: Ctrl-C; what ran was let finish first, unless it was pressed twice.
    """
    check_options(fn, on_error=on_error, at_once=workers, what="workers", coroutine=False)
    journal = open_journal(fn, resume, run)
    with contextlib.ExitStack() as stack:
        if journal is not None:
            stack.enter_context(journal)
        todo, report = planned(checked_names(names, registry), journal)
        advance = stack.enter_context(shown(progress, len(todo), getattr(fn, "__name__", "databases")))
        run_ = _Run(fn, registry, journal, todo, report, advance, stop_on_error=on_error == "stop")
        try:
            run_.go(workers)
        finally:
            report.arrange(todo)
    return report


class _Run:
    """One call of `for_each_database`: threads take names, and this thread hears of what came of them."""

    def __init__(
        self,
        fn: Callable[[str], Any],
        registry: Databases,
        journal: Journal | None,
        names: list[str],
        report: Report,
        advance: Progress,
        *,
        stop_on_error: bool,
    ) -> None:
        self.fn = fn
        self.registry = registry
        self.journal = journal
        self.todo = deque(names)
        self.total = len(names)
        self.report = report
        self.advance = advance
        self.stop_on_error = stop_on_error
        self.stopped = threading.Event()
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()
        self.under_way: set[str] = set()
        #: What is finished, for those who watch; None from a thread that has nothing more to do.
        self.finished: queue.SimpleQueue[tuple[str, BaseException | None] | None] = queue.SimpleQueue()

    def go(self, workers: int) -> None:
        try:
            for number in range(min(workers, self.total)):
                # A context each: the scope of the caller, and from there on its own.
                target = contextvars.copy_context().run
                name = f"multidb-each-{number}"
                thread = threading.Thread(target=target, args=(self._work,), name=name, daemon=True)
                thread.start()
                self.threads.append(thread)
            self._hear()
        except KeyboardInterrupt as interrupt:
            self._wind_up()
            raise Interrupted(self.report) from interrupt
        except BaseException:
            self._wind_up()
            raise
        self.report.not_started = list(self.todo)

    def _wind_up(self) -> None:
        """Begin nothing new, and wait for what is under way; a Ctrl-C during that ends the waiting."""
        self.stopped.set()
        with contextlib.suppress(KeyboardInterrupt):
            for thread in self.threads:
                while thread.is_alive():
                    thread.join(BLINK)
        with self.lock:
            self.report.not_started = list(self.todo)
            self.report.unfinished = sorted(self.under_way)

    def _hear(self) -> None:
        working = len(self.threads)
        done = 0
        while working:
            try:
                one = self.finished.get(timeout=BLINK)
            except queue.Empty:
                continue
            if one is None:
                working -= 1
                continue
            done += 1
            name, error = one
            if error is not None and not isinstance(error, Exception):
                raise error  # SystemExit and its like are meant for the program
            self.advance(done, self.total, name, error)

    def _work(self) -> None:
        try:
            while (name := self._next()) is not None:
                error = self._one(name)
                self.finished.put((name, error))
        finally:
            self.finished.put(None)

    def _next(self) -> str | None:
        with self.lock:
            if self.stopped.is_set() or not self.todo:
                return None
            name = self.todo.popleft()
            self.under_way.add(name)
            return name

    def _one(self, name: str) -> BaseException | None:
        start = time.perf_counter()
        value, error = self._noted(name)
        if error is not None and (self.stop_on_error or not isinstance(error, Exception)):
            self.stopped.set()
        # Here and not where it is heard of: a Ctrl-C may come between hearing and writing down.
        with self.lock:
            self.report.seconds[name] = time.perf_counter() - start
            if error is None:
                self.report.results[name] = value
            elif isinstance(error, Exception):
                self.report.failed[name] = error
            if error is None or isinstance(error, Exception):
                self.under_way.discard(name)
        return error

    def _noted(self, name: str) -> tuple[Any, BaseException | None]:
        """Call the function, and have the journal know of it before anybody else."""
        value, error = None, None
        try:
            if self.journal is not None:
                self.journal.started(name)
            value = self._called(name)
        except Exception as raised:
            error = raised
        except BaseException as raised:
            return None, raised
        try:
            if self.journal is not None:
                self.journal.finished(name, error)
        except Exception as raised:
            # Nobody will know that this one is done, so nothing else may be begun.
            self.stopped.set()
            return None, raised
        return value, error

    def _called(self, name: str) -> Any:
        # A context of its own, so that nothing that one call sets is there in the next one.
        return contextvars.copy_context().run(self._in_scope, name)

    def _in_scope(self, name: str) -> Any:
        with work(), use_db(name):
            value = self.fn(name)
            database = self.registry.live.get(name)
            if database is not None:
                refuse_open(database, name, getattr(self.fn, "__name__", "the function"))
        return value
