"""Names that the registry has never seen: found once, kept for a while, bounded, and never half checked."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    Databases,
    InvalidTenant,
    MappingResolver,
    Model,
    ResolverFailed,
    TableResolver,
    TemplateResolver,
    UnknownDatabase,
    current_tenant,
    databases,
    use_db,
    use_tenant,
)
from peewee_multidb.tenants.resolving import MOST_UNKNOWN


class Note(Model):
    text = peewee.CharField()

    class Meta:
        db_name = None


class Tenant(Model):
    name = peewee.CharField(unique=True)
    url = peewee.CharField()
    is_closed = peewee.BooleanField(default=False)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Path]:
    databases.configure({"default": f"sqlite:///{tmp_path / 'control.db'}"})
    Tenant.create_table()
    yield tmp_path
    databases.close_all()
    databases.resolver = None
    databases.resolved_ttl, databases.unknown_ttl = 300, 5
    databases.configure({})


class Asked:
    """A resolver that remembers for what it was asked."""

    def __init__(self, folder: Path, known: set[str]) -> None:
        self.folder, self.known, self.names = folder, known, list[str]()

    def __call__(self, name: str) -> str | None:
        self.names.append(name)
        return f"sqlite:///{self.folder / name}.db" if name in self.known else None


def test_a_tenant_is_found_when_it_is_entered_and_asked_for_once(control: Path) -> None:
    databases.resolver = asked = Asked(control, {"acme", "globex"})
    for _ in range(3):
        for name in ("acme", "globex"):
            with use_tenant(name):
                Note.create_table()
                Note.create(text=name)
                assert {note.text for note in Note.select()} == {name}
    assert asked.names == ["acme", "globex"]
    assert databases.names == ("default",), "what was found is not configured"
    assert databases.is_tenant("acme") and not databases.is_tenant("default")


def test_the_applications_own_database_is_no_tenant(control: Path) -> None:
    # A name of its own: what other registries of this process say of theirs counts.
    databases.add("of_the_application", "sqlite://")
    databases.resolver = Asked(control, {"acme"})
    with pytest.raises(UnknownDatabase), use_tenant("of_the_application"):
        pass


def test_an_unknown_tenant_is_remembered_and_forgotten_again(control: Path) -> None:
    databases.resolver = asked = Asked(control, set())
    for _ in range(3):
        with pytest.raises(UnknownDatabase):
            use_tenant("nobody").__enter__()
        with pytest.raises(UnknownDatabase):
            databases["nobody"]
    assert asked.names == ["nobody"]
    asked.known.add("nobody")
    databases.forget("nobody")
    with use_tenant("nobody"):
        assert current_tenant() == "nobody"
    databases.unknown_ttl = 0
    for _ in range(2):
        assert not databases.knows("never")
    assert asked.names.count("never") == 2


def test_what_is_known_of_strangers_is_bounded(control: Path) -> None:
    databases.resolver = Asked(control, set())
    for number in range(MOST_UNKNOWN + 50):
        assert not databases.knows(f"x{number}")
    assert len(databases._resolving._unknown) == MOST_UNKNOWN


def test_what_was_found_is_bounded_too(control: Path) -> None:
    databases.resolver = TemplateResolver(f"sqlite:///{control}/{{tenant}}.db")
    databases._resolving.most = 10
    try:
        for number in range(40):
            with use_tenant(f"x{number}"):
                Note.create_table()
            databases.close()
        assert len(databases._resolving.entries) <= 10
        assert len(databases.live) <= 11
        with use_tenant("x0"):
            assert Note.select().count() == 0
    finally:
        databases._resolving.most = 10_000


@pytest.mark.parametrize(
    "name", ["", "../acme", "acme.db", "a" * 65, "a\0", "\u0430cme", "a%2fb", "a/b"], ids=ascii
)
def test_what_cannot_be_a_tenant_is_refused_before_anybody_is_asked(control: Path, name: str) -> None:
    databases.resolver = asked = Asked(control, {name})
    for attempt in (
        lambda: use_tenant(name).__enter__(),
        lambda: databases[name],
        lambda: databases.knows(name),
    ):
        with pytest.raises(InvalidTenant) as info:
            attempt()
        assert isinstance(info.value, UnknownDatabase)
    assert asked.names == []


def test_many_who_want_one_name_ask_once(control: Path) -> None:
    inside, go = threading.Event(), threading.Event()
    asked: list[str] = []

    def slow(name: str) -> str:
        asked.append(name)
        inside.set()
        assert go.wait(30)
        return f"sqlite:///{control / name}.db"

    databases.resolver = slow
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(databases.knows, "acme") for _ in range(8)]
        assert inside.wait(30)
        go.set()
        assert all(one.result(30) for one in waiting)
    assert asked == ["acme"]


def test_a_resolver_that_fails_says_so_and_is_asked_again(control: Path) -> None:
    fails = True

    def resolver(name: str) -> str:
        if fails:
            raise OSError("postgresql://app:hunter2@control is down")
        return f"sqlite:///{control / name}.db"

    databases.resolver = resolver
    with pytest.raises(ResolverFailed, match="could not look up the tenant 'acme': OSError") as info:
        use_tenant("acme").__enter__()
    assert "hunter2" not in str(info.value)
    fails = False
    assert databases.knows("acme")
    fails = True
    databases.resolved_ttl = 0
    databases.forget("acme")
    assert databases.knows("acme"), "a tenant that is known goes on while the control database is down"


def test_settings_that_make_no_sense_are_an_error_that_names_the_tenant(control: Path) -> None:
    databases.resolver = lambda name: {"url": "sqlite:///x.db", "colour": "red"}
    with pytest.raises(ConfigurationError, match="'acme': unknown key 'colour'"):
        databases["acme"]


def test_a_tenant_that_moved_is_found_in_its_new_place(control: Path) -> None:
    Tenant.create(name="acme", url=f"sqlite:///{control}/old.db")
    databases.resolver = TableResolver(Tenant)
    with use_tenant("acme"):
        Note.create_table()
        Note.create(text="old")
    databases.close()
    Tenant.update(url=f"sqlite:///{control}/new.db").execute()
    databases.forget("acme")
    with use_tenant("acme"):
        Note.create_table()
        assert Note.select().count() == 0
    Tenant.delete().execute()
    databases.forget("acme")
    with pytest.raises(UnknownDatabase):
        use_tenant("acme").__enter__()


@pytest.mark.parametrize("pool", [None, 2])
def test_who_is_in_the_middle_of_something_finishes_it_and_then_nothing_is_left(
    control: Path, pool: int | None
) -> None:
    where = ["old"]
    databases.resolver = lambda name: {"url": f"sqlite:///{control}/{name}{where[0]}.db", "pool": pool}
    for turn in range(3):
        with use_tenant("acme"):
            Note.create_table()
            old: Any = databases["acme"]
            with old.atomic():
                row = Note.create(text="begun")
                where[0] = f"new{turn}"
                databases.forget("acme")
                assert databases.knows("acme")
                new = databases["acme"]
                assert new is not old
                assert databases.name_of(old) == "acme"
                assert old.execute_sql("SELECT text FROM note").fetchall() == [("begun",)]
            assert old.execute_sql("SELECT count(*) FROM note").fetchone() == (1,)
        databases.close()
        assert databases[f"other{turn}"]
        assert databases.live["acme"] is new
        # It still answers, but nobody is to think that he has a transaction for the tenant with it.
        assert databases.name_of(old) == "acme"
        if pool is None:
            assert old.execute_sql("SELECT count(*) FROM note").fetchone() == (1,)
            old.close()
        with pytest.raises(peewee.OperationalError, match="was evicted, and another one serves the name"):
            old.begin()
        with use_tenant("acme"):
            Note.create_table()
            row.save(force_insert=True)
            assert new.execute_sql("SELECT text FROM note").fetchall() == [("begun",)]
            Note.delete().execute()
        databases.close()
    del old
    gc.collect()
    assert set(databases.entry_by_id) == {id(one) for one in databases.live.values()}


def test_a_table_may_be_a_query_with_settings_of_its_own(control: Path) -> None:
    Tenant.create(name="acme", url="acme.db")
    Tenant.create(name="gone", url="gone.db", is_closed=True)
    databases.resolver = TableResolver(
        Tenant.select().where(~Tenant.is_closed),
        key=Tenant.name,
        settings=lambda row: {"url": f"sqlite:///{control / row.url}", "pool": 2},
    )
    with use_tenant("acme"):
        Note.create_table()
    assert not databases.knows("gone")
    assert not databases.knows("ACME")


def test_the_table_is_read_outside_of_the_scope_of_whoever_asks(control: Path) -> None:
    Tenant.create(name="acme", url=f"sqlite:///{control}/acme.db")
    Tenant.create(name="globex", url=f"sqlite:///{control}/globex.db")
    databases.resolver = TableResolver(Tenant)
    with use_tenant("acme"), use_db("globex", unlock=True):
        Note.create_table()
    assert Tenant.select().count() == 2


def test_a_mapping_is_looked_into_when_it_is_needed(control: Path) -> None:
    known: dict[str, Any] = {}
    databases.resolver = MappingResolver(known)
    databases.unknown_ttl = 0
    assert not databases.knows("acme")
    known["acme"] = f"sqlite:///{control}/acme.db"
    assert databases.knows("acme")


def test_asking_does_not_keep_the_event_loop(control: Path) -> None:
    where: list[int] = []

    def resolver(name: str) -> str | None:
        where.append(threading.get_ident())
        return f"sqlite:///{control / name}.db"

    databases.resolver = resolver
    assert asyncio.run(databases.aknows("acme"))
    assert asyncio.run(databases.aknows("acme"))
    assert len(where) == 1 and where[0] != threading.get_ident()


# Templates


def test_a_template_puts_the_name_in_and_nothing_else() -> None:
    resolver = TemplateResolver("postgresql://app:pw@{tenant}.db/app_{tenant}?x={tenant}", pool=3)
    assert resolver("ac-me_1") == {
        "url": "postgresql://app:pw@ac-me_1.db/app_ac-me_1?x=ac-me_1",
        "pool": 3,
    }
    assert "pw" not in repr(resolver)


@pytest.mark.parametrize("name", ["a/b", "a@b", "a:b", "a?b", "a%", "", "a.b", "{tenant}"], ids=ascii)
def test_a_template_takes_no_name_that_was_not_checked(name: str) -> None:
    with pytest.raises(InvalidTenant):
        TemplateResolver("postgresql://app@db/{tenant}")(name)


def test_capital_letters_are_another_tenant_or_none() -> None:
    assert TemplateResolver("sqlite:///{tenant}.db")("Acme") is None
    assert TemplateResolver("sqlite:///{tenant}.db", capitals=True)("Acme") == {"url": "sqlite:///Acme.db"}
    assert TemplateResolver("sqlite:///{tenant}.db", exists={"acme"}.__contains__)("globex") is None


@pytest.mark.parametrize(
    "url", ["postgresql://app@db/app", "{tenant}://db/x", "postgresql://app:{tenant}@db/x{tenant}", "nothing"]
)
def test_templates_that_would_mix_tenants_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="TemplateResolver"):
        TemplateResolver(url)


# Files and the environment


def test_limits_and_a_template_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "multidb.toml"
    path.write_text(
        'max_open = 7\nwait_open = 2.5\nmax_databases = 9\n[databases]\ndefault = "sqlite://"\n'
        f'[tenants]\ntemplate = "sqlite:///{tmp_path}/{{tenant}}.db"\npool = 2\n'
    )
    registry = Databases()
    registry.load(path)
    assert (registry.max_open, registry.wait_open, registry.max_databases) == (7, 2.5, 9)
    assert registry.knows("acme")
    path.write_text('[databases]\na = "sqlite://"\n[tenants]\ntemplate = "sqlite:///{tenant}"\nurl = "x"\n')
    with pytest.raises(ConfigurationError, match="tenants: unknown key 'url'"):
        registry.load(path)
    path.write_text('[databases]\na = "sqlite://"\n[tenants]\n')
    with pytest.raises(ConfigurationError, match="'template' is missing"):
        registry.load(path)


def test_limits_and_a_template_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_DEFAULT__URL", "sqlite://")
    monkeypatch.setenv("APP_MAX_OPEN", "5")
    monkeypatch.setenv("APP_TENANTS_TEMPLATE", "sqlite:///{tenant}.db")
    registry = Databases()
    registry.load_env("APP_")
    assert registry.max_open == 5 and registry.names == ("default",)
    assert registry.knows("acme")


def test_ten_thousand_are_added_in_one_go_or_not_at_all() -> None:
    registry = Databases({"a": "sqlite:///a.db"})
    registry.add_all({f"t{n}": {"url": f"sqlite:///t{n}.db", "tenant": True} for n in range(2000)})
    assert len(registry) == 2001 and registry.has_tenants
    with pytest.raises(ConfigurationError, match="'a' is configured already"):
        registry.add_all({"new": "sqlite:///new.db", "a": "sqlite:///b.db"})
    assert "new" not in registry
    with pytest.raises(UnknownDatabase) as info:
        registry["nobody"]
    assert len(str(info.value)) < 1000, "a message does not list thousands"


def test_a_resolver_is_a_function(tmp_path: Path) -> None:
    registry = Databases()
    with pytest.raises(ConfigurationError, match=r"databases\.resolver takes a function of a name, not 'x'"):
        registry.resolver = "x"  # type: ignore[assignment]
    assert registry.resolver is None and not registry.has_tenants


def test_a_tenant_that_is_gone_while_somebody_uses_it_finishes_and_is_unknown(tmp_path: Path) -> None:
    urls = {"acme": f"sqlite:///{tmp_path / 'acme'}.db"}
    registry = Databases()
    registry.resolver = urls.get
    assert (registry.resolved_ttl, registry.unknown_ttl) == (300, 5)
    database = registry["acme"]
    with database.atomic():  # type: ignore[no-untyped-call]
        database.execute_sql("CREATE TABLE t (n int)")
        del urls["acme"]
        registry.forget("acme")
        assert not registry.knows("acme") and "acme" not in registry.live
        database.execute_sql("INSERT INTO t VALUES (1)")
    assert database.execute_sql("SELECT n FROM t").fetchall() == [(1,)]
    database.close()
    registry.close_all()
