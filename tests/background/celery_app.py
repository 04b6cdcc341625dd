"""The Celery application of the tests, for this process and for the worker."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, chain, signals

from peewee_multidb import use_db
from peewee_multidb.background.celery import connect
from tests.background import jobs

app = Celery("jobs", broker=os.environ["JOBS_REDIS"], backend=os.environ["JOBS_REDIS"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True, result_expires=60)
app.conf.update(redis_backend_health_check_interval=None)
connect(app)
jobs.configure()


@signals.worker_init.connect
def warm_up(**_: Any) -> None:
    """Leave the worker's parent process with a connection, which its children may not use."""
    with use_db("acme"):
        jobs.Note.select().count()


@app.task
def write(meant_for: str, text: str = "") -> Any:
    return jobs.write(meant_for, text), os.getpid()


@app.task
def mess(meant_for: str) -> None:
    jobs.leave_a_mess(meant_for)


@app.task
def fail(meant_for: str) -> None:
    jobs.fail(meant_for)


@app.task(bind=True, max_retries=1)
def retried(self: Any, meant_for: str) -> Any:
    if not self.request.retries:
        # Where it is retried is of no concern: the scope of the task is kept.
        with use_db("initech", unlock=True):
            raise self.retry(countdown=0)
    return jobs.write(meant_for, "retried"), os.getpid()


@app.task
def sum_up(results: Any, meant_for: str) -> Any:
    return jobs.write(meant_for, f"after {len(results)}"), os.getpid()


def sequence(meant_for: str) -> Any:
    return chain(write.si(meant_for, "first"), write.si(meant_for, "second"), write.si(meant_for, "third"))
