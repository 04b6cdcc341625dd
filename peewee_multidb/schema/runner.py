"""Migrations in one database: which are to be run, and each of them run so that a crash leaves no doubt.

Where DDL is part of transactions, a migration and its row in the history are one transaction: either both are
there or neither. Elsewhere the history says beforehand that the migration begins, see `history`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..drivers import traits_of
from ..errors import MigrationError, MigrationHalfDone
from ..statements import only_reads
from .files import MigrationFile
from .history import History, Recorded
from .locks import held
from .migrators import migrator_of

__all__ = ["DatabaseRunner"]

#: A statement that does nothing at all if it fails, on every engine: it is about one object.
WHOLE = ("CREATE", "ALTER")


class DatabaseRunner:
    """The runner of one database.

    Args:
        name: of the database.
        database: its Database object, synchronous.
        files: the migrations of the directory, in their order.
        table: the name of the history's table.
        wait: seconds to wait while somebody else migrates the database.
    """

    def __init__(
        self, name: str, database: Any, files: Sequence[MigrationFile], table: str, wait: float = 0
    ) -> None:
        self.name = name
        self.database = database
        self.engine = traits_of(database).engine
        self.files = files
        self.migrator = migrator_of(database, name)
        self.history = History(database, table)
        self.wait = wait

    # What is to be done

    def pending(self, recorded: Recorded, target: str | None) -> list[MigrationFile]:
        """Return what is to be applied here, up to the target."""
        return [
            file
            for file in self._until(target)
            if file.name not in recorded.applied and file.concerns(self.name, self.engine)
        ]

    def applied(self, recorded: Recorded, target: str) -> list[MigrationFile]:
        """Return what is to be undone here, the last one first, until the target is undone too.

        Raises:
            MigrationError: the file of one of them is gone.
        """
        first = [file.name for file in self.files].index(target)
        files = {file.name: file for file in self.files}
        later = {file.name for file in self.files[first:]}
        gone = sorted(name for name in recorded.applied if name not in files and name > target)
        if gone:
            raise MigrationError(
                f"database {self.name!r}: {gone[0]} is applied, but its file is gone, so it cannot be "
                f"undone. Nothing was done here. Bring the file back, or say --mark-undone {gone[0]} if its "
                "changes are undone already."
            )
        return [files[name] for name in sorted(later & recorded.applied.keys(), key=self._order, reverse=True)]

    def _order(self, name: str) -> int:
        return [file.name for file in self.files].index(name)

    def _until(self, target: str | None) -> Iterator[MigrationFile]:
        for file in self.files:
            yield file
            if file.name == target:
                return

    # Doing it

    def up(self, target: str | None, done: Callable[[str], None], *, fake: bool = False) -> None:
        """Apply what is pending.

        Args:
            target: the last one to apply; None for all.
            done: called with the name of each when it is applied for good.
            fake: whether only to note them as applied.

        Raises:
            MigrationLocked: somebody else is migrating the database.
            MigrationHalfDone: one was begun and not finished, now or earlier.
            MigrationError: one failed, and nothing of it is left.
        """
        with held(self.database, self.name, self.wait):
            recorded = self._settled()
            files = self.pending(recorded, target)
            if files:
                self.history.create()
            for file in files:
                self._run(file, "up", fake)
                done(file.name)

    def down(self, target: str, done: Callable[[str], None]) -> None:
        """Undo the migrations that are applied, back to the target and that one too.

        Raises:
            MigrationError: as `up`, or one has no ``down``, or its file is gone.
        """
        with held(self.database, self.name, self.wait):
            recorded = self._settled()
            files = self.applied(recorded, target)
            for file in files:
                file.function("down", self.engine)  # so that one without is found before anything is undone
            for file in files:
                self._run(file, "down", False)
                done(file.name)

    def mark(self, file: MigrationFile, direction: str) -> None:
        """Note a migration as applied (``"up"``) or as not applied, without running it."""
        with held(self.database, self.name, self.wait):
            self.history.create()
            with self.database.atomic():
                self.history.finish(file.name, direction, file.checksum)

    def _settled(self) -> Recorded:
        """Return what is recorded.

        Raises:
            MigrationHalfDone: something is half done.
        """
        recorded = self.history.read()
        for name, direction in recorded.half_done.items():
            raise MigrationHalfDone(
                f"database {self.name!r}: {name} was begun ({direction}) and did not finish: the process was "
                "killed, or a statement failed, and no transaction was around it. Nothing was done now. "
                + self._way_out(name),
                migration=name,
            )
        return recorded

    def _way_out(self, name: str) -> str:
        return (
            f"Look at the database. If it is as {name} should leave it, run: "
            f"multidb migrate --mark-done {name} --db {self.name}; if it is as before, or you have put it "
            f"back: multidb migrate --mark-undone {name} --db {self.name}. Then run multidb migrate again."
        )

    def _run(self, file: MigrationFile, direction: str, fake: bool) -> None:
        if fake:
            with self.database.atomic():
                self.history.finish(file.name, direction, file.checksum)
            return
        run = file.loaded().function(direction, self.engine)
        if file.atomic and self.migrator.transactional_ddl and traits_of(self.database).ddl_in_transaction:
            self._run_whole(file, direction, run)
        else:
            self._run_in_steps(file, direction, run)

    def _run_whole(self, file: MigrationFile, direction: str, run: Callable[[Any, Any], Any]) -> None:
        try:
            with self._transaction():
                run(self.migrator, self.database)
                self.history.finish(file.name, direction, file.checksum)
        except Exception as error:
            raise MigrationError(
                f"database {self.name!r}: {direction} of {file.name} failed "
                f"({type(error).__name__}: {error}). It was undone with its transaction: the database is as "
                f"before {file.name}. Repair {file.path} or the data, and run multidb migrate again."
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        if self.engine != "sqlite":
            with self.migrator.migration_context():
                yield
            return
        # SQLite: foreign keys are switched off outside of the transaction, as Peewee does it; and a
        # transaction that begins with a look could not write later, if another writes in between.
        with self.migrator.migration_context(atomic=False), self.database.atomic("IMMEDIATE"):
            yield

    def _run_in_steps(self, file: MigrationFile, direction: str, run: Callable[[Any, Any], Any]) -> None:
        self.history.begin(file.name, direction, file.checksum)
        connection = self.database.connection()
        with _Watched(self.database) as watched:
            failure: Exception | None = None
            try:
                with self.migrator.migration_context(atomic=False):
                    run(self.migrator, self.database)
            except Exception as error:
                failure = error
        if failure is None:
            with self.database.atomic():
                self.history.finish(file.name, direction, file.checksum)
            return
        what = (
            f"database {self.name!r}: {direction} of {file.name} failed "
            f"({type(failure).__name__}: {failure})."
        )
        if watched.nothing_done and self._forgotten(file.name, direction, file.checksum, connection):
            raise MigrationError(
                f"{what} Nothing of it was done: the database is as before {file.name}. "
                f"Repair {file.path} or the data, and run multidb migrate again."
            ) from failure
        raise MigrationHalfDone(
            f"{what} No transaction undoes what it had done. {watched.told()} " + self._way_out(file.name),
            migration=file.name,
        ) from failure

    def _forgotten(self, name: str, direction: str, checksum: str, connection: Any) -> bool:
        """Take back the note that a migration began; False if the server cannot be told."""
        try:
            if self.database.is_closed() or self.database.connection() is not connection:
                return False
            if direction == "up":
                self.history.forget(name)
            else:
                self.history.finish(name, "up", checksum)
        except Exception:
            return False
        return True


class _Watched:
    """What a thread sends to a database: which statements were done, and which one failed."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.thread = threading.get_ident()
        self.done: list[str] = []
        self.failed: str | None = None

    def __enter__(self) -> _Watched:
        self.database.query_hooks.append(self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        self.database.query_hooks.remove(self._note)

    def _note(self, event: Any) -> None:
        if threading.get_ident() != self.thread or only_reads(event.sql):
            return
        if event.exception is None:
            self.done.append(event.sql)
        else:
            self.failed = event.sql

    @property
    def nothing_done(self) -> bool:
        """Whether the database is certainly as it was."""
        return not self.done and (self.failed is None or self.failed.lstrip().upper().startswith(WHOLE))

    def told(self) -> str:
        """Return a sentence with the statements."""
        done = "".join(f"\n    done: {sql}" for sql in self.done) or "\n    done: nothing for certain"
        failed = "" if self.failed is None else f"\n    failed: {self.failed}"
        return f"Its statements:{done}{failed}\n"
