"""What a version of MySQL or MariaDB does not have, refused before it is sent.

The server would answer with a syntax error that points somewhere into the statement. Here the message
names the version and the way out. The versions are those of the manuals of both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import peewee

from .version import Version

__all__ = ["FEATURES", "Feature", "Gates", "require", "verb_of"]

Number = tuple[int, int, int]


class Feature(NamedTuple):
    """Something that not every version has.

    Attributes:
        what: its name, as the beginning of a sentence.
        mysql: the first version of MySQL that has it, None for none.
        mariadb: the first version of MariaDB that has it, None for none.
        instead: what to do without it.
    """

    what: str
    mysql: Number | None
    mariadb: Number | None
    instead: str

    def missing_from(self, version: Version) -> bool:
        """Whether a server lacks it."""
        first = self.mariadb if version.mariadb else self.mysql
        return first is None or version.number < first

    def __str__(self) -> str:
        owners = [("MySQL", self.mysql), ("MariaDB", self.mariadb)]
        return " or ".join(f"{name} {'.'.join(map(str, first))}" for name, first in owners if first)


FEATURES = {
    "cte": Feature("A common table expression", (8, 0, 1), (10, 2, 1), "Use a subquery."),
    "window": Feature("A window function", (8, 0, 2), (10, 2, 0), "Aggregate in a subquery, or in Python."),
    "nowait": Feature(
        "FOR UPDATE NOWAIT", (8, 0, 1), (10, 3, 0), "Set innodb_lock_wait_timeout for the session."
    ),
    "skip locked": Feature(
        "SKIP LOCKED", (8, 0, 1), (10, 6, 0), "Mark the rows that are taken with an UPDATE."
    ),
    "for update of": Feature("FOR UPDATE OF", (8, 0, 1), None, "Lock the rows of all tables of the query."),
    "lateral": Feature("A LATERAL join", (8, 0, 14), None, "Join to a grouped subquery."),
    "intersect": Feature("INTERSECT", (8, 0, 31), (10, 3, 0), "Use IN with a subquery."),
    "except": Feature("EXCEPT", (8, 0, 31), (10, 3, 0), "Use NOT IN with a subquery."),
    # MySQL 8.0.19 wants each row to begin with ROW, and Peewee does not write it.
    "values": Feature(
        "A VALUES list as a table", None, (10, 3, 3), "Use a UNION of SELECTs, or a temporary table."
    ),
    "named values": Feature(
        "A VALUES list with names of its columns", None, None, "Use a UNION of SELECTs, or a temporary table."
    ),
    "insert returning": Feature(
        "INSERT RETURNING", None, (10, 5, 0), "create() and save() give the row its key without it."
    ),
    "delete returning": Feature("DELETE RETURNING", None, (10, 0, 5), "Select the rows first, FOR UPDATE."),
    "update returning": Feature(
        "UPDATE RETURNING", None, (13, 0, 0), "Select the rows first, FOR UPDATE, or afterwards."
    ),
    "json": Feature("JSON", (5, 7, 8), (10, 2, 3), "Keep the document in a TextField."),
    "fractions": Feature(
        "A fraction of a second", (5, 6, 4), (5, 3, 0), "Keep microseconds in a BigIntegerField."
    ),
    "release savepoint": Feature("RELEASE SAVEPOINT", (5, 0, 3), (5, 0, 3), "It ends with the transaction."),
    # Before these, a prepared transaction ends with its connection, which is no promise to commit.
    "xa": Feature("Two-phase commit", (5, 7, 7), (10, 5, 0), "Commit the databases one after the other."),
    "read-only session": Feature(
        "A read-only session", (5, 6, 5), (10, 0, 0), "Use an account that cannot write."
    ),
    "information_schema": Feature("information_schema", (5, 0, 2), (5, 0, 2), "SHOW tells the same."),
    "referential_constraints": Feature(
        "information_schema.referential_constraints",
        (5, 1, 10),
        (5, 1, 10),
        "SHOW CREATE TABLE tells the same.",
    ),
    "engine traits": Feature(
        "information_schema.engines", (5, 1, 5), (5, 1, 5), "The names of the engines tell."
    ),
    "tracked commits": Feature(
        "A commit that reports its position", None, (10, 2, 2), "The position is asked for when it is needed."
    ),
    "long keys": Feature(
        "A key of more than 767 bytes", (5, 7, 7), (10, 2, 2), "Index a prefix of the column."
    ),
}


def require(name: str, version: Version, where: str) -> None:
    """Refuse a feature that a server lacks.

    Args:
        name: one of `FEATURES`.
        version: the server.
        where: the database, for the message, such as ``"database 'erp'"``.

    Raises:
        peewee.NotSupportedError: the server lacks it.
    """
    feature = FEATURES[name]
    if feature.missing_from(version):
        needs = f"needs {feature}" if feature.mysql or feature.mariadb else "is in no version"
        raise peewee.NotSupportedError(f"{feature.what} {needs}; {where} is {version}. {feature.instead}")


def _for_update(node: Any) -> str | None:
    if node._nowait:
        return "nowait"
    if node._skip_locked:
        return "skip locked"
    return None if node._of is None else "for update of"


def _join(node: Any) -> str | None:
    return "lateral" if "LATERAL" in str(node.join_type) else None


def _select(node: Any) -> str | None:
    return "lateral" if getattr(node, "_lateral", None) else None


def _values(node: Any) -> str:
    return "named values" if node._columns else "values"


def _compound(node: Any) -> str | None:
    return str(node.op).lower() if node.op in ("INTERSECT", "EXCEPT") else None


def verb_of(query: Any) -> str:
    """Return INSERT, UPDATE or DELETE for a query that writes."""
    kinds: Any = {peewee.Insert: "INSERT", peewee.Update: "UPDATE", peewee.Delete: "DELETE"}
    return next((verb for kind, verb in kinds.items() if isinstance(query, kind)), "A write")


def _returning(node: Any) -> str | None:
    return f"{verb_of(node).lower()} returning" if node._returning else None


CLOCKS = frozenset(
    {"NOW", "CURRENT_TIMESTAMP", "CURTIME", "LOCALTIME", "SYSDATE", "UTC_TIME", "UTC_TIMESTAMP"}
)


def _function(node: peewee.Function) -> str | None:
    name = str(node.name).upper()
    if name.startswith("JSON_"):
        return "json"
    return "fractions" if name in CLOCKS and node.arguments else None


TYPE = re.compile(r"(DATETIME|TIMESTAMP|TIME)\s*\(\s*[1-6]\s*\)|JSON$", re.IGNORECASE)


def _column_type(node: peewee.SQL) -> str | None:
    # The type of a column in DDL is a piece of SQL by itself.
    match = TYPE.match(str(node.sql))
    if match is None:
        return None
    return "fractions" if match[1] else "json"


#: For a class of nodes: what says which feature a node needs, and the features that it may name.
CHECKS: tuple[tuple[Any, Callable[[Any], str | None], tuple[str, ...]], ...] = (
    (peewee.CTE, lambda node: "cte", ("cte",)),
    (peewee.Window, lambda node: "window", ("window",)),
    (peewee.WindowAlias, lambda node: "window", ("window",)),
    (peewee.ForUpdate, _for_update, ("nowait", "skip locked", "for update of")),
    (peewee.Join, _join, ("lateral",)),
    (peewee.Select, _select, ("lateral",)),
    (peewee.CompoundSelectQuery, _compound, ("intersect", "except")),
    (peewee.ValuesList, _values, ("values", "named values")),
    (peewee._WriteQuery, _returning, ("insert returning", "update returning", "delete returning")),
    (peewee.Function, _function, ("json", "fractions")),
    (peewee.SQL, _column_type, ("json", "fractions")),
    (peewee.Index, lambda node: None, ("long keys",)),
)


class Gates(dict[type, tuple[Callable[[Any], Any], ...]]):
    """The checks for each class of nodes, for one server; found once a class, and none where it has it all.

    Args:
        version: the server.
        where: the database, for messages.
    """

    def __init__(self, version: Version, where: str) -> None:
        self.version = version
        self.where = where

    def __missing__(self, kind: type) -> tuple[Callable[[Any], Any], ...]:
        found = tuple(
            check
            for owner, check, names in CHECKS
            if issubclass(kind, owner) and any(FEATURES[name].missing_from(self.version) for name in names)
        )
        self[kind] = found
        return found

    def check(self, node: Any) -> None:
        """Refuse a node that this server does not have.

        Raises:
            peewee.NotSupportedError: it does not have it.
        """
        for check in self[type(node)]:
            name = check(node)
            if name is not None:
                require(name, self.version, self.where)
