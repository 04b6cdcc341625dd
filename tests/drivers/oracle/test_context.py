"""The rows of Oracle's SQL, translated and executed, are those of Peewee's own; what it lacks is refused."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.oracle.names import fold, quoted, shortened, unfolded
from peewee_multidb.drivers.oracle.version import Version, parse_version
from peewee_multidb.errors import ConfigurationError
from tests.drivers.oracle import corpus
from tests.drivers.oracle.corpus import Author, Book, Rating, Tag
from tests.drivers.oracle.test_database import opened
from tests.drivers.test_sqlite import build


def fill(database: Any) -> None:
    database.create_tables(corpus.MODELS)
    ada = Author.create(name="Ada", born=datetime.date(1970, 5, 4))
    bob = Author.create(name="bob", active=False)
    Author.create(name="Cy")
    at = datetime.datetime(2020, 2, 3, 4, 5, 6)
    books = [
        Book.create(author=ada, title="Notes", price=Decimal("1.50"), pages=100, printed=at),
        Book.create(author=ada, title="Nothing 50%", pages=200, sold=True),
        Book.create(author=bob, title="Other", pages=None),
        Book.create(author=bob, title="Zero", pages=300, printed=at - datetime.timedelta(days=1)),
    ]
    Tag.create(code="a", mixed="m")
    Tag.create(code="b", mixed="l")
    Rating.create(book=books[0], tag="a", stars=5)
    Rating.create(book=books[1], tag="b", stars=3)


def rows(database: Any, query: Any) -> list[tuple[Any, ...]]:
    sql, params = database.get_sql_context().sql(query).query()
    return [tuple(row) for row in database.execute_sql(sql, params).fetchall()]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("oracle")
    made = {"19c": opened(folder, server_version="19c"), "11.2": opened(folder, server_version="11.2")}
    stock = peewee.SqliteDatabase(str(folder / "stock.db"))
    for database in (made["19c"], stock):
        with database.bind_ctx(corpus.MODELS):
            fill(database)
    yield {**made, "stock": stock}
    for database in (*made.values(), stock):
        database.close()


@pytest.mark.parametrize("version", ["19c", "11.2"])
@pytest.mark.parametrize("name", corpus.READS)
def test_the_rows_are_those_of_peewees_own_sql(worlds: Any, name: str, version: str) -> None:
    found = {}
    for key in ("stock", version):
        with worlds[key].bind_ctx(corpus.MODELS):
            found[key] = rows(worlds[key], corpus.READS[name]())
    assert found[version] == found["stock"]
    assert found["stock"] or name == "in nothing"


@pytest.mark.parametrize("name", corpus.WRITES)
def test_a_write_changes_what_peewees_own_changes(tmp_path: Path, name: str) -> None:
    oracle = opened(tmp_path, server_version="19c")
    stock = peewee.SqliteDatabase(str(tmp_path / "stock.db"))
    found = []
    for database in (oracle, stock):
        with database.bind_ctx(corpus.MODELS):
            fill(database)
            corpus.WRITES[name]().execute(database)
            found.append(
                [rows(database, model.select().order_by(peewee.SQL("1, 2"))) for model in corpus.MODELS]
            )
        database.close()
    assert found[0] == found[1]


REFUSED = {
    "ON CONFLICT": lambda: Tag.insert(code="a").on_conflict_ignore(),
    "A write with ORDER BY or LIMIT": lambda: Book.update(pages=1).limit(1),
    "UPDATE with FROM": lambda: Book.update(pages=1).from_(Author),
    "FOR UPDATE with LIMIT": lambda: Book.select().limit(1).for_update(),
    "FOR UPDATE OF a table": lambda: Book.select().for_update(of=Book),
    "FILTER": lambda: Book.select(peewee.fn.COUNT(Book.id).filter(Book.pages > 1)),
    "DISTINCT ON": lambda: Book.select().distinct(Book.author),
    "A VALUES list as a table": lambda: peewee.ValuesList([(1,)], columns=["a"], alias="v").select(),
    "A recursive CTE without names": lambda: (
        Author.select().cte("c", recursive=True).select_from(peewee.SQL("1"))
    ),
    r"The operator \|": lambda: Book.select(Book.pages.bin_or(1)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_oracle_does_not_have_is_refused(what: str) -> None:
    database = build({"url": "oracle://app@host/service", "server_version": "19c"})
    with (
        database.bind_ctx(corpus.MODELS),
        pytest.raises(
            peewee.NotSupportedError, match=rf"{what}.* is not in Oracle 19.0, database 'shop'\. .+"
        ),
    ):
        database.get_sql_context().sql(REFUSED[what]())


def test_ddl_that_oracle_does_not_have_is_refused() -> None:
    class Parent(peewee.Model):
        pass

    class Child(peewee.Model):
        parent = peewee.ForeignKeyField(Parent, on_update="CASCADE")

    class Partial(peewee.Model):
        n = peewee.IntegerField()

    Partial.add_index(Partial.index(Partial.n, where=(Partial.n > 1)))
    database = build("oracle://app@host/service")
    with database.bind_ctx([Parent, Child, Partial]):
        with pytest.raises(peewee.NotSupportedError, match="A foreign key with ON UPDATE CASCADE"):
            Child._schema._create_table()
        with pytest.raises(peewee.NotSupportedError, match="A partial index"):
            Partial._schema._create_indexes()


def test_a_compound_query_has_no_page_before_12c() -> None:
    database = build({"url": "oracle://app@host/service", "server_version": "11.2"})
    with (
        database.bind_ctx(corpus.MODELS),
        pytest.raises(peewee.NotSupportedError, match="LIMIT on a compound query"),
    ):
        database.get_sql_context().sql((Author.select(Author.name) | Book.select(Book.title)).limit(1))


def test_the_name_of_an_index_is_short_before_12_2() -> None:
    class AVeryLongNameOfAModel(peewee.Model):
        an_attribute_with_a_long_name = peewee.IntegerField(index=True)

    for version, longest in (("12.1", 30), ("12.2", 64)):
        database = build({"url": "oracle://app@host/service", "server_version": version})
        with database.bind_ctx([AVeryLongNameOfAModel]):
            sql = AVeryLongNameOfAModel._schema._create_indexes()[0].query()[0]
        assert len(sql.split('"')[1]) <= longest


def test_a_piece_of_sql_brings_its_parameters() -> None:
    database = build({"url": "oracle://app@host/service", "server_version": "19c"})
    with database.bind_ctx([Book]):
        query = Book.select(Book.id).where(Book.pages > 1, peewee.SQL("title = ? OR title = %s", ["a", "b"]))
        assert database.get_sql_context().sql(query).query() == (
            'SELECT "T1"."ID" FROM "BOOK" "T1" WHERE (("T1"."PAGES" > :1) AND title = :2 OR title = :3)',
            [1, "a", "b"],
        )
        with pytest.raises(ValueError, match="has 0 placeholders for 1 parameters"):
            database.get_sql_context().sql(Book.select().where(peewee.SQL("title = :1", ["a"])))


# Names


@given(st.text(st.characters(exclude_characters='"\0', codec="utf-8"), min_size=1, max_size=20))
def test_a_name_comes_back(name: str) -> None:
    stored = fold(name)
    assert quoted(name) == f'"{stored}"'
    assert unfolded(stored) == name or name != name.lower() or stored == name
    assert fold(unfolded(stored)) == stored
    assert quoted(name, fold_names=False) == f'"{name}"'
    assert len(shortened(name, 12).encode()) <= max(
        12, len(name.encode()) if len(name.encode()) <= 12 else 12
    )


def test_a_name_that_oracle_cannot_have_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be a name in Oracle"):
        quoted('a" b')


def test_names_stay_as_they_are_written_when_so_configured() -> None:
    database = build({"url": "oracle://app@host/service?fold_names=false", "server_version": "19c"})
    with database.bind_ctx([Author]):
        sql = database.get_sql_context().sql(Author.select(Author.name)).query()[0]
    assert sql == 'SELECT "t1"."name" FROM "author" "t1"'


# Versions


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("19.3.0.0.0", (19, 3)),
        ("11.2.0.4", (11, 2)),
        ("12.1", (12, 1)),
        ("12c", (12, 2)),
        ("11g", (11, 2)),
        ("19c", (19, 0)),
        ("23ai", (23, 0)),
        ("Oracle Database 21c", (21, 0)),
    ],
)
def test_a_version_is_read(text: str, version: tuple[int, int]) -> None:
    assert parse_version(text) == Version(*version)


@pytest.mark.parametrize("text", ["", "latest", "19.x", "c19"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no version of Oracle; write it like"):
        parse_version(text)
