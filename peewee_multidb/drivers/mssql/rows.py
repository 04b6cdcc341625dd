"""The rows of an INSERT: taken from Peewee as nodes, and written in the form that the version has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .context import MSSQLContext
from .outputs import table_of
from .stock import VALUES, stock

__all__ = ["Rows", "rows_of", "write_column_list", "write_values"]


class Rows:
    """Receives what Peewee makes of the rows of an INSERT, in place of a context: the nodes, not their SQL.

    Attributes:
        columns: the columns that values are given for.
        rows: for each row, the nodes of its values.
    """

    scope = VALUES

    def __init__(self) -> None:
        self._lists: list[Any] = []

    def sql(self, node: Any) -> Rows:
        self._lists.append(node)
        return self

    def literal(self, keyword: str) -> Rows:
        return self

    def scope_values(self, **settings: Any) -> Rows:
        return self

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def leave_out_generated(self) -> None:
        """Drop the columns that only the server fills: a ROWVERSION, and a key that no row has yet."""
        columns = self._lists[0].nodes
        kept = [
            at
            for at, column in enumerate(columns)
            if not getattr(column, "server_generated", False) and not self._is_key_to_come(column, at)
        ]
        if len(kept) < len(columns):
            columns[:] = [columns[at] for at in kept]
            for row in self._lists[1].nodes:
                row.nodes = [row.nodes[at] for at in kept]

    def _is_key_to_come(self, column: Any, at: int) -> bool:
        if not getattr(column, "auto_increment", False):
            return False
        cells = (row.nodes[at] for row in self._lists[1].nodes)
        return all(isinstance(cell, stock.Value) and cell.value is None for cell in cells)

    def part(self, start: int, stop: int) -> Rows:
        """Return some of the rows, for a statement of their own with the columns of all."""
        part = Rows()
        part._lists = [self._lists[0], stock.NodeList(self._lists[1].nodes[start:stop])]
        return part

    @property
    def columns(self) -> list[Any]:
        return list(self._lists[0].nodes)

    @property
    def rows(self) -> list[list[Any]]:
        return [list(row.nodes) for row in self._lists[1].nodes]


def rows_of(query: Any) -> Rows | None:
    """Return the rows of an INSERT that has values; None if it has only defaults.

    Raises:
        DefaultValuesException: Peewee's, for a bulk insert of nothing.
    """
    if isinstance(query._insert, Rows):
        return query._insert
    rows = Rows()
    if query._query_type == stock.Insert.SIMPLE:
        try:
            query._simple_insert(rows)
        except stock.Insert.DefaultValuesException:
            return None
    else:
        query._generate_insert(query._insert, rows)
    rows.leave_out_generated()
    return rows if rows.columns else None


def write_column_list(ctx: MSSQLContext, query: Any, columns: Sequence[Any]) -> None:
    """Write the columns of an INSERT in parentheses."""
    ctx.literal(" (")
    for number, column in enumerate(columns):
        if isinstance(column, str):
            column = getattr(table_of(query), column, None) or stock.Entity(column)
        ctx.literal(", " if number else "").sql(column)
    ctx.literal(")")


def write_values(ctx: MSSQLContext, rows: Sequence[Sequence[Any]]) -> None:
    """Write the rows of an INSERT, as a VALUES clause or, before 2008, as one SELECT each."""
    listed = ctx.version.major >= 10 or len(rows) == 1
    with ctx(subquery=True):
        ctx.literal(" VALUES " if listed else " ")
        for number, row in enumerate(rows):
            if listed:
                ctx._sql.append(", (" if number else "(")
            else:
                ctx._sql.append(" UNION ALL SELECT " if number else "SELECT ")
            for place, cell in enumerate(row):
                if place:
                    ctx._sql.append(", ")
                ctx.sql(cell)
            if listed:
                ctx._sql.append(")")

