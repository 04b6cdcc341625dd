"""The model and the answers that the applications of every framework share."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from peewee import CharField

from peewee_multidb import Model, databases, use_db
from peewee_multidb.middleware import by_header
from peewee_multidb.tenants.locks import current_tenant

OPTIONS: dict[str, Any] = {"select": by_header("X-Tenant"), "required": True, "retry_after": 7}

#: Rows of a stream; large enough for a client to leave in the middle.
LINES = 120
FILLING = "x" * 50_000


class Note(Model):
    """A note of a tenant; without a tenant it is nowhere."""

    text = CharField()

    class Meta:
        db_name = None


class Boom(Exception):
    """What a responder raises that has nothing to do with databases."""


def configure() -> None:
    """Configure the registry from what the test put into the environment."""
    databases.configure(json.loads(os.environ["TEST_DATABASES"]))


def notes() -> list[str]:
    return [note.text for note in Note.select().order_by(Note.id)]


def add(text: str) -> list[str]:
    Note.create(text=text)
    return notes()


def boom() -> None:
    notes()
    raise Boom


def leave_open() -> str:
    tenant = current_tenant()
    assert tenant is not None
    database = databases[tenant]
    database.atomic().__enter__()
    Note.create(text="never committed")
    return "open"


def stray() -> str:
    tenant = current_tenant()
    assert tenant is not None
    use_db(tenant).__enter__()
    return "stray"


def tenant() -> str:
    name = current_tenant()
    assert name is not None
    assert not databases[name].in_transaction()
    return name


def away() -> list[str]:
    other = {"acme": "bolt", "bolt": "acme"}[tenant()]
    with use_db(other):
        return notes()


def lines() -> Iterator[bytes]:
    for _ in range(LINES):
        yield f"{current_tenant()} {Note.select().count()} {FILLING}\n".encode()


async def alines() -> AsyncIterator[bytes]:
    for line in lines():
        yield line


async def anotes() -> list[str]:
    return [note.text for note in await Note.select().order_by(Note.id).aexecute()]


async def astream() -> AsyncIterator[bytes]:
    for _ in range(LINES):
        count = await databases[tenant()].run(Note.select().count)
        yield f"{current_tenant()} {count} {FILLING}\n".encode()
