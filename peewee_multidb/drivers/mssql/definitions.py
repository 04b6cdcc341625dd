"""The words of Peewee's schema manager, made T-SQL.

The schema manager belongs to the model and knows no engine's hooks: it writes its own words, such as
``CREATE TABLE IF NOT EXISTS``, and hands the finished context to the database. It writes them one by one,
though, and so they still stand apart when the statement is complete. That is where they become T-SQL,
whether the model is one of this package, one of Peewee's own, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import peewee

from .literals import quoted, text
from .version import ServerVersion

__all__ = ["UNSORTABLE", "as_column", "is_ddl", "refuse", "rewritten", "table_source"]

#: The longest NVARCHAR that is not (MAX).
LONGEST_NVARCHAR = 4000

#: The types that no index can hold.
UNSORTABLE = ("NVARCHAR(MAX)", "VARCHAR(MAX)", "VARBINARY(MAX)", "NTEXT", "TEXT", "IMAGE", "XML")

_REFERENTIAL = re.compile(r"^( ?ON (?:DELETE|UPDATE)) (.+)$", re.IGNORECASE)
_NVARCHAR = re.compile(r"^NVARCHAR\((\d+)\)$")
_NEXTVAL = re.compile(r"^DEFAULT NEXTVAL\('(.+)'\)$")

Tokens = list[str]


def refuse(version: ServerVersion, what: str, instead: str) -> peewee.NotSupportedError:
    """The error for what a version lacks."""
    return peewee.NotSupportedError(f"{version.name} has no {what}; {instead}")


def table_source(tokens: Sequence[str], query: Any) -> Any:
    """Return the query that makes a table, if that is what is written; else None.

    Args:
        tokens: what is written already.
        query: what comes next: the rows of the table.
    """
    if len(tokens) < 3 or tokens[-1] != " AS " or _WRITERS.get(tokens[0]) is not _create_table:
        return None
    name = "".join(token for token in tokens[1:-1] if token != "IF NOT EXISTS ")
    # Around the query, so that it may have columns without names, an order of its own, or members.
    return peewee.Select((query.alias("_q"),), (peewee.SQL(f"* INTO {name}"),))


def is_ddl(tokens: Sequence[str]) -> bool:
    """Whether the words of a statement are those of Peewee's schema manager or its migrations."""
    return bool(tokens) and tokens[0] in _WRITERS


def rewritten(tokens: Sequence[str], version: ServerVersion) -> str:
    """Return the T-SQL of a statement of which `is_ddl` is true.

    Args:
        tokens: the statement as Peewee wrote it, word by word.
        version: the server's.

    Raises:
        peewee.NotSupportedError: the version has no such thing.
    """
    return _WRITERS[tokens[0]](list(tokens), version)


def _create_table(tokens: Tokens, version: ServerVersion) -> str:
    temporary = tokens.pop(0) == "CREATE TEMPORARY TABLE "
    safe = _drop(tokens, "IF NOT EXISTS ")
    name, rest = _name(tokens)
    _check_temporary(name, temporary)
    if rest[0] == " AS ":
        statement = "".join(rest[1:])
    else:
        statement = f"CREATE TABLE {name}" + "".join(_columns(rest, version))
    return f"IF {_object_id(name, 'U')} IS NULL {statement}" if safe else statement


def _check_temporary(name: str, temporary: bool) -> None:
    last = name.rpartition(".[")[2].lstrip("[")
    if temporary and not last.startswith("#"):
        raise peewee.NotSupportedError(
            f"SQL Server knows a temporary table by its name, which begins with #: {name} does not; "
            f"set table_name = '#{last.rstrip(']')}' in the model's Meta"
        )


def _drop_table(tokens: Tokens, version: ServerVersion) -> str:
    safe = tokens.pop(0) == "DROP TABLE IF EXISTS "
    name, rest = _name(tokens)
    if " CASCADE" in rest:
        raise refuse(
            version,
            "DROP TABLE ... CASCADE",
            f"drop the tables that refer to {name} first, or their constraints",
        )
    statement = f"DROP TABLE {name}"
    return f"IF {_object_id(name, 'U')} IS NOT NULL {statement}" if safe else statement


def _truncate(tokens: Tokens, version: ServerVersion) -> str:
    if " CASCADE" in tokens:
        raise refuse(version, "TRUNCATE TABLE ... CASCADE", "delete the rows of the tables, in order")
    # An identity restarts in any case.
    return "".join(token for token in tokens if token != " RESTART IDENTITY")


