"""Tables of many models in many databases: made and dropped where each model lives, with a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import peewee

from .. import scope
from ..errors import ForEachFailed, MultiDBError, ReadOnlyDatabase
from ..foreach import for_each_database
from ..model.ddl import selected
from ..model.stock import stock
from ..registry import Databases, databases
from .placing import Names, is_read_only, living_in, scope_of, sorted_models
from .reports import table as text_table

__all__ = ["TableReport", "create", "drop"]

Progress = bool | Callable[[int, int, str, Any], object]


@dataclass
class TableReport:
    """What `create` or `drop` did.

    Attributes:
        action: ``"created"`` or ``"dropped"``.
        done: the tables that were made or dropped, by database name.
        already: the tables that were there before (or that were not there to be dropped), by database name.
        passed_over: what was left alone, a model or a database and why.
        failed: what stopped a database, by name; what was done before is in `done`.
    """

    action: str
    done: dict[str, list[str]] = field(default_factory=dict)
    already: dict[str, list[str]] = field(default_factory=dict)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no database failed."""
        return not self.failed

    def raise_for_failures(self) -> None:
        """Raise unless all is well.

        Raises:
            ForEachFailed: with every failure in its message, and the first one as its cause.
        """
        if self.failed:
            lines = [f"  {name}: {type(error).__name__}: {error}" for name, error in self.failed.items()]
            message = "\n".join([f"{len(self.failed)} database(s) failed:", *lines])
            raise ForEachFailed(message, report=self) from next(iter(self.failed.values()))

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the database, the outcome and the tables, a row for each."""
        other = "already there" if self.action == "created" else "not there"
        rows = []
        for name in self.done:
            for outcome, tables in ((self.action, self.done[name]), (other, self.already.get(name, []))):
                if tables:
                    rows.append((name, outcome, ", ".join(tables)))
        rows += [(name, "failed", f"{type(error).__name__}: {error}") for name, error in self.failed.items()]
        return [*rows, *((what, "passed over", why) for what, why in self.passed_over)]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "ok": self.ok,
            self.action: {name: list(tables) for name, tables in self.done.items() if tables},
            "already": {name: list(tables) for name, tables in self.already.items() if tables},
            "passed_over": [{"what": what, "why": why} for what, why in self.passed_over],
            "failed": {name: f"{type(error).__name__}: {error}" for name, error in self.failed.items()},
        }

    def __str__(self) -> str:
        return "\n".join(text_table(("database", "", "tables"), self.rows()))


def create(
    models: Iterable[Any],
    names: Names = None,
    *,
    registry: Databases = databases,
    workers: int = 8,
    progress: Progress = False,
) -> TableReport:
    """Create the tables that are missing, where each model lives; a table that is there is left as it is.

    Args:
        models: model classes; parents are made first.
        names: only in these databases; None for all. A model without a home is made in each that is named.
        registry: of the databases.
        workers: how many databases at the same time.
        progress: True for a progress bar, or what to call with (done, total, name, error).

    Returns:
        What was made where. Models with ``managed = False`` and read-only databases are passed over and said.

    Raises:
        ReadOnlyDatabase: a database that is named is read-only; nothing was done then.
        UnknownDatabase: a name is not in the registry.
        ConfigurationError: something is no model of this package.
    """
    ordered = sorted_models(models)
    unprepared: dict[int, peewee.PeeweeException] = {}
    for model in ordered:
        rule = model._meta.home.rule
        prepare = getattr(rule, "prepare", None)
        if prepare is None or not model._meta.home.managed or id(rule) in unprepared:
            continue
        try:
            prepare()
        except MultiDBError:
            raise
        except peewee.PeeweeException as error:
            unprepared[id(rule)] = error

    def make(model: Any) -> None:
        error = unprepared.get(id(model._meta.home.rule))
        if error is not None:
            raise peewee.OperationalError(
                f"{model.__name__} waits: a database of its shard map does not answer: {error}"
            ) from error
        stock.Model.create_table.__func__(model, safe=True)

    return _everywhere("created", ordered, make, names, registry, workers, progress)


def drop(
    models: Iterable[Any],
    names: Names = None,
    *,
    registry: Databases = databases,
    workers: int = 8,
    progress: Progress = False,
) -> TableReport:
    """Drop the tables of models, with their rows, where each model lives.

    Args:
        models: model classes; children are dropped first.
        names: as of `create`.
        registry: of the databases.
        workers: how many databases at the same time.
        progress: as of `create`.

    Raises:
        ReadOnlyDatabase: a database that is named is read-only; nothing was done then.
        UnknownDatabase: a name is not in the registry.
        ConfigurationError: something is no model of this package.
    """

    def take_away(model: Any) -> None:
        stock.Model.drop_table.__func__(model, safe=True, drop_sequences=True)

    ordered = sorted_models(models)[::-1]
    return _everywhere("dropped", ordered, take_away, names, registry, workers, progress)


def _everywhere(
    action: str,
    models: list[Any],
    work: Callable[[Any], None],
    names: Names,
    registry: Databases,
    workers: int,
    progress: Progress,
) -> TableReport:
    report = TableReport(action)
    managed = [model for model in models if model._meta.home.managed]
    report.passed_over += [
        (model.__name__, "managed = False in its Meta: its table is not ours")
        for model in models
        if model not in managed
    ]
    found, left = living_in(managed, names, registry)
    report.passed_over += left
    for name in [name for name in found if is_read_only(name, registry)]:
        if names is not None:
            raise ReadOnlyDatabase(
                f"database {name!r} is configured read_only: no table is {action} there, and nothing "
                "was done. Leave the name out, or take read_only out of its settings."
            )
        tables = ", ".join(model._meta.table_name for model in found.pop(name))
        if tables:
            report.passed_over.append((name, f"it is configured read_only: {tables}"))
    found = {name: models for name, models in found.items() if models}
    around = scope.current()
    wanted_before = action == "dropped"

    def do(name: str) -> None:
        done, already = report.done.setdefault(name, []), report.already.setdefault(name, [])
        with scope_of(around):
            for model in found[name]:
                with selected(model, name):
                    there = model.table_exists()
                    work(model)
                (done if there is wanted_before else already).append(model._meta.table_name)

    outcome = for_each_database(do, list(found), registry=registry, workers=workers, progress=progress)
    report.failed.update(outcome.failed)
    report.done = {name: report.done[name] for name in found if name in report.done}
    return report
