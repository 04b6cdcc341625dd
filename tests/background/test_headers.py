"""The scope in a job's headers: it arrives as it was sent, or the job does not run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import (
    ConfigurationError,
    Databases,
    HashShards,
    Model,
    NoDatabaseSelected,
    TenantLocked,
    all_shards,
    atomic,
    causal_token,
    current_db,
    current_tenant,
    databases,
    explain_route,
    propagate,
    use_causal_token,
    use_db,
    use_primary,
    use_shard,
    use_tenant,
)
from peewee_multidb.background import HEADER, ascope_headers, scope_from_headers, scope_headers
from peewee_multidb.causality import current_unit
from peewee_multidb.errors import ScopeRefused
from peewee_multidb.scope import current
from peewee_multidb.transactions import block

KEY = "a key that is long enough for tests"


class Plain(Model):
    text = peewee.CharField()


class Client(Model):
    text = peewee.CharField()

    class Meta:
        db_name = None


class Sharded(Model):
    key = peewee.IntegerField()

    class Meta:
        db_name = HashShards("a", "b", key="key")


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Iterator[None]:
    tenants = {name: {"url": "sqlite://", "tenant": True} for name in ("acme", "globex")}
    databases.configure({"default": "sqlite://", "a": "sqlite://", "b": "sqlite://", **tenants})
    databases.secret_key = KEY
    yield
    databases.configure({})
    databases.secret_key = None


def arrived(headers: Any, **options: Any) -> Any:
    with scope_from_headers(headers, **options):
        return where()


def where() -> Any:
    try:
        client = current_db(Client)
    except NoDatabaseSelected:
        client = None
    return current_db(Plain), client, current_tenant(), explain_route(Plain.select()).role


def test_nothing_selected_arrives_as_nothing_selected() -> None:
    headers = scope_headers()
    assert list(headers) == [HEADER]
    with use_tenant("acme"):
        assert arrived(headers) == ("default", None, None, "primary")
        assert current_tenant() == "acme"


@pytest.mark.parametrize(
    "scopes",
    [
        [use_db("a")],
        [use_db(default="b")],
        [use_db("a", Plain)],
        [use_db("a"), use_db("b", Client)],
        [use_db("a", role="primary")],
        [use_primary(), use_db("b")],
        [use_tenant("acme")],
        [use_tenant("acme", tenant="Acme Ltd.", shared=["globex"])],
        [use_tenant(default="acme")],
        [use_tenant("acme"), use_db("b", unlock=True)],
        [use_tenant("acme"), use_db("b", Plain)],
        [use_db("a"), use_db(a="b"), use_tenant("globex")],
    ],
    ids=lambda scopes: "-".join(map(repr, scopes)),
)
def test_each_scope_arrives_as_it_was_sent(scopes: Any) -> None:
    for one in scopes:
        one.__enter__()
    sent, headers = where(), scope_headers()
    for one in reversed(scopes):
        one.__exit__(None, None, None)
    assert current() is None
    assert arrived(headers) == sent
    assert current() is None


def test_the_lock_of_a_tenant_arrives_with_what_is_shared() -> None:
    with use_tenant("acme"):
        headers = scope_headers()
    with scope_from_headers(headers):
        with pytest.raises(TenantLocked):
            use_db("globex").__enter__()
        with use_db("globex", unlock=True):
            assert current_db(Client) == "globex"
    with use_tenant("acme", shared=["globex"]):
        headers = scope_headers()
    with scope_from_headers(headers), use_db("globex"):
        assert current_db(Client) == "globex" and current_tenant() == "acme"


def test_the_lock_of_a_bound_function_arrives() -> None:
    with use_db("a"):
        bound = propagate(lambda: (scope_headers(), where()))
    with use_tenant("acme"):
        headers, sent = bound()
    assert sent[:3] == ("a", "a", "acme")
    with scope_from_headers(headers):
        assert where()[:3] == ("a", "a", "acme")
        with pytest.raises(TenantLocked):
            use_db("globex").__enter__()
    assert current() is None


def test_all_shards_arrives() -> None:
    with all_shards(Sharded):
        headers = scope_headers()
    with scope_from_headers(headers):
        node = current()
        assert node is not None and repr(node.entry) == "all_shards(Sharded)"


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["a", "b", "default"]).map(use_db),
            st.sampled_from(["a", "b"]).map(lambda name: use_db(name, Plain)),
            st.sampled_from(["a", "b"]).map(lambda name: use_db(default=name)),
            st.sampled_from(["primary", "replica"]).map(lambda role: use_db(role=role)),
            st.sampled_from(["acme", "globex"]).map(lambda name: use_tenant(name, unlock=True)),
            st.just(use_db("a", unlock=True)),
        ),
        max_size=6,
    )
)
def test_any_stack_of_scopes_arrives(scopes: Any) -> None:
    entered = []
    try:
        for one in scopes:
            try:
                one.__enter__()
            except TenantLocked:
                continue
            entered.append(one)
        sent, headers = where(), scope_headers()
    finally:
        for one in reversed(entered):
            one.__exit__(None, None, None)
    assert arrived(headers) == sent


def test_a_header_can_be_read_by_nobody() -> None:
    with use_tenant("acme", shared=["globex"]):
        (text,) = scope_headers().values()
    for word in ("acme", "globex", KEY, "tenant"):
        assert word not in text
    assert text.isascii() and " " not in text and "\n" not in text


@pytest.mark.parametrize("name", ["X-MultiDB-Scope", HEADER.upper(), HEADER])
def test_names_of_headers_have_no_case_and_values_may_be_bytes(name: str) -> None:
    with use_db("a"):
        (text,) = scope_headers().values()
    assert arrived({name: text, "other": 5})[0] == "a"
    assert arrived({name: text.encode()})[0] == "a"


def tampered() -> Iterator[Any]:
    good = scope_headers()[HEADER]
    yield good[:-2] + ("AA" if good[-2:] != "AA" else "BB")
    yield good[:20]
    yield good[: len(good) // 2] + ("A" if good[len(good) // 2] != "A" else "B") + good[len(good) // 2 + 1 :]
    yield ""
    yield "\N{SNOWMAN}" * 10
    yield b"\xff\xfe"
    yield "x" * 1_000_000
    yield 17
    yield ["a"]


def test_what_is_forged_or_damaged_is_refused_and_the_block_does_not_run() -> None:
    for text in tampered():
        with pytest.raises(ScopeRefused) as caught:
            with scope_from_headers({HEADER: text}):
                raise AssertionError("it ran")
        assert len(str(caught.value)) < 200 and current() is None


def test_a_header_of_another_key_is_refused_and_of_an_older_one_is_not() -> None:
    with use_db("a"):
        headers = scope_headers()
    databases.secret_key = ["another key that is long enough", KEY]
    assert arrived(headers)[0] == "a"
    databases.secret_key = "another key that is long enough"
    with pytest.raises(ScopeRefused, match="another secret_key"):
        arrived(headers)


def test_an_old_header_is_refused_when_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_db("a"):
        headers = scope_headers()
    assert arrived(headers, max_age=5)[0] == "a"
    later = time.time() + 10
    monkeypatch.setattr(time, "time", lambda: later)
    assert arrived(headers)[0] == "a"
    with pytest.raises(ScopeRefused, match="older than 5 seconds"):
        arrived(headers, max_age=5)


def test_a_job_without_the_header_is_refused_unless_it_is_allowed() -> None:
    for headers in (None, {}, {"other": "x"}):
        with pytest.raises(ScopeRefused, match="carries no header"):
            arrived(headers)
        with use_db("b"):
            assert arrived(headers, required=False)[0] == "default"


def test_a_scope_header_is_no_causal_token_and_the_other_way_round(caplog: pytest.LogCaptureFixture) -> None:
    with use_db("a"):
        (text,) = scope_headers().values()
    with use_causal_token(text):
        unit = current_unit()
        assert unit is not None and not unit.seen
    assert "ignored a causal token" in caplog.text
    from peewee_multidb.replicas.tokens import CAUSAL, INFO, cipher_of

    token = cipher_of(databases, INFO, CAUSAL).encrypt(json.dumps({"version": 1, "scopes": []}).encode())
    with pytest.raises(ScopeRefused, match="forged"):
        arrived({HEADER: token.decode()})


@pytest.mark.parametrize("is_tenant", [True, False])
def test_a_name_that_is_not_known_where_the_job_runs_is_refused(is_tenant: bool) -> None:
    name = "in_no_other_registry"  # another test's may be there still
    databases.add(name, "sqlite://", tenant=is_tenant)
    with use_tenant(name) if is_tenant else use_db(name):
        headers = scope_headers()
    databases.remove(name)
    before = current(), current_unit()
    with pytest.raises(ScopeRefused, match=f"unknown here.*{name}"):
        arrived(headers)
    assert (current(), current_unit()) == before


def test_what_was_a_tenant_and_is_none_any_more_is_refused() -> None:
    with use_tenant("globex"):
        headers = scope_headers()
    databases.remove("globex")
    databases.add("globex", "sqlite://")
    with pytest.raises(ScopeRefused, match="no tenant's"):
        arrived(headers)


def test_what_cannot_travel_is_refused_where_it_is_sent() -> None:
    class Local(Model):
        class Meta:
            db_name = None

    with use_db("a", Local), pytest.raises(ConfigurationError, match="cannot be imported"):
        scope_headers()
    with use_shard(Sharded, 1), pytest.raises(ConfigurationError, match="cannot travel"):
        scope_headers()
    with use_db("a", *[Plain] * 3000), pytest.raises(ConfigurationError, match="at most 65536"):
        scope_headers()


def test_a_model_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_db("a", Plain):
        headers = scope_headers()
    monkeypatch.delattr("tests.background.test_headers.Plain")
    with pytest.raises(ScopeRefused, match=r"the model Plain of tests\.background\.test_headers"):
        with scope_from_headers(headers):
            raise AssertionError("it ran")


def test_without_a_key_nothing_is_sent_and_nothing_accepted() -> None:
    headers = scope_headers()
    databases.secret_key = None
    with pytest.raises(ConfigurationError, match="scope headers are signed, and there is no key"):
        scope_headers()
    with pytest.raises(ConfigurationError, match="there is no key"):
        arrived(headers)
    assert arrived_in_registry(Databases({"x": "sqlite://"})) == "x"


def arrived_in_registry(registry: Databases) -> str | None:
    registry.secret_key = KEY
    with use_db("x"):
        headers = scope_headers(registry)
    with scope_from_headers(headers, registry):
        return current_db(Client)


def test_what_a_job_enters_and_does_not_leave_is_gone_with_it() -> None:
    with use_db("a"):
        headers = scope_headers()
    with use_db("b"):
        before = current()
        with scope_from_headers(headers):
            use_db("default").__enter__()
            use_tenant("acme").__enter__()
            atomic().__enter__()
        assert current() is before and current_db(Plain) == "b"
        assert block.current() is None


def test_what_was_written_is_read_by_the_job_from_the_primary(postgres_cluster_settings: Any) -> None:
    databases.configure({"default": postgres_cluster_settings})
    try:
        Plain.create_table()
        assert causal_token() is not None
        headers = scope_headers()
        bare = scope_headers(causal=False)
        assert len(headers[HEADER]) > len(bare[HEADER])
        with scope_from_headers(headers):
            unit = current_unit()
            assert unit is not None and [seen.floor is not None for seen in unit.seen.values()] == [True]
        with scope_from_headers(bare):
            unit = current_unit()
            assert unit is not None and not unit.seen
    finally:
        Plain.drop_table()
        databases.close_all()


def test_headers_of_another_version_of_this_package_are_refused() -> None:
    from peewee_multidb.background.headers import PURPOSE, WHAT
    from peewee_multidb.replicas.tokens import cipher_of

    for content in ({"version": 2, "scopes": [], "causal": None}, ["a"]):
        text = cipher_of(databases, PURPOSE, WHAT).encrypt(json.dumps(content).encode())
        with pytest.raises(ScopeRefused, match="another version"):
            arrived({HEADER: text.decode()})


def test_a_coroutine_sends_what_a_thread_would_send() -> None:
    async def send() -> dict[str, str]:
        with use_tenant("acme"):
            return await ascope_headers()

    assert arrived(asyncio.run(send()))[2] == "acme"


def test_a_coroutine_sends_what_it_has_written_too(mariadb_cluster_settings: Any) -> None:
    databases.configure({"default": mariadb_cluster_settings})

    async def send() -> dict[str, str]:
        return await ascope_headers()

    try:
        Plain.create_table()
        with scope_from_headers(asyncio.run(send())):
            unit = current_unit()
            assert unit is not None and [seen.floor is not None for seen in unit.seen.values()] == [True]
    finally:
        Plain.drop_table()
        databases.close_all()
