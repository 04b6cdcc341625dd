"""A span for each query, by OpenTelemetry's stable semantic conventions for database client spans.

https://opentelemetry.io/docs/specs/semconv/db/database-spans/. A span is made when the query has ended, with
the times that it began and ended at, and is a child of the span that is current where the query ran.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..registry import Databases, databases
from ..urls import parse_url
from ..version import __version__
from .errorcodes import code_of, kind_of
from .events import QueryEvent
from .observing import Observation, observe
from .sqltext import sanitized

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["trace_queries"]

#: Our engines by their well-known identifiers.
SYSTEMS = {
    "mysql": "mysql",
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "postgresql": "postgresql",
    "sqlite": "sqlite",
}
PORTS = {"mysql": 3306, "mariadb": 3306, "microsoft.sql_server": 1433, "oracle.db": 1521, "postgresql": 5432}
SCHEMA = "https://opentelemetry.io/schemas/1.33.0"

NANOSECONDS = 1_000_000_000


def trace_queries(
    provider: TracerProvider | None = None,
    *,
    query_text: bool = True,
    housekeeping: bool = False,
    registry: Databases = databases,
) -> Observation:
    """Make an OpenTelemetry span of each query of a registry, until it is closed.

    Args:
        provider: what gives the tracer; OpenTelemetry's global one by default.
        query_text: whether spans bear ``db.query.text``: the statement with a ``?`` for every value that is
            written in it. Parameters are in no span.
        housekeeping: whether the package's own questions get spans, such as that for the lag of a replica.
        registry: whose queries.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise ConfigurationError(
            'trace_queries() needs OpenTelemetry: pip install "peewee-multidb[otel]"'
        ) from None
    tracer = trace.get_tracer("peewee_multidb", __version__, provider, schema_url=SCHEMA)

    def record(event: QueryEvent) -> None:
        attributes = _attributes(event)
        if query_text:
            attributes["db.query.text"] = sanitized(event.sql)
        begun = int(event.started * NANOSECONDS)
        span = tracer.start_span(
            _name(event, attributes), kind=trace.SpanKind.CLIENT, attributes=attributes, start_time=begun
        )
        if event.error is not None:
            span.set_status(trace.StatusCode.ERROR, kind_of(event.error))
        span.end(end_time=begun + int(event.duration * NANOSECONDS))

    return observe(record, registry=registry, housekeeping=housekeeping)


def _attributes(event: QueryEvent) -> dict[str, Any]:
    found: dict[str, Any] = {
        **_connection(event.server, event.engine),
        "db.operation.name": event.statement or None,
        "db.collection.name": event.table,
        "db.query.summary": _summary(event),
        "db.response.returned_rows": event.rows if event.statement == "SELECT" else None,
        "peewee_multidb.database": event.name,
        "peewee_multidb.role": event.role,
        "peewee_multidb.shard": event.shard,
        "peewee_multidb.model": event.model,
        "peewee_multidb.tenant": event.tenant,
        "peewee_multidb.route": event.route,
        "peewee_multidb.in_transaction": event.in_transaction,
    }
    if event.error is not None:
        code = code_of(event.error)
        found["db.response.status_code"] = code
        found["error.type"] = code or kind_of(event.error)
    return {key: value for key, value in found.items() if value is not None}


def _summary(event: QueryEvent) -> str | None:
    """Return the verb and the table, which is known for sure of statements that belong to a model."""
    words = [word for word in (event.statement, event.table) if word]
    return " ".join(words) or None


def _name(event: QueryEvent, attributes: dict[str, Any]) -> str:
    """Return the summary, or what takes its place where the target of the operation is not known."""
    if event.table and event.statement:
        return str(attributes["db.query.summary"])
    address = attributes.get("server.address")
    port = attributes.get("server.port")
    target = attributes.get("db.namespace") or (f"{address}:{port}" if address and port else address)
    words = [word for word in (event.statement, target) if word]
    return " ".join(words) or str(attributes["db.system.name"])


@functools.lru_cache(maxsize=1024)
def _connection(label: str, engine: str) -> dict[str, Any]:
    """Return what the label of a server tells of it."""
    system = SYSTEMS.get(engine, "other_sql")
    try:
        url = parse_url(label)
    except ConfigurationError:
        # A Database object of the user's own: its class is all that is known.
        return {"db.system.name": system}
    if url.scheme.startswith("mariadb"):
        system = "mariadb"
    found: dict[str, Any] = {"db.system.name": system, "db.namespace": url.database or None}
    if url.host:
        found["server.address"] = url.host
        if not url.host.startswith("/"):
            found["server.port"] = url.port or PORTS.get(system)
    return {key: value for key, value in found.items() if value is not None}
