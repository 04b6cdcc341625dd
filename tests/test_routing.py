"""One decision for each query: rules 1 and 2 of the design, `explain_route`, and what may write."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import FrozenInstanceError
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    DatabaseNotAllowed,
    Databases,
    MissingShardKey,
    MultiDBError,
    NoDatabaseSelected,
    ReadOnlyDatabase,
    Route,
    UnknownDatabase,
    current_db,
    database_of,
    explain_route,
    use_db,
    use_replica,
)
from tests.world import World

# Rule 1: the order of what decides

#: In the design's order; each names another database than the ones below it.
ORDER = ("using", "row", "scope", "rule", "db_name")


def _decided(world: World, *present: str) -> str:
    """Return where one query goes when just these have a say."""
    options: dict[str, Any] = {"db_name": "a"} if "db_name" in present else {}
    if "rule" in present:
        options = {"db_name": lambda key: "b", "shard_key": "key", "shards": ("a", "b", "c", "archive")}
    model = world.model("Decided", **options)
    world.create_tables(model)
    with ExitStack() as stack:
        if "row" in present:
            with use_db("archive", model):
                row = model.get()
        if "scope" in present:
            stack.enter_context(use_db("c"))
        if "row" in present and "using" not in present:
            return row.refresh().label
        query = model.select().where(model.key == 0)
        if "using" in present:
            query = query.using("a" if "rule" in present else "default")
        return query.get().label


SAYS = {"using": "default", "row": "archive", "scope": "c", "rule": "b", "db_name": "a"}


@pytest.mark.parametrize(("winner", "loser"), list(itertools.combinations(ORDER, 2)))
def test_rule_1_the_earlier_of_two_decides(world: World, winner: str, loser: str) -> None:
    if (winner, loser) == ("rule", "db_name"):
        # The two are one option: a model has a rule or a name.
        assert _decided(world, "rule") == "b"
        return
    expected = SAYS[winner]
    if winner == "using" and loser == "rule":
        # A sharded model goes to its shards only.
        expected = "a"
    assert _decided(world, winner, loser) == expected


def test_rule_1_without_anything_else_the_default_database_decides(world: World) -> None:
    assert _decided(world) == "default"
    assert _decided(world, "db_name") == "a"


def test_rule_1_bind_takes_a_database_object(world: World) -> None:
    world.create_tables(world.Plain)
    with use_db("b"):
        query = world.Plain.select()
        query.bind(world.registry["c"])
        assert query.get().label == "c"
        assert database_of(query.get()) == "c"


def test_rule_1_a_row_stays_where_it_is_whatever_its_databases_name_is_re_pointed_to(world: World) -> None:
    world.create_tables(world.InA)
    row = world.InA.get()
    with use_db(a="b"):
        assert world.InA.get().label == "b"
        assert row.refresh().label == "a"


def test_rule_1_what_using_says_goes_for_every_model_of_the_query_but_a_pinned_one(world: World) -> None:
    world.create_tables()

    def joined(model: Any) -> Any:
        return world.Plain.select().join(model, on=(world.Plain.id == model.id)).using("b")

    assert joined(world.InA).get().label == "b"
    assert joined(world.Listed).get().label == "b"
    with pytest.raises(CrossDatabaseQuery, match="Plain runs on 'b', but Pinned lives in 'a'"):
        joined(world.Pinned).get()


def test_using_makes_a_new_query_and_leaves_the_old_one(world: World) -> None:
    world.create_tables(world.Plain)
    query = world.Plain.select()
    assert query.using("b").get().label == "b"
    assert query.get().label == "default"
    assert query.using("b").using("c").get().label == "c"


@pytest.mark.parametrize("wrong", [None, 3, b"a", peewee.SqliteDatabase(":memory:")])
def test_using_takes_a_name(world: World, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"using\(\) takes a database name"):
        world.Plain.select().using(wrong)


def test_an_unknown_name_is_refused_when_the_query_runs(world: World) -> None:
    with pytest.raises(UnknownDatabase, match="Plain: No database is called 'nowhere'; known: a, archive"):
        world.Plain.select().using("nowhere").get()


# Rule 2: what db_name allows


def test_rule_2_a_tuple_lists_the_only_databases(world: World) -> None:
    world.create_tables(world.Listed)
    assert world.Listed.get().label == "a"
    assert world.Listed.select().using("b").get().label == "b"
    for attempt in (
        lambda: world.Listed.select().using("c").get(),
        lambda: use_db("c", world.Listed)(world.Listed.get)(),
        lambda: use_db("c")(world.Listed.get)(),
        lambda: use_db("c")(lambda: world.Listed.create(label="x"))(),
    ):
        with pytest.raises(DatabaseNotAllowed, match="Listed may not be sent to database 'c'") as refused:
            attempt()
        assert "Leave the scope, name one of these, or add 'c' to db_name." in str(refused.value)
    assert world.Listed.select().using("a").count() == 1


def test_rule_2_a_function_allows_its_shards(world: World) -> None:
    world.create_tables(world.Sharded)
    assert world.Sharded.select().using("b").get().label == "b"
    with pytest.raises(DatabaseNotAllowed, match="allows only 'a', 'b'"):
        world.Sharded.select().using("c").get()


def test_rule_2_none_is_no_home(world: World) -> None:
    world.create_tables(world.Homeless)
    for attempt in (
        world.Homeless.get,
        lambda: world.Homeless.create(label="x"),
        lambda: world.Homeless.insert(label="x").execute(),
        lambda: world.Homeless.delete().execute(),
        world.Homeless.create_table,
        lambda: current_db(world.Homeless),
    ):
        with pytest.raises(NoDatabaseSelected, match=r"Homeless has no home.*no scope selects.*use_db"):
            attempt()
    with use_db("b"):
        assert world.Homeless.get().label == "b"
    assert world.Homeless.select().using("c").get().label == "c"


def test_rule_2_a_pinned_model_moves_for_an_explicit_mention_only(world: World) -> None:
    world.create_tables(world.Pinned)
    with use_db("b"):
        assert world.Pinned.get().label == "a"
        assert world.Pinned.select().using("c").get().label == "c"
        with use_db("archive", world.Pinned):
            assert world.Pinned.get().label == "archive"
    with use_db(a="b"):
        assert world.Pinned.get().label == "b"


# Rule 3: built here, runs here


def test_rule_3_a_query_keeps_the_scope_it_was_built_in(world: World) -> None:
    world.create_tables(world.Plain, world.Pinned)
    with use_db("b"):
        select, insert = world.Plain.select(), world.Plain.insert(label="new")
        pinned, raw = world.Pinned.select(), world.Plain.raw("SELECT * FROM plain")
    assert select.get().label == "b"
    assert [row.label for row in raw] == ["b"]
    insert.execute()
    with use_db("c"):
        assert [row.label for row in select.order_by(world.Plain.id)] == ["b", "new"]
        assert pinned.get().label == "a"
    assert world.Plain.select().count() == 1


def test_rule_3_a_query_built_outside_is_decided_when_it_runs(world: World) -> None:
    world.create_tables(world.Plain)
    query = world.Plain.select()
    for name in ("b", "c"):
        with use_db(name):
            assert query.clone().get().label == name
    assert query.get().label == "default"


def test_rule_3_a_scope_that_does_not_apply_is_not_kept(world: World) -> None:
    world.create_tables(world.Plain)
    with use_db("b", world.InA):
        query = world.Plain.select()
    with use_db("c"):
        assert query.get().label == "c"


def test_rule_3_using_stands_above_the_scope_it_was_built_in(world: World) -> None:
    world.create_tables(world.Plain)
    with use_db("b"):
        query = world.Plain.select().using("c")
    assert query.get().label == "c"


# explain_route


def test_explain_route_gives_ordered_reasons_and_prints(world: World) -> None:
    with use_db("b"), use_db(b="archive"):
        route = explain_route(world.Plain.insert(label="x"))
    assert route == Route(
        model="Plain",
        databases=("archive",),
        role="primary",
        reasons=(
            "the query was built inside a scope, which it keeps",
            "'b': the innermost scope that applies is use_db('b')",
            "'archive': a scope re-points 'b' to it",
            "primary: it is a write",
        ),
    )
    assert str(route) == "\n".join(
        [
            "Plain -> archive (primary)",
            "  1. the query was built inside a scope, which it keeps",
            "  2. 'b': the innermost scope that applies is use_db('b')",
            "  3. 'archive': a scope re-points 'b' to it",
            "  4. primary: it is a write",
        ]
    )
    with pytest.raises(FrozenInstanceError):
        route.role = "replica"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("build", "databases", "reason"),
    [
        (lambda w: w.Plain, "default", "no scope applies, and Plain lives in the default database"),
        (lambda w: w.InA.select(), "a", "no scope applies, and it is InA.Meta.db_name"),
        (lambda w: w.Listed.select(), "a", "it is the first name of Listed.Meta.db_name"),
        (lambda w: w.Plain.select().using("c"), "c", "the query itself says so: using() or bind()"),
        (lambda w: w.Pinned.select(), "a", "Pinned is db_pinned: a blanket use_db() does not move it"),
        (lambda w: w.Sharded.insert(key=3), "b", "the sharding rule says so for shard key key of this query"),
        (lambda w: w.Plain.raw("DELETE FROM plain"), "default", "primary: it is a write"),
    ],
)
def test_explain_route_says_why(world: World, build: Any, databases: str, reason: str) -> None:
    world.create_tables()
    route = explain_route(build(world))
    assert route.databases == (databases,)
    assert any(reason in one for one in route.reasons), route.reasons


def test_explain_route_of_a_rows_own_query(world: World) -> None:
    world.create_tables(world.Plain)
    tag = type(world.Plain)(
        "Tag", (world.Plain,), {"owner": peewee.ForeignKeyField(world.Plain, backref="tags")}
    )
    row = world.Plain.select().using("c").get()
    route = explain_route(row.tags)
    assert tag is row.tags.model
    assert route.databases == ("c",)
    assert "the Plain row from 'c'" in str(route)
    with use_db("a"):
        assert explain_route(row.tags).databases == ("c",)
        assert explain_route(row.tags.using("b")).databases == ("b",)


def test_explain_route_of_a_model_that_is_bound_to_an_object(world: World) -> None:
    database = peewee.SqliteDatabase(":memory:")
    world.Plain.bind(database)
    route = explain_route(world.Plain)
    assert route.reasons == (
        "an unregistered SqliteDatabase (':memory:'): Plain is bound to a Database object",
    )


def test_explain_route_runs_nothing(world: World) -> None:
    # No table was ever made.
    explain_route(world.Plain.insert(label="x"))
    explain_route(world.Plain.delete())
    assert world.Plain.table_exists() is False


def test_explain_route_agrees_with_execution(world: World) -> None:
    world.create_tables()
    builds: list[Callable[[], Any]] = [
        lambda: world.Plain.select(),
        lambda: world.InA.select(),
        lambda: world.Pinned.select().using("c"),
        lambda: world.Listed.select(),
        lambda: world.Homeless.select(),
        lambda: world.Sharded.select().where(world.Sharded.key == 0),
    ]
    for scope in (use_db("a"), use_db("b"), use_db("c"), use_db(a="b"), use_db("b", world.Listed)):
        for build in builds:
            with scope:
                try:
                    name = explain_route(build()).databases[0]
                except MultiDBError as error:
                    with pytest.raises(type(error)):
                        build().get()
                else:
                    assert build().get().label == name


@pytest.mark.parametrize("wrong", [3, "SELECT 1", None, peewee.Table("t").select()])
def test_explain_route_takes_a_query_of_a_model(wrong: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"explain_route\(\) takes a query on a peewee_multidb model"
    ):
        explain_route(wrong)


def test_explain_route_raises_what_running_would(world: World) -> None:
    with pytest.raises(NoDatabaseSelected):
        explain_route(world.Homeless)
    with pytest.raises(MissingShardKey):
        explain_route(world.Sharded.delete())
    with use_replica(), pytest.raises(ReadOnlyDatabase):
        explain_route(world.Plain.delete())


# The write guard


def test_a_read_only_database_takes_reads_and_no_writes(world: World, tmp_path: Any) -> None:
    world.create_tables(world.Plain)
    url = f"sqlite:///{tmp_path / 'default.db'}"
    own = Databases({"default": {"url": url, "read_only": True}, "other": f"sqlite:///{tmp_path / 'b.db'}"})

    class Plain(world.Plain):  # type: ignore[name-defined, misc]
        class Meta:
            registry = own
            table_name = "plain"

    row = Plain.get()
    assert row.label == "default"
    assert [r.label for r in Plain.raw("SELECT * FROM plain WHERE label <> 'delete'")] == ["default"]
    sentence = "refused: database 'default' is configured read_only"
    for write in (
        lambda: Plain.create(label="x"),
        lambda: Plain.insert_many([{"label": "x"}]).execute(),
        lambda: Plain.update(label="x").execute(),
        lambda: Plain.delete().execute(),
        lambda: Plain.raw("DELETE FROM plain").execute(),
        row.delete_instance,
        Plain.create_table,
        Plain.truncate_table,
    ):
        with pytest.raises(ReadOnlyDatabase, match=sentence):
            write()
    # The server refuses too: what comes past the guard is not lost on it.
    with pytest.raises(peewee.OperationalError, match="readonly"):
        own["default"].execute_sql("DELETE FROM plain")
    assert Plain.insert(label="x").using("other").execute() == 2
    own.close_all()
