"""The catalog as queries see it: INFORMATION_SCHEMA, sys and the system tables of SQL Server 2000.

They are temporary tables of the session, written anew for each statement that reads them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .catalog import Column, Index, Table, physical, quoted
from .types import Type
from .values import RANGES, TEXTS

if TYPE_CHECKING:
    from .execute import Session

__all__ = ["index_numbers", "number_of", "refresh", "sys_objects"]

TYPE_NUMBERS = {
    "image": 34, "text": 35, "uniqueidentifier": 36, "date": 40, "time": 41, "datetime2": 42,
    "datetimeoffset": 43, "tinyint": 48, "smallint": 52, "int": 56, "smalldatetime": 58, "real": 59,
    "money": 60, "datetime": 61, "float": 62, "ntext": 99, "bit": 104, "decimal": 106, "smallmoney": 122,
    "bigint": 127, "varbinary": 165, "varchar": 167, "binary": 173, "char": 175, "rowversion": 189,
    "timestamp": 189, "nvarchar": 231, "nchar": 239, "xml": 241, "sysname": 231,
}  # fmt: skip
PRECISIONS = {
    "tinyint": 3,
    "smallint": 5,
    "int": 10,
    "bigint": 19,
    "money": 19,
    "smallmoney": 10,
    "float": 53,
    "real": 24,
}
BYTES = {
    "tinyint": 1,
    "smallint": 2,
    "int": 4,
    "bigint": 8,
    "bit": 1,
    "uniqueidentifier": 16,
    "datetime": 8,
    "float": 8,
}
Generator = Callable[["Session", list[Table]], Iterable[tuple[Any, ...]]]


def number_of(*names: str) -> int:
    """An object's number, the same whenever it is asked for."""
    return zlib.crc32("\0".join(names).lower().encode()) % (2**31 - 1000) + 1000


def _tables(tables: list[Table]) -> list[Table]:
    return [table for table in tables if table.view is None]


def _shown(kind: Type) -> str:
    return "timestamp" if kind.name == "rowversion" else kind.name


def _length(kind: Type) -> int | None:
    if kind.name in ("ntext", "text", "image", "xml"):
        return {"ntext": 1073741823, "xml": -1}.get(kind.name, 2147483647)
    return kind.length if kind.name in TEXTS or kind.name in ("varbinary", "binary") else None


def _max_length(kind: Type) -> int:
    if kind.name in ("nvarchar", "nchar") and kind.length > 0:
        return 2 * kind.length
    return kind.length or BYTES.get(kind.name, 8)


def _precision(kind: Type) -> int | None:
    return kind.length if kind.name == "decimal" else PRECISIONS.get(kind.name)


def _default(column: Column) -> str | None:
    return None if column.default is None else f"({column.default})"


