"""`ScopedExecutor`: a job runs where it was submitted, and leaves nothing in its thread."""

from __future__ import annotations

import contextvars
import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from peewee_multidb import (
    ConfigurationError,
    TenantLocked,
    atomic,
    current_tenant,
    databases,
    unit_of_work,
    use_db,
    use_shard,
    use_tenant,
)
from peewee_multidb.background import ScopedExecutor
from peewee_multidb.background.processes import ScopedProcessExecutor
from peewee_multidb.causality import current_unit, own_unit
from peewee_multidb.scope import current
from tests.background import jobs
from tests.background.conftest import TENANTS

Urls = dict[str, str]
trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="")


@pytest.fixture
def pool() -> Iterator[ScopedExecutor]:
    with ScopedExecutor(2) as made:
        yield made


def in_use() -> int:
    return sum(len(databases[name]._in_use) for name in TENANTS)  # type: ignore[attr-defined]


def test_each_job_runs_for_the_tenant_that_it_was_submitted_for(pool: ScopedExecutor, tenants: Urls) -> None:
    futures = []
    for name in TENANTS * 20:
        with use_tenant(name):
            futures.append((name, pool.submit(jobs.write, name)))
    assert all(future.result() == name for name, future in futures)
    assert jobs.rows(tenants) == {name: [(name, "")] * 20 for name in TENANTS}
    assert in_use() == 0 and pool.submit(current).result() is None


def test_a_job_is_locked_to_its_tenant(pool: ScopedExecutor, tenants: Urls) -> None:
    def stray() -> None:
        with use_db("globex"):
            raise AssertionError("it got in")

    with use_tenant("acme"):
        with pytest.raises(TenantLocked):
            pool.submit(stray).result()


def test_map_keeps_the_scope_also_when_its_results_are_read_elsewhere(
    pool: ScopedExecutor, tenants: Urls
) -> None:
    with use_tenant("initech"):
        results = pool.map(jobs.write, ["initech"] * 10, map(str, range(10)))
    with use_tenant("acme"):
        assert list(results) == ["initech"] * 10
    assert [text for _, text in jobs.rows(tenants)["initech"]] != []
    assert sorted(text for _, text in jobs.rows(tenants)["initech"]) == sorted(map(str, range(10)))
    assert in_use() == 0


def test_a_job_leaves_neither_scope_nor_transaction_nor_connection(tenants: Urls) -> None:
    with ScopedExecutor(1) as pool:
        for name in TENANTS:
            with use_tenant(name):
                pool.submit(jobs.leave_a_mess, name).result()
                with pytest.raises(ValueError, match="as asked"):
                    pool.submit(jobs.fail, name).result()
                assert pool.submit(jobs.write, name).result() == name
        assert pool.submit(lambda: (current(), current_tenant())).result() == (None, None)
    assert in_use() == 0
    assert jobs.rows(tenants) == {name: [(name, "before the failure"), (name, "")] for name in TENANTS}


def test_without_give_back_a_thread_keeps_its_connection(tenants: Urls) -> None:
    def backend() -> Any:
        return databases["acme"].execute_sql("SELECT pg_backend_pid()").fetchone()

    with ScopedExecutor(1, give_back=False) as pool:
        with use_tenant("acme"):
            assert pool.submit(backend).result() == pool.submit(backend).result()
            assert in_use() == 1
            assert list(pool.map(lambda _: current_tenant(), range(2))) == ["acme"] * 2


def test_a_job_and_its_submitter_share_what_was_written(pool: ScopedExecutor, tenants: Urls) -> None:
    with unit_of_work():
        seen = own_unit().seen
        unit = pool.submit(current_unit).result()
        assert unit is not None and unit.seen is seen, "what one writes, the other reads"
        assert unit is not current_unit(), "but each reads from replicas of its own choice"
    # Outside of every unit of work the submitter's own one, of its thread, is made.
    assert pool.submit(lambda: own_unit().seen).result() is own_unit().seen


def test_a_job_is_no_part_of_the_submitters_transaction(pool: ScopedExecutor, tenants: Urls) -> None:
    with use_tenant("acme"):
        with pytest.raises(RuntimeError, match="undone"), atomic("acme"):
            jobs.write("acme", "in the transaction")
            with pytest.raises(Warning, match="which the open atomic block does not cover"):
                pool.submit(jobs.write, "acme", "in the job").result()
            raise RuntimeError("undone")
    assert "in the transaction" not in str(jobs.rows(tenants)["acme"])


def test_other_context_variables_come_along_and_do_not_come_back(pool: ScopedExecutor) -> None:
    def change() -> str:
        before = trace.get()
        trace.set("the job's")
        return before

    trace.set("the submitter's")
    assert pool.submit(change).result() == "the submitter's"
    assert trace.get() == "the submitter's" and pool.submit(change).result() == "the submitter's"


def test_many_submitters_at_once_do_not_disturb_each_other(tenants: Urls) -> None:
    barrier = threading.Barrier(len(TENANTS))
    wrong: list[Any] = []

    def submit(name: str) -> None:
        barrier.wait()
        with use_tenant(name):
            for _ in range(30):
                found = pool.submit(current_tenant).result()
                if found != name:
                    wrong.append((name, found))

    with ScopedExecutor(2) as pool:
        threads = [threading.Thread(target=submit, args=(name,)) for name in TENANTS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_run_jobs_for_the_tenant_that_they_were_submitted_for(tenants: Urls, method: str) -> None:
    context = multiprocessing.get_context(method)
    with ScopedProcessExecutor(2, mp_context=context, initializer=jobs.configure) as pool:
        futures = []
        for name in TENANTS * 3:
            with use_tenant(name):
                futures.append((name, pool.submit(jobs.write, name, text="one")))
                futures.append((name, pool.submit(jobs.process_of, name)))
        results = [(name, future.result(60)) for name, future in futures]
    assert {found for name, found in results if isinstance(found, str)} == set(TENANTS)
    assert os.getpid() not in {found for _, found in results}
    assert jobs.rows(tenants) == {name: [(name, "one")] * 3 for name in TENANTS}


def test_a_scope_that_cannot_travel_does_not_reach_a_process(tenants: Urls) -> None:
    from tests.background.test_headers import Sharded

    databases.add("a", "sqlite://")
    databases.add("b", "sqlite://")
    with ScopedProcessExecutor(1) as pool, use_shard(Sharded, 1):
        with pytest.raises(ConfigurationError, match="cannot travel"):
            pool.submit(current_tenant)
