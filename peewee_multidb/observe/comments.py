"""Comments in SQL that say where a statement comes from, for those who look at a server's lists and logs.

In the form of sqlcommenter, ``SELECT ... /*database='erp',role='replica',tenant='acme'*/``:
https://open-telemetry.github.io/opentelemetry-sqlcommenter/specifications. Keys and values are URL-encoded
down to letters, digits and ``_.-~%``, so that nothing in them can end the comment, whatever a tenant is
called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError, nearest
from ..registry import Databases, databases
from ..server import Server, mirror
from ..tenants.locks import current_tenant
from .observing import Observation
from .routes import model_of, route_of, routed
from .sqltext import verb_of

__all__ = ["FIELDS", "comment_queries", "serialized"]

#: What a comment may say without help from the program.
FIELDS = ("database", "model", "role", "route", "tenant")

#: Statements that get a comment. Others are few, and some engines want them plain.
COMMENTED = frozenset(["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "REPLACE", "VALUES"])

_TAIL = re.compile(r"[;\s]*\Z")


def comment_queries(
    *,
    fields: Iterable[str] = ("database", "role", "route", "tenant"),
    tags: Callable[[], Mapping[str, str]] | None = None,
    traceparent: bool = False,
    first: bool = False,
    registry: Databases = databases,
) -> Observation:
    """Add a comment to each statement of a registry's databases, until it is closed.

    A statement that has a comment already is left as it is, and so are BEGIN, COMMIT and DDL. Turn it on
    before the first query: a connection that an asynchronous task holds meanwhile goes on without.

    Args:
        fields: which of ``database``, ``model``, ``role``, ``route`` and ``tenant``.
        tags: called for each statement; more keys and values, such as the ``route`` of a web framework. What
            it raises is logged, and the statement goes without.
        traceparent: the W3C trace context of the current OpenTelemetry span; needs the extra ``otel``. Each
            statement then differs from every other one, so that no server or driver prepares it once for all.
        first: in front of the statement and not behind it, for proxies that look there.
        registry: whose databases.

    Raises:
        ConfigurationError: an unknown field, or OpenTelemetry is not installed.
    """
    chosen = tuple(fields)
    for field in chosen:
        if field not in FIELDS:
            raise ConfigurationError(f"comment_queries(): unknown field {field!r}; {nearest(field, FIELDS)}")
    parent = _traceparent() if traceparent else None

    def writer_for(server: Server) -> Callable[[Any, Any, str, bool], str]:
        def write(database: Any, query: Any, sql: str, collapses: bool) -> str:
            if verb_of(sql) not in COMMENTED or "/*" in sql or "--" in sql:
                return sql
            values = _values(chosen, server, database, query)
            if parent is not None:
                values.update(parent())
            if tags is not None:
                values.update(tags())
            comment = serialized(values)
            if collapses:
                comment = comment.replace("%", "%%")
            if not comment:
                return sql
            if first:
                return f"{comment} {sql}"
            end = _TAIL.search(sql)
            assert end is not None
            return f"{sql[: end.start()]} {comment}{sql[end.start() :]}"

        return write

    return Observation(registry, None, writer=writer_for)


def _values(fields: tuple[str, ...], server: Server, database: Any, query: Any) -> dict[str, str]:
    values: dict[str, str | None] = {}
    for field in fields:
        if field == "database":
            values[field] = server.name
        elif field == "tenant":
            values[field] = current_tenant()
        elif field == "role":
            acting = mirror()
            is_mirror = acting is not None and acting.database is database
            values[field] = acting.role if is_mirror and acting is not None else server.role
        else:
            inner = routed(query)
            if inner is not None and field == "route":
                values[field] = route_of(inner)
            elif inner is not None:
                values[field] = model_of(inner).__name__
    return {key: value for key, value in values.items() if value is not None}


def serialized(values: Mapping[str, str]) -> str:
    """Return keys and values as a comment, in the order of the keys; ``""`` if there are none."""
    pairs = sorted((quote(str(key), safe=""), quote(str(value), safe="")) for key, value in values.items())
    # quote() leaves the tilde and -_. besides letters and digits: no quote, star, slash or space.
    inside = ",".join(f"{key}='{value}'" for key, value in pairs if key)
    return f"/*{inside}*/" if inside else ""


def _traceparent() -> Callable[[], dict[str, str]]:
    try:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        raise ConfigurationError(
            'comment_queries(traceparent=True) needs OpenTelemetry: pip install "peewee-multidb[otel]"'
        ) from None
    propagator = TraceContextTextMapPropagator()

    def parent() -> dict[str, str]:
        carrier: dict[str, str] = {}
        propagator.inject(carrier)
        return carrier

    return parent
