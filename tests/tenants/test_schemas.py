"""PostgreSQL schemas as tenants: one server, one pool, no session state, and nobody sees another's rows."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    Databases,
    Model,
    TemplateResolver,
    atomic,
    databases,
    use_db,
    use_tenant,
)
from peewee_multidb.testing.servers import PgBouncer, PostgresServer, Unavailable
from tests.scale import scaled

TENANTS = [f"t{number}" for number in range(8)]


class Author(Model):
    name = peewee.CharField(unique=True)

    class Meta:
        db_name = None
        table_name = "author"


class Book(Model):
    author = peewee.ForeignKeyField(Author, backref="books")
    title = peewee.CharField(index=True)
    stock = peewee.IntegerField(default=0)

    class Meta:
        db_name = None
        table_name = "book"
        indexes = ((("author", "title"), True),)


class Ticket(Model):
    number = peewee.IntegerField(sequence="ticket_number", primary_key=True)
    text = peewee.CharField()

    class Meta:
        db_name = None


MODELS = [Author, Book, Ticket]


def settings(url: str, **more: Any) -> dict[str, Any]:
    return {name: {"url": url, "schema": f"s_{name}", "tenant": True, **more} for name in TENANTS}


def create(*names: str) -> None:
    for name in names or TENANTS:
        database: Any = databases[name]
        database.create_schema()
        with use_db(name):
            databases.create_tables(MODELS)
        # One thread holds a connection of each name that it has used, and all of them are of one pool.
        if not hasattr(database, "aclose"):
            databases.close()


@pytest.fixture(params=[None, 3], ids=["plain", "pooled"])
def schemas(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[str]:
    databases.configure(settings(postgres_url, **({} if request.param is None else {"pool": request.param})))
    create("t0", "t1")
    yield postgres_url
    databases.close_all()
    databases.configure({})


def test_each_name_has_the_tables_of_its_schema(schemas: str) -> None:
    for name in ("t0", "t1"):
        with use_tenant(name):
            author = Author.create(name=name)
            Book.create(author=author, title=f"of {name}")
    for name in ("t0", "t1"):
        with use_tenant(name):
            assert [one.name for one in Author.select()] == [name]
            assert [book.author.name for book in Book.select().join(Author)] == [name]
            assert Author.get().books.get().title == f"of {name}"
    raw = databases["t1"].execute_sql("SELECT name FROM s_t0.author").fetchall()
    assert raw == [("t0",)], "the tables are where the settings say"


def test_statements_of_every_kind_name_the_schema(schemas: str) -> None:
    with use_db("t0"):
        author = Author.create(name="a")
        Book.insert_many([{"author": author, "title": str(n)} for n in range(5)]).execute()
        Book.insert(author=author, title="1", stock=9).on_conflict(
            conflict_target=[Book.author, Book.title], update={Book.stock: peewee.EXCLUDED.stock + Book.stock}
        ).execute()
        assert Book.get(Book.title == "1").stock == 9
        assert Book.update(stock=Book.stock + 1).where(Book.title << ["1", "2"]).execute() == 2
        other = Book.alias()
        inner = other.select(peewee.fn.MAX(other.stock)).where(other.author == Book.author)
        assert Book.get(Book.stock == inner).title == "1"
        cte = Book.select(Book.title).where(Book.stock > 0).cte("some")
        assert cte.select_from(cte.c.title).with_cte(cte).count() == 2
        assert (Book.select().where(Book.title == "1") | Book.select().where(Book.title == "2")).count() == 2
        assert Book.insert_from(
            Book.select(Book.author, peewee.Value("new"), Book.stock).limit(1),
            [Book.author, Book.title, Book.stock],
        ).execute()
        assert len(next(iter(Author.select().prefetch(Book))).books) == 6
        assert Book.delete().where(Book.title == "new").execute() == 1
        assert list(Book.select().for_update().where(Book.title == "1"))
        assert Book.select().exists() and Book.select().count() == 5
        Book.truncate_table()
    with use_db("t1"):
        assert Book.select().count() == 0 and Author.select().count() == 0


def test_ddl_and_what_is_asked_of_the_catalog_are_the_schemas_own(schemas: str) -> None:
    t0: Any = databases["t0"]
    with use_db("t0"):
        assert Book.table_exists()
        Book.drop_table()
        assert not Book.table_exists()
        Book.create_table()
        Book._schema.drop_indexes()
        assert {index.name for index in t0.get_indexes("book")} == {"book_pkey"}
        Book._schema.create_indexes()
    assert {index.name for index in t0.get_indexes("book")} >= {"book_title", "book_author_id_title"}
    assert set(t0.get_tables()) == {"author", "book", "ticket"}
    assert [column.name for column in t0.get_columns("book")] == ["id", "author_id", "title", "stock"]
    assert t0.get_primary_keys("book") == ["id"]
    assert [key.dest_table for key in t0.get_foreign_keys("book")] == ["author"]
    assert t0.sequence_exists("ticket_number") and not t0.sequence_exists("other")
    referred = t0.execute_sql(
        "SELECT confrelid::regclass::text FROM pg_constraint WHERE conrelid = 's_t0.book'::regclass "
        "AND contype = 'f'"
    ).fetchall()
    assert referred == [("s_t0.author",)]
    with use_db("t1"):
        assert Book.table_exists(), "what was dropped was the other one"


def test_a_named_sequence_is_the_schemas_own(schemas: str) -> None:
    for name, expected in (("t0", [1, 2]), ("t1", [1])):
        with use_db(name):
            for _ in expected:
                Ticket.create(text="x")
            assert [ticket.number for ticket in Ticket.select().order_by(Ticket.number)] == expected
    with use_db("t0"):
        Ticket.drop_table()
        assert not databases["t0"].sequence_exists("ticket_number")  # type: ignore[no-untyped-call]
    assert databases["t1"].sequence_exists("ticket_number")  # type: ignore[no-untyped-call]


def test_one_statement_cannot_reach_two_schemas(schemas: str) -> None:
    with pytest.raises(CrossDatabaseQuery):
        list(Book.select().using("t0").where(Book.author << Author.select().using("t1")))


def test_transactions_of_two_schemas_are_two(schemas: str) -> None:
    with atomic("t0"):
        with use_db("t0"):
            Author.create(name="kept")
        with pytest.raises(ZeroDivisionError), atomic("t1"):
            with use_db("t1"):
                Author.create(name="undone")
            assert databases["t0"].connection() is not databases["t1"].connection()  # type: ignore[no-untyped-call]
            raise ZeroDivisionError
    assert (Author.select().using("t0").count(), Author.select().using("t1").count()) == (1, 0)
    with atomic("t0", "t1"):
        for name in ("t0", "t1"):
            with use_db(name):
                Author.create(name="both")
    assert (Author.select().using("t0").count(), Author.select().using("t1").count()) == (2, 1)


def test_nothing_is_set_in_the_session(schemas: str, postgres_server: PostgresServer) -> None:
    with use_db("t0"):
        Author.create(name="a")
    shown = databases["t0"].execute_sql("SHOW search_path").fetchone()  # type: ignore[no-untyped-call]
    assert shown == ('"$user", public',)


def test_names_of_one_server_share_one_pool(postgres_url: str) -> None:
    databases.configure(settings(postgres_url, pool=2))
    try:
        create()
        first: Any = databases["t0"]
        assert all(databases[name]._connections is first._connections for name in TENANTS)
        databases.close()
        for name in TENANTS:
            with use_db(name):
                Author.create(name=name)
            databases.close()
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert first.execute_sql(count).fetchone()[0] <= 2
        databases.close()
        ids = {databases[name].execute_sql("SELECT pg_backend_pid()").fetchone()[0] for name in TENANTS[:1]}
        assert len(ids) == 1
    finally:
        databases.close_all()
        databases.configure({})


def test_other_settings_make_another_pool(postgres_url: str) -> None:
    registry = Databases(
        {
            "a": {"url": postgres_url, "schema": "a", "pool": 2},
            "b": {"url": postgres_url, "schema": "b", "pool": 2},
            "c": {"url": postgres_url, "schema": "c", "pool": 3},
            "d": {"url": postgres_url, "schema": "d", "pool": 2, "read_only": True},
            "e": {"url": postgres_url, "pool": 2},
        }
    )
    pools = {id(registry[name]._connections) for name in registry}
    assert len(pools) == 4
    assert registry["a"]._connections is registry["b"]._connections


def test_pools_with_limits_count_each_connection_once(postgres_url: str) -> None:
    databases.max_open, databases.wait_open = 3, 30
    databases.configure(settings(postgres_url, pool=8))
    try:
        create()
        databases.close()

        def visit(seed: int) -> int:
            for turn in range(20):
                name = TENANTS[(seed + turn) % 8]
                with use_tenant(name):
                    Author.get_or_create(name=f"{name} {turn}")
                    assert all(author.name.startswith(f"{name} ") for author in Author.select())
                databases.close()
            return seed

        with ThreadPoolExecutor(8) as pool:
            assert len(list(pool.map(visit, range(8)))) == 8
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert databases["t0"].execute_sql(count).fetchone()[0] <= 3
        assert databases._governor is not None
        assert databases._governor.open <= 3
    finally:
        databases.max_open = None
        databases.close_all()
        databases.configure({})


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"url": "mysql://h/d", "schema": "a"}, "'schema' is for PostgreSQL"),
        ({"url": "sqlite:///x.db", "schema": "a"}, "'schema' is for PostgreSQL"),
        ({"url": "postgresql://h/d", "schema": ""}, "1 to 63 bytes"),
        ({"url": "postgresql://h/d", "schema": "a" * 64}, "1 to 63 bytes"),
        ({"url": "postgresql://h/d", "schema": "a\n"}, "printable"),
        ({"url": "postgresql://h/d", "schema": "pg_temp"}, "PostgreSQL's own"),
        ({"url": "postgresql://h/d", "schema": 3}, "must be of type str"),
    ],
    ids=repr,
)
def test_schemas_that_cannot_be_are_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Databases({"a": more})


def test_a_role_is_session_state_and_refused() -> None:
    registry = Databases({"a": {"url": "postgresql://u(boss)@h/d", "schema": "a"}})
    with pytest.raises(ConfigurationError, match="a role in the url is set in the session"):
        registry["a"]


def test_a_model_that_names_another_schema_is_refused(schemas: str) -> None:
    class Fixed(Model):
        class Meta:
            schema = "public"

    class Same(Model):
        class Meta:
            schema = "s_t0"

    with use_db("t0"):
        with pytest.raises(ConfigurationError, match=r"Fixed\.Meta\.schema is 'public'"):
            list(Fixed.select())
        Same.create_table()
        assert list(Same.select()) == []


def test_odd_schema_names_are_quoted(postgres_url: str) -> None:
    databases.configure({"odd": {"url": postgres_url, "schema": 'My "odd" schema; it\'s'}})
    try:
        create("odd")
        with use_db("odd"):
            Book.create(author=Author.create(name="x"), title="y")
            Ticket.create(text="z")
            assert Book.select().join(Author).get().author.name == "x"
        database: Any = databases["odd"]
        database.drop_schema(cascade=True)
        assert database.get_tables() == []
    finally:
        databases.close_all()
        databases.configure({})


def test_a_template_makes_a_schema_of_a_tenants_name(postgres_url: str) -> None:
    databases.configure({"default": "sqlite://"})
    databases.resolver = TemplateResolver(postgres_url, schema="tenant_{tenant}", pool=2)
    try:
        create("acme", "glo-bex")
        for name in ("acme", "glo-bex"):
            with use_tenant(name):
                Author.create(name=name)
                assert [one.name for one in Author.select()] == [name]
    finally:
        databases.close_all()
        databases.resolver = None
        databases.configure({})


# PgBouncer


@pytest.fixture(scope="module")
def bouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    pooler = PgBouncer(postgres_server, pool_size=2)
    try:
        pooler.start()
    except Unavailable as error:
        if os.environ.get("MULTIDB_REQUIRE_SERVERS") == "1":
            pytest.fail(f"PgBouncer is required: {error}", pytrace=False)
        pytest.skip(f"no PgBouncer: {error}")
    yield pooler
    pooler.close()


@pytest.mark.parametrize("pool", [None, 3], ids=["plain", "pooled"])
def test_eight_tenants_in_eight_threads_never_mix_behind_pgbouncer(
    bouncer: PgBouncer, postgres_url: str, pool: int | None
) -> None:
    url = bouncer.url(postgres_url.rpartition("/")[2])
    more = {} if pool is None else {"pool": {"max_connections": 2 * pool, "timeout": 60}}
    databases.configure(settings(url, **more))
    turns = scaled(30)
    wrong: list[Any] = []
    backends: set[int] = set()
    start = threading.Barrier(len(TENANTS))

    def work(number: int) -> None:
        start.wait(60)
        for turn in range(turns):
            name = TENANTS[(number + turn) % len(TENANTS)]
            with use_tenant(name):
                mine = f"{name}-{number}-{turn}"
                with atomic(name):
                    author = Author.create(name=mine)
                    Book.create(author=author, title=name)
                    Book.update(stock=turn).where(Book.author == author).execute()
                try:
                    with atomic(name):
                        Author.create(name=f"{mine} undone")
                        raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
                found = {one.name for one in Author.select()}
                if mine not in found or any(
                    not one.startswith(f"{name}-") or "undone" in one for one in found
                ):
                    wrong.append((mine, found))
                titles = {book.title for book in Book.select().join(Author)}
                if titles != {name}:
                    wrong.append((name, titles))
                pid = databases[name].execute_sql("SELECT pg_backend_pid()").fetchone()  # type: ignore[no-untyped-call]
                backends.add(pid[0])
            databases.close()

    try:
        create()
        databases.close()
        with ThreadPoolExecutor(len(TENANTS)) as executor:
            for done in [executor.submit(work, number) for number in range(len(TENANTS))]:
                done.result()
        assert wrong == []
        assert len(backends) <= 2, "all of it ran on the two connections of the pooler"
        total = 0
        for name in TENANTS:
            with use_tenant(name):
                assert Author.select().where(~Author.name.startswith(f"{name}-")).count() == 0
                total += Author.select().count()
            databases.close()
        assert total == turns * len(TENANTS)
    finally:
        databases.close_all()
        databases.configure({})


def test_session_state_does_mix_tenants_behind_pgbouncer(bouncer: PgBouncer, postgres_url: str) -> None:
    """Why nothing is set in a session: what one client sets there another one finds."""
    name = postgres_url.rpartition("/")[2]
    registry = Databases({str(n): f"{bouncer.url(name)}?prepare_threshold=none" for n in range(2)})
    try:
        one, two = registry["0"], registry["1"]
        one.execute_sql("SET search_path TO somebody")  # type: ignore[no-untyped-call]
        found = {two.execute_sql("SHOW search_path").fetchone()[0] for _ in range(8)}  # type: ignore[no-untyped-call]
        assert "somebody" in found
    finally:
        registry.close_all()
        bouncer.stop()
        bouncer.start()


def test_asynchronous_databases_share_a_pool_and_keep_their_schemas(
    new_postgres_url: Callable[[], str],
) -> None:
    url = new_postgres_url().replace("postgresql://", "postgresql+asyncpg://")
    databases.configure(settings(url, pool=3))

    async def work(name: str) -> set[str]:
        with use_tenant(name):
            for turn in range(5):
                await Author.acreate(name=f"{name} {turn}")
            rows = await Author.select().aexecute()
            await databases.aclose()
            return {row.name.split()[0] for row in rows}

    async def everybody() -> None:
        for name in TENANTS:
            database: Any = databases[name]
            await database.run(create, name)
            await databases.aclose()
        found = await asyncio.gather(*(work(name) for name in TENANTS))
        assert found == [{name} for name in TENANTS]
        first: Any = databases["t0"]
        assert all(databases[name]._pool is first._pool for name in TENANTS)
        assert first._pool.get_size() <= 3
        await databases.aclose_all()

    try:
        asyncio.run(everybody())
    finally:
        databases.configure({})
