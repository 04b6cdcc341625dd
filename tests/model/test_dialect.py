"""Rule 7: the dialect follows the query.

Every expression is built once, outside every scope, and runs on three engines; the answer must be the one
that stock Peewee gives with a model bound to the same database. Where the engine refuses it, it must
refuse both.
"""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import random
import threading
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, use_db
from tests.model.conftest import ENGINES, base_model
from tests.model.expressions import CHANGES, DATE_READS, JSON_READS, OTHER_READS
from tests.model.zoo import ROWS, zoo
from tests.scale import scaled

READS = {"json": JSON_READS, "dates": DATE_READS, "others": OTHER_READS}


def comparable(value: Any) -> Any:
    if isinstance(value, (memoryview, bytearray)):
        return bytes(value)
    if isinstance(value, peewee.BigBitFieldData):
        return bytes(value._buffer)
    if isinstance(value, decimal.Decimal):
        return float(value)
    return [comparable(one) for one in value] if isinstance(value, tuple) else value


def answer(query: Any) -> Any:
    """Return what a query gives, or the kind of error that it ends in."""
    try:
        return [comparable(row) for row in query.tuples()]
    except peewee.DatabaseError as error:
        return type(error)


def effect(query: Any, model: Any) -> Any:
    """Return the table after a change that is undone, or the kind of error that it ends in."""
    database = model._meta.database
    with database.atomic() as transaction:
        try:
            query.execute()
            return [comparable(row[1:]) for row in model.select().order_by(model.id).tuples()]
        except peewee.DatabaseError as error:
            return type(error)
        finally:
            transaction.rollback()


@pytest.fixture
def animal(engines: Databases) -> Any:
    """The zoo, with its rows on each engine."""
    model = zoo(base_model(engines, db_name="lite"))
    for name in ENGINES:
        with use_db(name):
            model.create_table()
            for row in ROWS:
                model.create(**row)
    return model


@pytest.fixture
def stocks(engines: Databases, animal: Any) -> dict[str, Any]:
    """Stock models of the same tables, each bound to the Database object of its engine."""
    return {name: zoo(peewee.Model, database=engines[name]) for name in ENGINES}


@pytest.mark.parametrize("kind", READS)
def test_reads_built_outside_every_scope_answer_as_stock_does(
    animal: Any, stocks: dict[str, Any], kind: str
) -> None:
    answered = 0
    for number, build in enumerate(READS[kind]):
        query = build(animal)
        for name in ENGINES:
            expected = answer(build(stocks[name]))
            answered += isinstance(expected, list)
            assert answer(query.using(name)) == expected, (number, name, query.using(name).sql())
            with use_db(name):
                assert answer(query.clone()) == expected, (number, name)
                assert answer(build(animal)) == expected, (number, name)
    # Some engines lack some of it; if most were refused, the test would prove nothing.
    assert answered > 0.9 * len(ENGINES) * len(READS[kind])


def test_changes_built_outside_every_scope_do_what_stock_does(animal: Any, stocks: dict[str, Any]) -> None:
    done = 0
    for number, build in enumerate(CHANGES):
        query = build(animal)
        for name in ENGINES:
            expected = effect(build(stocks[name]), stocks[name])
            done += isinstance(expected, list)
            with use_db(name):
                assert effect(query.clone(), animal) == expected, (number, name)
                assert effect(build(animal), animal) == expected, (number, name)
    assert done > 0.9 * len(ENGINES) * len(CHANGES)


def test_the_sql_is_stocks_own(animal: Any, stocks: dict[str, Any]) -> None:
    for build in (*JSON_READS, *DATE_READS, *OTHER_READS, *CHANGES):
        for name in ENGINES:
            assert build(animal).using(name).sql()[0] == build(stocks[name]).sql()[0]


def work(names: list[str], expected: dict[tuple[str, int], Any], queries: list[Any]) -> list[Any]:
    """Run queries that all threads share on one engine after the other; return what was wrong."""
    wrong = []
    for name in names:
        with use_db(name):
            for number in random.sample(range(len(queries)), 12):
                found = answer(queries[number].clone())
                if found != expected[name, number]:
                    wrong.append((name, number, found))
    return wrong


