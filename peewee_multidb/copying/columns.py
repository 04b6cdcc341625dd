"""What the columns of a table can hold, as the server itself says it.

The model is no witness: a table may be older than it, or somebody else's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..drivers import traits_of

__all__ = ["Column", "describe"]

#: The bits of the integer types; https://www.postgresql.org/docs/current/datatype-numeric.html and
#: https://mariadb.com/kb/en/integer/. SQL Server's tinyint has no sign.
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "integer": 32, "bigint": 64}
_KINDS = {
    **dict.fromkeys(_BITS, "int"),
    **dict.fromkeys(["bool", "boolean", "bit"], "bool"),
    **dict.fromkeys(["decimal", "numeric"], "decimal"),
    **dict.fromkeys(["money", "smallmoney"], "money"),
    **dict.fromkeys(["real", "float4"], "real"),
    **dict.fromkeys(["double", "double precision", "float"], "double"),
    **dict.fromkeys(["char", "character", "varchar", "character varying", "nchar", "nvarchar"], "text"),
    **dict.fromkeys(["text", "tinytext", "mediumtext", "longtext", "ntext"], "text"),
    **dict.fromkeys(["blob", "tinyblob", "mediumblob", "longblob"], "blob"),
    **dict.fromkeys(["bytea", "binary", "varbinary", "image"], "blob"),
    **dict.fromkeys(["timestamp without time zone", "datetime", "timestamp", "datetime2"], "datetime"),
    **dict.fromkeys(["smalldatetime", "timestamp with time zone", "datetimeoffset"], "datetime"),
    **dict.fromkeys(["time", "time without time zone", "time with time zone"], "time"),
    **dict.fromkeys(["date", "json", "jsonb", "uuid"], ""),
    "uniqueidentifier": "uuid",
}
#: Microseconds are what Python knows.
MICROSECONDS = 6


@dataclass(frozen=True, slots=True)
class Column:
    """What a column can hold.

    Attributes:
        name: of the column.
        declared: its type, as the server writes it.
        kind: ``int``, ``bool``, ``decimal``, ``real``, ``double``, ``text``, ``blob``, ``datetime``,
            ``date``, ``time``, ``json``, ``uuid`` or ``other``.
        nullable: whether it may be without a value.
        bits: of an integer.
        signed: whether an integer may be below zero.
        size: the most characters, or bytes of a blob; None for no limit.
        digits: the most digits of a decimal; None for no limit.
        scale: the most of these behind the point.
        fraction: digits of a second.
        zoned: whether a time knows its offset from UTC.
        charset: the character set where that is not Unicode as a whole.
        dynamic: it takes any value, whatever was declared.
        filled: a row that says nothing of it gets a value, or has none.
    """

    name: str
    declared: str
    kind: str
    nullable: bool
    bits: int = 64
    signed: bool = True
    size: int | None = None
    digits: int | None = None
    scale: int | None = None
    fraction: int = MICROSECONDS
    zoned: bool = False
    charset: str | None = None
    dynamic: bool = False
    filled: bool = False


def describe(database: Any, table: str, schema: str | None = None) -> dict[str, Column]:
    """Return the columns of a table by name; none if there is no such table.

    Args:
        database: where it is.
        table: its name.
        schema: of the table; None for the current one.
    """
    engine = traits_of(database).engine
    if engine == "sqlite":
        return _sqlite(database, table, schema)
    if engine in ("postgresql", "mysql", "mssql"):
        return _standard(database, table, schema, engine)
    columns = database.get_columns(table, schema) if database.table_exists(table, schema) else []
    return {
        column.name: Column(column.name, column.data_type, "other", column.null, filled=column.null)
        for column in columns
    }


def _sqlite(database: Any, table: str, schema: str | None) -> dict[str, Column]:
    name = table.replace('"', '""')
    prefix = f'"{schema}".' if schema else ""
    rows = database.execute_sql(f'PRAGMA {prefix}table_info("{name}")').fetchall()
    found = {}
    for _, column, declared, not_null, default, key in rows:
        kind = re.sub(r"\s*\(.*", "", declared.lower())
        whole = declared.lower() == "integer" and key
        found[column] = Column(
            column,
            declared or "any type",
            _kind(kind),
            not not_null and not whole,
            # A number with a fraction is kept as a double, which has 15 digits for sure.
            digits=15 if _kind(kind) == "decimal" else None,
            dynamic=True,
            filled=not not_null or default is not None or bool(whole),
        )
    return found


def _kind(name: str) -> str:
    kind = _KINDS.get(name)
    return "other" if kind is None else kind or name.removesuffix("b" if name == "jsonb" else "")


#: What each engine adds to the columns of the standard: the declared type, the character set, and whether the
#: column gets a value by itself.
_EXTRAS = {
    "postgresql": "format_type(format('%%I.%%I', udt_schema, udt_name)::regtype, NULL), NULL, "
    "CASE WHEN is_identity = 'YES' OR is_generated = 'ALWAYS' THEN 'auto' ELSE '' END",
    "mysql": "column_type, character_set_name, extra",
    "mssql": "data_type, NULL, CASE COLUMNPROPERTY(OBJECT_ID(table_schema + '.' + table_name), "
    "column_name, 'IsIdentity') WHEN 1 THEN 'auto' ELSE '' END",
}
_SCHEMAS = {"postgresql": "CURRENT_SCHEMA()", "mysql": "DATABASE()", "mssql": "SCHEMA_NAME()"}


def _standard(database: Any, table: str, schema: str | None, engine: str) -> dict[str, Column]:
    param = database.param
    fraction = "NULL" if _is_old(database, engine) else "datetime_precision"
    rows = database.execute_sql(
        "SELECT column_name, data_type, is_nullable, column_default, character_maximum_length, "
        f"numeric_precision, numeric_scale, {fraction}, {_EXTRAS[engine]} "
        "FROM information_schema.columns "
        f"WHERE table_name = {param} AND table_schema = {param if schema else _SCHEMAS[engine]}",
        (table, schema) if schema else (table,),
    ).fetchall()
    return {row[0]: _column(engine, *row) for row in rows}


def _is_old(database: Any, engine: str) -> bool:
    """Whether MySQL is too old to have fractions of a second: they came with 5.6."""
    version: Any = getattr(database, "server_version", None)
    return engine == "mysql" and bool(version) and tuple(version) < (5, 6)


def _column(
    engine: str,
    name: str,
    kind: str,
    nullable: str,
    default: Any,
    size: int | None,
    digits: int | None,
    scale: int | None,
    fraction: int | None,
    declared: str,
    charset: str | None,
    extra: str,
) -> Column:
    kind = kind.lower()
    sort = _kind(kind)
    if engine == "mysql" and kind == "float":
        sort = "real"
    if engine == "mysql" and kind == "bit":
        sort = "other"
    if sort == "money":
        sort, digits, scale = "decimal", 19 if kind == "money" else 10, 4
    if sort in ("datetime", "time"):
        fraction = _fraction(engine, kind, fraction)
    has_size = size is not None and 0 < int(size) < 1 << 30
    text = f"{declared}({size})" if has_size and engine != "mysql" and "(" not in str(declared) else declared
    return Column(
        name,
        str(text),
        sort,
        nullable == "YES",
        bits=_BITS.get(kind, 64),
        signed=not ("unsigned" in str(declared) or (engine == "mssql" and kind == "tinyint")),
        size=int(size) if has_size and size is not None else None,
        digits=digits if sort == "decimal" else None,
        scale=scale if sort == "decimal" else None,
        fraction=MICROSECONDS if fraction is None else min(fraction, MICROSECONDS),
        zoned=kind in ("timestamp with time zone", "time with time zone", "datetimeoffset"),
        charset=charset if charset not in (None, "utf8mb4", "utf16", "utf32") else None,
        filled=nullable == "YES" or default is not None or bool(extra),
    )


def _fraction(engine: str, kind: str, fraction: int | None) -> int | None:
    if engine == "mssql" and kind in ("datetime", "smalldatetime"):
        # A datetime counts in steps of 1/300 second: what is kept for sure is a hundredth.
        return 2 if kind == "datetime" else 0
    return 0 if engine == "mysql" and fraction is None else fraction
