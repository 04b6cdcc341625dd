"""Migrations of many databases: the files of one directory, a history in each database, many at a time.

Built on `playhouse.migrations`: its files, its history, its skeletons. What it lacks for many databases is
here: running them in parallel, each under a lock, so that a crash in the middle repeats nothing; and telling
who has what.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from playhouse import migrations as stock  # type: ignore[import-untyped]

from ..drivers import traits_of
from ..errors import MigrationError, ReadOnlyDatabase, nearest
from ..foreach import for_each_database
from ..registry import Databases, databases
from . import reports
from .dry import DryRun, rehearsed
from .files import MigrationFile, read_directory
from .generating import generated
from .history import History
from .placing import Names, chosen
from .reports import MigrationReport, MigrationStatus
from .runner import DatabaseRunner

__all__ = ["Migrations"]

Progress = bool | Callable[[int, int, str, Any], object]


class Migrations:
    """The migrations of a directory, for the databases of a registry.

    Args:
        directory: of the files; one that is not there has none.
        registry: the databases.
        models: the models that files may name in ``models = (...)``, and that `make` compares.
        table: the name of the history's table; that of `playhouse.migrations` unless told otherwise.
        wait: seconds to wait while somebody else migrates a database; 0 fails there at once.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] = "migrations",
        registry: Databases = databases,
        *,
        models: Iterable[Any] = (),
        table: str = "schema_migration",
        wait: float = 0,
    ) -> None:
        self.directory = os.fspath(directory)
        self.registry = registry
        self.models = tuple(models)
        self.table = table
        self.wait = wait

    def files(self) -> list[MigrationFile]:
        """Return the migrations, in the order of their numbers.

        Raises:
            MigrationError: a file cannot be loaded.
        """
        return read_directory(self.directory, self.models)

    # Running

    def up(
        self,
        names: Names = None,
        *,
        target: str | None = None,
        fake: bool = False,
        workers: int = 8,
        on_error: str = "continue",
        progress: Progress = False,
    ) -> MigrationReport:
        """Apply what is pending, in some or all databases at the same time.

        Run again after a crash it goes on with what is left: the history of each database says what it has.

        Args:
            names: of the databases; None for all that are not read-only.
            target: the name of the last migration to apply; None for all.
            fake: whether only to note them as applied.
            workers: how many databases at the same time.
            on_error: ``"continue"`` with the other databases after a failure, or ``"stop"``.
            progress: True for a progress bar, or what to call with (done, total, name, error).

        Returns:
            What was done in each database; failures are in it and are not raised.

        Raises:
            MigrationError: there is no such target, or a file cannot be loaded; nothing was done then.
            ReadOnlyDatabase: a database that is named is read-only; nothing was done then.
            UnknownDatabase: a name is not in the registry.
        """
        files = self.files()
        target = None if target is None else _found(target, files).name
        report = MigrationReport("fake" if fake else "up")

        def work(runner: DatabaseRunner, done: Callable[[str], None]) -> None:
            runner.up(target, done, fake=fake)

        return self._each(report, names, files, work, workers, on_error, progress)

    def fake(self, names: Names = None, *, target: str | None = None, **options: Any) -> MigrationReport:
        """Note what is pending as applied, without running it.

        Args:
            names: as of `up`.
            target: as of `up`.
            options: the others of `up`.
        """
        return self.up(names, target=target, fake=True, **options)

    def down(
        self,
        names: Names = None,
        *,
        target: str | None = None,
        workers: int = 8,
        on_error: str = "continue",
        progress: Progress = False,
    ) -> MigrationReport:
        """Undo migrations, the last one first, until the target is undone too.

        Args:
            names: as of `up`.
            target: the last one to undo; None for the latest that any of the databases has.
            workers: as of `up`.
            on_error: as of `up`.
            progress: as of `up`.

        Raises:
            MigrationError: there is no such target, or a file cannot be loaded; nothing was done then.
            ReadOnlyDatabase: a database that is named is read-only; nothing was done then.
            UnknownDatabase: a name is not in the registry.
        """
        files = self.files()
        report = MigrationReport("down")
        if target is None:
            latest = self._latest(names, files)
        else:
            latest = _found(target, files).name
        if latest is None:
            report.done = {name: [] for name in self._writable(names, report)}
            return report

        def work(runner: DatabaseRunner, done: Callable[[str], None]) -> None:
            runner.down(latest, done)

        return self._each(report, names, files, work, workers, on_error, progress)

    def mark_done(self, migration: str, names: Names) -> None:
        """Note a migration as applied in databases, whatever was left of it: somebody has looked.

        Args:
            migration: its name.
            names: of the databases.

        Raises:
            MigrationError: there is no such migration.
            MigrationLocked: somebody else is migrating one of the databases.
        """
        self._mark(migration, names, "up")

    def mark_undone(self, migration: str, names: Names) -> None:
        """Note a migration as not applied in databases, whatever was left of it: somebody has looked.

        Args:
            migration: its name.
            names: of the databases.

        Raises:
            MigrationLocked: somebody else is migrating one of the databases.
        """
        self._mark(migration, names, "down")

    def _mark(self, migration: str, names: Names, direction: str) -> None:
        files = self.files()
        if direction == "down" and migration not in {file.name for file in files}:
            files.append(MigrationFile(migration, "", "", None, {}))
        file = _found(migration, files)
        report = MigrationReport("mark")
        for name in self._writable(names, report):
            with self.registry[name].connection_context():
                self._runner(name, files).mark(file, direction)

    def _runner(self, name: str, files: Sequence[MigrationFile]) -> DatabaseRunner:
        return DatabaseRunner(name, self.registry[name], files, self.table, self.wait)

    def _each(
        self,
        report: MigrationReport,
        names: Names,
        files: Sequence[MigrationFile],
        work: Callable[[DatabaseRunner, Callable[[str], None]], None],
        workers: int,
        on_error: str,
        progress: Progress,
    ) -> MigrationReport:
        wanted = self._writable(names, report)
        changed: dict[str, list[str]] = {}

        def migrate(name: str) -> None:
            runner = self._runner(name, files)
            done = report.done.setdefault(name, [])
            before = runner.history.read().checksums
            for file in files:
                if before.get(file.name, file.checksum) != file.checksum:
                    changed.setdefault(file.name, []).append(name)
            work(runner, done.append)

        outcome = for_each_database(
            migrate,
            wanted,
            registry=self.registry,
            workers=workers,
            on_error=on_error,
            progress=progress,
        )
        report.failed.update(outcome.failed)
        report.not_started += outcome.not_started
        report.done = {name: report.done[name] for name in wanted if name in report.done}
        report.warnings += [
            f"{migration} was changed after it was applied to {', '.join(sorted(where))}; what was changed "
            "has not been run there. Put the change into a migration of its own."
            for migration, where in sorted(changed.items())
        ]
        return report

    def _writable(self, names: Names, report: MigrationReport) -> list[str]:
        found = []
        for name in chosen(names, self.registry):
            if not self.registry.entries[name].read_only:
                found.append(name)
            elif names is None:
                report.passed_over[name] = "it is configured read_only"
            else:
                raise ReadOnlyDatabase(
                    f"database {name!r} is configured read_only and is not migrated; nothing was done in any "
                    "database. Leave the name out, or take read_only out of its settings."
                )
        return found

    def _latest(self, names: Names, files: Sequence[MigrationFile]) -> str | None:
        """Return the latest migration that is applied in any of the databases."""
        status = self.status(names)
        having = {reports.APPLIED, reports.CHANGED, reports.HALF_DONE}
        applied = {
            migration
            for states in status.states.values()
            for migration, state in states.items()
            if state in having
        }
        return next((file.name for file in reversed(files) if file.name in applied), None)

    # Looking

    def status(self, names: Names = None, *, workers: int = 8) -> MigrationStatus:
        """Return which database has which migration; nothing is written anywhere.

        Args:
            names: of the databases; None for all that are not read-only.
            workers: how many databases are asked at the same time.
        """
        files = self.files()
        report = MigrationReport("status")
        wanted = self._writable(names, report)
        outcome = for_each_database(
            lambda name: self._states(name, files), wanted, registry=self.registry, workers=workers
        )
        states = {name: outcome.results[name] for name in wanted if name in outcome.results}
        migrations = reports.merged(states.values(), [file.name for file in files])
        filled = {
            name: {one: known.get(one, reports.ELSEWHERE) for one in migrations}
            for name, known in states.items()
        }
        return MigrationStatus(migrations, filled, dict(outcome.failed), report.passed_over)

    def _states(self, name: str, files: Sequence[MigrationFile]) -> dict[str, str]:
        database = self.registry[name]
        recorded = History(database, self.table).read()
        states = dict.fromkeys(recorded.applied, reports.GONE)
        engine = traits_of(database).engine
        for file in files:
            if file.name in recorded.applied:
                same = recorded.checksums.get(file.name, file.checksum) == file.checksum
                states[file.name] = reports.APPLIED if same else reports.CHANGED
            elif file.concerns(name, engine):
                states[file.name] = reports.PENDING
        return {**states, **dict.fromkeys(recorded.half_done, reports.HALF_DONE)}

    def dry_run(
        self,
        names: Names = None,
        *,
        target: str | None = None,
        direction: str = "up",
        workers: int = 8,
    ) -> DryRun:
        """Return the SQL that `up` or `down` would run in each database, and run none of it.

        Args:
            names: as of `up`.
            target: as of `up` and `down`.
            direction: ``"up"`` or ``"down"``.
            workers: how many databases at the same time.

        Raises:
            MigrationError: there is no such target, or a file cannot be loaded.
        """
        files = self.files()
        if target is not None:
            target = _found(target, files).name
        elif direction == "down":
            target = self._latest(names, files)
        report = MigrationReport("dry run")
        wanted = self._writable(names, report)

        def look(name: str) -> Any:
            runner = self._runner(name, files)
            recorded = runner.history.read()
            if direction == "up":
                todo = runner.pending(recorded, target)
            else:
                todo = [] if target is None else runner.applied(recorded, target)
            return rehearsed(runner, todo, direction)

        outcome = for_each_database(look, wanted, registry=self.registry, workers=workers)
        found = {name: outcome.results[name] for name in wanted if name in outcome.results}
        return DryRun(found, dict(outcome.failed), report.passed_over)

    # Writing files

    def create(self, name: str) -> str:
        """Write the skeleton of a migration, numbered next, and return its path.

        Args:
            name: what it is about, in a few words.
        """
        return _skeleton(self.directory, name, None)

    def make(self, name: str, names: Names = None) -> list[str]:
        """Write the migrations that bring the databases to the models, and return their paths.

        Databases that need the same get one file, which names them. Nothing is run.

        Args:
            name: what it is about, in a few words.
            names: of the databases; None for all that are not read-only.

        Raises:
            MigrationError: there are no models, or migrations that are pending, so that the difference is
                not known yet.
        """
        if not self.models:
            raise MigrationError("make() compares models with databases: hand them to Migrations(models=...).")
        status = self.status(names)
        left = {**status.names(reports.PENDING), **status.names(reports.HALF_DONE)}
        if left or status.failed:
            where = ", ".join([*left, *status.failed])
            raise MigrationError(
                f"What is pending has to be applied first, in {where}: what the models lack is not known "
                "before that. See multidb migrate --status."
            )
        bodies = generated(self.models, list(status.states), self.registry)
        return [_skeleton(self.directory, name, body) for body in bodies]


def _skeleton(directory: str, name: str, body: str | None) -> str:
    numbers = [migration.idx for migration in stock.Migration.load_directory(directory)]
    slug = "".join(c if c.isalnum() else "_" for c in name.strip().lower()).strip("_") or "migration"
    path = Path(directory) / f"{max(numbers, default=0) + 1:04d}_{slug}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body or stock.TEMPLATE % name, encoding="utf-8")
    return str(path)


def _found(name: str, files: Sequence[MigrationFile]) -> MigrationFile:
    """Return the migration of a name, or of the number that it begins with.

    Raises:
        MigrationError: there is none, or several.
    """
    exact = [file for file in files if file.name == name]
    alike = exact or [file for file in files if file.name.startswith(name)]
    if len(alike) == 1:
        return alike[0]
    known = [file.name for file in files]
    if alike:
        raise MigrationError(f"{name!r} may be any of {', '.join(file.name for file in alike)}.")
    raise MigrationError(f"No migration is called {name!r}; {nearest(name, known)}.")
