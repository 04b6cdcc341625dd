"""The models of the corpus, and their rows."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

from peewee import (
    AutoField,
    BooleanField,
    Case,
    CharField,
    CompositeKey,
    DateField,
    DateTimeField,
    DecimalField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    JSONField,
    TextField,
)

Models = Any

START = datetime.datetime(2024, 2, 28, 7, 8, 9)


def define(base: Any, database: Any = None) -> Models:
    """Return the models of the corpus on a base model, bound to a database if one is given."""

    class Person(base):
        name = CharField(unique=True)
        city = CharField(null=True)
        age = IntegerField(default=30, index=True)
        active = BooleanField(default=True)
        score = FloatField(null=True)
        born = DateField(null=True)

        class Meta:
            table_name = "person"

    class Post(base):
        author = ForeignKeyField(Person, backref="posts")
        parent = ForeignKeyField("self", backref="replies", null=True)
        title = CharField(default="untitled")
        body = TextField(default="")
        at = DateTimeField(default=START)
        price = DecimalField(max_digits=10, decimal_places=2, default="1.50")
        stars = IntegerField(null=True)
        data = JSONField(null=True)

        class Meta:
            table_name = "post"

    class Liked(base):
        person = ForeignKeyField(Person, backref="likes")
        post = ForeignKeyField(Post, backref="likes")
        weight = IntegerField(default=1)

        class Meta:
            table_name = "liked"
            primary_key = CompositeKey("person", "post")

    class Setting(base):
        key = CharField(primary_key=True)
        value = CharField(null=True)
        hits = IntegerField(default=0)

        class Meta:
            table_name = "setting"

    class Counter(base):
        id = AutoField()
        n = IntegerField(default=0)

        class Meta:
            table_name = "counter"

    class Order(base):
        """A table whose names are reserved words and worse."""

        word = CharField(column_name="select", default="x")
        odd = IntegerField(column_name="we]ird [name", default=0)

        class Meta:
            table_name = "order"

    tables = [Person, Post, Liked, Setting, Counter, Order]
    if database is not None:
        database.bind(tables)
    names = {model.__name__: model for model in tables}
    return SimpleNamespace(**names, tables=tables)


def fill(m: Models) -> None:
    """Put the rows of the corpus into its tables."""
    people = [
        ("ann", "Rome", 20, True, 1.5, datetime.date(2004, 2, 29)),
        ("bob", "Oslo", 31, True, None, None),
        ("cid", "Rome", 31, False, 3.25, datetime.date(1993, 12, 31)),
        ("Dee", None, 45, True, 0.5, datetime.date(1979, 1, 1)),
        ("50%_[x]", "Oslo", 60, False, 2.0, None),
        ("eve's", "Rome", 20, True, None, datetime.date(2004, 3, 1)),
    ]
    fields = [m.Person.name, m.Person.city, m.Person.age, m.Person.active, m.Person.score, m.Person.born]
    m.Person.insert_many(people, fields=fields).execute()
    for number in range(12):
        m.Post.create(
            author=number % 4 + 1,
            parent=None if number < 3 else number // 2,
            title=f"post {number % 5}",
            body="some text " * (number % 3),
            at=START + datetime.timedelta(days=number * 20, hours=number),
            price=f"{number}.25",
            stars=None if number % 4 == 0 else number % 5,
        )
    for person, post in ((1, 2), (1, 3), (2, 1), (2, 3), (3, 3), (4, 4)):
        m.Liked.create(person=person, post=post, weight=person * post)
    for key in ("a", "b", "c"):
        m.Setting.create(key=key, value=key * 2, hits=len(key))
    m.Counter.insert_many([{"n": n} for n in (5, 3, 8)]).execute()
    m.Order.insert_many([{"word": s, "odd": n} for n, s in enumerate("pqr")]).execute()


def age_band(m: Models) -> Any:
    """Return an expression of three branches."""
    return Case(None, [(m.Person.age < 30, "young"), (m.Person.age < 50, "middle")], "old")
