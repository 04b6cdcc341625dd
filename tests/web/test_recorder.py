"""What is remembered of an application's queries: enough to look at, and never more."""

from __future__ import annotations

from peewee_multidb.web import recorder
from peewee_multidb.web.recorder import KEPT, TICKS, Recorder
from tests.observe.conftest import Shop


def test_what_is_kept_is_bounded_whatever_is_asked(shop: Shop) -> None:
    kept = Recorder(shop.registry, slow=1e-9)
    for _ in range(3 * KEPT):
        shop.User.select().count()
    assert len(kept.routes()) == len(kept.slow_queries()) == KEPT
    assert max(map(len, kept.rates().values()), default=0) <= TICKS
    kept.close()
    shop.User.select().where(shop.User.id == 1).count()
    assert len(kept.routes()) == KEPT and shop.registry.on_open == []


def test_the_latest_route_comes_first_and_the_slowest_query(shop: Shop) -> None:
    kept = Recorder(shop.registry, slow=1e-9)
    shop.User.create(name="a secret")
    list(shop.Order.select().where(shop.Order.user == 1))
    latest, before = kept.routes()
    assert (latest["model"], latest["route"], before["statement"]) == ("Order", "shard key", "INSERT")
    durations = [one["seconds"] for one in kept.slow_queries()]
    assert durations == sorted(durations, reverse=True) and "a secret" not in str(kept.slow_queries())
    kept.close()


def test_rates_count_the_queries_of_each_database(shop: Shop, monkeypatch: object) -> None:
    kept = Recorder(shop.registry, slow=60)
    now = [1_000_000.0]
    clock = type("Clock", (), {"time": staticmethod(lambda: now[0])})
    before, recorder.time = recorder.time, clock  # type: ignore[assignment, misc]
    try:
        kept._since = int(now[0] // recorder.TICK)
        for _ in range(10):
            shop.User.select().count()
        now[0] += recorder.TICK
        shop.registry["s1"].execute_sql("SELECT 1")
        now[0] += 2 * recorder.TICK
        rates = kept.rates()
    finally:
        recorder.time = before  # type: ignore[misc]
    assert rates == {"default": [10 / recorder.TICK, 0, 0], "s1": [0, 1 / recorder.TICK, 0]}
    kept.close()


def test_more_databases_than_can_be_told_apart_are_counted_together(shop: Shop) -> None:
    kept = Recorder(shop.registry, slow=60)
    before, recorder.MANY = recorder.MANY, 1
    try:
        for name in ("default", "s1", "s2"):
            shop.registry[name].execute_sql("SELECT 1")
    finally:
        recorder.MANY = before
    counted = dict(kept._ticks[-1][1])
    assert counted == {"default": 1, "others": 2} or sum(counted.values()) <= 3
    kept.close()
