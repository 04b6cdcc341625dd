"""Code that is locked to a tenant reaches no other tenant's database, whichever way it tries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    DatabaseNotAllowed,
    Databases,
    HashShards,
    Model,
    TenantLocked,
    UnknownDatabase,
    after_commit,
    all_shards,
    atomic,
    current_db,
    current_tenant,
    database_of,
    databases,
    propagate,
    use_db,
    use_primary,
    use_shard,
    use_tenant,
)
from peewee_multidb.scope import current


class Note(Model):
    text = peewee.CharField()


class Page(Model):
    note = peewee.ForeignKeyField(Note, backref="pages")


class Account(Model):
    """The application's own: in one database for all tenants."""

    name = peewee.CharField()

    class Meta:
        db_name = "app"
        db_pinned = True


class Entry(Model):
    account = peewee.IntegerField()

    class Meta:
        db_name = HashShards("s1", "s2", key="account")
        db_pinned = True


class Country(Model):
    code = peewee.CharField(primary_key=True)

    class Meta:
        db_name = ("acme", "globex", "app")
        reference = True


class Invoice(Model):
    """A client's, for programs that re-point one name."""

    amount = peewee.IntegerField()

    class Meta:
        db_name = "client"


MODELS = [Note, Page, Account, Entry, Country, Invoice]
TENANTS = ("acme", "globex")
ALL = (*TENANTS, "app", "s1", "s2", "client", "default")


def settings(folder: Path, flagged: bool) -> dict[str, Any]:
    return {
        name: {
            "url": f"sqlite:///{folder / name}.db",
            **({"tenant": True} if flagged and name in TENANTS else {}),
        }
        for name in ALL
    }


@pytest.fixture(params=[True, False], ids=["flagged", "nothing flagged"])
def flagged(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bool]:
    databases.configure(settings(tmp_path, request.param))
    for name in TENANTS:
        with use_db(name):
            databases.create_tables([Note, Page])
        with use_db(client=name):
            databases.create_tables([Invoice])
    databases.create_tables([Account, Entry, Country])
    yield request.param
    databases.close()
    databases.configure({})


def rows_of(name: str, model: Any = Note) -> int:
    with use_db(name, unlock=True):
        return int(model.select().count())


def test_a_lock_selects_the_tenants_database(flagged: bool) -> None:
    with use_tenant("acme"):
        assert database_of(Note.create(text="a")) == "acme"
        assert current_tenant() == "acme"
    assert current_tenant() is None
    assert (rows_of("acme"), rows_of("globex")) == (1, 0)


def test_the_tenant_may_have_another_name_than_its_database(flagged: bool) -> None:
    with use_tenant("acme", tenant="Acme Corp."):
        assert current_tenant() == "Acme Corp."
        with pytest.raises(TenantLocked, match=r"locked to the tenant 'Acme Corp\.'"):
            use_db("globex").__enter__()


Trial = Callable[[Any], Any]


def entering(scope: Callable[[], AbstractContextManager[Any]]) -> Trial:
    def trial(rows: Any) -> None:
        with scope():
            Note.create(text="stolen")

    return trial


async def a_task() -> None:
    with use_db("globex"):
        Note.create(text="stolen")


def a_generator() -> Iterator[int]:
    with use_db("globex"):
        yield Note.create(text="stolen")


@use_db("globex")
def decorated() -> None:
    Note.create(text="stolen")


def following(rows: Any) -> Any:
    return rows["page"].note


def has_run(query: Any) -> Any:
    assert len(list(query)) == 1
    return query


