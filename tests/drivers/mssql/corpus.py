"""Peewee queries of every kind, and which of them each version of SQL Server can be asked.

``python -m tests.drivers.mssql.corpus`` prints the table. A query that compiles must be accepted by
Microsoft's parser and by `lint`; any other must be refused with NotSupportedError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import peewee

from peewee_multidb.drivers.mssql import MSSQLDatabase
from tests.drivers.mssql import changes, conditions, grammar, lint, shapes
from tests.drivers.mssql.changes import WITHOUT_SQLITE
from tests.drivers.mssql.models import Models, define

QUERIES: dict[str, Callable[[Models], Any]] = {**conditions.QUERIES, **shapes.QUERIES, **changes.QUERIES}

VERSIONS = ("2000", "2005", "2008", "2012", "2016", "2019", "2022", "2025")


def database(version: str) -> MSSQLDatabase:
    """Return a database of a version that is never connected to."""
    return MSSQLDatabase(None, server_version=version)


def compiled(db: Any, query: Any) -> grammar.Statement:
    """Compile a query, with its parameters numbered.

    Raises:
        NotSupportedError: the version cannot be asked this.
    """
    ctx = db.get_sql_context()
    ctx.sql(query)
    return grammar.Statement.of(ctx)


def outcomes(version: str, base: Any = peewee.Model) -> dict[str, Any]:
    """Return the statement of each query of the corpus for a version, or the NotSupportedError."""
    db = database(version)
    models = define(base, db)
    found: dict[str, Any] = {}
    for name, build in {**QUERIES, **WITHOUT_SQLITE}.items():
        try:
            found[name] = compiled(db, build(models))
        except peewee.NotSupportedError as error:
            found[name] = error
    return found


def verdicts(version: str, found: dict[str, Any]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return what the parser and the lint rules say against the statements of a version."""
    statements = {name: one for name, one in found.items() if isinstance(one, grammar.Statement)}
    names = list(statements)
    rejected = grammar.rejections([statements[name].sql for name in names], version)
    complaints = {name: said for name in names if (said := lint.complaints(statements[name], version))}
    return {names[number]: said for number, said in rejected.items()}, complaints


def report(versions: Iterable[str] = VERSIONS) -> str:
    """Return a table of what compiles for each version."""
    lines = [
        f"{'version':<10}{'queries':>9}{'compiled':>10}{'refused':>9}{'share':>8}{'parser':>8}{'lint':>6}"
    ]
    for version in versions:
        found = outcomes(version)
        rejected, complaints = verdicts(version, found)
        good = sum(isinstance(one, grammar.Statement) for one in found.values())
        lines.append(
            f"{version:<10}{len(found):>9}{good:>10}{len(found) - good:>9}{good / len(found):>8.1%}"
            f"{len(rejected):>8}{len(complaints):>6}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(sys.argv[1:] or VERSIONS))
