"""An entry of a registry: which Database objects it makes, and which replicas it refuses."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import ConfigurationError, Databases
from peewee_multidb.entry import Entry


def entry_of(url: str, *replicas: Any, **options: Any) -> Entry:
    registry = Databases({"a": {"url": url, "replicas": list(replicas), **options}})
    return registry.entries["a"]


def test_nothing_is_made_before_it_is_asked_for(tmp_path: Path) -> None:
    entry = entry_of(f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db")
    assert entry.servers() == () and entry.databases() == [] and entry.replicas == ()
    database = entry.open()
    assert [server.role for server in entry.servers()] == ["primary", "replica"]
    assert entry.open() is database is entry.database
    assert len(entry.databases()) == 2


def test_threads_that_ask_at_once_get_the_same_object(tmp_path: Path) -> None:
    entry = entry_of(f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db")
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait(20)
        found.append(entry.open())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert len(found[0].query_hooks) == 1


def test_a_mirror_is_the_primary_and_writes_to_it_are_no_matter_of_positions(tmp_path: Path) -> None:
    entry = entry_of(f"sqlite:///{tmp_path}/a.db", "mirror")
    database = entry.open()
    assert entry.replicas[0].database is database and entry.replicas[0].label == "mirror"
    assert entry.databases() == [database]
    assert not database.query_hooks


def test_a_replica_is_a_read_only_session_of_its_own(tmp_path: Path) -> None:
    entry = entry_of(f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/a.db")
    entry.open().execute_sql("CREATE TABLE t (a int)")
    replica = entry.replicas[0].database
    with pytest.raises(peewee.OperationalError, match="readonly"):
        replica.execute_sql("INSERT INTO t VALUES (1)")
    for database in entry.databases():
        database.close()


@pytest.mark.parametrize(
    ("replica", "message"),
    [
        ("mysql://app@h/app", "a mysql server cannot repeat a postgresql one"),
        ("sqlite:///b.db", "a sqlite server cannot repeat a postgresql one"),
        ("postgresql+asyncpg://app@h/app", "it is asynchronous, but its primary is synchronous"),
        ("postgresql://app@h", "names no database"),
    ],
)
def test_a_replica_that_cannot_stand_in_for_its_primary_is_refused_by_its_number(
    replica: str, message: str
) -> None:
    entry = entry_of("postgresql://app@h/app", "postgresql://app@h2/app", replica)
    with pytest.raises(ConfigurationError, match=message):
        entry.open()
    # And again: nothing half made is left.
    with pytest.raises(ConfigurationError, match=message):
        entry.open()
    assert entry.servers() == ()


def test_the_hook_of_a_users_object_goes_with_its_entry(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(str(tmp_path / "a.db"))
    registry = Databases({"a": {"database": mine, "replicas": [f"sqlite:///{tmp_path}/b.db"]}})
    assert len(mine.query_hooks) == 1
    registry["a"]
    assert len(mine.query_hooks) == 1
    registry.configure({"b": {"database": mine, "replicas": [f"sqlite:///{tmp_path}/b.db"]}})
    assert len(mine.query_hooks) == 1
    registry.remove("b")
    assert mine.query_hooks == []
    with pytest.raises(ConfigurationError):
        registry.configure({"a": {"database": mine, "replicas": [3]}})
    assert mine.query_hooks == []


def test_an_object_without_replicas_is_left_alone(tmp_path: Path) -> None:
    mine = peewee.SqliteDatabase(str(tmp_path / "a.db"))
    registry = Databases({"a": mine})
    registry["a"]
    assert mine.query_hooks == []
