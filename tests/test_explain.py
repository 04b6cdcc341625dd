"""`explain_route` answers for queries of every kind, before they run, and uses nothing up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from peewee import CharField, ForeignKeyField, fn

import peewee_multidb
from peewee_multidb import (
    CrossDatabaseQuery,
    Databases,
    HashShards,
    Model,
    Route,
    ScatterNotSupported,
    UUID7Field,
    explain_route,
    use_db,
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Databases]:
    registry = Databases({"default": f"sqlite:///{tmp_path}/a.db", "other": f"sqlite:///{tmp_path}/b.db"})
    yield registry
    registry.close()


@pytest.fixture
def models(registry: Databases) -> tuple[type[Model], type[Model]]:
    own = registry

    class Author(Model):
        name = CharField()

        class Meta:
            registry = own

    class Book(Model):
        author = ForeignKeyField(Author, backref="books")
        title = CharField()

        class Meta:
            registry = own

    registry.create_tables([Author, Book])
    with use_db("other"):
        registry.create_tables([Author, Book])
    return Author, Book


def test_every_kind_of_query_is_explained_with_ordered_reasons(models):
    author, book = models
    writer = author.create(name="Ada")
    ranked = author.select(author.id).cte("ranked")
    queries = [
        author.select(),
        author.select().where(author.name == "Ada"),
        author.select(author.name, fn.COUNT(book.id)).join(book).group_by(author.name),
        author.alias("a").select(),
        author.select().where(author.id.in_(book.select(book.author))),
        author.select(author.name) | author.select(author.name),
        author.select(ranked.c.id).from_(ranked).with_cte(ranked),
        author.insert(name="x"),
        author.insert_many([{"name": "y"}, {"name": "z"}]),
        author.insert_from(author.select(author.name), [author.name]),
        author.update(name="x").where(author.id == 1),
        author.delete().where(author.id == 1),
        author.raw("SELECT * FROM author"),
        author.raw("DELETE FROM author"),
        author.noop(),
        writer.books,
        author,
    ]
    for query in queries:
        route = explain_route(query)
        assert isinstance(route, Route)
        assert route.databases == ("default",)
        assert route.role == "primary"
        assert route.reasons
        lines = str(route).splitlines()
        assert lines[0] == f"{route.model} -> default (primary)"
        assert [line.split(".")[0].strip() for line in lines[1:]] == [
            str(number) for number, _ in enumerate(route.reasons, 1)
        ]
    with use_db("other"):
        for query in queries[:-2]:
            route = explain_route(query.using("other"))
            assert route.databases == ("other",)
            assert "using()" in route.reasons[0]


def test_explaining_runs_nothing_and_uses_no_rows_up(models, registry):
    author, _ = models
    sent: list[object] = []
    registry["default"].query_hooks.append(sent.append)
    rows = ({"name": name} for name in ("a", "b"))
    query = author.insert_many(rows)
    explain_route(query)
    assert sent == []
    query.execute()
    assert author.select().count() == 2


def test_what_running_would_refuse_explaining_refuses(models, tmp_path):
    author, _ = models
    with pytest.raises(peewee_multidb.UnknownDatabase):
        explain_route(author.select().using("nowhere"))
    with pytest.raises(peewee_multidb.ConfigurationError, match="explain_route"):
        explain_route("SELECT 1")


def test_a_read_over_several_shards_is_refused_as_running_it_would_be(tmp_path):
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("default", "s1", "s2")})

    class Customer(Model):
        name = CharField()

        class Meta:
            registry = own

    class Order(Model):
        id = UUID7Field()
        customer = ForeignKeyField(Customer)

        class Meta:
            registry = own
            db_name = HashShards("s1", "s2", key="customer")

    own.create_tables([Customer, Order])
    for query, refusal in (
        (Order.select().join(Customer), CrossDatabaseQuery),
        (Order.select().where(Order.customer.in_(Customer.select())), CrossDatabaseQuery),
        (Order.select() | Order.select().join(Customer), CrossDatabaseQuery),
        (Order.select(Order, fn.ROW_NUMBER().over()), ScatterNotSupported),
        (Order.select() & Order.select(), ScatterNotSupported),
    ):
        with pytest.raises(refusal):
            list(query)
        with pytest.raises(refusal):
            explain_route(query)
    assert explain_route(Order.select()).databases == ("s1", "s2")
    assert explain_route(Order.select() | Order.select()).databases == ("s1", "s2")
    own.close()
