"""Queries while rows move: they wait, are refused or routed anew, and read no row twice or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from peewee import IntegerField

from peewee_multidb import (
    Databases,
    HashShards,
    Model,
    RangeShards,
    StoredMap,
    all_shards,
    database_of,
    retry_moved,
    use_db,
)
from peewee_multidb.errors import ConfigurationError, ShardMoved
from peewee_multidb.shards import fences
from tests.rebalance.conftest import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path, lifetime=30.0, patience=0.05)
    made.fill()
    yield made
    made.registry.close_all()


def user_in(shop: Shop, name: str, number: int = 0) -> int:
    return [user for user in range(60) if shop.rule.shard_of(user) == name][number]


def close(shop: Shop, name: str, users: list[int], *, switching: bool = False, epoch: int = 0) -> None:
    """Do what a rebalance does at the fence."""
    database = shop.registry[name]
    with fences.lock_exclusively(database, "shop"):
        units = [shop.rule.unit_of(user) for user in users]
        fences.close(database, "shop", units, switching=switching, epoch=epoch)


def announce(shop: Shop, user: int, source: str, target: str) -> None:
    state = shop.stored.refresh()
    unit = shop.rule.unit_of(user)
    shop.stored.write(replace(state, moving={**state.moving, unit: (source, target)}))


def move(shop: Shop, user: int, target: str) -> None:
    """Move a unit as a rebalance in another process does; this one's copy of the map is not told."""
    stored = StoredMap("shop", "s1", "s2", units=16, registry=shop.registry)
    state, unit = stored.refresh(), shop.rule.unit_of(user)
    source = state.owners[unit]
    users = [one for one in range(60) if shop.rule.unit_of(one) == unit]
    marks = ", ".join("?" * len(users))
    for table, columns in (("order", "id, user, text"), ("line", "id, user, order_id")):
        found = shop.execute(source, f'SELECT {columns} FROM "{table}" WHERE user IN ({marks})', *users)
        for row in found.fetchall():
            shop.execute(target, f'INSERT INTO "{table}" ({columns}) VALUES (?, ?, ?)', *row)
        shop.execute(source, f'DELETE FROM "{table}" WHERE user IN ({marks})', *users)
    for name in (source, target):
        with fences.lock_exclusively(shop.registry[name], "shop") as fence:
            fences.close(shop.registry[name], "shop", [], switching=False, epoch=fence.epoch + 1)
    owners = tuple(target if number == unit else owner for number, owner in enumerate(state.owners))
    epochs = {name: epoch + (name in (source, target)) for name, epoch in state.epochs.items()}
    stored.write(replace(state, owners=owners, epochs=epochs))


@contextmanager
def sent(shop: Shop, name: str) -> Iterator[list[str]]:
    """What reaches a database."""
    statements: list[str] = []
    hook = lambda event: statements.append(event.sql)  # noqa: E731
    shop.registry[name].query_hooks.append(hook)
    yield statements
    shop.registry[name].query_hooks.remove(hook)


# Writes


def test_a_write_of_a_closed_unit_is_refused_when_the_patience_is_over_and_nothing_is_written(
    shop: Shop,
) -> None:
    user = user_in(shop, "s1")
    close(shop, "s1", [user])
    for query in (
        shop.Order.update(text="x").where(shop.Order.user == user),
        shop.Order.delete().where(shop.Order.user == user),
        shop.Order.insert(id=900, user=user),
        shop.Order.insert_many([{"id": 901, "user": user}, {"id": 902, "user": user_in(shop, "s2")}]),
    ):
        with pytest.raises(ShardMoved, match="Nothing was done; do it again"):
            query.execute()
    assert shop.Order.select().where(shop.Order.id >= 900).count() == 0
    assert shop.Order.get(shop.Order.user == user).text == f"t{user}"


def test_writes_of_other_units_go_on(shop: Shop) -> None:
    user = user_in(shop, "s1")
    other = next(one for one in range(60) if shop.rule.unit_of(one) != shop.rule.unit_of(user))
    close(shop, "s1", [user])
    assert shop.Order.update(text="x").where(shop.Order.user == other).execute() == 1


def test_a_write_that_does_not_say_its_units_waits_for_all(shop: Shop) -> None:
    close(shop, "s1", [user_in(shop, "s1")])
    with all_shards(), pytest.raises(ShardMoved):
        shop.Order.update(text="x").execute()
    with pytest.raises(ShardMoved):
        shop.Order.update(text="x").using("s1").execute()
    assert shop.Order.select().where(shop.Order.text == "x").count() == 0
    assert shop.Order.update(text="x").using("s2").execute() > 0


