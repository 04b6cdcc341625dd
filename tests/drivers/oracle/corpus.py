"""Queries as people write them with Peewee, to be compiled for Oracle."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import peewee
from peewee import JOIN, SQL, Case, Value, Window, fn


class Base(peewee.Model):
    pass


class Author(Base):
    name = peewee.CharField(max_length=40)
    born = peewee.DateField(null=True)
    active = peewee.BooleanField(default=True)

    class Meta:
        table_name = "author"


class Book(Base):
    author = peewee.ForeignKeyField(Author, backref="books", on_delete="CASCADE")
    title = peewee.CharField(index=True)
    price = peewee.DecimalField(max_digits=8, decimal_places=2, default=Decimal("0"))
    pages = peewee.IntegerField(null=True)
    printed = peewee.DateTimeField(null=True)
    body = peewee.TextField(null=True)
    sold = peewee.BooleanField(default=False)

    class Meta:
        table_name = "book"
        indexes = ((("author", "title"), True),)


class Tag(Base):
    code = peewee.CharField(max_length=10, primary_key=True)
    mixed = peewee.CharField(column_name="MixedCase", null=True)

    class Meta:
        table_name = "TagTable"


class Rating(Base):
    book = peewee.ForeignKeyField(Book)
    tag = peewee.ForeignKeyField(Tag, column_name="tag_code", field="code")
    stars = peewee.SmallIntegerField(constraints=[peewee.Check("stars BETWEEN 1 AND 5")])

    class Meta:
        primary_key = peewee.CompositeKey("book", "tag")


MODELS = [Author, Book, Tag, Rating]
Other = Author.alias("other")


def _recursive() -> Any:
    base = Author.select(Value(1).alias("n"), Author.id.alias("k")).where(Author.id == 1)
    numbers = base.cte("numbers", recursive=True, columns=("n", "k"))
    more = Author.select(numbers.c.n + 1, Author.id).join(numbers, on=(Author.id == numbers.c.k + 1))
    return numbers.union_all(more).select_from(numbers.c.n, numbers.c.k)


def _cte() -> Any:
    cheap = Book.select(Book.author, fn.COUNT(Book.id).alias("many")).group_by(Book.author).cte("cheap")
    return (
        Author.select(Author.name, cheap.c.many)
        .join(cheap, on=(cheap.c.author_id == Author.id))
        .with_cte(cheap)
        .order_by(Author.name)
    )


def _latest() -> Any:
    latest = Book.select(Book.author, fn.MAX(Book.pages).alias("most")).group_by(Book.author).alias("latest")
    return (
        Book.select(Book.title, latest.c.most)
        .join(latest, on=((latest.c.author_id == Book.author) & (latest.c.most == Book.pages)))
        .order_by(Book.title)
    )


DAY = datetime.date(1970, 5, 4)
MOMENT = datetime.datetime(2020, 2, 3, 4, 5, 6)

#: Reads: each has an order, so that rows of two engines can be compared.
READS: dict[str, Callable[[], Any]] = {
    "all": lambda: Author.select().order_by(Author.id),
    "columns": lambda: Author.select(Author.id, Author.name).order_by(Author.name.desc()),
    "equal": lambda: Author.select().where(Author.name == "Ada").order_by(Author.id),
    "not equal": lambda: Author.select().where(Author.name != "Ada").order_by(Author.id),
    "between": lambda: Book.select().where(Book.pages.between(100, 300)).order_by(Book.id),
    "in": lambda: Book.select().where(Book.pages.in_([100, 200])).order_by(Book.id),
    "in nothing": lambda: Book.select().where(Book.pages.in_([])).order_by(Book.id),
    "not in": lambda: Book.select().where(Book.pages.not_in([100, 200])).order_by(Book.id),
    "in many": lambda: Book.select().where(Book.id.in_(range(1, 2500))).order_by(Book.id),
    "not in many": lambda: Book.select().where(Book.id.not_in(list(range(2, 2500)))).order_by(Book.id),
    "in a query": lambda: (
        Book.select()
        .where(Book.author.in_(Author.select(Author.id).where(Author.name == "Ada")))
        .order_by(Book.id)
    ),
    "exists": lambda: (
        Author.select()
        .where(fn.EXISTS(Book.select(SQL("1")).where(Book.author == Author.id)))
        .order_by(Author.id)
    ),
    "is null": lambda: Book.select().where(Book.pages.is_null()).order_by(Book.id),
    "is not null": lambda: Book.select().where(Book.pages.is_null(False)).order_by(Book.id),
    "and or": lambda: (
        Book.select()
        .where(((Book.pages > 100) | (Book.pages.is_null())) & (Book.title != "x"))
        .order_by(Book.id)
    ),
    "not": lambda: Book.select().where(~(Book.title == "Notes")).order_by(Book.id),
    "boolean field": lambda: Author.select().where(Author.active).order_by(Author.id),
    "not boolean field": lambda: Author.select().where(~Author.active).order_by(Author.id),
    "boolean and": lambda: Author.select().where(Author.active & (Author.id > 1)).order_by(Author.id),
    "boolean or": lambda: Book.select().where((Book.pages > 250) | Book.sold).order_by(Book.id),
    "boolean equals": lambda: Author.select().where(Author.active == False).order_by(Author.id),  # noqa: E712
    "contains": lambda: Author.select().where(Author.name.contains("a")).order_by(Author.id),
    "contains a percent sign": lambda: Book.select().where(Book.title.contains("50%")).order_by(Book.id),
    "startswith": lambda: Author.select().where(Author.name.startswith("a")).order_by(Author.id),
    "limit": lambda: Book.select().order_by(Book.id).limit(2),
    "offset": lambda: Book.select().order_by(Book.id).offset(2),
    "page": lambda: Book.select().order_by(Book.id).paginate(2, 2),
    "page of columns": lambda: (
        Book.select(Book.title, Book.id.alias("n")).order_by(SQL("n")).limit(2).offset(1)
    ),
    "limit of a join": lambda: Book.select(Book, Author).join(Author).order_by(Book.id).limit(2).offset(1),
    "limited subquery": lambda: (
        Book.select().where(Book.id.in_(Book.select(Book.id).order_by(Book.id).limit(2))).order_by(Book.id)
    ),
    "join": lambda: Book.select(Book.title, Author.name).join(Author).order_by(Book.id),
    "left join": lambda: (
        Author.select(Author.name, Book.title).join(Book, JOIN.LEFT_OUTER).order_by(Author.id, Book.id)
    ),
    "join on": lambda: (
        Author.select(Author.name, Other.name.alias("other_name"))
        .join(Other, on=(Other.id > Author.id))
        .order_by(Author.id, Other.id)
    ),
    "three tables": lambda: (
        Rating.select(Author.name, Book.title, Rating.stars)
        .join(Book)
        .join(Author)
        .order_by(Rating.stars, Book.title)
    ),
    "count": lambda: Book.select(fn.COUNT(Book.id)),
    "count distinct": lambda: Book.select(fn.COUNT(Book.author.distinct())),
    "aggregates": lambda: Book.select(fn.MIN(Book.pages), fn.MAX(Book.pages), fn.SUM(Book.pages)),
    "group by": lambda: (
        Book.select(Book.author, fn.COUNT(Book.id).alias("n")).group_by(Book.author).order_by(Book.author)
    ),
    "having": lambda: (
        Book.select(Book.author, fn.COUNT(Book.id).alias("n"))
        .group_by(Book.author)
        .having(fn.COUNT(Book.id) > 1)
        .order_by(SQL("n"))
    ),
    "distinct": lambda: Book.select(Book.author).distinct().order_by(Book.author),
    "union": lambda: (Author.select(Author.name) | Book.select(Book.title)).order_by(SQL("1")),
    "union all": lambda: Author.select(Author.name).union_all(Book.select(Book.title)).order_by(SQL("1")),
    "intersect": lambda: (Author.select(Author.id) & Book.select(Book.id)).order_by(SQL("1")),
    "except": lambda: (Author.select(Author.id) - Book.select(Book.author)).order_by(SQL("1")),
    "case": lambda: Book.select(
        Book.id,
        Case(None, [(Book.pages > 150, "long"), (Book.pages.is_null(), "unknown")], "short").alias("kind"),
    ).order_by(Book.id),
    "simple case": lambda: Book.select(Case(Book.pages, [(100, "a"), (200, "b")], "c")).order_by(Book.id),
    "condition as value": lambda: Book.select(Book.id, (Book.pages > 150).alias("is_long")).order_by(Book.id),
    "conditions as value": lambda: Book.select(
        Book.id, ((Book.pages > 150) & Book.sold).alias("both")
    ).order_by(Book.id),
    "condition in a function": lambda: (
        Book.select(fn.SUM(Book.pages > 150), fn.COALESCE(Book.sold, False))
        .group_by(Book.sold)
        .order_by(Book.sold)
    ),
    "order by a condition": lambda: Book.select(Book.id).order_by((Book.id > 2).desc(), Book.id).limit(3),
    "order by conditions": lambda: Book.select(Book.id).order_by(Book.sold == False, Book.id),  # noqa: E712
    "arithmetic": lambda: Book.select(Book.id, (Book.pages * 2 + 1).alias("n")).order_by(Book.id),
    "modulo": lambda: Book.select(
        Book.id, peewee.Expression(Book.id, peewee.OP.MOD, 2).alias("odd")
    ).order_by(Book.id),
    "bits": lambda: Book.select(Book.id.bin_and(1).alias("odd")).order_by(Book.id),
    "concat": lambda: Author.select(Author.name.concat("!").alias("loud")).order_by(Author.id),
    "functions": lambda: Author.select(fn.UPPER(Author.name), fn.LENGTH(Author.name)).order_by(Author.id),
    "coalesce": lambda: Book.select(fn.COALESCE(Book.pages, 0)).order_by(Book.id),
    "cast": lambda: Book.select(Book.pages.cast("VARCHAR(10)")).order_by(Book.id),
    "scalar subquery": lambda: Author.select(
        Author.name, Book.select(fn.COUNT(Book.id)).where(Book.author == Author.id).alias("books")
    ).order_by(Author.id),
    "derived table": _latest,
    "cte": _cte,
    "recursive cte": _recursive,
    "window": lambda: Book.select(
        Book.id, fn.RANK().over(partition_by=[Book.author], order_by=[Book.id.desc()]).alias("r")
    ).order_by(Book.id),
    "frame": lambda: Book.select(
        Book.id, fn.SUM(Book.id).over(order_by=[Book.id], start=Window.preceding(1), end=Window.CURRENT_ROW)
    ).order_by(Book.id),
    "dates": lambda: Author.select().where(Author.born == DAY).order_by(Author.id),
    "moments": lambda: Book.select().where(Book.printed < MOMENT).order_by(Book.id),
    "nulls first": lambda: Book.select(Book.id).order_by(Book.pages.asc(nulls="first"), Book.id),
    "nulls last": lambda: Book.select(Book.id).order_by(Book.pages.desc(nulls="last"), Book.id),
    "mixed case": lambda: Tag.select(Tag.code, Tag.mixed).order_by(Tag.mixed),
    "composite key": lambda: Rating.select().where(Rating.stars >= 3).order_by(Rating.stars),
    "no table": lambda: peewee.Select(columns=[Value(1).alias("one")]),
    "tuples": lambda: (
        Book.select(Book.id).where(peewee.Tuple(Book.id, Book.pages) == (1, 100)).order_by(Book.id)
    ),
}

#: Reads whose rows SQLite would not give for the translated statement, so that only the grammar is checked.
GRAMMAR_ONLY: dict[str, Callable[[], Any]] = {
    "like": lambda: Book.select().where(Book.title % "No%").order_by(Book.id),
    "for update": lambda: Book.select().where(Book.id == 1).for_update(),
    "for update nowait": lambda: Book.select().where(Book.id == 1).for_update(nowait=True),
    "skip locked": lambda: Book.select().where(Book.id == 1).for_update(skip_locked=True),
    "regexp": lambda: Book.select().where(Book.title.regexp("^N")).order_by(Book.id),
    "iregexp": lambda: Book.select().where(Book.title.iregexp("^n")).order_by(Book.id),
    "year": lambda: Author.select(Author.born.year).order_by(Author.id),
    "hour": lambda: Book.select().where(Book.printed.hour == 4).order_by(Book.id),
    "truncate": lambda: Book.select(Book.printed.truncate("month")).order_by(Book.id),
    "to timestamp": lambda: Book.select(Book.printed.to_timestamp()).order_by(Book.id),
    "random": lambda: Book.select().order_by(SQL("DBMS_RANDOM.VALUE")),
}

WRITES: dict[str, Callable[[], Any]] = {
    "insert": lambda: Author.insert(name="Bob", born=DAY, active=True),
    "insert many": lambda: Author.insert_many([{"name": "C"}, {"name": "D", "active": False}]),
    "insert tuples": lambda: Author.insert_many(
        [("E", None, True)], [Author.name, Author.born, Author.active]
    ),
    "insert a key": lambda: Tag.insert(code="x", mixed="X"),
    "insert a query": lambda: Tag.insert_from(Author.select(Author.name, Author.name), [Tag.code, Tag.mixed]),
    "update": lambda: Book.update(pages=7, sold=True).where(Book.id == 1),
    "update an expression": lambda: Book.update(pages=Book.pages + 1).where(Book.pages.is_null(False)),
    "update from a subquery": lambda: Book.update(
        pages=Book.select(fn.COUNT(Book.id)).where(Book.author == 1)
    ).where(Book.id == 2),
    "update to a condition": lambda: Book.update(sold=(Book.pages > 150)).where(Book.pages.is_null(False)),
    "update all": lambda: Author.update(active=False),
    "update a condition": lambda: Book.update(title="old").where(Book.sold),
    "delete": lambda: Rating.delete().where(Rating.stars < 4),
    "delete by query": lambda: Rating.delete().where(
        Rating.book.in_(Book.select(Book.id).where(Book.title == "Notes"))
    ),
    "delete all": lambda: Rating.delete(),
}
