"""Rule 1 for rows: whatever is done with a loaded row happens where the row lives."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField, ManyToManyField

from peewee_multidb import (
    CrossDatabaseQuery,
    Databases,
    Model,
    ReadOnlyDatabase,
    database_of,
    use_db,
    use_replica,
)
from tests.model.conftest import sent_to

NAMES = ("default", "other", "third")

#: Pickle looks models up by name, so these are at module level; the fixture binds them to a registry.
REGISTRY = Databases()


class Base(Model):
    class Meta:
        registry = REGISTRY


class Author(Base):
    name = CharField()
    boss = ForeignKeyField("self", null=True, backref="staff")


class Tag(Base):
    label = CharField()


class Book(Base):
    author = ForeignKeyField(Author, backref="books")
    editor = ForeignKeyField(Author, backref="edited", null=True)
    title = CharField()
    tags = ManyToManyField(Tag, backref="books")


Tagging = Book.tags.get_through_model()


class Sale(Base):
    """Its home is another database than its book's."""

    book = ForeignKeyField(Book, backref="sales")
    copies = IntegerField()

    class Meta:
        db_name = "third"


BESIDE = (Author, Tag, Book, Tagging)


@pytest.fixture(autouse=True)
def filled(lites: Databases) -> Any:
    """Each file has an author with a boss, a book of both and two tags, all named after the file."""
    REGISTRY.configure({name: lites[name] for name in NAMES})
    for name in NAMES:
        with use_db(name):
            REGISTRY.create_tables([*BESIDE, Sale])
            boss = Author.create(name=f"boss of {name}")
            author = Author.create(name=name, boss=boss)
            book = Book.create(author=author, editor=boss, title=f"book of {name}")
            book.tags.add([Tag.create(label=f"{name} 1"), Tag.create(label=f"{name} 2")])
    Sale.create(book=1, copies=7)
    yield
    REGISTRY.configure({})


NEW = {"author": 2, "editor": 1, "title": "book of other"}

LOADERS: dict[str, Callable[[], Any]] = {
    "using": lambda: Book.select().using("other").get(),
    "in a blanket scope": lambda: in_scope(use_db("other"), Book.get),
    "in a rename scope": lambda: in_scope(use_db(default="other"), Book.get),
    "in a scope for models": lambda: in_scope(use_db("other", Book), Book.get),
    "in nested scopes": lambda: in_scope(use_db("third"), lambda: in_scope(use_db("other"), Book.get)),
    "bound query": lambda: Book.select().bind(REGISTRY["other"]).get(),
    "raw": lambda: next(iter(Book.raw("SELECT * FROM book").using("other"))),
    "by another constructor": lambda: Book.select().using("other").objects(Book).get(),
    "joined": lambda: Book.select(Book, Author).join(Author, on=Book.author).using("other").get(),
    "created": lambda: in_scope(use_db("other"), lambda: Book.create(**NEW)),
    "saved": lambda: in_scope(use_db("other"), lambda: saved(Book(**NEW))),
    "copied": lambda: copy.copy(Book.select().using("other").get()),
    "deep copied": lambda: copy.deepcopy(Book.select().using("other").get()),
    "pickled": lambda: pickle.loads(pickle.dumps(Book.select().using("other").get())),
    "loaded in a transaction": lambda: in_scope(REGISTRY["other"].atomic(), Book.select().using("other").get),
}


def in_scope(scope: Any, function: Callable[[], Any]) -> Any:
    with scope:
        return function()


def saved(row: Any) -> Any:
    row.save()
    return row


AROUND: dict[str, Callable[[], Any]] = {
    "no scope": nullcontext,
    "another scope": lambda: use_db("third"),
    "a rename of its database": lambda: use_db(other="third"),
    "a scope for its model": lambda: use_db("third", Book, Author, Tag, Tagging),
}


