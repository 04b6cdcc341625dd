"""A soak of the shops of `examples/shops` over HTTP, and the judge of what came of it.

The judge believes nobody: each value that is written says whose it is, each answer is looked at by the client
that asked, and in the end every row of every database is read past the package and compared with what the
clients know. Connections are counted by the server that has them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[1]
KEY = "a key for benchmarks, and for nothing else"
PRODUCTS = 5
STOCK = 1_000_000
#: Of the last product there are few, so that it sells out.
FEW = 3
POOL = 4
JUDGE = "the judge"

GUNICORN = (
    *("gunicorn", "--workers", "1", "--log-level", "critical", "--timeout", "120", "--keep-alive", "120"),
    *("--bind", "127.0.0.1:{port}"),
)
STACKS = {
    "fastapi": (
        *("uvicorn", "--factory", "shops.fastapi_app:create_app", "--port", "{port}"),
        *("--log-level", "critical", "--timeout-graceful-shutdown", "10", "--timeout-keep-alive", "120"),
    ),
    "flask": (*GUNICORN, "-k", "gthread", "--threads", "32", "shops.flask_app:create_app()"),
    "gevent": (*GUNICORN, "-k", "gevent", "shops.flask_app:create_app()"),
    "waitress": (
        *(
            "waitress",
            "--listen",
            "127.0.0.1:{port}",
            "--threads",
            "16",
            "--call",
            "shops.flask_app:create_app",
        ),
    ),
}


@dataclass
class Town:
    """The databases of one soak.

    Attributes:
        server: a `PostgresServer` that runs.
        prefix: what the names of its databases begin with.
        tenants: the sellers.
    """

    server: Any
    prefix: str
    tenants: list[str]

    @property
    def environment(self) -> dict[str, str]:
        template = self.server.url(f"{self.prefix}_x").replace(f"{self.prefix}_x", f"{self.prefix}_{{name}}")
        return {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'examples'}",
            "SHOPS_CONTROL": self.server.url(f"{self.prefix}_control"),
            "SHOPS_TEMPLATE": template,
            "SHOPS_KEY": KEY,
            "SHOPS_POOL": str(POOL),
        }

    def url(self, name: str) -> str:
        return str(self.server.url(f"{self.prefix}_{name}"))

    def look_at(self, name: str) -> psycopg.Connection[Any]:
        """Return a connection of the judge's own, which is not counted among the connections."""
        return psycopg.connect(self.url(name), autocommit=True, application_name=JUDGE)

    def build(self) -> None:
        """Make the first shop by the command that a user has, and copy it for the others."""
        self.server.create_database(f"{self.prefix}_control")
        command = [sys.executable, "-m", "shops.manage", "create", self.tenants[0], "The first"]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
        with self.look_at("control") as control:
            for name in self.tenants[1:]:
                source, copy = f"{self.prefix}_{self.tenants[0]}", f"{self.prefix}_{name}"
                control.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{source}"')
                control.execute("INSERT INTO seller (name, title) VALUES (%s, %s)", (name, name.title()))

    def demolish(self) -> None:
        for name in ("control", *self.tenants):
            self.server.drop_database(f"{self.prefix}_{name}")

    def sessions(self) -> dict[tuple[str, str], int]:
        """Return how many connections there are by database and state."""
        sql = (
            "SELECT datname, coalesce(state, ''), count(*) FROM pg_stat_activity "
            "WHERE datname LIKE %s AND application_name <> %s GROUP BY 1, 2"
        )
        with self.look_at("control") as watcher:
            return {(name, state): n for name, state, n in watcher.execute(sql, (f"{self.prefix}_%", JUDGE))}


