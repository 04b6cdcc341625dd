"""What T-SQL said of each table, kept beside SQLite's tables in one of its own, so that a rollback undoes it.

SQLite's tables hold the columns with NOT NULL, checks and foreign keys; keys are unique indexes. Types,
identity and defaults are known here only.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from .messages import TsqlError
from .types import Type
from .values import affinity, parse_type

__all__ = ["Catalog", "Check", "Column", "Foreign", "Index", "Table", "column_sql", "physical", "quoted"]

STORE = "__tds"


@dataclass
class Column:
    """A column; `type` as T-SQL writes it, `default` and `computed` as T-SQL expressions."""

    name: str
    type: str
    nullable: bool = True
    identity: tuple[int, int] | None = None
    default: str | None = None
    default_name: str | None = None
    computed: str | None = None

    @property
    def kind(self) -> Type:
        return parse_type(self.type)


@dataclass
class Index:
    """A primary key (`kind` is PRIMARY KEY), a UNIQUE constraint, or an index (`kind` is INDEX)."""

    name: str
    kind: str
    columns: list[tuple[str, bool]]
    unique: bool = True
    where: str | None = None
    include: list[str] = field(default_factory=list)


@dataclass
class Foreign:
    """A foreign key; `table` is the physical name of the one it refers to."""

    name: str
    columns: list[str]
    table: str
    references: list[str]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"


@dataclass
class Check:
    """A CHECK constraint with its T-SQL expression."""

    name: str
    sql: str


@dataclass
class Table:
    """A table, or a view when it has a query."""

    schema: str
    name: str
    columns: list[Column] = field(default_factory=list)
    indexes: list[Index] = field(default_factory=list)
    foreigns: list[Foreign] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    view: str | None = None

    @property
    def physical(self) -> str:
        return physical(self.schema, self.name)

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise TsqlError(207, f"Invalid column name '{name}'.")

    @property
    def identity(self) -> Column | None:
        return next((column for column in self.columns if column.identity), None)

    @property
    def primary_key(self) -> Index | None:
        return next((index for index in self.indexes if index.kind == "PRIMARY KEY"), None)

    def kinds(self) -> dict[str, Type]:
        return {column.name.lower(): column.kind for column in self.columns}


def physical(schema: str, name: str) -> str:
    """Return the name that a table has in SQLite."""
    return name if schema.lower() in ("dbo", "") or name[:1] in "#@" else f"{schema}.{name}"


def quoted(name: str) -> str:
    """Return a name as SQLite reads it; it would take an unknown one in double quotes for a text."""
    return "`" + name.replace("`", "``") + "`"


class Catalog:
    """The tables of one database, seen through one connection."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn
        self._known: dict[str, Table | None] = {}
        self._version = -1
        for where in ("main", "temp"):
            conn.execute(
                f"CREATE TABLE IF NOT EXISTS {where}.{STORE} "
                "(name TEXT PRIMARY KEY COLLATE NOCASE, body TEXT)"
            )

    def forget(self) -> None:
        """After a rollback, what was read may never have been."""
        self._known.clear()

    def table(self, name: str) -> Table | None:
        """Return what is known of a table by its physical name."""
        where = self._where(name)
        if where == "main":
            (version,) = self.conn.execute("PRAGMA schema_version").fetchone()
            if version != self._version:
                self._known.clear()
                self._version = version
            if name.lower() in self._known:
                return self._known[name.lower()]
        found = self.conn.execute(f"SELECT body FROM {where}.{STORE} WHERE name = ?", (name,)).fetchone()
        table = _read(found[0]) if found else None
        if where == "main":
            self._known[name.lower()] = table
        return table

    def require(self, name: str, number: int = 208, text: str = "Invalid object name '{}'.") -> Table:
        table = self.table(name)
        if table is None:
            raise TsqlError(number, text.format(name))
        return table

    def tables(self) -> list[Table]:
        rows = self.conn.execute(f"SELECT body FROM main.{STORE} ORDER BY name").fetchall()
        return [_read(body) for (body,) in rows]

    def save(self, table: Table, *, was: str | None = None) -> None:
        where = self._where(table.physical)
        self.conn.execute(f"DELETE FROM {where}.{STORE} WHERE name = ?", (was or table.physical,))
        body = json.dumps(asdict(table))
        self.conn.execute(f"INSERT OR REPLACE INTO {where}.{STORE} VALUES (?, ?)", (table.physical, body))
        self._known.clear()

    def drop(self, table: Table) -> None:
        where = self._where(table.physical)
        kind = "VIEW" if table.view else "TABLE"
        self.conn.execute(f"DROP {kind} {where}.{quoted(table.physical)}")
        self.conn.execute(f"DELETE FROM {where}.{STORE} WHERE name = ?", (table.physical,))
        self._known.clear()

    def create(self, table: Table, expression: Callable[[str], str]) -> None:
        """Make the table in SQLite; `expression` translates a T-SQL expression."""
        self.conn.execute(self.ddl(table, expression))
        for index in table.indexes:
            self.create_index(table, index, expression)
        self.save(table)

    def ddl(self, table: Table, expression: Callable[[str], str]) -> str:
        parts = [column_sql(column, expression) for column in table.columns]
        for check in table.checks:
            parts.append(f"CONSTRAINT {quoted(check.name)} CHECK ({expression(check.sql)})")
        for foreign in table.foreigns:
            parts.append(
                f"CONSTRAINT {quoted(foreign.name)} FOREIGN KEY ({', '.join(map(quoted, foreign.columns))}) "
                f"REFERENCES {quoted(foreign.table)} ({', '.join(map(quoted, foreign.references))}) "
                f"ON DELETE {foreign.on_delete} ON UPDATE {foreign.on_update}"
            )
        # SQLite writes the words so that sqlite_master holds exactly this text.
        kind = "CREATE TABLE" if self._where(table.physical) == "main" else "CREATE TEMP TABLE"
        return f"{kind} {quoted(table.physical)} ({', '.join(parts)})"

    def create_index(self, table: Table, index: Index, expression: Callable[[str], str]) -> None:
        columns = ", ".join(quoted(name) + (" DESC" if desc else "") for name, desc in index.columns)
        where = f" WHERE {expression(index.where)}" if index.where else ""
        unique = "UNIQUE " if index.unique else ""
        target = f"{quoted(table.physical)} ({columns})"
        name = f"{self._where(table.physical)}.{quoted(index_name(table, index))}"
        self.conn.execute(f"CREATE {unique}INDEX {name} ON {target}{where}")

    def drop_index(self, table: Table, index: Index) -> None:
        self.conn.execute(f"DROP INDEX {self._where(table.physical)}.{quoted(index_name(table, index))}")

    def redefine(self, table: Table, expression: Callable[[str], str]) -> None:
        """Write the table's text anew where the rows stay as they are: null or not, checks, foreign keys."""
        where = self._where(table.physical)
        master = f"{where}.sqlite_master" if where == "main" else "temp.sqlite_temp_master"
        (version,) = self.conn.execute(f"PRAGMA {where}.schema_version").fetchone()
        self.conn.execute("PRAGMA writable_schema = ON")
        try:
            self.conn.execute(
                f"UPDATE {master} SET sql = ? WHERE type = 'table' AND name = ?",
                (self.ddl(table, expression).replace("CREATE TEMP TABLE", "CREATE TABLE", 1), table.physical),
            )
            self.conn.execute(f"PRAGMA {where}.schema_version = {version + 1}")
        finally:
            self.conn.execute("PRAGMA writable_schema = RESET")
        self.save(table)

    def unique_names(self, table: str) -> dict[str, str]:
        """By the columns as SQLite's message lists them, the indexes that are no constraints."""
        found = self.table(table)
        return {
            ", ".join(f"{table}.{name}" for name, _ in index.columns): index.name
            for index in (found.indexes if found else [])
            if index.unique and index.kind == "INDEX"
        }

    def referring(self, name: str) -> Iterator[tuple[Table, Foreign]]:
        for table in self.tables():
            for foreign in table.foreigns:
                if foreign.table.lower() == name.lower():
                    yield table, foreign

    @staticmethod
    def _where(name: str) -> str:
        return "temp" if name[:1] in ("#", "@") else "main"


def index_name(table: Table, index: Index) -> str:
    """The name in SQLite, where indexes of all tables share one space."""
    return f"{table.physical}.{index.name}"


def column_sql(column: Column, expression: Callable[[str], str]) -> str:
    """Return how a column is declared to SQLite."""
    if column.computed:
        return f"{quoted(column.name)} AS ({expression(column.computed)})"
    return f"{quoted(column.name)} {affinity(column.kind)}" + ("" if column.nullable else " NOT NULL")


def _read(body: str) -> Table:
    data: dict[str, Any] = json.loads(body)
    return Table(
        data["schema"],
        data["name"],
        [Column(**{**column, "identity": _pair(column["identity"])}) for column in data["columns"]],
        [
            Index(**{**index, "columns": [tuple(pair) for pair in index["columns"]]})
            for index in data["indexes"]
        ],
        [Foreign(**foreign) for foreign in data["foreigns"]],
        [Check(**check) for check in data["checks"]],
        data["view"],
    )


def _pair(value: list[int] | None) -> tuple[int, int] | None:
    return None if value is None else (value[0], value[1])
