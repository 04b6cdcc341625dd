"""One set of models for synchronous and asynchronous databases, over Peewee's greenlet bridge."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from peewee import CharField, IntegerField, fn

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    ReadOnlyDatabase,
    UncoveredWrite,
    atomic,
    current_db,
    database_of,
    errors,
    explain_route,
    use_db,
    use_replica,
)
from tests.model.aio_world import ASYNC, PAIRS, World, run
from tests.model.conftest import base_model
from tests.scale import scaled


@pytest.mark.parametrize("name", PAIRS)
def test_every_awaitable_method_does_what_its_namesake_does(open_world: World, name: str) -> None:
    async def main(w: Any) -> None:
        User, there = w.User, PAIRS[name]
        with use_db(there):
            user = await User.acreate(name="a", n=1)
            assert database_of(user) == there
            user.n = 2
            assert await user.asave() == 1
            assert (await User.aget(User.name == "a")).n == 2
            assert (await User.aget(name="a")).n == 2
            assert (await User.aget_by_id(user.id)).name == "a"
            assert await User.aget_or_none(name="nobody") is None
            with pytest.raises(User.DoesNotExist):
                await User.aget(User.name == "nobody")
            found, made = await User.aget_or_create(name="a", defaults={"n": 9})
            assert (found.id, made) == (user.id, False)
            other, made = await User.aget_or_create(name="b", defaults={"n": 3})
            assert (other.n, made) == (3, True)
            await User.aset_by_id(other.id, {"n": 4})
            assert (await other.arefresh()).n == 4
            await User.abulk_create([User(name=f"bulk {number}") for number in range(5)], batch_size=2)
            rows = list(await User.select().where(User.name.startswith("bulk")).aexecute())
            for row in rows:
                row.name = row.name.upper()
            # Text, because asyncpg takes the branches of a CASE for text, in stock Peewee too.
            assert await User.abulk_update(rows, [User.name], batch_size=2) == 5
            changed = User.select().where(User.name == "BULK 3")
            assert await w.own[there].run(changed.count) == 1
            await User.adelete_by_id(other.id)
            tweet = await w.Tweet.acreate(user=user, text="t")
            assert (await tweet.afetch(w.Tweet.user)).name == "a"
            assert await user.adelete_instance(recursive=True) == 1
            assert list(await w.Tweet.select().aexecute()) == []
        # The same models, synchronously, on the same tables.
        with use_db(name):
            assert sorted(row.name for row in User) == [f"BULK {number}" for number in range(5)]

    run(open_world, main)


@pytest.mark.parametrize("name", PAIRS)
def test_queries_of_every_kind_are_awaited(open_world: World, name: str) -> None:
    async def main(w: Any) -> None:
        User, there = w.User, PAIRS[name]
        insert = User.insert_many([("a", 1), ("b", 2), ("c", 3)], [User.name, User.n]).using(there)
        await insert.aexecute()
        query = User.select().where(User.n > 1).order_by(User.n)
        rows = list(await query.using(there).aexecute())
        assert [(row.name, database_of(row)) for row in rows] == [("b", there), ("c", there)]
        assert [row["name"] for row in await query.using(there).dicts().aexecute()] == ["b", "c"]
        assert [row[1] for row in await query.using(there).tuples().aexecute()] == ["b", "c"]
        assert await User.update(n=User.n + 1).where(User.n < 3).using(there).aexecute() == 2
        assert await User.delete().where(User.name == "c").using(there).aexecute() == 1
        with use_db(there):
            built = User.select(fn.SUM(User.n).alias("total")).tuples()
        assert list(await built.aexecute()) == [(5,)]
        raw = User.raw("SELECT id, name FROM tweeter ORDER BY id")
        assert [row.name for row in await raw.using(there).aexecute()] == ["a", "b"]
        assert explain_route(query.using(there)).databases == (there,)

    run(open_world, main)


@pytest.mark.parametrize("name", PAIRS)
def test_rule_1_awaited_rows_follow_their_database(open_world: World, name: str) -> None:
    elsewhere = next(one for one in PAIRS if one != name)

    async def main(w: Any) -> None:
        there = PAIRS[name]
        with use_db(there):
            user = await w.User.acreate(name="a")
            await w.Tweet.acreate(user=user, text="t")
        (tweet,) = await w.Tweet.select().using(there).aexecute()
        with use_db(PAIRS[elsewhere]):
            assert (await tweet.afetch("user")).name == "a"
            tweet.text = "changed"
            assert await tweet.asave() == 1
            assert (await tweet.arefresh()).text == "changed"
            backref = (await tweet.afetch("user")).tweets
            tags = tweet.tags
        assert [one.text for one in await backref.aexecute()] == ["changed"]
        assert list(await tags.aexecute()) == []
        with use_db(PAIRS[elsewhere]):
            assert await tweet.adelete_instance() == 1
        assert list(await w.Tweet.select().using(there).aexecute()) == []

    run(open_world, main)


def test_rule_4_scopes_hold_across_awaits_and_gather(open_world: World) -> None:
    async def main(w: Any) -> None:
        async def writer(number: int) -> None:
            there = ASYNC[number % 3]
            with use_db(there):
                await asyncio.sleep(0)
                user = await w.User.acreate(name=f"{there} {number}")
                await asyncio.sleep(0)
                assert current_db(w.User) == there
                assert (await w.User.aget_by_id(user.id)).name == f"{there} {number}"
            assert current_db(w.User) == "lite"

        count = scaled(30)
        await asyncio.gather(*(writer(number) for number in range(count)))
        for there in ASYNC:
            names = [row.name for row in await w.User.select().using(there).aexecute()]
            assert len(names) == count // 3
            assert {name.split()[0] for name in names} == {there}

    run(open_world, main)


def test_rule_4_a_task_inherits_the_scope_it_was_made_in(open_world: World) -> None:
    async def main(w: Any) -> None:
        with use_db("apg"):
            task = asyncio.create_task(w.User.acreate(name="x"))
            many = [asyncio.create_task(w.User.acreate(name=f"x{number}")) for number in range(5)]
        rows = [await task, *await asyncio.gather(*many)]
        assert {database_of(row) for row in rows} == {"apg"}

        @use_db("amaria")
        async def decorated() -> Any:
            return await w.User.acreate(name="y")

        assert database_of(await decorated()) == "amaria"

    run(open_world, main)


@pytest.mark.parametrize("name", PAIRS)
def test_transactions_of_one_database(open_world: World, name: str) -> None:
    async def main(w: Any) -> None:
        User, there = w.User, PAIRS[name]
        with use_db(there):
            for block in (w.own[there].atomic, lambda: atomic(User), User._meta.database.atomic):
                with pytest.raises(RuntimeError):
                    async with block():
                        await User.acreate(name="undone")
                        raise RuntimeError
                async with block():
                    await User.acreate(name="kept")
                    with pytest.raises(RuntimeError):
                        async with block():
                            await User.acreate(name="inner")
                            raise RuntimeError
                assert [row.name for row in await User.select().aexecute()] == ["kept"]
                await User.delete().aexecute()

            @atomic(User)
            async def work() -> None:
                await User.acreate(name="decorated")
                raise RuntimeError

            with pytest.raises(RuntimeError):
                await work()
            assert list(await User.select().aexecute()) == []

    run(open_world, main)


def test_one_block_over_three_asynchronous_databases(open_world: World) -> None:
    async def main(w: Any) -> None:
        names = iter(ASYNC)
        models = []
        for name in names:

            class User(base_model(w.own, db_name=name)):
                name = CharField(max_length=50)
                n = IntegerField(default=0)

                class Meta:
                    table_name = "tweeter"

            models.append(User)
        async with atomic(*models):
            for model in models:
                await model.acreate(name="kept")
        with pytest.raises(RuntimeError):
            async with atomic(*models):
                for model in models:
                    await model.acreate(name="undone")
                raise RuntimeError
        for model in models:
            assert [row.name for row in await model.select().aexecute()] == ["kept"]
        with pytest.warns(UncoveredWrite, match="'apg'"):
            async with atomic(models[0]):
                await models[1].acreate(name="outside")

    run(open_world, main)


def test_what_is_not_asynchronous_says_so(open_world: World) -> None:
    async def main(w: Any) -> None:
        User = w.User
        user = User.create(name="sync")
        for awaitable in (
            User.acreate(name="x"),
            User.aget(name="sync"),
            User.aget_by_id(1),
            User.aget_or_none(name="x"),
            User.aget_or_create(name="x"),
            User.aset_by_id(1, {"n": 1}),
            User.adelete_by_id(1),
            User.abulk_create([User(name="x")]),
            User.abulk_update([user], [User.n]),
            User.select().aexecute(),
            User.insert(name="x").aexecute(),
            User.raw("SELECT 1").aexecute(),
            user.asave(),
            user.arefresh(),
            user.adelete_instance(),
            User.select().using("pg").aexecute(),
        ):
            with pytest.raises(errors.NotAsynchronous, match="not an asynchronous database"):
                await awaitable
        with pytest.raises(ConfigurationError, match="not an asynchronous database"):
            async with atomic(User):
                pass
        assert [row.name for row in User] == ["sync"]
        # And the other way round, where Peewee's own bridge complains.
        with use_db("apg"), pytest.raises(Exception, match="greenlet"):
            User.create(name="x")

    run(open_world, main)


def test_guards_hold_for_awaited_queries(open_world: World) -> None:
    async def main(w: Any) -> None:
        inner = w.Tweet.select(w.Tweet.user).using("amaria")
        query = w.User.select().where(w.User.id.in_(inner)).using("apg")
        with pytest.raises(CrossDatabaseQuery, match="'apg'"):
            await query.aexecute()
        with use_db("apg"), use_replica(), pytest.raises(ReadOnlyDatabase):
            await w.User.acreate(name="x")
        with use_db("apg"), use_replica(), pytest.raises(ReadOnlyDatabase):
            await w.User.insert(name="x").aexecute()

    run(open_world, main)
