"""What a query is written as, once the parser and the rules have accepted it."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from tests.drivers.mssql import corpus, grammar, lint, models


def written(version: str, build: Any, **options: Any) -> str:
    """Return the SQL of a query with its parameters in their places, for a version.

    Args:
        version: such as ``2008``.
        build: from the models of the corpus to the query.
        options: of the database.
    """
    database = corpus.MSSQLDatabase(None, server_version=version, **options)
    statement = corpus.compiled(database, build(models.define(peewee.Model, database)))
    assert grammar.rejections([statement.sql], version) == {}, statement.sql
    assert lint.complaints(statement, version) == [], statement.sql
    sql = statement.sql
    for number in reversed(range(len(statement.params))):
        sql = sql.replace(f"@p{number}", f"{{{statement.params[number]}}}")
    return sql


def refused(version: str, build: Any, reason: str = "") -> str:
    """Return why a version cannot be asked a query."""
    with pytest.raises(peewee.NotSupportedError, match=reason) as caught:
        written(version, build)
    assert f"SQL Server {version}" in str(caught.value) or "SQL Server" in str(caught.value)
    return str(caught.value)
