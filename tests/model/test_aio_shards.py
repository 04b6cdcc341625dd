"""The asynchronous methods find the shard of a new row in the row, as the synchronous ones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, MissingShardKey, Model, WrongShard, database_of, use_db


@asynccontextmanager
async def sharded(folder: Path) -> AsyncIterator[Any]:
    registry_ = Databases({name: f"sqlite+aiosqlite:///{folder}/{name}.db" for name in ("eu", "us")})

    class Visit(Model):
        region = peewee.CharField()

        class Meta:
            registry = registry_
            db_name = staticmethod(lambda region: region)
            shard_key = "region"
            shards = ("eu", "us")

    await registry_["eu"].run(Visit.create_table)
    try:
        yield Visit
    finally:
        await registry_.aclose_all()


async def _regions(model: Any, name: str) -> list[str]:
    return [row.region for row in await model.select().using(name).aexecute()]


def test_a_new_row_is_saved_in_the_shard_of_its_key(tmp_path: Path) -> None:
    async def main() -> None:
        async with sharded(tmp_path) as Visit:
            row = Visit(region="us")
            await row.asave()
            assert database_of(row) == "us"
            assert (await _regions(Visit, "eu"), await _regions(Visit, "us")) == ([], ["us"])

    asyncio.run(main())


def test_bulk_create_goes_to_the_shard_of_the_rows(tmp_path: Path) -> None:
    async def main() -> None:
        async with sharded(tmp_path) as Visit:
            await Visit.abulk_create(Visit(region="us") for _ in range(3))
            await Visit.abulk_create([])
            assert (await _regions(Visit, "eu"), await _regions(Visit, "us")) == ([], ["us"] * 3)

    asyncio.run(main())


def test_bulk_create_takes_rows_of_several_shards(tmp_path: Path) -> None:
    async def main() -> None:
        async with sharded(tmp_path) as Visit:
            rows = [Visit(region=region) for region in ("us", "eu", "us")]
            await Visit.abulk_create(rows)
            assert [database_of(row) for row in rows] == ["us", "eu", "us"]
            assert (await _regions(Visit, "eu"), await _regions(Visit, "us")) == (["eu"], ["us"] * 2)

    asyncio.run(main())


def test_rows_of_another_shard_than_the_scopes_or_without_a_key_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with sharded(tmp_path) as Visit:
            with use_db("us"), pytest.raises(WrongShard):
                await Visit.abulk_create([Visit(region="us"), Visit(region="eu")])
            with pytest.raises(MissingShardKey):
                await Visit().asave()
            assert (await _regions(Visit, "eu"), await _regions(Visit, "us")) == ([], [])

    asyncio.run(main())
