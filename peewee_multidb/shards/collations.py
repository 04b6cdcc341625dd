"""How the engines compare text, and how to compare likewise here.

Python compares strings by code point. That is what a database does too under a binary collation, and only
then. SQLite's other two collations are simple enough to be done here. MySQL and MariaDB hand out the sort
key itself, WEIGHT_STRING, which is bytes. PostgreSQL has nothing of the kind: text under a linguistic
collation cannot be merged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import drivers

__all__ = ["BINARY", "OPAQUE", "PadWeight", "TextRule", "named", "rules_of"]

_POSTGRESQL_DEFAULT = """
SELECT to_jsonb(d) ->> 'datlocprovider', datcollate, pg_encoding_to_char(encoding)
FROM pg_database AS d WHERE datname = current_database()
"""
_POSTGRESQL_COLUMNS = """
SELECT a.attname, c.collname, to_jsonb(c) ->> 'collprovider'
FROM pg_attribute AS a JOIN pg_collation AS c ON c.oid = a.attcollation
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_MYSQL_COLUMNS = """
SELECT column_name, collation_name FROM information_schema.columns
WHERE table_schema = {schema} AND table_name = %s AND collation_name IS NOT NULL
"""
_SQLITE_TABLE = "SELECT type, sql FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?"

#: Collations of PostgreSQL, by name, that compare code points.
_BY_CODE_POINT = ("C", "POSIX", "ucs_basic", "pg_c_utf8", "C.UTF-8", "C.UTF8", "PG_UNICODE_FAST")
_SQLITE_NOCASE = str.maketrans({chr(c): chr(c + 32) for c in range(ord("A"), ord("Z") + 1)})


@dataclass(frozen=True)
class TextRule:
    """How text of one column, or of a whole database, is compared.

    Attributes:
        name: of the collation.
        prepare: makes of a string what compares here as the string does there; None where nothing can.
        weight: `prepare` takes the server's sort key in the string's place.
        exact: two texts are equal only if they are the same, and ordered by code point.
    """

    name: str
    prepare: Callable[[Any], Any] | None = None
    weight: bool = False
    exact: bool = False


