"""What OBJECT_ID, COLUMNPROPERTY and their kin answer, and the system procedures that drivers call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .catalog import physical
from .information import index_numbers, number_of, sys_objects
from .lexer import lex, name_of
from .results import Rows
from .types import Type

if TYPE_CHECKING:
    from .execute import Session

__all__ = [
    "column_property",
    "index_key_property",
    "index_property",
    "name_of_column",
    "name_of_object",
    "object_id",
    "object_property",
    "procedure",
]


def object_id(session: Session, name: str, kind: str | None) -> int | None:
    """OBJECT_ID: of a table, a view, a temporary table or a constraint."""
    if name is None:
        return None
    parts = [name_of(token) for token in lex(name) if token.text != "."]
    schema = parts[-2] if len(parts) > 1 and parts[-2].lower() != "tempdb" else "dbo"
    wanted = (kind or "").strip().upper()
    table = session.catalog.table(physical(schema, parts[-1]))
    if table is not None and wanted in ("", "V" if table.view else "U"):
        return number_of(table.physical)
    for row in sys_objects(session, session.catalog.tables()):
        if row[0].lower() == parts[-1].lower() and wanted in ("", row[4].strip()) and row[3]:
            return int(row[1])
    return None


def name_of_object(session: Session, number: int) -> str | None:
    return next((row[0] for row in sys_objects(session, session.catalog.tables()) if row[1] == number), None)


def name_of_column(session: Session, number: int, position: int) -> str | None:
    for table in session.catalog.tables():
        if number_of(table.physical) == number and 0 < position <= len(table.columns):
            return table.columns[position - 1].name
    return None


def column_property(session: Session, number: int, name: str, what: str) -> int | None:
    """COLUMNPROPERTY."""
    for table in session.catalog.tables():
        if number_of(table.physical) == number:
            for column in table.columns:
                if column.name.lower() == str(name).lower():
                    found = {
                        "isidentity": column.identity is not None,
                        "iscomputed": column.computed is not None,
                        "allowsnull": column.nullable,
                    }.get(what.lower())
                    return None if found is None else int(found)
    return None


def index_property(session: Session, number: int, name: str, what: str) -> int | None:
    """INDEXPROPERTY."""
    for table in session.catalog.tables():
        for position, index in index_numbers(table):
            if number_of(table.physical) == number and index.name.lower() == str(name).lower():
                found = {"indexid": position, "isunique": int(index.unique), "isclustered": 0}
                found |= {"isstatistics": 0, "isautostatistics": 0, "ishypothetical": 0}
                return found.get(what.lower())
    return None


def index_key_property(session: Session, number: int, index_number: int, key: int, what: str) -> int | None:
    """INDEXKEY_PROPERTY."""
    for table in session.catalog.tables():
        for position, index in index_numbers(table):
            if (
                number_of(table.physical) == number
                and position == index_number
                and 0 < key <= len(index.columns)
            ):
                return {"isdescending": int(index.columns[key - 1][1])}.get(what.lower())
    return None


def object_property(session: Session, number: int, what: str) -> int | None:
    """OBJECTPROPERTY."""
    for table in session.catalog.tables():
        for foreign in table.foreigns:
            rules = {"cnstisdeletecascade": foreign.on_delete, "cnstisupdatecascade": foreign.on_update}
            if number_of(table.physical, foreign.name) == number and what.lower() in rules:
                return int(rules[what.lower()] == "CASCADE")
    for row in sys_objects(session, session.catalog.tables()):
        if row[1] == number:
            kinds = {
                "istable": "U",
                "isusertable": "U",
                "isview": "V",
                "isprimarykey": "PK",
                "ismsshipped": "-",
            }
            kinds |= {"isuniquecnst": "UQ", "isforeignkey": "F", "ischeckcnst": "C", "isdefaultcnst": "D"}
            return int(row[4].strip() == kinds[what.lower()]) if what.lower() in kinds else None
    return None


#: ODBC's number of a type, its name, and the precision that a driver learns from sp_datatype_info.
ODBC_TYPES = (
    ("bigint", -5, 19, 0), ("binary", -2, 8000, None), ("bit", -7, 1, 0), ("char", 1, 8000, None),
    ("date", 91, 10, 0), ("datetime2", 93, 27, 7), ("datetime", 93, 23, 3), ("decimal", 3, 38, 38),
    ("float", 6, 15, None), ("image", -4, 2147483647, None), ("int", 4, 10, 0), ("money", 3, 19, 4),
    ("nchar", -8, 4000, None), ("ntext", -10, 1073741823, None), ("numeric", 2, 38, 38),
    ("nvarchar", -9, 4000, None), ("real", 7, 7, None), ("smalldatetime", 93, 16, 0), ("smallint", 5, 5, 0),
    ("smallmoney", 3, 10, 4), ("sysname", -9, 128, None), ("text", -1, 2147483647, None),
    ("time", -154, 16, 7),
    ("timestamp", -2, 8, None), ("tinyint", -6, 3, 0), ("uniqueidentifier", -11, 36, None),
    ("varbinary", -3, 8000, None), ("varchar", 12, 8000, None), ("xml", -152, 0, None),
)  # fmt: skip
NEW_TYPES = {"date", "datetime2", "time", "xml"}


def procedure(session: Session, name: str, arguments: list[Any], named: dict[str, Any]) -> Rows | None:
    """Return what a system procedure gives, or None if there is no such procedure."""
    if name not in ("sp_datatype_info", "sp_datatype_info_90", "sp_datatype_info_100"):
        return None
    wanted = int((arguments or [named.get("@data_type", 0)])[0] or 0)
    text, small, number = Type("nvarchar", 128), Type("smallint"), Type("int")
    columns = {
        "TYPE_NAME": text, "DATA_TYPE": small, "PRECISION": number, "LITERAL_PREFIX": text,
        "LITERAL_SUFFIX": text,
        "CREATE_PARAMS": text, "NULLABLE": small, "CASE_SENSITIVE": small, "SEARCHABLE": small,
        "UNSIGNED_ATTRIBUTE": small, "MONEY": small, "AUTO_INCREMENT": small, "LOCAL_TYPE_NAME": text,
        "MINIMUM_SCALE": small, "MAXIMUM_SCALE": small, "SQL_DATA_TYPE": small, "SQL_DATETIME_SUB": small,
        "NUM_PREC_RADIX": number, "INTERVAL_PRECISION": small, "USERTYPE": small,
    }  # fmt: skip
    rows = [
        [
            kind,
            code,
            size,
            None,
            None,
            None,
            1,
            0,
            3,
            None,
            0,
            None,
            kind,
            scale,
            scale,
            code,
            None,
            10,
            None,
            0,
        ]
        for kind, code, size, scale in ODBC_TYPES
        if wanted in (0, code) and not (kind in NEW_TYPES and session.server.version[0] < 10)
    ]
    return Rows(list(columns), list(columns.values()), rows)
