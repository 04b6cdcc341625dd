"""A shop with a column of every type, a tree and a circle, and the three databases it is copied between.

    python -m tests.copying.shop SETTINGS SOURCE TARGET MOMENT

copies, and is killed at a moment: after so many statements, 0 for never.
"""

from __future__ import annotations

import datetime
import decimal
import json
import os
import random
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

from peewee import (
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    DateField,
    DateTimeField,
    DecimalField,
    DoubleField,
    ForeignKeyField,
    IntegerField,
    JSONField,
    SmallIntegerField,
    TextField,
    TimeField,
    TimestampField,
    UUIDField,
)

from peewee_multidb import Model, databases
from peewee_multidb.copying import Copy, CopyReport


class Person(Model):
    name = CharField(40, unique=True)
    boss = ForeignKeyField("self", null=True, backref="staff")


class Thing(Model):
    owner = ForeignKeyField(Person, null=True)
    text = TextField()
    small = SmallIntegerField()
    big = BigIntegerField(null=True)
    exact = DecimalField(12, 4, null=True)
    rough = DoubleField(null=True)
    yes = BooleanField()
    raw = BlobField(null=True)
    at = DateTimeField(null=True)
    on = DateField(null=True)
    clock = TimeField(null=True)
    stamp = TimestampField(utc=True)
    token = UUIDField()
    extra = JSONField(null=True)


class Line(Model):
    thing = ForeignKeyField(Thing)
    number = IntegerField()
    count = IntegerField(default=1)

    class Meta:
        primary_key = CompositeKey("thing", "number")


MODELS: list[Any] = [Person, Thing, Line]
TEXTS = ["", "plain", "Grüße", "mâché", "日本", "it's \"quoted\" %s ?", "new\nline\ttab", "😀 wide"]


def fill(things: int, seed: int = 7) -> None:
    """Make rows in `default`, with keys that have gaps, the key 0 among them."""
    chance = random.Random(seed)
    databases.create_tables(MODELS)
    people = [{"id": 3 * n, "name": f"person {n}", "boss": None} for n in range(1, 12)]
    for n, person in enumerate(people):
        # Bosses come after their staff as often as before.
        person["boss"] = people[(n * 5 + 3) % len(people)]["id"] if n % 4 else None
    with databases["default"].atomic():
        Person.insert_many([{**one, "boss": None} for one in people]).execute()
        for one in people:
            Person.update(boss=one["boss"]).where(Person.id == one["id"]).execute()
        for n in range(things):
            Thing.insert(
                id=2 * n + 1,
                owner=chance.choice([None, *(one["id"] for one in people)]),
                text=chance.choice(TEXTS),
                small=chance.choice([-32768, 32767, 0, n % 100]),
                big=chance.choice([None, -(2**63), 2**63 - 1]),
                exact=chance.choice([None, decimal.Decimal("99999999.9999"), decimal.Decimal("-0.1000")]),
                rough=chance.choice([None, 0.1, -1e300, 1 / 3]),
                yes=bool(n % 3),
                raw=chance.choice([None, b"", bytes(range(256))]),
                at=chance.choice([None, datetime.datetime(2024, 2, 29, 23, 59, 59)]),
                on=chance.choice([None, datetime.date(1999, 12, 31)]),
                clock=chance.choice([None, datetime.time(12, 34, 56)]),
                stamp=datetime.datetime(2020, 1, 1) + datetime.timedelta(seconds=n),
                token=uuid.UUID(int=chance.getrandbits(128)),
                extra=chance.choice([None, {"a": [1, 2.5, None, "ü"]}, [], "text"]),
            ).execute()
        Line.insert_many(
            [{"thing": 2 * n + 1, "number": m, "count": n} for n in range(things) for m in range(n % 3)]
        ).execute()


def copy(source: str, target: str, batch: int = 100, **options: Any) -> CopyReport:
    return Copy(MODELS, source, target, batch=batch).run(**options)


def main() -> None:
    settings, source, target, moment = sys.argv[1:]
    databases.configure(json.loads(Path(settings).read_text()))
    left = int(moment)

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in (source, target):
        databases[name].query_hooks.append(count)
    report = copy(source, target, resume=True)
    print(json.dumps(report.as_dict()))
    databases.close_all()


if __name__ == "__main__":
    main()