def info_tables(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        if table.view != "schema":
            yield session.database, table.schema, table.name, "VIEW" if table.view else "BASE TABLE"


def info_views(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        if table.view and table.view != "schema":
            text = f"CREATE VIEW [{table.schema}].[{table.name}] AS {table.view}"
            yield session.database, table.schema, table.name, text


def info_columns(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        for position, column in enumerate(table.columns, 1):
            kind = column.kind
            scale = kind.scale if kind.name == "decimal" else 0 if kind.name in RANGES else None
            yield (
                session.database, table.schema, table.name, column.name, position, _default(column),
                "YES" if column.nullable else "NO", _shown(kind), _length(kind), _precision(kind), scale,
                kind.scale if kind.name in ("datetime2", "time", "datetimeoffset") else None,
                "SQL_Latin1_General_CP1_CI_AS" if kind.name in TEXTS else None,
            )  # fmt: skip


def info_constraints(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in _tables(tables):
        for index in table.indexes:
            if index.kind != "INDEX":
                yield session.database, table.schema, index.name, table.schema, table.name, index.kind
        for foreign in table.foreigns:
            yield session.database, table.schema, foreign.name, table.schema, table.name, "FOREIGN KEY"
        for check in table.checks:
            yield session.database, table.schema, check.name, table.schema, table.name, "CHECK"


def info_key_columns(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in _tables(tables):
        keys = [(i.name, [c for c, _ in i.columns]) for i in table.indexes if i.kind != "INDEX"]
        keys += [(foreign.name, foreign.columns) for foreign in table.foreigns]
        for name, columns in keys:
            for position, column in enumerate(columns, 1):
                yield session.database, table.schema, name, table.schema, table.name, column, position


def info_references(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    by_name = {table.physical.lower(): table for table in tables}
    for table in _tables(tables):
        for foreign in table.foreigns:
            target = by_name.get(foreign.table.lower())
            if target is None:
                continue
            wanted = [column.lower() for column in foreign.references]
            unique = next(
                (i.name for i in target.indexes if [c.lower() for c, _ in i.columns] == wanted), None
            )
            yield (
                session.database, table.schema, foreign.name, target.schema, unique, "SIMPLE",
                foreign.on_update, foreign.on_delete,
            )  # fmt: skip


def sys_objects(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        if table.view == "schema":
            continue
        kind = ("V ", "VIEW") if table.view else ("U ", "USER_TABLE")
        own = number_of(table.physical)
        yield table.name, own, schema_number(table.schema), 0, *kind, 0
        for index in table.indexes:
            if index.kind != "INDEX":
                code = (
                    ("PK", "PRIMARY_KEY_CONSTRAINT") if index.kind[0] == "P" else ("UQ", "UNIQUE_CONSTRAINT")
                )
                yield (
                    index.name,
                    number_of(table.physical, index.name),
                    schema_number(table.schema),
                    own,
                    *code,
                    0,
                )
        for foreign in table.foreigns:
            number = number_of(table.physical, foreign.name)
            yield foreign.name, number, schema_number(table.schema), own, "F ", "FOREIGN_KEY_CONSTRAINT", 0
        for check in table.checks:
            number = number_of(table.physical, check.name)
            yield check.name, number, schema_number(table.schema), own, "C ", "CHECK_CONSTRAINT", 0
        for column in table.columns:
            if column.default_name:
                number = number_of(table.physical, column.default_name)
                yield (
                    column.default_name,
                    number,
                    schema_number(table.schema),
                    own,
                    "D ",
                    "DEFAULT_CONSTRAINT",
                    0,
                )


def schema_number(name: str) -> int:
    return 1 if name.lower() == "dbo" else number_of("schema", name) % 30000 + 5


def sys_schemas(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    names = {table.schema for table in tables} | {"dbo", "sys", "INFORMATION_SCHEMA"}
    return [(name, schema_number(name), 1) for name in sorted(names)]


def sys_tables(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    return [row for row in sys_objects(session, tables) if row[4] == "U "]


def sys_views(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    return [row for row in sys_objects(session, tables) if row[4] == "V "]


def sys_columns(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        for position, column in enumerate(table.columns, 1):
            kind = column.kind
            default = number_of(table.physical, column.default_name) if column.default_name else 0
            yield (
                number_of(table.physical), column.name, position,
                TYPE_NUMBERS[kind.name], TYPE_NUMBERS[kind.name],
                _max_length(kind), _precision(kind) or 0, kind.scale, int(column.nullable),
                int(column.identity is not None), int(column.computed is not None), default,
                "SQL_Latin1_General_CP1_CI_AS" if kind.name in TEXTS else None,
            )  # fmt: skip


def sys_identities(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        for position, column in enumerate(table.columns, 1):
            if column.identity:
                last = session.store.current_identity(table.physical)
                yield number_of(table.physical), column.name, position, *column.identity, last, 1


def sys_types(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    return [
        ("timestamp" if name == "rowversion" else name, n, n)
        for name, n in TYPE_NUMBERS.items()
        if name not in ("timestamp", "sysname")
    ]


def index_numbers(table: Table) -> Iterable[tuple[int, Index]]:
    """Return the indexes of a table with their numbers; 1 would be a clustered one."""
    return enumerate(table.indexes, 2)


def sys_indexes(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in _tables(tables):
        for number, index in index_numbers(table):
            yield (
                number_of(table.physical), index.name, number, 2, "NONCLUSTERED", int(index.unique),
                int(index.kind == "PRIMARY KEY"), int(index.kind == "UNIQUE"), 0, 0,
                int(index.where is not None),
                None if index.where is None else f"({index.where})",
            )  # fmt: skip


def sys_index_columns(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in _tables(tables):
        positions = {column.name.lower(): n for n, column in enumerate(table.columns, 1)}
        for number, index in index_numbers(table):
            for key, (name, desc) in enumerate(index.columns, 1):
                yield number_of(table.physical), number, key, positions[name.lower()], key, int(desc), 0
            for extra, name in enumerate(index.include, len(index.columns) + 1):
                yield number_of(table.physical), number, extra, positions[name.lower()], 0, 0, 1


def sys_foreign_keys(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in _tables(tables):
        for foreign in table.foreigns:
            yield (
                foreign.name, number_of(table.physical, foreign.name), schema_number(table.schema),
                number_of(table.physical), number_of(foreign.table),
                foreign.on_delete.replace(" ", "_"), foreign.on_update.replace(" ", "_"),
            )  # fmt: skip


def sys_foreign_key_columns(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    by_name = {table.physical.lower(): table for table in tables}
    for table in _tables(tables):
        for foreign in table.foreigns:
            target = by_name.get(foreign.table.lower(), table)
            for position, (own, other) in enumerate(zip(foreign.columns, foreign.references, strict=True), 1):
                yield (
                    number_of(table.physical, foreign.name), position, number_of(table.physical),
                    _position(table, own), number_of(foreign.table), _position(target, other),
                )  # fmt: skip


def _position(table: Table, name: str) -> int:
    return next(n for n, column in enumerate(table.columns, 1) if column.name.lower() == name.lower())


def sys_defaults(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in tables:
        for position, column in enumerate(table.columns, 1):
            if column.default_name:
                number = number_of(table.physical, column.default_name)
                yield column.default_name, number, number_of(table.physical), position, _default(column)


def sys_checks(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for table in _tables(tables):
        for check in table.checks:
            number = number_of(table.physical, check.name)
            yield check.name, number, number_of(table.physical), 0, f"({check.sql})"


def sys_databases(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for number, store in enumerate(session.server.databases.values(), 1):
        yield store.name, number, store.level, 0, "SQL_Latin1_General_CP1_CI_AS"


def sys_modules(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for _, schema, name, text in info_views(session, tables):
        yield number_of(physical(schema, name)), text


def old_objects(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for name, number, schema, parent, kind, *_ in sys_objects(session, tables):
        yield name, number, kind.strip(), schema, parent


def old_columns(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for row in sys_columns(session, tables):
        status = 0x80 * row[9]
        yield (
            row[1], row[0], row[3], row[3], row[5], row[2], row[6], row[7], row[6], row[7], row[8], row[11],
            status, row[10], 0, row[12],
        )  # fmt: skip


def old_indexes(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for number, name, index, _, _, unique, primary, constraint, *_ in sys_indexes(session, tables):
        status = 2 * unique + 0x800 * primary + 0x1000 * constraint
        yield number, status, index, name


def old_index_keys(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for number, index, key, column, *_ in sys_index_columns(session, tables):
        yield number, index, column, key


def old_foreign_keys(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for number, position, own, column, other, other_column in sys_foreign_key_columns(session, tables):
        yield number, own, other, column, other_column, position


def old_comments(session: Session, tables: list[Table]) -> Iterable[tuple[Any, ...]]:
    for _, number, _, _, text in sys_defaults(session, tables):
        yield number, text, 1, 0
    for _, number, _, _, text in sys_checks(session, tables):
        yield number, text, 1, 0
    for number, text in sys_modules(session, tables):
        yield number, text, 1, 0


CATALOGS = "table_catalog table_schema table_name"
VIEWS: dict[str, tuple[str, Generator]] = {
    "information_schema.tables": (f"{CATALOGS} table_type", info_tables),
    "information_schema.views": (f"{CATALOGS} view_definition", info_views),
    "information_schema.columns": (
        f"{CATALOGS} column_name ordinal_position column_default is_nullable data_type "
        "character_maximum_length numeric_precision numeric_scale datetime_precision collation_name",
        info_columns,
    ),
    "information_schema.table_constraints": (
        "constraint_catalog constraint_schema constraint_name table_schema table_name constraint_type",
        info_constraints,
    ),
    "information_schema.key_column_usage": (
        "constraint_catalog constraint_schema constraint_name table_schema table_name column_name "
        "ordinal_position",
        info_key_columns,
    ),
    "information_schema.referential_constraints": (
        "constraint_catalog constraint_schema constraint_name unique_constraint_schema "
        "unique_constraint_name match_option update_rule delete_rule",
        info_references,
    ),
    "sys.objects": ("name object_id schema_id parent_object_id type type_desc is_ms_shipped", sys_objects),
    "sys.tables": ("name object_id schema_id parent_object_id type type_desc is_ms_shipped", sys_tables),
    "sys.views": ("name object_id schema_id parent_object_id type type_desc is_ms_shipped", sys_views),
    "sys.schemas": ("name schema_id principal_id", sys_schemas),
    "sys.columns": (
        "object_id name column_id system_type_id user_type_id max_length precision scale is_nullable "
        "is_identity is_computed default_object_id collation_name",
        sys_columns,
    ),
    "sys.identity_columns": (
        "object_id name column_id seed_value increment_value last_value is_identity",
        sys_identities,
    ),
    "sys.types": ("name system_type_id user_type_id", sys_types),
    "sys.indexes": (
        "object_id name index_id type type_desc is_unique is_primary_key is_unique_constraint is_disabled "
        "is_hypothetical has_filter filter_definition",
        sys_indexes,
    ),
    "sys.index_columns": (
        "object_id index_id index_column_id column_id key_ordinal is_descending_key is_included_column",
        sys_index_columns,
    ),
    "sys.foreign_keys": (
        "name object_id schema_id parent_object_id referenced_object_id delete_referential_action_desc "
        "update_referential_action_desc",
        sys_foreign_keys,
    ),
    "sys.foreign_key_columns": (
        "constraint_object_id constraint_column_id parent_object_id parent_column_id referenced_object_id "
        "referenced_column_id",
        sys_foreign_key_columns,
    ),
    "sys.default_constraints": ("name object_id parent_object_id parent_column_id definition", sys_defaults),
    "sys.check_constraints": ("name object_id parent_object_id parent_column_id definition", sys_checks),
    "sys.databases": (
        "name database_id compatibility_level snapshot_isolation_state collation_name",
        sys_databases,
    ),
    "sys.sql_modules": ("object_id definition", sys_modules),
    "sys.sequences": ("name object_id schema_id", lambda session, tables: []),
    "sys.triggers": ("name object_id parent_id", lambda session, tables: []),
    "sysobjects": ("name id xtype uid parent_obj", old_objects),
    "syscolumns": (
        "name id xtype xusertype length colid xprec xscale prec scale isnullable cdefault colstat iscomputed "
        "number collation",
        old_columns,
    ),
    "systypes": ("name xtype xusertype", sys_types),
    "sysusers": ("name uid issqlrole", sys_schemas),
    "sysindexes": ("id status indid name", old_indexes),
    "sysindexkeys": ("id indid colid keyno", old_index_keys),
    "sysforeignkeys": ("constid fkeyid rkeyid fkey rkey keyno", old_foreign_keys),
    "syscomments": ("id text colid encrypted", old_comments),
    "sysdatabases": ("name dbid cmptlevel", lambda s, t: [row[:3] for row in sys_databases(s, t)]),
}


def refresh(session: Session, names: Iterable[str]) -> None:
    """Write the temporary tables of these catalog views."""
    tables = session.catalog.tables() if names else []
    for name in names:
        if name not in VIEWS:
            continue  # SQLite will say that there is no such table
        columns, generate = VIEWS[name]
        target = f"temp.{quoted(name)}"
        fields = ", ".join(f"{quoted(column)} COLLATE NOCASE" for column in columns.split())
        session.conn.execute(f"DROP TABLE IF EXISTS {target}")
        session.conn.execute(f"CREATE TABLE {target} ({fields})")
        marks = ", ".join("?" * len(columns.split()))
        session.conn.executemany(f"INSERT INTO {target} VALUES ({marks})", list(generate(session, tables)))