@pytest.fixture(params=LOADERS)
def load(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Each way to come by a row of Book that lives in the database called other."""
    return LOADERS[request.param]


@pytest.fixture(params=AROUND)
def around(request: pytest.FixtureRequest) -> Any:
    """Each kind of scope in which something is done with the row."""
    return AROUND[request.param]()


def titles(name: str) -> list[str]:
    return [book.title for book in Book.select().using(name).order_by(Book.id)]


def test_rule_1_a_loaded_row_saves_and_refreshes_where_it_lives(load: Any, around: Any) -> None:
    book = load()
    assert database_of(book) == "other"
    with around:
        book.title = "changed"
        assert book.save() == 1
        book.title = "not saved"
        assert book.refresh().title == "changed"
        assert book.refresh("title", Book.author).title == "changed"
    assert database_of(book) == "other"
    assert "changed" in titles("other")
    assert titles("default") == ["book of default"]
    assert titles("third") == ["book of third"]


def test_rule_1_a_loaded_row_is_deleted_where_it_lives(load: Any, around: Any) -> None:
    book = load()
    before = len(titles("other"))
    Tagging.delete().using("other").execute()
    with around:
        assert book.delete_instance() == 1
    assert len(titles("other")) == before - 1
    assert len(titles("default")) == len(titles("third")) == 1


def test_rule_1_foreign_keys_and_backrefs_of_a_row_follow_it(load: Any, around: Any) -> None:
    book = load()
    with around:
        assert book.author.name == "other"
        assert database_of(book.author) == "other"
        assert book.author.boss.name == "boss of other"
        assert next(iter(book.author.books)).title == "book of other"
        assert {database_of(other) for other in book.author.books} == {"other"}
        assert book.author.boss.staff.get().name == "other"
        assert book.editor.edited.count() >= 1
        backref = book.author.boss.staff
    assert [row.name for row in backref] == ["other"]


def test_rule_1_many_to_many_follows_the_row(around: Any) -> None:
    book = Book.select().using("other").get()
    with around:
        assert sorted(tag.label for tag in book.tags) == ["other 1", "other 2"]
        assert {database_of(tag) for tag in book.tags} == {"other"}
        tag = book.tags.order_by(Tag.label)[0]
        assert [found.title for found in tag.books] == ["book of other"]
        book.tags.remove(tag)
        assert [left.label for left in book.tags] == ["other 2"]
        book.tags.add(tag)
        assert book.tags.count() == 2
        book.tags = [tag]
        assert [left.label for left in book.tags] == ["other 1"]
        book.tags.clear()
        assert book.tags.count() == 0
    assert Tagging.select().using("other").count() == 0
    assert Tagging.select().using("default").count() == Tagging.select().using("third").count() == 2


def test_rule_1_a_related_model_with_a_home_of_its_own_stays_there(around: Any) -> None:
    """The book was loaded in a blanket scope, where a sale is looked for too; outside one, at home."""
    sale = Sale.get()
    assert database_of(sale) == "third"
    assert sale.book.title == "book of default"
    assert [found.copies for found in Book.get().sales] == [7]
    assert Book.select().using("other").get().sales.get().copies == 7
    with use_db("other"):
        inside = Book.get()
    assert inside.sales.count() == 0


def test_joined_rows_of_several_models_each_know_their_home(around: Any) -> None:
    boss = Author.alias("boss")
    query = (
        Book.select(Book, Author, boss).join(Author, on=Book.author).join(boss, on=(Author.boss == boss.id))
    ).using("other")
    book = query.get()
    assert book.author.boss.name == "boss of other"
    assert [database_of(row) for row in (book, book.author, book.author.boss)] == ["other"] * 3
    book.author.boss.name = "changed"
    with around:
        book.author.boss.save()
    assert Author.select().using("other").where(Author.name == "changed").count() == 1
    assert Author.select().where(Author.name == "changed").count() == 0


def test_a_row_built_by_hand_has_no_home_until_it_is_saved() -> None:
    book = Book(author=2, title="new")
    assert database_of(book) is None
    with use_db("other"):
        book.save()
    assert database_of(book) == "other"
    book.title = "newer"
    book.save()
    assert titles("other") == ["book of other", "newer"]
    assert titles("default") == ["book of default"]


def test_a_failed_insert_leaves_the_row_without_a_home() -> None:
    book = Book(title="no author")
    with use_db("other"), pytest.raises(peewee.IntegrityError):
        book.save()
    assert database_of(book) is None
    book.author = 2
    book.save()
    assert database_of(book) == "default"


def test_a_save_with_force_insert_stays_at_the_rows_home() -> None:
    book = Book.select().using("other").get()
    book.id = None
    book.title = "again"
    with use_db("third"):
        book.save(force_insert=True)
    assert titles("other") == ["book of other", "again"]
    assert titles("third") == ["book of third"]


def test_a_row_of_another_database_is_refused_where_its_key_would_be_another_row() -> None:
    author = Author.select().using("third").where(Author.name == "third").get()
    book = Book.select().using("other").get()
    book.author = author
    with pytest.raises(CrossDatabaseQuery, match="another row"):
        book.save()
    assert database_of(author) == "third"
    assert Book.select().using("other").get().author.name == "other"


def test_rows_from_dicts_and_tuples_have_no_home() -> None:
    assert database_of(Book.select().using("other").dicts().get()) is None
    assert database_of(Book.select().using("other").namedtuples().get()) is None


def test_partial_rows_follow_too(around: Any) -> None:
    book = Book.select(Book.id, Book.author).using("other").get()
    with around:
        assert book.author.name == "other"
        book.title = "partial"
        assert book.save(only=[Book.title]) == 1
    assert titles("other") == ["partial"]


def test_rows_of_an_alias_know_their_home() -> None:
    other = Book.alias("o")
    row = other.select().using("other").get()
    assert (database_of(row), row.author.name) == ("other", "other")


def test_rows_of_a_union_know_their_home() -> None:
    rows = list((Book.select() | Book.select()).using("other"))
    assert [(database_of(row), row.author.name) for row in rows] == [("other", "other")]


def test_a_row_under_use_replica_may_be_read_and_not_written(lites: Databases) -> None:
    book = Book.select().using("other").get()
    with use_replica():
        assert book.refresh().author.name == "other"
        with sent_to(lites) as sent:
            with pytest.raises(ReadOnlyDatabase):
                book.save()
            with pytest.raises(ReadOnlyDatabase):
                book.delete_instance()
            with pytest.raises(ReadOnlyDatabase):
                Book(author=1, title="x").save()
        assert sent.log == []


def test_a_pickled_row_of_a_scope_follows_its_own_database_elsewhere() -> None:
    with use_db("other"):
        data = pickle.dumps(list(Book.select()))
    (book,) = pickle.loads(data)
    with use_db("third"):
        assert book.author.name == "other"
        assert sorted(tag.label for tag in book.tags) == ["other 1", "other 2"]


def test_equal_keys_of_two_databases() -> None:
    """Peewee compares rows by class and key; where they live is not part of that."""
    one, other = Book.get(), Book.select().using("other").get()
    assert one == other and hash(one) == hash(other)
    assert database_of(one) != database_of(other)


def test_rows_of_a_database_object_that_no_registry_knows(tmp_path: Any) -> None:
    stray = peewee.SqliteDatabase(tmp_path / "stray.db")
    with stray.bind_ctx([Author, Book]):
        stray.create_tables([Author, Book])
        author = Author.create(name="stray")
        Book.create(author=author, title="stray")
    book = Book.select().bind(stray).get()
    assert database_of(book) is None
    assert book.author.name == "stray"
    book.title = "changed"
    with use_db("third"):
        book.save()
    assert Book.select().bind(stray).get().title == "changed"
    assert author.books.get().title == "changed"
    stray.close()
