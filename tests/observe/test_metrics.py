"""What Prometheus reads, from its own text format."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from peewee import IntegerField
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from peewee_multidb import ConfigurationError, Databases, Model
from peewee_multidb.observe import export_metrics
from tests.observe.conftest import Shop


def scraped(collectors: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Return every sample: its name and the values of its labels, and what it is."""
    text = generate_latest(collectors).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith(("_created", "_bucket")):
                labels = (sample.labels[key] for key in sorted(sample.labels))
                found[(sample.name.removeprefix("multidb_"), *labels)] = sample.value
    return found


@pytest.fixture
def collectors() -> Iterator[CollectorRegistry]:
    yield CollectorRegistry()


def test_queries_errors_and_durations_are_counted(shop: Shop, collectors: CollectorRegistry) -> None:
    with export_metrics(collectors, registry=shop.registry):
        shop.User.create(name="x")
        shop.User.select().count()
        with pytest.raises(peewee.OperationalError):
            shop.registry["default"].execute_sql("SELECT no_such")
        list(shop.Order.select())
        found = scraped(collectors)
    assert found["queries_total", "default", "primary", "SELECT"] == 2
    assert found["queries_total", "default", "primary", "INSERT"] == 1
    assert found["queries_total", "s1", "primary", "SELECT"] == 1
    assert found["query_errors_total", "default", "OperationalError", "primary"] == 1
    assert found["query_duration_seconds_count", "default", "primary"] == 3
    assert 0 < found["query_duration_seconds_sum", "default", "primary"] < 60
    assert found["databases", "configured"] == 3 and found["databases", "open"] == 3


def test_names_can_be_folded_and_there_are_never_too_many_labels(tmp_path: Any) -> None:
    registry = Databases({f"t_{n}": f"sqlite:///{tmp_path}/{n}.db" for n in range(30)})
    folded, bounded = CollectorRegistry(), CollectorRegistry()
    with (
        export_metrics(folded, registry=registry, fold=lambda name: "tenants"),
        export_metrics(bounded, registry=registry, limit=5),
    ):
        for name in registry:
            registry[name].execute_sql("SELECT 1")
        one, few = scraped(folded), scraped(bounded)
    assert one["queries_total", "tenants", "primary", "SELECT"] == 30
    labels = {key[1] for key in few if key[0] == "queries_total"}
    assert len(labels) == 6 and few["queries_total", "other", "primary", "SELECT"] == 25
    registry.close_all()
    with pytest.raises(ConfigurationError, match="limit"):
        export_metrics(registry=registry, limit=0)


def test_a_pool_says_what_is_used_idle_and_waited_for(
    postgres_url: str, collectors: CollectorRegistry
) -> None:
    pool = {"max_connections": 2, "timeout": 20}
    registry = Databases({"default": {"url": postgres_url, "pool": pool}})
    database: Any = registry["default"]
    inside, leave = threading.Barrier(3), threading.Event()

    def hold() -> None:
        database.connect()
        inside.wait()
        leave.wait()
        database.close()

    def wait() -> None:
        database.connect()
        database.close()

    holders = [threading.Thread(target=hold) for _ in range(2)]
    with export_metrics(collectors, registry=registry):
        for thread in holders:
            thread.start()
        inside.wait()
        waiter = threading.Thread(target=wait)
        waiter.start()
        while not database._pool_available._waiters:
            threading.Event().wait(0.01)
        found = scraped(collectors)
        leave.set()
        for thread in (*holders, waiter):
            thread.join()
        after = scraped(collectors)
    key = ("pool_connections", "default", "primary")
    assert found[(*key, "in_use")] == 2 and found[(*key, "idle")] == 0 and found[(*key, "waiting")] == 1
    assert found["pool_size", "default", "primary"] == 2
    assert after[(*key, "in_use")] == 0 and after[(*key, "idle")] >= 1 and after[(*key, "waiting")] == 0
    registry.close_all()


def test_lag_ejections_and_fallbacks_of_replicas_are_told(
    postgres_cluster_settings: dict[str, Any], collectors: CollectorRegistry
) -> None:
    registry_ = Databases({"default": {**postgres_cluster_settings, "replication": {"backoff": 60}}})

    class Note(Model):
        n = IntegerField()

        class Meta:
            registry = registry_

    Note.create_table()
    with export_metrics(collectors, registry=registry_):
        for _ in range(4):
            list(Note.select())
        entry = registry_.entries["default"]
        before = scraped(collectors)
        for server in entry.replicas:
            entry.readers.health.eject(server, peewee.OperationalError("gone"))
        list(Note.select())
        after = scraped(collectors)
        registry_.close_all()
    assert before["queries_total", "default", "replica", "SELECT"] >= 1
    assert before["replica_lag_seconds", "default"] >= 0 and before["replicas_left_out", "default"] == 0
    assert after["server_events_total", "default", "eject"] == 2
    assert after["server_events_total", "default", "fallback"] == 1
    assert after["replicas_left_out", "default"] == 2


def test_closing_takes_the_metrics_out_and_they_can_be_exported_again(
    shop: Shop, collectors: CollectorRegistry
) -> None:
    for _ in range(2):
        metrics = export_metrics(collectors, registry=shop.registry)
        metrics.close()
    assert scraped(collectors) == {}
    assert not any((shop.registry.on_eject, shop.registry.on_open, shop.registry.on_evict))