TRIALS: dict[str, Trial] = {
    "use_db": entering(lambda: use_db("globex")),
    "use_db for a model": entering(lambda: use_db("globex", Note)),
    "a rename": entering(lambda: use_db(acme="globex")),
    "a rename of another name": entering(lambda: use_db(default="globex")),
    "another lock": entering(lambda: use_tenant("globex")),
    "a lock with more shared": entering(lambda: use_tenant("acme", shared=["globex"])),
    "a lock by rename": entering(lambda: use_tenant(default="globex")),
    "a decorated function": lambda rows: decorated(),
    "a generator": lambda rows: next(a_generator()),
    "a task": lambda rows: asyncio.run(a_task()),
    "bind_ctx": entering(lambda: databases["globex"].bind_ctx([Note])),
    "atomic of a name": entering(lambda: atomic("globex")),
    "using": lambda rows: list(Note.select().using("globex")),
    "using, with a write": lambda rows: Note.insert(text="stolen").using("globex").execute(),
    "using, with a join": lambda rows: list(Page.select().join(Note).using("globex")),
    "bind": lambda rows: list(Note.select().bind(databases["globex"])),
    "execute on a Database": lambda rows: Note.insert(text="stolen").execute(databases["globex"]),
    "count on a Database": lambda rows: Note.select().count(databases["globex"]),
    "iterator on a Database": lambda rows: list(Note.select().iterator(databases["globex"])),
    "raw": lambda rows: list(Note.raw("select * from note").using("globex")),
    "a query built in another scope": lambda rows: list(rows["query"]),
    "the rows that a query has": lambda rows: list(rows["read"]),
    "one of the rows that a query has": lambda rows: rows["read"][0],
    "how many rows a query has": lambda rows: len(rows["read"]),
    "the rows that a query of a Database has": lambda rows: list(rows["read there"]),
    "the rows that plain SQL has": lambda rows: list(rows["raw"]),
    "saving a row": lambda rows: rows["note"].save(),
    "deleting a row": lambda rows: rows["note"].delete_instance(),
    "deleting a row and what refers to it": lambda rows: rows["note"].delete_instance(recursive=True),
    "refreshing a row": lambda rows: rows["note"].refresh(),
    "following a row": following,
    "the rows that refer to a row": lambda rows: list(rows["note"].pages),
    "bulk_update": lambda rows: Note.bulk_update([rows["note"]], [Note.text]),
    "copying a row there": lambda rows: Note.create(text="mine").copy_to("globex"),
    "moving a row there": lambda rows: Note.create(text="mine").move_to("globex"),
    "moving a row from there": lambda rows: rows["note"].move_to("acme"),
    "a propagated function": lambda rows: rows["propagated"](),
    "a generator that was started outside": lambda rows: next(rows["started"]),
    "writing a reference row": lambda rows: Country.create(code="xx"),
}


@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS.keys())
def test_no_way_leads_to_another_tenant(flagged: bool, trial: Trial) -> None:
    with use_db("globex"):
        note = Note.create(text="theirs")
        Page.create(note=note)
        rows = {
            "note": note,
            "page": Page.get(),
            "query": Note.select(),
            "read": has_run(Note.select().dicts()),
            "read there": has_run(Note.select().bind(databases["globex"])),
            "raw": has_run(Note.raw("select * from note")),
            "propagated": propagate(lambda: Note.create(text="stolen")),
            "started": started(),
        }
    next(rows["started"])
    with use_tenant("acme"), pytest.raises(TenantLocked) as info:
        trial(rows)
    assert isinstance(info.value, DatabaseNotAllowed)
    assert "'acme'" in str(info.value) and "unlock=True" in str(info.value)
    assert current() is None
    with use_db("globex"):
        assert [note.text for note in Note.select()] == ["theirs"]
        assert not databases["globex"].in_transaction()


@use_db("globex")
def started() -> Iterator[int]:
    yield 0
    yield Note.create(text="stolen").id


@pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS.keys())
def test_every_way_is_open_without_a_lock(flagged: bool, trial: Trial) -> None:
    """So that what the test above sees refused is refused by the lock."""
    with use_db("globex"):
        databases.create_tables([Note, Page], safe=True)
        note = Note.create(text="theirs")
        Page.create(note=note)
        rows = {
            "note": note,
            "page": Page.get(),
            "query": Note.select(),
            "read": has_run(Note.select().dicts()),
            "read there": has_run(Note.select().bind(databases["globex"])),
            "raw": has_run(Note.raw("select * from note")),
            "propagated": propagate(lambda: Note.create(text="stolen")),
            "started": started(),
        }
    next(rows["started"])
    with use_db("default"):
        databases.create_tables([Note, Page])
    try:
        trial(rows)
    except TenantLocked:
        raise
    except peewee.PeeweeException:
        pass  # a missing table, a copy to where the row lives: not the lock


