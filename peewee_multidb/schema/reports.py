"""What came of migrating many databases, and who has what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import MigrationError

__all__ = ["MigrationReport", "MigrationStatus", "table"]


@dataclass
class MigrationReport:
    """What `Migrations.up`, `down` and `fake` did in each database.

    Attributes:
        action: ``"up"``, ``"down"`` or ``"fake"``.
        done: the migrations that were applied (or undone) by this run for good, by database name; an empty
            list where nothing was left to do.
        failed: what stopped a database, by name; what it had done before is in `done`.
        passed_over: why a database was left alone, by name.
        not_started: the databases that were left when the run stopped.
        warnings: what somebody should know, a line each.
    """

    action: str
    done: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    not_started: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every database is where it was to be brought."""
        return not (self.failed or self.not_started)

    def raise_for_failures(self) -> None:
        """Raise unless all is well.

        Raises:
            MigrationError: with every failure in its message, and the first one as its cause.
        """
        if self.ok:
            return
        lines = [f"{len(self.failed)} database(s) failed, {len(self.not_started)} not started:"]
        lines += [f"  {error}" for error in self.failed.values()]
        raise MigrationError("\n".join(lines)) from next(iter(self.failed.values()), None)

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the database, the outcome and what was done or said, a row for each."""
        found = []
        for name, migrations in self.done.items():
            outcome = "failed" if name in self.failed else "done" if migrations else "nothing to do"
            said = [str(self.failed[name])] if name in self.failed else []
            found.append((name, outcome, "; ".join([*migrations, *said])))
        for name, error in self.failed.items():
            if name not in self.done:
                found.append((name, "failed", f"{type(error).__name__}: {error}"))
        found += [(name, "passed over", why) for name, why in self.passed_over.items()]
        found += [(name, "not started", "") for name in self.not_started]
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "action": self.action,
            "ok": self.ok,
            "done": {name: list(migrations) for name, migrations in self.done.items()},
            "failed": {name: f"{type(error).__name__}: {error}" for name, error in self.failed.items()},
            "passed_over": dict(self.passed_over),
            "not_started": list(self.not_started),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        lines = table(("database", self.action, ""), self.rows())
        return "\n".join([*lines, *(f"warning: {one}" for one in self.warnings)])


#: What a migration can be in a database.
APPLIED, PENDING, HALF_DONE, CHANGED, GONE, ELSEWHERE = (
    "applied",
    "pending",
    "half done",
    "changed",
    "file gone",
    "-",
)


@dataclass
class MigrationStatus:
    """Who has what.

    Attributes:
        migrations: the names of all, in their order; those whose files are gone too.
        states: for each database by name the state of each migration by name: ``"applied"``, ``"pending"``,
            ``"half done"``, ``"changed"`` (applied, but the file is another now), ``"file gone"`` or ``"-"``
            where it is not concerned.
        failed: databases that did not answer, by name.
        passed_over: why a database was left out, by name.
    """

    migrations: list[str]
    states: dict[str, dict[str, str]]
    failed: dict[str, Exception] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing is pending or half done anywhere, and every database answered."""
        left = {PENDING, HALF_DONE}
        return not self.failed and not any(left & set(states.values()) for states in self.states.values())

    def names(self, state: str) -> dict[str, list[str]]:
        """Return the migrations that are in a state, by database name; only databases that have one."""
        found = {
            name: [migration for migration in self.migrations if states.get(migration) == state]
            for name, states in self.states.items()
        }
        return {name: migrations for name, migrations in found.items() if migrations}

    def rows(self) -> list[tuple[str, ...]]:
        """Return the name and the state of each migration, a row for each database."""
        return [(name, *(states[one] for one in self.migrations)) for name, states in self.states.items()]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "complete": self.complete,
            "migrations": list(self.migrations),
            "states": {name: dict(states) for name, states in self.states.items()},
            "failed": {name: f"{type(error).__name__}: {error}" for name, error in self.failed.items()},
            "passed_over": dict(self.passed_over),
        }

    def __str__(self) -> str:
        lines = table(("database", *self.migrations), self.rows())
        lines += [f"{name}: no answer ({error})" for name, error in self.failed.items()]
        lines += [f"{name}: passed over, {why}" for name, why in self.passed_over.items()]
        return "\n".join(lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table of texts."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]


def merged(states: Iterable[Mapping[str, str]], files: Sequence[str]) -> list[str]:
    """Return the names of all migrations that any database knows, those without files in their place."""
    gone = {name for one in states for name in one} - set(files)
    return sorted({*files, *gone}) if gone else list(files)
