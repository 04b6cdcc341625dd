"""One soak from its beginning to its end, and what is wrong with what it left; see `tenants_over_http`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenants_over_http import FEW, POOL, PRODUCTS, STOCK, Client, Ledger, Town, serving, wait


@dataclass
class Outcome:
    """What came of one soak.

    Attributes:
        stack: which servers and framework.
        requests: how many were answered, or left alone.
        seconds: how long the clients were at it.
        orders: how many orders there are.
        strays: rows and answers of another tenant.
        wrong: everything else that should not be, in words.
        most: the most connections that one database had, and all of them together.
        leaked: connections in a transaction when nobody asked any more, and any at all after the server's
            end.
    """

    stack: str
    requests: int
    seconds: float
    orders: int
    strays: list[str]
    wrong: list[str]
    most: tuple[int, int]
    leaked: int

    @property
    def ok(self) -> bool:
        return not (self.strays or self.wrong or self.leaked) and self.most[0] <= POOL


def soak(
    town: Town, stack: str, *, seconds: float, clients: int, say: Callable[[str], Any] = print
) -> Outcome:
    """Serve the shops of a town, have clients at them for some seconds, and judge."""
    ledger = Ledger()
    watch = _Watch(town)
    with serving(town, stack) as port:
        _stock_up(town, port, ledger)
        watch.start()
        start = time.monotonic()
        many = [Client(number, port, town.tenants, ledger) for number in range(clients)]
        threads = [threading.Thread(target=one.run, args=(start + seconds,)) for one in many]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - start
        say(f"{stack}: {sum(ledger.done.values())} requests in {took:.1f} s")
        leaked = _left_open(town)
        unconfirmed = _wait_for_jobs(town, ledger)
        watch.stop()
    leaked += _left_after(town)
    strays, wrong, orders = _judge(town, ledger)
    strays += [text for text in ledger.wrong if "was answered by" in text or " of " in text.partition(":")[0]]
    wrong += [text for text in ledger.wrong if text not in strays]
    if unconfirmed:
        wrong.append(f"{unconfirmed} orders were never confirmed in the background")
    return Outcome(
        stack, sum(ledger.done.values()), took, orders, strays, wrong, (watch.most_of_one, watch.most), leaked
    )


def _stock_up(town: Town, port: int, ledger: Ledger) -> None:
    client = Client(-1, port, town.tenants, ledger)
    for tenant in town.tenants:
        for number in range(PRODUCTS):
            stock = FEW if number == PRODUCTS - 1 else STOCK
            new = {"name": f"{tenant}:{number}", "price": number * 100, "stock": stock}
            status, body = client.ask("POST", "/products", tenant, new)
            assert status == 201, (status, body)
        with town.look_at(tenant) as database:
            ids = [one for (one,) in database.execute("SELECT id FROM product ORDER BY id").fetchall()]
        ledger.products[tenant] = ids
    client.close()


class _Watch:
    """Counts the connections of the town again and again."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.most_of_one = 0
        self.most = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.25):
            by_name: dict[str, int] = {}
            for (name, _), number in self._town.sessions().items():
                by_name[name] = by_name.get(name, 0) + number
            self.most_of_one = max([self.most_of_one, *by_name.values()])
            self.most = max(self.most, sum(by_name.values()))


def _left_open(town: Town) -> int:
    """Return how many connections are in a transaction although nobody asks any more."""

    def busy() -> int:
        return sum(number for (_, state), number in town.sessions().items() if state not in ("idle", ""))

    try:
        wait(lambda: busy() == 0, "every transaction to end", 20)
    except RuntimeError:
        return busy()
    return 0


def _left_after(town: Town) -> int:
    try:
        wait(lambda: not town.sessions(), "every connection to end", 10)
    except RuntimeError:
        return sum(town.sessions().values())
    return 0


def _wait_for_jobs(town: Town, ledger: Ledger) -> int:
    """Return how many accepted orders nobody confirms, having given the background some time."""
    left = 0

    def none_left() -> bool:
        nonlocal left
        left = 0
        for tenant, customers in ledger.accepted.items():
            with town.look_at(tenant) as database:
                found = database.execute("SELECT customer FROM orders WHERE NOT confirmed").fetchall()
            left += len(customers & {one for (one,) in found})
        return left == 0

    try:
        wait(none_left, "every order to be confirmed", 30)
    except RuntimeError:
        return left
    return 0


def _judge(town: Town, ledger: Ledger) -> tuple[list[str], list[str], int]:
    strays, wrong, total = [], [], 0
    for tenant in town.tenants:
        with town.look_at(tenant) as database:
            products = database.execute("SELECT id, name, stock FROM product").fetchall()
            orders = database.execute("SELECT customer, product_id, quantity FROM orders").fetchall()
            mails = database.execute("SELECT order_id, text FROM mail").fetchall()
        total += len(orders)
        strays += [
            f"{tenant}: product {name}" for _, name, _ in products if not name.startswith(f"{tenant}:")
        ]
        strays += [f"{tenant}: order {who}" for who, _, _ in orders if not who.startswith(f"{tenant}/")]
        strays += [f"{tenant}: mail {text}" for _, text in mails if not text.endswith(f" at {tenant}.")]
        found = [who for who, _, _ in orders]
        accepted, unknown = ledger.accepted.get(tenant, set()), ledger.unknown.get(tenant, set())
        if len(found) != len(set(found)):
            wrong.append(f"{tenant}: orders that are there twice")
        for what, some in (
            ("accepted and not there", accepted - set(found)),
            ("there and refused", ledger.refused & set(found)),
            ("there and nobody's", set(found) - accepted - unknown - ledger.refused),
        ):
            if some:
                wrong.append(f"{tenant}: {len(some)} orders are {what}, such as {min(some)}")
        if len({order for order, _ in mails}) != len(mails):
            wrong.append(f"{tenant}: two mails for one order")
        wrong += _stocks(tenant, ledger.products[tenant], products, orders)
    return strays, wrong, total


def _stocks(tenant: str, known: list[int], products: Any, orders: Any) -> list[str]:
    """What was sold and what is left make what there was."""
    sold: dict[int, int] = {}
    for _, product, quantity in orders:
        sold[product] = sold.get(product, 0) + quantity
    first = {one: FEW if one == known[-1] else STOCK for one in known}
    found = []
    for number, name, stock in products:
        was, gone = first.get(number, STOCK), sold.get(number, 0)
        if stock + gone != was:
            found.append(f"{tenant}: of {name} there were {was}, {stock} are left and {gone} sold")
    return found
