"""`shards` counts, `rebalance` moves: with a plan, a question, a dry run and a way back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import MODELS, SETTINGS, Project

MOVABLE = MODELS.replace("HashShards, ", "HashShards, StoredMap, ").replace(
    '"shard1", "shard2", key="user"',
    'key="user", buckets=16, map=StoredMap("orders", "shard1", "shard2", units=16, lifetime=0.01)',
)


@pytest.fixture
def movable(project: Project) -> Project:
    """A project whose orders can move."""
    project.write(MOVABLE)
    made = project(
        "shell",
        "-c",
        "databases.create_tables([User, Order])\n"
        "with databases['shard1'].atomic(), databases['shard2'].atomic():\n"
        "    for n in range(40): Order.create(user=n, total=n)\n",
    )
    assert made.exit_code == 0, made.output
    return project


def counts(*names: str) -> list[int]:
    return [
        sqlite3.connect(f"{name}.db").execute('SELECT COUNT(*) FROM "order"').fetchone()[0] for name in names
    ]


def test_rows_bytes_and_skew(filled: Project) -> None:
    (rule,) = filled.json("shards")["rules"]
    assert rule["models"] == ["Order"] and rule["map"] is None
    shards = {one["name"]: one["rows"] for one in rule["shards"]}
    assert list(shards) == ["shard1", "shard2"] and list(shards.values()) == counts("s1", "s2")
    assert rule["skew"] == round(max(shards.values()) * 2 / 20, 3)
    assert f"Skew: {rule['skew']:.2f}" in filled("shards").stdout
    result = filled("shards", "--add", "archive")
    assert result.exit_code == 3 and "StoredMap" in result.stderr


def test_a_project_without_shards(project: Project) -> None:
    project.write("from peewee_multidb import Model\nclass User(Model): pass\n")
    assert project("shards").stdout == "No model is sharded.\n"
    result = project("rebalance", "--add", "archive")
    assert result.exit_code == 3 and "StoredMap" in result.stderr


def test_a_plan_moves_nothing(movable: Project) -> None:
    (rule,) = movable.json("shards", "--add", "archive")["rules"]
    assert rule["map"] == "orders" and rule["plan"]["moving_rows"] > 0
    assert rule["plan"]["shards"] == ["shard1", "shard2", "archive"]
    found = movable.json("rebalance", "--add", "archive", "--dry-run")
    assert found["plan"]["moving_rows"] == rule["plan"]["moving_rows"]
    assert sum(counts("s1", "s2")) == 40
    assert not Path("archive.db").exists() or Path("archive.db").stat().st_size == 0


def test_a_rebalance_asks_and_moves(movable: Project) -> None:
    before = counts("s1", "s2")
    result = movable("rebalance", "--add", "archive", "--drain", "0")
    assert result.exit_code == 2 and "--yes" in result.stderr
    assert counts("s1", "s2") == before
    found = movable.json("rebalance", "--add", "archive", "--drain", "0", "--yes")
    assert found["rows"] == found["plan"]["moving_rows"] > 0 and found["strays"] == 0
    after = counts("s1", "s2", "archive")
    assert sum(after) == 40 and after[2] == found["rows"]
    # Nothing is unfinished, so there is nothing to resume or to take back.
    assert movable.json("rebalance", "--resume", "--drain", "0")["rows"] == 0
    assert movable("rebalance", "--resume").stdout == "There was no unfinished run.\n"
    assert movable.json("rebalance", "--abandon", "--drain", "0") == {"abandoned": True}


def test_a_key_goes_where_it_is_told(movable: Project) -> None:
    route = "Order.select().where(Order.user == 3)"
    home = movable.json("route", route)["databases"][0]
    other = "shard2" if home == "shard1" else "shard1"
    movable.json("rebalance", "--move", f"3={other}", "--drain", "0", "--yes")
    assert movable.json("route", route)["databases"] == [other]


@pytest.mark.parametrize(
    "arguments", [[], ["--add", "archive", "--resume"], ["--resume", "--abandon"], ["--move", "nonsense"]]
)
def test_wishes_that_contradict_each_other(movable: Project, arguments: list[str]) -> None:
    assert movable("rebalance", *arguments).exit_code == 2


def test_a_plan_that_is_refused_has_changed_nothing(movable: Project) -> None:
    movable("shell", "-c", "databases['shard1'].execute_sql('ALTER TABLE \"order\" ADD COLUMN note TEXT')")
    result = movable("rebalance", "--add", "archive", "--dry-run")
    assert result.exit_code == 5 and "note" in result.stderr


def test_a_plan_is_shown_below_the_shards_of_its_map(movable: Project) -> None:
    shown = movable("shards", "--add", "archive", "--map", "orders").stdout
    assert shown.startswith("Order: map orders\n") and "Skew: " in shown
    (rule,) = movable.json("shards", "--add", "archive", "--map", "orders")["rules"]
    assert "archive" in shown.partition("Skew: ")[2] and "archive" not in shown.partition("Skew: ")[0]
    assert str(rule["plan"]["moving_rows"]) in shown.partition("Skew: ")[2]
    result = movable("shards", "--map", "users")
    assert result.exit_code == 3 and "no model is sharded by a map of the name 'users'" in result.stderr


def test_each_rule_has_a_table_and_empty_shards_have_no_skew(project: Project) -> None:
    more = """
class Event(Base):
    id = SnowflakeField(Snowflake(1), primary_key=True)
    place = IntegerField()

    class Meta:
        db_name = HashShards("shard2", "archive", key="place")
"""
    project.write(MODELS + more)
    rules = project.json("shards")["rules"]
    shards = [[one["name"] for one in rule["shards"]] for rule in rules]
    assert sorted(shards) == [["shard1", "shard2"], ["shard2", "archive"]]
    assert all(rule["skew"] is None and rule["shards"][0]["rows"] == 0 for rule in rules)
    blocks = project("shards").stdout.strip().split("\n\n")
    assert [block.partition(":")[0] for block in blocks] == [rule["models"][0] for rule in rules]
    assert "Skew" not in project("shards").stdout


def test_each_server_tells_the_room_of_a_table(project: Project, postgres_url: str, mariadb_url: str) -> None:
    changed = SETTINGS.replace("sqlite:///s1.db", "{post}").replace("sqlite:///s2.db", "{maria}")
    project.settings(changed, post=postgres_url, maria=mariadb_url)
    (rule,) = project.json("shards")["rules"]
    assert [one["bytes"] for one in rule["shards"]] == [0, 0], "there are no tables yet"
    made = project("shell", "-c", "databases.create_tables([Order], safe=True)")
    assert made.exit_code == 0, made.output
    (rule,) = project.json("shards")["rules"]
    assert all(one["rows"] == 0 and one["bytes"] >= 8192 for one in rule["shards"])
