"""What a migration would run, without running it.

SQLite's migrations look at what they did a moment before, so there they are run: in memory, on a copy of the
file's schema without its rows. On a server, what reads is asked and what writes is written down; what a
migration adds to a table is remembered for the steps that look for it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import peewee
from playhouse import migrate  # type: ignore[import-untyped]

from .. import scope
from ..statements import only_reads
from .files import MigrationFile
from .migrators import migrator_of
from .runner import DatabaseRunner

__all__ = ["DryRun", "Step", "rehearsed"]

#: What is asked of the catalog, in the words of Peewee.
CATALOG = (
    "get_columns",
    "get_foreign_keys",
    "get_indexes",
    "get_primary_keys",
    "get_tables",
    "get_views",
    "sequence_exists",
    "table_exists",
    "get_check_constraints",
    "get_collation",
    "get_default_constraints",
    "get_index_definitions",
)
#: What surrounds statements and says nothing about the schema.
MARKS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SAVE TRAN", "PRAGMA FOREIGN_KEYS")


@dataclass(frozen=True)
class Step:
    """One migration in one database.

    Attributes:
        migration: its name.
        statements: the SQL, with the parameters of each behind it.
        note: why the list ends early, or None.
    """

    migration: str
    statements: tuple[str, ...]
    note: str | None = None


@dataclass
class DryRun:
    """What would be run where; printed, databases with the same SQL are shown together.

    Attributes:
        steps: the migrations by database name, in their order.
        failed: databases that could not be looked at, by name.
        passed_over: why a database was left out, by name.
    """

    steps: dict[str, list[Step]]
    failed: dict[str, Exception] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "steps": {
                name: [
                    {"migration": one.migration, "statements": list(one.statements), "note": one.note}
                    for one in steps
                ]
                for name, steps in self.steps.items()
            },
            "failed": {name: f"{type(error).__name__}: {error}" for name, error in self.failed.items()},
            "passed_over": dict(self.passed_over),
        }

    def __str__(self) -> str:
        alike: dict[tuple[Step, ...], list[str]] = {}
        for name, steps in self.steps.items():
            alike.setdefault(tuple(steps), []).append(name)
        lines = []
        for steps_of, names in alike.items():
            lines.append(f"-- {', '.join(names)}" + ("" if steps_of else ": nothing to do"))
            for step in steps_of:
                lines.append(f"-- {step.migration}")
                lines += [f"{sql};" for sql in step.statements]
                lines += [] if step.note is None else [f"-- {step.note}"]
        lines += [f"-- {name}: {type(error).__name__}: {error}" for name, error in self.failed.items()]
        lines += [f"-- {name}: passed over, {why}" for name, why in self.passed_over.items()]
        return "\n".join(lines)


def rehearsed(runner: DatabaseRunner, files: Sequence[MigrationFile], direction: str) -> list[Step]:
    """Return what the migrations would run in a database.

    Args:
        runner: of the database.
        files: the migrations, in the order in which they would be run.
        direction: ``up`` or ``down``.
    """
    if not files:
        return []
    statements: list[str] = []
    if runner.engine == "sqlite":
        database, migrator = _in_memory(runner.database, statements)
    else:
        database = _recorder(runner.database, statements)
        migrator = _seeing(migrator_of(database, runner.name))
    steps = []
    scope.push(_Into(database))
    try:
        for file in files:
            del statements[:]
            note = None
            try:
                file.loaded().function(direction, runner.engine)(migrator, database)
            except Exception as error:
                note = f"what follows cannot be told without running this ({type(error).__name__}: {error})"
            steps.append(Step(file.name, tuple(statements), note))
            if note is not None:
                break
    finally:
        scope.pop(scope.current().entry)  # type: ignore[union-attr]
        if runner.engine == "sqlite":
            database.close()
    return steps


def _shown(sql: str, params: Any) -> str:
    text = " ".join(sql.split()).rstrip(";")
    if not params:
        return text
    return f"{text}  /* {json.dumps(list(params), default=str)} */"


def _is_mark(sql: str) -> bool:
    return " ".join(sql.upper().split()).startswith(MARKS)


def _in_memory(database: Any, statements: list[str]) -> tuple[Any, Any]:
    """Return an empty database in memory with the schema of an SQLite file, and its migrator."""
    memory: Any = peewee.SqliteDatabase(":memory:")
    memory.connect()
    rows = database.execute_sql(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite#_%' ESCAPE '#' "
        "ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 ELSE 3 END, rowid"
    ).fetchall()
    made = set()
    for name, sql in rows:
        if name not in made:
            memory.execute_sql(sql)
            # A virtual table brings tables of its own.
            made = {one for (one,) in memory.execute_sql("SELECT name FROM sqlite_master")}

    def note(event: Any) -> None:
        if event.exception is None and not only_reads(event.sql) and not _is_mark(event.sql):
            statements.append(_shown(event.sql, event.params))

    memory.query_hooks.append(note)
    return memory, migrate.SchemaMigrator.from_database(memory)


class _Into:
    """The scope in which every model, wherever it lives, is in the database of the rehearsal."""

    role: str | None = None
    renames: Mapping[str, str] = {}
    final = True
    bounds_roles = True
    places = True

    def __init__(self, database: Any) -> None:
        self.database = database

    def place(self, home: Any) -> Any:
        return self.database

    def vouches(self, home: Any) -> bool:
        return True

    def mentions(self, home: Any) -> bool:
        return True

    def concerns(self, home: Any) -> bool:
        return False


class _NoRows:
    """The cursor of a statement that was not run."""

    rowcount = 0
    lastrowid = None
    description = None

    def fetchone(self) -> None:
        return None

    def fetchall(self) -> list[Any]:
        return []

    def __iter__(self) -> Any:
        return iter(())

    def close(self) -> None:
        """There is nothing to close."""


class _Recording:
    """Mixin of a Database class: what reads is asked of the real one, and the rest is written down."""

    _real: Any
    _recorded: list[str]

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if only_reads(sql):
            return self._real.execute_sql(sql, params)
        if not _is_mark(sql):
            self._recorded.append(_shown(sql, params))
        return _NoRows()

    def begin(self, *args: Any, **kwargs: Any) -> None:
        """No transaction is begun."""

    def commit(self) -> None:
        """There is nothing to commit."""

    def rollback(self) -> None:
        """There is nothing to roll back."""

    def last_insert_id(self, cursor: Any, query_type: Any = None) -> None:
        return None


def _asking(name: str) -> Any:
    def ask(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._real, name)(*args, **kwargs)

    return ask


def _recorder(database: Any, statements: list[str]) -> Any:
    asking = {name: _asking(name) for name in CATALOG if hasattr(database, name)}
    recorder = copy.copy(database)
    recorder.__class__ = type("Recorder", (_Recording, type(database)), asking)
    # Peewee keeps the base class of `db.Model` there, which is bound to the real database.
    recorder.__dict__.pop("_Model", None)
    recorder._real, recorder._recorded = database, statements
    return recorder


def _seeing(migrator: Any) -> Any:
    """Return a migrator that finds the columns that it would have added."""
    if hasattr(migrator, "_get_column_definition"):
        migrator.__class__ = type("Seeing", (_SeeingMySQL, type(migrator)), {})
    elif hasattr(migrator, "_around_indexes"):
        migrator.__class__ = type("Seeing", (_SeeingMSSQL, type(migrator)), {})
    migrator.added = {}
    return migrator


class _Seeing:
    database: Any
    added: dict[tuple[str, str], Any]

    @migrate.operation  # type: ignore[untyped-decorator]
    def alter_add_column(self, table: str, column_name: str, field: Any, *args: Any, **kwargs: Any) -> Any:
        self.added[table, column_name] = self._described(table, column_name, field)
        operation = super().alter_add_column(table, column_name, field, *args, **kwargs)  # type: ignore[misc]
        return operation

    def _described(self, table: str, column: str, field: Any) -> Any:
        raise NotImplementedError

    def _kind(self, field: Any) -> str:
        ctx = self.database.get_sql_context()
        kind: str = ctx.sql(field.ddl_datatype(ctx)).query()[0]
        return kind


class _SeeingMySQL(_Seeing):
    def _described(self, table: str, column: str, field: Any) -> Any:
        return migrate.MySQLColumn(column, self._kind(field), "YES", "", None, "")

    def _get_column_definition(self, table: str, column_name: str) -> Any:
        added = self.added.get((table, column_name))
        return added or super()._get_column_definition(table, column_name)  # type: ignore[misc]


class _SeeingMSSQL(_Seeing):
    def _described(self, table: str, column: str, field: Any) -> Any:
        kind = self._kind(field)
        name = kind.partition("(")[0]
        return peewee.ColumnMetadata(column, name, True, False, table, None, kind, False)

    def _column(self, table: str, column: str) -> Any:
        return self.added.get((table, column)) or super()._column(table, column)  # type: ignore[misc]
