"""The asynchronous methods find the shard of a new row in the row, as the synchronous ones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    Databases,
    HashShards,
    MissingShardKey,
    Model,
    WrongShard,
    all_shards,
    database_of,
    use_db,
)


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


@asynccontextmanager
async def shop(folder: Path) -> AsyncIterator[Any]:
    names = ("s0", "s1", "s2")
    registry_ = Databases({name: f"sqlite+aiosqlite:///{folder}/{name}.db" for name in names})
    rule = HashShards(*names, buckets=96)

    class Country(Model):
        code = peewee.CharField(unique=True)

        class Meta:
            registry = registry_
            db_name = rule
            reference = True

    class User(Model):
        id = peewee.IntegerField(primary_key=True)
        name = peewee.CharField(default="")

        class Meta:
            registry = registry_
            db_name = rule
            shard_key = "id"

    class Order(Model):
        user = peewee.ForeignKeyField(User, backref="orders")

        class Meta:
            registry = registry_
            colocate_with = User

    for model in (Country, User, Order):
        await registry_["s0"].run(model.create_table)
    try:
        yield SimpleNamespace(Country=Country, User=User, Order=Order, rule=rule, names=names)
    finally:
        await registry_.aclose_all()


async def _count(query: Any) -> int:
    return len(list(await query.aexecute()))


async def _regions(model: Any, name: str) -> list[str]:
    return [row.region for row in await model.select().using(name).aexecute()]


def test_writes_and_reads_over_all_shards(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as s:
            ids = await s.User.insert_many([{"id": number} for number in range(1, 31)]).aexecute()
            assert list(ids) == [(number,) for number in range(1, 31)]
            assert await _count(s.User.select()) == 30
            assert sum([await _count(s.User.select().using(name)) for name in s.names]) == 30
            with pytest.raises(MissingShardKey):
                await s.User.update(name="x").aexecute()
            with all_shards():
                assert await s.User.update(name="x").aexecute() == 30
            assert await s.User.delete().where(s.User.id.in_([1, 2, 3])).aexecute() == 3
            assert await _count(s.User.select().where((s.User.id == 4) & (s.User.id == 5))) == 0
            with pytest.raises(peewee.IntegrityError):
                await s.User.insert_many([{"id": number} for number in (*range(40, 60), 5)]).aexecute()
            assert await _count(s.User.select()) == 27

    asyncio.run(main())


def test_every_method_of_a_model_finds_its_shard(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as s:
            await s.User.abulk_create([s.User(id=number) for number in range(1, 10)])
            user = await s.User.aget_by_id(7)
            assert database_of(user) == s.rule.shard_of(7)
            assert (await s.User.aget(s.User.id == 8)).id == 8
            assert await s.User.aget_or_none(id=99) is None
            await s.User.aset_by_id(7, {"name": "seven"})
            assert (await user.arefresh()).name == "seven"
            await s.User.adelete_by_id(8)
            order, made = await s.Order.aget_or_create(user=user)
            assert made and database_of(order) == s.rule.shard_of(7)
            assert (await (await s.Order.aget(s.Order.user == 7)).afetch("user")).name == "seven"
            user.name = "again"
            await user.asave()
            rows = list(await s.User.select().aexecute())
            for row in rows:
                row.name = str(row.id)
            assert await s.User.abulk_update(rows, ["name"]) == 8
            assert {row.name for row in await s.User.select().aexecute()} == {str(row.id) for row in rows}
            await user.adelete_instance()
            assert await _count(s.User.select()) == 7

    asyncio.run(main())


def test_a_reference_model_is_written_everywhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with shop(tmp_path) as s:
            row = await s.Country.acreate(code="de")
            await s.Country.insert_many([{"code": "fr"}, {"code": "us"}]).aexecute()
            row.code = "at"
            await row.asave()
            for name in s.names:
                found = await s.Country.select().order_by(s.Country.id).using(name).aexecute()
                assert [(one.id, one.code) for one in found] == [(1, "at"), (2, "fr"), (3, "us")]

    asyncio.run(main())


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
