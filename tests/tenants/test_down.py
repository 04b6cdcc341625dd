"""A tenant whose database is down fails for itself, in its own time-out, and for nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import peewee
import pytest

from peewee_multidb import Model, databases, use_tenant
from peewee_multidb.testing.servers import MariaDBServer, NetworkProxy, PostgresServer

ATTEMPTS = 6


class Note(Model):
    text = peewee.CharField()

    class Meta:
        db_name = None


@pytest.fixture(params=["postgres", "mariadb"])
def engine(request: pytest.FixtureRequest) -> tuple[Any, Callable[[], str]]:
    name = request.param
    return request.getfixturevalue(f"{name}_server"), request.getfixturevalue(f"new_{name}_url")


@pytest.fixture(params=[None, 4], ids=["plain", "pooled"])
def world(
    request: pytest.FixtureRequest, engine: tuple[PostgresServer | MariaDBServer, Callable[[], str]]
) -> Iterator[NetworkProxy]:
    server, new_url = engine
    urls = {name: new_url() for name in ("down", "up")}
    with NetworkProxy(server) as proxy:
        urls["down"] = proxy.url(urls["down"].rpartition("/")[2])
        more = {} if request.param is None else {"pool": request.param}
        databases.max_open, databases.wait_open = 4, 60
        databases.configure(
            {
                name: {"url": url, "tenant": True, "options": {"connect_timeout": 2}, **more}
                for name, url in urls.items()
            }
        )
        for name in urls:
            with use_tenant(name):
                databases.create_tables([Note])
        databases.close_all()
        yield proxy
        proxy.restore()
        databases.close_all()
    databases.max_open = None
    databases.configure({})


def test_a_server_that_is_silent_costs_everybody_one_time_out(world: NetworkProxy) -> None:
    """Not one after the other: a handful of attempts for all who wait."""
    world.hang()
    before = world.connections
    ready = threading.Barrier(ATTEMPTS + 1)

    def ask(_: int) -> Exception | None:
        with use_tenant("down"):
            ready.wait(30)
            try:
                Note.select().count()
            except peewee.OperationalError as error:
                return error
            finally:
                databases.close()
        return None

    with ThreadPoolExecutor(ATTEMPTS) as executor:
        asking = [executor.submit(ask, number) for number in range(ATTEMPTS)]
        ready.wait(30)
        # While they wait, the other tenant is served.
        for turn in range(20):
            with use_tenant("up"):
                Note.create(text=str(turn))
                assert Note.select().count() == turn + 1
            databases.close()
        failed = [one.result() for one in asking]
    assert all(isinstance(error, peewee.OperationalError) for error in failed)
    assert world.connections - before <= ATTEMPTS // 2
    assert databases._governor is not None
    assert databases["down"].governed_open == type(databases["down"].governed_open)()  # type: ignore[attr-defined]


def test_the_tenant_is_back_when_its_server_is(world: NetworkProxy) -> None:
    world.cut()
    with use_tenant("down"), pytest.raises(peewee.OperationalError):
        Note.select().count()
    world.restore()
    with use_tenant("down"):
        Note.create(text="back")
        assert Note.select().count() == 1
