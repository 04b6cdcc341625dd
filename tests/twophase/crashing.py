"""A transaction over several databases that something happens to, before or after any statement.

A step is the moment before a statement or after one, of the user's, of the protocol or of the log. So what
happens at each step in turn happens between every two steps of the protocol.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee

from peewee_multidb import RecoveryReport, atomic, databases, recover
from peewee_multidb.twophase import log_of
from peewee_multidb.twophase.branches import listed
from tests.engines import Lite, Maria, Post
from tests.scale import scaled

#: What every statement goes through, whichever Database class it is.
METHODS = ("execute_sql", "begin", "commit", "rollback")

#: By name, the models that take part and where the log is; `lite` prepares nothing.
KINDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "two and a file": ((Post, Maria), "decisions.db"),
    "two, the last resource and a file": ((Post, Maria, Lite), "decisions.db"),
    "two and the last resource, which has the log": ((Post, Maria, Lite), "lite"),
    "one and the log, which prepares nothing": ((Post, Maria), "post"),
}


class Steps:
    """Counts the steps of what is sent to some databases, and does something at one of them.

    Args:
        watched: the Database objects.
        at: the number of the step, from 1.
        action: what happens then.
    """

    def __init__(self, watched: list[Any], at: int, action: Callable[[], None]) -> None:
        self.count = 0
        self._watched = watched
        self._at = at
        self._action = action
        self._inside = False

    def __enter__(self) -> Steps:
        for database in self._watched:
            for method in METHODS:
                setattr(database, method, self._wrapped(getattr(database, method)))
        return self

    def __exit__(self, *exc: Any) -> None:
        for database in self._watched:
            for method in METHODS:
                delattr(database, method)

    def _wrapped(self, method: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return method(*args, **kwargs)
            self._inside = True
            try:
                self._step()
                result = method(*args, **kwargs)
                self._step()
            finally:
                self._inside = False
            return result

        return run

    def _step(self) -> None:
        self.count += 1
        if self.count == self._at:
            self._action()


def prepare(post: str, maria: str, folder: Path) -> None:
    """Configure the three databases, with their tables."""
    databases.configure({"post": post, "maria": maria, "lite": f"sqlite:///{folder}/lite.db"})
    databases.create_tables([Lite, Post, Maria])


def place(kind: str, folder: Path) -> str:
    """Return the ``transaction_log`` of a kind."""
    where = KINDS[kind][1]
    return where if where in databases else str(folder / where)


def write(kind: str, folder: Path, n: int, at: int, action: Callable[[], None]) -> int:
    """Write a row to each database in one two-phase block; something happens at a step. Return the steps."""
    models, _ = KINDS[kind]
    log = log_of(databases, place(kind, folder))
    watched = [model._meta.database.obj for model in models]
    if log.database not in watched:
        watched.append(log.database)
    with Steps(watched, at, action) as steps:
        with atomic(*models, two_phase=True, log=place(kind, folder)):
            for model in models:
                model.create(n=n)
    return steps.count


def steps_of(kind: str, folder: Path) -> int:
    """Return how many steps the block has, once there are a log and its tables."""
    write(kind, folder, -1, -1, lambda: None)
    return write(kind, folder, 0, -1, lambda: None)


def chosen(steps: int, share: int = 1) -> Iterator[tuple[int, int]]:
    """Yield numbers of rounds, from 1, and the step of each: the last step comes first.

    Every step has its turn when there are as many rounds.

    Args:
        steps: how many there are.
        share: one in so many is enough, unless the tests are told to do more.
    """
    stride = next(one for one in (7, 5, 11, 13) if steps % one)
    for n in range(scaled(-(-steps // share))):
        yield n + 1, (n * stride - 1) % steps + 1


def killed_at(kind: str, folder: Path, n: int, at: int) -> bool:
    """Run the block in a child that is killed at a step; return whether it came that far."""
    pid = os.fork()
    if pid == 0:
        try:
            write(kind, folder, n, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        finally:
            os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(status)


def where_is(kind: str, n: int) -> list[bool]:
    """Return for each database of a kind whether it has the row."""
    return [model.select().where(model.n == n).count() == 1 for model in KINDS[kind][0]]


def recovered(kind: str, folder: Path, **options: Any) -> RecoveryReport:
    """Return the report of `recover`, after which nothing is prepared on any server."""
    report = recover(log=place(kind, folder), **options)
    assert report.is_clean, str(report)
    assert prepared() == []
    return report


def prepared() -> list[str]:
    """Return what the servers have prepared."""
    found = []
    for name in ("post", "maria"):
        database: Any = databases[name]
        found += listed(database, database.traits.two_phase)
    return found


def drop_lost() -> None:
    """Let go of connections that broke."""
    for name in databases:
        database: Any = databases[name]
        try:
            if not database.is_closed():
                database.close()
        except peewee.PeeweeException:
            database._state.reset()
