"""What came of each database."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..errors import ForEachFailed

__all__ = ["Interrupted", "Report"]

#: More databases than this, and the table lists those that need somebody's attention.
LONGEST_TABLE = 40


@dataclass
class Report:
    """What came of each database; printed, it is a table.

    Attributes:
        results: what the function returned, by name.
        failed: the exception that it raised, by name.
        skipped: names that an earlier run of the journal has done.
        not_started: names that were left when the run stopped.
        unfinished: names that were under way when it was given up, by a second Ctrl-C or by being cancelled.
        repeated: names that an earlier run had begun when it was killed, so that they were begun again.
        seconds: how long each took, by name.
        run: the run that the journal knows; None without one.
    """

    results: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    not_started: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    run: str | None = None

    def arrange(self, names: list[str]) -> None:
        """Put what is done and what failed into the order in which it was asked for.

        Args:
            names: the databases, in that order.
        """
        every: tuple[dict[str, Any], ...] = (self.results, self.failed, self.seconds)
        for found in every:
            for name in names:
                if name in found:
                    found[name] = found.pop(name)

    @property
    def ok(self) -> bool:
        """Whether every database is done, now or by an earlier run."""
        return not (self.failed or self.not_started or self.unfinished)

    def raise_for_failures(self) -> None:
        """Raise unless every database is done.

        Raises:
            ForEachFailed: with this report, and the first of the failures as its cause.
        """
        if not self.ok:
            raise ForEachFailed(self._sentence(), report=self) from next(iter(self.failed.values()), None)

    def _sentence(self) -> str:
        parts = [f"{len(self.results) + len(self.skipped)} of {len(self)} databases are done"]
        if self.failed:
            name, error = next(iter(self.failed.items()))
            others = f", and {len(self.failed) - 1} others" if len(self.failed) > 1 else ""
            parts.append(f"failed: {name!r} ({_told(error)}){others}")
        if self.unfinished:
            parts.append(f"under way when it was given up: {_listed(self.unfinished)}")
        if self.not_started:
            parts.append(f"not started: {_listed(self.not_started)}")
        return "; ".join(parts) + ". See the report attribute of this error."

    def __len__(self) -> int:
        return sum(map(len, self._groups().values()))

    def _groups(self) -> dict[str, list[str]]:
        return {
            "done": list(self.results),
            "skipped": self.skipped,
            "failed": list(self.failed),
            "unfinished": self.unfinished,
            "not started": self.not_started,
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return name, outcome, seconds and detail of every database, for a table."""
        rows = []
        for outcome, names in self._groups().items():
            for name in names:
                took = self.seconds.get(name)
                detail = _told(self.failed[name]) if outcome == "failed" else ""
                if outcome == "done" and self.results[name] is not None:
                    detail = _shortened(repr(self.results[name]))
                rows.append((name, outcome, "" if took is None else f"{took:.2f}", detail))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it: what the function returned as it is, errors as text."""
        return {
            "ok": self.ok,
            "run": self.run,
            "results": dict(self.results),
            "failed": {name: _told(error) for name, error in self.failed.items()},
            "skipped": list(self.skipped),
            "not_started": list(self.not_started),
            "unfinished": list(self.unfinished),
            "repeated": list(self.repeated),
            "seconds": {name: round(took, 4) for name, took in self.seconds.items()},
        }

    def as_json(self) -> str:
        """Return `as_dict` as text; a value that JSON does not know as its ``str``."""
        return json.dumps(self.as_dict(), indent=1, default=str)

    def __str__(self) -> str:
        rows = self.rows()
        left_out = 0
        if len(rows) > LONGEST_TABLE:
            kept = [row for row in rows if row[1] not in ("done", "skipped")][:LONGEST_TABLE]
            left_out, rows = len(rows) - len(kept), kept
        lines = _table([("database", "outcome", "seconds", ""), *rows]) if rows else []
        if left_out:
            lines.append(f"... and {left_out} more")
        counts = [f"{len(names)} {outcome}" for outcome, names in self._groups().items() if names]
        return "\n".join([*lines, ", ".join(counts) or "no databases"])


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while `for_each_database` ran: nothing new was started, and what ran was let finish.

    Attributes:
        report: what came of each database until then.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(f"interrupted: {str(report).splitlines()[-1]}")
        self.report = report


def _told(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return _shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _shortened(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _listed(names: list[str], most: int = 5) -> str:
    listed = ", ".join(repr(name) for name in names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} others"


def _table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{name:{widths[0]}}  {outcome:{widths[1]}}  {seconds:>{widths[2]}}  {detail}".rstrip()
        for name, outcome, seconds, detail in rows
    ]
