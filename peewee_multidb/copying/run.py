"""`Copy`: tables from one database to another, killed and resumed at any point, and verified in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import peewee

from ..errors import CopyError, CopyRefused, MultiDBError
from ..model.ddl import selected
from ..model.stock import stock
from ..rebalance.progress import Progress, drawn, silent
from ..rebalance.tables import Row, digest
from ..registry import Databases, databases
from .checks import check_databases, check_models, problems_of_columns, problems_of_rows
from .plan import Copied, CopyPlan, CopyReport, PlannedTable
from .state import State, States
from .tables import CopyTable, set_sequence, taking_rows
from .verifying import MODULUS, differences, shown, sum_of, sum_of_keys

__all__ = ["Copied", "Copy", "CopyPlan", "CopyReport"]

Advance = Callable[[int], None]


class Copy:
    """Copies the tables of models from one database to another, which may be of another engine.

    Every batch is one transaction of the target, together with the note of how far the copy has come, so a
    copy that was killed is finished by another one. Rows that change in the source meanwhile are not
    followed: the comparison in the end tells of them.

    Args:
        models: the models whose tables are copied; parents go before those that refer to them.
        source: the database name to read from.
        target: the database name to write to.
        registry: where the names are looked up.
        batch: how many rows are read and written at a time; this bounds the memory.
        progress: True for a bar drawn by rich, or a function as `rebalance.Progress` describes.

    Raises:
        ConfigurationError: the models or databases do not go together; see the message.
        ReadOnlyDatabase: the target is configured as read-only.
        UnknownDatabase: a name is not configured.
    """

    def __init__(
        self,
        models: Sequence[Any],
        source: str,
        target: str,
        *,
        registry: Databases = databases,
        batch: int = 1000,
        progress: Progress | bool = False,
    ) -> None:
        check_models(models, registry, target)
        self.source, self.target, self.batch = source, target, batch
        self.models: list[Any] = list(_sort_models(models))
        self._from, self._to = check_databases(registry, source, target)
        self._progress: Progress = (drawn if progress else silent) if isinstance(progress, bool) else progress
        self._states = States(self._to)
        self._tables = {
            model: (CopyTable(self._from, model), CopyTable(self._to, model)) for model in self.models
        }

    # Planning

    def plan(self, *, append: bool = False, resume: bool = False) -> CopyPlan:
        """Return what would be copied, and why that cannot be done if it cannot; nothing is changed.

        Every row is looked at whose type says that it may not fit. A table that is yet to be made is not
        compared: the copy itself does so before the first row.

        Args:
            append: as for `run`.
            resume: as for `run`.
        """
        states, planned = self._states.all(), []
        for model in self.models:
            table, other = self._tables[model]
            exists = _exists(other)
            state = states.get(other.plain_name)
            planned.append(
                PlannedTable(
                    model.__name__,
                    table.plain_name,
                    table.count(),
                    exists,
                    None if state is None else state.rows,
                    (
                        *self._refusals(model, states, append, resume),
                        *(self._problems(model, state) if exists else ()),
                    ),
                )
            )
        return CopyPlan(self.source, self.target, tuple(planned))

    def _problems(self, model: Any, state: State | None) -> list[str]:
        table, other = self._tables[model]
        found = problems_of_columns(table, other, (self.source, self.target))
        if not found and (state is None or state.stage == "rows"):
            after = None if state is None else state.position
            with self._progress(f"check {model.__name__}", table.count()) as advance:
                found = problems_of_rows(table, other, self.batch, after, advance)
        return found

    # Copying

    def run(self, *, append: bool = False, resume: bool = False) -> CopyReport:
        """Copy, and compare both sides.

        Args:
            append: copy into tables that have rows already.
            resume: go on with a copy that was interrupted; begins one where none was.

        Raises:
            CopyRefused: values do not fit; a table is not empty; an unfinished copy is there; or a table is
                missing in the target, and its model is not managed.
            CopyError: both sides differ in the end: then it has the attribute `report`; or another process
                copies the same table.
        """
        began = time.monotonic()
        states = self._states.all()
        for model in self.models:
            for refusal in self._refusals(model, states, append, resume):
                raise CopyRefused(refusal)
        made = self._make_tables()
        try:
            problems = [
                problem
                for model in self.models
                for problem in self._problems(model, states.get(self._tables[model][1].plain_name))
            ]
            if problems:
                raise CopyRefused(f"nothing was copied from {self.source!r}: {'; '.join(problems)}")
        except Exception:
            # Where the server is gone, so is the reason to be told of the tables.
            with suppress(peewee.PeeweeException):
                self._drop_tables(made)
            raise
        self._states.create()
        done = []
        with taking_rows(self._to):
            for model in self.models:
                with self._told(model):
                    done.append(self._copy(model, states, append))
        tables = tuple(self._verified(model, state) for model, state in zip(self.models, done, strict=True))
        report = CopyReport(self.source, self.target, tables, time.monotonic() - began)
        if not report.ok:
            raise _differing(report)
        self._states.drop()
        return report

    def _refusals(self, model: Any, states: dict[str, State], append: bool, resume: bool) -> Iterator[str]:
        """Yield why the copy of a table may not begin, whatever its rows are."""
        other = self._tables[model][1]
        name = other.plain_name
        state = states.get(name)
        if state is not None and not resume:
            yield (
                f"a copy of {name!r} from {state.source!r} to {self.target!r} is unfinished, with "
                f"{state.rows:,} rows there: go on with --resume (resume=True)"
            )
        elif state is not None and state.source != self.source:
            yield (
                f"the unfinished copy of {name!r} to {self.target!r} is from {state.source!r}, not from "
                f"{self.source!r}"
            )
        if not _exists(other):
            if not model._meta.home.managed:
                yield (
                    f"{model.__name__} has managed = False in its Meta, so no table is made for it: make "
                    f"{model._meta.table_name!r} in {self.target!r} first"
                )
        elif not append and state is None and not other.is_empty():
            yield (
                f"the table {name!r} of {self.target!r} is not empty: empty it, or add to it with --append "
                "(append=True)"
            )

    def _make_tables(self) -> list[Any]:
        missing = [model for model in self.models if not _exists(self._tables[model][1])]
        for model in missing:
            with self._all_in_target():
                stock.Model.create_table.__func__(model, safe=True)
        return missing

    def _drop_tables(self, models: Sequence[Any]) -> None:
        """Take back what was made for a copy that did not begin."""
        for model in reversed(models):
            with self._all_in_target():
                stock.Model.drop_table.__func__(model, safe=True)

    @contextmanager
    def _all_in_target(self) -> Iterator[None]:
        with ExitStack() as scopes:
            # All of them, so that foreign keys among them become constraints.
            for model in self.models:
                scopes.enter_context(selected(model, self.target, self.models))
            yield

    def _copy(self, model: Any, states: dict[str, State], append: bool) -> State:
        table, other = self._tables[model]
        state = states.get(other.plain_name) or self._states.begin(other.plain_name, self.source, append)
        later = self._later(model)
        if state.stage == "rows":
            state = self._copy_rows(table, other, state, later)
        if state.stage == "links":
            state = self._copy_links(table, other, state, later)
        set_sequence(other)
        return state

    @contextmanager
    def _told(self, model: Any) -> Iterator[None]:
        """What a server or a driver says while rows are on their way, together with what is there then."""
        try:
            yield
        except MultiDBError:
            raise
        except (peewee.PeeweeException, OSError, ValueError, TypeError, ArithmeticError) as error:
            raise CopyError(
                f"the copy of {model._meta.table_name!r} from {self.source!r} to {self.target!r} stopped "
                f"({type(error).__name__}: {error}). Of the batch that failed nothing is there, and of those "
                "before it everything. Put right what is in the way and go on with --resume (resume=True)"
            ) from error

    def _later(self, model: Any) -> list[Any]:
        """Return the references of a model to rows that are copied later: to itself, or in a circle."""
        position = {one: number for number, one in enumerate(self.models)}
        return [
            field
            for field in model._meta.refs
            if position.get(field.rel_model, -1) >= position[model] and field.null
        ]

    def _copy_rows(self, table: CopyTable, other: CopyTable, state: State, later: Sequence[Any]) -> State:
        names = {field.name for field in later}
        later_at = {at for at, field in enumerate(table.fields) if field.name in names}
        with self._progress(f"copy {table.model.__name__}", table.count()) as advance:
            advance(state.rows)
            for page in table.pages(self.batch, state.position):
                rows = [_without(row, later_at) for row in page] if later else page
                with self._to.atomic():
                    other.insert(rows)
                    state = self._states.go_on(
                        state,
                        position=table.key_of(page[-1]),
                        rows=state.rows + len(page),
                        checksum=(state.checksum + sum(map(digest, page))) % MODULUS,
                    )
                advance(len(page))
        return self._states.go_on(state, stage="links" if later else "done", position=None)

    def _copy_links(self, table: CopyTable, other: CopyTable, state: State, later: Sequence[Any]) -> State:
        width = len(table.keys)
        with self._progress(f"link {table.model.__name__}", state.rows) as advance:
            for page in table.pages(self.batch, state.position, later):
                linked = [row for row in page if any(value is not None for value in row[width:])]
                with self._to.atomic():
                    other.link([row[:width] for row in linked], later, [row[width:] for row in linked])
                    state = self._states.go_on(state, position=page[-1][:width])
                advance(len(page))
        return self._states.go_on(state, stage="done", position=None)

    # Comparing

    def _verified(self, model: Any, state: State) -> Copied:
        table, other = self._tables[model]
        with self._progress(f"verify {model.__name__}", 2 * state.rows) as advance:
            # Both sides are read anew: what was read while copying may have changed since.
            ours = sum_of(table, self.batch, advance)
            if state.appended:
                theirs = sum_of_keys(table, other, self.batch, advance)
            else:
                theirs = sum_of(other, self.batch, advance)
        found: list[str] = []
        if ours != theirs:
            found = differences(table, other, self.batch)
            has_changed = theirs == (state.rows, state.checksum)
            found.append(
                f"{other.plain_name!r} has what was read: the source has changed since then"
                if has_changed
                else f"{other.plain_name!r} does not have what was read: somebody else wrote to it, or it "
                "keeps other values"
            )
        return Copied(
            model.__name__,
            table.plain_name,
            ours[0],
            shown(ours[1]),
            theirs[0],
            shown(theirs[1]),
            tuple(found),
        )


def _without(row: Row, without: set[int]) -> Row:
    return tuple(None if at in without else value for at, value in enumerate(row))


def _exists(table: CopyTable) -> bool:
    return bool(table.database.table_exists(table.plain_name, schema=table.model._meta.schema))


def _differing(report: CopyReport) -> CopyError:
    texts = []
    for table in report.tables:
        if not table.ok:
            texts.append(
                f"{table.model}: {table.rows:,} rows with checksum {table.checksum} in the source, "
                f"{table.target_rows:,} with {table.target_checksum} in the target"
            )
            texts += table.differences
    error = CopyError(
        f"{report.source!r} and {report.target!r} differ after the copy: {'; '.join(texts)}. Rows that "
        "changed in the source meanwhile are not followed: copy again, while nobody writes"
    )
    error.report = report
    return error


# Not in Peewee's type stubs.
_sort_models: Any = peewee.sort_models  # type: ignore[attr-defined]
