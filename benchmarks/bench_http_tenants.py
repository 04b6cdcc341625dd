"""How many rows of one tenant another one sees or gets, over HTTP, and how many connections are left?

    python benchmarks/bench_http_tenants.py --seconds 60 --tenants 50 --clients 64 --stack all

The shops of `examples/shops` on PostgreSQL, a database for each tenant, and clients that read and write at
random
tenants: orders in transactions, payments that fail in the middle of one, streams, clients that leave in the
    middle of an answer, and tenants that there are not. What is wrong is found by `tenants_judge`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from measuring import report, table
from tenants_judge import Outcome, soak
from tenants_over_http import POOL, STACKS, Town

from peewee_multidb.testing.servers import PostgresServer

NAMES = {
    "fastapi": "FastAPI, asyncpg, uvicorn",
    "flask": "Flask, psycopg, gunicorn with 32 threads",
    "gevent": "Flask, psycopg, gunicorn with gevent",
    "waitress": "Flask, psycopg, waitress with 16 threads",
}
ALL = ("fastapi", "flask", "gevent")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--stack", choices=[*STACKS, "all"], default="all")
    options = parser.parse_args()
    tenants = [f"shop-{number}" for number in range(options.tenants)]
    outcomes: list[Outcome] = []
    with PostgresServer() as server:
        for number, stack in enumerate(ALL if options.stack == "all" else [options.stack]):
            town = Town(server, f"town{number}", tenants)
            town.build()
            outcomes.append(soak(town, stack, seconds=options.seconds, clients=options.clients))
            for text in [*outcomes[-1].strays, *outcomes[-1].wrong][:20]:
                print("  wrong:", text)
            town.demolish()
    show(outcomes, options)
    return 0 if all(one.ok for one in outcomes) else 1


def show(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    head = [
        *("stack", "requests", "a second", "orders", "rows of another tenant", "other faults"),
        *("most connections to one database", "in all", "left at the end"),
    ]
    rows = [
        (
            *(NAMES[one.stack], one.requests, f"{one.requests / one.seconds:.0f}", one.orders),
            *(len(one.strays), len(one.wrong), *one.most, one.leaked),
        )
        for one in outcomes
    ]
    lines = [
        f"{options.tenants} tenants with a database each, {options.clients} clients at once, "
        f"{options.seconds:g} seconds of reads and writes over HTTP; a pool of at most {POOL} connections "
        "for each database.",
        table(head, rows),
        "Every row of every database is read past the package in the end, and compared with what the "
        "clients know.",
    ]
    report("http_tenants", "Tenants over HTTP", lines, {one.stack: vars(one) for one in outcomes})


if __name__ == "__main__":
    sys.exit(main())
