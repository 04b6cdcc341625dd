"""ON CONFLICT: MERGE since 2008, and before that an UPDATE and an INSERT in one transaction.

Either form holds the range of the keys locked from the look to the write, so that two connections cannot
both find no row and both insert one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from .changes import assignments, write_assignments
from .columns import name_of, names_of, selection
from .context import MSSQLContext, quoted, unsupported
from .outputs import Output, identity_of, table_of
from .rows import Rows, write_column_list
from .sources import write_rows
from .stock import NORMAL, stock

__all__ = ["Upsert"]

_TARGET, _SOURCE = "_t", "[EXCLUDED]"
_NAME_COLUMNS = "Name the columns by conflict_target=."


class Upsert:
    """One INSERT with ON CONFLICT on its way to the context.

    Attributes:
        needed: whether a conflict is possible at all; if not, a plain INSERT says the same.
        batch: whether it takes several statements, whose counts must not be taken for its own.
    """

    def __init__(
        self,
        ctx: MSSQLContext,
        query: Any,
        rows: Rows | None,
        columns: list[Any],
        returning: Sequence[Any],
        output: Output,
    ) -> None:
        self.ctx, self.query, self.rows, self.output = ctx, query, rows, output
        self.returning = returning
        self.conflict = query._on_conflict
        self.selects = query._query_type == stock.Insert.QUERY
        self.columns = columns or self._selected()
        self.names = [_column_name(query, column) for column in self.columns]
        self.action = self._action()
        self.keys = self._keys()
        self.needed = bool(self.columns) and bool(self.keys)
        old = ctx.version.major < 10
        self.batch = self.needed and old and (self.action != "IGNORE" or bool(returning))

    def _selected(self) -> list[Any]:
        if not self.selects or not isinstance(self.query._insert, stock.SelectBase):
            return []
        query = self.query._insert
        while isinstance(query, stock.CompoundSelectQuery):
            query = query.lhs
        return [stock.Entity(name) for name in names_of(selection(query, operand=False))]

    def _action(self) -> str:
        conflict = self.conflict
        action = (conflict._action or "").upper()
        if action in ("IGNORE", "NOTHING"):
            return "IGNORE"
        if action == "REPLACE":
            return action
        if action not in ("", "UPDATE") or not (conflict._update or conflict._preserve):
            what = f"ON CONFLICT {action or 'without anything to do'}"
            raise unsupported(self.ctx, what, "Give update= or preserve=, or the action IGNORE or REPLACE.")
        return "UPDATE"

    def _keys(self) -> list[list[str]]:
        """Return the sets of columns by which a row can be there already."""
        conflict, query = self.conflict, self.query
        if conflict._conflict_constraint is not None:
            raise unsupported(self.ctx, "ON CONFLICT ON CONSTRAINT", _NAME_COLUMNS)
        if conflict._conflict_target:
            return [[_column_name(query, column) for column in conflict._conflict_target]]
        given = set(self.names)
        keys = [key for key in _unique_keys(query) if given.issuperset(key)]
        if not keys and self.action == "UPDATE" and self.columns:
            raise unsupported(self.ctx, "ON CONFLICT without a unique column among the values", _NAME_COLUMNS)
        return keys

    def write(self) -> None:
        if self.ctx.version.major >= 10:
            self._merge()
        elif self.action == "IGNORE":
            self._insert_missing()
            if self.returning and self.ctx.version.major < 9:
                self._new_identity()
        else:
            self._update_and_insert()

    # 2008 and later

    def _merge(self) -> None:
        ctx, query = self.ctx, self.query
        ctx.literal("MERGE INTO ").sql(query.table).literal(f" WITH (HOLDLOCK) AS [{_TARGET}] USING (")
        self._source()
        ctx.literal(" ON ")
        with ctx.aliased(table_of(query), _TARGET):
            self._on()
            if self.action != "IGNORE":
                self._when_matched()
        ctx.literal(" WHEN NOT MATCHED THEN INSERT")
        write_column_list(ctx, query, self.columns)
        ctx.literal(" VALUES (" + ", ".join(f"{_SOURCE}.{quoted(name)}" for name in self.names) + ")")
        self.output.write()

    def _when_matched(self) -> None:
        ctx = self.ctx
        sets = self._sets()
        if not sets:
            return
        ctx.literal(" WHEN MATCHED")
        if self.conflict._where is not None:
            ctx.literal(" AND ")
            with ctx(scope=NORMAL):
                ctx.condition(self.conflict._where)
        ctx.literal(" THEN UPDATE SET ")
        self._write_sets(sets)

    # 2000 and 2005

    def _insert_missing(self) -> None:
        """Write an INSERT of the rows that are not there."""
        ctx, query = self.ctx, self.query
        ctx.literal("INSERT INTO ").sql(query.table)
        write_column_list(ctx, query, self.columns)
        if self.action == "IGNORE":
            self.output.write()
        ctx.literal(" SELECT " + ", ".join(f"{_SOURCE}.{quoted(name)}" for name in self.names) + " FROM (")
        self._source()
        ctx.literal(" WHERE NOT EXISTS (SELECT 1 FROM ").sql(query.table)
        ctx.literal(f" AS [{_TARGET}] WITH (UPDLOCK, HOLDLOCK) WHERE ")
        with ctx.aliased(table_of(query), _TARGET):
            self._on()
        ctx.literal(")")

    def _new_identity(self) -> None:
        ctx, identity = self.ctx, identity_of(self.query)
        if self.query._return_cursor:
            ctx.require(9, "RETURNING", "Select the rows afterwards, in the same transaction.")
        if identity is not None:
            ctx.literal(f"; SELECT CAST(SCOPE_IDENTITY() AS BIGINT) AS {quoted(identity.column_name)}")
            ctx.literal(" WHERE @@ROWCOUNT > 0")

    def _update_and_insert(self) -> None:
        ctx, query = self.ctx, self.query
        if query._cte_list:
            raise unsupported(ctx, "an upsert with a WITH clause", "Select the rows first.")
        sets = self._sets()
        error, count = "@multidb_error", "@multidb_count"
        note = f"; SELECT {error} = @@ERROR, {count} = {count} + @@ROWCOUNT"
        ctx.literal(f"DECLARE {error} INT, {count} INT; SELECT {error} = 0, {count} = 0; ")
        ctx.literal("BEGIN TRANSACTION; SAVE TRANSACTION [_upsert]; ")
        if sets:
            ctx.literal(f"UPDATE [{_TARGET}] SET ")
            with ctx.aliased(table_of(query), _TARGET):
                self._write_sets(sets)
                self._joined()
                if self.conflict._where is not None:
                    ctx.literal(" AND ")
                    with ctx(scope=NORMAL):
                        ctx.condition(self.conflict._where)
            ctx.literal(note)
        ctx.literal(f"; IF {error} = 0 BEGIN " if sets else "")
        self._insert_missing()
        ctx.literal(note).literal(" END; " if sets else "; ")
        ctx.literal(f"IF {error} <> 0 ROLLBACK TRANSACTION [_upsert]; COMMIT TRANSACTION")
        self._result(count)

    def _joined(self) -> None:
        ctx = self.ctx
        ctx.literal(" FROM ").sql(self.query.table)
        ctx.literal(f" AS [{_TARGET}] WITH (UPDLOCK, HOLDLOCK), (")
        self._source()
        ctx.literal(" WHERE ")
        self._on()

    def _result(self, count: str) -> None:
        """Write what the whole gives: the number of rows, or the columns of the rows that are there now."""
        ctx = self.ctx
        if not self.returning:
            ctx.counted = True
            ctx.literal(f"; SELECT {count} AS [_count]")
            return
        if self.conflict._where is not None and self.query._return_cursor:
            raise unsupported(ctx, "RETURNING of a conditional upsert", "Select the rows afterwards.")
        ctx.literal("; SELECT ")
        with ctx.aliased(table_of(self.query), _TARGET):
            with ctx.scope_source(in_projection=True):
                for number, node in enumerate(self.returning):
                    ctx.literal(", " if number else "").sql(node)
            self._joined()

    # What both forms share

    def _source(self) -> None:
        """Write the rows as a table, from behind its opening parenthesis on."""
        ctx = self.ctx
        if self.selects:
            with ctx.scope_normal(subquery=False, in_expr=False):
                ctx.sql(self.query._insert)
        elif self.rows is not None:
            write_rows(ctx, self.rows.rows, self.names)
        ctx.literal(f") AS {_SOURCE}")
        if self.selects or ctx.version.major >= 10:
            ctx.literal(" (" + ", ".join(map(quoted, self.names)) + ")")

    def _on(self) -> None:
        ctx = self.ctx
        sets = [
            " AND ".join(f"[{_TARGET}].{quoted(name)} = {_SOURCE}.{quoted(name)}" for name in key)
            for key in self.keys
        ]
        ctx.literal("(" + " OR ".join(sets if len(sets) == 1 else [f"({one})" for one in sets]) + ")")
        if self.conflict._conflict_where is not None:
            ctx.literal(" AND ")
            with ctx(scope=NORMAL):
                ctx.condition(self.conflict._conflict_where)

    def _sets(self) -> list[tuple[str, Any]]:
        """Return the columns that a conflict changes, and what to."""
        if self.action == "REPLACE":
            fixed = set(self.keys[0]).intersection(*self.keys[1:]) | set(_primary_key(self.query))
            return [(name, self._new(name)) for name in self.names if name not in fixed]
        conflict, query = self.conflict, self.query
        sets = [
            (name, self._new(name))
            for name in (_column_name(query, column) for column in conflict._preserve or ())
        ]
        values = {
            getattr(query.table, key) if isinstance(key, str) else key: value
            for key, value in (conflict._update or {}).items()
        }
        sets += [(_column_name(query, key), value) for key, value in assignments(self.ctx, values)]
        return sets

    def _new(self, name: str) -> Any:
        return peewee.SQL(f"{_SOURCE}.{quoted(name)}")

    def _write_sets(self, sets: list[tuple[str, Any]]) -> None:
        write_assignments(self.ctx, self.query, [(stock.Entity(name), value) for name, value in sets])


def _column_name(query: Any, column: Any) -> str:
    """Return the name in the table of a column given as a field, a column, or a name of either."""
    if isinstance(column, str):
        meta = getattr(getattr(query, "model", None), "_meta", None)
        field = None if meta is None else meta.combined.get(column)
        return column if field is None else str(field.column_name)
    if isinstance(column, stock.NamespaceAttribute):
        return str(column._attribute)
    name = name_of(column)
    if name is None:
        raise peewee.NotSupportedError(f"{column!r} in ON CONFLICT is no column; name the columns.")
    return name


def _primary_key(query: Any) -> list[str]:
    meta = getattr(getattr(query, "model", None), "_meta", None)
    if meta is None:
        key = query.table._primary_key
        return [key] if key else []
    return [field.column_name for field in meta.get_primary_keys() or ()]


def _unique_keys(query: Any) -> list[list[str]]:
    """Return the primary key and what else the model says is unique."""
    keys = [_primary_key(query)] if _primary_key(query) else []
    meta = getattr(getattr(query, "model", None), "_meta", None)
    if meta is None:
        return keys
    keys += [[field.column_name] for field in meta.sorted_fields if field.unique and not field.primary_key]
    for index in meta.indexes:
        if isinstance(index, stock.Index):
            names = [name_of(node) for node in index._expressions] if index._unique else []
            if names and None not in names and index._where is None:
                keys.append([str(name) for name in names])
        elif index[1]:
            keys.append([_column_name(query, name) for name in index[0]])
    return keys