@pytest.fixture
def shared(animal: Any, stocks: dict[str, Any]) -> tuple[dict[tuple[str, int], Any], list[Any]]:
    """Queries to share between threads, and what stock Peewee answers on each engine."""
    builds = [*JSON_READS, *DATE_READS, *OTHER_READS]
    expected = {
        (name, number): answer(build(stocks[name])) for name in ENGINES for number, build in enumerate(builds)
    }
    return expected, [build(animal) for build in builds]


def test_rule_7_three_engines_at_once_in_threads(engines: Databases, shared: Any) -> None:
    expected, queries = shared
    wrong: list[Any] = []
    start = threading.Barrier(6)

    def run(seed: int) -> None:
        start.wait()
        order = [ENGINES[(seed + step) % 3] for step in range(scaled(6))]
        wrong.extend(work(order, expected, queries))
        engines.close()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rule_7_threads_that_write(engines: Databases, animal: Any) -> None:
    changes = [animal.data["list"].append(0), animal.data["n"].set({"k": [True]})]
    start = threading.Barrier(3)
    failures: list[BaseException] = []

    def run(name: str) -> None:
        try:
            start.wait()
            with use_db(name):
                for number in range(scaled(20)):
                    blob = bytes([number % 256])
                    row = animal.create(name=f"{name} {number}", data={"list": []}, blob=blob)
                    for change in changes:
                        animal.update(data=change).where(animal.id == row.id).execute()
                    row.refresh()
                    assert row.data == {"list": [0], "n": {"k": [True]}}
                    assert bytes(row.blob) == blob
        except BaseException as error:
            failures.append(error)
        engines.close()

    threads = [threading.Thread(target=run, args=(name,)) for name in ENGINES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for name in ENGINES:
        assert animal.select().using(name).where(animal.name.startswith(name)).count() == scaled(20)


def test_rule_7_compiling_by_turns_in_tasks(animal: Any, stocks: dict[str, Any]) -> None:
    """Tasks of one thread, each in its own scope, compile the same query objects between awaits."""
    builds = [*JSON_READS, *DATE_READS, *CHANGES]
    queries = [build(animal) for build in builds]
    expected = {name: [build(stocks[name]).sql()[0] for build in builds] for name in ENGINES}

    async def one(name: str) -> None:
        with use_db(name):
            for query, sql in zip(queries, expected[name], strict=True):
                assert query.sql()[0] == sql
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*(one(name) for name in ENGINES * 3))

    asyncio.run(main())


def test_a_scope_on_the_mariadb_scheme_writes_the_same(animal: Any, engines: Databases) -> None:
    """Through mysql:// the flavour comes from the server, through mariadb:// from the URL."""
    url = engines.entries["maria"].settings.url
    assert url is not None and url.scheme.startswith("mysql")
    port, host, password = url.port, url.host, engines.entries["maria"].settings.password_of(url)
    engines.add("maria2", f"mariadb://{url.user}:{password}@{host}:{port}/{url.database}")
    for build in (*JSON_READS, *DATE_READS, *OTHER_READS):
        query = build(animal)
        assert answer(query.using("maria2")) == answer(query.using("maria"))
        assert query.using("maria2").sql() == query.using("maria").sql()


def test_expressions_outlive_the_context_they_were_made_in(animal: Any) -> None:
    condition = contextvars.copy_context().run(lambda: animal.data["a"] == 2)
    with use_db("pg"):
        made_inside = animal.data["a"] == 2
    for name in ENGINES:
        for part in (condition, made_inside):
            query = animal.select(animal.name).where(part).order_by(animal.id).using(name)
            assert [row.name for row in query] == ["bee", "dog"], name


def test_bulk_update_of_json_is_a_case_of_the_right_engine(animal: Any) -> None:
    for name in ENGINES:
        with use_db(name):
            found = list(animal.select().order_by(animal.id))
            for row in found:
                row.data = {"row": row.name, "n": [row.id, None, "null"]}
                row.more = "123"
                row.blob = row.name.encode()
            animal.bulk_update(found, [animal.data, animal.more, animal.blob])
        for row in animal.select().using(name):
            assert row.data == {"row": row.name, "n": [row.id, None, "null"]}
            assert (row.more, bytes(row.blob)) == ("123", row.name.encode())
