"""What the jobs of the tests do, in whichever process: write whose they are, and where that went."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psycopg
from peewee import CharField, IntegerField

from peewee_multidb import Model, atomic, current_tenant, databases, use_db, use_tenant

ROOT = Path(__file__).parents[2]


class Note(Model):
    meant_for = CharField()
    text = CharField()
    process = IntegerField()

    class Meta:
        db_name = None  # nothing is written outside of a tenant


def configure() -> None:
    databases.configure(json.loads(os.environ["JOBS_SETTINGS"]))
    databases.secret_key = os.environ["JOBS_KEY"]


def create_table(name: str) -> None:
    with use_db(name):
        Note.create_table()


def write(meant_for: str, text: str = "") -> str | None:
    """Write a row, and say what tenant it is written for."""
    Note.create(meant_for=meant_for, text=text, process=os.getpid())
    return current_tenant()


def leave_a_mess(meant_for: str) -> None:
    """A job that leaves a scope entered, a transaction open and a connection in it."""
    use_tenant(meant_for).__enter__()
    atomic(meant_for).__enter__()
    Note.create(meant_for="nobody", text="never committed", process=os.getpid())


def fail(meant_for: str) -> None:
    Note.create(meant_for=meant_for, text="before the failure", process=os.getpid())
    raise ValueError("as asked")


def rows(urls: dict[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is in each tenant's database, read past the package."""
    found = {}
    for name, url in urls.items():
        with psycopg.connect(url) as other:
            found[name] = other.execute("SELECT meant_for, text FROM note ORDER BY id").fetchall()
    return found


def sessions(urls: dict[str, str]) -> int:
    """Return how many connections there are to the tenants' databases."""
    names = [url.rpartition("/")[2] for url in urls.values()]
    with psycopg.connect(next(iter(urls.values()))) as other:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = ANY(%s) AND pid <> pg_backend_pid()"
        return other.execute(sql, (names,)).fetchone()[0]  # type: ignore[index,no-any-return]


def process_of(meant_for: str) -> int:
    assert current_tenant() == meant_for
    return os.getpid()
