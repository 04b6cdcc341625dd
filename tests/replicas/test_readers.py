"""Which statements a replica gets, on PostgreSQL and MariaDB, and what happens when it cannot answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import fn

from peewee_multidb import (
    NoReplicaAvailable,
    ReadOnlyDatabase,
    explain_route,
    unit_of_work,
    use_db,
    use_primary,
    use_replica,
)
from tests.replicas.watch import PRIMARY, Watched

Open = Callable[..., Watched]


def where(watched: Watched, read: Callable[[], Any]) -> str:
    """Return which server answered a read of one statement."""
    watched.clear()
    read()
    [(name, count)] = watched.selects().items()
    assert count == 1
    return name


def is_replica(name: str) -> bool:
    return name.startswith("replica")


READS: dict[str, Callable[[Any], Any]] = {
    "a list": lambda note: list(note.select()),
    "get": lambda note: note.get_or_none(note.number == 1),
    "get_by_id": lambda note: note.get_or_none(note.id == 1),
    "first": lambda note: note.select().first(),
    "scalar": lambda note: note.select(fn.MAX(note.number)).scalar(),
    "count": lambda note: note.select().count(),
    "exists": lambda note: note.select().exists(),
    "iterator": lambda note: list(note.select().iterator()),
    "dicts": lambda note: list(note.select().dicts()),
    "an index": lambda note: note.select()[:1],
    "a union": lambda note: list(note.select() | note.select()),
    "raw SQL that reads": lambda note: list(note.raw("SELECT id FROM note")),
    "a reading WITH": lambda note: _with(note, note.select(note.id)),
    "execute() on the name's Database object": lambda note: list(
        note.select().execute(note._meta.registry["default"])
    ),
}


def _with(note: Any, inner: Any) -> list[Any]:
    cte = inner.cte("chosen", columns=["id"])
    return list(note.select(note.id).join(cte, on=note.id == cte.c.id).with_cte(cte))


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_select_goes_to_a_replica(replicated: Watched, read: Callable[[Any], Any]) -> None:
    replicated.settle()
    assert is_replica(where(replicated, lambda: read(replicated.Note)))


def test_a_lazy_foreign_key_a_back_reference_and_a_refresh_go_to_a_replica(replicated: Watched) -> None:
    class Remark(replicated.Note):  # type: ignore[name-defined, misc]
        note = peewee.ForeignKeyField(replicated.Note, backref="remarks")

        class Meta:
            registry = replicated.registry
            table_name = "note_remark"

    Remark.create_table()
    Remark.create(note=replicated.Note.create(text="x"))
    replicated.settle()
    remark = Remark.get()
    for read in (lambda: remark.note, lambda: list(remark.note.remarks), remark.refresh):
        assert is_replica(where(replicated, read))
    remark.save()
    assert replicated.log[-1][0] == PRIMARY


def test_a_transaction_reads_where_it_writes(replicated: Watched) -> None:
    replicated.settle()
    with replicated.database.atomic():
        assert where(replicated, replicated.Note.select().count) == PRIMARY
        with use_replica():
            assert where(replicated, replicated.Note.select().count) == PRIMARY
        with replicated.database.atomic():
            assert where(replicated, replicated.Note.select().count) == PRIMARY
    assert is_replica(where(replicated, replicated.Note.select().count))


WRITES: dict[str, Callable[[Any], Any]] = {
    "FOR UPDATE": lambda note: list(note.select().for_update()),
    "a function that takes a lock": lambda note: _lock(note),
    "raw SQL that may write": lambda note: list(note.raw("SELECT id FROM note FOR UPDATE")),
}


def _lock(note: Any) -> Any:
    if isinstance(note._meta.registry["default"], peewee.PostgresqlDatabase):
        return note.select(fn.pg_try_advisory_lock(1)).scalar()
    return note.select(fn.GET_LOCK("x", 0)).scalar()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_only_a_primary_can_do_goes_there(replicated: Watched, write: Callable[[Any], Any]) -> None:
    replicated.settle()
    assert where(replicated, lambda: write(replicated.Note)) == PRIMARY


def test_a_writing_with_clause_goes_to_the_primary(
    postgres_cluster_settings: dict[str, Any], watch: Open
) -> None:
    watched = watch(postgres_cluster_settings)
    note = watched.Note
    note.create(text="old")
    watched.settle()
    gone = note.delete().returning(note.id).cte("gone", columns=["id"])
    plain = note.select(note.id).join(gone, on=note.id == gone.c.id).with_cte(gone)
    watched.clear()
    list(plain)
    assert {name for name, _ in watched.log} == {PRIMARY}
    assert note.select().using(role="primary").count() == 0
    with use_replica(), pytest.raises(ReadOnlyDatabase, match="writing WITH clause on Note"):
        list(plain.clone())


def test_a_function_that_turns_out_to_write_is_run_on_the_primary(
    postgres_cluster_settings: dict[str, Any], watch: Open
) -> None:
    watched = watch(postgres_cluster_settings)
    note = watched.Note
    watched.database.execute_sql(
        "CREATE FUNCTION add_note() RETURNS int LANGUAGE sql AS "
        "$$ INSERT INTO note (text, number) VALUES ('f', 7) RETURNING number $$"
    )
    note.create(text="x")
    watched.settle()
    assert note.select(fn.add_note()).limit(1).scalar() == 7
    assert [row.text for row in note.select().where(note.number == 7).using(role="primary")] == ["f"]
    with use_replica(), pytest.raises(ReadOnlyDatabase, match="would write, and a replica of 'default'"):
        note.select(fn.add_note()).limit(1).scalar()


# Roles


def test_a_role_is_fixed_by_a_block_by_use_db_and_by_the_query(replicated: Watched) -> None:
    replicated.settle()
    count = replicated.Note.select().count
    with use_primary():
        assert where(replicated, count) == PRIMARY
        with use_db(role="replica"):
            assert is_replica(where(replicated, count))
        by_query = replicated.Note.select().using("default", role="replica")
        assert is_replica(where(replicated, by_query.count))
    with use_replica():
        assert is_replica(where(replicated, count))
        assert where(replicated, replicated.Note.select().using(role="primary").count) == PRIMARY


def test_a_block_keeps_its_replica_and_the_next_one_takes_another(replicated: Watched) -> None:
    replicated.settle()
    seen = []
    for block in (use_replica, unit_of_work, lambda: use_db(role="replica")):
        for _ in range(2):
            replicated.clear()
            with block():
                for _ in range(5):
                    list(replicated.Note.select())
            [(name, count)] = replicated.selects().items()
            assert count == 5
            seen.append(name)
    assert set(seen) == {"replica 1", "replica 2"}


def test_without_a_block_reads_are_spread(replicated: Watched) -> None:
    replicated.settle()
    for _ in range(6):
        list(replicated.Note.select())
    assert replicated.selects() == {"replica 1": 3, "replica 2": 3}


def test_a_write_in_a_replica_block_is_refused_before_it_is_sent(replicated: Watched) -> None:
    row = replicated.Note.create(text="x")
    replicated.settle()
    note = replicated.Note
    writes: list[Callable[[], Any]] = [
        lambda: note.create(text="y"),
        lambda: note.insert(text="y").execute(),
        lambda: note.update(text="y").execute(),
        lambda: note.delete().execute(),
        lambda: note.insert_many([{"text": "y"}]).execute(),
        lambda: note.bulk_create([note(text="y")]),
        lambda: note.get_or_create(text="y"),
        lambda: note.raw("UPDATE note SET text = 'y'").execute(),
        lambda: list(note.select().for_update()),
        row.save,
        row.delete_instance,
    ]
    for write in writes:
        with use_replica(), pytest.raises(ReadOnlyDatabase, match="Note"):
            write()
    with pytest.raises(ReadOnlyDatabase, match="role='replica'"):
        note.update(text="y").using(role="replica").execute()
    assert replicated.log == []
    with use_replica(), use_primary():
        note.create(text="z")
    with use_replica():
        note.update(text="z").using(role="primary").execute()
    assert {name for name, _ in replicated.log} == {PRIMARY}


def test_the_server_itself_refuses_a_write_in_the_session_of_a_replica(replicated: Watched) -> None:
    for server in replicated.entry.replicas:
        with pytest.raises(peewee.PeeweeException, match=r"(?i)read.only"):
            server.database.execute_sql("INSERT INTO note (text, number) VALUES ('x', 1)")


def test_a_row_that_was_loaded_in_a_replica_block_can_be_saved_outside(replicated: Watched) -> None:
    replicated.Note.create(text="x")
    with use_replica():
        row = replicated.Note.get()
    row.text = "y"
    row.save()
    assert replicated.Note.get().text == "y"
    row.delete_instance()
    assert replicated.Note.select().count() == 0


def test_get_or_create_looks_on_the_primary(replicated: Watched, cluster: Any) -> None:
    note = replicated.Note
    note.create(text="there", number=1)
    replicated.settle()
    for replica in cluster.replicas:
        replica.pause()
    replicated.database.execute_sql("UPDATE note SET number = 2")
    with unit_of_work():
        row, created = note.get_or_create(text="there", number=2)
    assert (row.text, created) == ("there", False)


def test_deleting_with_dependents_finds_those_that_no_replica_knows_yet(
    replicated: Watched, cluster: Any
) -> None:
    class Remark(replicated.Note):  # type: ignore[name-defined, misc]
        note = peewee.ForeignKeyField(replicated.Note, backref="remarks")

        class Meta:
            registry = replicated.registry
            table_name = "note_remark"

    Remark.create_table()
    row = replicated.Note.create(text="x")
    replicated.settle()
    for replica in cluster.replicas:
        replica.pause()
    Remark.create(note=row)
    row.delete_instance(recursive=True)
    assert [Remark.select().count(), replicated.Note.select().count()] == [0, 0]


def test_a_mirror_behaves_like_a_replica_and_is_the_primary(tmp_path: Any, watch: Open) -> None:
    watched = watch({"url": f"sqlite:///{tmp_path}/a.db", "replicas": ["mirror"]})
    watched.Note.create(text="x")
    with use_replica():
        assert watched.Note.get().text == "x"
        with pytest.raises(ReadOnlyDatabase):
            watched.Note.create(text="y")
    assert explain_route(watched.Note.select()).role == "replica"


def test_a_database_without_replicas_reads_from_its_primary_in_a_replica_block(
    tmp_path: Any, watch: Open
) -> None:
    watched = watch(f"sqlite:///{tmp_path}/a.db")
    with use_replica():
        assert watched.Note.select().count() == 0
        with pytest.raises(ReadOnlyDatabase, match="FOR UPDATE"):
            list(watched.Note.select().for_update())


# Explaining


def test_explain_route_says_why_and_asks_nobody(replicated: Watched) -> None:
    replicated.settle()
    note = replicated.Note
    route = explain_route(note.select())
    assert route.role == "replica"
    assert "the policy round_robin chooses among 2 of 2 replicas" in str(route)
    with use_primary():
        assert "asks for the primary" in str(explain_route(note.select()))
    assert "it locks rows" in str(explain_route(note.select().for_update()))
    with replicated.database.atomic():
        assert "a transaction is open there" in str(explain_route(note.select()))
    replicated.entry.replicas[0].problem = "it is on fire"
    assert "gets no reads: it is on fire" in str(explain_route(note.select()))
    assert [name for name, sql in replicated.log if not sql.startswith(("BEGIN", "COMMIT"))] == []


# Nobody to ask


def test_without_a_replica_the_primary_answers_or_an_error_says_why(
    cluster_settings: dict[str, Any], watch: Open
) -> None:
    gone = [url.replace("127.0.0.1", "127.0.0.9") for url in cluster_settings["replicas"]]
    watched = watch({**cluster_settings, "replicas": gone}, backoff=60)
    told: list[Any] = []
    watched.registry.on_fallback.append(told.append)
    assert watched.Note.select().count() == 0
    assert watched.selects() == {PRIMARY: 1}
    assert [(one.name, "no replica to read from" in one.reason) for one in told] == [("default", True)]
    strict = watch({**cluster_settings, "replicas": gone}, backoff=60, fallback="error")
    with pytest.raises(NoReplicaAvailable, match="'fallback' is 'error'") as raised:
        strict.Note.select().count()
    assert "127.0.0.9" in str(raised.value)
    assert isinstance(raised.value, peewee.OperationalError)
    with use_primary():
        assert strict.Note.select().count() == 0


def test_the_primary_is_not_drowned(cluster_settings: dict[str, Any], watch: Open) -> None:
    gone = [url.replace("127.0.0.1", "127.0.0.9") for url in cluster_settings["replicas"]]
    watched = watch({**cluster_settings, "replicas": gone}, backoff=60, fallback_limit=2)
    note = watched.Note
    note.select().count()
    inside, release = threading.Barrier(3, timeout=30), threading.Event()
    pid = threading.get_ident()

    def hold(event: Any) -> None:
        if "SELECT" in event.sql and threading.get_ident() != pid:
            inside.wait()
            release.wait(30)

    watched.database.query_hooks.append(hold)
    threads = [threading.Thread(target=lambda: note.select().count()) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    try:
        with pytest.raises(NoReplicaAvailable, match="2 reads are on the primary in its place already"):
            note.select().count()
    finally:
        release.set()
        for thread in threads:
            thread.join()
    assert note.select().count() == 0
