"""Writes that are easily overlooked, and reads at odd moments: none of them is answered by a late replica."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model, causal_token, use_causal_token, use_primary
from tests.replicas.test_waiting import latest
from tests.replicas.watch import Watched

Open = Callable[..., Watched]


def pause(cluster: Any) -> None:
    """Pause the replicas once they have all that there is."""
    cluster.wait_in_step()
    for replica in cluster.replicas:
        replica.pause()


RETURNING: dict[str, Callable[[Any], Any]] = {
    "returning": lambda note: list(note.insert_many([{"number": 9}]).returning(note.id)),
    "returning nothing": lambda note: note.insert(number=9).returning().execute(),
    "bulk_create": lambda note: note.bulk_create([note(number=9)]),
    "insert_many": lambda note: note.insert_many([{"number": 9}]).execute(),
    "raw": lambda note: list(note.raw("INSERT INTO note (text, number) VALUES ('', 9) RETURNING id")),
}


@pytest.mark.parametrize("write", RETURNING.values(), ids=RETURNING)
def test_a_write_that_returns_rows_is_waited_for(
    replicated: Watched, cluster: Any, write: Callable[[Any], Any]
) -> None:
    # MariaDB tells the first one's position; with rows it tells none, and the first one's would not do.
    replicated.Note.create(number=1)
    replicated.settle()
    pause(cluster)
    write(replicated.Note)
    assert latest(replicated) == 9


def add_function(watched: Watched, cluster: Any) -> None:
    if cluster.primary.engine == "PostgreSQL":
        watched.database.execute_sql(
            "CREATE FUNCTION add_note(n int) RETURNS int LANGUAGE sql AS "
            "$$ INSERT INTO note (text, number) VALUES ('', n) RETURNING number $$"
        )
    else:
        # With a binary log only an administrator may do this.
        cluster.primary.execute(
            "CREATE FUNCTION add_note(n int) RETURNS int DETERMINISTIC MODIFIES SQL DATA "
            "BEGIN INSERT INTO note (text, number) VALUES ('', n); RETURN n; END",
            database=watched.database.database,
        )
    watched.settle()
    cluster.wait_in_step()


def _call(watched: Watched) -> None:
    list(watched.Note.raw("SELECT add_note(9) AS number"))


def _in_transaction(watched: Watched) -> None:
    with watched.database.atomic():
        _call(watched)


def _on_primary(watched: Watched) -> None:
    with use_primary():
        _call(watched)


CALLS: dict[str, Callable[[Watched], Any]] = {
    "refused by a replica": lambda watched: _call(watched),
    "in a transaction": _in_transaction,
    "use_primary": _on_primary,
    "execute_sql": lambda watched: watched.database.execute_sql("SELECT add_note(9)").fetchall(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_function_that_turns_out_to_write_is_waited_for(
    replicated: Watched, cluster: Any, call: Callable[[Watched], Any]
) -> None:
    replicated.Note.create(number=1)
    add_function(replicated, cluster)
    for replica in cluster.replicas:
        replica.pause()
    call(replicated)
    assert latest(replicated) == 9


def test_a_database_object_that_is_written_to_before_it_is_looked_up(
    replicated: Watched, cluster: Any, cluster_settings: Any
) -> None:
    replicated.settle()
    mine = Databases({"one": cluster_settings["url"]})["one"]
    registry = Databases({"default": {"database": mine, "replicas": cluster_settings["replicas"]}})

    class Plain(peewee.Model):
        text = peewee.CharField()
        number = peewee.IntegerField()

        class Meta:
            database = mine
            table_name = "note"

    pause(cluster)
    Plain.create(text="", number=7)
    other = Watched(registry, create=False)
    assert latest(other) == 7
    registry.close_all()


def test_what_was_written_counts_for_a_database_that_is_configured_anew(
    replicated: Watched, cluster: Any, cluster_settings: Any
) -> None:
    replicated.settle()
    pause(cluster)
    replicated.Note.create(number=7)
    replicated.registry.remove("default")
    replicated.registry.add("default", cluster_settings["url"], replicas=cluster_settings["replicas"])
    replicated.registry.secret_key = "a text that is long enough"
    token = causal_token(replicated.registry)
    assert token is not None
    assert latest(replicated) == 7
    # Another process, in which only the token says so.
    elsewhere = contextvars.Context()
    with_token = use_causal_token(token, replicated.registry)
    elsewhere.run(with_token.__enter__)
    assert elsewhere.run(latest, replicated) == 7


def test_a_commit_in_the_middle_and_callbacks_of_the_commit(replicated: Watched, cluster: Any) -> None:
    note, database = replicated.Note, replicated.database
    replicated.settle()
    pause(cluster)
    seen = []
    with database.atomic() as transaction:
        database.after_commit(lambda: seen.append(latest(replicated)))
        note.create(number=1)
        transaction.commit()
        seen.append(latest(replicated))
        database.after_commit(lambda: seen.append(latest(replicated)))
        note.create(number=2)
    assert seen == [1, 1, 2]
    with database.manual_commit():
        database.begin()
        note.create(number=3)
        database.commit()
        assert latest(replicated) == 3
    assert latest(replicated) == 3
    database.session_start()
    note.create(number=4)
    database.session_commit()
    assert latest(replicated) == 4


def test_a_commit_that_is_answered_before_it_is_on_the_disk(
    postgres_cluster_settings: Any, watch: Open
) -> None:
    watched = watch(postgres_cluster_settings)
    watched.settle()
    for number in range(1, 21):
        with watched.database.atomic():
            watched.database.execute_sql("SET LOCAL synchronous_commit = off")
            watched.Note.create(number=number)
        assert latest(watched) == number


def test_two_registries_over_one_database_object_both_know_of_a_write(
    replicated: Watched, cluster: Any, cluster_settings: Any
) -> None:
    other = Databases({"same": {"database": replicated.database, "replicas": cluster_settings["replicas"]}})

    class Note(Model):
        text = peewee.CharField(default="")
        number = peewee.IntegerField(default=0)

        class Meta:
            registry = other
            db_name = "same"

    replicated.settle()
    pause(cluster)
    replicated.Note.create(number=3)
    assert Note.select(peewee.fn.MAX(Note.number)).scalar() == 3
    Note.create(number=4)
    assert latest(replicated) == 4
    other.remove("same")
    replicated.Note.create(number=5)
    assert latest(replicated) == 5
    for server in other.entries.values():
        assert server.databases() == []


def test_the_shards_of_a_model_each_have_replicas(cluster: Any, request: pytest.FixtureRequest) -> None:
    kind = "postgres" if cluster.primary.engine == "PostgreSQL" else "mariadb"
    new_settings = request.getfixturevalue(f"new_{kind}_cluster_settings")
    registry_of_shards = Databases({"even": new_settings(), "odd": new_settings()})

    class Visit(Model):
        visitor = peewee.IntegerField()
        number = peewee.IntegerField()

        class Meta:
            registry = registry_of_shards
            shard_key = "visitor"
            shards = ("even", "odd")
            db_name = staticmethod(lambda visitor: "odd" if visitor % 2 else "even")

    registry_of_shards.create_tables([Visit])
    pause(cluster)
    for visitor in (1, 2, 3, 4):
        Visit.create(visitor=visitor, number=visitor)
        assert Visit.get(Visit.visitor == visitor).number == visitor
    registry_of_shards.close_all()
