"""What servers are asked, and what becomes of it when they do not answer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from peewee_multidb.web import StatusApp, asking
from peewee_multidb.web.statistics import statistics_of
from tests.observe.conftest import Shop

Opened = Callable[..., StatusApp]


def by_name(data: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in data["databases"]}


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_a_server_tells_size_connections_work_and_what_takes_long(
    url: str, request: pytest.FixtureRequest
) -> None:
    registry = Databases({"default": request.getfixturevalue(url)})
    database = registry["default"]
    database.execute_sql("CREATE TABLE t (a int)")
    first = statistics_of(database, 0.5)
    for _ in range(5):
        database.execute_sql("SELECT 1").fetchall()
    second = statistics_of(database, 0.5)
    assert first.size is not None and first.size > 0 and (first.connections or 0) >= 1
    assert second.done is not None and first.done is not None and second.done >= first.done
    assert first.unit in ("transactions", "statements") and first.slow == []
    registry.close_all()


def test_a_statement_that_runs_is_listed_without_its_values(postgres_url: str, opened: Opened) -> None:
    registry = Databases({"default": postgres_url})
    app = opened(registry, live=False, slow=1e-6, interval=60)

    def sleep() -> None:
        with pytest.raises(peewee.DatabaseError):
            registry["default"].execute_sql("SELECT pg_sleep(20), 'a secret'")

    thread = threading.Thread(target=sleep)
    thread.start()
    other = Databases({"default": postgres_url})
    asked = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%pg_sleep%%' AND pid <> pg_backend_pid()"
    while not (found := other["default"].execute_sql(asked).fetchall()):
        pass
    data = app.data()
    other["default"].execute_sql("SELECT pg_cancel_backend(%s)", (found[0][0],))
    thread.join()
    (slow,) = [one for one in data["slow"] if "pg_sleep" in one["sql"]]
    assert slow["sql"] == "SELECT pg_sleep(?), ?" and slow["source"] == "running on the server"
    other.close_all()
    registry.close_all()


def test_replicas_and_their_lag_are_shown(postgres_cluster_settings: dict[str, Any], opened: Opened) -> None:
    registry = Databases({"default": postgres_cluster_settings})
    app = opened(registry, live=False, interval=60)
    data = app.data()
    servers = by_name(data)["default"]["servers"]
    assert [one["role"] for one in servers] == ["primary", "replica", "replica"]
    assert all(one["reachable"] for one in servers) and len(data["lag"]) == 2
    registry.close_all()


def test_a_server_that_is_down_hides_no_other_and_no_password_is_shown(tmp_path: Any, opened: Opened) -> None:
    password = "s3cret-s3cret"
    registry = Databases(
        {
            "up": f"sqlite:///{tmp_path}/up.db",
            "down": f"postgresql://u:{password}@127.0.0.1:1/d",
            "own": peewee.SqliteDatabase(f"{tmp_path}/own.db"),
        }
    )
    app = opened(registry, interval=60)
    found = by_name(app.data())
    assert found["up"]["servers"][0]["reachable"] and found["own"]["servers"][0]["reachable"]
    assert not any(server["reachable"] for server in found["down"]["servers"])
    assert "refused" in str(found["down"]) and password not in str(app.data())
    registry.close_all()


def test_asynchronous_databases_are_asked_by_the_ordinary_driver(
    tmp_path: Any, postgres_url: str, opened: Opened
) -> None:
    registry = Databases(
        {
            "post": postgres_url.replace("postgresql://", "postgresql+asyncpg://"),
            "lite": f"sqlite+aiosqlite:///{tmp_path}/a.db",
        }
    )
    found = by_name(opened(registry, interval=60).data())
    assert found["post"]["servers"][0]["reachable"] and found["post"]["size"] > 0
    assert found["lite"]["servers"][0]["reachable"]


def test_the_page_keeps_no_connection_of_the_program_busy(postgres_url: str, opened: Opened) -> None:
    pool = {"max_connections": 1}
    registry = Databases({"default": {"url": postgres_url, "pool": pool}})
    with registry["default"].atomic():
        data = opened(registry, interval=60).data()
        assert by_name(data)["default"]["servers"][0]["reachable"]
        assert by_name(data)["default"]["pool"] == {"size": 1, "in_use": 1, "idle": 0, "waiting": 0}
    registry.close_all()


def test_work_becomes_a_rate_from_the_second_look_on(postgres_url: str, opened: Opened) -> None:
    registry = Databases({"default": postgres_url})
    app = opened(registry, live=False, interval=60)
    assert app.data()["work"]["transactions"]["default"] == [None]
    app.asker.ask()
    rate = app.data()["work"]["transactions"]["default"][-1]
    assert rate is not None and rate >= 0
    registry.close_all()


def test_databases_come_and_go(shop: Shop, tmp_path: Any, opened: Opened) -> None:
    app = opened(shop.registry, interval=60)
    assert set(by_name(app.data())) == {"default", "s1", "s2"}
    shop.registry.add("new", f"sqlite:///{tmp_path}/new.db")
    shop.registry.remove("s2")
    app.asker.ask()
    assert set(by_name(app.data())) == {"default", "s1", "new"}
    some = opened(shop.registry, names=["s1"], interval=60)
    assert set(by_name(some.data())) == {"s1"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_asks_for_itself(shop: Shop, opened: Opened) -> None:
    app = opened(shop.registry, interval=60)
    app.data()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            names = set(by_name(app.data()))
            app.asker.ask()
            os.write(write, b"yes" if names == {"default", "s1", "s2"} else b"no")
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    assert os.read(read, 9) == b"yes"
    os.close(read)


def test_a_server_that_accepts_and_says_nothing_stops_no_round_and_no_end(
    tmp_path: Any, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "LONGEST", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        # This driver waits fifteen seconds for a login.
        url = f"mssql+pymssql://app:secret@127.0.0.1:{silent.getsockname()[1]}/x"
        others = {f"lite{n}": f"sqlite:///{tmp_path}/{n}.db" for n in range(10)}
        registry = Databases({**{f"silent{n}": url for n in range(10)}, **others})
        app = opened(registry, live=False, interval=60)
        data = by_name(app.data())
        assert app.asker.asked is not None
        assert {data[f"silent{n}"]["problem"] for n in range(10)} == {"no answer in 0.5 seconds"}
        assert all(data[name]["problem"] is None and data[name]["servers"] for name in others)
        app.asker.ask()
        assert len([one for one in threading.enumerate() if one.name == "multidb-status"]) <= 11
        app.close()
    registry.close_all()
