"""What compiling a query for SQL Server costs, compared with what Peewee takes for PostgreSQL.

Each query of the corpus that both engines can be asked, except that of similar ones every third is taken,
is compiled by either in turns. No server is needed for either.
"""

from __future__ import annotations

import os
import statistics
import sys
from pathlib import Path

import peewee

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from measuring import in_pairs, report, table  # noqa: E402

from tests.drivers.mssql import corpus  # noqa: E402

#: The shapes that programs are mostly made of; each is shown by itself.
SHOWN = (
    "select all",
    "equal",
    "and or",
    "in list",
    "exists",
    "limit and offset",
    "page of join",
    "group and having",
    "group by case",
    "join",
    "three tables",
    "union limited",
    "cte",
    "row number",
    "case",
    "insert",
    "insert many",
    "upsert preserve",
    "update",
    "delete",
)
VERSIONS = ("2008", "2012", "2022")
TARGET = 2.0
PAIRS = int(os.environ.get("BENCH_PAIRS", "60"))


def ratios(version: str, names: tuple[str, ...] | list[str]) -> dict[str, dict[str, float]]:
    """Return what was measured for each query that both engines can be asked."""
    mssql = corpus.database(version)
    postgres = peewee.PostgresqlDatabase(None)
    queries = {**corpus.QUERIES, **corpus.WITHOUT_SQLITE}
    ours, theirs = corpus.define(peewee.Model, mssql), corpus.define(peewee.Model, postgres)
    found: dict[str, dict[str, float]] = {}
    for name in names:
        try:
            one, other = queries[name](ours), queries[name](theirs)
            mssql.get_sql_context().sql(one).query()
            postgres.get_sql_context().sql(other).query()
        except (peewee.PeeweeException, AttributeError, TypeError):
            continue  # An engine that cannot be asked this has no cost to compare.
        paired = in_pairs(
            lambda other=other: postgres.get_sql_context().sql(other).query(),  # type: ignore[misc]
            lambda one=one: mssql.get_sql_context().sql(one).query(),  # type: ignore[misc]
            pairs=PAIRS,
            block=0.0004,
        )
        found[name] = paired.summary()
    return found


def main() -> None:
    numbers: dict[str, dict[str, dict[str, float]]] = {}
    lines = []
    for version in VERSIONS:
        shown = ratios(version, SHOWN)
        rest = ratios(version, [name for name in corpus.QUERIES if name not in SHOWN][::3])
        numbers[version] = {**shown, **rest}
        every = [row["ratio"] for row in numbers[version].values()]
        rows = [
            (name, f"{row['stock_us']:.1f}", f"{row['routed_us']:.1f}", f"{row['ratio']:.2f}")
            for name, row in shown.items()
        ]
        lines += [
            f"## SQL Server {version}",
            table(("query", "PostgreSQL, us", "SQL Server, us", "ratio"), rows),
            f"Median ratio over {len(every)} queries: {statistics.median(every):.2f} "
            f"(target: at most {TARGET}); the dearest: {max(every):.2f}.",
        ]
    report("mssql_compile", "Compiling for SQL Server, compared with Peewee's PostgreSQL", lines, numbers)


if __name__ == "__main__":
    main()
