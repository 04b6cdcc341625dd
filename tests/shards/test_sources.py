"""What a statement brings together: the shards that are left, and the clause that needs several at once."""

from __future__ import annotations

from typing import Any

import pytest
from peewee import JOIN, CharField, ForeignKeyField, IntegerField, ValuesList, fn

from peewee_multidb import Databases, HashShards, Model
from peewee_multidb.shards.pruning import footprint

NAMES = ("s0", "s1", "s2")
own = Databases()
rule = HashShards(*NAMES)


class Base(Model):
    class Meta:
        registry = own


class User(Base):
    id = IntegerField(primary_key=True)
    name = CharField()

    class Meta:
        db_name = rule
        shard_key = "id"


class Order(Base):
    user = ForeignKeyField(User)
    total = IntegerField()

    class Meta:
        colocate_with = User


class Line(Base):
    order = ForeignKeyField(Order)

    class Meta:
        colocate_with = Order


class Place(Base):
    row = IntegerField()
    seat = IntegerField()

    class Meta:
        db_name = rule
        shard_key = ("row", "seat")


class Guest(Base):
    row = IntegerField()
    seat = IntegerField()

    class Meta:
        colocate_with = Place


class Tag(Base):
    text = CharField(primary_key=True)

    class Meta:
        db_name = rule
        reference = True


HERE = rule.shard_of(3)
U, O = User.alias(), Order.alias()  # noqa: E741
mine = Order.user == 3
paired = (Place.row == Guest.row) & (Place.seat == Guest.seat)


def left(on: Any = None) -> Any:
    return User.select().join(Order, JOIN.LEFT_OUTER, on=on)


def beside_cte(inner: Any, where: Any = None) -> Any:
    cte = inner.cte("c")
    query = User.select().join(cte, on=(User.id == cte.c.user)).with_cte(cte)
    return query if where is None else query.where(where(cte.c))


def from_one(inner: Any) -> Any:
    q = inner.alias("q")
    return User.select(q.c.id).from_(q)


ids = Order.select(Order.user.alias("user"))
ONE_SHARD = {
    "join by foreign key": lambda: Order.select().join(User).where(User.id == 3),
    "join of three": lambda: Line.select().join(Order).join(User).where(User.id == 3),
    "self join by key": lambda: User.select().join(U, on=(User.id == U.id)).where(U.id == 3),
    "FROM of two": lambda: User.select().from_(User, Order).where(Order.user == User.id, mine),
    "ON of an inner join": lambda: User.select().join(Order, on=(Order.user == User.id) & mine),
    "WHERE on the optional side": lambda: left().where(mine),
    "RIGHT JOIN": lambda: User.select().join(Order, JOIN.RIGHT_OUTER).where(User.id == 3),
    "ON of an outer join apart": lambda: (
        User.select().join(O, JOIN.LEFT_OUTER, on=(O.total == User.id) & (O.user == 3)).where(User.id == 3)
    ),
    "IN": lambda: User.select().where(User.id.in_(Order.select(Order.user).where(mine))),
    "EXISTS": lambda: User.select().where(fn.EXISTS(Order.select().where(Order.user == User.id, mine))),
    "CTE": lambda: beside_cte(ids.where(mine)),
    "condition on a CTE": lambda: beside_cte(ids, lambda c: c.user == 3),
    "grouped CTE": lambda: beside_cte(
        Order.select(Order.user.alias("user"), fn.SUM(Order.total)).group_by(Order.user),
        lambda c: c.user == 3,
    ),
    "limited CTE with its key": lambda: beside_cte(ids.where(mine).limit(2), lambda c: c.user == 3),
    "derived table": lambda: from_one(User.select(User.id).where(User.id == 3)),
    "derived union": lambda: from_one(
        User.select(User.id).where(User.id == 3) | U.select(U.id).where(U.id == 3)
    ),
    "key of two fields": lambda: (
        Guest.select().join(Place, on=paired).where(Place.row == 3, Guest.seat == 4, Place.seat == 4)
    ),
    "reference first": lambda: Tag.select().join(User, on=(User.name == Tag.text)).where(User.id == 3),
    "UPDATE FROM": lambda: Order.update(total=1).from_(User).where(Order.user == User.id, User.id == 3),
}


