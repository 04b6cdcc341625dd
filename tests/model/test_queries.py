"""Rules 1 and 3: each kind of query goes to one database, and stays with the scope it was built in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField, fn

from peewee_multidb import (
    ConfigurationError,
    CrossDatabaseQuery,
    Databases,
    NoDatabaseSelected,
    UnknownDatabase,
    database_of,
    explain_route,
    use_db,
)
from tests.model.conftest import base_model, sent_to

NAMES = ("default", "other", "third")


@pytest.fixture
def user(base: Any) -> Any:
    """A model with one row in each file; the row's name is the database's, its n the number of rows 10."""

    class User(base):
        name = CharField(unique=True)
        n = IntegerField(default=10)

    for name in NAMES:
        with use_db(name):
            User.create_table()
            User.create(name=name)
    return User


@pytest.fixture
def tweet(base: Any, user: Any) -> Any:
    """Two tweets of each file's user."""

    author = user

    class Tweet(base):
        user = ForeignKeyField(author, backref="tweets")
        text = CharField()

    for name in NAMES:
        with use_db(name):
            Tweet.create_table()
            for number in (1, 2):
                Tweet.create(user=1, text=f"{name} {number}")
    return Tweet


def names(query: Any) -> list[str]:
    return [row.name for row in query]


READS: dict[str, Callable[[Any, Any], Any]] = {
    "iteration": lambda m, q: names(q),
    "get": lambda m, q: [q.get().name],
    "get_or_none": lambda m, q: [q.get_or_none().name],
    "first": lambda m, q: [q.first().name],
    "last row by index": lambda m, q: [q[-1].name],
    "slice": lambda m, q: names(q[0:1]),
    "iterator": lambda m, q: [row.name for row in q.iterator()],
    "tuples": lambda m, q: [row[1] for row in q.tuples()],
    "dicts": lambda m, q: [row["name"] for row in q.dicts()],
    "namedtuples": lambda m, q: [row.name for row in q.namedtuples()],
    "objects": lambda m, q: [row.name for row in q.objects()],
    "objects of a function": lambda m, q: [row["name"] for row in q.objects(dict)],
    "scalar": lambda m, q: [q.select(m.name).scalar()],
    "scalars": lambda m, q: list(q.select(m.name).scalars()),
    "execute": lambda m, q: names(q.execute()),
    "peek": lambda m, q: [q.peek().name],
    "where": lambda m, q: names(q.where(m.n == 10)),
    "order, limit, group": lambda m, q: names(q.group_by(m.id, m.name, m.n).order_by(-m.n).limit(5)),
    "alias": lambda m, q: names(m.alias("u").select()) if q._scope else names(q),
    "union": lambda m, q: sorted(set(names(q | q.clone()))),
    "union all": lambda m, q: sorted(set(names(q + q.clone()))),
    "intersection": lambda m, q: names(q & q.clone()),
    "subquery in FROM": lambda m, q: [r["name"] for r in m.select(q.c.name).from_(q).dicts()]
    if q._scope
    else names(q),
    "len": lambda m, q: names(q) if len(q) == 1 else [],
    "membership": lambda m, q: names(q) if q.get() in q else [],
}


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("where", NAMES)
def test_rule_1_using_decides_every_kind_of_read(user: Any, how: str, where: str) -> None:
    assert READS[how](user, user.select().using(where)) == [where]


@pytest.mark.parametrize("how", READS)
def test_rule_1_a_scope_decides_every_kind_of_read(user: Any, how: str) -> None:
    for where in NAMES:
        with use_db(where):
            assert READS[how](user, user.select()) == [where]


@pytest.mark.parametrize("how", [h for h in READS if h not in ("alias", "subquery in FROM")])
def test_rule_3_a_query_keeps_the_scope_it_was_built_in(user: Any, how: str) -> None:
    with use_db("other"):
        query = user.select()
    assert READS[how](user, query) == ["other"]
    with use_db("third"):
        assert READS[how](user, query.clone()) == ["other"]


@pytest.mark.parametrize("how", READS)
def test_rule_3_a_query_built_outside_every_scope_is_decided_when_it_runs(user: Any, how: str) -> None:
    query = user.select()
    with use_db("other"):
        assert READS[how](user, query.clone()) == ["other"]
    assert READS[how](user, query.clone()) == ["default"]


def test_rule_3_a_scope_for_other_models_is_not_kept(user: Any, tweet: Any) -> None:
    with use_db("other", tweet):
        query = user.select()
    with use_db("third"):
        assert names(query) == ["third"]


def test_count_exists_and_aggregates_follow(user: Any) -> None:
    with use_db("other"):
        user.insert_many([{"name": "x"}, {"name": "y"}]).execute()
    query = user.select().using("other")
    assert (query.count(), query.exists(), query.select(fn.SUM(user.n)).scalar()) == (3, True, 30)
    assert query.where(user.name == "x").count() == 1
    assert query.limit(2).count(clear_limit=True) == 3
    assert not query.where(user.name == "default").exists()
    assert user.select().count() == 1
    assert (query | query.clone()).count() == 3


