"""A table that is copied from or to: read by the page, written by the batch, below the routing.

The engine-independent half is that of the rebalance; here are values that the application's fields have no
say in, paging for every engine, and the session in which an engine takes rows as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import peewee

from ..drivers import traits_of
from ..model.dialect import reading_rows
from ..rebalance.tables import Row, TableOf, quoted
from .values import Convert, reader, writer

__all__ = ["CopyTable", "set_sequence", "taking_rows"]

#: Engines whose INSERT is more than a list of values; Peewee's own query is compiled for them.
COMPILED = ("mssql", "oracle")


class CopyTable(TableOf):
    """The table of a model in a database.

    Args:
        database: where it is.
        model: whose columns it has.
    """

    def __init__(self, database: Any, model: Any) -> None:
        super().__init__(database, model)
        self.engine = self.traits.engine
        self._readers = {field.name: reader(field) for field in self.fields}
        self._writers = {field.name: writer(field, self.engine) for field in self.fields}
        self._is_plain = all(self._writers.values())
        self._statements: dict[int, str] = {}

    # Reading

    def converted(self, rows: Iterable[Sequence[Any]], fields: Sequence[Any]) -> list[Row]:
        """Return rows of the driver as what they mean."""
        convert: list[Convert] = [self._readers[field.name] or field.python_value for field in fields]
        with reading_rows(self.database):
            return [
                tuple(
                    None if value is None else one(value) for one, value in zip(convert, row, strict=True)
                )
                for row in rows
            ]

    def after(self, key: Row | None, limit: int, fields: Sequence[Any] | None = None) -> list[Row]:
        """Return the rows whose primary key is above one, in its order; see `TableOf.after`."""
        if self.engine not in COMPILED:
            return super().after(key, limit, fields)
        where, params = ("", []) if key is None else self._above(key)
        wanted = self.fields if fields is None else list(fields)
        columns = ", ".join(quoted(self.database, field.column_name) for field in wanted)
        is_top = self.engine == "mssql"
        top, rest = (f"TOP {limit} ", "") if is_top else ("", f"FETCH FIRST {limit} ROWS ONLY")
        cursor = self.run(
            f"SELECT {top}{columns} FROM {self.name} {where} ORDER BY {', '.join(self.key_columns)} {rest}",
            params,
        )
        return self.converted(cursor.fetchall(), wanted)

    def pages(
        self, limit: int, key: Row | None = None, fields: Sequence[Any] | None = None
    ) -> Iterator[list[Row]]:
        """Return rows by the page, in the order of the primary key.

        Args:
            limit: rows of a page.
            key: the primary key to begin after; None for the beginning.
            fields: what of each row, behind the primary key; None for the whole row as it is.
        """
        wanted = None if fields is None else [*self.keys, *fields]
        while rows := self.after(key, limit, wanted):
            yield rows
            key = self.key_of(rows[-1]) if fields is None else rows[-1][: len(self.keys)]

    def is_empty(self) -> bool:
        """Whether there is no row."""
        return not self.after(None, 1, self.keys)

    # Writing

    def param(self, field: Any, value: Any) -> tuple[str, Sequence[Any]]:
        """Return how a value of a field is written into a statement, and the parameters of that."""
        convert = self._writers[field.name]
        if convert is None:
            return super().param(field, value)
        return self.database.param, (None if value is None else convert(value),)

    def insert(self, rows: Sequence[Row], extra: Sequence[Row] = ()) -> None:
        """Insert rows."""
        if self.engine in COMPILED:
            self._insert_compiled(rows)
            return
        if not self._is_plain or extra:
            super().insert(rows, extra)
            return
        convert: list[Any] = [self._writers[field.name] for field in self.fields]
        for some in self._parts(rows, len(self.fields)):
            params = [
                None if value is None else one(value)
                for row in some
                for one, value in zip(convert, row, strict=True)
            ]
            self.run(self._statement(len(some)), params)

    def _statement(self, rows: int) -> str:
        known = self._statements.get(rows)
        if known is None:
            marks = f"({', '.join([self.database.param] * len(self.fields))})"
            # A column that numbers its rows takes our numbers only when told to.
            own = "OVERRIDING SYSTEM VALUE " if self.engine == "postgresql" else ""
            known = f"INSERT INTO {self.name} ({self._columns}) {own}VALUES {', '.join([marks] * rows)}"
            self._statements[rows] = known
        return known

    def _insert_compiled(self, rows: Sequence[Row]) -> None:
        for some in self._parts(rows, len(self.fields)):
            given = [
                [
                    value
                    if value is None or self._writers[field.name] is None
                    else peewee.Value(self._writers[field.name](value), converter=False)  # type: ignore[misc]
                    for field, value in zip(self.fields, row, strict=True)
                ]
                for row in some
            ]
            query = peewee.ModelInsert(self.model, given, columns=self.fields, returning=())
            sql, params = self.database.get_sql_context().sql(query).query()
            self.run(sql, params)

    def link(self, keys: Sequence[Row], fields: Sequence[Any], rows: Sequence[Row]) -> None:
        """Set fields of rows that are there.

        Args:
            keys: the primary keys.
            fields: which fields.
            rows: for each key their values.
        """
        for key, row in zip(keys, rows, strict=True):
            sets: list[str] = []
            params: list[Any] = []
            for field, value in zip(fields, row, strict=True):
                sql, given = self.param(field, value)
                sets.append(f"{quoted(self.database, field.column_name)} = {sql}")
                params += given
            where, more = self.among([key])
            self.run(f"UPDATE {self.name} SET {', '.join(sets)} WHERE {where}", [*params, *more])


@contextlib.contextmanager
def taking_rows(database: Any) -> Iterator[None]:
    """A block in whose session the engine stores rows as they are given, or refuses them."""
    if traits_of(database).engine != "mysql":
        yield
        return
    # Else a key of 0 is replaced by the next number, and what is too long is cut off with a warning.
    database.execute_sql("SET @multidb_copy = @@SESSION.sql_mode")
    database.execute_sql(
        "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@SESSION.sql_mode, ''), "
        "'NO_AUTO_VALUE_ON_ZERO', 'STRICT_ALL_TABLES')"
    )
    try:
        yield
    finally:
        if not database.is_closed():
            with contextlib.suppress(peewee.PeeweeException):
                database.execute_sql("SET SESSION sql_mode = @multidb_copy")


def set_sequence(table: CopyTable) -> None:
    """Have the numbers that a table gives its rows go on behind those that were copied.

    MySQL, SQLite and SQL Server see to it by themselves.
    """
    meta = table.model._meta
    if table.engine != "postgresql" or not meta.auto_increment:
        return
    column = meta.primary_key.column_name
    found = table.run("SELECT pg_get_serial_sequence(%s, %s)", (table.name, column)).fetchone()[0]
    sequence = found or (quoted(table.database, meta.schema, meta.sequence) if meta.sequence else None)
    if sequence is None:
        return
    key = table.key_columns[0]
    table.run(
        f"SELECT setval(%s, GREATEST((SELECT MAX({key}) FROM {table.name}), "
        f"(SELECT last_value FROM {sequence}))) WHERE EXISTS (SELECT 1 FROM {table.name} WHERE {key} > 0)",
        (sequence,),
    )
