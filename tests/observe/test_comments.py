"""Comments that reach the server, and nothing that a name can do in one."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from peewee import CharField

from peewee_multidb import ConfigurationError, Databases, Model, statements
from peewee_multidb.observe import comment_queries, observe
from peewee_multidb.observe.comments import serialized
from tests.observe.conftest import Events, Shop
from tests.tds.fixtures import WAYS, with_driver
from tests.tds.server import TDSServer, _Connection

#: What a server of each engine says that it was asked.
ECHO = {
    "postgresql": "SELECT current_query()",
    "mysql": "SELECT info FROM information_schema.processlist WHERE id = connection_id()",
}
NASTY = [
    *("*/ DROP TABLE x; --", "a'b", "100%", "%s", "%%27", "?", "$1", "é漢\U0001f600", "\\", "a\nb"),
    *("/*", "{x}", ":x"),
]
names = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)


def told(text: str) -> dict[str, str]:
    """Read the comment of a statement back."""
    (inside,) = re.findall(r"/\*(.*?)\*/", text, re.DOTALL)
    return {unquote(k): unquote(v) for k, v in re.findall(r"([^=,]+)='([^']*)'", inside)}


@given(st.dictionaries(names, names, max_size=5))
def test_keys_and_values_come_back_and_nothing_else_is_in_a_comment(values: dict[str, str]) -> None:
    comment = serialized(values)
    assert (comment == "") == (not values)
    if values:
        assert re.fullmatch(r"/\*[\w.~%=',-]*\*/", comment, re.ASCII)
        assert told(comment) == values
        keys = re.findall(r"([^=,*/]+)='", comment)
        assert keys == sorted(keys)


def echoed(database: Any, *, with_parameter: bool) -> str:
    engine = "postgresql" if "Postgres" in type(database).__name__ else "mysql"
    sql = ECHO[engine]
    if with_parameter:
        sql = f"{sql.replace('SELECT ', 'SELECT %s, ', 1)}"
        return str(database.execute_sql(sql, ("50% of 'it'",)).fetchone()[1])
    return str(database.execute_sql(sql).fetchone()[0])


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_a_server_gets_the_comment_whatever_a_tag_says(
    url: str, first: bool, request: pytest.FixtureRequest
) -> None:
    registry = Databases({"default": request.getfixturevalue(url)})
    tags = {"tag": ""}
    with comment_queries(registry=registry, tags=lambda: tags, first=first):
        for tags["tag"] in NASTY:
            for with_parameter in (False, True):
                seen = echoed(registry["default"], with_parameter=with_parameter)
                assert told(seen) == {"database": "default", "role": "primary", **tags}
                assert seen.startswith("/*") is first and seen.endswith("*/") is not first
    assert "/*" not in echoed(registry["default"], with_parameter=True)
    registry.close_all()


@pytest.mark.parametrize("url", ["postgres_url", "mariadb_url"])
def test_no_name_of_a_tenant_can_inject_anything(url: str, request: pytest.FixtureRequest) -> None:
    registry_ = Databases({"default": request.getfixturevalue(url)})

    class Thing(Model):
        name = CharField(max_length=100, null=True)

        class Meta:
            registry = registry_

    Thing.create_table()
    tags: dict[str, str] = {}

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(names, st.sampled_from(["", "%like%", "it's", "\\"]))
    def attempt(name: str, value: str) -> None:
        tags["tenant"] = name
        assert told(echoed(registry_["default"], with_parameter=False))["tenant"] == name
        row = Thing.create(name=value)
        found = Thing.get(Thing.id == row.id)
        assert found.name == value
        assert Thing.select().where(Thing.name.contains("%like")).count() == (value == "%like%")
        assert Thing.delete().execute() == 1

    with comment_queries(registry=registry_, tags=lambda: tags):
        attempt()
    registry_.close_all()


def test_asynchronous_drivers_send_it_too(three_async: None) -> None:
    from peewee_multidb import databases

    tags = {"tag": ""}

    async def main() -> None:
        with comment_queries(tags=lambda: tags):
            for name, sql in (("post", ECHO["postgresql"]), ("maria", ECHO["mysql"])):
                database = databases[name]
                for tags["tag"] in NASTY:
                    row = (await database.aexecute_sql(sql, ())).fetchone()
                    assert told(row[0])["tag"] == tags["tag"]
                    asked = sql.replace("SELECT ", "SELECT %s, ", 1)
                    asked = asked.replace("%s", "CAST(%s AS CHAR(9))")
                    row = (await database.aexecute_sql(asked, ("50%",))).fetchone()
                    assert told(row[1])["tag"] == tags["tag"]
                await database.aclose()
                await database.close_pool()

    asyncio.run(main())


@pytest.mark.parametrize("way", WAYS)
def test_sql_server_gets_it_by_every_module(
    way: str, tds_server: TDSServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[str] = []
    checked = _Connection._checked

    def recorded(self: Any, sql: str, parameters: Any) -> Any:
        arrived.append(sql)
        return checked(self, sql, parameters)

    monkeypatch.setattr(_Connection, "_checked", recorded)
    registry_ = Databases({"default": with_driver(tds_server.url(f"comments_{WAYS.index(way)}"), way)})

    class Thing(Model):
        name = CharField(max_length=100)

        class Meta:
            registry = registry_

    Thing.create_table()
    tags = {"tag": ""}
    with comment_queries(registry=registry_, tags=lambda: tags):
        for tags["tag"] in NASTY:
            arrived.clear()
            row = Thing.create(name=tags["tag"])
            assert [told(sql)["tag"] for sql in arrived if "/*" in sql] == [tags["tag"]]
            assert Thing.get(Thing.id == row.id).name == tags["tag"]
            assert Thing.update(name="x").where(Thing.id == row.id).execute() == 1
    registry_.close_all()


def test_observers_and_the_notes_of_writes_see_the_statement_as_it_was_written(shop: Shop) -> None:
    seen = Events()
    with comment_queries(registry=shop.registry), observe(seen.append, registry=shop.registry):
        shop.User.create(name="x")
        list(shop.User.select())
    assert all("/*" not in event.sql for event in seen)


@given(st.sampled_from(["SELECT a FROM t", "INSERT INTO t VALUES (?)", "SELECT nextval('x')"]), names)
def test_a_comment_does_not_change_what_a_statement_is_taken_for(sql: str, name: str) -> None:
    with_comment = f"{sql} {serialized({'tenant': name})}"
    assert statements.for_primary(with_comment) == statements.for_primary(sql)
    assert statements.may_write(with_comment) == statements.may_write(sql)
    if not statements.only_reads(sql):
        assert not statements.only_reads(with_comment)


def test_a_statement_with_a_comment_ddl_and_semicolons_are_left_whole(postgres_url: str) -> None:
    registry = Databases({"default": postgres_url})
    database = registry["default"]
    with comment_queries(registry=registry):
        (own,) = database.execute_sql("SELECT current_query() /* mine */").fetchone()
        assert own == "SELECT current_query() /* mine */"
        (ended,) = database.execute_sql("SELECT current_query() ; ").fetchone()
        assert ended.startswith("SELECT current_query() /*") and ended.rstrip().endswith(";")
        database.execute_sql("CREATE TABLE t (a int)")
        with database.atomic():
            database.execute_sql("INSERT INTO t VALUES (1)")
    registry.close_all()


def test_the_route_the_model_and_the_shard_of_a_query_are_told(shop: Shop) -> None:
    sent: list[str] = []
    for name in ("s1", "s2"):
        connection = shop.registry[name].connection()
        connection.set_trace_callback(sent.append)
    with comment_queries(registry=shop.registry, fields=("database", "model", "route")):
        shop.Order.select().where(shop.Order.user == 1).count()
        shop.Order.delete().where(shop.Order.user == 1).execute()
        list(shop.Order.select().iterator())
    found = [told(sql) for sql in sent if "/*" in sql]
    assert {one["model"] for one in found} == {"Order"}
    assert "shard key" in {one["route"] for one in found}


def test_rows_of_a_scattered_read_are_still_streamed_from_postgresql(postgres_urls: Any) -> None:
    s1, s2 = postgres_urls(2)
    shop = Shop({"default": s1, "s1": s1 + "?application_name=x", "s2": s2})
    shop.registry.create_tables([shop.Order])
    seen = Events()
    with comment_queries(registry=shop.registry), observe(seen.append, registry=shop.registry):
        shop.Order.insert_many([{"user": n} for n in range(50)]).execute()
        seen.take()
        assert len(list(shop.Order.select().iterator())) == 50
    assert sum(event.rows or 0 for event in seen) == 50
    shop.registry.close_all()


def test_the_trace_goes_along_when_it_is_asked_for(postgres_url: str) -> None:
    registry = Databases({"default": postgres_url})
    tracer = TracerProvider().get_tracer("test")
    with comment_queries(registry=registry, fields=(), traceparent=True):
        assert "/*" not in echoed(registry["default"], with_parameter=False)
        with tracer.start_as_current_span("request") as span:
            seen = told(echoed(registry["default"], with_parameter=True))
    assert seen["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"
    registry.close_all()


def test_tags_that_cannot_be_had_are_logged_and_the_query_goes_on(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, str]:
        raise ValueError("no tags today")

    with comment_queries(registry=shop.registry, tags=broken):
        assert shop.User.select().count() == 0
    assert "no tags today" in caplog.text


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="unknown field 'databse'"):
        comment_queries(fields=("databse",))