@pytest.mark.parametrize("name", ONE_SHARD)
def test_one_shard_is_left(name: str) -> None:
    query = ONE_SHARD[name]()
    found = footprint(query.model._meta.home, query)
    wanted = rule.shard_of((3, 4)) if name == "key of two fields" else HERE
    assert (found.shards, found.apart) == ((wanted,), None)


ALL_SHARDS = {
    "optional side is missing": lambda: left().where(Order.user.is_null()),
    "optional side or missing": lambda: left().where(mine | Order.user.is_null()),
    "ON of an outer join": lambda: left((Order.user == User.id) & mine),
    "FULL JOIN": lambda: User.select().join(Order, JOIN.FULL_OUTER),
    "OR with EXISTS": lambda: User.select().where(
        (User.id == 1) | fn.EXISTS(Order.select().where(Order.user == User.id, mine))
    ),
    "NOT EXISTS": lambda: User.select().where(~fn.EXISTS(Order.select().where(Order.user == User.id, mine))),
    "NOT IN of what is never NULL": lambda: User.select().where(User.id.not_in(Order.select(Order.user))),
    "scalar beside its row": lambda: User.select(
        User.id, Order.select(fn.SUM(Order.total)).where(Order.user == User.id)
    ),
    "limit beside its row": lambda: User.select(
        Order.select(Order.total).where(Order.user == User.id).order_by(Order.total).limit(1)
    ),
    "reference in IN": lambda: User.select().where(User.name.in_(Tag.select(Tag.text))),
    "VALUES": lambda: (lambda v: User.select().join(v, on=(User.id == v.c.a)))(
        ValuesList([(1,), (2,)], columns=("a",)).alias("v")
    ),
    "link of one parent": lambda: (lambda other: Line.select().join(other, on=(Line.order == other.order)))(
        Line.alias()
    ),
}


@pytest.mark.parametrize("name", ALL_SHARDS)
def test_every_shard_answers_for_itself(name: str) -> None:
    query = ALL_SHARDS[name]()
    assert footprint(query.model._meta.home, query) == (NAMES, False, None)


TOGETHER = {
    "a join of User and Order": lambda: User.select().join(Order, on=(User.id == Order.total)),
    "a join of Guest and Place": lambda: Guest.select().join(Place, on=(Place.row == Guest.row)),
    "a subquery of Order": lambda: User.select(Order.select(fn.SUM(Order.total))),
    "a subquery of User": lambda: User.select().with_cte(User.update(name="x").cte("c")),
    "a LEFT OUTER JOIN that keeps every row of Tag": lambda: Tag.select().join(
        User, JOIN.LEFT_OUTER, on=(User.name == Tag.text)
    ),
    "LIMIT or OFFSET in a subquery": lambda: beside_cte(ids.limit(2)),
    "DISTINCT in a subquery": lambda: from_one(User.select(User.name.alias("id")).distinct()),
    "GROUP BY in a subquery": lambda: from_one(User.select(User.name.alias("id")).group_by(User.name)),
    "an aggregate in a subquery": lambda: from_one(User.select(fn.COUNT(User.id).alias("id"))),
    "UNION in a subquery": lambda: from_one(User.select(User.id) | U.select(U.id)),
    "rows of Tag, which every shard has,": lambda: Tag.select(Tag.text) + User.select(User.name),
}


@pytest.mark.parametrize("says", TOGETHER)
def test_a_clause_that_needs_several_shards_in_one_place_is_named(says: str) -> None:
    query = TOGETHER[says]()
    found = footprint(query.model._meta.home, query)
    assert len(found.shards) > 1
    assert found.apart == says


def test_a_query_deep_inside_of_anything_is_seen() -> None:
    inner = Order.select(fn.MAX(Order.total))
    for query in (
        User.select().order_by(inner),
        User.select().group_by(User.id).having(fn.COUNT(User.id) > inner),
        User.select().where(fn.COALESCE(inner, 1) == User.id),
        User.select().where(User.id.in_([1, inner])),
        User.select().where((User.id == 3) | (User.name == fn.LOWER(fn.COALESCE(inner, "x")))),
        User.update(name=inner),
        User.delete().where(User.id == inner),
    ):
        assert footprint(User._meta.home, query).apart == "a subquery of Order"
