"""What only the primary can do, wherever it stands in a query: locks, counters, tables of its own."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_multidb import Model, ReadOnlyDatabase, explain_route, use_replica
from tests.replicas.watch import PRIMARY, Watched

Open = Callable[..., Watched]


LOCKS: dict[str, Callable[[Any], Any]] = {
    "where": lambda note: note.select().where(fn.pg_try_advisory_lock(note.id)),
    "nested": lambda note: note.select(fn.COALESCE(fn.pg_try_advisory_lock(note.id), False)),
    "order by": lambda note: note.select().order_by(fn.pg_try_advisory_lock(note.id)),
    "SQL": lambda note: note.select(peewee.SQL("pg_try_advisory_lock(1)")),
    "subquery": lambda note: note.select().where(
        note.id.in_(note.alias("n").select(fn.pg_try_advisory_lock(1).cast("int")))
    ),
    "locked rows of a subquery": lambda note: note.select().where(note.id.in_(_locked(note))),
    "raw": lambda note: note.raw("SELECT pg_try_advisory_lock(1) AS text FROM note"),
}


def _locked(note: Any) -> Any:
    other = note.alias("n")
    return other.select(other.id).for_update()


@pytest.mark.parametrize("query", LOCKS.values(), ids=LOCKS)
def test_a_lock_is_taken_on_the_primary_wherever_it_stands(
    postgres_cluster_settings: Any, watch: Open, query: Callable[[Any], Any]
) -> None:
    watched = watch(postgres_cluster_settings)
    watched.Note.create(number=1)
    watched.settle()
    list(query(watched.Note))
    assert set(watched.selects()) == {PRIMARY}
    assert explain_route(query(watched.Note)).role == "primary"
    with use_replica():
        with pytest.raises(ReadOnlyDatabase):
            list(query(watched.Note))
    assert set(watched.selects()) == {PRIMARY}


def test_count_and_exists_of_a_query_that_locks_are_asked_on_the_primary(
    postgres_cluster_settings: Any, watch: Open
) -> None:
    watched = watch(postgres_cluster_settings)
    watched.Note.create(number=1)
    watched.settle()
    query = LOCKS["where"](watched.Note)
    assert (query.count(), query.exists()) == (1, True)
    assert watched.selects() == {PRIMARY: 2}


def test_two_workers_do_not_get_the_same_job_from_two_replicas(
    postgres_cluster_settings: Any, watch: Open
) -> None:
    workers = [watch(postgres_cluster_settings)]
    workers.append(Watched(type(workers[0].registry)({"default": postgres_cluster_settings}), create=False))
    workers[0].Note.create(number=1)
    jobs = [list(LOCKS["where"](worker.Note)) for worker in workers]
    assert sorted(map(len, jobs)) == [0, 1]
    workers[1].registry.close_all()


MARIADB_LOCKS: dict[str, Callable[[Any], Any]] = {
    "where": lambda note: note.select().where(fn.GET_LOCK("job", 0) == 1),
    "a compound": lambda note: note.select().for_update() | note.select(),
    "a subquery": lambda note: note.select().where(note.id.in_(_locked(note))),
    "a sequence": lambda note: note.select(peewee.SQL("NEXT VALUE FOR counter")),
    "raw": lambda note: note.raw("SELECT NEXT VALUE FOR counter AS number FROM note"),
    "raw and shared": lambda note: note.raw("SELECT * FROM note LOCK IN SHARE MODE"),
}


@pytest.mark.parametrize("query", MARIADB_LOCKS.values(), ids=MARIADB_LOCKS)
def test_the_same_on_mariadb(mariadb_cluster_settings: Any, watch: Open, query: Callable[[Any], Any]) -> None:
    watched = watch(mariadb_cluster_settings)
    watched.database.execute_sql("CREATE SEQUENCE counter")
    watched.Note.create(number=1)
    watched.settle()
    list(query(watched.Note))
    assert set(watched.selects()) == {PRIMARY}


def test_a_table_that_is_not_replicated_is_read_where_it_is(
    postgres_cluster_settings: Any, watch: Open, postgres_cluster: Any
) -> None:
    watched = watch(postgres_cluster_settings)
    watched.database.execute_sql("CREATE UNLOGGED TABLE hot (id serial PRIMARY KEY, number int)")

    class Hot(Model):
        number = peewee.IntegerField()

        class Meta:
            registry = watched.registry

    Hot.create(number=3)
    postgres_cluster.wait_in_step()
    for _ in range(3):
        # Of somebody who has written nothing, whom any replica may answer.
        assert contextvars.Context().run(Hot.get).number == 3
    assert [server.problem for server in watched.entry.replicas] == [None, None]


def test_a_temporary_table_is_read_where_it_is(cluster: Any, cluster_settings: Any, watch: Open) -> None:
    watched = watch(cluster_settings)

    class Passing(Model):
        number = peewee.IntegerField()

        class Meta:
            registry = watched.registry
            temporary = True

    Passing.create_table()
    Passing.create(number=4)
    cluster.wait_in_step()
    assert Passing.get().number == 4
    assert Passing.select().count() == 1
    assert "temporary" in str(explain_route(Passing))


def test_a_function_that_recovery_forbids_is_asked_on_the_primary(
    postgres_cluster_settings: Any, watch: Open
) -> None:
    watched = watch(postgres_cluster_settings)
    watched.Note.create(number=1)
    watched.settle()
    assert watched.Note.select(fn.pg_current_wal_lsn().cast("text")).scalar()