@dataclass
class Ledger:
    """What the clients of one soak know: by tenant, the customers of the orders."""

    accepted: dict[str, set[str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    #: The client left before it was told.
    unknown: dict[str, set[str]] = field(default_factory=dict)
    products: dict[str, list[int]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def order(self, tenant: str, customer: str, status: int | None) -> None:
        with self.lock:
            if status == 201:
                self.accepted.setdefault(tenant, set()).add(customer)
            elif status is None:
                self.unknown.setdefault(tenant, set()).add(customer)
            else:
                self.refused.add(customer)

    def note(self, what: str) -> None:
        with self.lock:
            self.done[what] += 1

    def complain(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)


class Client:
    """One client: asks one shop after the other, and looks at every answer."""

    def __init__(self, number: int, port: int, tenants: list[str], ledger: Ledger) -> None:
        self.number = number
        self.port = port
        self.tenants = tenants
        self.ledger = ledger
        self.chosen = random.Random(number)
        self.orders = 0
        self.last = "nothing"
        self.link: http.client.HTTPConnection | None = None

    def run(self, until: float) -> None:
        actions = {
            self.order: 34, self.list_orders: 16, self.list_products: 20, self.add_product: 4, self.export: 8,
            self.leave_in_the_middle: 6, self.leave_at_once: 3, self.ask_for_nobody: 9,
        }  # fmt: skip
        names, weights = list(actions), list(actions.values())
        while time.monotonic() < until:
            action = self.chosen.choices(names, weights)[0]
            try:
                action(self.chosen.choice(self.tenants))
                self.ledger.note(action.__name__)
            except (OSError, http.client.HTTPException) as error:
                self.ledger.complain(f"{action.__name__}: {type(error).__name__}: {error}, after {self.last}")
                self.close()
        self.close()

    def close(self) -> None:
        if self.link is not None:
            self.link.close()
            self.link = None

    def ask(self, method: str, path: str, tenant: str | None, body: Any = None) -> tuple[int, bytes]:
        if self.link is None:
            self.link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {} if tenant is None else {"X-Shop": tenant}
        content = None
        if body is not None:
            content = json.dumps(body)
            headers["Content-Type"] = "application/json"
        self.link.request(method, path, content, headers)
        answer = self.link.getresponse()
        found = answer.status, answer.read()
        self.last = f"{method} {path} {answer.status}"
        if answer.will_close or answer.status == 500:
            # uvicorn keeps the connection of an application's error open for no one, without saying so.
            self.close()
        return found

    def expect(self, what: str, status: int, wanted: int, body: bytes) -> bool:
        if status != wanted:
            self.ledger.complain(f"{what}: {status} in place of {wanted}: {body[:200]!r}")
        return status == wanted

    # What a client does

    def order(self, tenant: str) -> None:
        self.orders += 1
        customer = f"{tenant}/{self.number}/{self.orders}"
        card = self.chosen.choices(["visa", "declined", "unreachable"], [80, 12, 8])[0]
        product = self.chosen.choice(self.ledger.products[tenant])
        new = {"customer": customer, "product": product, "quantity": self.chosen.randint(1, 3), "card": card}
        try:
            status, body = self.ask("POST", "/orders", tenant, new)
        except (OSError, http.client.HTTPException):
            self.ledger.order(tenant, customer, None)
            raise
        self.ledger.order(tenant, customer, status)
        wanted = {"visa": 201, "declined": 402, "unreachable": 500}[card]
        few = product == self.ledger.products[tenant][-1]
        if (
            not (few and status == 409)
            and self.expect(f"order by {card}", status, wanted, body)
            and status == 201
        ):
            self.check_shop("order", tenant, json.loads(body))

    def check_shop(self, what: str, tenant: str, answer: Any) -> None:
        if answer["shop"] != tenant:
            self.ledger.complain(f"{what}: asked {tenant} and was answered by {answer['shop']}")

    def list_orders(self, tenant: str) -> None:
        with self.ledger.lock:
            known = list(self.ledger.accepted.get(tenant, ()))[-20:]
        customer = self.chosen.choice(known) if known else f"{tenant}/nobody"
        status, body = self.ask("GET", f"/orders?customer={customer}", tenant)
        if self.expect("orders", status, 200, body):
            answer = json.loads(body)
            self.check_shop("orders", tenant, answer)
            if [row["customer"] for row in answer["orders"]] != [customer] * bool(known):
                self.ledger.complain(f"orders of {customer}: {answer['orders']}")

    def list_products(self, tenant: str) -> None:
        status, body = self.ask("GET", "/products", tenant)
        if self.expect("products", status, 200, body):
            answer = json.loads(body)
            self.check_shop("products", tenant, answer)
            strangers = [row for row in answer["products"] if not row["name"].startswith(f"{tenant}:")]
            if strangers or len(answer["products"]) < PRODUCTS:
                self.ledger.complain(f"products of {tenant}: {strangers or answer['products']}")

    def add_product(self, tenant: str) -> None:
        new = {"name": f"{tenant}:extra {self.number}", "price": 100, "stock": STOCK}
        status, body = self.ask("POST", "/products", tenant, new)
        if self.expect("new product", status, 201, body):
            self.check_shop("new product", tenant, json.loads(body))

    def export(self, tenant: str) -> None:
        status, body = self.ask("GET", "/orders.csv", tenant)
        if self.expect("export", status, 200, body):
            for line in body.decode().splitlines():
                _, customer, _, shop = line.split(",")
                if not customer.startswith(f"{tenant}/") or shop != tenant:
                    self.ledger.complain(f"export of {tenant}: {line}")

    def leave_in_the_middle(self, tenant: str) -> None:
        """Read the beginning of a stream, and cut the connection, half of the times with a reset."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as link:
            link.sendall(f"GET /orders.csv HTTP/1.1\r\nHost: x\r\nX-Shop: {tenant}\r\n\r\n".encode())
            link.recv(self.chosen.choice([1, 20, 200]))
            self.reset_half_of(link)

    def leave_at_once(self, tenant: str) -> None:
        """Send an order, and do not wait for what becomes of it."""
        self.orders += 1
        customer = f"{tenant}/{self.number}/{self.orders}"
        self.ledger.order(tenant, customer, None)
        product = self.ledger.products[tenant][0]
        body = json.dumps({"customer": customer, "product": product, "quantity": 1, "card": "visa"})
        head = f"POST /orders HTTP/1.1\r\nHost: x\r\nX-Shop: {tenant}\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as link:
            link.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            self.reset_half_of(link)

    def reset_half_of(self, link: socket.socket) -> None:
        if self.chosen.random() < 0.5:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def ask_for_nobody(self, tenant: str) -> None:
        """Ask for a shop that there is not, with a name that is none, and without any name."""
        name, wanted = self.chosen.choice([(f"no-{tenant}", 404), (f"{tenant}; --", 400), (None, 400)])
        status, body = self.ask("GET", "/products", name)
        self.expect("nobody's products", status, wanted, body)


@contextlib.contextmanager
def serving(town: Town, stack: str) -> Iterator[int]:
    """Run one of the stacks until the block ends; return its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", *(part.format(port=port) for part in STACKS[stack])]
    process = subprocess.Popen(
        command, env=town.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait(lambda: process.poll() is not None or _answers(port), "the server to answer")
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Any, what: str, seconds: float = 60) -> None:
    """Wait until something is so.

    Raises:
        RuntimeError: it never was.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} seconds in vain for {what}")
        time.sleep(0.05)
