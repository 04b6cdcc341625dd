"""Running a plan: a query for each shard, the merge of their rows, and rows as the user wants them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from ... import drivers
from ... import scope as scopes
from ...drivers import streaming
from ...shards.feeding import Feeds
from ...shards.gathering import gather
from ...shards.jobs import Job, Options
from ...shards.merging import Tagged
from ..reading import read
from ..stock import stock
from ..tables import FRAME, SHOWN
from .grouping import is_grouped
from .planning import Plan, RowsPlan, plan_for
from .shards import Shards

__all__ = ["MergedRows", "count", "execute", "exists", "stream"]

#: Rows of a chunk that is read while the one before is used.
CHUNK = 1000


def execute(query: Any, shards: Shards) -> MergedRows:
    """Run a read on several shards and return its rows.

    Raises:
        ScatterNotSupported: the answer would not be that of one database.
        ShardFailed: a shard failed.
        ScatterTimeout: it took too long.
    """
    options = query._scatter_options()
    if _has_no_rows(query, shards):
        options.missing = {}
        return MergedRows(iter(()), options)
    run = _Run(query, shards, plan_for(query, shards))
    streams = _fetched(run, options)
    return MergedRows(run.rows(streams), options)


def stream(query: Any, shards: Shards) -> Iterator[Any]:
    """Run a read on several shards and yield its rows while they are read, in constant memory."""
    options = query._scatter_options()
    if _has_no_rows(query, shards) or shards.unasked:
        yield from execute(query, shards).iterator()
        return
    run = _Run(query, shards, plan_for(query, shards))
    feeds = Feeds(list(zip(shards.names, shards.databases, strict=True)), run.opening, options)
    try:
        yield from itertools.chain.from_iterable(run.rows(feeds.chunks()))
    finally:
        feeds.close()


def count(query: Any, shards: Shards, clear_limit: bool) -> int:
    """Return the number of rows of a query."""
    query = query.order_by()
    if clear_limit:
        query._limit = query._offset = None
    options = query._scatter_options()
    if _has_no_rows(query, shards):
        return 0
    plan = plan_for(query, shards)
    if not isinstance(plan, RowsPlan) or plan.distinct:
        run = _Run(query, shards, plan)
        return sum(len(batch) for batch in plan.merge(_fetched(run, options)))
    run = _Run(query, shards, plan)
    total = sum(found or 0 for found in gather(shards.jobs(run.count), options))
    limit, offset = query._limit, query._offset or 0
    total = max(0, total - offset)
    return total if limit is None or limit < 0 else min(total, limit)


def exists(query: Any, shards: Shards) -> bool:
    """Return whether a query has a row."""
    clone = query.order_by()
    clone._limit = 1 if query._limit is None else min(1, query._limit)
    options = query._scatter_options()
    if _has_no_rows(query, shards):
        return False
    run = _Run(clone, shards, plan_for(clone, shards))
    return any(run.plan.merge(_fetched(run, options)))


def _has_no_rows(query: Any, shards: Shards) -> bool:
    """Whether it is known without asking: the conditions contradict each other, and it does not aggregate."""
    if isinstance(query, stock.NoopModelSelect):
        return True
    if not shards.unasked:
        return False
    return isinstance(query, stock.CompoundSelectQuery) or bool(query._group_by) or not is_grouped(query)


class _Run:
    """A query, its plan, and the statement for each shard."""

    def __init__(self, query: Any, shards: Shards, plan: Plan) -> None:
        self.query = query
        self.shards = shards
        self.plan = plan
        self._descriptions: dict[str, Any] = {}

    def _for(self, name: str, database: Any) -> Any:
        """Return the query for one shard."""
        clone = self.query.clone()
        around = clone._around()
        # A name is looked up in the renames of the scope once more, which the rule's answer was already.
        clone._bound = name if scopes.renamed(around, name) == name else database
        clone._cursor_wrapper, clone._ran_on, clone._load_tree = None, database, None
        clone._is_part = True
        return clone

    def statement(self, job: Job) -> Any:
        """Return what one shard is asked."""
        plan = self.plan
        ask = self._for(job.name, job.database)
        ask._limit, ask._offset, ask._order_by = plan.limit, None, plan.order_by
        if not isinstance(ask, stock.CompoundSelectQuery):
            ask._is_default = False
            ask._returning = tuple(plan.columns.nodes)
            ask._group_by, ask._having = plan.group_by, plan.having
        return ask

    def fetch(self, job: Job) -> list[Any]:
        """Return all rows of one shard."""
        ask = self.statement(job)

        def action(server: Any) -> Any:
            with job.on(server):
                cursor = server.execute(ask)
                with stock.__exception_wrapper__:
                    return cursor.description, cursor.fetchall()

        description, rows = read(ask, job.database, action)
        self._descriptions[job.name] = description
        return rows  # type: ignore[no-any-return]

    def count(self, job: Job) -> int:
        """Return how many rows one shard has."""
        ask = self.statement(job)
        counting = stock.SelectBase.count

        def action(server: Any) -> Any:
            with job.on(server):
                return counting(ask, server)

        return read(ask, job.database, action)  # type: ignore[no-any-return]

    def opening(self, job: Job) -> Any:
        """Open the rows of one shard, to be read in chunks."""
        return _Opening(self, job)

    def rows(self, streams: Sequence[Iterator[Any]]) -> Iterator[list[Any]]:
        """Return the rows as the user wants them, in lists."""
        visible = len(self.query._returning)
        hidden = self.plan.by_shard and len(self.plan.columns.nodes) > visible
        makers: dict[int, Any] = {}
        for batch in self.plan.merge(streams):
            yield self._made(batch, makers, visible if hidden else None)

    def _made(self, batch: Sequence[Tagged], makers: dict[int, Any], visible: int | None) -> list[Any]:
        made = []
        for _, row, number in batch:
            make = makers.get(number)
            if make is None:
                make = makers[number] = self._maker(number)
            made.append(make(row if visible is None else row[:visible]))
        return made

    def _maker(self, number: int) -> Any:
        """Return what makes a row of one shard what the user wants."""
        if not self.plan.by_shard:
            return self._merged_maker()
        name, database = self.shards.names[number], self.shards.databases[number]
        show = self._for(name, database)
        description = self._descriptions[name][: len(self.query._returning)]
        wrapper = show._get_cursor_wrapper(_Described(description))
        wrapper.initialize()
        return wrapper.process_row

    def _merged_maker(self) -> Any:
        # Of no shard in particular; converted as rows of the first, in whose terms they were put together.
        show = self._for(self.shards.names[0], self.shards.databases[0])
        wrapper = show._get_cursor_wrapper(_Described(_names(self.query, self.shards.databases[0])))
        wrapper.initialize()
        process = wrapper.process_row

        def make(row: Any) -> Any:
            made = process(row)
            if isinstance(made, stock.Model):
                made._home = None
            return made

        return make


class _Opening:
    """A context manager around the rows of one shard."""

    def __init__(self, run: _Run, job: Job) -> None:
        self._run = run
        self._job = job

    def __enter__(self) -> Iterator[Any]:
        self._stack = contextlib.ExitStack()
        ask = self._run.statement(self._job)

        def action(server: Any) -> Any:
            with contextlib.ExitStack() as stack:
                stack.enter_context(self._job.on(server))
                opened = stack.enter_context(streaming.opened(server, ask, CHUNK))
                self._stack = stack.pop_all()
                return opened

        try:
            opened = read(ask, self._job.database, action)
        except BaseException:
            # It may have been opened all the same, and found to be of no use after that.
            self._stack.close()
            raise
        self._run._descriptions[self._job.name] = opened.description
        return _chunks(opened)

    def __exit__(self, *exc: Any) -> Any:
        return self._stack.__exit__(*exc)


def _chunks(opened: Any) -> Iterator[Any]:
    while rows := opened.chunk():
        yield rows


class _Described:
    """What a cursor wrapper asks of a cursor before its first row."""

    def __init__(self, description: Any) -> None:
        self.description = description


def _names(query: Any, database: Any) -> list[tuple[str]]:
    """Return the description of the columns as the database would give it.

    Peewee finds converters, and the keys of dicts, by these names.
    """
    is_short = drivers.traits_of(database).engine == "postgresql"
    return [(_name(node, database, is_short),) for node in query._returning]


def _name(node: Any, database: Any, is_short: bool) -> str:
    if isinstance(node, stock.Alias):
        return str(node._alias)
    if isinstance(node, stock.Field):
        return str(node.column_name)
    if is_short:
        # PostgreSQL calls a column after its function, and others not at all.
        return str(node.name).lower() if isinstance(node, stock.Function) else "?column?"
    # SQLite, MySQL and MariaDB give a column its own text for a name.
    context = database.get_sql_context()
    context.state.settings[FRAME] = SHOWN
    with context.scope_source(in_projection=True):
        context.sql(node)
    return str(context.query()[0])


def _fetched(run: _Run, options: Options) -> list[Iterator[Any]]:
    if run.shards.unasked:
        options.missing = {}
        return []
    found = gather(run.shards.jobs(run.fetch), options)
    return [iter([rows] if rows else []) for rows in found]


class MergedRows(stock.CursorWrapper):  # type: ignore[misc]
    """The rows of a read over several shards, made as they are asked for.

    Attributes:
        missing: the database names of shards that failed, where ``partial=True`` was asked for.
    """

    def __init__(self, batches: Iterator[list[Any]], options: Options) -> None:
        super().__init__(None)
        self.initialized = True
        self._rows = itertools.chain.from_iterable(batches)
        self._options = options
        self.missing = tuple(options.missing)

    def iterate(self, cache: bool = True) -> Any:
        try:
            row = next(self._rows)
        except StopIteration:
            self.populated = True
            raise
        self.count += 1
        if cache:
            self.row_cache.append(row)
        return row

    def iterator(self) -> Iterator[Any]:
        return self._rows

    def fill_cache(self, n: Any = 0) -> None:
        if n < 0:
            raise ValueError("Negative values are not supported.")
        if n:
            super().fill_cache(n)
        elif not self.populated:
            self.row_cache.extend(self._rows)
            self.count = len(self.row_cache)
            self.populated = True
