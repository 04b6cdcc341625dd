"""Colocated models live beside their parents, reference models everywhere, and foreign keys find both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    Databases,
    HashShards,
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
from tests.model.conftest import QUICK, base_model, sent_to
from tests.model.shop import SHARDS, counts, keys_of, shop


@pytest.fixture
def s(tmp_path: Path) -> Iterator[Any]:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in (*SHARDS, "default")})
    yield shop(own)
    own.close_all()


def user(s: Any, shard: str = "s1") -> Any:
    key = keys_of(s, shard, 1)[0]
    s.User.insert(id=key, name="x").on_conflict_ignore().execute()
    return s.User.get_by_id(key)


def other_shard(s: Any, name: str) -> str:
    return next(one for one in s.names if one != name)


# Where rows of colocated models go


def test_the_key_of_a_colocated_model_is_found_in_its_fields(s: Any) -> None:
    homes = {model.__name__: model._meta.home for model in s.models}
    assert homes["Order"].shard_key == ("user",) and homes["Order"].link is None
    assert homes["Line"].shard_key == () and homes["Line"].link.name == "order"
    assert homes["Friend"].shard_key == ("user",) and homes["Friend"].link is None
    assert homes["Order"].rule is homes["User"].rule is homes["Line"].rule
    assert homes["Line"].names == SHARDS


def test_a_row_goes_where_its_parent_is(s: Any) -> None:
    for shard in SHARDS:
        owner = user(s, shard)
        order = s.Order.create(user=owner)
        line = s.Line.create(order=order)
        assert (database_of(order), database_of(line)) == (shard, shard)
        assert s.Line.insert(order=order, count=2).execute()
        s.Line.bulk_create([s.Line(order=order, count=3)])
        s.Line.insert_many([{"order": order, "count": 4}]).execute()
        assert [row.count for row in order.lines.order_by(s.Line.count)] == [1, 2, 3, 4]
    assert counts(s, s.Line) == [4, 4, 4]


def test_a_parent_that_knows_its_key_is_enough_and_a_number_is_not(s: Any) -> None:
    key = keys_of(s, "s2", 1)[0]
    unsaved = s.Order(id=5, user=key)
    assert explain_route(s.Line.insert(order=unsaved)).databases == ("s2",)
    with pytest.raises(MissingShardKey, match=r"Give the Order itself \(Line.order == row\)"):
        s.Line.create(order=5)
    with pytest.raises(MissingShardKey):
        s.Line.insert_many([{"order": 5}]).execute()
    with pytest.raises(MissingShardKey):
        s.Line.delete().where(s.Line.order == 5).execute()
    with use_shard(s.Line, key):
        s.Line.create(order=5)
    assert counts(s, s.Line) == [0, 0, 1]


def test_a_parent_loaded_without_its_key_is_where_it_was_loaded(s: Any) -> None:
    order = s.Order.create(user=user(s))
    partial = s.Order.select(s.Order.id).where(s.Order.user == order.user_id).get()
    assert "user" not in partial.__data__
    assert explain_route(s.Line.insert(order=partial)).databases == ("s1",)
    assert list(s.Line.select().where(s.Line.order == partial)) == []


def test_a_row_may_not_leave_its_parent(s: Any) -> None:
    here, there = s.Order.create(user=user(s, "s1")), s.Order.create(user=user(s, "s0"))
    line = s.Line.create(order=here)
    for change in (
        lambda: s.Line.update(order=there).where(s.Line.order == here).execute(),
        lambda: s.Line.update(order=there.id).where(s.Line.order == here).execute(),
    ):
        with pytest.raises(WrongShard):
            change()
    line.order = there
    with pytest.raises(CrossDatabaseQuery):
        line.save()
    line.order = s.Order.create(user=here.user)
    line.count = 9
    assert line.save() == 1
    assert s.Line.update(order=here).where(s.Line.order == line.order).execute() == 1


def test_a_foreign_key_beside_the_key_may_refer_to_any_shard(s: Any) -> None:
    here, there = user(s, "s0"), user(s, "s2")
    friend = s.Friend.create(user=here, other=there)
    assert database_of(friend) == "s0"
    again = s.Friend.get(s.Friend.user == here)
    assert (again.user, again.other) == (here, there)
    assert database_of(again.other) == "s2"
    assert list(here.friends) == [friend] and list(there.friend_of) == [friend]
    assert list(there.friends) == [] and list(here.friend_of) == []


# Joins


def test_joins_go_to_the_shard_that_any_table_in_them_names(s: Any) -> None:
    owner = user(s)
    order = s.Order.create(user=owner)
    s.Line.create(order=order)
    joined = s.Line.select(s.Line, s.Order, s.User).join(s.Order).join(s.User)
    for where in (s.User.id == owner.id, s.Order.user == owner, s.Line.order == order):
        query = joined.where(where)
        assert explain_route(query).databases == ("s1",)
        (line,) = query
        assert [database_of(one) for one in (line, line.order, line.order.user)] == ["s1"] * 3
    assert len(list(joined)) == 1
    assert set(explain_route(joined).databases) == set(SHARDS)
    with pytest.raises(ScatterNotSupported):
        list(s.Friend.select().join(s.User, on=s.Friend.other))
    with pytest.raises(CrossDatabaseQuery):
        list(s.Order.select().join(plain_model(s), on=True).where(s.Order.user == 1))


def plain_model(s: Any) -> Any:
    class Plain(base_model(s.own)):  # type: ignore[misc]
        n = IntegerField()

    Plain.create_table()
    return Plain


def test_use_shard_takes_along_what_is_colocated(s: Any) -> None:
    owner = user(s)
    with use_shard(s.User, owner.id):
        order = s.Order.create(user=owner)
        s.Line.create(order=order.id)
        assert {current_db(model) for model in (s.User, s.Order, s.Line, s.Country)} == {"s1"}
        assert s.Line.select().join(s.Order).join(s.User).count() == 1
        s.Country.create(code="de")
    assert counts(s, s.Country) == [1, 1, 1]
    assert use_shard(s.Line, owner.id).name == use_shard(s.Order, owner).name == "s1"


# Prefetch and foreign keys


def test_prefetch_within_and_across_shards(s: Any) -> None:
    de = s.Country.create(code="de")
    owners = [user(s, shard) for shard in SHARDS]
    for number, owner in enumerate(owners):
        owner.country = de
        owner.save()
        for _ in range(number):
            order = s.Order.create(user=owner)
            s.Line.insert_many([{"order": order}, {"order": order}]).execute()
    found = list(s.User.select().order_by(s.User.id).prefetch(s.Order, s.Line, s.Country))
    shape = {row.id: [len(order.lines) for order in row.orders] for row in found}
    assert shape == {owner.id: [2] * number for number, owner in enumerate(owners)}
    with sent_to(s.own) as sent:
        assert {row.country.code for row in found} == {"de"}
        assert {order.user.id for row in found for order in row.orders} <= set(shape)
    assert list(sent) == []
    (country,) = s.Country.select().prefetch(s.User)
    assert {row.id for row in country.users} == set(shape)
    lines = s.Line.select().prefetch(s.Order, s.User)
    assert {line.order.user.id for line in lines} == {owners[1].id, owners[2].id}
    one = s.User.select().where(s.User.id == owners[2].id).prefetch(s.Order, s.Line)
    assert [[len(order.lines) for order in row.orders] for row in one] == [[2, 2]]


def test_with_related_within_and_across_shards(s: Any) -> None:
    for shard in SHARDS:
        order = s.Order.create(user=user(s, shard))
        s.Line.create(order=order)
    loaded = list(s.User.select().with_related(s.User.orders))
    assert sorted(len(row.orders) for row in loaded) == [1, 1, 1]
    back = list(s.Line.select().with_related(s.Line.order))
    with sent_to(s.own) as sent:
        assert len({line.order.id for line in back}) == 3
    assert list(sent) == []


def test_foreign_keys_and_back_references_follow_the_row_or_its_key(s: Any) -> None:
    s.Country.create(code="fr")
    owner = user(s, "s2")
    order = s.Order.create(user=owner)
    line = s.Line.create(order=order)
    with sent_to(s.own) as sent:
        assert s.Line.get(s.Line.order == order).order.user == owner
        assert list(order.lines) == [line] and list(owner.orders) == [order]
    assert set(sent.where()) == {"s2"}
    country = s.Country.get()
    assert list(country.users) == []
    owner.country = country
    owner.save()
    assert list(country.users) == [owner]


# Reference models


def test_a_reference_model_is_written_everywhere_and_read_at_hand(s: Any) -> None:
    de = s.Country.create(code="de")
    found = s.Country.insert_many([{"code": "fr"}, {"code": "us"}]).execute()
    assert list(found) == [(2,), (3,)] and de.id == 1
    everywhere(s, [(1, "de"), (2, "fr"), (3, "us")])
    assert s.Country.update(code="uk").where(s.Country.code == "us").execute() == 1
    de.code = "at"
    assert de.save() == 1
    assert s.Country.delete().where(s.Country.code == "fr").execute() == 1
    everywhere(s, [(1, "at"), (3, "uk")])
    rows = [s.Country(code=code) for code in ("x", "y")]
    s.Country.bulk_create(rows)
    row, made = s.Country.get_or_create(code="z")
    assert made and s.Country.get_or_create(code="z") == (row, False)
    row.delete_instance()
    everywhere(s, [(1, "at"), (3, "uk"), (4, "x"), (5, "y")])
    with sent_to(s.own) as sent:
        assert s.Country.select().count() == 4
        assert s.Country.get(s.Country.code == "x").id == 4
    assert sent.where() == ["s0", "s0"]


def everywhere(s: Any, rows: list[tuple[Any, ...]]) -> None:
    for name in s.names:
        assert sorted(s.Country.select(s.Country.id, s.Country.code).tuples().using(name)) == rows


def test_all_copies_take_a_write_or_none(s: Any) -> None:
    with s.own["s1"].atomic():
        s.own["s1"].execute_sql("INSERT INTO country (code) VALUES ('only here')")
    with pytest.raises(peewee.IntegrityError):
        s.Country.create(code="only here")
    with pytest.raises(peewee.IntegrityError):
        s.Country.insert_many([{"code": "a"}, {"code": "only here"}]).execute()
    assert counts(s, s.Country) == [0, 1, 0]


def test_upserts_need_keys_that_no_copy_numbers(s: Any) -> None:
    s.Country.insert_many([{"id": 7, "code": "a"}]).execute()
    again = [{"id": 7, "code": "b"}, {"id": 8, "code": "c"}]
    target = {"conflict_target": [s.Country.id], "preserve": [s.Country.code]}
    s.Country.insert_many(again).on_conflict(**target).execute()
    everywhere(s, [(7, "b"), (8, "c")])
    with pytest.raises(ScatterNotSupported, match="different numbers"):
        s.Country.insert(code="a").on_conflict_ignore().execute()
    with pytest.raises(ScatterNotSupported, match="whose primary key its first copy numbers"):
        s.Country.insert(code="q").returning(s.Country.code).execute()
    everywhere(s, [(7, "b"), (8, "c")])
    assert [row.code for row in s.Country.insert(id=9, code="q").returning(s.Country.code).execute()] == ["q"]
    everywhere(s, [(7, "b"), (8, "c"), (9, "q")])


def test_a_copy_can_be_named_and_read_or_mended_alone(s: Any) -> None:
    s.Country.create(code="a")
    s.Country.delete().using("s1").execute()
    assert counts(s, s.Country) == [1, 0, 1]
    with use_db("s1"):
        assert s.Country.select().count() == 0
        s.Country.create(code="b")
    assert [row.code for row in s.Country.select().using("s1")] == ["b"]
    assert counts(s, s.Country) == [2, 1, 2]
    with use_db("s1", s.Country):
        s.Country.create(code="c")
    assert counts(s, s.Country) == [2, 2, 2]
    with use_db("default"), pytest.raises(DatabaseNotAllowed):
        s.Country.select().count()


def test_a_read_is_of_the_copy_whose_transaction_is_open(s: Any) -> None:
    with s.own["s2"].atomic() as transaction:
        s.Country.insert(code="new").using("s2").execute()
        assert s.Country.select().count() == 1
        transaction.rollback()
    assert s.Country.select().count() == 0


def test_joins_with_a_reference_model_stay_in_each_shard(s: Any) -> None:
    de = s.Country.create(code="de")
    for shard in SHARDS:
        owner = user(s, shard)
        owner.country = de
        owner.save()
    both = s.User.select(s.User, s.Country).join(s.Country)
    assert {row.country.code for row in both} == {"de"} and len(both) == 3
    assert set(explain_route(both).databases) == set(SHARDS)
    one = keys_of(s, "s1", 1)[0]
    other = s.Country.select(s.Country, s.User).join(s.User, attr="one").where(s.User.id == one)
    assert explain_route(other).databases == ("s1",)
    assert [row.one.id for row in other] == [one]
    assert sorted(
        row.one.id for row in s.Country.select(s.Country, s.User).join(s.User, attr="one")
    ) == sorted(keys_of(s, shard, 1)[0] for shard in SHARDS)


def test_a_reference_model_may_list_its_databases(s: Any) -> None:
    class Word(base_model(s.own)):  # type: ignore[misc]
        text = CharField()

        class Meta:
            db_name = ("default", "s0")
            reference = True

    Word.create_table()
    Word.create(text="x")
    assert [Word.select().using(name).count() for name in ("default", "s0")] == [1, 1]
    assert current_db(Word) == "default"
    assert "word" not in s.own["s1"].get_tables()
    Word.drop_table()
    assert "word" not in s.own["s0"].get_tables()


def test_raw_sql_on_a_reference_model_may_read_and_not_write(s: Any) -> None:
    s.Country.create(code="a")
    assert [row.code for row in s.Country.raw("SELECT * FROM country")] == ["a"]
    with pytest.raises(MissingShardKey, match="Raw SQL on Country"):
        s.Country.raw("DELETE FROM country").execute()
    with pytest.raises(MissingShardKey, match="Raw SQL on Visit"):
        list(s.Visit.raw("SELECT * FROM visit"))
    assert list(s.Visit.raw("SELECT * FROM visit").using("s0")) == []


def test_explain_names_every_copy_of_a_write(s: Any) -> None:
    route = explain_route(s.Country.insert(code="x"))
    assert route.databases == SHARDS
    assert str(route).startswith("Country -> s0, s1, s2 (primary)\n  1. 's0', 's1', 's2': Country is a ref")
    assert explain_route(s.Country.select()).databases == ("s0",)


# Declarations


def declared(registry_: Any = None, **options: Any) -> Any:
    parent_rule = HashShards("s0", "s1")

    class Parent(Model):
        code = IntegerField()

        class Meta:
            db_name = parent_rule
            shard_key = "code"

    options = {
        key: value(Parent) if key == "colocate_with" and not isinstance(value, type) else value
        for key, value in options.items()
    }
    fields = options.pop("fields", lambda parent: {"parent": ForeignKeyField(parent)})(Parent)
    meta = type("Meta", (), options)
    return type(Model)("Child", (Model,), {"Meta": meta, "__module__": __name__, **fields})


OWN = Databases()
WRONG = [
    ({"reference": True, "db_name": "s0"}, "reference = True needs the databases as db_name"),
    (
        {"reference": True, "db_name": ("s0", "s1"), "shard_key": "parent"},
        "a reference model has no shard_key",
    ),
    ({"reference": "yes"}, "it takes True or False"),
    ({"colocate_with": int}, "it takes a sharded model"),
    ({"colocate_with": lambda parent: parent, "db_name": "x"}, "has both colocate_with and db_name"),
    ({"colocate_with": lambda parent: parent, "reference": True}, "exclude each other"),
    ({"colocate_with": lambda parent: parent, "registry": OWN}, "which is of another registry"),
    ({"colocate_with": lambda parent: parent, "shard_key": ("a", "b")}, r"shard_key has 2 field\(s\)"),
]


@pytest.mark.parametrize(("options", "says"), WRONG, ids=[says for _, says in WRONG])
def test_options_that_make_no_sense_are_refused_when_the_class_is_made(options: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        declared(**options)


def test_a_key_that_cannot_be_found_is_refused_at_first_use() -> None:
    none = declared(colocate_with=lambda parent: parent, fields=lambda parent: {"n": IntegerField()})
    with pytest.raises(ConfigurationError, match="needs a foreign key to Parent, or the field"):
        none.insert(n=1).execute()
    several = declared(
        colocate_with=lambda parent: parent,
        fields=lambda parent: {
            "one": ForeignKeyField(parent, backref="a"),
            "two": ForeignKeyField(parent, backref="b"),
        },
    )
    with pytest.raises(ConfigurationError, match="one, two all refer to it; say which is meant"):
        several.insert(one=1).execute()
    wrong = declared(colocate_with=lambda parent: parent, shard_key="nothing")
    with pytest.raises(ConfigurationError, match="shard_key names 'nothing', which is no field of it"):
        wrong.select().count()


def test_a_field_of_the_parents_name_is_the_key() -> None:
    child = declared(colocate_with=lambda parent: parent, fields=lambda parent: {"code": IntegerField()})
    assert child._meta.home.shard_key == ("code",)


def test_no_constraint_is_made_to_or_from_sharded_and_reference_models(s: Any) -> None:
    for model in (s.User, s.Order, s.Line, s.Friend):
        assert s.own["s0"].get_foreign_keys(model._meta.table_name) == []


def test_the_rows_of_a_many_to_many_field_are_beside_their_owner(s: Any) -> None:
    class Tag(base_model(s.own)):  # type: ignore[misc]
        text = CharField(primary_key=True)

        class Meta:
            db_name = s.rule
            reference = True

    class Reader(base_model(s.own)):  # type: ignore[misc]
        id = IntegerField(primary_key=True)
        tags = peewee.ManyToManyField(Tag, backref="readers")

        class Meta:
            db_name = s.rule
            shard_key = "id"

    through = Reader.tags.get_through_model()
    s.own.create_tables([Tag, Reader, through])
    Tag.insert_many([{"text": text} for text in "abc"]).execute()
    Reader.insert_many([{"id": number} for number in range(1, 10)]).execute()
    for number in range(1, 10):
        reader = Reader.get_by_id(number)
        reader.tags.add(["a", "b"])
        reader.tags.remove("a")
        assert [tag.text for tag in reader.tags] == ["b"]
        assert {database_of(row) for row in through.select().where(through.reader == number)} == {
            s.rule.shard_of(number)
        }
    assert sorted(row.id for row in Tag.get(Tag.text == "b").readers) == list(range(1, 10))
    Reader.get_by_id(3).tags.clear()
    assert through.select().count() == 8


def test_a_sharded_model_may_refer_to_itself_over_shards(s: Any) -> None:
    class Node(base_model(s.own)):  # type: ignore[misc]
        id = IntegerField(primary_key=True)
        key = IntegerField()
        parent = ForeignKeyField("self", null=True, backref="children")

        class Meta:
            db_name = s.rule
            shard_key = "key"

    Node.create_table()
    one, two = keys_of(s, "s0", 1)[0], keys_of(s, "s2", 1)[0]
    Node.insert_many([{"id": 1, "key": one}, {"id": 2, "key": two}]).execute()
    child = Node.get_by_id(2)
    child.parent = Node.get_by_id(1)
    child.save()
    child = Node.get(Node.key == two)
    assert (database_of(child), database_of(child.parent)) == ("s2", "s0")
    assert [database_of(row) for row in child.parent.children] == ["s2"]
    assert s.own["s0"].get_foreign_keys("node") == []


def test_deleting_a_row_deletes_its_dependents_wherever_they_are(s: Any) -> None:
    owner, friend, stranger = user(s, "s0"), user(s, "s1"), user(s, "s2")
    for one in (owner, friend, stranger):
        order = s.Order.create(user=one)
        s.Line.insert_many([{"order": order}, {"order": order}]).execute()
    s.Friend.create(user=owner, other=friend)
    s.Friend.create(user=friend, other=owner)
    s.Friend.create(user=friend, other=stranger)
    owner.delete_instance(recursive=True)
    assert counts(s, s.User) == [0, 1, 1]
    assert counts(s, s.Order) == [0, 1, 1] and counts(s, s.Line) == [0, 2, 2]
    assert [(row.user_id, row.other_id) for row in s.Friend.select()] == [(friend.id, stranger.id)]
    s.Order.get(s.Order.user == friend).delete_instance(recursive=True)
    assert counts(s, s.Line) == [0, 0, 2]


def test_dependents_of_another_shard_with_the_same_number_are_left_alone(s: Any) -> None:
    class Bill(base_model(s.own)):  # type: ignore[misc]
        user = ForeignKeyField(s.User)

        class Meta:
            colocate_with = s.User

    class Item(base_model(s.own)):  # type: ignore[misc]
        bill = ForeignKeyField(Bill)

        class Meta:
            colocate_with = Bill

    s.own.create_tables([Bill, Item])
    here, there = (Bill.create(user=user(s, shard)) for shard in ("s0", "s1"))
    assert here.id == there.id
    for bill in (here, there):
        Item.create(bill=bill)
    here.delete_instance(recursive=True)
    assert (counts(s, Bill), counts(s, Item)) == ([0, 1, 0], [0, 1, 0])


def test_a_nullable_foreign_key_is_emptied_in_every_shard(s: Any) -> None:
    country = s.Country.create(code="x")
    for shard in SHARDS:
        owner = user(s, shard)
        owner.country = country
        owner.save()
    country.delete_instance(recursive=True)
    assert [row.country_id for row in s.User.select()] == [None] * 3
    assert counts(s, s.Country) == [0, 0, 0]