def _sequence(tokens: Tokens, version: ServerVersion) -> str:
    if version.major < 11:
        raise refuse(version, "sequences", "use an AutoField, which is an IDENTITY")
    # A sequence begins at its least number unless told where.
    start = " AS BIGINT START WITH 1" if tokens[0] == "CREATE SEQUENCE " else ""
    return "".join(tokens) + start


def _alter_table(tokens: Tokens, version: ServerVersion) -> str:
    return "".join(_columns(tokens, version))


def _drop_index(tokens: Tokens, version: ServerVersion) -> str:
    raise peewee.NotSupportedError(
        f"DROP INDEX {''.join(tokens[1:])}: SQL Server needs the table's name too, which Peewee does not "
        "give for a plain peewee.Model; derive the model from peewee_multidb.Model, or use the drop_index() "
        "of peewee_multidb.drivers.mssql.migrate.MSSQLMigrator"
    )


_WRITERS: dict[str, Callable[[Tokens, ServerVersion], str]] = {
    "CREATE TABLE ": _create_table,
    "CREATE TEMPORARY TABLE ": _create_table,
    "DROP TABLE ": _drop_table,
    "DROP TABLE IF EXISTS ": _drop_table,
    "TRUNCATE TABLE ": _truncate,
    "CREATE SEQUENCE ": _sequence,
    "DROP SEQUENCE ": _sequence,
    "ALTER TABLE ": _alter_table,
    "DROP INDEX ": _drop_index,
    "DROP INDEX IF EXISTS ": _drop_index,
}


def _drop(tokens: Tokens, word: str) -> bool:
    """Take a word off the front, if it is there."""
    found = bool(tokens) and tokens[0] == word
    if found:
        del tokens[0]
    return found


def _name(tokens: Tokens) -> tuple[str, Tokens]:
    """Split off the table's name, which ends where its brackets do."""
    for end, token in enumerate(tokens):
        if token.startswith(" "):
            return "".join(tokens[:end]), tokens[end:]
    return "".join(tokens), []


def _object_id(name: str, kind: str) -> str:
    """Return the look-up of a table by its name in brackets; a temporary one is in tempdb."""
    place = f"tempdb..{name}" if name.startswith("[#") else name
    return f"OBJECT_ID({text(place)}, {text(kind)})"


def _columns(tokens: Tokens, version: ServerVersion) -> Tokens:
    """Return the words of column definitions and constraints as T-SQL has them."""
    written: Tokens = []
    kind = None
    for token in tokens:
        if token in UNSORTABLE:
            kind = token
        elif token in ("(", ", "):
            kind = None
        elif token == "PRIMARY KEY" and kind is not None:
            raise refuse(version, f"primary keys of {kind}", "make it a CharField of at most 450 characters")
        if token.startswith("COLLATE "):
            _collate(written, token)
        else:
            written.append(_word(token, version))
    return written


def as_column(kind: str, version: ServerVersion) -> str:
    """Return the type of a column, with the word that T-SQL has for the longest texts."""
    found = _NVARCHAR.match(kind)
    if found is None or int(found[1]) <= LONGEST_NVARCHAR:
        return kind
    return "NTEXT" if version.major < 9 else "NVARCHAR(MAX)"


def _word(token: str, version: ServerVersion) -> str:
    if token.startswith("DEFERRABLE"):
        raise refuse(version, "deferrable constraints", "leave out deferrable=")
    if _NVARCHAR.match(token):
        return as_column(token, version)
    if found := _REFERENTIAL.match(token):
        return f"{found[1]} {_action(found[2], version)}"
    if found := _NEXTVAL.match(token):
        if version.major < 11:
            raise refuse(version, "sequences", "use an AutoField, which is an IDENTITY")
        return f"DEFAULT (NEXT VALUE FOR {'.'.join(map(quoted, found[1].rsplit('.', 1)))})"
    return token


def _action(action: str, version: ServerVersion) -> str:
    if action.upper() == "RESTRICT":
        return "NO ACTION"  # which the server checks at once
    if action.upper().startswith("SET ") and version.major < 9:
        raise refuse(
            version, f"ON DELETE or ON UPDATE {action.upper()}", "use CASCADE or NO ACTION, or a trigger"
        )
    return action


def _collate(written: Tokens, clause: str) -> None:
    """Put a COLLATE where T-SQL wants it: right behind the type, and not at the end of the column."""
    separator = written.pop()
    for at in range(len(written) - 1, 2, -1):
        name, space = written[at - 2], written[at - 1]
        if space == " " and name.startswith("[") and written[at - 3] in ("(", ", ", " ADD "):
            written[at + 1 : at + 1] = [separator, clause]
            return
    written += [separator, clause]
