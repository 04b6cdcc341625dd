"""Models with tables on three engines, each reached by a synchronous and an asynchronous database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from peewee import CharField, ForeignKeyField, IntegerField, ManyToManyField

from peewee_multidb import Databases, use_db
from tests.model.conftest import QUICK, base_model
from tests.model.zoo import zoo

#: Synchronous and asynchronous names of one database of each engine.
PAIRS = {"lite": "alite", "pg": "apg", "maria": "amaria"}
ASYNC = tuple(PAIRS.values())

World = Callable[[], Any]


def with_scheme(url: str, scheme: str) -> str:
    return scheme + url[url.index("://") :]


def world_of(tmp_path: Path, postgres_url: str, mariadb_url: str) -> World:
    """Return a function to call inside a loop; it makes the models and closes every connection."""
    lite = f"sqlite:///{tmp_path}/lite.db?{QUICK}"
    settings = {
        "lite": lite,
        "pg": postgres_url,
        "maria": mariadb_url,
        "alite": with_scheme(lite, "sqlite+aiosqlite"),
        "apg": with_scheme(postgres_url, "postgresql+asyncpg"),
        "amaria": with_scheme(mariadb_url, "mysql+aiomysql"),
    }

    @asynccontextmanager
    async def world() -> AsyncIterator[Any]:
        own = Databases(settings)
        base = base_model(own, db_name="lite")

        class User(base):
            name = CharField(max_length=50, unique=True)
            n = IntegerField(default=0)

            class Meta:
                table_name = "tweeter"

        class Tweet(base):
            user = ForeignKeyField(User, backref="tweets")
            text = CharField(max_length=50)

        class Tag(base):
            label = CharField(max_length=50)
            tweets = ManyToManyField(Tweet, backref="tags")

        found = type("World", (), {"own": own, "User": User, "Tweet": Tweet, "Tag": Tag})
        found.Animal = zoo(base)
        for name in PAIRS:
            with use_db(name):
                own.create_tables([User, Tweet, Tag, Tag.tweets.get_through_model(), found.Animal])
        try:
            yield found
        finally:
            await own.aclose_all()

    return world


def run(world: World, main: Callable[[Any], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with world() as w:
            await main(w)

    asyncio.run(whole())
