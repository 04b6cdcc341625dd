"""What of queries is in the log."""

from __future__ import annotations

import json
import logging
from typing import Any

import peewee
import pytest

from peewee_multidb.observe import JSONFormatter, log_queries
from peewee_multidb.tenants.locks import use_tenant
from tests.observe.conftest import Shop


class Lines(logging.Handler):
    """Keeps records, and each as a line of JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JSONFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Any:
    logger = logging.getLogger("peewee_multidb.queries")
    handler = Lines()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_a_query_is_a_line_of_json_with_what_the_event_says(shop: Shop, lines: Lines) -> None:
    rule: Any = shop.Order._meta.home.rule
    user = next(n for n in range(99) if rule.shard_of(n) == "s1")
    with log_queries(registry=shop.registry), use_tenant("s1"):
        shop.Order.insert(user=user).execute()
    (line,) = lines.lines
    assert line["level"] == "DEBUG" and line["logger"] == "peewee_multidb.queries"
    assert (line["db_name"], line["db_role"], line["db_shard"]) == ("s1", "primary", "s1")
    assert (line["db_tenant"], line["db_statement"], line["db_rows"]) == ("s1", "INSERT", 1)
    assert line["db_duration_ms"] > 0 and line["db_slow"] is False and "db_error" not in line
    assert line["time"].endswith("Z")


def test_only_slow_queries_and_failures_pass_a_logger_of_warnings(shop: Shop, lines: Lines) -> None:
    logging.getLogger("peewee_multidb.queries").setLevel(logging.WARNING)
    with log_queries(registry=shop.registry, slow=3600):
        shop.User.select().count()
    assert lines.lines == []
    with log_queries(registry=shop.registry, slow=0):
        shop.User.select().count()
    assert lines.lines[0]["db_slow"] is True and lines.lines[0]["level"] == "WARNING"


def test_neither_values_nor_the_text_of_errors_are_logged_unless_asked_for(shop: Shop, lines: Lines) -> None:
    database = shop.registry["default"]
    for values in (False, True):
        with log_queries(registry=shop.registry, values=values):
            with pytest.raises(peewee.OperationalError):
                database.execute_sql("SELECT secret_column FROM shop_user WHERE name = 'secret name'")
            list(shop.User.select().where(shop.User.name == "secret parameter"))
    quiet, loud = lines.lines[:2], lines.lines[2:]
    assert "secret name" not in json.dumps(quiet) and "no such column" not in json.dumps(quiet)
    assert quiet[0]["db_error"] == "OperationalError"
    assert "secret name" in loud[0]["db_sql"] and "no such column" in loud[0]["message"]
    assert "secret parameter" not in json.dumps(lines.lines)


def test_the_formatter_writes_other_records_too_with_their_traceback(lines: Lines) -> None:
    logger = logging.getLogger("peewee_multidb.queries")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it %s", "failed", extra={"odd": object})
    (line,) = lines.lines
    assert line["message"] == "it failed" and "ValueError: broken" in line["exception"]
    assert line["odd"].startswith("<class")


def test_the_formatter_writes_what_no_file_can_hold_in_another_way() -> None:
    record = logging.makeLogRecord({"msg": "half a pair: \udc80", "levelname": "INFO"})
    line = JSONFormatter().format(record)
    assert json.loads(line.encode())["message"] == "half a pair: \udc80"
