"""One spelling for each column type and each default, so that a model and a catalog can be compared.

A CREATE TABLE says ``VARCHAR(20)`` where PostgreSQL answers ``character varying(20)``, and ``INTEGER`` where
MariaDB answers ``int(11)``: these are the same. What is not known here is compared as it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import peewee

from ..drivers import traits_of

__all__ = ["canonical_default", "canonical_type", "declared_default", "declared_type"]

_QUOTED = re.compile(r"('(?:[^']|'')*')")
_PARTS = re.compile(r"^(?P<base>[^()]*?)\s*(?:\((?P<inside>.*?)\))?(?P<rest>[^()]*)$", re.DOTALL)

_POSTGRESQL = {
    "bigserial": "bigint",
    "bit varying": "varbit",
    "bool": "boolean",
    "bpchar": "character",
    "char": "character",
    "char varying": "character varying",
    "decimal": "numeric",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "serial": "integer",
    "serial4": "integer",
    "serial8": "bigint",
    "smallserial": "smallint",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varchar": "character varying",
}
_MYSQL = {
    "bool": "tinyint(1)",
    "boolean": "tinyint(1)",
    "character": "char",
    "character varying": "varchar",
    "dec": "decimal",
    "double precision": "double",
    "fixed": "decimal",
    "int1": "tinyint",
    "int2": "smallint",
    "int4": "int",
    "int8": "bigint",
    "integer": "int",
    "numeric": "decimal",
    "real": "double",
}
_MYSQL_INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}
_SQLITE = {
    **dict.fromkeys(["bigint", "bool", "boolean", "int", "int2", "int8", "mediumint", "smallint"], "integer"),
    "tinyint": "integer",
    "unsigned big int": "integer",
    **dict.fromkeys(["double", "double precision", "float"], "real"),
    "character": "char",
    "character varying": "varchar",
    "dec": "decimal",
    "numeric": "decimal",
    "nvarchar": "varchar",
}
_MSSQL = {
    "binary varying": "varbinary",
    "character": "char",
    "character varying": "varchar",
    "dec": "decimal",
    "double precision": "float",
    "integer": "int",
    "national character varying": "nvarchar",
    "numeric": "decimal",
    "rowversion": "timestamp",
}


def canonical_type(kind: str, database: Any) -> str:
    """Return the one spelling of a column type.

    Args:
        kind: as it stands in a CREATE TABLE, or as the catalog gives it.
        database: the Database object, which tells the engine.
    """
    spell = _SPELLINGS.get(traits_of(database).engine)
    text = "".join(
        part if part.startswith("'") else " ".join(part.lower().split()).replace(" (", "(")
        for part in _QUOTED.split(kind)
    )
    return text if spell is None else spell(text, database)


def _split(text: str, names: dict[str, str]) -> tuple[str, str, str]:
    """Return the type's plain name, what is in its parentheses, and the words behind those."""
    found = _PARTS.match(text)
    if found is None:
        return text, "", ""
    base = found["base"].strip()
    inside = re.sub(r"\s*,\s*", ",", (found["inside"] or "").strip())
    return names.get(base, base), inside, found["rest"].strip()


def _joined(base: str, inside: str, rest: str = "") -> str:
    return base + (f"({inside})" if inside else "") + (f" {rest}" if rest else "")


def _scaled(base: str, inside: str) -> str:
    """Return what is in the parentheses of a decimal: a scale that is left out is 0."""
    return f"{inside},0" if base in ("decimal", "numeric") and inside.isdigit() else inside


def _postgresql(text: str, database: Any) -> str:
    arrays = "[]" * text.count("[]")
    base, inside, rest = _split(text.replace("[]", "").strip(), _POSTGRESQL)
    if base == "double precision" and inside:
        base, inside = ("real" if int(inside) <= 24 else base), ""
    if base == "character" and not inside:
        inside = "1"
    if base in ("timestamp", "time") and not rest:
        rest = "without time zone"
    for name in ("timestamp", "time"):
        # The precision stands in the middle: timestamp(3) with time zone.
        if base in (f"{name} with time zone", f"{name} without time zone"):
            base, rest = name, base.removeprefix(f"{name} ")
    return _joined(base, _scaled(base, inside), rest) + arrays