WRITES: dict[str, Callable[[Any, Any], None]] = {
    "insert": lambda m, go: go(m.insert(name="new")).execute(),
    "insert_many": lambda m, go: go(m.insert_many([("new", 1)], [m.name, m.n])).execute(),
    "insert_from": lambda m, go: go(
        m.insert_from(m.select(fn.LOWER("NEW"), m.n).limit(1), [m.name, m.n])
    ).execute(),
    "replace": lambda m, go: go(m.replace(name="new")).execute(),
    "replace_many": lambda m, go: go(m.replace_many([{"name": "new"}])).execute(),
    "update": lambda m, go: go(m.update(name="new")).execute(),
    "update with where": lambda m, go: go(m.update({m.name: "new"}).where(m.id == 1)).execute(),
    "on_conflict": lambda m, go: go(
        m.insert(id=1, name="new").on_conflict(conflict_target=[m.id], preserve=[m.name])
    ).execute(),
    "on_conflict_replace": lambda m, go: go(m.insert(id=1, name="new").on_conflict_replace()).execute(),
    "raw": lambda m, go: go(m.raw('INSERT INTO "user" (name, n) VALUES (?, 1)', "new")).execute(),
    "returning": lambda m, go: list(go(m.insert(name="new").returning(m.name))),
}


def with_new(user: Any) -> list[str]:
    return [where for where in NAMES if user.select().using(where).where(user.name == "new").exists()]


@pytest.mark.parametrize("how", WRITES)
def test_rule_1_using_decides_every_kind_of_write(user: Any, how: str) -> None:
    WRITES[how](user, lambda query: query.using("other"))
    assert with_new(user) == ["other"]


@pytest.mark.parametrize("how", WRITES)
def test_rule_1_a_scope_decides_every_kind_of_write(user: Any, how: str) -> None:
    with use_db("other"):
        WRITES[how](user, lambda query: query)
    assert with_new(user) == ["other"]


@pytest.mark.parametrize("how", WRITES)
def test_rule_3_writes_keep_the_scope_too(user: Any, how: str) -> None:
    def built_elsewhere(query: Any) -> Any:
        with use_db("third"):
            return query.using("other").clone()

    WRITES[how](user, built_elsewhere)
    assert with_new(user) == ["other"]
    with use_db("third"):
        query = user.insert(name="newer")
    query.execute()
    assert user.select().using("third").where(user.name == "newer").exists()


def test_delete_follows_using_and_scope(user: Any) -> None:
    assert user.delete().using("other").execute() == 1
    with use_db("third"):
        query = user.delete().where(user.name == "third")
    assert query.execute() == 1
    assert [user.select().using(where).count() for where in NAMES] == [1, 0, 0]


def test_class_methods_follow_the_scope(user: Any) -> None:
    with use_db("other"):
        assert user.get_by_id(1).name == user[1].name == "other"
        assert user.get(user.name == "other").n == 10
        assert user.get_or_none(name="default") is None
        assert user.filter(name="other").get().name == "other"
        assert (1 in user, len(user), bool(user)) == (True, 1, True)
        user.set_by_id(1, {"n": 11})
        user[1] = {"name": "set"}
        del user[1]
        assert len(user) == 0
    assert user.get().n == 10


def test_bulk_methods_and_get_or_create_follow_the_scope(user: Any) -> None:
    with use_db("other"):
        rows = [user(name=f"bulk {number}") for number in range(7)]
        user.bulk_create(rows, batch_size=3)
        for row in rows:
            row.n = 99
        found, created = user.get_or_create(name="bulk 3", defaults={"n": 0})
        assert (found.n, created) == (10, False)
        made, created = user.get_or_create(name="made", defaults={"n": 5})
        assert created and database_of(made) == "other"
    loaded = list(user.select().using("other").where(user.name.startswith("bulk")))
    for row in loaded:
        row.n = 99
    with use_db("other"):
        assert user.bulk_update(loaded, [user.n], batch_size=3) == 7
    assert {database_of(row) for row in rows} == {"other"}
    assert user.select().using("other").where(user.n == 99).count() == 7
    assert user.select().count() == 1


def test_joins_subqueries_and_ctes_follow_their_query(user: Any, tweet: Any) -> None:
    joined = tweet.select(tweet, user).join(user).order_by(tweet.text)
    mine = tweet.select(tweet.user).where(tweet.text.contains("2"))
    cte = tweet.select(tweet.user, fn.COUNT(tweet.id).alias("n")).group_by(tweet.user).cte("counts")
    counted = user.select(user.name, cte.c.n).join(cte, on=(user.id == cte.c.user_id)).with_cte(cte)
    for where in NAMES:
        assert [row.user.name for row in joined.using(where)] == [where, where]
        assert names(user.select().where(user.id.in_(mine)).using(where)) == [where]
        assert list(counted.using(where).tuples()) == [(where, 2)]
        assert names(user.select().where(fn.EXISTS(mine)).using(where)) == [where]
        row = user.select(user, mine.select(fn.MAX(tweet.text)).alias("t")).using(where).get()
        assert row.t == f"{where} 2"


