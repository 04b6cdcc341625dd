"""INSERT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import ctes, upserts
from .columns import name_of
from .context import MSSQLContext, quoted, writes
from .outputs import Output, identity_of, table_of, uses_output
from .rows import rows_of, write_column_list, write_values
from .stock import stock

__all__: list[str] = []


@writes(stock.Insert)
def insert(ctx: MSSQLContext, query: Any) -> Any:
    table = table_of(query)
    ctx.alias_manager[table] = table.__name__
    with ctx.scope_values():
        _Insert(ctx, query).write()
    return ctx


class _Insert:
    """One INSERT on its way to the context."""

    def __init__(self, ctx: MSSQLContext, query: Any) -> None:
        self.ctx, self.query = ctx, query
        self.selects = query._query_type == stock.Insert.QUERY
        self.rows = None if self.selects else rows_of(query)
        self.columns = list(query._columns or ()) if self.selects else self.rows.columns if self.rows else []
        self.explicit = bool(query._return_cursor) or query._returning == ()
        self.returning = self._returning()
        self.identity = identity_of(query)
        self.gives_identity = self.identity is not None and any(
            self._name(column) == self.identity.column_name for column in self.columns
        )

    def _name(self, column: Any) -> str | None:
        if isinstance(column, str):
            column = getattr(table_of(self.query), column, None) or column
        return column if isinstance(column, str) else name_of(column)

    def _returning(self) -> Sequence[Any]:
        """Return the columns that come back; without the user's word the primary key does."""
        query = self.query
        if self.explicit:
            return tuple(query._returning)
        if query._as_rowcount:
            return ()
        return tuple(query._pk_returning() or ())

    def write(self) -> None:
        ctx, query = self.ctx, self.query
        on_conflict = query._on_conflict
        by_scope = self._by_scope_identity() and on_conflict is None
        output = Output(ctx, query, () if by_scope or ctx.version.major < 9 else self.returning, "INSERTED")
        if ctx.version.major < 9 and self.explicit and self.returning and not by_scope:
            ctx.require(9, "RETURNING", "Select the rows afterwards, in the same transaction.")
        if on_conflict is not None:
            upsert = upserts.Upsert(ctx, query, self.rows, self.columns, self.returning, output)
            if upsert.needed:
                output.counts = output.counts and not upsert.batch  # which counts for itself
                self._around(output, upsert.write, nocount=upsert.batch or output.into)
                if ctx.version.major >= 10 and ctx.end == len(ctx._sql):
                    ctx.literal(";")  # MERGE is the one statement that must end with it.
                return
            output = Output(ctx, query, () if ctx.version.major < 9 else self.returning, "INSERTED")
            by_scope = self._by_scope_identity()
            if by_scope:
                output = Output(ctx, query, (), "INSERTED")
        output.counts = output.counts and not by_scope
        self._around(output, lambda: self._plain(output), nocount=by_scope or output.into, asks=by_scope)

    def _by_scope_identity(self) -> bool:
        """Whether the key of the one new row is asked for by SCOPE_IDENTITY(), instead of OUTPUT."""
        if not self.returning or self.gives_identity or self.selects:
            return False
        if self.ctx.version.major >= 9 and uses_output(self.ctx, self.query):
            return False
        single = self.rows is None or len(self.rows.rows) == 1
        only = len(self.returning) == 1 and self.identity is not None and self.returning[0] is self.identity
        if self.ctx.version.major >= 9:
            return only and single
        # Of several rows 2000 knows only the last, as MySQL and SQLite do.
        return only and (single or not self.explicit)

    def _ask_identity(self) -> None:
        self.ctx.literal(f"; SELECT CAST(SCOPE_IDENTITY() AS BIGINT) AS {quoted(self.identity.column_name)}")

    def _around(self, output: Output, write: Any, *, nocount: bool, asks: bool = False) -> None:
        """Write the statement with what has to stand before and after it, in one batch.

        Args:
            output: what it returns.
            write: writes the statement.
            nocount: whether the counts of its parts must not be taken for results.
            asks: whether the new identity is asked for.
        """
        ctx, table = self.ctx, ".".join(quoted(part) for part in table_of(self.query)._path)
        after: list[str] = []
        if nocount or output.counts or (self.gives_identity and self.returning):
            ctx.literal("SET NOCOUNT ON; ")
            after.append("SET NOCOUNT OFF")
        output.declare()
        if self.gives_identity:
            ctx.literal(f"SET IDENTITY_INSERT {table} ON; ")
            after.append(f"SET IDENTITY_INSERT {table} OFF")
        ctx.start, ctx.first = len(ctx._sql), len(ctx._values)
        if self.query._cte_list:
            ctes.gather(ctx, self.query._cte_list)
        write()
        ctx.end = len(ctx._sql)
        output.select()
        if asks:
            self._ask_identity()
        for statement in reversed(after):
            ctx.literal(f"; {statement}")
        ctx.on_error = "; ".join(after) or None

    def _plain(self, output: Output) -> None:
        ctx, query = self.ctx, self.query
        ctx.literal("INSERT INTO ").sql(query.table)
        if self.columns:
            write_column_list(ctx, self.query, self.columns)
        output.write()
        if self.rows is not None and len(self.rows.rows) > 1 and not self.gives_identity:
            ctx.numbered = output.place_of(self.identity)
        if self.selects:
            with ctx(keep_order=True, subquery=False):
                ctx.literal(" ").sql(query._insert)
        elif self.rows is None:
            ctx.literal(" DEFAULT VALUES")
        else:
            write_values(ctx, self.rows.rows)
