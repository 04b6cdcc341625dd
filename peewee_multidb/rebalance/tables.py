"""A table of one model in one database, read and written below the routing.

`Rebalance` works beside the queries of the application, on the very tables and on tables of its own that
look like them, so it has its own SQL for the few things that it does. Values go through the model's fields,
so that what was read from one engine can be written to another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import peewee

from ..drivers import Traits, traits_of
from ..model.dialect import reading_rows

__all__ = ["Side", "TableOf", "checksum", "columns_of", "digest", "quoted", "short_name"]

#: The longest name that every engine takes: https://www.postgresql.org/docs/current/limits.html
NAME_LENGTH = 63

Row = tuple[Any, ...]


def short_name(prefix: str, table: str) -> str:
    """Return a table or trigger name made from another one, cut to what every engine takes."""
    name = f"{prefix}_{table}"
    if len(name) <= NAME_LENGTH:
        return name
    mark = hashlib.blake2b(table.encode(), digest_size=6).hexdigest()
    return f"{name[: NAME_LENGTH - len(mark) - 1]}_{mark}"


def quoted(database: Any, *names: str | None) -> str:
    """Return names as the database quotes them, joined by dots."""
    first, last = database.quote
    return ".".join(f"{first}{name}{last}" for name in names if name)


def columns_of(model: Any) -> list[Any]:
    """Return the fields of a model that are columns, in the order of the table."""
    return list(model._meta.sorted_fields)


class TableOf:
    """The table of a model in a database, or one with the same columns.

    Args:
        database: where it is.
        model: whose columns it has.
        name: what it is called; None for the model's own table.
        extra: names of columns in front of the model's, whose values are taken as they are.
    """

    def __init__(self, database: Any, model: Any, name: str | None = None, extra: Sequence[str] = ()) -> None:
        meta = model._meta
        self.database = database
        self.traits: Traits = traits_of(database)
        self.model = model
        self.plain_name = name or meta.table_name
        self.name = quoted(database, meta.schema, self.plain_name)
        self.fields = columns_of(model)
        self.keys = list(meta.get_primary_keys())
        self.extra = tuple(extra)
        self._key_at = [self._position(field) for field in self.keys]
        self._columns = ", ".join(quoted(database, f.column_name) for f in self.fields)
        self.key_columns = [quoted(database, f.column_name) for f in self.keys]

    def _position(self, wanted: Any) -> int:
        # By name: comparing fields makes an expression.
        return next(n for n, field in enumerate(self.fields) if field.name == wanted.name)

    def run(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Execute a statement."""
        return self.database.execute_sql(sql, tuple(params))

    def key_of(self, row: Row) -> Row:
        """Return the values of the primary key in a row."""
        return tuple(row[at] for at in self._key_at)

    # Reading

    def after(self, key: Row | None, limit: int, fields: Sequence[Any] | None = None) -> list[Row]:
        """Return the rows whose primary key is above one, in its order.

        Args:
            key: the primary key; None for the first rows.
            limit: how many rows at most.
            fields: what of each row; None for all.
        """
        where, params = ("", []) if key is None else self._above(key)
        order = ", ".join(self.key_columns)
        return self._read(f"{where} ORDER BY {order} LIMIT {int(limit)}", params, fields)

    def each(self, limit: int, fields: Sequence[Any]) -> Iterator[Row]:
        """Return fields of every row, in the order of the primary key, so many rows read at a time."""
        key = None
        while rows := self.after(key, limit, [*self.keys, *fields]):
            yield from (row[len(self.keys) :] for row in rows)
            key = rows[-1][: len(self.keys)]

    def having(self, keys: Sequence[Row]) -> list[Row]:
        """Return the rows of these primary keys."""
        found = []
        for some in self._parts(keys, len(self.keys)):
            where, params = self.among(some)
            found += self._read(f"WHERE {where}", params)
        return found

    def where(self, condition: str, params: Sequence[Any]) -> list[Row]:
        """Return the rows that a condition in SQL leaves, in the order of the primary key."""
        return self._read(f"WHERE {condition} ORDER BY {', '.join(self.key_columns)}", params)

    def _read(self, rest: str, params: Sequence[Any], fields: Sequence[Any] | None = None) -> list[Row]:
        columns = self._columns
        if fields is not None:
            columns = ", ".join(quoted(self.database, field.column_name) for field in fields)
        cursor = self.run(f"SELECT {columns} FROM {self.name} {rest}", params)
        return self.converted(cursor.fetchall(), self.fields if fields is None else fields)

    def converted(self, rows: Iterable[Sequence[Any]], fields: Sequence[Any]) -> list[Row]:
        """Return rows of the driver as the fields make them."""
        convert: list[Callable[[Any], Any]] = [field.python_value for field in fields]
        with reading_rows(self.database):
            return [tuple(one(value) for one, value in zip(convert, row, strict=True)) for row in rows]

    def count(self) -> int:
        """Return how many rows there are."""
        return int(self.run(f"SELECT COUNT(*) FROM {self.name}").fetchone()[0])

    # Writing

    def insert(self, rows: Sequence[Row], extra: Sequence[Row] = ()) -> None:
        """Insert rows.

        Args:
            rows: values as the fields give them.
            extra: for each row the values of the extra columns.
        """
        names = [quoted(self.database, name) for name in self.extra]
        columns = ", ".join([*names, self._columns])
        width = len(self.fields) + len(names)
        fronts = list(extra) or [()] * len(rows)
        for some in self._parts(list(zip(fronts, rows, strict=True)), width):
            values, params = [], []
            for front, row in some:
                parts, given = self._written(front, row)
                values.append(f"({', '.join(parts)})")
                params += given
            self.run(f"INSERT INTO {self.name} ({columns}) VALUES {', '.join(values)}", params)

    def delete(self, keys: Sequence[Row]) -> int:
        """Delete the rows of these primary keys and return how many there were."""
        gone = 0
        for some in self._parts(keys, len(self.keys)):
            where, params = self.among(some)
            gone += self.run(f"DELETE FROM {self.name} WHERE {where}", params).rowcount
        return gone

    def _written(self, front: Row, row: Row) -> tuple[list[str], list[Any]]:
        param = self.database.param
        parts, params = [param] * len(front), list(front)
        for field, value in zip(self.fields, row, strict=True):
            sql, given = self.param(field, value)
            parts.append(sql)
            params += given
        return parts, params

    def param(self, field: Any, value: Any) -> tuple[str, Sequence[Any]]:
        """Return how a value of a field is written into a statement, and the parameters of that."""
        stored = None if value is None else field.db_value(value)
        if isinstance(stored, peewee.Node):
            sql, params = self.database.get_sql_context().sql(stored).query()
            return sql, params
        return self.database.param, (stored,)

    # Conditions

    def among(self, keys: Sequence[Row]) -> tuple[str, list[Any]]:
        """Return the condition that the primary key is one of these, and its parameters."""
        lists: list[str] = []
        written: list[list[str]] = []
        params: list[Any] = []
        for key in keys:
            parts = []
            for field, value in zip(self.keys, key, strict=True):
                sql, given = self.param(field, value)
                parts.append(sql)
                params += given
            lists.append(", ".join(parts))
            written.append(parts)
        if len(self.keys) == 1:
            return f"{self.key_columns[0]} IN ({', '.join(lists)})", params
        if self.traits.engine == "mssql":
            # T-SQL has no row values.
            ways = [
                " AND ".join(f"{column} = {sql}" for column, sql in zip(self.key_columns, key, strict=True))
                for key in written
            ]
            return f"({' OR '.join(f'({one})' for one in ways)})", params
        listed = ", ".join(f"({one})" for one in lists)
        values = f"VALUES {listed}" if self.traits.engine == "sqlite" else listed
        return f"({', '.join(self.key_columns)}) IN ({values})", params

    def _above(self, key: Row) -> tuple[str, list[Any]]:
        # Written out, since row values are compared by MySQL without its index.
        ways: list[str] = []
        params: list[Any] = []
        for number in range(len(self.keys)):
            conditions = []
            for at in range(number + 1):
                sql, given = self.param(self.keys[at], key[at])
                conditions.append(f"{self.key_columns[at]} {'>' if at == number else '='} {sql}")
                params += given
            ways.append(f"({' AND '.join(conditions)})")
        return f"WHERE {' OR '.join(ways)}", params

    def _parts(self, items: Sequence[Any], width: int) -> Iterator[Sequence[Any]]:
        """Return the items in parts that fit into one statement, of so many parameters for each item."""
        size = max(1, min(self.traits.max_params, 30000) // max(1, width))
        size = min(size, self.traits.max_rows or 1000, 1000)
        for start in range(0, len(items), size):
            yield items[start : start + size]


class Side(TableOf):
    """A table beside the model's own, with the same columns and one for the number of the unit."""

    UNIT = "multidb_unit"

    def __init__(self, database: Any, model: Any) -> None:
        super().__init__(database, model, short_name("mdb_stage", model._meta.table_name), (self.UNIT,))

    def create(self) -> None:
        """Make the table and its indexes; in place of one that was left half made."""
        if self.exists():
            return
        # MariaDB makes the column as wide as the number.
        kind = "SIGNED" if self.traits.engine == "mysql" else "BIGINT"
        unit = f"CAST({2**63 - 1} AS {kind})"
        source = quoted(self.database, self.model._meta.schema, self.model._meta.table_name)
        with self.database.atomic():
            self.run(
                f"CREATE TABLE {self.name} AS SELECT {unit} AS {quoted(self.database, self.UNIT)}, "
                f"{self._columns} FROM {source} WHERE 1 = 0"
            )
            for suffix, columns in (("k", self.key_columns), ("u", [quoted(self.database, self.UNIT)])):
                index = quoted(self.database, short_name(f"mdb_{suffix}", self.model._meta.table_name))
                self.run(f"CREATE INDEX {index} ON {self.name} ({', '.join(columns)})")

    def exists(self) -> bool:
        """Whether the table is there."""
        return bool(self.database.table_exists(self.plain_name, schema=self.model._meta.schema))

    def drop(self) -> None:
        """Drop the table."""
        self.run(f"DROP TABLE IF EXISTS {self.name}")

    def of_units(self, units: Sequence[int]) -> list[Row]:
        """Return the rows of these units, in the order of the primary key."""
        return self.where(*self._among_units(units))

    def rows_by_unit(self) -> dict[int, int]:
        """Return how many rows each unit has."""
        unit = quoted(self.database, self.UNIT)
        cursor = self.run(f"SELECT {unit}, COUNT(*) FROM {self.name} GROUP BY {unit}")
        return {int(number): int(rows) for number, rows in cursor.fetchall()}

    def publish(self, units: Sequence[int]) -> int:
        """Insert the rows of these units into the model's own table and return how many there were."""
        where, params = self._among_units(units)
        own = quoted(self.database, self.model._meta.schema, self.model._meta.table_name)
        cursor = self.run(
            f"INSERT INTO {own} ({self._columns}) SELECT {self._columns} FROM {self.name} WHERE {where}",
            params,
        )
        return int(cursor.rowcount)

    def forget(self, units: Sequence[int]) -> None:
        """Delete the rows of these units."""
        where, params = self._among_units(units)
        self.run(f"DELETE FROM {self.name} WHERE {where}", params)

    def _among_units(self, units: Sequence[int]) -> tuple[str, list[Any]]:
        marks = ", ".join([self.database.param] * len(units))
        return f"{quoted(self.database, self.UNIT)} IN ({marks})", list(units)


def digest(row: Row) -> int:
    """Return a checksum of a row, the same for equal values whatever engine they came from."""
    text = repr([_canonical(value) for value in row])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def checksum(rows: Iterable[Row]) -> int:
    """Return a checksum of rows that does not depend on their order."""
    return sum(map(digest, rows)) % (1 << 128)


def _canonical(value: Any) -> Any:
    if isinstance(value, Decimal):
        # By the text: arithmetic has 28 digits, and no answer for infinity.
        text = f"{value:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, dict):
        return sorted((key, _canonical(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return [_canonical(one) for one in value]
    return value