def test_aliases_follow_their_query(user: Any, tweet: Any) -> None:
    other = user.alias("o")
    query = tweet.select(tweet, other).join(other, on=(tweet.user == other.id)).order_by(tweet.id)
    with use_db("other"):
        assert [row.user.name for row in query] == ["other", "other"]
        assert [row.name for row in other.select()] == ["other"]
    assert [row.name for row in other.select().using("third")] == ["third"]


def test_compounds_go_where_their_left_side_was_told_to_go(user: Any) -> None:
    with use_db("other"):
        left = user.select()
    assert names(left | user.select()) == ["other"]
    assert names(user.select().using("other") | user.select()) == ["other"]
    assert names((user.select() | user.select()).using("other")) == ["other"]
    with pytest.raises(CrossDatabaseQuery):
        names(left | user.select().using("third"))


def test_raw_queries_are_routed_and_give_rows_with_a_home(user: Any) -> None:
    query = user.raw('SELECT * FROM "user" WHERE n = ?', 10)
    row = next(iter(query.using("other")))
    assert (row.name, database_of(row)) == ("other", "other")
    with use_db("third"):
        assert next(iter(query.clone().tuples()))[1] == "third"
    assert query.clone().dicts().execute()[0]["name"] == "default"


def test_noop_follows_too(user: Any) -> None:
    with use_db("other"):
        assert list(user.noop()) == []


def test_bind_decides_and_none_leaves_the_query_without_a_database(lites: Databases, user: Any) -> None:
    query = user.select().bind(lites["other"])
    with use_db("third"):
        assert names(query) == ["other"]
    with pytest.raises(peewee.InterfaceError):
        user.select().bind(None).execute()


def test_execute_with_a_database_runs_there(lites: Databases, user: Any, tweet: Any) -> None:
    query = user.select()
    assert names(query.execute(lites["other"])) == ["other"]
    assert database_of(user.select().execute(lites["third"])[0]) == "third"
    joined = tweet.select(tweet, user).join(user)
    assert [row.user.name for row in joined.execute(lites["other"])] == ["other", "other"]
    user.insert(name="new").execute(lites["third"])
    assert with_new(user) == ["third"]


def test_using_changes_a_copy_and_wins_over_an_earlier_one(user: Any) -> None:
    query = user.select()
    assert names(query.using("third").using("other")) == ["other"]
    assert names(query) == ["default"]
    with pytest.raises(ConfigurationError, match="database name"):
        query.using(user)
    with pytest.raises(UnknownDatabase, match="did you mean 'other'"):
        names(query.using("othr"))


def test_a_query_is_run_once_and_a_clone_again(lites: Databases, user: Any) -> None:
    with sent_to(lites) as sent:
        query = user.select().using("other")
        assert names(query) == names(query) == ["other"]
        assert names(query.clone()) == ["other"]
    assert sent.where() == ["other", "other"]


def everything(model: Any) -> list[Any]:
    base = model.select()
    return [
        base,
        base | base.clone(),
        base.where(model.id.in_(model.select(model.id).using("third"))),
        model.insert(name="x"),
        model.insert_many([{"name": "x"}]),
        model.insert_from(model.select(model.name, model.n), ["name", "n"]),
        model.update(name="x"),
        model.delete(),
        model.raw("SELECT 1"),
        model.alias().select(),
        base.using("nowhere"),
    ]


def test_sql_and_str_never_raise_and_send_nothing(lites: Databases, user: Any) -> None:
    homeless_base = base_model(lites, db_name=None)

    class Homeless(homeless_base):
        name = CharField()
        n = IntegerField()

    def by_name(name: str) -> str:
        return "other" if name else "third"

    class Sharded(base_model(lites, db_name=by_name, shard_key="name", shards=("other", "third"))):
        name = CharField()
        n = IntegerField()

    with sent_to(lites) as sent:
        for model in (user, Homeless, Sharded):
            for query in everything(model):
                assert isinstance(query.sql()[0], str)
                assert str(query)
                assert repr(query)
    assert sent.log == []
    with pytest.raises(NoDatabaseSelected, match="Homeless has no home"):
        list(Homeless.select())


def test_explain_route_says_where_each_kind_goes(lites: Databases, user: Any) -> None:
    with sent_to(lites) as sent:
        with use_db("other"):
            query = user.update(n=1)
        route = explain_route(query)
        assert (route.databases, route.role) == (("other",), "primary")
        assert any("built inside a scope" in reason for reason in route.reasons)
        assert explain_route(user.select().using("third")).databases == ("third",)
        assert explain_route(user).databases == ("default",)
    assert sent.log == []


def test_a_loaded_row_pickles_with_its_query_result(user: Any) -> None:
    rows = pickle.loads(pickle.dumps(list(user.select().using("other").dicts())))
    assert rows == [{"id": 1, "name": "other", "n": 10}]
