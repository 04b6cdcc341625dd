"""LookupShards: a directory in a table, changed at run time, with a say in what becomes of unknown keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import CharField

from peewee_multidb import (
    ConfigurationError,
    Databases,
    HashShards,
    InvalidShardKey,
    LookupShards,
    Model,
    StoredMap,
    database_of,
    explain_route,
)
from tests.model.conftest import sent_to

NAMES = ("s0", "s1")

own = Databases()


@pytest.fixture(autouse=True)
def shards(tmp_path: Path) -> Iterator[None]:
    own.configure({name: f"sqlite:///{tmp_path / name}.db" for name in ("directory", *NAMES)})
    yield
    own.close_all()
    own.configure({})


def lookup(**options: Any) -> LookupShards:
    made = LookupShards(*NAMES, directory="directory", registry=own, **options)
    made.prepare()
    made.prepare()
    return made


def tenants(rule_: LookupShards) -> Any:
    class Note(Model):
        tenant = CharField()
        text = CharField(default="")

        class Meta:
            registry = own
            db_name = rule_
            shard_key = "tenant"

    Note.create_table()
    return Note


def test_a_key_is_where_it_was_put() -> None:
    rule = lookup()
    rule.assign("acme", "s1")
    rule.assign(5, "s0")
    rule.assign(("a", 1), "s1")
    assert [rule.shard_of(key) for key in ("acme", 5, ("a", 1))] == ["s1", "s0", "s1"]
    assert rule.listed() == [("'acme'", "s1"), ("('a', 1)", "s1"), ("5", "s0")]
    rule.assign("acme", "s0")
    rule.assign("acme", "s0")
    assert rule.shard_of("acme") == "s0"
    rule.forget("acme")
    assert rule.find("acme") is None


def test_keys_that_a_collation_would_confuse_are_two() -> None:
    rule = lookup()
    rule.assign("acme", "s0")
    rule.assign("ACME", "s1")
    assert [rule.find(key) for key in ("acme", "ACME", "acme ", 1)] == ["s0", "s1", None, None]


def test_directories_of_two_names_share_a_table_and_no_key() -> None:
    one, two = lookup(name="one"), lookup(name="two")
    one.assign("x", "s0")
    assert (one.find("x"), two.find("x")) == ("s0", None)


def test_an_unknown_key_takes_no_rows_and_has_none() -> None:
    Note = tenants(lookup())
    with pytest.raises(InvalidShardKey, match=r"'acme' is not in the directory 'default' .*assign\('acme'"):
        Note.create(tenant="acme")
    with sent_to(own) as sent:
        assert Note.get_or_none(tenant="acme") is None
    assert set(sent.where()) == {"directory"}
    assert explain_route(Note.select().where(Note.tenant == "acme")).databases == ()


def test_a_name_takes_the_rows_of_unknown_keys() -> None:
    rule = lookup(unknown="s1")
    Note = tenants(rule)
    assert database_of(Note.create(tenant="anybody")) == "s1"
    assert Note.get(tenant="anybody").tenant == "anybody"
    assert rule.listed() == []


def test_a_function_is_asked_once_for_each_new_key_and_its_answer_is_kept() -> None:
    asked: list[str] = []

    def choose(key: str) -> str:
        asked.append(key)
        return NAMES[len(key) % 2]

    rule = lookup(unknown=choose)
    Note = tenants(rule)
    assert Note.get_or_none(tenant="abc") is None
    assert asked == [], "a read gives no key a place"
    assert [database_of(Note.create(tenant=name)) for name in ("abc", "ab", "abc")] == ["s1", "s0", "s1"]
    assert asked == ["abc", "ab"]
    again = LookupShards(*NAMES, directory="directory", registry=own)
    assert again.shard_of("abc") == "s1"


def test_one_of_two_who_place_a_key_at_once_is_first_and_both_agree() -> None:
    barrier = threading.Barrier(2)

    def rule_of(mine: str) -> LookupShards:
        def choose(key: str) -> str:
            barrier.wait(30)
            return mine

        return lookup(unknown=choose)

    found: list[str] = []
    rules = [rule_of(name) for name in NAMES]
    threads = [threading.Thread(target=lambda rule=rule: found.append(rule.shard_of("x"))) for rule in rules]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and len(set(found)) == 1
    assert rules[0].listed() == [("'x'", found[0])]


def test_what_was_looked_up_is_believed_for_its_lifetime_only() -> None:
    here, elsewhere, doubter = lookup(lifetime=3600), lookup(), lookup(lifetime=0)
    here.assign("x", "s0")
    assert doubter.shard_of("x") == "s0"
    with sent_to(own) as sent:
        assert here.shard_of("x") == here.shard_of("x") == "s0"
    assert list(sent) == []
    elsewhere.assign("x", "s1")
    assert (here.shard_of("x"), doubter.shard_of("x")) == ("s0", "s1")
    here.refresh()
    assert here.shard_of("x") == "s1"


def test_a_process_keeps_no_more_keys_than_it_may() -> None:
    rule = lookup(most=3)
    for number in range(10):
        rule.assign(number, "s0")
    assert len(rule._known) <= 3
    assert {rule.shard_of(number) for number in range(10)} == {"s0"}


def test_nothing_is_placed_inside_a_transaction_that_could_undo_it() -> None:
    rule = lookup(unknown=lambda key: "s0")
    rule.assign("old", "s1")
    with own["directory"].atomic():
        with pytest.raises(ConfigurationError, match=r"Call assign\('new', 's0'\) before the block"):
            rule.shard_of("new")
        with pytest.raises(ConfigurationError):
            rule.assign("new", "s1")
        assert rule.shard_of("old") == "s1"
    assert rule.shard_of("new") == "s0"


def test_a_transaction_of_a_shard_is_no_obstacle() -> None:
    Note = tenants(lookup(unknown=lambda key: "s0"))
    with own["s0"].atomic() as transaction:
        Note.create(tenant="new")
        transaction.rollback()
    assert Note.select().where(Note.tenant == "new").count() == 0
    assert database_of(Note.create(tenant="new")) == "s0"


def test_a_shard_that_the_rule_does_not_know_is_an_error() -> None:
    rule = lookup(unknown=lambda key: "nowhere")
    for place in (lambda: rule.assign("x", "nowhere"), lambda: rule.shard_of("x")):
        with pytest.raises(ConfigurationError, match="'nowhere' is not among the shards"):
            place()
    more = LookupShards("s0", "s1", "s2", directory="directory", registry=own)
    more.assign("x", "s2")
    with pytest.raises(ConfigurationError, match="says 's2' for 'x', which is not among the shards"):
        rule.shard_of("x")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LookupShards(directory="d"), "needs the names of its shards"),
        (lambda: LookupShards("a", directory=""), "directory is the name of a database"),
        (lambda: LookupShards("a", directory="d", unknown="b"), "'b' is not among the shards"),
        (lambda: LookupShards("a", directory="d", unknown=5), "takes None, the name of a shard, or"),
        (lambda: LookupShards("a", directory="d", name="x" * 65), "no name of at most 64 characters"),
        (lambda: LookupShards("a", directory="d", lifetime=-1), "lifetime is not below 0"),
        (lambda: LookupShards("a", directory="d", most=0), "most not below 1"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make()


def test_what_does_not_fit_the_map_is_refused() -> None:
    def map_of(name: str = "tenants", **options: Any) -> StoredMap:
        return StoredMap(name, *NAMES, **{"db": "directory", "units": 0, **options})

    for make, message in (
        (lambda: LookupShards("s0", map=map_of()), "names or a map"),
        (lambda: LookupShards(map=map_of(), directory="s1"), "in the database of its map"),
        (lambda: LookupShards(map=map_of(), name="other"), "has the name of it"),
        (lambda: LookupShards(map="s1"), "takes a StoredMap"),  # type: ignore[arg-type]
        (lambda: LookupShards(map=map_of(units=8)), r"say StoredMap\(..., units=0\)"),
        (lambda: HashShards(map=map_of(), key="x"), "the rule has 1024 units"),
        (lambda: LookupShards("s0", key="x"), "directory is the name of a database"),
        (lambda: LookupShards(map=map_of(registry=own), registry=Databases()), "two registries"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            make()
    late = LookupShards(map=map_of(), registry=own, unknown="s9")
    late.prepare()
    for place in (late.shard_of, late.find):
        with pytest.raises(ConfigurationError, match="'s9' is not among the shards"):
            place("x")


def test_a_model_of_another_registry_is_refused() -> None:
    class Stranger(Model):
        tenant = CharField()

        class Meta:
            registry = own
            db_name = LookupShards("s0", directory="directory")
            shard_key = "tenant"

    with pytest.raises(ConfigurationError, match="Stranger is of another registry"):
        Stranger.get_or_none(tenant="x")


def test_the_directory_may_be_on_any_engine(postgres_url: str, mariadb_url: str) -> None:
    for url in (postgres_url, mariadb_url):
        own.add("engine", url)
        rule = LookupShards(*NAMES, directory="engine", registry=own, lifetime=0)
        rule.prepare()
        rule.assign("Straße", "s0")
        rule.assign("strasse", "s1")
        rule.assign("Straße", "s1")
        rule.assign("Straße", "s1")
        assert (rule.find("Straße"), rule.find("strasse"), rule.find("STRASSE")) == ("s1", "s1", None)
        assert len(rule.listed()) == 2
        own.remove("engine")
