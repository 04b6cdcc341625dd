"""Jobs through real queues: each tenant's rows lie in the tenant's database, and no connection is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from peewee_multidb import ConfigurationError, current_tenant, databases, use_db, use_shard, use_tenant
from peewee_multidb.background import HEADER, run_job, scope_headers
from peewee_multidb.errors import ScopeRefused
from peewee_multidb.scope import current
from tests.background import jobs
from tests.background.conftest import KEY, TENANTS

ROOT = Path(__file__).parents[2]
Urls = dict[str, str]


@contextmanager
def program(*arguments: str, ready: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker until the block ends; begin when it has said that it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=output, stderr=subprocess.STDOUT, cwd=ROOT
        )
    try:
        until(lambda: ready in log.read_text() or process.poll() is not None)
        assert ready in log.read_text(), log.read_text()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


# Celery


@pytest.fixture
def celery(tenants: Urls, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("JOBS_REDIS", redis_url)
    from tests.background import celery_app

    return celery_app


def test_a_prefork_celery_worker_runs_each_task_for_its_tenant(
    celery: Any, tenants: Urls, tmp_path: Path
) -> None:
    command = ("celery", "-A", "tests.background.celery_app", "worker", "-c", "2", "-l", "INFO")
    with program(*command, "--without-gossip", "--without-mingle", ready=" ready.", log=tmp_path / "log"):
        results: list[tuple[str, Any]] = []
        for number in range(5):
            for name in TENANTS:
                with use_tenant(name):
                    if number == 2:
                        celery.mess.delay(name)
                        celery.fail.delay(name)
                    results.append((name, celery.write.delay(name, str(number))))
        for name in TENANTS:
            with use_tenant(name):
                results.append((name, celery.retried.delay(name)))
                results.append((name, celery.sequence(name).apply_async()))
                results.append((name, celery.app.send_task(celery.write.name, (name, "by name"))))
        processes = set()
        for name, result in results:
            tenant, process = result.get(timeout=60)
            assert tenant == name
            processes.add(process)
        with use_tenant("acme"):
            outside = celery.write.apply_async(("acme",), headers={HEADER: "forged"})
        assert outside.get(timeout=60)[0] == "acme", (
            "a header that the sender makes up is not the one that is sent"
        )
        refused = celery.app.send_task(celery.write.name, ("acme",), headers={HEADER: "forged"})
        with pytest.raises(ScopeRefused, match="forged"):
            refused.get(timeout=60)
        nowhere = celery.write.delay("acme", "nowhere")
        with pytest.raises(Exception, match="Note has no home"):
            nowhere.get(timeout=60)
        databases.close_all()
        # One of each child and tenant, and the parent's.
        assert jobs.sessions(tenants) <= 2 * len(TENANTS) + 1
    until(lambda: jobs.sessions(tenants) == 0)
    assert len(processes) == 2 and os.getpid() not in processes
    texts = ["0", "1", "2", "3", "4", "retried", "first", "second", "third", "by name", "before the failure"]
    for name, rows in jobs.rows(tenants).items():
        expected = texts + ([""] if name == "acme" else [])
        assert sorted(rows) == sorted((name, text) for text in expected)


def test_a_celery_task_that_must_not_be_sent_is_not(celery: Any) -> None:
    from tests.background.test_headers import Sharded

    databases.add("a", "sqlite://")
    databases.add("b", "sqlite://")
    with use_shard(Sharded, 1), pytest.raises(ConfigurationError, match="cannot travel"):
        celery.write.delay("acme")


def test_a_celery_task_called_as_a_function_or_eagerly_stays_where_it_is(celery: Any, tenants: Urls) -> None:
    with use_tenant("globex"):
        assert celery.write("globex", "called")[0] == "globex"
        assert celery.write.apply(("globex", "applied")).get()[0] == "globex"
    assert jobs.rows(tenants)["globex"] == [("globex", "called"), ("globex", "applied")]


def test_celery_has_to_be_connected_before_there_are_tasks(celery: Any) -> None:
    from peewee_multidb.background.celery import connect

    with pytest.raises(ConfigurationError, match="before the first task"):
        connect(celery.app)


def test_a_celery_worker_in_this_process_runs_each_task_and_its_sequel_where_it_was_sent() -> None:
    from celery import Celery
    from celery.app.trace import build_tracer

    from peewee_multidb.background.celery import connect

    app = Celery("here", broker="memory://", backend="cache+memory://")
    connect(app)

    @app.task
    def where() -> Any:
        assert not where.request.called_directly
        return current_tenant()

    @app.task
    def send_another() -> Any:
        with use_tenant("globex", unlock=True):
            where.delay()
        return current_tenant()

    def worked(task: Any, tenant: str | None) -> Any:
        """Take the oldest message and do with it what a worker does."""
        with app.connection_for_read() as connection:
            queue = connection.SimpleQueue("celery")
            message = queue.get(timeout=5)
            message.ack()
            queue.close()
        args, kwargs, embedded = message.decode()
        request = {**message.headers, **embedded, "args": args, "kwargs": kwargs, "is_eager": False}
        run = build_tracer(task.name, task, app=app)
        found = run(message.headers["id"], args, kwargs, request).retval
        assert found == tenant, f"{found!r}"
        assert current() is None
        return message

    databases.configure({name: {"url": "sqlite://", "tenant": True} for name in TENANTS})
    databases.secret_key = KEY
    try:
        with use_tenant("acme"):
            send_another.apply_async(link=where.si())
            app.send_task(where.name)
        worked(send_another, "acme")
        worked(where, "acme")  # sent by its name
        worked(where, "globex")  # sent by the task, inside of the other tenant's block
        worked(where, "acme")  # sent by Celery when the task was done
    finally:
        databases.configure({})
        databases.secret_key = None


# RQ


def test_an_rq_job_runs_where_it_was_enqueued_also_in_this_process(redis_url: str) -> None:
    from redis import Redis
    from rq import Queue

    from peewee_multidb.background.rq import ScopedJob

    databases.configure({name: {"url": "sqlite://", "tenant": True} for name in TENANTS})
    databases.secret_key = KEY
    try:
        with Redis.from_url(redis_url) as connection:
            queue = Queue("here", connection=connection, job_class=ScopedJob)
            with use_tenant("globex"):
                made = queue.enqueue(current_tenant)
            with use_tenant("acme"):
                assert ScopedJob.fetch(made.id, connection=connection).perform() == "globex"
                assert current_tenant() == "acme"
            made.meta = {}
            with pytest.raises(ScopeRefused, match="carries no header"):
                made.perform()
            queue.delete()
    finally:
        databases.configure({})
        databases.secret_key = None


def test_an_rq_worker_runs_each_job_for_its_tenant(tenants: Urls, redis_url: str, tmp_path: Path) -> None:
    from redis import Redis
    from rq import Queue, Retry
    from rq.job import Job

    from peewee_multidb.background.rq import ScopedJob

    connection = Redis.from_url(redis_url)
    queue = Queue("multidb", connection=connection, job_class=ScopedJob)
    made = []
    for name in TENANTS * 2:
        with use_tenant(name):
            made.append((name, queue.enqueue(jobs.write, name, "one")))
            queue.enqueue(jobs.leave_a_mess, name)
            queue.enqueue(jobs.fail, name, retry=Retry(max=1))
            made.append((name, queue.enqueue(jobs.write, name, "two")))
    plain = Queue("multidb", connection=connection).enqueue(jobs.write, "acme", "of an older program")
    forged = Job.create(
        jobs.write, ("acme", "x"), connection=connection, origin="multidb", meta={HEADER: "forged"}
    )
    Queue("multidb", connection=connection).enqueue_job(forged)
    command = ("rq.cli", "worker", "--burst", "--job-class", "peewee_multidb.background.rq.ScopedJob")
    setup = tmp_path / "rq_settings.py"
    setup.write_text("from tests.background import jobs\njobs.configure()\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-m", *command, "--url", redis_url, "-c", "rq_settings", "multidb"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(name, job.refresh() or job.return_value()) for name, job in made] == [(n, n) for n, _ in made], (
        done.stderr
    )
    for job in (plain, forged):
        job.refresh()
        result = job.latest_result()
        assert job.is_failed and result is not None and "ScopeRefused" in (result.exc_string or "")
    for name, rows in jobs.rows(tenants).items():
        assert sorted(rows) == sorted([(name, "one"), (name, "two")] * 2 + [(name, "before the failure")] * 4)
    assert jobs.sessions(tenants) == 0
    connection.close()


def test_an_rq_worker_that_was_told_nothing_is_configured_by_the_module_of_its_job(
    tenants: Urls, redis_url: str, tmp_path: Path
) -> None:
    from redis import Redis
    from rq import Queue

    from peewee_multidb.background.rq import ScopedJob

    module = "from tests.background.jobs import configure, write\nconfigure()\n"
    (tmp_path / "jobs_of_the_shop.py").write_text(module + "def sell(name):\n    return write(name)\n")
    with Redis.from_url(redis_url) as connection:
        with use_tenant("acme"):
            job = Queue("own", connection=connection, job_class=ScopedJob).enqueue(
                "jobs_of_the_shop.sell", "acme"
            )
        command = ("rq.cli", "worker", "--burst", "--job-class", "peewee_multidb.background.rq.ScopedJob")
        paths = f"{tmp_path}{os.pathsep}{ROOT}"
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [sys.executable, "-m", *command, "--url", redis_url, "own"],
            env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        job.refresh()
        assert job.return_value() == "acme", done.stderr
    assert jobs.rows(tenants)["acme"] == [("acme", "")]


# Dramatiq


@pytest.mark.parametrize("kind", ["redis", "stub"])
def test_dramatiq_processes_each_message_for_its_tenant(tenants: Urls, redis_url: str, kind: str) -> None:
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.brokers.stub import StubBroker

    from peewee_multidb.background.dramatiq import connect

    broker: Any = StubBroker() if kind == "stub" else RedisBroker(url=redis_url, namespace=f"d{os.getpid()}")
    connect(broker)
    done: list[tuple[str, str | None]] = []
    failed: set[str] = set()

    @dramatiq.actor(broker=broker, max_retries=2, min_backoff=1, max_backoff=1)
    def write(meant_for: str, text: str) -> None:
        done.append((meant_for, jobs.write(meant_for, text)))

    @dramatiq.actor(broker=broker, max_retries=0)
    def mess(meant_for: str) -> None:
        jobs.leave_a_mess(meant_for)

    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1, max_backoff=1)
    def fail_once(meant_for: str) -> None:
        if meant_for not in failed:
            failed.add(meant_for)
            jobs.fail(meant_for)
        jobs.write(meant_for, "again")

    for name in TENANTS * 3:
        with use_tenant(name):
            write.send(name, "one")
            mess.send(name)
    for name in TENANTS:
        with use_tenant(name):
            fail_once.send(name)
            then = write.message_with_options(args=(name, "then"), pipe_ignore=True)
            dramatiq.pipeline([write.message(name, "first"), then], broker=broker).run()
    with use_tenant("acme"):
        forged = write.message("acme", "forged")
        broker.enqueue(forged.copy(options={HEADER: "forged", "max_retries": 0}))
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=20)
    worker.start()
    try:
        until(lambda: all(len(rows) >= 7 for rows in jobs.rows(tenants).values()))
        broker.join(write.queue_name, **({"fail_fast": False} if kind == "stub" else {}))
        worker.join()
        assert current() is None
        assert sum(len(databases[name]._in_use) for name in TENANTS) == 0  # type: ignore[attr-defined]
    finally:
        worker.stop()
        broker.close()
    assert {(name, tenant) for name, tenant in done} == {(name, name) for name in TENANTS}
    texts = ["one", "one", "one", "first", "then", "before the failure", "again"]
    for name, rows in jobs.rows(tenants).items():
        assert sorted(rows) == sorted((name, text) for text in texts)


def test_a_dramatiq_message_that_must_not_be_sent_is_not(tenants: Urls) -> None:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    from peewee_multidb.background.dramatiq import MessageRefused, connect

    broker = StubBroker(middleware=[])
    connect(broker)

    @dramatiq.actor(broker=broker)
    def nothing() -> None: ...

    databases.secret_key = None
    with pytest.raises(MessageRefused, match="there is no key"):
        nothing.send()
    assert broker.queues[nothing.queue_name].empty()
    broker.close()


def test_dramatiq_actors_from_before_the_connection_are_scoped_and_skipped_messages_leave_nothing() -> None:
    import dramatiq
    from dramatiq.brokers.stub import StubBroker
    from dramatiq.middleware import SkipMessage

    from peewee_multidb.background.dramatiq import connect

    class Skipping(dramatiq.Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            if message.options.get("unwanted"):
                raise SkipMessage

    broker = StubBroker(middleware=[Skipping()])
    found: list[str | None] = []

    @dramatiq.actor(broker=broker)
    def where() -> None:
        found.append(current_tenant())

    connect(broker)
    databases.configure({name: {"url": "sqlite://", "tenant": True} for name in TENANTS})
    databases.secret_key = KEY
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=20)
    try:
        with use_tenant("acme"):
            where.send()
            where.send_with_options(unwanted=True)
        with use_tenant("globex"):
            where.send()
            where()  # as a function
        worker.start()
        broker.join(where.queue_name, timeout=10_000)
        worker.join()
    finally:
        worker.stop()
        broker.close()
        databases.configure({})
        databases.secret_key = None
    assert found == ["globex", "acme", "globex"]


# Huey


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_huey_runs_each_task_for_its_tenant(tenants: Urls, redis_url: str, tmp_path: Path, kind: str) -> None:
    from huey import RedisHuey, SqliteHuey

    from peewee_multidb.background.huey import connect

    huey: Any = (
        RedisHuey(f"h{os.getpid()}", url=redis_url)
        if kind == "redis"
        else SqliteHuey("h", filename=str(tmp_path / "huey.db"))
    )
    connect(huey)
    seen: list[Any] = []

    @huey.task()
    def write(meant_for: str, text: str) -> str:
        tenant = jobs.write(meant_for, text)
        seen.append((meant_for, tenant))
        return text

    @huey.task()
    def then(meant_for: str, text: str) -> None:
        seen.append((meant_for, jobs.write(meant_for, f"after {text}")))

    @huey.task()
    def mess(meant_for: str) -> None:
        jobs.leave_a_mess(meant_for)

    @huey.task(retries=1, context=True)
    def fail_once(meant_for: str, task: Any = None) -> None:
        if task.retries:
            jobs.fail(meant_for)
        jobs.write(meant_for, "again")

    consumer = huey.create_consumer(
        workers=2, worker_type="thread", initial_delay=0.01, max_delay=0.02, periodic=False
    )
    consumer.start()
    try:
        for name in TENANTS * 2:
            with use_tenant(name):
                mess(name)
                huey.enqueue(write.s(name, "one").then(then, name))
                fail_once(name)
        until(lambda: all(len(rows) == 8 for rows in jobs.rows(tenants).values()))
        forged = write.s("acme", "forged")
        forged.kwargs[HEADER] = "forged"
        with pytest.raises(Exception, match="ScopeRefused"):
            huey.enqueue(forged).get(blocking=True, timeout=30)
    finally:
        consumer.stop(graceful=True)
    assert set(seen) == {(name, name) for name in TENANTS}
    texts = ["one", "after one", "before the failure", "again"] * 2
    for name, rows in jobs.rows(tenants).items():
        assert sorted(rows) == sorted((name, text) for text in texts)
    assert sum(len(databases[name]._in_use) for name in TENANTS) == 0  # type: ignore[attr-defined]


# Any other queue


def test_run_job_runs_a_function_as_a_job_and_leaves_nothing(tenants: Urls) -> None:
    with use_tenant("globex"):
        headers = scope_headers()
    assert run_job(headers, jobs.write, "globex", text="x") == "globex"
    run_job(headers, jobs.leave_a_mess, "globex")
    with pytest.raises(ValueError, match="as asked"):
        run_job(headers, jobs.fail, "globex")
    with pytest.raises(ScopeRefused):
        run_job({}, jobs.write, "globex")
    assert current() is None and current_tenant() is None
    assert sum(len(databases[name]._in_use) for name in TENANTS) == 0  # type: ignore[attr-defined]
    assert jobs.rows(tenants)["globex"] == [("globex", "x"), ("globex", "before the failure")]
    with use_db("acme"):
        assert run_job(headers, jobs.write, "globex") == "globex"
    assert KEY not in str(headers)
