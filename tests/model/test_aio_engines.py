"""Rule 7 in tasks, and Peewee's own asynchronous idioms with our models."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest
from peewee import CharField, IntegerField
from playhouse.pwasyncio import AsyncModelMixin

from peewee_multidb import Model, database_of, use_db
from tests.model.aio_world import PAIRS, World, run
from tests.model.expressions import CHANGES, DATE_READS, JSON_READS
from tests.model.test_dialect import answer
from tests.model.zoo import ROWS


def test_rule_7_three_engines_at_once_in_tasks(open_world: World) -> None:
    """Tasks share query objects built outside every scope, and answer as the synchronous databases do."""

    async def main(w: Any) -> None:
        Animal = w.Animal
        for name in PAIRS:
            with use_db(name):
                for row in ROWS:
                    Animal.create(**row)
        builds = [*JSON_READS, *DATE_READS]
        queries = [build(Animal) for build in builds]
        changes = [build(Animal) for build in CHANGES[:12]]

        expected = {name: [answer(query.using(name)) for query in queries] for name in PAIRS}

        async def reader(name: str) -> None:
            with use_db(PAIRS[name]):
                for query, wanted in zip(queries, expected[name], strict=True):
                    if isinstance(wanted, list):
                        found = await w.own[PAIRS[name]].run(answer, query.clone())
                        assert found == wanted, (name, query.sql())
                for change in changes:
                    async with w.own[PAIRS[name]].atomic() as transaction:
                        await change.clone().aexecute()
                        await transaction.arollback()
                row = await Animal.acreate(name="new", data={"a": ["1"]}, blob=b"\x00'", bits=b"\x05")
                await row.arefresh()
                assert (row.data, bytes(row.blob), bytes(row.bits)) == ({"a": ["1"]}, b"\x00'", b"\x05")

        await asyncio.gather(*(reader(name) for name in PAIRS))
        for name in PAIRS:
            row = Animal.select().using(name).where(Animal.blob == b"\x00'").get()
            assert (row.data, bytes(row.bits)) == ({"a": ["1"]}, b"\x05")

    run(open_world, main)


@pytest.mark.parametrize("name", PAIRS)
def test_prefetch_and_many_to_many_run_in_the_bridge(open_world: World, name: str) -> None:
    async def main(w: Any) -> None:
        there = PAIRS[name]

        def work() -> Any:
            user = w.User.create(name="a")
            tweet = w.Tweet.create(user=user, text="t")
            w.Tag.create(label="l").tweets.add(tweet)
            return list(w.User.select().prefetch(w.Tweet))

        with use_db(there):
            users = await w.own[there].run(work)
            assert [tweet.text for tweet in users[0].tweets] == ["t"]
            loaded = await w.User.select().with_related(w.User.tweets).aexecute()
            assert [tweet.text for tweet in loaded[0].tweets] == ["t"]
            tags = await users[0].tweets[0].tags.aexecute()
        assert [(tag.label, database_of(tag)) for tag in tags] == [("l", there)]

    run(open_world, main)


def test_peewees_own_mixin_in_front_of_our_model(open_world: World) -> None:
    async def main(w: Any) -> None:
        class User(AsyncModelMixin, Model):
            name = CharField(max_length=50)
            n = IntegerField(default=0)

            class Meta:
                registry = w.own
                db_name = "apg"
                table_name = "tweeter"

        row = await User.acreate(name="m")
        row.name = "n"
        await row.asave()
        assert (await User.aget(User.name == "n")).id == row.id
        with use_db("amaria"):
            await User.acreate(name="o")
            row.name = "p"
            await row.asave()
        assert [one.name for one in await User.select().aexecute()] == ["p"]
        assert [one.name for one in await User.select().using("amaria").aexecute()] == ["o"]

    run(open_world, main)


def test_an_unbound_query_complains_as_peewees_does(open_world: World) -> None:
    async def main(w: Any) -> None:
        with pytest.raises(peewee.InterfaceError, match="must be bound"):
            await w.User.select().bind(None).aexecute()
        assert list(await w.User.select().bind(None).aexecute(w.own["apg"])) == []

    run(open_world, main)
