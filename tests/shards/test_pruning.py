"""The shard key found in queries: the right shard, or a refusal; never a guess."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import EXCLUDED, CharField, DateField, Expression, ForeignKeyField, IntegerField, Value, fn

from peewee_multidb import (
    ConfigurationError,
    Databases,
    MissingShardKey,
    Model,
    ScatterNotSupported,
    WrongShard,
    current_db,
    database_of,
    explain_route,
    use_db,
    use_shard,
)
from peewee_multidb.shards.pruning import shards_for
from tests.model.conftest import sent_to

own = Databases()


def by_number(number: int) -> str:
    return ("s0", "s1", "s2")[number % 3]


def by_place_and_day(place: str, day: datetime.date) -> str:
    return "s0" if place == "here" and day.year < 2020 else "s1"


class Base(Model):
    class Meta:
        registry = own


class Customer(Base):
    name = CharField()


class Item(Base):
    number = IntegerField(column_name="num")
    label = CharField(default="")

    class Meta:
        db_name = by_number
        shard_key = "number"
        shards = ("s0", "s1", "s2")


class Order(Base):
    customer = ForeignKeyField(Customer)
    total = IntegerField(default=0)

    class Meta:
        db_name = by_number
        shard_key = "customer"
        shards = ("s0", "s1", "s2")


class Visit(Base):
    place = CharField()
    day = DateField()

    class Meta:
        db_name = by_place_and_day
        shard_key = ("place", "day")
        shards = ("s0", "s1")


@pytest.fixture(autouse=True)
def shards(tmp_path: Path) -> Iterator[None]:
    own.configure({name: f"sqlite:///{tmp_path / name}.db" for name in ("default", "s0", "s1", "s2")})
    own.create_tables([Customer, Item, Order, Visit])
    yield
    own.close_all()
    own.configure({})


def target(query: Any) -> str:
    (name,) = explain_route(query).databases
    return name


def counts(model: Any = Item) -> list[int]:
    """Return how many rows each shard of the model really has."""
    table = model._meta.table_name
    shards = model._meta.home.rule.names
    return [own[name].execute_sql(f'SELECT COUNT(*) FROM "{table}"').fetchone()[0] for name in shards]


# Writes of rows


def test_rule_9_each_row_goes_to_the_shard_of_its_key() -> None:
    for number in range(9):
        row = Item.create(number=number, label=str(number))
        assert database_of(row) == f"s{number % 3}"
    assert counts() == [3, 3, 3]
    for number in range(9):
        assert Item.get(Item.number == number).label == str(number)


@pytest.mark.parametrize(
    "insert",
    [
        lambda: Item.insert(number=4),
        lambda: Item.insert({Item.number: 4}),
        lambda: Item.insert({"num": 4}),
        lambda: Item.insert(number="4"),
        lambda: Item.insert(number=Value(4)),
        lambda: Item.insert_many([{"number": 4}, {"number": 1}]),
        lambda: Item.insert_many([{Item.number: 4}]),
        lambda: Item.insert_many([(4, "x"), (7, "y")], fields=[Item.number, Item.label]),
        lambda: Item.insert_many([("x", 4)], fields=["label", "number"]),
        lambda: Item.insert_many([(4, "x")]),
        lambda: Item.insert_many({"number": n} for n in (1, 4)),
        lambda: Item.replace(number=4),
        lambda: Item.insert(number=4).on_conflict_ignore(),
    ],
)
def test_the_key_is_found_in_every_form_of_insert(insert: Any) -> None:
    query = insert()
    assert target(query) == "s1"
    query.execute()
    assert counts()[0] == counts()[2] == 0
    assert counts()[1] > 0


@pytest.mark.parametrize(
    "write",
    [
        lambda: Item.insert(label="x").execute(),
        lambda: Item.insert_many([{"number": 1}, {"label": "x"}]).execute(),
        lambda: Item.insert(number=fn.ABS(-4)).execute(),
        lambda: Item.update(label="x").execute(),
        lambda: Item.update(label="x").where(Item.label == "y").execute(),
        lambda: Item.update(label="x").where(Item.number > 1).execute(),
        lambda: Item.update(label="x").where(Item.number == Item.id).execute(),
        lambda: Item.delete().execute(),
        lambda: Item.delete().where(Item.number != 1).execute(),
        lambda: Item.delete().where(~(Item.number == 1)).execute(),
        lambda: Item.delete_by_id(1),
    ],
)
def test_rule_9_a_write_without_its_key_is_refused(write: Any) -> None:
    for number in range(3):
        Item.create(number=number, label="y")
    with pytest.raises(MissingShardKey, match="A write on Item was refused"):
        write()
    assert counts() == [1, 1, 1]
    assert {row.label for name in ("s0", "s1", "s2") for row in Item.select().using(name)} == {"y"}


def test_a_missing_key_says_the_ways_out() -> None:
    with pytest.raises(MissingShardKey) as refused:
        Item.delete().execute()
    ways = ("Item.number == value", "use_shard(Item, key)", '.using("name of a shard")')
    assert all(way in str(refused.value) for way in ways)


def test_rule_9_a_write_with_its_key_changes_that_shard_only() -> None:
    for number in range(6):
        Item.create(number=number)
    assert Item.update(label="x").where((Item.number == 4) & (Item.label == "")).execute() == 1
    assert Item.delete().where(Item.number == "5").execute() == 1
    assert counts() == [2, 2, 1]


# Writes to the wrong shard


@pytest.mark.parametrize(
    "write",
    [
        lambda: Item.create(number=1),
        lambda: Item.insert_many([{"number": 0}, {"number": 1}]).execute(),
        lambda: Item.bulk_create([Item(number=0), Item(number=1)]),
        lambda: Item.update(label="x").where(Item.number == 1).execute(),
        lambda: Item.delete().where(Item.number.in_([0, 1])).execute(),
    ],
)
def test_rule_9_a_key_of_another_shard_than_the_scopes_is_refused(write: Any) -> None:
    with (
        use_db("s0"),
        pytest.raises(WrongShard, match=r"goes to 's0', but its shard key number belongs to 's1'"),
    ):
        write()
    assert counts() == [0, 0, 0]
    with pytest.raises(WrongShard):
        Item.insert(number=1).using("s0").execute()


def test_a_scope_stands_in_for_a_key_that_is_not_there() -> None:
    for number in range(6):
        Item.create(number=number)
    with use_shard(Item, 4):
        assert Item.select().count() == 2
        assert Item.update(label="x").execute() == 2
        assert Item.delete().execute() == 2
    assert counts() == [2, 0, 2]


@pytest.mark.parametrize(
    "change",
    [
        lambda: Item.update(number=2).where(Item.number == 1),
        lambda: Item.update({Item.number: Item.number + 1}).where(Item.number == 1),
        lambda: Item.update(number=2).using("s1"),
        lambda: Item.insert(id=1, number=1).on_conflict(conflict_target=[Item.id], update={Item.number: 2}),
        lambda: Item.insert(id=1, number=1).on_conflict(conflict_target=[Item.id], update={"number": 2}),
    ],
)
def test_rule_9_an_update_may_not_send_a_key_elsewhere(change: Any) -> None:
    Item.create(number=1)
    with pytest.raises(WrongShard, match=r"would change the shard key number.*move_to\(\)"):
        change().execute()
    assert [row.number for row in Item.select().using("s1")] == [1]


def test_an_update_of_the_key_within_its_shard_is_fine() -> None:
    Item.create(number=1)
    assert Item.update(number=7).where(Item.number == 1).execute() == 1
    again = Item.insert(id=1, number=7, label="new")
    again.on_conflict(conflict_target=[Item.id], preserve=[Item.label], update={Item.number: 10}).execute()
    assert [(row.number, row.label) for row in Item.select().using("s1")] == [(10, "new")]
    with pytest.raises(WrongShard):
        # What the database would make of it is not known here.
        again.on_conflict(conflict_target=[Item.id], update={Item.number: EXCLUDED.number}).execute()


def test_rule_9_a_saved_row_may_not_change_shards_by_itself() -> None:
    row = Item.create(number=1)
    row.label = "x"
    row.save()
    row.number = 2
    with pytest.raises(WrongShard):
        row.save()
    assert counts() == [0, 1, 0]
    assert Item.get(Item.number == 1).label == "x"


# Reads


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (lambda: Item.number == 4, "s1"),
        (lambda: 4 == Item.number, "s1"),  # noqa: SIM300
        (lambda: Item.number == "4", "s1"),
        (lambda: Item.number == Value(4), "s1"),
        (lambda: (Item.label == "x") & (Item.number == 5), "s2"),
        (lambda: (Item.label == "x") & ((Item.id > 1) & (Item.number == 5)), "s2"),
        (lambda: Item.number.in_([1, 4, 7]), "s1"),
        (lambda: Item.number << {1, 4}, "s1"),
        (lambda: Item.number.in_([0, 1, 2]) & (Item.number == 2), "s2"),
        (lambda: Item.number.in_([0, 1]) & Item.number.in_(["1", 2]), "s1"),
        (lambda: (Item.number == 3) & ((Item.label == "a") | (Item.label == "b")), "s0"),
    ],
)
def test_the_key_is_found_in_a_where_clause(where: Any, name: str) -> None:
    assert target(Item.select().where(where())) == name
    assert target(Item.delete().where(where())) == name


def test_where_clauses_that_are_chained_are_joined_by_and() -> None:
    assert target(Item.select().where(Item.label == "x").where(Item.number == 4)) == "s1"
    assert target(Item.select().where(Item.label == "x", Item.number == 4)) == "s1"
    assert target(Item.filter(number=4)) == "s1"
    Item.create(number=4)
    assert Item.get_or_none(number=4).number == 4
    assert Item.select().where(Item.number == 4).count() == 1
    assert Item.select().where(Item.number == 4).exists()


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (lambda: Item.label == "x", "s0 s1 s2"),
        (lambda: Item.number > 3, "s0 s1 s2"),
        (lambda: Item.number.in_([1, 2]), "s1 s2"),
        (lambda: Item.number.in_([]), ""),
        (lambda: Item.number.in_([None, 2]), "s2"),
        (lambda: Item.number.not_in([1]), "s0 s1 s2"),
        (lambda: ~(Item.number == 1), "s0 s1 s2"),
        (lambda: ~(Item.number != 1), "s1"),
        (lambda: ~(Item.number.not_in([1, 3])), "s0 s1"),
        (lambda: (Item.number == 1) | (Item.label == "x"), "s0 s1 s2"),
        (lambda: (Item.number == 1) | (Item.number == 3), "s0 s1"),
        (lambda: (Item.number == 1) | ((Item.number == 3) & (Item.label == "x")), "s0 s1"),
        (lambda: ~((Item.number != 1) & (Item.number != 3)), "s0 s1"),
        (lambda: ((Item.number == 1) | (Item.number == 3)) & (Item.number == 3), "s0"),
        (lambda: Item.number.is_null(), "s0 s1 s2"),
        (lambda: Item.number + 0 == 1, "s0 s1 s2"),
        (lambda: (Item.number == 1) & (Item.number == 4), ""),
        (lambda: (Item.number == 1) & (Item.number > 4), ""),
        (lambda: (Item.number == 7) & (Item.number.between(4, 9)), "s1"),
        (lambda: Item.number.between(9, 4), ""),
        (lambda: Item.number == fn.ABS(-1), "s0 s1 s2"),
        (lambda: Item.number == "what only the database knows", "s0 s1 s2"),
        (lambda: Item.alias().number == 1, "s0 s1 s2"),
    ],
)
def test_conditions_leave_these_shards(where: Any, names: str) -> None:
    assert shards_for(Item._meta.home, Item.select().where(where())) == tuple(names.split())


def test_the_members_of_a_compound_query_go_to_the_shards_of_all() -> None:
    one, four, five = (Item.select().where(Item.number == number) for number in (1, 4, 5))
    assert shards_for(Item._meta.home, one | four) == ("s1",)
    assert shards_for(Item._meta.home, one | five) == ("s1", "s2")
    assert shards_for(Item._meta.home, (one | five) - four) == ("s1", "s2")


def test_an_alias_is_a_table_of_its_own() -> None:
    other = Item.alias()
    assert shards_for(Item._meta.home, other.select().where(other.number == 4)) == ("s1",)
    assert shards_for(Item._meta.home, other.select().where(Item.number == 4)) == ("s0", "s1", "s2")


def test_a_contradiction_sends_nothing() -> None:
    Item.create(number=1)
    nothing = (Item.number == 1) & (Item.number == 4)
    with sent_to(own) as sent:
        assert list(Item.select().where(nothing)) == []
        assert Item.get_or_none(nothing) is None
        assert Item.update(label="x").where(nothing).execute() == 0
        assert Item.delete().where(nothing).execute() == 0
        assert list(Item.select(Item.id).where(Item.number.in_([])).tuples()) == []
    assert list(sent) == []
    assert explain_route(Item.select().where(nothing)).databases == ()


@pytest.mark.parametrize(
    "read",
    [
        lambda: Item.select().where(Item.number == 1).join(Order, on=(Item.id == Order.id)),
        lambda: Item.select().where(Item.number == 1).join(Order, on=(Item.number == Order.customer)),
        lambda: Item.select().where(Item.number == 1).from_(Item, Order),
    ],
)
def test_rule_10_a_join_that_may_need_other_shards_is_refused(read: Any) -> None:
    for number in range(4):
        Item.create(number=number)
    with pytest.raises(ScatterNotSupported, match=r"Item.*use_shard\(Item, key\)"):
        list(read())


def test_a_join_whose_sides_have_one_shard_is_done_there() -> None:
    Item.create(number=4, label="x")
    Order.create(customer=Customer.create(id=1, name="c"), total=4)
    joined = Item.select(Item, Order).join(Order, on=(Item.number == Order.total), attr="order")
    found = joined.where((Item.number == 4) & (Order.customer == 1))
    assert [row.order.total for row in found] == [4]
    with pytest.raises(ScatterNotSupported, match="a join of Item and Order"):
        list(joined.where((Item.number == 4) & (Order.customer == 2)))


def test_rule_10_a_subquery_needs_its_own_key() -> None:
    Item.create(number=1, label="x")
    Item.create(number=2, label="x")
    outer = Item.select().where(Item.number == 1)
    other = Item.alias()
    with pytest.raises(ScatterNotSupported, match="a subquery of Item may need rows of other shards"):
        list(outer.where(Item.label.in_(Item.select(Item.label).where(Item.number == 2))))
    for inside in (Item.select(Item.label), other.select(other.label), Item.select(fn.MAX(Item.label))):
        with pytest.raises(ScatterNotSupported):
            list(outer.where(Item.label.in_(inside)))
        with pytest.raises(ScatterNotSupported):
            list(Customer.select().where(Customer.name.in_(inside)))
    same = Item.select(Item.label).where(Item.number == 4)
    assert list(outer.where(Item.label.in_(same))) == []
    # Told where to go, all of it goes there.
    assert len(list(Item.select().where(Item.label.in_(Item.select(Item.label))).using("s1"))) == 1
    with use_db("s1"):
        assert len(list(Item.select().where(Item.label.in_(Item.select(Item.label))))) == 1


def test_rule_10_a_subquery_that_was_built_outside_follows_the_query_around_it() -> None:
    Item.create(number=1, label="x")
    inside = Item.select(Item.label)
    with use_db("s1"):
        outer = Item.select().where(Item.label.in_(inside))
    assert [row.number for row in outer] == [1]


def test_without_a_query_there_is_no_key() -> None:
    with pytest.raises(MissingShardKey, match="Nothing here says which shard of Item is meant"):
        current_db(Item)


# Foreign keys and keys of several fields as the shard key


def test_a_foreign_key_as_the_key_is_found_by_row_by_value_and_by_column() -> None:
    customer = Customer.create(id=4, name="x")
    order = Order.create(customer=customer)
    assert database_of(order) == "s1"
    for where in (
        Order.customer == customer,
        Order.customer == 4,
        Order.customer == "4",
        Order.customer_id == 4,
        Order.customer.in_([customer, 1]),
    ):
        assert target(Order.select().where(where)) == "s1"
    assert target(Order.insert(customer_id=4)) == "s1"
    assert target(Order.insert({"customer_id": 4})) == "s1"
    with use_shard(Order, customer):
        assert Order.get().customer == customer


def test_a_key_of_several_fields_needs_all_of_them() -> None:
    old, new = datetime.date(2019, 1, 1), datetime.date(2024, 1, 1)
    Visit.create(place="here", day=old)
    Visit.create(place="here", day=new)
    Visit.create(place="there", day=old)
    assert counts(Visit) == [1, 2]
    assert target(Visit.select().where(Visit.place == "here", Visit.day == old)) == "s0"
    assert target(Visit.select().where(Visit.place == "here", Visit.day == "2019-01-01")) == "s0"
    assert target(Visit.select().where(Visit.place.in_(["there", "far"]), Visit.day.in_([old, new]))) == "s1"
    for where in (Visit.place == "here", (Visit.place == "here") & Visit.day.in_([old, new])):
        assert shards_for(Visit._meta.home, Visit.select().where(where)) == ("s0", "s1")
        assert len(Visit.select().where(where)) == 2
    with pytest.raises(MissingShardKey):
        Visit.insert(place="here").execute()


def test_a_rule_that_gives_an_unknown_shard_is_not_followed() -> None:
    class Lost(Base):
        number = IntegerField()

        class Meta:
            db_name = staticmethod(lambda number: "nowhere")
            shard_key = "number"
            shards = ("s0",)

    with pytest.raises(ConfigurationError, match="returned 'nowhere', which is not among its shards"):
        Lost.create(number=1)


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        (lambda n: Expression(4, "=", n), ["s1"]),
        (lambda n: n.in_(Value([1, 4])), ["s1"]),
        (lambda n: n.in_([None, 4]), ["s1"]),
        (lambda n: ~(n.not_in([1, 4])), ["s1"]),
        (lambda n: ~(n != 4), ["s1"]),
        (lambda n: (n == 1) & n.in_([1, 2]), ["s1"]),
        (lambda n: n.in_([1, 4, 2]) & (n > 3), ["s1"]),
        (lambda n: (n == 1) & (n == 2), []),
        (lambda n: n.between(9, 3), []),
        (lambda n: ~n.between(1, 4), ["s0", "s1", "s2"]),
        (lambda n: n.in_([1, fn.ABS(4)]), ["s0", "s1", "s2"]),
        (lambda n: n.not_in([1, fn.ABS(4)]), ["s0", "s1", "s2"]),
        (lambda n: n.between(fn.ABS(1), 1), ["s0", "s1", "s2"]),
        (lambda n: n.between(None, 1), ["s0", "s1", "s2"]),
        (lambda n: n == fn.ABS(4), ["s0", "s1", "s2"]),
        (lambda n: n > "x", ["s0", "s1", "s2"]),
    ],
)
def test_a_condition_leaves_the_shards_that_may_have_its_rows(condition: Any, left: list[str]) -> None:
    query = Item.select().where(condition(Item.number))
    assert sorted(explain_route(query).databases) == left