def test_a_write_goes_on_when_the_unit_opens(shop: Shop) -> None:
    user = user_in(shop, "s1")
    close(shop, "s1", [user])
    shop.stored.patience = 30.0
    refused = threading.Event()
    look = fences.share

    def share(*args: Any) -> Any:
        fence = look(*args)
        if fence.units:
            refused.set()
        return fence

    def work() -> None:
        shop.Order.update(text="late").where(shop.Order.user == user).execute()
        shop.registry.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fences, "share", share)
        thread = threading.Thread(target=work)
        thread.start()
        assert refused.wait(10)
        close(shop, "s1", [])
        thread.join(10)
    assert shop.Order.get(shop.Order.user == user).text == "late"


def test_a_write_with_an_old_copy_of_the_map_is_routed_anew(shop: Shop) -> None:
    user = user_in(shop, "s1")
    move(shop, user, "s2")
    assert shop.rule.shard_of(user) == "s1"  # by this process's copy
    assert shop.Order.update(text="x").where(shop.Order.user == user).execute() >= 1
    shop.Order.insert(id=900, user=user).execute()
    move_back = shop.Order.select().where(shop.Order.id == 900).using("s2").count()
    assert move_back == 1


def test_many_rows_with_an_old_copy_of_the_map_go_where_they_belong(shop: Shop) -> None:
    user = user_in(shop, "s1")
    move(shop, user, "s2")
    shop.Order.insert_many([{"id": 900 + one, "user": one} for one in range(60)]).execute()
    assert len(shop.where(shop.Order)) == 120


def test_in_a_transaction_it_is_refused_at_once_and_retry_moved_begins_anew(shop: Shop) -> None:
    user = user_in(shop, "s1")
    move(shop, user, "s2")
    runs = []

    @retry_moved
    def change() -> None:
        runs.append(shop.rule.shard_of(user))
        with shop.registry[runs[-1]].atomic():
            shop.Order.update(text="x").where(shop.Order.user == user).execute()

    change()
    assert runs == ["s1", "s2"]
    assert shop.Order.get(shop.Order.user == user).text == "x"


def test_retry_moved_gives_up_when_the_patience_is_over(shop: Shop) -> None:
    user = user_in(shop, "s1")
    close(shop, "s1", [user])
    runs = []

    @retry_moved
    def change() -> None:
        runs.append(1)
        with shop.registry["s1"].atomic():
            shop.Order.update(text="x").where(shop.Order.user == user).execute()

    with pytest.raises(ShardMoved):
        change()
    assert len(runs) > 1


def test_a_transaction_looks_once_for_each_commit(shop: Shop) -> None:
    user = user_in(shop, "s1")
    change = shop.Order.update(text="x").where(shop.Order.user == user)
    with sent(shop, "s1") as statements, shop.registry["s1"].atomic() as transaction:
        change.clone().execute()
        with shop.registry["s1"].atomic():
            change.clone().execute()
        assert len([sql for sql in statements if sql.startswith("UPDATE multidb_shard_fence")]) == 1
        transaction.commit()
        change.clone().execute()
        assert len([sql for sql in statements if sql.startswith("UPDATE multidb_shard_fence")]) == 2


def test_on_postgresql_a_lock_that_a_savepoint_gave_back_is_taken_again(postgres_url: str) -> None:
    own = Databases({"default": postgres_url, "s1": postgres_url})
    stored = StoredMap("shop", "s1", units=4, registry=own, lifetime=30.0)
    meta = type("Meta", (), {"registry": own, "db_name": HashShards(key="id", map=stored, buckets=4)})
    attributes = {"id": IntegerField(primary_key=True), "Meta": meta, "__module__": __name__}
    Thing: Any = type(Model)("Thing", (Model,), attributes)
    own.create_tables([Thing])
    table = "relation = 'multidb_shard_fence'::regclass"
    held = f"SELECT COUNT(*) FROM pg_locks WHERE {table} AND mode = 'RowShareLock'"
    with own["s1"].atomic():
        with pytest.raises(ZeroDivisionError), own["s1"].atomic():
            Thing.create(id=1)
            raise ZeroDivisionError
        assert own["s1"].execute_sql(held).fetchone() == (0,)
        Thing.create(id=1)
        assert own["s1"].execute_sql(held).fetchone() == (1,)
    own.close_all()


def test_a_fence_waits_for_the_transaction_that_writes(shop: Shop) -> None:
    user = user_in(shop, "s1")
    closed, written = threading.Event(), threading.Event()

    def fence() -> None:
        written.wait(10)
        close(shop, "s1", [user])
        closed.set()
        shop.registry.close()

    thread = threading.Thread(target=fence)
    thread.start()
    with shop.registry["s1"].atomic():
        shop.Order.update(text="in time").where(shop.Order.user == user).execute()
        written.set()
        assert not closed.wait(0.05)
    thread.join(10)
    assert closed.is_set()
    assert shop.Order.get(shop.Order.user == user).text == "in time"


# Reads


