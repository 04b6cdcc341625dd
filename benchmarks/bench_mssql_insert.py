"""How many round trips do many rows take on SQL Server?  Target: a tenth of those of one row each.

The server is the one of the tests, which counts what it is asked; so the numbers are exact and the same on
every machine. The seconds beside them are those of this server, which is not SQL Server.

    python benchmarks/bench_mssql_insert.py [--rows 10000]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import measuring
import peewee

sys.path.insert(0, str(Path(__file__).parents[1]))

from peewee_multidb import Databases
from tests.tds import TDSServer
from tests.tds.fixtures import SCHEMES, VERSIONS, with_driver

TARGET = 0.1
#: A module, and a version that it can serve.
RUNS = [("mssql+pymssql", "2000"), ("mssql+pymssql", "2005"), *((scheme, "2019") for scheme in SCHEMES)]


class Item(peewee.Model):
    code = peewee.IntegerField()
    name = peewee.CharField(50)
    price = peewee.DecimalField(10, 2)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"code": n, "name": f"Item {n}", "price": f"{n % 1000}.25"} for n in range(count)]


def trips(server: TDSServer, database: Any, count: int) -> tuple[int, int, float]:
    """Return the round trips of 100 rows one by one, of `count` rows at once, and the seconds of these."""
    with database.bind_ctx([Item]):
        Item.create_table()
        with server.counting() as one_each:
            for row in rows(100):
                Item.create(**row)
        start = time.perf_counter()
        with server.counting() as many:
            Item.insert_many(rows(count)).execute()
        took = time.perf_counter() - start
        assert Item.select().count() == count + 100
        Item.drop_table()
    return len(one_each), len(many), took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    count = parser.parse_args().rows
    lines, numbers = [], []
    for scheme, version in RUNS:
        server = TDSServer(VERSIONS[version])
        registry = Databases({"default": with_driver(server.url("bench"), scheme)})
        one_each, many, took = trips(server, registry["default"], count)
        registry.close_all()
        server.close()
        ratio = many / (one_each / 100 * count)
        module = scheme.partition("+")[2]
        lines.append((f"{module}, SQL Server {version}", one_each / 100, many, f"{ratio:.5f}", f"{took:.1f}"))
        numbers.append({"module": module, "version": version, "round_trips": many, "ratio": ratio})
    head = ("module and server", "a row alone", f"{count:,} rows", "ratio", "seconds")
    worst = max(number["ratio"] for number in numbers)
    verdict = f"The worst ratio is {worst:.5f}; the target was {TARGET}."
    measuring.report(
        "mssql_insert",
        "Round trips of a bulk insert on SQL Server",
        [measuring.table(head, lines), verdict],
        numbers,
    )


if __name__ == "__main__":
    main()
