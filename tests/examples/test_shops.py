"""The shops: each seller's requests, jobs and commands in the seller's own database, on real servers."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb.testing.servers import PostgresServer
from tests.scale import scaled

ROOT = Path(__file__).parents[2]

if str(ROOT / "benchmarks") not in sys.path:
    sys.path.insert(0, str(ROOT / "benchmarks"))

from tenants_judge import soak  # noqa: E402 - what the benchmark runs for a minute
from tenants_over_http import Town, serving, wait  # noqa: E402

_numbers = itertools.count()
TENANTS = [f"shop-{number}" for number in range(10)]


@pytest.fixture
def town(postgres_server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Town]:
    made = Town(postgres_server, f"town_{next(_numbers)}", TENANTS)
    made.build()
    yield made
    made.demolish()


@pytest.mark.parametrize("stack", ["fastapi", "flask", "gevent", "waitress"])
def test_no_tenant_sees_or_gets_a_row_of_another_and_no_connection_is_left(town: Town, stack: str) -> None:
    outcome = soak(town, stack, seconds=scaled(2), clients=16)
    assert (outcome.strays, outcome.wrong, outcome.leaked) == ([], [], 0)
    assert outcome.ok and outcome.orders > 10 and outcome.most[0] > 0


def ask(port: int, path: str, shop: str | None, body: Any = None, host: str = "localhost") -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", "Host": host, **({"X-Shop": shop} if shop else {})}
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def manage(town: Town, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "shops.manage", *arguments]
    return subprocess.run(command, env=town.environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("stack", ["fastapi", "waitress"])
def test_a_visit_to_two_shops(town: Town, stack: str) -> None:
    first, second = TENANTS[:2]
    with serving(town, stack) as port:
        lamp = ask(port, "/products", first, {"name": "lamp", "price": 4500, "stock": 2})[1]["id"]
        # By sub-domain: the same number is another product, or none, elsewhere.
        assert ask(port, "/products", None, host=f"{second}.shops.localhost")[1] == {
            "shop": second,
            "products": [],
        }
        order = {"customer": "Ann", "product": lamp, "quantity": 2, "card": "visa"}
        assert ask(port, "/orders", second, order)[0] == 409
        assert ask(port, "/orders", first, {**order, "card": "declined"})[0] == 402
        assert ask(port, "/orders", first, {**order, "card": "unreachable"})[0] == 500
        assert ask(port, "/products", first)[1]["products"][0]["stock"] == 2, "what failed took nothing"
        assert ask(port, "/orders", first, order)[0] == 201
        assert ask(port, "/orders", first, order)[0] == 409, "sold out"
        wait(lambda: ask(port, "/orders?customer=Ann", first)[1]["orders"][0]["confirmed"], "the job")
        assert ask(port, "/orders", second)[1]["orders"] == []
        assert [ask(port, "/products", name)[0] for name in ("nobody", "../shop-1", None)] == [404, 400, 400]
        # A shop that is made while the server runs.
        assert manage(town, "create", "brand-new", "Brand New").stdout == "brand-new has a shop.\n"
        assert ask(port, "/products", "brand-new") == (200, {"shop": "brand-new", "products": []})
    town.tenants = [*TENANTS, "brand-new"]


def test_the_command_line_restocks_one_shop_or_all(town: Town) -> None:
    with serving(town, "waitress") as port:
        for name in TENANTS[:3]:
            ask(port, "/products", name, {"name": "lamp", "price": 1, "stock": 1})
        done = manage(town, "restock", "lamp", "10", "--all-databases", "--resume", "/dev/null/x")
        assert done.returncode == 1 and "cannot be used as a journal" in done.stderr
        done = manage(town, "restock", "lamp", "10", "--all-databases")
        assert (done.returncode, done.stderr) == (0, "") and "10 done" in done.stdout
        done = manage(town, "restock", "lamp", "100", "--database", TENANTS[1])
        assert (done.returncode, done.stderr) == (0, "") and "1 done" in done.stdout
        stocks = [ask(port, "/products", name)[1]["products"][0]["stock"] for name in TENANTS[:3]]
        assert stocks == [11, 111, 11]
    refused = manage(town, "restock", "lamp", "10")
    assert refused.returncode == 2 and "say which databases" in refused.stderr
    listed = manage(town, "list").stdout.splitlines()
    assert [line.partition("\t")[0] for line in listed] == TENANTS
