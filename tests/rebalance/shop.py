"""Sharded shops whose rows move, and the programs that run on them: writers, readers and a rebalance.

python -m tests.rebalance.shop buckets write urls.json 1 results.json
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from peewee import BigIntegerField, CharField, IntegerField, OperationalError

from peewee_multidb import HashShards, LookupShards, Model, atomic, databases
from peewee_multidb.errors import ShardMoved
from peewee_multidb.rebalance import Rebalance
from peewee_multidb.rebalance.switching import Switching
from peewee_multidb.shards import StoredMap, retry_moved

BUCKETS = 64

class Shop:
    """Orders and lines that are sharded by one rule.

    Args:
        rule: of the key ``user``, with a `StoredMap`.
    """

    def __init__(self, rule: Any) -> None:
        self.rule = rule
        self.stored: StoredMap = rule.map
        self.Order = self._model(
            "Order",
            id=BigIntegerField(primary_key=True),
            user=IntegerField(index=True),
            text=CharField(),
            n=IntegerField(default=0),
        )
        self.Line = self._model(
            "Line",
            id=BigIntegerField(primary_key=True),
            user=IntegerField(),
            order_id=BigIntegerField(),
            n=IntegerField(default=0),
        )
        self.models = (self.Order, self.Line)

    def _model(self, name: str, **fields: Any) -> Any:
        meta = type("Meta", (), {"db_name": self.rule})
        return type(Model)(name, (Model,), {**fields, "Meta": meta, "__module__": __name__})

    def open(self, urls: dict[str, str]) -> None:
        """Make the tables, and two orders for each quiet user."""
        databases.configure(urls)
        databases.create_tables(self.models)
        self.rule.prepare()
        for user in range(QUIET):
            for key in (user * 10 + 1, user * 10 + 2):
                self.Order.insert(id=key, user=user, text="quiet").execute()
                self.Line.insert(id=key, user=user, order_id=key).execute()

    def rows(self) -> dict[tuple[str, int], tuple[str, int, int]]:
        """Return every row: model and primary key to shard, user and number; none may be there twice."""
        found: dict[tuple[str, int], tuple[str, int, int]] = {}
        for name in self.stored.refresh().names:
            for model in self.models:
                for row in model.select().using(name):
                    key = (model.__name__, row.id)
                    assert key not in found, f"{key} is in {found[key][0]} and in {name}"
                    assert self.rule.shard_of(row.user) == name, f"{key} of user {row.user} is in {name}"
                    found[key] = (name, row.user, row.n)
        return found


def _stored(name: str, units: int) -> StoredMap:
    return StoredMap(name, "s1", "s2", units=units, lifetime=0.2, patience=60.0)


SHOPS = {
    "buckets": Shop(HashShards(key="user", map=_stored("shop", BUCKETS), buckets=BUCKETS)),
    "keys": Shop(
        LookupShards(key="user", map=_stored("tenants", 0), unknown=lambda user: f"s{user % 2 + 1}")
    ),
}

NAMES = ("default", "s1", "s2", "s3")

#: Users below are nobody's but the tests': their rows are never changed.
QUIET = 100


class Writer:
    """Writes rows of its own users, and knows at any moment what has to be there.

    Args:
        shop: where.
        number: tells the writers apart.
    """

    def __init__(self, shop: Shop, number: int) -> None:
        self.shop = shop
        self.random = random.Random(number)
        self.first_user = QUIET + number * 1000
        self.next_id = number * 10_000_000 + 1_000_000
        self.orders: dict[int, tuple[int, int]] = {}
        self.lines: dict[int, tuple[int, int]] = {}
        self.done = 0

    def step(self) -> None:
        """Do one thing and see that it is done."""
        chosen = self.random.random()
        if chosen < 0.3 or not self.orders:
            self.create()
        elif chosen < 0.6:
            self.update()
        elif chosen < 0.7:
            self.save()
        elif chosen < 0.85:
            self.transact()
        else:
            self.delete()
        self.done += 1

    def create(self) -> None:
        Order = self.shop.Order
        key, user = self.next_id, self.first_user + self.random.randrange(1000)
        self.next_id += 1
        insist(lambda: Order.insert(id=key, user=user, text=f"order {key}").execute())
        self.orders[key] = (user, 0)
        read = insist(lambda: Order.get_or_none((Order.user == user) & (Order.id == key)))
        assert read is not None, f"order {key} of user {user} was inserted and is not found"

    def update(self) -> None:
        Order = self.shop.Order
        key, (user, n) = self.random.choice(list(self.orders.items()))
        query = Order.update(n=Order.n + 1).where((Order.user == user) & (Order.id == key))
        changed = insist(query.execute)
        assert changed == 1, f"{changed} rows were updated for order {key} of user {user}"
        self.orders[key] = (user, n + 1)

    def save(self) -> None:
        Order = self.shop.Order
        key, (user, n) = self.random.choice(list(self.orders.items()))
        order = insist(lambda: Order.get((Order.user == user) & (Order.id == key)))
        assert order.n == n, f"order {key} of user {user} has n = {order.n} instead of {n}"
        order.n = n + 1
        changed = insist(order.save)
        assert changed == 1, f"{changed} rows were saved for order {key} of user {user}"
        self.orders[key] = (user, n + 1)

    def transact(self) -> None:
        """Change an order and add a line to it, both or neither."""
        Order, Line = self.shop.Order, self.shop.Line
        key, (user, n) = self.random.choice(list(self.orders.items()))
        line = self.next_id
        self.next_id += 1

        @retry_moved
        def both() -> None:
            with atomic(self.shop.rule.shard_of(user)):
                assert Order.update(n=n + 1).where((Order.user == user) & (Order.id == key)).execute() == 1
                Line.insert(id=line, user=user, order_id=key, n=n).execute()

        insist(both)
        self.orders[key] = (user, n + 1)
        self.lines[line] = (user, n)

    def delete(self) -> None:
        Order = self.shop.Order
        key, (user, _) = self.random.choice(list(self.orders.items()))
        gone = insist(Order.delete().where((Order.user == user) & (Order.id == key)).execute)
        assert gone == 1, f"{gone} rows were deleted for order {key} of user {user}"
        del self.orders[key]

    def expected(self) -> dict[str, list[list[int]]]:
        """Return what has to be there: rows of primary key, user and number."""
        return {
            "Order": [[key, user, n] for key, (user, n) in self.orders.items()],
            "Line": [[key, user, n] for key, (user, n) in self.lines.items()],
        }


def insist(action: Callable[[], Any]) -> Any:
    """Do it until no lock is in the way; what SQLite refuses as locked was not done.

    It waits by itself for a writer, but not for the process that rolls back what a killed one left behind.
    """
    deadline = time.monotonic() + 60
    while True:
        try:
            return action()
        except OperationalError as error:
            if isinstance(error, ShardMoved) or "locked" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise AssertionError("the database stays locked") from error
            time.sleep(0.001)


@contextmanager
def stopped_by_terminate() -> Iterator[threading.Event]:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    yield stop


def write(shop: Shop, number: int, results: Path) -> None:
    """Write until told to stop; then say what has to be there."""
    writer = Writer(shop, number)
    with stopped_by_terminate() as stop:
        print("ready", flush=True)
        while not stop.is_set():
            writer.step()
    results.write_text(json.dumps({"done": writer.done, **writer.expected()}))


def read(shop: Shop, results: Path) -> None:
    """Read the quiet rows over and over, of one user and of all shards; they are always all there, once."""
    Order = shop.Order
    quiet = Order.select().where(Order.text == "quiet")
    wanted = sorted(user * 10 + n for user in range(QUIET) for n in (1, 2))
    chance, done = random.Random(0), 0
    with stopped_by_terminate() as stop:
        print("ready", flush=True)
        while not stop.is_set():
            user = chance.randrange(QUIET)
            of_user = Order.select().where(Order.user == user)
            found = insist(partial(_ids, of_user))
            assert found == [user * 10 + 1, user * 10 + 2], f"user {user} has the orders {found}"
            counted = insist(quiet.count)
            assert counted == len(wanted), f"{counted} quiet orders are counted"
            listed = insist(partial(_ids, quiet))
            assert listed == wanted, f"quiet orders: {set(wanted) ^ set(listed)} and {len(listed)}"
            streamed = insist(lambda: [order.id for order in quiet.order_by(Order.id).iterator()])
            assert streamed == wanted, f"quiet orders: {set(wanted) ^ set(streamed)} and {len(streamed)}"
            done += 1
    results.write_text(json.dumps({"done": done, "Order": [], "Line": []}))


def _ids(query: Any) -> list[int]:
    return sorted(order.id for order in query.clone())


def rebalance(shop: Shop, kill_after: int) -> None:
    """Finish what is unfinished; otherwise add the third shard, or take it away. Kills itself on the way.

    Args:
        shop: where.
        kill_after: how many statements and commits to live; 0 for ever. If below 0, so many from the first
            switch on.
    """
    if kill_after > 0:
        die_after(kill_after)
    elif kill_after < 0:
        switch = Switching.switch

        def last_of_all(self: Switching, *args: Any) -> Any:
            Switching.switch = switch  # type: ignore[method-assign]
            die_after(-kill_after)
            return self.switch(*args)

        Switching.switch = last_of_all  # type: ignore[method-assign]
    moves = Rebalance(*shop.models, chunk=50, batch=30, drain=0.05)
    if not moves.pending and not shop.stored.refresh().moving:
        grow = not moves.plan().units.get("s3")
        plan = moves.plan(add=["s3"]) if grow else moves.plan(remove=["s3"])
        print(moves.run(plan), flush=True)
    else:
        print(moves.resume(), flush=True)


def die_after(moments: int) -> None:
    """Kill this process, as `kill -9` does, before or after a random statement or commit."""
    left = moments

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(method: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            tick()
            result = method(*args, **kwargs)
            tick()
            return result

        return call

    for name in NAMES:
        database: Any = databases[name]
        for method in ("execute_sql", "commit", "begin"):
            setattr(database, method, mortal(getattr(database, method)))


def main() -> None:
    name, command, urls, *rest = sys.argv[1:]
    shop = SHOPS[name]
    databases.configure(json.loads(Path(urls).read_text()))
    if command == "write":
        write(shop, int(rest[0]), Path(rest[1]))
    elif command == "read":
        read(shop, Path(rest[0]))
    else:
        rebalance(shop, int(rest[0]))


if __name__ == "__main__":
    main()
