"""Every statement that is compiled for Oracle is in its grammar, and the check can tell what is not."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from tests.drivers.oracle import corpus
from tests.drivers.oracle.grammar import complaints
from tests.drivers.test_sqlite import build

VERSIONS = ["11.2", "12.1", "19c", "23ai"]


def opened(version: str) -> Any:
    return build({"url": "oracle://app@host/service", "server_version": version})


def compiled(version: str) -> dict[str, str]:
    database = opened(version)
    found = {}
    with database.bind_ctx(corpus.MODELS):
        for name, make in {**corpus.READS, **corpus.GRAMMAR_ONLY, **corpus.WRITES}.items():
            found[name] = database.get_sql_context().sql(make()).query()[0]
        for model in corpus.MODELS:
            schema = model._schema
            statements = [schema._create_table(), schema._drop_table(cascade=True), schema._truncate_table()]
            statements += [*schema._create_indexes(), *schema._drop_indexes()]
            for number, context in enumerate(statements):
                found[f"{model.__name__} {number}"] = context.query()[0]
        returning = [corpus.Author.insert(name="a"), corpus.Book.update(pages=1), corpus.Book.delete()]
        for query in returning:
            made = query.returning(*[query.table._meta.primary_key, query.table._meta.sorted_fields[1]])
            found[f"returning {type(query).__name__}"] = database.get_sql_context().sql(made).query()[0]
    return found


BAD = [
    'SELECT "T1"."ID" FROM "USERS" AS "T1"',
    'SELECT "T1"."ID" FROM "USERS" "T1" LIMIT 10',
    'SELECT "T1"."ID" FROM "USERS" "T1" OFFSET 5',
    'SELECT `a` FROM "USERS"',
    'SELECT "a" FROM (SELECT "a" FROM "T") AS "x"',
    'INSERT OR IGNORE INTO "T" ("A") VALUES (:1)',
    'INSERT INTO "T" DEFAULT VALUES',
    'INSERT INTO "T" ("A") VALUES (:1) ON CONFLICT DO NOTHING',
    'INSERT INTO "T" ("A") VALUES (:1) RETURNING "ID"',
    'INSERT INTO "T" ("A") VALUES (:1), (:2)',
    'SELECT 1 FROM "T" "T1" EXCEPT SELECT 2 FROM "T" "T1"',
    'WITH RECURSIVE "c" AS (SELECT 1 FROM DUAL) SELECT * FROM "c"',
    'UPDATE "T" SET "A" = 1 FROM "U"',
    'DELETE FROM "T" LIMIT 1',
    'CREATE TABLE IF NOT EXISTS "T" ("A" INTEGER)',
    'CREATE TABLE "T" ("A" INTEGER AUTO_INCREMENT)',
    'CREATE TABLE "T" ("A" NUMBER(10) NOT NULL DEFAULT 1)',
    'SELECT ("A" = :1), 2 FROM "T"',
    'SELECT "a" FROM "T" WHERE "a" = ?',
    'SELECT "a" FROM "T" WHERE "a" = %s',
    'RELEASE SAVEPOINT "s"',
    "BEGIN",
    "SELECT 1",
    'SELECT COUNT(*) FILTER (WHERE ("A" = 1)) FROM "T"',
    'SELECT "A" FROM "T" WHERE "A" ILIKE \'x\'',
    'SELECT "A" FROM "T" WHERE "A" IN (' + ", ".join(f":{n}" for n in range(1, 1002)) + ")",
]


class Defaulted(peewee.Model):
    n = peewee.IntegerField(constraints=[peewee.SQL("DEFAULT 5"), peewee.Check("n > 0")])


def defaulted() -> str:
    database = opened("19c")
    with database.bind_ctx([Defaulted]):
        return str(Defaulted._schema._create_table().query()[0])


@pytest.fixture(scope="module")
def verdict() -> dict[str, list[str]]:
    """What is wrong with each statement; the parser takes seconds to start, so it is asked once."""
    good = {sql for version in VERSIONS for sql in compiled(version).values()}
    assert len(good) > 110
    return complaints([*sorted(good), defaulted(), *BAD])


def test_every_statement_is_in_the_grammar(verdict: dict[str, list[str]]) -> None:
    assert {sql: wrong for sql, wrong in verdict.items() if sql not in BAD} == {}


def test_what_oracle_does_not_take_is_found(verdict: dict[str, list[str]]) -> None:
    assert sorted(set(BAD) - set(verdict)) == []


def test_a_default_stands_before_the_constraints() -> None:
    assert '"N" NUMBER(10) DEFAULT 5 NOT NULL CHECK (n > 0)' in defaulted()
