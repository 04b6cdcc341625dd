"""Peewee queries of every kind, and which of them each version of SQL Server can be asked.

``python -m tests.drivers.mssql.corpus`` prints the table. A query that compiles must be accepted by
Microsoft's parser and by `lint`; any other must be refused with NotSupportedError.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import peewee
from peewee import (
    EXCLUDED,
    JOIN,
    SQL,
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
    Tuple,
    Value,
    ValuesList,
    Window,
    fn,
)

from peewee_multidb.drivers.mssql import MSSQLDatabase
from tests.drivers.mssql import grammar, lint

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


def _tree(m: Models) -> Any:
    base = m.Post.select(m.Post.id, m.Post.parent, Value(0).alias("depth")).where(m.Post.parent.is_null())
    cte = base.cte("tree", recursive=True, columns=("id", "parent_id", "depth"))
    step = m.Post.alias("step")
    more = step.select(step.id, step.parent, cte.c.depth + 1).join(cte, on=(step.parent == cte.c.id))
    tree = cte.union_all(more)
    return tree.select_from(tree.c.id, tree.c.depth).order_by(tree.c.depth, tree.c.id)


def _numbers(m: Models) -> Any:
    cte = m.Counter.select(Value(1).alias("n")).where(m.Counter.id == 1).cte("nums", recursive=True, columns=["n"])
    more = cte.union_all(peewee.Select((cte,), (cte.c.n + 1,)).where(cte.c.n < 150))
    return more.select_from(fn.MAX(more.c.n).alias("top"), fn.COUNT(SQL("*")).alias("rows"))


def _busy(m: Models) -> Any:
    return m.Post.select(m.Post.author, fn.COUNT(m.Post.id).alias("n")).group_by(m.Post.author)


def _cte_join(m: Models) -> Any:
    busy = _busy(m).cte("busy")
    query = m.Person.select(m.Person.name, busy.c.n).join(busy, on=(m.Person.id == busy.c.author_id))
    return query.with_cte(busy).order_by(m.Person.name)


def _cte_nested(m: Models) -> Any:
    busy = _busy(m).cte("busy")
    inner = m.Person.select(m.Person.id).join(busy, on=(m.Person.id == busy.c.author_id))
    inner = inner.where(busy.c.n > 2).with_cte(busy)
    return m.Person.select(m.Person.name).where(m.Person.id.in_(inner), m.Person.age > 5)


def _cte_two(m: Models) -> Any:
    old = m.Person.select(m.Person.id, m.Person.name).where(m.Person.age > 30).cte("old")
    rome = m.Person.select(m.Person.id).where(m.Person.city == "Rome").cte("rome", columns=("pid",))
    query = old.select_from(old.c.name).join(rome, on=(rome.c.pid == old.c.id))
    return query.with_cte(old, rome)


def _cte_of_cte(m: Models) -> Any:
    old = m.Person.select(m.Person.id, m.Person.age).where(m.Person.age > 25).cte("old")
    older = peewee.Select((old,), (old.c.id, old.c.age)).where(old.c.age > 40).cte("older")
    return peewee.Select((older,), (older.c.id,)).with_cte(old, older).order_by(older.c.id)


def _cte_in_count(m: Models) -> Any:
    return peewee.Select([_cte_join(m).order_by().alias("_w")], [fn.COUNT(SQL("1"))])


def _count_of(query: Any) -> Any:
    clone = query.order_by().alias("_wrapped")
    if clone._count_can_project_one():
        clone = clone.select(SQL("1"))
    return peewee.Select([clone], [fn.COUNT(SQL("1"))])


def _lateral(m: Models) -> Any:
    last = m.Post.select(m.Post.title, m.Post.at).where(m.Post.author == m.Person.id)
    last = last.order_by(m.Post.at.desc()).limit(1).alias("last")
    return m.Person.select(m.Person.name, last.c.title).join(last, JOIN.LEFT_LATERAL)


def _self_join(m: Models) -> Any:
    parent = m.Post.alias("p")
    query = m.Post.select(m.Post.id, m.Post.title, parent.id, parent.title)
    return query.join(parent, on=(m.Post.parent == parent.id)).order_by(m.Post.id)


def _self_join_page(m: Models) -> Any:
    return _self_join(m).limit(3).offset(2)


def _derived_duplicates(m: Models) -> Any:
    return _count_of(m.Post.select(m.Post.id, m.Person.id, fn.COUNT(m.Post.id)).join(m.Person).group_by(
        m.Post.id, m.Person.id))


def _exists(m: Models) -> Any:
    return fn.EXISTS(m.Post.select().where(m.Post.author == m.Person.id, m.Post.stars > 2))


def _age_band(m: Models) -> Any:
    return Case(None, [(m.Person.age < 30, "young"), (m.Person.age < 50, "middle")], "old")


def _update_from(m: Models) -> Any:
    n = fn.COUNT(m.Post.id)
    counted = m.Post.select(m.Post.author, n.alias("n")).group_by(m.Post.author).alias("counted")
    return m.Person.update(age=counted.c.n).from_(counted).where(m.Person.id == counted.c.author_id)


def _window_named(m: Models) -> Any:
    w = Window(partition_by=[m.Person.city], order_by=[m.Person.age, m.Person.id])
    rank = fn.ROW_NUMBER().over(window=w)
    return m.Person.select(m.Person.id, rank.alias("n")).window(w).order_by(m.Person.id)


def _window_top(m: Models) -> Any:
    n = fn.ROW_NUMBER().over(partition_by=[m.Post.author], order_by=[m.Post.at.desc()]).alias("n")
    ranked = m.Post.select(m.Post.id, m.Post.author, n).alias("ranked")
    return peewee.Select((ranked,), (ranked.c.id, ranked.c.author_id)).where(ranked.c.n <= 2).order_by(ranked.c.id)


def _joined_three(m: Models) -> Any:
    query = m.Liked.select(m.Person.name, m.Post.title, m.Liked.weight)
    query = query.join(m.Person).switch(m.Liked).join(m.Post)
    return query.order_by(m.Person.name, m.Post.title, m.Liked.weight)


def _rows_in_query(m: Models) -> Any:
    pairs = m.Post.select(m.Post.author, m.Post.id).where(m.Post.stars > 1)
    return m.Liked.select(m.Liked.weight).where(Tuple(m.Liked.person, m.Liked.post).in_(pairs))


def _insert_cte(m: Models) -> Any:
    old = m.Person.select(m.Person.age).where(m.Person.age > 30).cte("old")
    return m.Counter.insert_from(peewee.Select((old,), (old.c.age,)).with_cte(old), [m.Counter.n])


def _values(m: Models) -> Any:
    values = ValuesList([(1, "one"), (2, "two")], columns=("num", "word"), alias="v")
    return values.select(values.c.num, values.c.word).order_by(values.c.num)


def _values_join(m: Models) -> Any:
    values = ValuesList([(1, 10), (3, 30)], columns=("pid", "bonus"), alias="v")
    return m.Person.select(m.Person.name, values.c.bonus).join(values, on=(values.c.pid == m.Person.id))


P: Callable[[Models], Any] = lambda m: m.Person  # noqa: E731

QUERIES: dict[str, Callable[[Models], Any]] = {
    # plain selects
    "select all": lambda m: m.Person.select().order_by(m.Person.id),
    "select some": lambda m: m.Person.select(m.Person.name, m.Person.age).order_by(m.Person.id),
    "select nothing from": lambda m: peewee.Select(columns=(Value(1).alias("one"), Value("x").alias("x"))),
    "alias of column": lambda m: m.Person.select(m.Person.name.alias("who")).order_by(SQL("who")),
    "alias in where": lambda m: (lambda x: m.Person.select(m.Person.id, x).where(x > 30))((m.Person.age + 1).alias("x")),
    "model alias": lambda m: (lambda a: a.select(a.name, a.age).where(a.age > 25).order_by(a.name))(m.Person.alias()),
    "odd names": lambda m: m.Order.select(m.Order.word, m.Order.odd).where(m.Order.odd >= 1),
    "text column": lambda m: m.Post.select(m.Post.id, m.Post.body).order_by(m.Post.id),
    "decimal": lambda m: m.Post.select(m.Post.id, m.Post.price).where(m.Post.price > 3).order_by(m.Post.id),
    "star of subquery": lambda m: peewee.Select(
        (m.Person.select(m.Person.id, m.Person.age).alias("s"),), (SQL("*"),)).order_by(SQL("id")),
    # conditions
    "equal": lambda m: m.Person.select(m.Person.id).where(m.Person.name == "ann"),
    "unequal": lambda m: m.Person.select(m.Person.id).where(m.Person.city != "Rome"),
    "and or": lambda m: m.Person.select(m.Person.id).where(
        (m.Person.age > 25) & ((m.Person.city == "Rome") | (m.Person.score < 1))),
    "not": lambda m: m.Person.select(m.Person.id).where(~(m.Person.age == 20)),
    "not of and": lambda m: m.Person.select(m.Person.id).where(~((m.Person.age == 20) & (m.Person.city == "Rome"))),
    "bare boolean": lambda m: m.Person.select(m.Person.id).where(m.Person.active),
    "not bare boolean": lambda m: m.Person.select(m.Person.id).where(~m.Person.active),
    "boolean is true": lambda m: m.Person.select(m.Person.id).where(m.Person.active == True),  # noqa: E712
    "true": lambda m: m.Person.select(m.Person.id).where(True),
    "false": lambda m: m.Person.select(m.Person.id).where(Value(False)),
    "bare integer": lambda m: m.Post.select(m.Post.id).where(m.Post.stars),
    "condition as value": lambda m: m.Person.select(m.Person.id, (m.Person.age > 30).alias("old")),
    "condition with null as value": lambda m: m.Person.select(m.Person.id, (m.Person.score > 1).alias("good")),
    "condition equals condition": lambda m: m.Person.select(m.Person.id).where(
        (m.Person.age > 30) == (m.Person.city == "Rome")),
    "conditions counted": lambda m: m.Person.select(fn.SUM(m.Person.age > 30).alias("n")),
    "is null": lambda m: m.Person.select(m.Person.id).where(m.Person.score.is_null()),
    "is not null": lambda m: m.Person.select(m.Person.id).where(m.Person.score.is_null(False)),
    "equals none": lambda m: m.Person.select(m.Person.id).where(m.Person.city == None),  # noqa: E711
    "is value": lambda m: m.Person.select(m.Person.id).where(peewee.Expression(m.Person.city, "IS NOT", "Rome")),
    "in list": lambda m: m.Person.select(m.Person.id).where(m.Person.name.in_(["ann", "bob"])),
    "in set of integers": lambda m: m.Person.select(m.Person.id).where(m.Person.id << {1, 3}),
    "in long list": lambda m: m.Person.select(m.Person.id).where(m.Person.id.in_(range(3, 3000))),
    "in empty": lambda m: m.Person.select(m.Person.id).where(m.Person.id << []),
    "not in empty": lambda m: m.Person.select(m.Person.id).where(m.Person.id.not_in([])),
    "not in list": lambda m: m.Person.select(m.Person.id).where(m.Person.name.not_in(["ann", "bob"])),
    "in query": lambda m: m.Person.select(m.Person.id).where(m.Person.id.in_(m.Post.select(m.Post.author))),
    "in ordered query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.in_(m.Post.select(m.Post.author).order_by(m.Post.at))),
    "in limited query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.in_(m.Person.select(m.Person.id).order_by(m.Person.age.desc(), m.Person.id).limit(2))),
    "in paged query": lambda m: m.Person.select(m.Person.id).where(
        m.Person.id.in_(m.Person.select(m.Person.id).order_by(m.Person.id).limit(2).offset(1))),
    "not in query": lambda m: m.Person.select(m.Person.id).where(m.Person.id.not_in(m.Post.select(m.Post.author))),
    "rows in list": lambda m: m.Liked.select(m.Liked.weight).where(
        Tuple(m.Liked.person, m.Liked.post).in_([(1, 2), (2, 3)])),
    "rows in query": _rows_in_query,
    "composite key": lambda m: m.Liked.select().where(m.Liked._meta.primary_key == (1, 2)),
    "between": lambda m: m.Person.select(m.Person.id).where(m.Person.age.between(20, 31)),
    "contains": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("n")),
    "contains specials": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("50%_[x]")),
    "contains bracket": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("[x")),
    "contains quote": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains("'")),
    "contains column": lambda m: m.Person.select(m.Person.id).where(m.Person.name.contains(m.Person.name)),
    "startswith": lambda m: m.Person.select(m.Person.id).where(m.Person.name.startswith("d")),
    "endswith": lambda m: m.Person.select(m.Person.id).where(m.Person.name.endswith("S")),
    "ilike": lambda m: m.Person.select(m.Person.id).where(m.Person.name ** "B%"),
    "text contains": lambda m: m.Post.select(m.Post.id).where(m.Post.body.contains("TEXT")),
    "text equals": lambda m: m.Post.select(m.Post.id).where(m.Post.body == ""),
    "exists": lambda m: m.Person.select(m.Person.id).where(_exists(m)),
    "not exists": lambda m: m.Person.select(m.Person.id).where(~_exists(m)),
    "exists as value": lambda m: m.Person.select(m.Person.id, _exists(m).alias("has")),
    "exists method": lambda m: peewee.Select(columns=[fn.EXISTS(m.Person.select().where(m.Person.id > 99))]),
    "regexp": lambda m: m.Person.select(m.Person.id).where(m.Person.name.regexp("^[ab]")),
    "bitwise": lambda m: m.Person.select(m.Person.id, m.Person.age.bin_and(4).alias("b")).where(
        m.Person.age.bin_or(1) > 20),
    "filter with joins": lambda m: m.Post.filter(author__name="ann", title__ilike="post%"),
    # expressions and functions
    "arithmetic": lambda m: m.Person.select(m.Person.id, (m.Person.age * 2 + 1 - m.Person.id).alias("x")),
    "modulo": lambda m: m.Person.select(m.Person.id, peewee.Expression(m.Person.age, "%", 7).alias("x")),
    "concat": lambda m: m.Person.select(m.Person.id, m.Person.name.concat("!").alias("x")),
    "concat columns": lambda m: m.Person.select(m.Person.id, (m.Person.name + " " + m.Person.city).alias("x")),
    "concat number": lambda m: m.Person.select(m.Person.id, m.Person.name.concat(m.Person.age).alias("x")),
    "case": lambda m: m.Person.select(m.Person.id, _age_band(m).alias("band")),
    "case of values": lambda m: m.Person.select(m.Person.id, Case(m.Person.city, [("Rome", 1), ("Oslo", 2)], 0)),
    "case without else": lambda m: m.Person.select(m.Person.id, Case(None, [(m.Person.active, 1)])),
    "cast": lambda m: m.Person.select(m.Person.id, m.Person.age.cast("text").alias("x")),
    "cast to integer": lambda m: m.Person.select(m.Person.id, m.Person.score.cast("integer").alias("x")),
    "coalesce": lambda m: m.Person.select(m.Person.id, fn.COALESCE(m.Person.city, "nowhere").alias("x")),
    "ifnull": lambda m: m.Person.select(m.Person.id, fn.IFNULL(m.Person.score, 0).alias("x")),
    "nullif": lambda m: m.Person.select(m.Person.id, fn.NULLIF(m.Person.city, "Rome").alias("x")),
    "lower upper": lambda m: m.Person.select(fn.LOWER(m.Person.name), fn.UPPER(m.Person.city)).order_by(m.Person.id),
    "length": lambda m: m.Person.select(m.Person.id, fn.LENGTH(m.Person.name).alias("x")),
    "length of text": lambda m: m.Post.select(m.Post.id, fn.LENGTH(m.Post.body).alias("x")),
    "substring": lambda m: m.Person.select(m.Person.id, fn.SUBSTR(m.Person.name, 1, 2).alias("x")),
    "substring to end": lambda m: m.Person.select(m.Person.id, fn.SUBSTR(m.Person.name, 2).alias("x")),
    "trim": lambda m: m.Post.select(m.Post.id, fn.TRIM(m.Post.title).alias("x")),
    "replace": lambda m: m.Person.select(m.Person.id, fn.REPLACE(m.Person.name, "n", "N").alias("x")),
    "abs round": lambda m: m.Person.select(m.Person.id, fn.ABS(m.Person.age - 40), fn.ROUND(m.Person.score, 1)),
    "instr": lambda m: m.Person.select(m.Person.id, fn.INSTR(m.Person.name, "n").alias("x")),
    "greatest": lambda m: m.Person.select(m.Person.id, fn.MAX(m.Person.age, 31).alias("x")),
    "subquery as value": lambda m: m.Person.select(
        m.Person.id, m.Post.select(fn.COUNT(m.Post.id)).where(m.Post.author == m.Person.id).alias("n")),
    "compared with subquery": lambda m: m.Person.select(m.Person.id).where(
        m.Person.age > m.Person.alias("q").select(fn.AVG(m.Person.alias("q").age))),
    "values list": _values,
    "join values list": _values_join,
    # order
    "order by two": lambda m: m.Person.select(m.Person.id).order_by(m.Person.age.desc(), m.Person.name),
    "order twice the same": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id, m.Person.id),
    "order by condition": lambda m: m.Person.select(m.Person.id).order_by(m.Person.city == "Rome", m.Person.id),
    "order by alias": lambda m: m.Person.select(m.Person.id, (m.Person.age * 2).alias("x")).order_by(
        (m.Person.age * 2).alias("x").desc(), m.Person.id),
    "order by case": lambda m: m.Person.select(m.Person.id).order_by(_age_band(m), m.Person.id),
    "order by constant": lambda m: m.Person.select(m.Person.id).order_by(Value(1), m.Person.id),
    "order by position": lambda m: m.Person.select(m.Person.name).order_by(SQL("1")),
    "order nulls last": lambda m: m.Person.select(m.Person.id).order_by(m.Person.score.asc(nulls="last"), m.Person.id),
    "order nulls first": lambda m: m.Person.select(m.Person.id).order_by(
        m.Person.score.desc(nulls="first"), m.Person.id),
    "order by text": lambda m: m.Post.select(m.Post.id).order_by(m.Post.body, m.Post.id),
    "order by subquery": lambda m: m.Person.select(m.Person.id).order_by(
        m.Post.select(fn.COUNT(m.Post.id)).where(m.Post.author == m.Person.id), m.Person.id),
    # pages
    "limit": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).limit(3),
    "limit zero": lambda m: m.Person.select(m.Person.id).limit(0),
    "limit zero with offset": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).limit(0).offset(2),
    "limit and offset": lambda m: m.Person.select(m.Person.id, m.Person.name).order_by(m.Person.id).limit(2).offset(2),
    "offset zero": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).limit(2).offset(0),
    "offset alone": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).offset(4),
    "paginate": lambda m: m.Person.select().order_by(m.Person.age, m.Person.id).paginate(2, 2),
    "page by alias": lambda m: m.Person.select(m.Person.id, (0 - m.Person.age).alias("x")).order_by(
        SQL("x"), m.Person.id).limit(2).offset(1),
    "page of distinct": lambda m: m.Person.select(m.Person.age).distinct().order_by(m.Person.age).limit(2).offset(1),
    "page of groups": lambda m: _busy(m).order_by(fn.COUNT(m.Post.id).desc(), m.Post.author).limit(2).offset(1),
    "page of join": _self_join_page,
    "page of union": lambda m: (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)).order_by(
        SQL("age")).limit(3).offset(2),
    "count of page": lambda m: _count_of(m.Person.select().order_by(m.Person.id).limit(3)),
    "count of page with offset": lambda m: _count_of(m.Person.select().order_by(m.Person.id).limit(9).offset(4)),
    # distinct
    "distinct": lambda m: m.Person.select(m.Person.age).distinct(),
    "distinct and order": lambda m: m.Person.select(m.Person.city).distinct().order_by(m.Person.city.desc()),
    "distinct by expression of it": lambda m: m.Person.select(m.Person.age).distinct().order_by(m.Person.age + 1),
    "distinct and order nulls": lambda m: m.Person.select(m.Person.city).distinct().order_by(
        m.Person.city.asc(nulls="last")),
    "distinct text": lambda m: m.Post.select(m.Post.body).distinct(),
    "count distinct": lambda m: m.Person.select(fn.COUNT(m.Person.age.distinct())),
    # groups
    "aggregates": lambda m: m.Person.select(
        fn.COUNT(m.Person.id), fn.SUM(m.Person.age), fn.MIN(m.Person.name), fn.MAX(m.Person.score)),
    "average of integers": lambda m: m.Person.select(fn.AVG(m.Person.age)),
    "group": _busy,
    "group and having": lambda m: _busy(m).having(fn.COUNT(m.Post.id) > 2),
    "group by two": lambda m: m.Person.select(m.Person.city, m.Person.age, fn.COUNT(SQL("*"))).group_by(
        m.Person.city, m.Person.age),
    "group by expression": lambda m: m.Person.select((m.Person.age / 10).alias("decade"), fn.COUNT(m.Person.id)).group_by(
        m.Person.age / 10).order_by(m.Person.age / 10),
    "group by case": lambda m: m.Person.select(_age_band(m).alias("band"), fn.COUNT(m.Person.id)).group_by(_age_band(m)),
    "group by alias": lambda m: m.Person.select(
        fn.LOWER(m.Person.city).alias("c"), fn.COUNT(m.Person.id).alias("n")).group_by(SQL("c")).order_by(SQL("n"), SQL("c")),
    "group by condition": lambda m: m.Person.select((m.Person.age > 30).alias("old"), fn.COUNT(m.Person.id)).group_by(
        m.Person.age > 30),
    "group by position": lambda m: m.Person.select(m.Person.city, fn.COUNT(m.Person.id)).group_by(SQL("1")),
    "group by constant": lambda m: m.Person.select(fn.COUNT(m.Person.id)).group_by(Value(1)),
    "group by model": lambda m: m.Person.select(m.Person, fn.COUNT(m.Post.id).alias("n")).join(
        m.Post, JOIN.LEFT_OUTER).group_by(m.Person).order_by(m.Person.id),
    "group by boolean": lambda m: m.Person.select(m.Person.active, fn.COUNT(m.Person.id)).group_by(m.Person.active),
    "having condition": lambda m: m.Person.select(m.Person.city).group_by(m.Person.city).having(
        (fn.COUNT(m.Person.id) > 1) & (m.Person.city.is_null(False))),
    "sum of boolean": lambda m: m.Person.select(fn.SUM(m.Person.active)),
    "count": lambda m: _count_of(m.Person.select().where(m.Person.age > 25)),
    "count of group": lambda m: _count_of(_busy(m)),
    "count of duplicates": _derived_duplicates,
    "filtered count": lambda m: m.Person.select(fn.COUNT(m.Person.id).filter(m.Person.age > 30)),
    "filtered count of rows": lambda m: m.Person.select(fn.COUNT(SQL("*")).filter(m.Person.active)),
    "filtered sum": lambda m: m.Person.select(m.Person.city, fn.SUM(m.Person.age).filter(m.Person.active)).group_by(
        m.Person.city),
    "group concat": lambda m: m.Person.select(
        m.Person.age, fn.GROUP_CONCAT(m.Person.city)).where(m.Person.city == "Rome").group_by(m.Person.age),
    # joins
    "join": lambda m: m.Post.select(m.Post.title, m.Person.name).join(m.Person).order_by(m.Post.id),
    "left join": lambda m: m.Person.select(m.Person.name, m.Post.title).join(m.Post, JOIN.LEFT_OUTER).order_by(
        m.Person.id, m.Post.id),
    "self join": _self_join,
    "three tables": _joined_three,
    "cross join": lambda m: m.Setting.select(m.Setting.key, m.Counter.n).join(m.Counter, JOIN.CROSS),
    "join on condition": lambda m: m.Person.select(m.Person.id, m.Post.id).join(
        m.Post, on=((m.Post.author == m.Person.id) & m.Person.active)),
    "join subquery": lambda m: (lambda q: m.Person.select(m.Person.name, q.c.n).join(
        q, on=(q.c.author_id == m.Person.id)).order_by(m.Person.id))(_busy(m).alias("q")),
    "from subquery": lambda m: (lambda q: q.select_from(q.c.age))(m.Person.select(m.Person.age).order_by(m.Person.age)),
    "from two": lambda m: m.Person.select(m.Person.name, m.Counter.n).from_(m.Person, m.Counter),
    "from unnamed columns": lambda m: (lambda q: peewee.Select((q,), (fn.COUNT(SQL("*")),)))(
        m.Person.select(m.Person.age + 1, fn.LOWER(m.Person.name), Value(3)).alias("q")),
    "lateral": _lateral,
    # compounds
    "union": lambda m: m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n),
    "union all": lambda m: m.Person.select(m.Person.age) + m.Counter.select(m.Counter.n),
    "intersect": lambda m: m.Person.select(m.Person.id) & m.Post.select(m.Post.author),
    "except": lambda m: m.Person.select(m.Person.id) - m.Post.select(m.Post.author),
    "union ordered": lambda m: (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)).order_by(SQL("age")),
    "union by expression": lambda m: (m.Person.select(m.Person.age) + m.Counter.select(m.Counter.n)).order_by(
        m.Person.age + 1),
    "union limited": lambda m: (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)).order_by(
        SQL("age").desc()).limit(2),
    "union of limited": lambda m: m.Person.select(m.Person.age).order_by(m.Person.age).limit(1)
    | m.Counter.select(m.Counter.n).order_by(m.Counter.n.desc()).limit(1),
    "union of three": lambda m: m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n) | m.Order.select(m.Order.odd),
    "union nested": lambda m: (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)) - m.Counter.select(
        m.Counter.n),
    "in union": lambda m: m.Person.select(m.Person.name).where(
        m.Person.id.in_(m.Post.select(m.Post.author) | m.Liked.select(m.Liked.person))),
    "count of union": lambda m: _count_of(m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)),
    "union of unnamed": lambda m: _count_of(m.Person.select(m.Person.age + 1) + m.Counter.select(m.Counter.n)),
    # table expressions
    "cte": _cte_join,
    "cte in subquery": _cte_nested,
    "two ctes": _cte_two,
    "cte of cte": _cte_of_cte,
    "cte in derived table": _cte_in_count,
    "recursive cte": _tree,
    "recursive cte over 100": _numbers,
    # windows
    "row number": lambda m: m.Person.select(
        m.Person.id, fn.ROW_NUMBER().over(order_by=[m.Person.age.desc(), m.Person.id]).alias("n")),
    "rank": lambda m: m.Person.select(m.Person.id, fn.RANK().over(order_by=[m.Person.age]).alias("n")),
    "partition": lambda m: m.Person.select(
        m.Person.id, fn.SUM(m.Person.age).over(partition_by=[m.Person.city]).alias("n")),
    "running sum": lambda m: m.Person.select(
        m.Person.id, fn.SUM(m.Person.age).over(order_by=[m.Person.id], start=Window.preceding(),
                                               end=Window.CURRENT_ROW).alias("n")),
    "named window": _window_named,
    "first of each": _window_top,
    "lag": lambda m: m.Person.select(m.Person.id, fn.LAG(m.Person.age).over(order_by=[m.Person.id]).alias("n")),
    "page by window": lambda m: m.Person.select(
        m.Person.id, fn.ROW_NUMBER().over(order_by=[m.Person.age.desc(), m.Person.id]).alias("n")
    ).order_by(SQL("n")).limit(2).offset(1),
    # dates
    "year": lambda m: m.Post.select(m.Post.id, m.Post.at.year.alias("y")),
    "month of date": lambda m: m.Person.select(m.Person.id).where(m.Person.born.month == 2),
    "day and hour": lambda m: m.Post.select(m.Post.id, m.Post.at.day, m.Post.at.hour),
    "truncate": lambda m: m.Post.select(m.Post.id, m.Post.at.truncate("month").alias("x")),
    "group by month": lambda m: m.Post.select(m.Post.at.month.alias("x"), fn.COUNT(m.Post.id)).group_by(m.Post.at.month),
    "timestamp": lambda m: m.Post.select(m.Post.id, m.Post.at.to_timestamp().alias("x")),
    "date compared": lambda m: m.Post.select(m.Post.id).where(m.Post.at > START + datetime.timedelta(days=50)),
    "birthday": lambda m: m.Person.select(m.Person.id).where(m.Person.born == datetime.date(2004, 2, 29)),
    # locks
    "for update": lambda m: m.Person.select(m.Person.id).where(m.Person.age > 20).for_update(),
    "for update nowait": lambda m: m.Person.select(m.Person.id).for_update(nowait=True),
    "for update of": lambda m: m.Post.select(m.Post.id).join(m.Person).for_update(of=m.Person, skip_locked=True),
    # writes
    "insert": lambda m: m.Person.insert(name="new", age=3),
    "insert id": lambda m: m.Person.insert(id=77, name="new", age=3),
    "insert default values": lambda m: m.Counter.insert(),
    "insert many": lambda m: m.Person.insert_many([{"name": "x", "age": 1}, {"name": "y", "age": 2}]),
    "insert tuples": lambda m: m.Person.insert_many([("x", 1), ("y", 2)], fields=[m.Person.name, m.Person.age]),
    "insert from": lambda m: m.Counter.insert_from(
        m.Person.select(m.Person.age).where(m.Person.age > 30).order_by(m.Person.age), [m.Counter.n]),
    "insert from cte": _insert_cte,
    "insert natural key": lambda m: m.Setting.insert(key="z", value="zz"),
    "insert composite": lambda m: m.Liked.insert(person=4, post=1),
    "insert expression": lambda m: m.Counter.insert(n=m.Person.select(fn.MAX(m.Person.age))),
    "insert rowcount": lambda m: m.Counter.insert_many([{"n": 1}, {"n": 2}]).as_rowcount(),
    "insert returning": lambda m: m.Person.insert(name="r", age=9).returning(m.Person.id, m.Person.age),
    "insert ignore": lambda m: m.Setting.insert(key="a", value="no").on_conflict_ignore(),
    "insert ignore unique": lambda m: m.Person.insert(name="ann", age=1).on_conflict_ignore(),
    "insert ignore many": lambda m: m.Setting.insert_many(
        [{"key": "a", "value": "1"}, {"key": "q", "value": "2"}]).on_conflict_ignore(),
    "replace": lambda m: m.Setting.replace(key="a", value="new", hits=4),
    "upsert preserve": lambda m: m.Setting.insert(key="a", value="new").on_conflict(
        conflict_target=[m.Setting.key], preserve=[m.Setting.value]),
    "upsert update": lambda m: m.Setting.insert(key="a", value="new").on_conflict(
        conflict_target=[m.Setting.key], update={m.Setting.hits: m.Setting.hits + 1}),
    "upsert excluded": lambda m: m.Setting.insert(key="a", value="new", hits=7).on_conflict(
        conflict_target=[m.Setting.key], update={m.Setting.hits: m.Setting.hits + EXCLUDED.hits}),
    "upsert where": lambda m: m.Setting.insert(key="a", value="new", hits=7).on_conflict(
        conflict_target=[m.Setting.key], preserve=[m.Setting.hits], where=(m.Setting.hits > EXCLUDED.hits)),
    "upsert many": lambda m: m.Setting.insert_many(
        [{"key": "a", "value": "1"}, {"key": "q", "value": "2"}]).on_conflict(
            conflict_target=[m.Setting.key], preserve=[m.Setting.value]),
    "update": lambda m: m.Person.update(age=m.Person.age + 1).where(m.Person.active),
    "update all": lambda m: m.Person.update({m.Person.score: None}),
    "update to condition": lambda m: m.Person.update(active=(m.Person.age > 30)),
    "update by subquery": lambda m: m.Person.update(
        age=m.Post.select(fn.COUNT(m.Post.id)).where(m.Post.author == m.Person.id)),
    "update from": _update_from,
    "update where in": lambda m: m.Person.update(score=9).where(
        m.Person.id.in_(m.Post.select(m.Post.author).where(m.Post.stars > 2))),
    "update by case": lambda m: m.Person.update(age=Case(m.Person.id, [(1, 11), (2, 22)], m.Person.age)),
    "update returning": lambda m: m.Person.update(age=1).where(m.Person.id < 3).returning(m.Person.id, m.Person.age),
    "delete": lambda m: m.Liked.delete().where(m.Liked.weight > 4),
    "delete all": lambda m: m.Liked.delete(),
    "delete where in": lambda m: m.Liked.delete().where(
        m.Liked.person.in_(m.Person.select(m.Person.id).where(m.Person.city == "Rome"))),
    "delete returning": lambda m: m.Setting.delete().where(m.Setting.key == "a").returning(m.Setting.value),
}

#: Queries of which Peewee's own SQL does not run on SQLite: there is nothing to compare with.
WITHOUT_SQLITE: dict[str, Callable[[Models], Any]] = {
    "update limited": lambda m: m.Person.update(age=0).where(m.Person.active).limit(2),
    "update ordered and limited": lambda m: m.Person.update(age=0).order_by(m.Person.age, m.Person.id).limit(2),
    "delete limited": lambda m: m.Liked.delete().limit(2),
    "delete ordered and limited": lambda m: m.Counter.delete().order_by(m.Counter.n.desc()).limit(1),
    "json path": lambda m: m.Post.select(m.Post.id).where(m.Post.data["a"]["b"] == 1),
    "json text": lambda m: m.Post.select(m.Post.data["a"].as_text().alias("x")),
    "json set": lambda m: m.Post.update(data=m.Post.data["a"].set({"x": 1})),
    "like": lambda m: m.Person.select(m.Person.id).where(m.Person.name % "A%"),
    "now": lambda m: m.Person.select(m.Person.id).where(m.Person.born < fn.NOW()),
    "random": lambda m: m.Person.select(m.Person.id).order_by(fn.RANDOM()),
    "distinct on": lambda m: m.Post.select(m.Post.author, m.Post.title).distinct(m.Post.author),
}

VERSIONS = ("2000", "2005", "2008", "2012", "2016", "2019", "2022", "2025")


def database(version: str) -> MSSQLDatabase:
    """Return a database of a version that is never connected to."""
    return MSSQLDatabase(None, server_version=version)


def compiled(db: Any, query: Any) -> grammar.Statement:
    """Compile a query, with its parameters numbered.

    Raises:
        NotSupportedError: the version cannot be asked this.
    """
    ctx = db.get_sql_context()
    ctx.sql(query)
    return grammar.Statement.of(ctx)


def outcomes(version: str, base: Any = peewee.Model) -> dict[str, Any]:
    """Return the statement of each query of the corpus for a version, or the NotSupportedError."""
    db = database(version)
    models = define(base, db)
    found: dict[str, Any] = {}
    for name, build in {**QUERIES, **WITHOUT_SQLITE}.items():
        try:
            found[name] = compiled(db, build(models))
        except peewee.NotSupportedError as error:
            found[name] = error
    return found


def verdicts(version: str, found: dict[str, Any]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return what the parser and the lint rules say against the statements of a version."""
    statements = {name: one for name, one in found.items() if isinstance(one, grammar.Statement)}
    names = list(statements)
    rejected = grammar.rejections([statements[name].sql for name in names], version)
    complaints = {name: said for name in names if (said := lint.complaints(statements[name], version))}
    return {names[number]: said for number, said in rejected.items()}, complaints


def report(versions: Iterable[str] = VERSIONS) -> str:
    """Return a table of what compiles for each version."""
    lines = [f"{'version':<10}{'queries':>9}{'compiled':>10}{'refused':>9}{'share':>8}{'parser':>8}{'lint':>6}"]
    for version in versions:
        found = outcomes(version)
        rejected, complaints = verdicts(version, found)
        good = sum(isinstance(one, grammar.Statement) for one in found.values())
        lines.append(
            f"{version:<10}{len(found):>9}{good:>10}{len(found) - good:>9}{good / len(found):>8.1%}"
            f"{len(rejected):>8}{len(complaints):>6}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(sys.argv[1:] or VERSIONS))
