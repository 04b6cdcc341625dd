"""Queries in the log: a line for each, or for the slow ones and those that failed, and the same as JSON."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from ..registry import Databases, databases
from .errorcodes import code_of, kind_of
from .events import QueryEvent
from .observing import Observation, observe
from .sqltext import sanitized

__all__ = ["JSONFormatter", "log_queries"]

#: The attributes that every log record has.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def log_queries(
    logger: logging.Logger | str = "peewee_multidb.queries",
    *,
    level: int = logging.DEBUG,
    slow: float | None = None,
    slow_level: int = logging.WARNING,
    failed_level: int = logging.WARNING,
    registry: Databases = databases,
    values: bool = False,
) -> Observation:
    """Write a line to the log for each query of a registry, until it is closed.

    Each record bears what the event says as attributes of its own, for formatters and filters:
    ``db_name``, ``db_role``, ``db_server``, ``db_engine``, ``db_shard``, ``db_model``, ``db_tenant``,
    ``db_route``, ``db_statement``, ``db_sql``, ``db_rows``, ``db_duration_ms``, ``db_slow``,
    ``db_in_transaction``, and for failures ``db_error`` (the class) and ``db_error_code``.

    Args:
        logger: a logger or its name.
        level: of a query that is neither slow nor failed; nothing is written where the logger is above it.
        slow: seconds from which on a query is a slow one; None for never.
        slow_level: of slow queries.
        failed_level: of queries that failed.
        registry: whose queries.
        values: whether the text of errors and values that are written in the SQL itself may stand in the
            log; both may hold data of the program. Parameters never do.
    """
    target = logging.getLogger(logger) if isinstance(logger, str) else logger

    def write(event: QueryEvent) -> None:
        is_slow = slow is not None and event.duration >= slow
        used = failed_level if event.error is not None else slow_level if is_slow else level
        if not target.isEnabledFor(used):
            return
        fields = _fields(event, values)
        fields["db_slow"] = is_slow
        text = f"{event.statement} on {event.name!r} ({event.role}) took {event.duration * 1000:.1f} ms"
        if event.error is not None:
            text = f"{event.statement} on {event.name!r} ({event.role}) failed: {fields['db_error']}"
            if values:
                text = f"{text}: {event.error}"
        target.log(used, "%s", text, extra=fields)

    return observe(write, registry=registry)


def _fields(event: QueryEvent, values: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "db_name": event.name,
        "db_role": event.role,
        "db_server": event.server,
        "db_engine": event.engine,
        "db_shard": event.shard,
        "db_model": event.model,
        "db_tenant": event.tenant,
        "db_route": event.route,
        "db_statement": event.statement,
        "db_sql": event.sql if values else sanitized(event.sql),
        "db_rows": event.rows,
        "db_duration_ms": round(event.duration * 1000, 3),
        "db_in_transaction": event.in_transaction,
    }
    if event.error is not None:
        found["db_error"] = kind_of(event.error)
        found["db_error_code"] = code_of(event.error)
    return found


class JSONFormatter(logging.Formatter):
    """A formatter that writes a record as one line of JSON: the time, what the record bears, the traceback.

    For records of `log_queries` and for all others; attributes without a value are left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for a record."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in vars(record).items():
            if key not in _STANDARD and key not in found and value is not None:
                found[key] = value
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        line = json.dumps(found, ensure_ascii=False, default=str)
        # Half a surrogate pair can be in a text, and in no file.
        return line.encode("utf-8", "backslashreplace").decode()
