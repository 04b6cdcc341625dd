"""What a copy is going to do, and what it has done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Copied", "CopyPlan", "CopyReport", "PlannedTable"]


@dataclass(frozen=True)
class PlannedTable:
    """One table of a copy that has not begun.

    Attributes:
        model: the name of the model.
        table: the table.
        rows: how many rows the source has.
        exists: whether the target has the table; it is made otherwise.
        copied: how many rows an unfinished copy has brought already; None without one.
        problems: why it cannot be copied; a sentence each.
    """

    model: str
    table: str
    rows: int
    exists: bool
    copied: int | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CopyPlan:
    """What a copy would do.

    Attributes:
        source: the database name that is read.
        target: the database name that is written.
        tables: in the order in which they are copied.
    """

    source: str
    target: str
    tables: tuple[PlannedTable, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why it cannot be done; none if it can."""
        return tuple(problem for table in self.tables for problem in table.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        tables = [
            {
                "model": one.model,
                "table": one.table,
                "rows": one.rows,
                "exists": one.exists,
                "copied": one.copied,
                "problems": list(one.problems),
            }
            for one in self.tables
        ]
        return {"source": self.source, "target": self.target, "tables": tables, "ok": not self.problems}


@dataclass(frozen=True)
class Copied:
    """One table that was copied.

    Attributes:
        model: the name of the model.
        table: the table.
        rows: how many rows were read from the source.
        checksum: of these rows, as 32 hexadecimal digits.
        target_rows: how many of them the target has.
        target_checksum: of what the target has.
        differences: sentences about rows that differ; none when all is equal.
    """

    model: str
    table: str
    rows: int
    checksum: str
    target_rows: int
    target_checksum: str
    differences: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether both sides have the same rows."""
        return (self.rows, self.checksum) == (self.target_rows, self.target_checksum)


@dataclass(frozen=True)
class CopyReport:
    """What a copy has done.

    Attributes:
        source: the database name that was read.
        target: the database name that was written.
        tables: in the order in which they were copied.
        seconds: how long it took.
    """

    source: str
    target: str
    tables: tuple[Copied, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every table is equal on both sides."""
        return all(table.ok for table in self.tables)

    @property
    def rows(self) -> int:
        """How many rows were copied, of all tables."""
        return sum(table.rows for table in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        tables = [
            {
                "model": one.model,
                "table": one.table,
                "rows": one.rows,
                "checksum": one.checksum,
                "target_rows": one.target_rows,
                "target_checksum": one.target_checksum,
                "ok": one.ok,
                "differences": list(one.differences),
            }
            for one in self.tables
        ]
        return {
            "source": self.source,
            "target": self.target,
            "tables": tables,
            "rows": self.rows,
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
        }
