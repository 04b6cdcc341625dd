"""What does sharding cost where the key is known?  Targets: inserts 1.15, key-routed reads 1.10 times.

Inserting 100,000 rows over 8 shards, against a program with stock Peewee that partitions the rows by the same
hash and inserts each part by hand. And reading one row by its key, against stock Peewee on one database. The
shards are in-memory SQLite databases, one thread, pair by pair.

    python benchmarks/bench_sharded_keys.py [--rows 100000] [--rounds 9] [--pairs 500]
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import measuring
import peewee

import peewee_multidb
from peewee_multidb import HashShards, StoredMap, databases, use_shard

SHARDS = tuple(f"s{number}" for number in range(8))
INSERT_TARGET, READ_TARGET = 1.15, 1.10
#: Rows of one statement: the most that SQLite takes, for both.
CHUNK = 32766 // 4


def fields() -> dict[str, Any]:
    return {
        "id": peewee.BigIntegerField(primary_key=True),
        "user": peewee.IntegerField(),
        "name": peewee.CharField(),
        "total": peewee.IntegerField(default=0),
    }


def stock_models(count: int) -> list[Any]:
    """Stock models, each on a database of its own with the pragma that our driver sets."""
    models = []
    for _ in range(count):
        database = peewee.SqliteDatabase(":memory:", pragmas={"foreign_keys": 1})
        meta = type("Meta", (), {"database": database, "table_name": "order"})
        model = type("Order", (peewee.Model,), {**fields(), "Meta": meta})
        model.create_table()
        models.append(model)
    return models


def sharded_model(rule: Any) -> Any:
    meta = type("Meta", (), {"db_name": rule, "table_name": "order"})
    model: Any = type("Order", (peewee_multidb.Model,), {**fields(), "Meta": meta})
    model.create_table()
    return model


def by_hand(models: list[Any], rule: HashShards, rows: list[dict[str, Any]]) -> None:
    """What a careful program does without us: partition, then a transaction and chunks for each shard."""
    parts: dict[str, list[dict[str, Any]]] = {name: [] for name in SHARDS}
    for row in rows:
        parts[rule.shard_of(row["user"])].append(row)
    for model, name in zip(models, SHARDS, strict=True):
        with model._meta.database.atomic():
            for chunk in peewee.chunked(parts[name], CHUNK):
                model.insert_many(chunk).execute()


def inserts(rows: list[dict[str, Any]], rounds: int, stored: bool) -> tuple[list[float], list[float]]:
    """Return the seconds of each round, by hand and by us, in turns."""
    databases.configure(dict.fromkeys(("default", *SHARDS), "sqlite:///:memory:"))
    fixed = HashShards(*SHARDS, key="user")
    rule = HashShards(key="user", map=StoredMap("bench", *SHARDS)) if stored else fixed
    hand, ours = stock_models(len(SHARDS)), sharded_model(rule)
    found: tuple[list[float], list[float]] = ([], [])

    def empty() -> None:
        for model in hand:
            model.delete().execute()
        for name in SHARDS:
            databases[name].execute_sql('DELETE FROM "order"')

    for number in range(rounds + 1):
        turns: list[tuple[int, Callable[[], object]]] = [
            (0, lambda: by_hand(hand, fixed, rows)),
            (1, lambda: ours.insert_many(rows).as_rowcount().execute()),
        ]
        random.shuffle(turns)
        for which, action in turns:
            gc.collect()
            start = time.process_time()
            action()
            if number:  # the first round warms up
                found[which].append(time.process_time() - start)
        empty()
    return found


def reads(pairs: int) -> dict[str, measuring.Paired]:
    """Return the reads of one row by its key, each against stock Peewee on one database."""
    databases.configure(dict.fromkeys(("default", *SHARDS), "sqlite:///:memory:"))
    rows = [{"id": n, "user": n, "name": f"order {n}", "total": n} for n in range(1, 1001)]
    (stock,) = stock_models(1)
    (twin,) = stock_models(1)
    ours = sharded_model(HashShards(*SHARDS, key="user"))
    moving = sharded_model(HashShards(key="user", map=StoredMap("bench", *SHARDS)))
    by_id = sharded_model(HashShards(*SHARDS, key="id"))
    for model in (stock, twin, ours):
        model.insert_many(rows).execute()

    def keys() -> Callable[[], int]:
        return itertools.cycle(random.Random(1).sample(range(1, 1001), 1000)).__next__

    def by_key(model: Any, field: str) -> Callable[[], Any]:
        key = keys()
        column = getattr(model, field)
        return lambda: model.select().where(column == key()).get()

    def in_scope() -> Any:
        with use_shard(ours, 7):
            return ours.get_by_id(7)

    for name in SHARDS:
        databases[name].execute_sql('DELETE FROM "order"')
    by_id.insert_many(rows).execute()
    found = {
        "stock against stock": measuring.in_pairs(by_key(stock, "id"), by_key(twin, "id"), pairs=pairs),
        "where(key == value).get()": measuring.in_pairs(
            by_key(stock, "id"), by_key(by_id, "id"), pairs=pairs
        ),
    }
    key, other = keys(), keys()
    found["get_by_id, the primary key is the shard key"] = measuring.in_pairs(
        lambda: stock.get_by_id(key()), lambda: by_id.get_by_id(other()), pairs=pairs
    )
    for name in SHARDS:
        databases[name].execute_sql('DELETE FROM "order"')
    ours.insert_many(rows).execute()
    found["use_shard and get_by_id"] = measuring.in_pairs(lambda: stock.get_by_id(7), in_scope, pairs=pairs)
    indexed = 'CREATE INDEX by_user ON "order" (user)'
    for database in (stock._meta.database, *(databases[name] for name in SHARDS)):
        database.execute_sql(indexed)
    found["where(key == value).get(), a stored map"] = measuring.in_pairs(
        by_key(stock, "user"), by_key(moving, "user"), pairs=pairs
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=500)
    options = parser.parse_args()

    chance = random.Random(3)
    rows = [
        {"id": n, "user": chance.randrange(1_000_000), "name": f"order {n}", "total": n}
        for n in range(options.rows)
    ]
    numbers: dict[str, Any] = {}
    table = []
    for label, stored in (("insert_many", False), ("insert_many, a stored map", True)):
        hand, ours = inserts(rows, options.rounds, stored)
        ratios = [b / a for a, b in zip(hand, ours, strict=True)]
        ratio = statistics.median(ratios)
        numbers[label] = {"by_hand_s": hand, "ours_s": ours, "ratio": round(ratio, 4)}
        table.append(
            [
                f"{label} of {options.rows:,} rows over 8 shards",
                f"{statistics.median(hand) * 1e3:.0f} ms",
                f"{statistics.median(ours) * 1e3:.0f} ms",
                f"{ratio:.3f}",
                f"{min(ratios):.3f} to {max(ratios):.3f}",
                f"{INSERT_TARGET}: {'met' if ratio <= INSERT_TARGET else 'MISSED'}",
            ]
        )
    for label, paired in reads(options.pairs).items():
        numbers[label] = paired.summary()
        summary = paired.summary()
        target = "" if label.startswith(("stock", "use_shard")) or "stored" in label else f"{READ_TARGET}: "
        if target:
            target += "met" if paired.ratio <= READ_TARGET else "MISSED"
        table.append(
            [
                label,
                f"{summary['stock_us']:.1f} µs",
                f"{summary['routed_us']:.1f} µs",
                f"{paired.ratio:.3f}",
                f"{summary['ratio_low']:.3f} to {summary['ratio_high']:.3f}",
                target,
            ]
        )
    head = ["operation", "stock", "sharded", "ratio", "between", "at most"]
    about = (
        f"In-memory SQLite, one thread, processor time. Inserts: medians of {options.rounds} rounds in "
        "turns, against stock Peewee with rows partitioned by the same hash and one transaction for each "
        "shard. Reads: medians of pairs of blocks, against stock Peewee on one database."
    )
    measuring.report(
        "sharded_keys",
        "What sharding costs where the key is known",
        [measuring.table(head, table), about],
        numbers,
    )


if __name__ == "__main__":
    main()
