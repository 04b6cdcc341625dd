"""What tasks, threads and greenlets inherit of a scope: the table of the manual, row by row."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from peewee_multidb import current_tenant, propagate, use_tenant
from peewee_multidb.background import ScopedExecutor
from tests.background import jobs
from tests.background.test_headers import configured  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("configured")


async def here() -> str | None:
    await asyncio.sleep(0)
    return current_tenant()


async def in_asyncio() -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    found: dict[str, Any] = {}
    later: asyncio.Future[str | None] = loop.create_future()
    with use_tenant("acme"), ScopedExecutor(1) as pool:
        found["gather"] = await asyncio.gather(here(), here())
        task = asyncio.create_task(here())
        found["to_thread"] = await asyncio.to_thread(current_tenant)
        found["run_in_executor"] = await loop.run_in_executor(None, current_tenant)
        found["propagate"] = await loop.run_in_executor(None, propagate(current_tenant))
        found["scoped"] = await loop.run_in_executor(pool, current_tenant)
        loop.call_soon(lambda: later.set_result(current_tenant()))
        if sys.version_info >= (3, 11):
            async with asyncio.TaskGroup() as group:
                found["group"] = group.create_task(here())
            found["group"] = found["group"].result()
    # The blocks are left, but what was started in them stays in them.
    found["task"], found["call_soon"] = await task, await later
    found["after"] = current_tenant()
    return found


def test_what_asyncio_starts_in_a_scope_is_in_it_but_for_executors() -> None:
    found = asyncio.run(in_asyncio())
    assert found.pop("run_in_executor") is None, "Python gives an executor's threads no context"
    assert found.pop("after") is None
    assert found.pop("gather") == ["acme", "acme"]
    assert set(found.values()) == {"acme"} and len(found) >= 5


async def in_anyio() -> list[str | None]:
    found: list[str | None] = []

    async def note() -> None:
        found.append(await here())

    with use_tenant("globex"):
        async with anyio.create_task_group() as group:
            group.start_soon(note)
            group.start_soon(note)
        found.append(await anyio.to_thread.run_sync(current_tenant))
        found.append(
            await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(here))  # there and back again
        )
    found.append(await anyio.to_thread.run_sync(current_tenant))
    return found


def test_anyio_inherits_the_scope_in_tasks_and_threads() -> None:
    assert asyncio.run(in_anyio()) == ["globex"] * 4 + [None]


async def crossing() -> bool:
    async def tenant(name: str) -> bool:
        with use_tenant(name):
            seen = set()
            for _ in range(50):
                seen.add(await here())
                seen.add(await asyncio.to_thread(current_tenant))
        return seen == {name}

    return all(await asyncio.gather(*(tenant(name) for name in ("acme", "globex") * 5)))


def test_tasks_of_many_tenants_do_not_disturb_each_other() -> None:
    assert asyncio.run(crossing())


GEVENT = """
from gevent import monkey
monkey.patch_all()
import json, os, sys
import gevent
from gevent.pool import Pool
from gevent.threadpool import ThreadPool
from peewee_multidb import current_tenant, databases, propagate, use_tenant
from peewee_multidb.background import ScopedExecutor
from tests.background import jobs
from tests.background.conftest import TENANTS

jobs.configure()
def pause():
    gevent.sleep(0)
    return current_tenant()
with use_tenant("acme"):
    assert gevent.spawn(pause).get() is None
    assert gevent.spawn(propagate(pause)).get() == "acme"
    assert list(Pool(2).imap(propagate(lambda _: pause()), range(3))) == ["acme"] * 3
    assert ThreadPool(1).apply(propagate(current_tenant)) == "acme"
    with ScopedExecutor(2) as pool:
        assert pool.submit(pause).result() == "acme"

def visit(name):
    for number in range(5):
        with use_tenant(name):
            # Each query waits for the server, and others run meanwhile.
            databases[name].execute_sql("SELECT pg_sleep(0.002)")
            assert jobs.write(name, str(number)) == name
            pool.submit(jobs.write, name, "job").result()
    databases.close()
with ScopedExecutor(4) as pool:
    gevent.joinall([gevent.spawn(visit, name) for name in TENANTS * 3], raise_error=True)
assert current_tenant() is None
assert sum(len(databases[name]._in_use) for name in TENANTS) == 0
databases.close_all()
"""


def test_greenlets_have_scopes_and_connections_of_their_own(tenants: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GEVENT], cwd=jobs.ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for name, rows in jobs.rows(tenants).items():
        assert {meant_for for meant_for, _ in rows} == {name} and len(rows) == 30
    assert jobs.sessions(tenants) == 0