def _mysql(text: str, database: Any) -> str:
    text = text.replace(" auto_increment", "")
    text = re.sub(r" (?:character set|charset|collate) \w+", "", text)
    if text == "json" and _is_mariadb(database):
        return "longtext"
    unsigned = " unsigned" in text
    base, inside, rest = _split(text.replace(" unsigned", "").replace(" zerofill", ""), _MYSQL)
    if base in _MYSQL_INTEGERS and (base, inside) != ("tinyint", "1"):
        inside = ""
    if base == "year":
        inside = ""
    if base == "char" and not inside:
        inside = "1"
    return _joined(base, _scaled(base, inside), "unsigned" if unsigned else rest)


def _is_mariadb(database: Any) -> bool:
    # Asked, and not told by the URL: either module connects to either server.
    known = database.__dict__.get("_multidb_is_mariadb")
    if known is None:
        known = "mariadb" in str(database.execute_sql("SELECT VERSION()").fetchone()[0]).lower()
        database._multidb_is_mariadb = known
    return bool(known)


def _sqlite(text: str, database: Any) -> str:
    base, inside, rest = _split(text, _SQLITE)
    if base in ("integer", "real"):
        inside = rest = ""
    return _joined(base, _scaled(base, inside), rest)


def _mssql(text: str, database: Any) -> str:
    text = re.sub(r" identity(?:\(.*?\))?", "", text)
    found = re.match(r"nvarchar\((\d+)\)$", text)
    if found and int(found[1]) > 4000:
        return "nvarchar(max)" if database.version.major >= 9 else "ntext"
    base, inside, rest = _split(text, _MSSQL)
    if base == "float":
        base, inside = ("real" if inside and int(inside) <= 24 else base), ""
    if base in ("datetime2", "time", "datetimeoffset") and not inside:
        inside = "7"
    if base == "decimal" and not inside:
        inside = "18"
    if base in ("char", "nchar", "varchar", "nvarchar", "binary", "varbinary") and not inside:
        inside = "1"
    return _joined(base, _scaled(base, inside), rest)


_SPELLINGS: dict[str, Callable[[str, Any], str]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
    "mssql": _mssql,
}


def declared_type(field: Any, database: Any) -> str:
    """Return the type that a field's column would get in a database, in its one spelling; "" for none."""
    ctx = database.get_sql_context()
    kind = field.ddl_datatype(ctx)
    if kind is None:
        return ""
    text, _ = database.get_sql_context().sql(kind).query()
    return canonical_type(text.replace("%%", "%"), database)


# Defaults

_CAST = re.compile(r"^(?P<value>.*?)::[\w\s.\"]+(?:\(\d+(?:,\s*\d+)?\))?(?:\[\])*$", re.DOTALL)
_TEXT = re.compile(r"^[NnEe]?'((?:[^']|'')*)'$", re.DOTALL)
_NOW = {"current_timestamp", "current_timestamp()", "now()", "getdate()", "localtimestamp"}
_BOOLEANS = {"true": "1", "false": "0"}


def canonical_default(text: str | None) -> tuple[bool, str | None]:
    """Return whether a default can be compared, and its value in one spelling; None for no default.

    Args:
        text: what stands behind DEFAULT, or what the catalog gives.
    """
    if text is None:
        return True, None
    value = text.strip()
    while True:
        cast = _CAST.match(value)
        if cast:
            value = cast["value"].strip()
        elif value.startswith("(") and value.endswith(")"):
            value = value[1:-1].strip()
        else:
            break
    quoted = _TEXT.match(value)
    plain = quoted[1].replace("''", "'") if quoted else value
    lower = plain.lower()
    if not quoted and lower in ("null", ""):
        return True, None
    if not quoted and lower in _NOW:
        return True, "current_timestamp"
    if lower in _BOOLEANS:
        return True, _BOOLEANS[lower]
    try:
        return True, str(Decimal(plain).normalize() + 0)
    except InvalidOperation:
        # MySQL gives texts without quotes; what has neither parentheses nor spaces may be one.
        return quoted is not None or bool(re.fullmatch(r"\w+", plain)), plain


def declared_default(field: Any) -> tuple[bool, str | None]:
    """Return whether the default that a field writes into the table can be compared, and its value.

    What a field computes in Python, ``default=``, is not in the table.
    """
    if getattr(field, "sequence", None):
        return False, None
    for one in field.constraints or ():
        sql = getattr(one, "sql", None) if isinstance(one, peewee.SQL) else ""
        if sql is None or not isinstance(one, peewee.SQL):
            return False, None
        if sql.strip().upper().startswith("DEFAULT"):
            if one.params:
                return False, None
            return canonical_default(sql.strip()[len("DEFAULT") :])
    return True, None
