"""What a plain Peewee program does, written once: the same operations run with Peewee's Model and with ours.

`define(base)` makes the models; each entry of `OPERATIONS` takes them and returns something comparable. An
operation may be a query, which is then executed as tuples.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

from peewee import (
    JOIN,
    BlobField,
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
    ManyToManyField,
    TextField,
    chunked,
    fn,
    prefetch,
)
from playhouse.shortcuts import dict_to_model, model_to_dict

TODAY = datetime.datetime(2024, 5, 6, 7, 8, 9)

Models = Any

_SAVEPOINT = re.compile(r'"s[0-9a-f]{32}"')


def define(base: type) -> Models:
    """Return the models of the corpus on a base model."""

    class User(base):  # type: ignore[misc, valid-type]
        name = CharField(unique=True)
        age = IntegerField(default=30, index=True)
        active = BooleanField(default=True)
        score = FloatField(null=True)

    class Tweet(base):  # type: ignore[misc, valid-type]
        user = ForeignKeyField(User, backref="tweets", on_delete="CASCADE")
        parent = ForeignKeyField("self", backref="replies", null=True)
        text = TextField()
        at = DateTimeField(default=TODAY)
        price = DecimalField(decimal_places=2, default="1.50")
        blob = BlobField(null=True)

    class Favorite(base):  # type: ignore[misc, valid-type]
        user = ForeignKeyField(User, backref="favorites")
        tweet = ForeignKeyField(Tweet, backref="favorites")
        on = DateField(default=TODAY.date)

        class Meta:
            primary_key = CompositeKey("user", "tweet")

    class Tag(base):  # type: ignore[misc, valid-type]
        label = CharField(primary_key=True)
        tweets = ManyToManyField(Tweet, backref="tags")

        class Meta:
            table_name = "tags"

    through = Tag.tweets.get_through_model()
    tables = [User, Tweet, Favorite, Tag, through]
    return SimpleNamespace(User=User, Tweet=Tweet, Favorite=Favorite, Tag=Tag, through=through, tables=tables)


def fill(m: Models) -> None:
    """Put the same rows in every world."""
    names = ("ann", "bob", "cid")
    users = [m.User.create(name=name, age=20 + 5 * n, score=n / 2) for n, name in enumerate(names)]
    m.User.create(name="dee", active=False)
    first = m.Tweet.create(user=users[0], text="first", blob=b"\x00\xff")
    for n in range(6):
        at = TODAY + datetime.timedelta(days=n)
        m.Tweet.create(user=users[n % 3], text=f"tweet {n}", parent=first, at=at)
    m.Favorite.create(user=users[1], tweet=first)
    m.Favorite.create(user=users[2], tweet=first)
    for label in ("news", "fun"):
        m.Tag.create(label=label).tweets.add(m.Tweet.select().where(m.Tweet.id < 4))


def dicts(rows: Any) -> list[Any]:
    return [model_to_dict(row, recurse=False) for row in rows]


def _cte(m: Models) -> Any:
    busy = m.Tweet.select(m.Tweet.user, fn.COUNT(m.Tweet.id).alias("n")).group_by(m.Tweet.user).cte("busy")
    joined = m.User.select(m.User.name, busy.c.n).join(busy, on=(m.User.id == busy.c.user_id))
    return joined.with_cte(busy).order_by(m.User.name)


def _recursive(m: Models) -> Any:
    roots = m.Tweet.select(m.Tweet.id, m.Tweet.parent).where(m.Tweet.parent.is_null())
    base = roots.cte("tree", recursive=True)
    again = m.Tweet.alias("again")
    tree = base.union_all(again.select(again.id, again.parent).join(base, on=(again.parent == base.c.id)))
    return tree.select_from(tree.c.id, tree.c.parent_id).order_by(tree.c.id)


def _savepoint(m: Models) -> Any:
    database = m.User._meta.database
    with database.atomic():
        m.User.create(name="kept")
        with database.atomic() as inner:
            m.User.create(name="gone")
            inner.rollback()
    return m.User.select(m.User.name).order_by(m.User.id)


def _round_trip(m: Models) -> Any:
    row = m.Tweet.get_by_id(1)
    row.text, row.price = "changed", "2.25"
    dirty = sorted(field.name for field in row.dirty_fields)
    return dirty, row.save(only=row.dirty_fields), dicts([m.Tweet.get_by_id(1)])


def _get_or_create(m: Models) -> Any:
    made = [m.User.get_or_create(name="eve", defaults={"age": 9}) for _ in range(2)]
    return [(user.name, user.age, created) for user, created in made]


def _bulk(m: Models) -> Any:
    rows = [m.User(name=f"bulk {n}") for n in range(7)]
    m.User.bulk_create(rows, batch_size=3)
    for row in rows:
        row.age = row.id
    return m.User.bulk_update(rows, [m.User.age], batch_size=4), [row.id for row in rows]


def _explode(m: Models) -> Any:
    try:
        m.User.create(name="ann")
    except Exception as error:
        return type(error).__name__, str(error)
    return None


def _missing(m: Models) -> Any:
    try:
        m.User.get(m.User.name == "nobody")
    except m.User.DoesNotExist as error:
        return m.User.get_or_none(name="nobody"), str(error)
    return None


def _self_join(m: Models) -> Any:
    parent = m.Tweet.alias()
    query = m.Tweet.select(m.Tweet, parent).join(parent, on=(m.Tweet.parent == parent.id))
    query = query.order_by(m.Tweet.id)
    return [(row.text, row.parent.text) for row in query]


def _two_joins(m: Models) -> Any:
    query = m.Favorite.select(m.User.name, m.Tweet.text)
    return query.join(m.User).switch(m.Favorite).join(m.Tweet)


def _join_subquery(m: Models) -> Any:
    counted = m.Tweet.select(m.Tweet.user, fn.COUNT(m.Tweet.id).alias("n")).group_by(m.Tweet.user)
    return m.User.select(m.User.name, counted.c.n).join(counted, on=(counted.c.user_id == m.User.id))


def _from_subquery(m: Models) -> Any:
    inner = m.User.select(m.User.age)
    return inner.select_from(inner.c.age)


def _group_and_having(m: Models) -> Any:
    count = fn.COUNT(m.Tweet.id)
    return m.Tweet.select(m.Tweet.user, count).group_by(m.Tweet.user).having(count > 2)


def _prefetch(m: Models) -> Any:
    return [(u.name, [t.text for t in u.tweets]) for u in prefetch(m.User.select(), m.Tweet.select())]


def _prefetch_deep(m: Models) -> Any:
    users = m.User.select().prefetch(m.Tweet, m.Favorite)
    return [[len(t.favorites) for t in u.tweets] for u in users]


def _many_to_many_changes(m: Models) -> Any:
    fun = m.Tag.get_by_id("fun")
    return (
        fun.tweets.remove([1]),
        fun.tweets.add(6),
        fun.tweets.count(),
        fun.tweets.clear(),
        fun.tweets.count(),
    )


def _insert_tuples(m: Models) -> Any:
    rows = [("x", 1), ("y", 2)]
    return m.User.insert_many(rows, fields=[m.User.name, m.User.age]).execute()


def _upsert(m: Models) -> Any:
    insert = m.User.insert(name="ann", age=1)
    return insert.on_conflict(conflict_target=[m.User.name], preserve=[m.User.age]).execute()


def _upsert_update(m: Models) -> Any:
    insert = m.User.insert(name="ann")
    return insert.on_conflict(conflict_target=[m.User.name], update={m.User.age: m.User.age + 1}).execute()


def _update_returning(m: Models) -> Any:
    return dicts(m.User.update(age=1).where(m.User.id < 3).returning(m.User).execute())


def _update_subquery(m: Models) -> Any:
    count = m.Tweet.select(fn.COUNT(m.Tweet.id)).where(m.Tweet.user == m.User.id)
    return m.User.update(age=count).execute()


def _chunked(m: Models) -> Any:
    rows = ({"name": f"c{n}"} for n in range(5))
    return [m.User.insert_many(part).execute() for part in chunked(rows, 2)]


def _drop_and_create(m: Models) -> Any:
    m.Favorite.drop_table()
    gone = not m.Favorite.table_exists()
    m.Favorite.create_table()
    return gone, m.Favorite.table_exists()


def _bind_ctx(m: Models) -> Any:
    with m.User._meta.database.bind_ctx(m.tables):
        return m.User.select().count()


OPERATIONS: dict[str, Callable[[Models], Any]] = {
    "select": lambda m: m.User.select(),
    "select some": lambda m: m.User.select(m.User.name, m.User.age).order_by(m.User.id),
    "select objects": lambda m: dicts(m.Tweet.select().order_by(m.Tweet.id)),
    "dicts": lambda m: list(m.User.select().dicts()),
    "namedtuples": lambda m: [tuple(row) for row in m.User.select().namedtuples()],
    "where and": lambda m: m.User.select().where((m.User.age > 20) & (m.User.active == True)),  # noqa: E712
    "where or": lambda m: m.User.select().where((m.User.age < 22) | (m.User.name == "cid")),
    "where not": lambda m: m.User.select().where(~(m.User.name == "ann")),
    "in list": lambda m: m.User.select().where(m.User.name.in_(["ann", "cid"])),
    "in empty": lambda m: m.User.select().where(m.User.name << []),
    "in subquery": lambda m: m.User.select().where(m.User.id.in_(m.Tweet.select(m.Tweet.user))),
    "exists": lambda m: m.User.select().where(fn.EXISTS(m.Tweet.select().where(m.Tweet.user == m.User.id))),
    "like": lambda m: m.User.select().where(m.User.name.startswith("A") | m.User.name.contains("o")),
    "between": lambda m: m.User.select().where(m.User.age.between(20, 25)),
    "is null": lambda m: m.User.select().where(m.User.score.is_null()),
    "filter": lambda m: m.Tweet.filter(user__name="ann", text__ilike="t%"),
    "order and limit": lambda m: m.User.select().order_by(m.User.age.desc(), m.User.name).limit(2).offset(1),
    "paginate": lambda m: m.User.select().order_by(m.User.id).paginate(2, 2),
    "distinct": lambda m: m.Tweet.select(m.Tweet.user).distinct(),
    "join": lambda m: m.Tweet.select(m.Tweet.text, m.User.name).join(m.User).where(m.User.age < 30),
    "join objects": lambda m: [(t.text, t.user.name) for t in m.Tweet.select(m.Tweet, m.User).join(m.User)],
    "left join": lambda m: m.User.select(m.User.name, m.Tweet.text).join(m.Tweet, JOIN.LEFT_OUTER),
    "join on": lambda m: m.User.select(m.User.name).join(m.Tweet, on=(m.Tweet.user == m.User.id)).distinct(),
    "join attr": lambda m: [r.who.name for r in m.Tweet.select(m.Tweet, m.User).join(m.User, attr="who")],
    "two joins": _two_joins,
    "self join": _self_join,
    "join subquery": _join_subquery,
    "from subquery": _from_subquery,
    "group and having": _group_and_having,
    "aggregate": lambda m: m.User.select(fn.MIN(m.User.age), fn.AVG(m.User.age)).scalar(as_tuple=True),
    "count": lambda m: (m.User.select().count(), m.Tweet.select().limit(2).count()),
    "exists method": lambda m: (m.User.select().exists(), m.User.select().where(m.User.id > 99).exists()),
    "case": lambda m: m.User.select(m.User.name, Case(None, [(m.User.age > 24, "old")], "young")),
    "cast and alias": lambda m: m.User.select(m.User.age.cast("text").alias("a")).dicts().order_by(m.User.id),
    "concat": lambda m: m.User.select(m.User.name.concat("!"), m.User.age + 1, m.User.age % 7),
    "window": lambda m: m.User.select(m.User.name, fn.RANK().over(order_by=[m.User.age.desc()])),
    "date parts": lambda m: m.Tweet.select(m.Tweet.at.day, m.Tweet.at.hour, m.Tweet.at.truncate("month")),
    "dates": lambda m: m.Tweet.select(m.Tweet.id).where(m.Tweet.at >= TODAY + datetime.timedelta(days=2)),
    "blob": lambda m: bytes(m.Tweet.get(m.Tweet.blob == b"\x00\xff").blob),
    "union": lambda m: m.User.select(m.User.id) | m.Tweet.select(m.Tweet.user),
    "intersect": lambda m: m.User.select(m.User.id) & m.Tweet.select(m.Tweet.user),
    "except": lambda m: m.User.select(m.User.id) - m.Tweet.select(m.Tweet.user),
    "cte": _cte,
    "recursive cte": _recursive,
    "raw": lambda m: dicts(m.User.raw("SELECT id, name, age FROM user WHERE age > ?", 20)),
    "execute_sql": lambda m: m.User._meta.database.execute_sql("SELECT COUNT(*) FROM tweet").fetchall(),
    "iterator": lambda m: [user.name for user in m.User.select().order_by(m.User.id).iterator()],
    "index and slice": lambda m: (m.User.select().order_by(m.User.id)[1].name, len(m.User.select()[1:3])),
    "get": lambda m: (m.User.get(name="bob").age, m.User.get_by_id(1).name, m.User[2].name),
    "no row": _missing,
    "class container": lambda m: (len(m.User), 1 in m.User, 99 in m.User, [u.id for u in m.User]),
    "first": lambda m: (m.User.select().first().id, m.User.select().where(m.User.id > 99).first()),
    "lazy foreign key": lambda m: [tweet.user.name for tweet in m.Tweet.select()],
    "backref": lambda m: [(u.name, [t.text for t in u.tweets.order_by(m.Tweet.id)]) for u in m.User.select()],
    "prefetch": _prefetch,
    "prefetch deep": _prefetch_deep,
    "many to many": lambda m: sorted(t.id for t in m.Tag.get_by_id("news").tweets),
    "many to many back": lambda m: sorted(tag.label for tag in m.Tweet.get_by_id(1).tags),
    "many to many changes": _many_to_many_changes,
    "composite key": lambda m: m.Favorite.get_by_id((2, 1)).user.name,
    "composite save": lambda m: m.Favorite(user=1, tweet=1).save(force_insert=True),
    "create": lambda m: m.User.create(name="new").id,
    "round trip": _round_trip,
    "insert": lambda m: m.User.insert(name="x").execute(),
    "insert many": lambda m: m.User.insert_many([{"name": "x", "age": 1}, {"name": "y", "age": 2}]).execute(),
    "insert tuples": _insert_tuples,
    "insert from": lambda m: m.Tag.insert_from(m.User.select(m.User.name), [m.Tag.label]).execute(),
    "insert rowcount": lambda m: m.User.insert_many([{"name": "x"}, {"name": "y"}]).as_rowcount().execute(),
    "insert ignore": lambda m: m.User.insert(name="ann").on_conflict_ignore().execute(),
    "replace": lambda m: m.User.replace(id=4, name="dee", age=77).execute(),
    "upsert": _upsert,
    "upsert update": _upsert_update,
    "returning": lambda m: list(m.User.insert(name="x").returning(m.User.id, m.User.age).tuples().execute()),
    "update returning": _update_returning,
    "unique error": _explode,
    "update": lambda m: m.User.update(age=m.User.age + 1).where(m.User.active).execute(),
    "update dict": lambda m: m.User.update({m.User.score: None}).execute(),
    "update subquery": _update_subquery,
    "set by id": lambda m: m.User.set_by_id(1, {"age": 99}),
    "delete": lambda m: m.Favorite.delete().where(m.Favorite.user == 2).execute(),
    "delete by id": lambda m: (m.User.delete_by_id(4), m.User.select().count()),
    "delete instance": lambda m: m.Tag.get_by_id("fun").delete_instance(recursive=True),
    "delete recursive": lambda m: m.User.get_by_id(3).delete_instance(recursive=True, delete_nullable=True),
    "get or create": _get_or_create,
    "bulk": _bulk,
    "chunked": _chunked,
    "transaction": _savepoint,
    "noop": lambda m: list(m.User.noop()),
    "model to dict": lambda m: model_to_dict(m.Tweet.get_by_id(1), backrefs=True, max_depth=1),
    "dict to model": lambda m: dict_to_model(m.Tweet, {"text": "x", "user": {"name": "z"}}).user.name,
    "truncate": lambda m: (m.Favorite.truncate_table(), m.Favorite.select().count()),
    "drop and create": _drop_and_create,
    "indexes": lambda m: (m.User.add_index(m.User.score, m.User.age), m.User._schema.create_indexes()),
    "database": lambda m: (sorted(m.User._meta.database.get_tables()), m.User.table_exists()),
    "sql": lambda m: m.User.select().join(m.Tweet).where(m.Tweet.text == "x").sql(),
    "str": lambda m: str(m.User.select().where(m.User.name == "x")),
    "bind_ctx": _bind_ctx,
}


class Outcome(NamedTuple):
    """What can be seen of an operation: its result, the statements with their parameters, the rows left."""

    result: Any
    statements: list[Any]
    left: list[Any]


def outcome(base: type, database: Any, operation: Callable[[Models], Any]) -> Outcome:
    """Run one operation on fresh models and rows."""
    models = define(base)
    for model in models.tables:
        model.create_table()
    fill(models)
    sent: list[Any] = []
    # Peewee draws the names of savepoints by lot.
    database.query_hooks.append(lambda event: sent.append((_SAVEPOINT.sub("s", event.sql), event.params)))
    result = operation(models)
    if hasattr(result, "execute"):
        result = list(result.tuples())
    database.query_hooks.clear()
    return Outcome(result, sent, [sorted(map(repr, model.select().tuples())) for model in models.tables])
