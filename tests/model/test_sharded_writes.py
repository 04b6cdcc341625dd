"""Writes over shards: every row where its key says, ids in the order of the input, all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import EXCLUDED, Case, CharField, IntegerField, TextField, fn

from peewee_multidb import (
    Databases,
    InvalidShardKey,
    MissingShardKey,
    Model,
    PartialCommit,
    ReadOnlyDatabase,
    ScatterNotSupported,
    UncoveredWrite,
    WrongShard,
    all_shards,
    database_of,
    explain_route,
    use_db,
    use_replica,
    use_shard,
)
from peewee_multidb.transactions import together
from tests.model.conftest import QUICK, sent_to
from tests.model.shop import SHARDS, counts, keys_of, shop


@pytest.fixture
def s(tmp_path: Path) -> Iterator[Any]:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in SHARDS})
    yield shop(own)
    own.close_all()


def placed(s: Any, model: Any) -> None:
    """Check that every row is where its key says."""
    for name in s.names:
        for row in model.select().using(name):
            key = row.user_id if hasattr(row, "user_id") else row.id if model is s.User else row.user
            assert s.rule.shard_of(key) == name


# INSERT


def test_rows_go_to_the_shards_of_their_keys_and_ids_come_in_the_order_of_the_rows(s: Any) -> None:
    ids = list(range(1, 61))
    found = s.User.insert_many([{"id": number, "name": str(number)} for number in ids]).execute()
    assert list(found) == [(number,) for number in ids]
    assert sum(counts(s, s.User)) == 60 and min(counts(s, s.User)) > 5
    placed(s, s.User)
    numbered = s.Visit.insert_many([{"user": key, "page": str(key)} for key in ids]).execute()
    for (number,), key in zip(numbered, ids, strict=True):
        assert s.Visit.get(s.Visit.user == key, s.Visit.id == number).page == str(key)


def test_every_form_of_rows_is_grouped(s: Any) -> None:
    s.User.insert_many([(1, "a"), (2, "b"), (3, "c")], fields=[s.User.id, s.User.name]).execute()
    s.User.insert_many(((4, "d"), (5, "e")), fields=["id", "name"]).execute()
    s.User.insert_many({"id": number} for number in (6, 7, 8)).execute()
    s.User.insert_many([{s.User.id: 9}, {s.User.id: "10"}]).execute()
    assert sorted(row.id for row in s.User.select()) == list(range(1, 11))
    placed(s, s.User)
    assert s.User.insert_many([]).execute() == []
    assert s.User.insert_many([]).as_rowcount().execute() == 0


def test_rows_have_the_columns_of_the_first_whichever_shard_that_goes_to(s: Any) -> None:
    one, other = keys_of(s, "s0", 1)[0], keys_of(s, "s1", 1)[0]
    s.Visit.insert_many([{"user": one}, {"user": other, "page": "x"}]).execute()
    # Peewee takes the columns from the first row and from the defaults.
    assert {row.page for row in s.Visit.select()} == {"", "x"}
    # A column that the first row has not is left out of the others too, wherever they go.
    rows = [{"id": one}, {"id": other, "country": 1}]
    s.User.insert_many(rows).execute()
    assert [row.country_id for row in s.User.select()] == [None, None]


def test_a_row_without_its_key_refuses_all(s: Any) -> None:
    for rows in (
        [{"user": 1}, {"page": "x"}],
        [{"user": 1}, {"user": None}],
        [{"user": 1}, {"user": fn.ABS(-1)}],
    ):
        with pytest.raises(
            MissingShardKey, match=r"the shard key user is not in row 2 of 2\. Add Visit.user"
        ):
            s.Visit.insert_many(rows).execute()
    with pytest.raises(MissingShardKey):
        s.Visit.insert_many([("x",)], fields=["page"]).execute()
    assert counts(s, s.Visit) == [0, 0, 0]


def test_a_key_that_is_no_value_of_its_field_is_refused(s: Any) -> None:
    with pytest.raises(InvalidShardKey, match=r"Visit.user: 'abc' is no value of a IntegerField"):
        s.Visit.insert_many([{"user": "abc"}]).execute()
    with pytest.raises(InvalidShardKey):
        s.Visit.create(user="abc")


def test_more_rows_than_a_statement_takes_are_cut(s: Any) -> None:
    rows = [{"user": number, "page": "x" * (number % 7)} for number in range(20_000)]
    with sent_to(s.own) as sent:
        found = s.Visit.insert_many(rows).execute()
    inserts = [sql for _, sql in sent if sql.startswith("INSERT")]
    assert len(inserts) >= 9
    assert len(found) == 20_000 and sum(counts(s, s.Visit)) == 20_000
    some = found[12_345][0]
    assert s.Visit.get(s.Visit.user == 12_345).id == some


def test_as_rowcount_and_returning(s: Any) -> None:
    rows = [{"user": number} for number in range(30)]
    assert s.Visit.insert_many(rows).as_rowcount().execute() == 30
    returned = s.Visit.insert_many(rows).returning(s.Visit.user).tuples()
    assert list(returned.execute()) == [(number,) for number in range(30)]
    models = list(s.Visit.insert_many(rows).returning(s.Visit).execute())
    assert [row.user for row in models] == list(range(30))
    assert [database_of(row) for row in models] == [s.rule.shard_of(number) for number in range(30)]


def test_on_conflict_and_replace_are_decided_in_each_shard(s: Any) -> None:
    rows = [{"id": number, "name": "new"} for number in range(1, 11)]
    s.User.insert_many([{"id": number, "name": "old"} for number in range(1, 6)]).execute()
    with pytest.raises(peewee.IntegrityError):
        s.User.insert_many(rows).execute()
    assert s.User.select().count() == 5, "what other shards had taken is undone"
    s.User.insert_many(rows).on_conflict_ignore().execute()
    assert s.User.select().where(s.User.name == "old").count() == 5
    s.User.insert_many(rows).on_conflict(conflict_target=[s.User.id], preserve=[s.User.name]).execute()
    assert s.User.select().where(s.User.name == "new").count() == 10
    s.User.replace_many([{"id": number, "name": "replaced"} for number in range(1, 4)]).execute()
    assert s.User.select().where(s.User.name == "replaced").count() == 3
    with pytest.raises(WrongShard):
        update = {s.User.id: EXCLUDED.id + 1}
        s.User.insert_many(rows).on_conflict(conflict_target=[s.User.id], update=update).execute()


def test_the_callers_rows_are_left_alone(s: Any) -> None:
    class Made(Model):
        key = IntegerField(default=lambda: 5)
        text = CharField(default="x")

        class Meta:
            registry = s.own
            db_name = s.rule
            shard_key = "key"

    Made.create_table()
    rows = [{"text": "a"}, {"text": "b"}]
    Made.insert_many(rows).execute()
    assert rows == [{"text": "a"}, {"text": "b"}]
    assert [(row.key, row.text) for row in Made.select().where(Made.key == 5)] == [(5, "a"), (5, "b")]
    assert database_of(Made.create()) == s.rule.shard_of(5)


def test_a_key_that_a_default_makes_is_made_once(s: Any) -> None:
    numbers = iter(range(1, 100))

    class Counted(Model):
        key = IntegerField(default=lambda: next(numbers))

        class Meta:
            registry = s.own
            db_name = s.rule
            shard_key = "key"

    Counted.create_table()
    query = Counted.insert()
    assert explain_route(query).databases == explain_route(query).databases == (s.rule.shard_of(1),)
    query.execute()
    assert [database_of(row) for row in Counted.select().where(Counted.key == 1)] == [s.rule.shard_of(1)]


def test_a_scope_admits_only_rows_of_its_shard(s: Any) -> None:
    mine, others = keys_of(s, "s0"), keys_of(s, "s1")
    with use_db("s0"):
        s.Visit.insert_many([{"user": key} for key in mine]).execute()
        with pytest.raises(WrongShard):
            s.Visit.insert_many([{"user": mine[0]}, {"user": others[0]}]).execute()
    with use_shard(s.User, mine[0]), pytest.raises(WrongShard):
        s.Visit.create(user=others[0])
    assert counts(s, s.Visit) == [3, 0, 0]


def test_rows_of_a_query_are_inserted_where_they_are_if_their_key_stays(s: Any) -> None:
    s.User.insert_many([{"id": number, "name": str(number)} for number in range(1, 31)]).execute()
    with sent_to(s.own) as sent:
        source = s.User.select(s.User.id, s.User.name).where(s.User.id > 5)
        s.Visit.insert_from(source, [s.Visit.user, s.Visit.page]).execute()
    assert all("SELECT" in sql for _, sql in sent if sql.startswith("INSERT"))
    assert sorted(row.user for row in s.Visit.select()) == list(range(6, 31))
    placed(s, s.Visit)
    one = s.User.select(s.User.id, s.User.name).where(s.User.id == 3)
    assert s.Visit.insert_from(one, [s.Visit.user, s.Visit.page]).as_rowcount().execute() == 1


def test_rows_of_a_query_are_fetched_if_their_key_changes(s: Any) -> None:
    s.User.insert_many([{"id": number, "name": str(number)} for number in range(1, 31)]).execute()
    source = s.User.select(s.User.id + 100, s.User.name)
    found = s.Visit.insert_from(source, [s.Visit.user, s.Visit.page]).execute()
    assert len(found) == 30
    assert sorted(row.user for row in s.Visit.select()) == list(range(101, 131))
    placed(s, s.Visit)
    limited = s.User.select(s.User.id, s.User.name).order_by(s.User.id).limit(4)
    s.Visit.insert_from(limited, [s.Visit.user, s.Visit.page]).execute()
    assert sorted(row.user for row in s.Visit.select().where(s.Visit.user < 100)) == [1, 2, 3, 4]
    with pytest.raises(MissingShardKey):
        s.Visit.insert_from(peewee.SQL("SELECT 1"), [s.Visit.user]).execute()
    with pytest.raises(MissingShardKey):
        s.Visit.insert_from(s.User.select(s.User.name), [s.Visit.page]).execute()


# UPDATE and DELETE


def test_an_update_or_delete_goes_to_every_shard_that_its_keys_name(s: Any) -> None:
    s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
    with sent_to(s.own) as sent:
        assert s.Visit.update(page="x").where(s.Visit.user.in_(range(10))).execute() == 10
    assert sorted(set(sent.where())) == sorted({s.rule.shard_of(number) for number in range(10)})
    assert s.Visit.select().where(s.Visit.page == "x").count() == 10
    assert s.Visit.delete().where((s.Visit.user == 3) | (s.Visit.user == 4)).execute() == 2
    assert sum(counts(s, s.Visit)) == 28
    returned = s.Visit.update(page="y").where(s.Visit.user << [1, 2, 5]).returning(s.Visit.user).tuples()
    assert sorted(returned.execute()) == [(1,), (2,), (5,)]
    assert sorted(returned) == [(1,), (2,), (5,)]


def test_without_a_key_all_shards_must_be_meant(s: Any) -> None:
    s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
    for write in (s.Visit.update(page="x"), s.Visit.delete(), s.Visit.delete().where(s.Visit.page == "")):
        with pytest.raises(MissingShardKey, match=r"say so with all_shards\(\)"):
            write.execute()
    with all_shards():
        assert s.Visit.update(page="x").execute() == 30
        kept = s.Visit.delete().where(s.Visit.page == "nothing")
        with pytest.raises(MissingShardKey):
            s.Visit.insert(page="x").execute()
        # What has its key goes where that says.
        assert explain_route(s.Visit.delete().where(s.Visit.user == 3)).databases == (s.rule.shard_of(3),)
    assert kept.execute() == 0, "a query that was built in the block keeps it"

    @all_shards(s.Visit)
    def clear() -> int:
        return int(s.Visit.delete().where(s.Visit.page == "x").execute())

    assert clear() == 30
    with all_shards(s.User), pytest.raises(MissingShardKey):
        s.Visit.delete().execute()


def test_all_shards_lifts_the_scopes_around_it_and_yields_to_those_inside(s: Any) -> None:
    s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
    with use_db("s1"):
        with all_shards():
            assert s.Visit.update(page="x").execute() == 30
            with use_db("s0"):
                assert s.Visit.update(page="y").execute() == counts(s, s.Visit)[0]
        assert s.Visit.update(page="z").execute() == counts(s, s.Visit)[1]
    with pytest.raises(peewee.ImproperlyConfigured, match="takes sharded models"):
        all_shards(s.Country)


def test_a_limit_would_count_in_each_shard_anew(s: Any) -> None:
    s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
    with all_shards(), pytest.raises(ScatterNotSupported, match="DELETE with LIMIT on Visit"):
        s.Visit.delete().limit(3).execute()
    assert sum(counts(s, s.Visit)) == 30


@pytest.mark.parametrize("change", ["value", "expression", "case"])
def test_the_key_of_rows_in_several_shards_may_not_be_changed(s: Any, change: str) -> None:
    s.Visit.insert_many([{"user": number} for number in range(10)]).execute()
    values = {"value": 5, "expression": s.Visit.user + 1, "case": Case(s.Visit.user, [(1, 2)], 3)}
    with all_shards(), pytest.raises(WrongShard, match="would change the shard key user"):
        s.Visit.update({s.Visit.user: values[change]}).execute()
    assert sorted(row.user for row in s.Visit.select()) == list(range(10))


def test_a_subquery_beside_the_row_is_asked_in_each_shard(s: Any) -> None:
    s.User.insert_many([{"id": number} for number in range(1, 20)]).execute()
    for number in range(1, 20):
        s.Order.create(user=number, total=number)
    rich = s.Order.select(s.Order.user).where(s.Order.total > 15)
    with all_shards():
        assert s.User.update(name="rich").where(s.User.id.in_(rich)).execute() == 4
        apart = s.Visit.select(s.Visit.page)
        with pytest.raises(ScatterNotSupported, match="a subquery of Visit"):
            s.User.update(name="x").where(s.User.name.in_(apart)).execute()
    assert sorted(row.id for row in s.User.select().where(s.User.name == "rich")) == [16, 17, 18, 19]


# Transactions


def test_several_shards_commit_together_or_not_at_all(s: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
    broken = s.own["s1"]
    real = broken.execute_sql

    def fail(sql: str, *args: Any, **kwargs: Any) -> Any:
        if sql.startswith("UPDATE"):
            raise peewee.OperationalError("no more")
        return real(sql, *args, **kwargs)

    monkeypatch.setattr(broken, "execute_sql", fail)
    with all_shards(), pytest.raises(peewee.OperationalError, match="no more"):
        s.Visit.update(page="x").execute()
    monkeypatch.undo()
    assert s.Visit.select().where(s.Visit.page == "x").count() == 0


def test_a_commit_that_fails_half_way_says_who_has_committed(s: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = s.own["s0"]

    def fail(*args: Any) -> None:
        raise peewee.OperationalError("gone")

    monkeypatch.setattr(broken, "commit", fail)
    with pytest.raises(PartialCommit) as raised:
        s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
    assert raised.value.committed == ("s2", "s1")


def test_an_open_block_takes_the_writes_in_and_can_undo_them(s: Any) -> None:
    with pytest.raises(RuntimeError), together([(name, s.own[name]) for name in s.names]):
        s.Visit.insert_many([{"user": number} for number in range(30)]).execute()
        assert sum(counts(s, s.Visit)) == 30
        raise RuntimeError
    assert counts(s, s.Visit) == [0, 0, 0]


def test_a_shard_that_an_open_block_does_not_cover_is_warned_of(s: Any) -> None:
    with together([("s0", s.own["s0"])]), pytest.warns(UncoveredWrite, match="'s1'"):
        s.Visit.insert_many([{"user": key} for key in (*keys_of(s, "s0"), *keys_of(s, "s1"))]).execute()


def test_no_write_under_use_replica_nor_to_a_read_only_shard(s: Any, tmp_path: Path) -> None:
    with use_replica():
        for write in (
            lambda: s.Visit.insert_many([{"user": number} for number in range(9)]).execute(),
            lambda: s.Visit.delete().where(s.Visit.user.in_(range(9))).execute(),
            lambda: s.Visit.bulk_create([s.Visit(user=number) for number in range(9)]),
            lambda: s.Country.insert(code="x").execute(),
        ):
            with pytest.raises(ReadOnlyDatabase):
                write()
    s.own.remove("s2")
    s.own.add("s2", f"sqlite:///{tmp_path}/s2.db", read_only=True)
    with pytest.raises(ReadOnlyDatabase):
        s.Visit.insert_many([{"user": number} for number in range(9)]).execute()
    assert [s.own[name].execute_sql("SELECT COUNT(*) FROM visit").fetchone()[0] for name in SHARDS[:2]] == [
        0,
        0,
    ]


# Instances


def test_bulk_create_puts_each_instance_where_its_key_says(s: Any) -> None:
    rows = [s.Visit(user=number, page=str(number)) for number in range(30)]
    s.Visit.bulk_create(rows)
    assert [database_of(row) for row in rows] == [s.rule.shard_of(number) for number in range(30)]
    assert sum(counts(s, s.Visit)) == 30
    orders = [s.Order(user=number) for number in range(30)]
    s.Order.bulk_create(orders, batch_size=4)
    assert all(s.Order.get(s.Order.user == row.user_id).id == row.id for row in orders)
    with pytest.raises(MissingShardKey, match="is not in row 2 of 2 of bulk_create"):
        s.Visit.bulk_create([s.Visit(user=1), s.Visit()])


def test_bulk_update_updates_each_row_where_it_lives(s: Any) -> None:
    s.User.insert_many([{"id": number} for number in range(1, 31)]).execute()
    rows = list(s.User.select())
    for row in rows:
        row.name = f"n{row.id}"
    assert s.User.bulk_update(rows, [s.User.name]) == 30
    assert {row.id: row.name for row in s.User.select()} == {number: f"n{number}" for number in range(1, 31)}
    unloaded = [s.User(id=number, name="again") for number in range(1, 31)]
    assert s.User.bulk_update(unloaded, ["name"]) == 30
    assert s.User.select().where(s.User.name == "again").count() == 30
    with pytest.raises(MissingShardKey):
        s.Visit.bulk_update([s.Visit(id=1, page="x")], ["page"])


def test_get_or_create_looks_everywhere_and_creates_where_the_key_says(s: Any) -> None:
    row, made = s.Visit.get_or_create(user=7, page="x")
    assert made and database_of(row) == s.rule.shard_of(7)
    assert s.Visit.get_or_create(user=7, page="x") == (row, False)
    # The key only in the defaults: the row may be in any shard.
    other, made = s.Visit.get_or_create(page="x", defaults={"user": 8})
    assert (other, made) == (row, False)
    fresh, made = s.Visit.get_or_create(page="y", defaults={"user": 8})
    assert made and (fresh.user, database_of(fresh)) == (8, s.rule.shard_of(8))
    with pytest.raises(MissingShardKey):
        s.Visit.get_or_create(page="z")
    s.User.insert(id=5, name="x").execute()
    with pytest.raises(peewee.IntegrityError):
        s.User.get_or_create(id=5, name="other")


def test_a_loaded_row_is_saved_deleted_and_refreshed_where_it_is(s: Any) -> None:
    s.Visit.insert_many([{"user": number} for number in range(10)]).execute()
    for row in s.Visit.select():
        row.page = "saved"
        assert row.save() == 1
        assert row.refresh().page == "saved"
    assert s.Visit.select().where(s.Visit.page == "saved").count() == 10
    row = s.Visit.get(s.Visit.user == 3)
    row.delete_instance()
    assert sum(counts(s, s.Visit)) == 9
    row = s.Visit.get(s.Visit.user == 4)
    row.user = next(key for key in range(100) if s.rule.shard_of(key) != s.rule.shard_of(4))
    with pytest.raises(WrongShard):
        row.save()


def test_a_row_whose_key_changes_is_moved(s: Any) -> None:
    here, there = keys_of(s, "s0", 2), keys_of(s, "s2", 1)[0]
    row = s.Visit.create(user=here[0], page="x")
    row.user = here[1]
    assert row.save() == 1, "it stays where it is"
    row.user = there
    with pytest.raises(WrongShard, match=r"move_to\(\)"):
        row.save()
    with pytest.raises(WrongShard):
        row.move_to("s1")
    assert counts(s, s.Visit) == [1, 0, 0]
    row.move_to("s2")
    assert counts(s, s.Visit) == [0, 0, 1]
    assert (database_of(row), s.Visit.get(s.Visit.user == there).page) == ("s2", "x")


def test_methods_by_primary_key_find_the_shard_when_the_key_is_in_it(s: Any) -> None:
    s.User.insert_many([{"id": number} for number in range(1, 10)]).execute()
    with sent_to(s.own) as sent:
        assert s.User.get_by_id(5).id == 5
        s.User.set_by_id(5, {"name": "five"})
        assert s.User[5].name == "five"
        s.User.delete_by_id(6)
    assert set(sent.where()) == {s.rule.shard_of(5), s.rule.shard_of(6)}
    assert s.User.get_or_none(s.User.id == 6) is None
    visit = s.Visit.create(user=5)
    with pytest.raises(MissingShardKey):
        s.Visit.delete_by_id(visit.id)


def test_a_composite_primary_key_may_hold_the_shard_key(s: Any) -> None:
    class Seat(Model):
        show = IntegerField()
        number = IntegerField()
        guest = TextField(default="")

        class Meta:
            registry = s.own
            db_name = s.rule
            shard_key = "show"
            primary_key = peewee.CompositeKey("show", "number")

    Seat.create_table()
    found = Seat.insert_many([{"show": n, "number": n * 2} for n in range(10)]).execute()
    assert list(found) == [(n, n * 2) for n in range(10)]
    with sent_to(s.own) as sent:
        seat = Seat.get_by_id((4, 8))
        seat.guest = "x"
        seat.save()
        Seat.delete_by_id((5, 10))
    assert set(sent.where()) == {s.rule.shard_of(4), s.rule.shard_of(5)}
    assert Seat.get_by_id((4, 8)).guest == "x" and Seat.select().count() == 9


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.integers(0, 2**62), st.text(max_size=5)), max_size=40))
def test_whatever_rows_are_given_all_of_them_are_there_once(s: Any, rows: list[tuple[int, str]]) -> None:
    with all_shards():
        s.Visit.delete().execute()
    rows = [(key, page.replace("\x00", "")) for key, page in rows]
    found = s.Visit.insert_many([{"user": key, "page": page} for key, page in rows]).execute()
    assert sorted((row.user, row.page) for row in s.Visit.select()) == sorted(rows)
    for (number,), (key, page) in zip(found, rows, strict=True):
        assert s.Visit.get((s.Visit.id == number) & (s.Visit.user == key)).page == page
    placed(s, s.Visit)