def test_a_row_of_the_tenant_itself_is_at_home_inside_and_outside(flagged: bool) -> None:
    with use_tenant("acme"):
        page = Page.create(note=Note.create(text="mine"))
        page = Page.get_by_id(page.id)
        assert page.note.text == "mine"
    page.note.text = "changed"
    page.note.save()
    with use_tenant("acme"):
        assert page.note.refresh().text == "changed"
        page.delete_instance(recursive=True)
    assert rows_of("acme", Page) == 0


def test_the_applications_own_tables_go_on_working(flagged: bool) -> None:
    outside = Account.create(name="outside")
    with use_tenant("acme"):
        inside = Account.create(name="inside")
        assert database_of(inside) == "app"
        outside.name = "changed"
        outside.save()
        assert {one.name for one in Account.select()} == {"inside", "changed"}
        with atomic("acme", Account):
            Note.create(text="x")
            inside.delete_instance()
        Entry.create(account=1)
        Entry.insert_many([{"account": number} for number in range(8)]).execute()
        assert Entry.select().count() == 9


def test_the_other_databases_of_the_application_are_open_if_tenants_are_flagged(flagged: bool) -> None:
    with use_tenant("acme"):
        if flagged:
            with use_db("app", Note):
                Note.create_table()
                assert database_of(Note.create(text="x")) == "app"
        else:
            for name in ("app", "s1"):
                with pytest.raises(TenantLocked):
                    use_db(name).__enter__()


def test_a_shard_counts_as_any_other_database(flagged: bool) -> None:
    with use_tenant("acme"):
        if flagged:
            with use_shard(Entry, 1):
                Entry.create(account=1)
        else:
            with pytest.raises(TenantLocked):
                use_shard(Entry, 1).__enter__()
    with use_tenant("acme", shared=["s1", "s2"]), use_shard(Entry, 1):
        Entry.create(account=1)


def test_a_shard_may_be_a_tenants(tmp_path: Path) -> None:
    flagged = settings(tmp_path, True)
    flagged["s1"]["tenant"] = True
    databases.configure(flagged)
    databases.create_tables([Entry])
    try:
        with use_tenant("acme"):
            with pytest.raises(TenantLocked):
                list(Entry.select())
            with pytest.raises(TenantLocked), all_shards():
                Entry.delete().execute()
        with use_tenant("acme", shared=["s1"]):
            assert list(Entry.select()) == []
    finally:
        databases.close()
        databases.configure({})


def test_shared_databases_may_be_used_inside(flagged: bool) -> None:
    with use_tenant("acme", shared=["globex"]):
        with use_db("globex"):
            Note.create(text="shared")
        assert Note.select().using("globex").count() == 1
        with use_tenant("acme", shared=["globex"]), use_tenant("acme"), pytest.raises(TenantLocked):
            list(Note.select().using("globex"))


def test_unlock_leaves_the_lock_for_a_block(flagged: bool) -> None:
    with use_tenant("acme"):
        with use_db("globex", unlock=True):
            assert current_tenant() is None
            assert database_of(Note.create(text="on purpose")) == "globex"
            with use_db("acme"):
                assert Note.select().count() == 0
        assert current_tenant() == "acme"
        with use_db(unlock=True):
            assert Note.select().using("globex").count() == 1
            assert database_of(Note.create(text="still here")) == "acme"
        with use_tenant("globex", unlock=True):
            assert current_tenant() == "globex"
            with pytest.raises(TenantLocked):
                use_db("acme").__enter__()
        with pytest.raises(TenantLocked):
            use_db("globex").__enter__()


