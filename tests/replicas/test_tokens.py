"""The causal token: what was seen travels, and nothing that is not ours gets in."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import (
    ConfigurationError,
    Databases,
    MappingResolver,
    Model,
    causal_token,
    unit_of_work,
    use_causal_token,
)
from peewee_multidb.causality import current_unit
from peewee_multidb.replicas import tokens
from peewee_multidb.urls import Secret
from tests.replicas.watch import Watched
from tests.scale import scaled

Open = Callable[..., Watched]

KEY = "a random text of more than 16 characters"


def written(watched: Watched, number: int) -> Any:
    watched.registry.secret_key = KEY
    with unit_of_work():
        watched.Note.create(number=number)
        return causal_token(watched.registry)


def numbers(watched: Watched) -> list[int]:
    return sorted(row.number for row in watched.Note.select())


def test_a_token_makes_the_next_request_see_what_the_last_one_wrote(
    cluster_settings: dict[str, Any], cluster: Any, watch: Open
) -> None:
    watched = watch(cluster_settings, check_interval=60)
    watched.settle()
    for replica in cluster.replicas:
        replica.pause()
    token = written(watched, 1)
    other = watch(cluster_settings, check_interval=60)
    other.registry.secret_key = KEY
    with use_causal_token(token, other.registry):
        assert numbers(other) == [1]
    assert len(token) < 400


def test_a_request_hands_on_the_token_that_it_got(
    cluster_settings: dict[str, Any], cluster: Any, watch: Open
) -> None:
    watched = watch(cluster_settings, check_interval=60)
    watched.settle()
    for replica in cluster.replicas:
        replica.pause()
    token = written(watched, 1)
    with use_causal_token(token, watched.registry):
        again = causal_token(watched.registry)
    with use_causal_token(again, watched.registry):
        assert numbers(watched) == [1]


def test_who_has_written_nothing_has_no_token(replicated: Watched) -> None:
    replicated.registry.secret_key = KEY

    def check() -> None:
        assert causal_token(replicated.registry) is None
        with use_causal_token(None, replicated.registry):
            assert causal_token(replicated.registry) is None

    _without_unit(check)


def test_a_token_inside_of_another_one_adds_to_it(mariadb_cluster_settings: Any, watch: Open) -> None:
    """Positions of MariaDB and MySQL need not cover each other: each domain counts for itself."""
    watched = watch(mariadb_cluster_settings)
    registry = watched.registry
    registry.secret_key = KEY

    def token(*positions: str) -> Any:
        carried = json.dumps({"default": [None, positions, None]})
        return tokens._cipher(registry).encrypt(carried.encode()).decode()

    def floor() -> dict[int, int]:
        unit = current_unit()
        assert unit is not None
        seen = unit.seen[watched.entry]
        assert seen.floor is not None
        return {domain: seq for domain, (seq, _) in seen.floor[1].last.items()}

    def check() -> None:
        with use_causal_token(token("0-1-5", "7-1-3"), registry):
            assert floor() == {0: 5, 7: 3}
            with use_causal_token(token("0-1-4,8-1-9"), registry):
                assert floor() == {0: 5, 7: 3, 8: 9}

    _without_unit(check)


def test_a_token_that_is_asked_for_in_a_transaction_does_not_stand_for_its_commit(
    replicated: Watched, cluster: Any
) -> None:
    replicated.registry.secret_key = KEY
    replicated.settle()
    found = []
    with replicated.database.atomic():
        # Comes before what the registry does at the commit.
        replicated.database.after_commit(lambda: found.extend(numbers(replicated)))
        replicated.Note.create(number=1)
        assert causal_token(replicated.registry) is not None
        cluster.wait_in_step()
        for replica in cluster.replicas:
            replica.pause()
    assert found == [1]


def _without_unit(action: Callable[[], Any]) -> None:
    import contextvars

    contextvars.Context().run(action)


BAD: dict[str, Callable[[str], Any]] = {
    "empty": lambda token: "",
    "another text": lambda token: "not a token",
    "a changed one": lambda token: token[:-5] + ("AAAAA" if token[-5:] != "AAAAA" else "BBBBB"),
    "one of another key": lambda token: Fernet(Fernet.generate_key()).encrypt(b"{}").decode(),
    "a long one": lambda token: token * 200,
    "not ASCII": lambda token: "é" * 40,
    "bytes": lambda token: token.encode(),
    "a number": lambda token: 7,
}


@pytest.mark.parametrize("spoil", BAD.values(), ids=BAD)
def test_a_token_that_is_not_ours_is_ignored_and_its_content_not_logged(
    replicated: Watched, spoil: Callable[[str], Any], caplog: pytest.LogCaptureFixture
) -> None:
    token = written(replicated, 1)
    bad = spoil(token)

    def check() -> None:
        with use_causal_token(bad, replicated.registry):
            unit = current_unit()
            assert unit is not None and unit.seen == {}

    with caplog.at_level(logging.WARNING, "peewee_multidb"):
        _without_unit(check)
    assert "ignored a causal token" in caplog.text
    assert len(caplog.text) < 500
    if isinstance(bad, str) and len(bad) > 3:
        assert bad[:20] not in caplog.text


def test_an_expired_token_is_ignored(replicated: Watched, caplog: pytest.LogCaptureFixture) -> None:
    token = written(replicated, 1)

    def check() -> None:
        with use_causal_token(token, replicated.registry, max_age=-1):
            unit = current_unit()
            assert unit is not None and unit.seen == {}

    _without_unit(check)
    assert "expired" in caplog.text


@given(st.text(max_size=200))
def test_no_text_whatever_is_taken_for_a_token(text: str) -> None:
    registry = Databases({"default": {"url": "sqlite://", "replicas": ["mirror"]}})
    registry.secret_key = KEY
    with use_causal_token(text, registry):
        unit = current_unit()
        assert unit is not None and registry.entries["default"] not in unit.seen


def test_a_token_of_another_cluster_is_ignored(
    cluster_settings: dict[str, Any], watch: Open, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(cluster_settings, check_interval=60)
    watched.registry.secret_key = KEY
    watched.Note.create(number=1)
    watched.settle()
    ahead = {
        "postgresql": ["7000000000000000000", ["FF/0"], None],
        "mysql": [None, ["9-9-999999"], None],
    }[watched.entry.settings.url.engine]
    cipher: Any = tokens._cipher(watched.registry)
    token = cipher.encrypt(tokens.json.dumps({"default": ahead, "unknown": ahead}).encode()).decode()

    def check() -> None:
        with use_causal_token(token, watched.registry):
            assert numbers(watched) == [1]
            unit = current_unit()
            assert unit is not None and unit.seen[watched.entry].floor is None

    _without_unit(check)
    assert "not of the servers of 'default'" in caplog.text


def test_a_position_that_was_lost_with_its_primary_does_not_hold_reads_up_for_ever(
    postgres_cluster_settings: dict[str, Any], watch: Open, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch(postgres_cluster_settings, check_interval=60)
    watched.registry.secret_key = KEY
    watched.settle()
    identity = watched.entry.readers.health.ask_identity()
    lost = [identity, ["FF/0"], None]
    cipher: Any = tokens._cipher(watched.registry)
    token = cipher.encrypt(tokens.json.dumps({"default": lost}).encode()).decode()

    def check() -> None:
        with use_causal_token(token, watched.registry):
            watched.clear()
            assert numbers(watched) == [] and numbers(watched) == []

    _without_unit(check)
    assert watched.selects()["primary"] == 1
    assert "not of the servers" in caplog.text


def test_engines_without_positions_carry_the_time(tmp_path: Any, watch: Open) -> None:
    copy = f"sqlite:///{tmp_path}/copy.db"
    watched = watch({"url": f"sqlite:///{tmp_path}/a.db", "replicas": [copy]}, window=60)
    token = written(watched, 3)

    def check() -> None:
        with use_causal_token(token, watched.registry):
            assert numbers(watched) == [3]

    _without_unit(check)


def test_a_tenant_that_a_resolver_found_is_in_the_token_too(tmp_path: Any) -> None:
    settings = {
        "url": f"sqlite:///{tmp_path}/acme.db",
        "replicas": [f"sqlite:///{tmp_path}/copy.db"],
        "replication": {"window": 60},
    }

    def process() -> tuple[Databases, type[Model]]:
        registry = Databases({"default": "sqlite://"})
        registry.secret_key = KEY
        registry.resolver = MappingResolver({"acme": settings})
        meta = type("Meta", (), {"registry": registry, "db_name": "acme"})
        return registry, type("Note", (Model,), {"Meta": meta, "__module__": __name__})

    one, writing = process()
    other, reading = process()
    with unit_of_work():
        writing.create_table()
        token = causal_token(one)
    with use_causal_token(token, other):
        assert token and reading.select().count() == 0, "the copy has no such table"
    one.close_all()
    other.close_all()


def test_a_key_can_be_changed_without_losing_tokens(replicated: Watched) -> None:
    token = written(replicated, 1)
    replicated.registry.secret_key = ["another text of more than 16 characters", Secret(KEY)]

    def check() -> None:
        with use_causal_token(token, replicated.registry):
            unit = current_unit()
            assert unit is not None and replicated.entry in unit.seen

    _without_unit(check)


@pytest.mark.parametrize("key", [None, "", "short", [], ["short"], [KEY, "short"]])
def test_without_a_good_key_there_are_no_tokens(tmp_path: Any, key: Any) -> None:
    registry = Databases({"default": {"url": f"sqlite:///{tmp_path}/a.db", "replicas": ["mirror"]}})
    registry.secret_key = key
    for use in (lambda: causal_token(registry), lambda: use_causal_token("x", registry)):
        with pytest.raises(ConfigurationError, match="16 characters"):
            use()


def test_the_key_is_in_no_message_and_no_repr(tmp_path: Any) -> None:
    registry = Databases({"default": {"url": f"sqlite:///{tmp_path}/a.db", "replicas": ["mirror"]}})
    registry.secret_key = ["short-secret"]
    with pytest.raises(ConfigurationError) as raised:
        causal_token(registry)
    assert "short-secret" not in str(raised.value) + repr(registry)


def _reader(settings: dict[str, Any], connection: Any) -> None:
    """A process of its own: it gets tokens and answers with the largest number that it sees."""
    import peewee

    watched = Watched(Databases({"default": settings}), create=False)
    watched.registry.secret_key = KEY
    while True:
        token = connection.recv()
        if token is None:
            watched.registry.close_all()
            return
        with use_causal_token(token, watched.registry):
            number = watched.Note.select(peewee.fn.MAX(watched.Note.number)).scalar()
        connection.send((number, dict(watched.selects())))


@pytest.mark.parametrize("paused", [0, 2])
def test_tokens_carried_from_process_to_process_never_read_too_old(
    cluster_settings: dict[str, Any], cluster: Any, watch: Open, paused: int
) -> None:
    watched = watch(cluster_settings)
    watched.settle()
    cluster.wait_in_step()
    for replica in cluster.replicas[:paused]:
        replica.pause()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_reader, args=(cluster_settings, theirs))
    process.start()
    try:
        stale = 0
        served: dict[str, int] = {}
        for number in range(1, scaled(150) + 1):
            ours.send(written(watched, number))
            found, served = ours.recv()
            stale += found != number
        assert stale == 0
        if paused:
            assert served["primary"] > 0
    finally:
        ours.send(None)
        process.join(60)
