"""A query is explained: databases, role, reasons and the SQL of each dialect; none is run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.conftest import Project


def test_a_query_by_the_shard_key_goes_to_one_shard(filled: Project) -> None:
    found = filled.json("route", "Order.select().where(Order.user == 3)")
    assert found["model"] == "Order" and found["role"] == "primary"
    assert len(found["databases"]) == 1 and found["databases"][0] in ("shard1", "shard2")
    assert found["reasons"] and "sharding rule" in found["reasons"][0]
    (statement,) = found["statements"]
    assert statement["database"] == found["databases"][0]
    assert statement["params"] == [3] and statement["sql"].startswith('SELECT "t1"."id"')
    text = filled("route", "Order.select().where(Order.user == 3)").stdout
    assert f"Order -> {found['databases'][0]} (primary)" in text and "  1. " in text


def test_shards_of_one_dialect_share_the_statement(filled: Project) -> None:
    text = filled("route", "Order").stdout
    assert text.count("SELECT") == 1 and "On shard1, shard2:" in text


def test_a_scope_can_be_given(filled: Project) -> None:
    assert filled.json("route", "User.select()", "--db", "archive")["databases"] == ["archive"]


def test_a_write_is_explained_and_not_run(filled: Project) -> None:
    found = filled.json("route", "User.delete()")
    assert found["databases"] == ["default"] and found["statements"][0]["sql"].startswith("DELETE")
    assert filled("shell", "-c", "User.select().count()").stdout == "20\n"


@pytest.mark.parametrize(
    "expression",
    [
        "User.select().count()",
        "list(User.select())",
        "User.create(name='x')",
        "databases['default'].get_tables()",
    ],
)
def test_an_expression_that_would_run_a_query_is_refused(filled: Project, expression: str) -> None:
    result = filled("route", expression)
    assert result.exit_code == 3
    assert "would run a query" in result.stderr
    assert filled("shell", "-c", "User.select().count()").stdout == "20\n"


def test_what_running_the_query_would_raise_is_told(filled: Project) -> None:
    result = filled("route", "User.select().join(Invoice, on=(User.name == Invoice.number))")
    assert result.exit_code == 5 and "Invoice" in result.stderr


def test_each_dialect_has_its_own_sql(
    project: Project, postgres_url: str, mariadb_url: str, new_postgres_url: Callable[[], str]
) -> None:
    project.settings(
        'models = ["{module}.models"]\n[databases]\ndefault = "sqlite://"\nerp = "sqlite:///e.db"\n'
        'shard1 = "{one}"\nshard2 = "{two}"\n',
        one=postgres_url,
        two=mariadb_url,
    )
    found = project.json("route", "Order.select().order_by(Order.id)")
    by_name = {one["database"]: one["sql"] for one in found["statements"]}
    assert '"t1"."user_id"' in by_name["shard1"] and "`t1`.`user_id`" in by_name["shard2"]
    text = project("route", "Order.select().order_by(Order.id)").stdout
    assert "On shard1:" in text and "On shard2:" in text