class PadWeight:
    """A sort key of a collation under which text is as good as padded with spaces."""

    __slots__ = ("key", "space")

    def __init__(self, key: bytes, space: bytes) -> None:
        end, width = len(key), len(space)
        while end >= width and key[end - width : end] == space:
            end -= width
        self.key, self.space = key[:end], space

    def __lt__(self, other: PadWeight) -> bool:
        missing = len(self.key) - len(other.key)
        if missing > 0:
            return self.key < other.key + self.space * (missing // len(self.space) + 1)
        if missing < 0:
            return self.key + self.space * (-missing // len(self.space) + 1) < other.key
        return self.key < other.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PadWeight) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _same(value: str) -> str:
    return value


BINARY = TextRule("binary", _same, exact=True)
OPAQUE = TextRule("unknown")


def named(engine: str, name: str) -> TextRule:
    """Return the rule of a collation that a query names itself."""
    plain = name.strip().strip('"').strip("`")
    if engine == "sqlite":
        return _sqlite(plain)
    if engine == "postgresql":
        return BINARY if plain in ("C", "POSIX", "ucs_basic") else TextRule(plain)
    return TextRule(plain)


def rules_of(database: Any, table: str, schema: str | None) -> dict[str | None, TextRule]:
    """Return the rules of a table's columns by their names, and of the database under None.

    Args:
        database: the Database object; it is asked.
        table: the table's name.
        schema: the table's schema, if it is not the default one.
    """
    engine = drivers.traits_of(database).engine
    if engine == "sqlite":
        return _sqlite_rules(database, table)
    if engine == "postgresql":
        return _postgresql_rules(database, table, schema)
    if engine == "mysql":
        return _mysql_rules(database, table, schema)
    return {None: OPAQUE}


def _sqlite(name: str) -> TextRule:
    upper = name.upper()
    if upper == "BINARY":
        return BINARY
    if upper == "NOCASE":
        return TextRule(name, lambda value: value.translate(_SQLITE_NOCASE))
    if upper == "RTRIM":
        return TextRule(name, lambda value: value.rstrip(" "))
    return TextRule(name)


def _sqlite_rules(database: Any, table: str) -> dict[str | None, TextRule]:
    encoding = database.execute_sql("PRAGMA encoding").fetchone()[0]
    if encoding != "UTF-8":
        # Bytes of UTF-16 are not in the order of code points.
        return {None: TextRule(f"BINARY in {encoding}")}
    rules: dict[str | None, TextRule] = {None: BINARY}
    found = database.execute_sql(_SQLITE_TABLE, (table,)).fetchone()
    if found is not None and found[0] == "view":
        return {None: TextRule("of the tables behind a view")}
    text = found[1] if found is not None and found[1] else ""
    for column, name in _sqlite_collations(text):
        rules[column] = _sqlite(name)
    return rules


def _sqlite_collations(text: str) -> list[tuple[str | None, str]]:
    """Return column and collation of each COLLATE in a CREATE TABLE; where in doubt, the column is None."""
    found: list[tuple[str | None, str]] = []
    for part in re.split(r",(?![^()]*\))", text.partition("(")[2].rpartition(")")[0]):
        match = re.search(r"""\bCOLLATE\s+["'`\[]?(\w+)""", part, re.IGNORECASE)
        if match is not None:
            column = re.match(r"""\s*["`\[]?(\w+)["`\]]?\s""", part)
            found.append((column.group(1) if column is not None else None, match.group(1)))
    return found


def _postgresql_rules(database: Any, table: str, schema: str | None) -> dict[str | None, TextRule]:
    provider, collate, encoding = database.execute_sql(_POSTGRESQL_DEFAULT).fetchone()
    if encoding != "UTF8":
        default = TextRule(f"{collate} in {encoding}")
    elif provider == "b" or (provider in ("c", None) and collate in ("C", "POSIX")):
        default = BINARY
    else:
        default = TextRule(collate)
    name = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table) if part)
    rules: dict[str | None, TextRule] = {None: default}
    for column, collation, provider in database.execute_sql(_POSTGRESQL_COLUMNS, (name,)).fetchall():
        if provider == "d":
            rules[column] = default
        elif encoding == "UTF8" and (provider == "b" or collation in _BY_CODE_POINT[:3]):
            rules[column] = BINARY
        else:
            rules[column] = TextRule(collation)
    return rules


def _mysql_rules(database: Any, table: str, schema: str | None) -> dict[str | None, TextRule]:
    sql = _MYSQL_COLUMNS.format(schema="DATABASE()" if schema is None else "%s")
    params = (table,) if schema is None else (schema, table)
    columns = database.execute_sql(sql, params).fetchall()
    rules = {name: _mysql(database, name) for name in {collation for _, collation in columns}}
    # An expression has the collation of what is in it, and the server makes the key of the whole.
    return {None: OPAQUE, **{column: rules[collation] for column, collation in columns}}


def _mysql(database: Any, name: str) -> TextRule:
    pads = "nopad" not in name and "_0900_" not in name
    if not pads and name.endswith("_bin") and name.startswith("utf8"):
        return TextRule(name, _same, exact=True)
    if not pads:
        # Whatever its levels, the key of an unpadded collation compares as bytes.
        return TextRule(name, bytes, weight=True)
    if not re.search(r"(?<!_as)_ci$|_bin$", name):
        return TextRule(name)
    charset = name.partition("_")[0]
    if charset == "uca1400":
        charset = "utf8mb4"
    sql = f"SELECT WEIGHT_STRING(CONVERT(' ' USING {charset}) COLLATE {name})"
    space = bytes(database.execute_sql(sql).fetchone()[0] or b"")
    if not space:
        return TextRule(name)
    return TextRule(name, lambda key: PadWeight(bytes(key), space), weight=True)
