"""No row that a query admits is in a shard that was left out: random conditions and joins over real rows."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import JOIN, CharField, DateField, ForeignKeyField, IntegerField, fn

from peewee_multidb import Databases, HashShards, Model, RangeShards, ScatterNotSupported
from peewee_multidb.shards.pruning import footprint, shards_for
from tests.scale import scaled

NAMES = ("s0", "s1", "s2", "s3")
KEYS = range(12)
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=day) for day in range(6)]

own = Databases()


class Base(Model):
    class Meta:
        registry = own


class Hashed(Base):
    key = IntegerField()
    other = IntegerField()

    class Meta:
        db_name = HashShards(*NAMES, buckets=64)
        shard_key = "key"


class Ranged(Base):
    key = IntegerField()
    other = IntegerField()

    class Meta:
        db_name = RangeShards((None, 3, "s0"), (3, 6, "s1"), (6, 9, "s2"), (9, None, "s3"))
        shard_key = "key"


class Called(Base):
    key = IntegerField()
    other = IntegerField()

    class Meta:
        db_name = staticmethod(lambda key: NAMES[key % 4])
        shard_key = "key"
        shards = NAMES


class Paired(Base):
    key = IntegerField()
    other = IntegerField()

    class Meta:
        db_name = HashShards(*NAMES)
        shard_key = ("key", "other")


class Dated(Base):
    key = DateField()
    other = IntegerField()

    class Meta:
        db_name = RangeShards(
            (None, DAYS[2], "s0"), (DAYS[2], DAYS[4], "s1"), (DAYS[4], DAYS[5], "s2"), (DAYS[5], None, "s3")
        )
        shard_key = "key"


class Parent(Base):
    id = IntegerField(primary_key=True)
    key = IntegerField()

    class Meta:
        db_name = HashShards(*NAMES)
        shard_key = "key"


class Child(Base):
    parent = ForeignKeyField(Parent)
    other = IntegerField()

    class Meta:
        colocate_with = Parent


class Colour(Base):
    name = CharField()

    class Meta:
        db_name = Parent._meta.home.rule
        reference = True


SINGLE = [Hashed, Ranged, Called, Paired, Dated]


@pytest.fixture(autouse=True, scope="module")
def rows() -> Iterator[None]:
    own.configure(dict.fromkeys(NAMES, "sqlite:///:memory:"))
    own.create_tables([*SINGLE, Parent, Child, Colour])
    for model in SINGLE:
        keys: Any = DAYS if model is Dated else KEYS
        model.insert_many([{"key": key, "other": other} for key in keys for other in (0, 1)]).execute()
    Parent.insert_many([{"id": number, "key": number * 7 % 12} for number in range(24)]).execute()
    for parent in Parent.select():
        for other in (0, 1):
            Child.create(parent=parent, other=other)
    Colour.insert_many([{"name": name} for name in "rgb"]).execute()
    yield
    own.close_all()
    own.configure({})


@st.composite
def comparison(draw: st.DrawFn, fields: list[Any], values: Any) -> Any:
    field = draw(st.sampled_from(fields))
    value = values(field)
    kind = draw(st.sampled_from(["cmp", "in", "not in", "between", "null", "fields", "function"]))
    if kind == "cmp":
        compare = draw(
            st.sampled_from(
                [operator.eq, operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]
            )
        )
        return compare(field, draw(value))
    if kind == "in":
        return field.in_(draw(st.lists(value, max_size=4)))
    if kind == "not in":
        return field.not_in(draw(st.lists(value, min_size=1, max_size=3)))
    if kind == "between":
        return field.between(draw(value), draw(value))
    if kind == "null":
        return field.is_null(draw(st.booleans()))
    if kind == "function":
        return fn.COALESCE(field, draw(value)) == draw(value)
    return field == draw(st.sampled_from(fields))


def conditions(fields: list[Any], values: Any) -> st.SearchStrategy[Any]:
    return st.recursive(
        comparison(fields, values),
        lambda inner: st.one_of(
            st.builds(operator.and_, inner, inner),
            st.builds(operator.or_, inner, inner),
            st.builds(operator.invert, inner),
        ),
        max_leaves=6,
    )


def found_in(query: Any, name: str) -> list[Any]:
    return list(query.using(name).tuples())


quick = settings(
    max_examples=scaled(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("model", SINGLE)
@quick
@given(data=st.data())
def test_a_shard_that_is_left_out_has_no_row(model: Any, data: st.DataObject) -> None:
    def values(field: Any) -> Any:
        return st.sampled_from(DAYS) if isinstance(field, DateField) else st.sampled_from([*KEYS])

    where = data.draw(conditions([model.key, model.key, model.other], values))
    query = model.select(model.key, model.other).where(where)
    left = shards_for(model._meta.home, query)
    assert list(left) == [name for name in NAMES if name in left]
    for name in set(NAMES) - set(left):
        assert found_in(query, name) == []


@st.composite
def statement(draw: st.DrawFn) -> Any:
    """A query over the colocated and the reference models."""
    other = Parent.alias()
    numbers = st.sampled_from([*KEYS])
    parent = conditions([Parent.key, Parent.key, Parent.id], lambda field: numbers)
    child = conditions([Child.other, Child.parent], lambda field: numbers)
    shape = draw(
        st.sampled_from(
            ["join", "left join", "right side", "in", "exists", "alias", "derived", "cte", "colour"]
        )
    )
    if shape == "join":
        return Child.select(Child.id, Parent.id).join(Parent).where(draw(parent) & draw(child))
    if shape == "left join":
        on = (Child.parent == Parent.id) & draw(child)
        joined = Parent.select(Parent.id, Child.id).join(Child, JOIN.LEFT_OUTER, on=on)
        return joined.where(draw(parent))
    if shape == "right side":
        return Child.select(Child.id, Parent.id).join(Parent, on=(Child.parent == Parent.id) & draw(parent))
    if shape == "in":
        inner = Child.select(Child.parent).where(draw(child))
        return Parent.select(Parent.id).where(Parent.id.in_(inner) & draw(parent))
    if shape == "exists":
        inner = Child.select().where((Child.parent == Parent.id) & draw(child))
        there = fn.EXISTS(inner)
        return Parent.select(Parent.id).where((there if draw(st.booleans()) else ~there) & draw(parent))
    if shape == "alias":
        return (
            Parent.select(Parent.id, other.id).join(other, on=(Parent.key == other.key)).where(draw(parent))
        )
    if shape == "derived":
        inner = Parent.select(Parent.id, Parent.key).where(draw(parent)).alias("q")
        return Child.select(Child.id, inner.c.key).join(inner, on=(Child.parent == inner.c.id))
    if shape == "cte":
        cte = Parent.select(Parent.id, Parent.key).where(draw(parent)).cte("q")
        return Child.select(Child.id).join(cte, on=(Child.parent == cte.c.id)).with_cte(cte)
    return (
        Colour.select(Colour.id, Parent.id)
        .join(Parent, on=(Parent.id % 3 == Colour.id - 1))
        .where(draw(parent))
    )


@quick
@given(query=statement())
def test_statements_of_several_tables_are_whole_in_the_shards_that_are_left(query: Any) -> None:
    """All parents and children in one database are what the shards have together."""
    found = footprint(query.model._meta.home, query)
    assert found.apart is None, found.apart
    parts = [row for name in found.shards for row in found_in(query, name)]
    assert sorted(parts, key=repr) == sorted(found_in_one(query), key=repr)


@pytest.fixture(autouse=True, scope="module")
def one(rows: None) -> Iterator[None]:
    """One database with the rows of all."""
    own.add("one", "sqlite:///:memory:")
    for model in (Parent, Child, Colour):
        with own["one"].bind_ctx([model], bind_refs=False, bind_backrefs=False):
            model.create_table()
            names = NAMES[:1] if model is Colour else NAMES
            for name in names:
                some = list(own[name].execute_sql(f"SELECT * FROM {model._meta.table_name}"))
                for row in some:
                    marks = ", ".join("?" * len(row))
                    if model is Child:
                        # The shards number their children each on its own.
                        row = (NAMES.index(name) * 1000 + row[0], *row[1:])
                    own["one"].execute_sql(f"INSERT INTO {model._meta.table_name} VALUES ({marks})", row)
    for position, name in enumerate(NAMES):
        own[name].execute_sql(f"UPDATE child SET id = id + {1000 * position}")
    yield


def found_in_one(query: Any) -> list[Any]:
    sql, params = query.using("s0").sql()
    return list(own["one"].execute_sql(sql, params))


APART = {
    "cross join": lambda: Parent.select().from_(Parent, Child),
    "join by another field": lambda: Child.select().join(Parent, on=(Child.other == Parent.id)),
    "left join from a reference": lambda: Colour.select().join(
        Parent, JOIN.LEFT_OUTER, on=(Parent.id == Colour.id)
    ),
    "reference with a subquery": lambda: Colour.select().where(Colour.id.in_(Parent.select(Parent.id))),
    "not in a nullable": lambda: Parent.select().where(Parent.id.not_in(Child.select(Child.other + 0))),
    "limit inside": lambda: Parent.select().where(Parent.id.in_(Child.select(Child.parent).limit(1))),
    "aggregate inside": lambda: Parent.select().where(Parent.id == Child.select(fn.MAX(Child.parent))),
    "other rule": lambda: Hashed.select().join(Ranged, on=(Hashed.key == Ranged.key)),
    "derived limit": lambda: (lambda q: Child.select().join(q, on=(Child.parent == q.c.id)))(
        Parent.select(Parent.id).limit(3).alias("q")
    ),
    "union inside": lambda: Parent.select().where(
        Parent.id.in_(Child.select(Child.parent) | Child.select(Child.parent))
    ),
}


@pytest.mark.parametrize("name", APART)
def test_what_brings_rows_of_several_shards_together_is_found(name: str) -> None:
    query = APART[name]()
    assert footprint(query.model._meta.home, query).apart is not None
    with pytest.raises(ScatterNotSupported):
        list(query)


IN_ONE_SHARD = {
    "cross join": lambda row: APART["cross join"]().where((Parent.key == row.key) & (Child.parent == row)),
    "join by another field": lambda row: APART["join by another field"]().where(
        (Parent.key == row.key) & (Child.parent == row)
    ),
    "left join from a reference": lambda row: APART["left join from a reference"]().where(
        Parent.key == row.key
    ),
    "reference with a subquery": lambda row: Colour.select().where(
        Colour.id.in_(Parent.select(Parent.id).where(Parent.key == row.key))
    ),
    "limit inside": lambda row: Parent.select().where(
        (Parent.key == row.key)
        & Parent.id.in_(Child.select(Child.parent).where(Child.parent == row).limit(1))
    ),
    "aggregate inside": lambda row: Parent.select().where(
        (Parent.key == row.key) & (Parent.id == Child.select(fn.MAX(Child.parent)).where(Child.parent == row))
    ),
}


@pytest.mark.parametrize("name", IN_ONE_SHARD)
def test_and_is_answered_where_one_shard_has_all_of_them(name: str) -> None:
    row = Parent.get(Parent.key == 3)
    query = IN_ONE_SHARD[name](row)
    found = footprint(query.model._meta.home, query)
    assert (found.apart, found.shards) == (None, (Parent._meta.home.rule.shard_of(3),))
    assert sorted(query.tuples()) == sorted(found_in_one(query))