def test_functions_of_every_kind_may_leave_the_lock_for_themselves(flagged: bool) -> None:
    out = use_db("globex", unlock=True)

    @out
    def function() -> None:
        Note.create(text="1")

    @out
    async def coroutine() -> None:
        Note.create(text="2")
        await asyncio.sleep(0)
        Note.create(text="3")

    @out
    def generator() -> Iterator[None]:
        Note.create(text="4")
        yield
        Note.create(text="5")

    @out
    async def asynchronous() -> AsyncIterator[None]:
        Note.create(text="6")
        yield
        Note.create(text="7")

    async def consume() -> None:
        async for _ in asynchronous():
            with pytest.raises(TenantLocked):
                use_db("globex").__enter__()

    with use_tenant("acme"):
        function()
        asyncio.run(coroutine())
        assert list(generator()) == [None]
        asyncio.run(consume())
        begun = generator()
        next(begun)
        assert current_tenant() == "acme"
    with use_tenant("acme"), pytest.raises(TenantLocked):
        next(begun)  # the lock of somebody else
    assert (rows_of("acme"), rows_of("globex")) == (0, 8)


def test_what_is_called_after_a_commit_is_locked_as_where_it_was_registered(flagged: bool) -> None:
    told: list[Any] = []

    def tell() -> None:
        told.append((current_tenant(), database_of(Note.create(text="after the commit"))))

    with use_tenant("acme"), atomic():
        with use_tenant("globex", unlock=True):
            Note.create(text="theirs")
            after_commit(tell)
        after_commit(tell)
    with atomic("acme") as block:
        with use_tenant("acme"):
            block.after_commit(tell)
    assert told == [("globex", "globex"), ("acme", "acme"), ("acme", "acme")]
    assert current() is None and (rows_of("acme"), rows_of("globex")) == (2, 2)


def test_the_tenants_own_database_may_be_entered_again(flagged: bool) -> None:
    with use_tenant("acme"), use_tenant("acme"), use_db("acme"), use_primary(), atomic("acme"):
        assert database_of(Note.create(text="x")) == "acme"


def test_a_rename_can_be_what_is_locked(flagged: bool) -> None:
    with use_tenant(client="acme"):
        assert current_tenant() == "acme"
        assert database_of(Invoice.create(amount=1)) == "acme"
        assert database_of(Account.create(name="x")) == "app"
        with use_db("client"):
            assert Invoice.select().count() == 1
        with atomic("client"):
            Invoice.create(amount=2)
        assert Invoice.select().using("client").count() == 2
        for name in ("client", "default", "acme"):
            with pytest.raises(TenantLocked):
                use_db(**{name: "globex"}).__enter__()
        with pytest.raises(TenantLocked):
            list(Invoice.select().using("globex"))
        with use_db(client="globex", unlock=True):
            assert database_of(Invoice.create(amount=3)) == "globex"


def test_a_rename_that_was_made_outside_goes_on_for_the_applications_tables(flagged: bool) -> None:
    with use_db("s1", Account):
        Account.create_table()
    with use_db(app="s1"), use_tenant("acme"):
        assert database_of(Account.create(name="x")) == "s1"


