"""What must not happen silently: rows of one database used, changed or lost in another."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField, ManyToManyField, TextField

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    Databases,
    ReadOnlyDatabase,
    WrongShard,
    database_of,
    explain_route,
    use_db,
    use_replica,
)
from tests.model.conftest import LITES, base_model, sent_to


@pytest.fixture
def person(base: Any) -> Any:
    """A model with the keys 1 and 2 in each of the three files, and names that tell the file."""

    class Person(base):
        name = CharField(null=True)
        note = TextField(default="nothing known")

    for name in LITES:
        with use_db(name):
            Person.create_table()
            for number in (1, 2):
                Person.create(name=f"{name} {number}", note=f"a note of {name}")
    return Person


def names(model: Any, name: str) -> list[str]:
    return [row.name for row in model.select().using(name).order_by(model.id)]


# A query object that is used again


def readers() -> Any:
    return [
        pytest.param(lambda q: next(row.name for row in q), id="iterating"),
        pytest.param(lambda q: q[0].name, id="indexing"),
        pytest.param(lambda q: (len(q), q[0].name)[1], id="len"),
        pytest.param(lambda q: q.execute()[0].name, id="execute"),
        pytest.param(lambda q: next(q.iterator()).name, id="iterator"),
        pytest.param(lambda q: q.first().name, id="first"),
    ]


@pytest.mark.parametrize("read", readers())
def test_rule_3_a_query_of_no_scope_is_asked_again_where_it_is_used_next(person: Any, read: Any) -> None:
    query = person.select().order_by(person.id)
    found = []
    for name in ("other", "third"):
        with use_db(name):
            found.append(read(query))
    assert [*found, read(query)] == ["other 1", "third 1", "default 1"]


@pytest.mark.parametrize("read", readers()[:-1])
def test_rule_3_raw_queries_too(person: Any, read: Any) -> None:
    query = person.raw("SELECT * FROM person ORDER BY id")
    with use_db("other"):
        assert read(query) == "other 1"
    assert read(query) == "default 1"


def test_a_query_with_rows_is_not_run_again_where_it_ran(lites: Databases, person: Any) -> None:
    some, none = person.select(), person.select().where(person.id == 77)
    with sent_to(lites) as sent:
        for _ in range(3):
            assert (len(list(some)), len(some), some[0].id) == (2, 2, 1)
            assert (list(none), len(none)) == ([], 0)
    assert sent.where() == ["default", "default"]


def test_rows_of_a_database_that_execute_was_given_are_kept(lites: Databases, person: Any) -> None:
    query = person.select()
    query.execute(lites["other"])
    assert (next(iter(query)).name, query[0].name) == ("other 1", "other 1")


def test_a_raw_write_is_not_run_again_by_looking_at_it(lites: Databases, person: Any) -> None:
    query = person.raw("INSERT INTO person (name, note) VALUES ('x', '') RETURNING *")
    with use_db("other"):
        query.execute()
    with sent_to(lites) as sent:
        assert [row.name for row in query] == ["x"]
    assert sent.log == []


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))])
def test_a_copied_query_that_was_bound_to_nothing_has_no_database(copied: Any) -> None:
    with pytest.raises(peewee.InterfaceError, match="must be bound"):
        copied(Plain.select().bind(None)).execute()


class Plain(base_model(Databases({"default": "sqlite:///:memory:"}))):
    """At module level, so that its queries can be pickled."""


def test_rule_7_an_insert_that_has_run_is_compiled_anew_for_another_engine(person: Any) -> None:
    query = person.insert(name="x")
    query.execute()
    for engine, says in ((peewee.PostgresqlDatabase, True), (peewee.MySQLDatabase, False)):
        sql, _ = engine("never connected").get_sql_context().parse(query)
        assert (" RETURNING " in sql) is says
    assert query.execute() == 4


def test_a_write_in_a_with_clause_is_a_write(lites: Databases, person: Any) -> None:
    gone = person.delete().where(person.id == 1).returning(person.id).cte("gone")
    query = person.select().join(gone, on=(gone.c.id == person.id)).with_cte(gone)
    assert query.sql()[0].startswith("WITH")
    lites.add("guarded", "sqlite:///:memory:", read_only=True)
    with sent_to(lites) as sent:
        with pytest.raises(ReadOnlyDatabase, match="DELETE on Person refused: database 'guarded'"):
            list(query.using("guarded"))
        with use_replica(), pytest.raises(ReadOnlyDatabase, match="use_replica"):
            list(query)
    assert sent.log == []


# A query that is bound to a Database object


def test_rule_9_a_bound_write_does_not_go_to_another_shard(lites: Databases, base: Any) -> None:
    class Order(base):
        number = IntegerField()

        class Meta:
            db_name = staticmethod(lambda number: "other" if number % 2 else "third")
            shard_key = "number"
            shards = ("other", "third")

    Order.create_table()
    for write in (
        Order.insert(number=1),
        Order.delete().where(Order.number == 1),
        Order.update(number=2).where(Order.number == 1),
    ):
        with pytest.raises(WrongShard):
            write.bind(lites["third"]).execute()
        with Order.bind_ctx(lites["third"]), pytest.raises(WrongShard):
            write.clone().execute()
    assert Order.insert(number=1).bind(lites["other"]).execute() == 1
    assert Order.select().bind(lites["third"]).count() == 0
    with pytest.raises(DatabaseNotAllowed):
        Order.select().bind(lites["default"]).count()


def test_rule_2_a_bound_query_goes_to_no_database_that_the_model_does_not_list(
    lites: Databases, person: Any, audit: Any
) -> None:
    with pytest.raises(DatabaseNotAllowed, match="Audit may not be sent to database 'third'"):
        audit.select().bind(lites["third"]).count()
    assert audit.select().bind(lites["other"]).count() == 1
    with use_db(default="third"):
        assert audit.select().bind(lites["third"]).count() == 1
    with audit.bind_ctx(lites["third"]):
        assert audit.select().count() == 1


# Beside a row


@pytest.fixture
def audit(lites: Databases, base: Any, person: Any) -> Any:
    """A model that may live beside persons in default and other, with a table in third that is not its."""

    class Audit(base):
        about = ForeignKeyField(person, backref="audits")

        class Meta:
            db_name = ("default", "other")

    Audit.create_table()
    for name in ("other", "third"):
        lites[name].execute_sql("CREATE TABLE audit (id INTEGER PRIMARY KEY, about_id INTEGER)")
    for name in LITES:
        lites[name].execute_sql("INSERT INTO audit (about_id) VALUES (1)")
    return Audit


def test_rule_2_a_model_beside_a_row_does_not_follow_it_where_it_may_not_be(person: Any, audit: Any) -> None:
    for name in ("default", "other"):
        with use_db(name):
            row = person.get_by_id(1)
        assert [database_of(one) for one in row.audits] == [name]
    with use_db("third"):
        row = person.get_by_id(1)
    with pytest.raises(DatabaseNotAllowed, match="Audit may not be sent to database 'third'"):
        list(row.audits)
    with pytest.raises(DatabaseNotAllowed):
        row.delete_instance(recursive=True)
    with pytest.raises(DatabaseNotAllowed):
        list(person.select().using("third").prefetch(audit))
    assert person.select().using("third").count() == 2


def test_rule_2_a_name_that_is_re_pointed_there_still_takes_it_along(person: Any, audit: Any) -> None:
    with use_db(default="third"):
        row = person.get_by_id(1)
        assert audit.select().count() == 1
    assert [database_of(one) for one in row.audits] == ["third"]


def test_a_models_own_handle_may_be_bound_for_a_block(person: Any, base: Any) -> None:
    class Other(base):
        pass

    handle = person._meta.database
    for model in (person, Other):
        with use_db("other"), model.bind_ctx(handle):
            assert model._meta.database.database.endswith("/other.db")
        assert model._meta.database is model._meta.handle


@pytest.mark.parametrize("dsn", ["postgresql://app:secret@host/app", "host=h dbname=app password=secret"])
def test_no_message_shows_the_password_of_a_connection_string(base: Any, person: Any, dsn: str) -> None:
    with person.bind_ctx(peewee.PostgresqlDatabase(dsn)):
        shown = str(explain_route(person.select().where(person.id == 1)))
    assert "unregistered PostgresqlDatabase" in shown
    assert "secret" not in shown


# Many rows at once


def test_bulk_update_changes_each_row_where_it_lives(lites: Databases, person: Any) -> None:
    here = person.get_by_id(1)
    with use_db("other"):
        there = person.get_by_id(2)
    here.name, there.name = "new here", "new there"
    assert person.bulk_update([there, here], [person.name]) == 2
    assert names(person, "default") == ["new here", "default 2"]
    assert names(person, "other") == ["other 1", "new there"]
    assert names(person, "third") == ["third 1", "third 2"]
    with use_db("third"):
        there.name = "newer"
        person.bulk_update((row for row in [there]), ["name"], batch_size=1)
    assert (names(person, "other")[1], names(person, "third")[1]) == ("newer", "third 2")
    assert person.bulk_update([], ["name"]) == 0


def test_bulk_update_of_rows_without_a_home_follows_the_scope(person: Any) -> None:
    with use_db("other"):
        person.bulk_update([person(id=1, name="new")], ["name"])
    assert (names(person, "other")[0], names(person, "default")[0]) == ("new", "default 1")


def test_bulk_create_refuses_rows_of_another_database_as_save_does(base: Any, person: Any) -> None:
    class Letter(base):
        writer = ForeignKeyField(person)

    for name in LITES:
        with use_db(name):
            Letter.create_table()
    with use_db("other"):
        stranger = person.get_by_id(1)
        Letter.bulk_create([Letter(writer=stranger)])
    with pytest.raises(CrossDatabaseQuery, match=r"Letter.writer is a Person from 'other'"):
        Letter.bulk_create([Letter(writer=1), Letter(writer=stranger)])
    assert [Letter.select().using(name).count() for name in LITES] == [0, 1, 0]


def test_a_many_to_many_field_refuses_rows_of_another_database(base: Any, person: Any) -> None:
    class Group(base):
        members = ManyToManyField(person, backref="groups")

    for name in LITES:
        with use_db(name):
            Group.create_table()
            Group.members.get_through_model().create_table()
    with use_db("other"):
        group = Group.create()
        friend = person.get_by_id(1)
    stranger = person.get_by_id(2)
    group.members.add(friend)
    for change in (
        lambda: group.members.add([friend, stranger]),
        lambda: group.members.remove(stranger),
        lambda: setattr(group, "members", [stranger]),
    ):
        with pytest.raises(CrossDatabaseQuery, match=r"is from 'default', but .* lives in 'other'"):
            change()
    assert list(group.members) == [friend]
    group.members.add(stranger.id)
    assert [row.name for row in group.members.order_by(person.id)] == ["other 1", "other 2"]


# Rows that were loaded in part


@pytest.mark.parametrize("move", [False, True])
def test_rule_1_a_row_loaded_in_part_takes_all_of_its_values_along(person: Any, move: bool) -> None:
    person.create(id=7, name="seven", note="a note")
    row = person.select(person.id, person.name).where(person.id == 7).get()
    row.name = "changed and not saved"
    assert row.move_to("other") is None if move else row.copy_to("other") is not None
    with use_db("other"):
        there = person.get_by_id(7)
    assert (there.name, there.note) == ("changed and not saved", "a note")


def test_a_row_loaded_without_its_key_cannot_be_copied_or_moved(person: Any) -> None:
    row = person.select(person.name).get()
    for change in (row.copy_to, row.move_to):
        with pytest.raises(person.DoesNotExist):
            change("other")
    assert [len(names(person, name)) for name in LITES] == [2, 2, 2]


def test_what_is_no_name_or_no_saved_row_is_refused(lites: Databases, person: Any) -> None:
    row = person.get_by_id(1)
    for target in (None, lites["other"]):
        with pytest.raises(ConfigurationError, match="takes a database name"):
            row.copy_to(target)
        with pytest.raises(ConfigurationError, match="takes a database name"):
            row.move_to(target)
    with pytest.raises(ConfigurationError, match="never loaded or saved"):
        person(name="new").copy_to("other")
    assert [len(names(person, name)) for name in LITES] == [2, 2, 2]


def test_a_row_with_a_composite_key_that_was_loaded_in_part(base: Any) -> None:
    class Seat(base):
        row = IntegerField()
        number = IntegerField()
        guest = CharField(default="nobody")

        class Meta:
            primary_key = peewee.CompositeKey("row", "number")

    for name in LITES:
        with use_db(name):
            Seat.create_table()
    Seat.create(row=1, number=1, guest="Ada")
    Seat.create(row=1, number=2, guest="Bob")
    Seat.select(Seat.row, Seat.number).where(Seat.number == 2).get().move_to("other")
    assert [seat.guest for seat in Seat.select()] == ["Ada"]
    assert [seat.guest for seat in Seat.select().using("other")] == ["Bob"]


# Copies of the Python object


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_rule_1_a_copied_object_lives_where_its_original_lives(
    tmp_path: Path, person: Any, copied: Any
) -> None:
    unregistered = peewee.SqliteDatabase(str(tmp_path / "unregistered.db"))
    with person.bind_ctx(unregistered):
        person.create_table()
        person.create(name="unregistered 1")
    row = copied(person.select().bind(unregistered).get())
    row.name = "changed"
    row.save()
    assert (names(person, "default")[0], database_of(row)) == ("default 1", None)
    assert person.select().bind(unregistered).get().name == "changed"
    with use_db("other"):
        row = copied(person.get_by_id(1))
    row.name = "changed"
    row.save()
    assert (names(person, "default")[0], names(person, "other")[0]) == ("default 1", "changed")
    unregistered.close()
