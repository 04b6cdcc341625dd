"""Spans by the semantic conventions, in the real SDK."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from peewee_multidb import Databases
from peewee_multidb.observe import trace_queries
from peewee_multidb.urls import parse_url
from tests.engines import MODELS
from tests.observe.conftest import Shop


class Spans:
    """A provider of the SDK and what it was given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def take(self) -> list[ReadableSpan]:
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    made.provider.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_span_is_a_client_s_and_named_by_its_summary(shop: Shop, spans: Spans) -> None:
    with trace_queries(spans.provider, registry=shop.registry):
        shop.User.create(name="a secret")
        shop.registry["s1"].execute_sql("SELECT 'a secret', 12345")
    made, raw = spans.take()
    assert (made.name, made.kind) == ("INSERT shop_user", SpanKind.CLIENT)
    found = attributes(made)
    assert found["db.system.name"] == "sqlite" and found["db.namespace"].endswith("default.db")
    assert (found["db.operation.name"], found["db.collection.name"]) == ("INSERT", "shop_user")
    assert found["db.query.summary"] == "INSERT shop_user"
    assert (found["peewee_multidb.database"], found["peewee_multidb.role"]) == ("default", "primary")
    assert found["peewee_multidb.route"] == "home" and found["peewee_multidb.model"] == "User"
    assert "secret" not in str(found) and "secret" not in str(attributes(raw))
    assert attributes(raw)["db.query.text"] == "SELECT ?, ?" and raw.name.startswith("SELECT ")
    assert made.end_time is not None and made.start_time is not None and made.end_time > made.start_time
    assert made.status.status_code is StatusCode.UNSET


def test_the_text_of_queries_can_be_left_out(shop: Shop, spans: Spans) -> None:
    with trace_queries(spans.provider, registry=shop.registry, query_text=False):
        shop.User.select().count()
    assert "db.query.text" not in attributes(spans.take()[0])


def test_spans_are_children_of_the_span_around_the_query_also_on_shards(shop: Shop, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("test")
    with trace_queries(spans.provider, registry=shop.registry), tracer.start_as_current_span("request"):
        list(shop.Order.select())
    *parts, request = spans.take()
    assert request.context is not None
    assert [part.parent and part.parent.span_id for part in parts] == [request.context.span_id] * 2
    assert {attributes(part)["peewee_multidb.shard"] for part in parts} == {"s1", "s2"}


def test_three_engines_say_their_server_and_the_code_of_an_error(three: None, spans: Spans) -> None:
    expected = {"lite": ("sqlite", None), "post": ("postgresql", "42703"), "maria": ("mariadb", "1054")}
    with trace_queries(spans.provider):
        for model in MODELS:
            list(model.select())
            with pytest.raises(peewee.DatabaseError):
                model._meta.database.execute_sql("SELECT no_such")
    for model in MODELS:
        name = model._meta.home.name
        good, bad = (s for s in spans_of(spans, name))
        found = attributes(good)
        system, code = expected[name]
        assert found["db.system.name"] in (system, "mysql")
        if name != "lite":
            entry = model._meta.home.registry.entries[name]
            url = parse_url(entry.primary.label)
            assert found["server.address"] == url.host and found["server.port"] == url.port
            assert found["db.namespace"] == url.database and found["db.response.returned_rows"] == 0
            assert attributes(bad)["db.response.status_code"] == code
            assert attributes(bad)["error.type"] == code
        assert bad.status.status_code is StatusCode.ERROR
        assert "no_such" not in str(bad.status.description)


def spans_of(spans: Spans, name: str) -> list[ReadableSpan]:
    return [
        span
        for span in spans.exporter.get_finished_spans()
        if attributes(span)["peewee_multidb.database"] == name
    ]


def test_a_task_s_queries_belong_to_its_own_span(three_async: None, spans: Spans) -> None:
    tracer = spans.provider.get_tracer("test")

    async def request(model: Any) -> None:
        database = model._meta.database.obj
        await database.acreate_tables([model])
        with tracer.start_as_current_span(f"request {model.__name__}"):
            await database.list(model.select())
        await database.adrop_tables([model])
        await database.aclose()
        await database.close_pool()

    async def main() -> None:
        await asyncio.gather(*(request(model) for model in MODELS))

    with trace_queries(spans.provider):
        asyncio.run(main())
    found = spans.take()
    requests = {span.name: span.context.span_id for span in found if span.name.startswith("request")}  # type: ignore[union-attr]
    reads = [span for span in found if attributes(span).get("db.query.summary", "").startswith("SELECT ")]
    assert len(reads) == 3
    for span in reads:
        model = attributes(span)["peewee_multidb.model"]
        assert span.parent is not None and span.parent.span_id == requests[f"request {model}"]


def test_a_database_object_of_the_user_s_own_has_no_address(spans: Spans) -> None:
    registry = Databases({"own": peewee.SqliteDatabase(":memory:")})
    with trace_queries(spans.provider, registry=registry):
        registry["own"].execute_sql("SELECT 1")
    (span,) = spans.take()
    assert span.name == "SELECT" and "server.address" not in attributes(span)
    registry.close_all()


def test_without_opentelemetry_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None; sys.modules['prometheus_client'] = None\n"
        "from peewee_multidb import ConfigurationError\n"
        "from peewee_multidb.observe import comment_queries, export_metrics, trace_queries\n"
        "for what in (trace_queries, export_metrics, lambda: comment_queries(traceparent=True)):\n"
        "    try: what()\n"
        "    except ConfigurationError as error: assert 'pip install' in str(error), error\n"
        "    else: raise AssertionError(what)\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