def test_several_databases_need_a_tenant_to_tell_them_by(flagged: bool) -> None:
    with pytest.raises(ConfigurationError, match="say whose they are"):
        use_tenant(client="acme", default="globex")
    with use_tenant(client="acme", default="globex", tenant="both"):
        assert current_tenant() == "both"
        assert database_of(Invoice.create(amount=1)) == "acme"
        assert database_of(Note.create(text="x")) == "globex"


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: use_tenant(), "selects nothing"),
        (lambda: use_tenant("acme", shared="globex"), "several names"),
        (lambda: use_tenant(3), "takes a database name"),  # type: ignore[arg-type]
    ],
)
def test_a_lock_of_nothing_is_refused(make: Callable[[], Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make()


def test_what_is_no_tenants_database_cannot_be_locked_where_tenants_are_flagged(flagged: bool) -> None:
    if flagged:
        with pytest.raises(UnknownDatabase, match="tenant = true"):
            use_tenant("app").__enter__()
    else:
        with use_tenant("app"):
            assert current_tenant() == "app"
    with pytest.raises(UnknownDatabase, match="no database is called"):
        use_tenant("nobody").__enter__()


def test_a_thread_starts_unlocked_and_a_propagated_function_locked(flagged: bool) -> None:
    found: list[str | None] = []

    def look() -> None:
        found.append(current_tenant())

    with use_tenant("acme"):
        for target in (look, propagate(look)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert found == [None, "acme"]


def test_tasks_of_two_tenants_are_locked_each_to_its_own(flagged: bool) -> None:
    async def request(mine: str, other: str, entered: asyncio.Event, others: asyncio.Event) -> None:
        with use_tenant(mine):
            entered.set()
            await others.wait()
            assert current_tenant() == mine
            assert await asyncio.create_task(asyncio.to_thread(current_tenant)) == mine
            with pytest.raises(TenantLocked):
                use_db(other).__enter__()

    async def both() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(request("acme", "globex", one, two), request("globex", "acme", two, one))

    asyncio.run(both())


def test_a_decorated_generator_is_locked_in_each_of_its_steps_and_leaks_nothing(flagged: bool) -> None:
    @use_tenant("acme")
    def numbers() -> Iterator[str | None]:
        with use_primary():
            yield current_tenant()
        yield current_tenant()

    generator = numbers()
    assert next(generator) == "acme"
    assert current_tenant() is None
    with use_tenant("globex"), pytest.raises(StopIteration):
        assert next(generator) == "globex", "whoever takes the step is locked to globex"
        next(generator)
    assert current() is None


def test_scopes_that_cross_leave_the_lock_with_its_block(flagged: bool) -> None:
    lock, inner = use_tenant("acme"), use_db("acme")
    lock.__enter__()
    inner.__enter__()
    lock.__exit__(None, None, None)
    assert current_tenant() is None
    inner.__exit__(None, None, None)
    unlock = use_db("globex", unlock=True)
    lock.__enter__()
    unlock.__enter__()
    inner.__enter__()
    unlock.__exit__(None, None, None)
    assert current_tenant() == "acme"
    inner.__exit__(None, None, None)
    lock.__exit__(None, None, None)
    assert current() is None


def test_an_unregistered_database_object_is_nobodys(flagged: bool, tmp_path: Path) -> None:
    stranger = peewee.SqliteDatabase(tmp_path / "stranger.db")

    class Own(Model):
        class Meta:
            database = stranger

    with use_tenant("acme"):
        Own.create_table()
        Own.create()
        with pytest.raises(TenantLocked, match="has no name"):
            list(Note.select().bind(stranger))
    stranger.close()


def test_looking_at_the_sql_of_a_query_needs_no_key(flagged: bool) -> None:
    with use_tenant("acme"):
        assert "note" in Note.select().using("globex").sql()[0]


def test_what_other_registries_say_of_their_databases_does_not_count(tmp_path: Path) -> None:
    """Each registry has tenants of its own, or says nothing, and then any of its databases may be one's."""
    flagged = Databases({"of_another": {"url": f"sqlite:///{tmp_path}/o.db", "tenant": True}})
    found = Databases()
    found.resolver = lambda name: f"sqlite:///{tmp_path}/{name}.db"
    plain = Databases({name: f"sqlite:///{tmp_path}/{name}.db" for name in ("here", "there")})

    class Page(Model):
        class Meta:
            registry = plain

    with use_tenant("here"):
        assert current_db(Page) == "here"
        with pytest.raises(TenantLocked):
            use_db("there").__enter__()
        with pytest.raises(TenantLocked):
            Page.select().using("there").execute()
    assert flagged.has_tenants and found.has_tenants


def test_a_library_cannot_open_a_name_that_the_process_says_is_no_tenants(tmp_path: Path) -> None:
    databases.configure(
        {
            "default": f"sqlite:///{tmp_path}/d.db",
            "acme": {"url": f"sqlite:///{tmp_path}/a.db", "tenant": True},
        }
    )
    library = Databases({"default": f"sqlite:///{tmp_path}/l.db"})
    with pytest.raises(UnknownDatabase, match="no tenant's"):
        use_tenant("default").__enter__()
    with use_tenant("acme"), use_db("default"):
        pass
    assert not library.has_tenants