def test_reads_look_at_nothing_while_nothing_moves(shop: Shop) -> None:
    with sent(shop, "s1") as statements, sent(shop, "default") as asked:
        shop.Order.get(shop.Order.user == user_in(shop, "s1"))
        shop.Order.select().count()
    assert not [sql for sql in statements if "multidb" in sql]
    assert asked == []


def test_reads_go_on_while_a_unit_is_closed_and_wait_while_it_is_switched(shop: Shop) -> None:
    user = user_in(shop, "s1")
    announce(shop, user, "s1", "s2")
    close(shop, "s1", [user])
    assert shop.Order.get(shop.Order.user == user).user == user
    close(shop, "s1", [user], switching=True)
    for read in (
        lambda: shop.Order.get(shop.Order.user == user),
        lambda: shop.Order.select().count(),
        lambda: shop.Order.select().exists(),
        lambda: list(shop.Order.select()),
        lambda: list(shop.Order.select().iterator()),
        lambda: shop.Order.select().where(shop.Order.user == user).scalar(),
    ):
        with pytest.raises(ShardMoved):
            read()


def test_a_read_during_which_rows_moved_is_done_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    user = user_in(shop, "s1")
    announce(shop, user, "s1", "s2")
    look, looks = fences.look, []

    def meanwhile(*args: Any) -> Any:
        looks.append(args)
        if len(looks) == 2:
            monkeypatch.setattr(fences, "look", look)
            move(shop, user, "s2")
        return look(*args)

    shop.stored.patience = 30.0
    monkeypatch.setattr(fences, "look", meanwhile)
    assert shop.Order.select().where(shop.Order.user == user).count() >= 1
    assert len(looks) == 2
    assert shop.Order.select().count() == 60


def test_a_read_whose_copy_of_the_map_ran_out_meanwhile_asks_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = user_in(shop, "s1")
    state = shop.stored.current()
    move(shop, user, "s2")
    # The copy counted when the query was routed, and no longer when its rows had been read.
    shop.stored._state = replace(state, expires=1e-9)
    shop.stored.patience = 30.0
    monkeypatch.setattr(shop.stored, "current", lambda: shop.stored._view.get() or shop.stored._state)
    assert shop.Order.select().where(shop.Order.user == user).count() >= 1
    assert shop.stored.refresh().owners[shop.rule.unit_of(user)] == "s2"


# Rows


def test_a_row_follows_its_unit(shop: Shop) -> None:
    user = user_in(shop, "s1")
    row = shop.Order.get(shop.Order.user == user)
    move(shop, user, "s2")
    shop.stored.refresh()
    row.text = "changed"
    assert row.save() == 1
    assert database_of(row) == "s2"
    row.refresh()
    assert row.text == "changed"
    assert row.delete_instance() == 1


def test_a_row_is_saved_also_where_this_process_does_not_know_of_the_move(shop: Shop) -> None:
    user = user_in(shop, "s1")
    row = shop.Order.get(shop.Order.user == user)
    move(shop, user, "s2")
    row.text = "changed"
    assert row.save() == 1
    assert shop.Order.get(shop.Order.user == user).text == "changed"


# The map


def test_a_map_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.rule.names == ("s1", "s2")
    with pytest.raises(ConfigurationError, match="is not in 'default' yet: create the tables"):
        shop.rule.shard_of(1)
    shop.registry.close_all()


def test_a_map_of_another_size_than_its_rule_is_refused(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"the rule has 8 units, and StoredMap\('shop'\) has 16"):
        HashShards(key="user", map=shop.stored, buckets=8)
    with pytest.raises(ConfigurationError, match="RangeShards: the rule has 2 units"):
        RangeShards((None, 1), (1, None), key="user", map=shop.stored)
    other = StoredMap("shop", "s1", "s2", units=8, registry=shop.registry)
    with pytest.raises(ConfigurationError, match="has 16 units, and this program says 8"):
        other.refresh()


def test_a_map_that_somebody_else_changed_is_not_overwritten(shop: Shop) -> None:
    state = shop.stored.refresh()
    shop.stored.write(state)
    with pytest.raises(ShardMoved, match="was changed by somebody else"):
        shop.stored.write(state)


def test_what_a_transaction_reads_gives_no_lease(shop: Shop) -> None:
    with shop.registry["default"].atomic():
        shop.stored._state = None
        assert shop.stored.refresh().expires == 0.0
    assert shop.stored.refresh().counts


def test_a_database_that_is_no_shard_takes_writes_as_ever(shop: Shop) -> None:
    shop.execute("s3", 'CREATE TABLE "order" (id INTEGER, user INTEGER, text TEXT)')
    with use_db(s1="s3", s2="s3"):
        shop.Order.insert(id=1, user=1).execute()
    assert shop.execute("s3", 'SELECT COUNT(*) FROM "order"').fetchone() == (1,)
