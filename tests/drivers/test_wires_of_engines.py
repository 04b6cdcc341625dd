"""What each known proxy and distributed engine is told for each role, word by word."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_multidb.config import settings_from
from peewee_multidb.drivers import open_server
from peewee_multidb.drivers.wire import OWN_CONNECTION, WIRES
from peewee_multidb.errors import ConfigurationError

POSTGRESQL = "postgresql://app@engine/shop"
MYSQL = "mysql://app@engine/shop"


def opened(url: str, role: str) -> Any:
    settings = settings_from({"main": url})["main"]
    assert settings.url is not None
    return open_server(settings, settings.url, role=role, read_only=False)


STATEMENTS = {
    "cockroachdb": (POSTGRESQL, None, "SET default_transaction_use_follower_reads = on"),
    "pgcat": (POSTGRESQL, "SET SERVER ROLE TO 'primary'", "SET SERVER ROLE TO 'replica'"),
    "tidb": (MYSQL, None, "SET SESSION tidb_replica_read = 'follower'"),
    "vitess": (MYSQL, "USE `shop@primary`", "USE `shop@replica`"),
    "yugabytedb": (POSTGRESQL, None, "SET yb_read_from_followers = true"),
}
COMMENTS = {
    "maxscale": (MYSQL, "/* maxscale route to master */ ", "/* maxscale route to slave */ "),
    "pgdog": (POSTGRESQL, "/* pgdog_role: primary */ ", "/* pgdog_role: replica */ "),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_an_engine_is_told_by_a_statement_at_connect(name: str) -> None:
    url, *wanted = STATEMENTS[name]
    for role, statement in zip(("primary", "replica"), wanted, strict=True):
        told = [one.sql for one in opened(f"{url}?wire={name}", role).session_statements]
        plain = [one.sql for one in opened(url, role).session_statements]
        assert told == ([] if statement is None else [statement]) + plain


@pytest.mark.parametrize("name", COMMENTS)
def test_a_proxy_is_told_by_a_comment(name: str) -> None:
    url, *wanted = COMMENTS[name]
    found = [opened(f"{url}?wire={name}", role).leading_comment for role in ("primary", "replica")]
    assert found == wanted


def test_every_known_wire_is_tested_here() -> None:
    assert {*STATEMENTS, *COMMENTS} == {name for name, wire in WIRES.items() if wire != OWN_CONNECTION}


def test_a_keyspace_that_would_end_the_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot stand for \{database\}"):
        opened("mysql://app@engine/shop%60x?wire=vitess", "primary")
