"""A batch that is left in the middle is brought to its end, or taken back, by whoever comes next."""

from __future__ import annotations

from typing import Any

import pytest

from peewee_multidb.errors import ShardMoved
from peewee_multidb.rebalance.switching import Switching
from peewee_multidb.shards import fences
from tests.rebalance.conftest import Shop


class Killed(BaseException):
    """What stands for the end of the process: nothing tidies up after it."""


def killed(*_: Any) -> None:
    raise Killed


def leave_in_the_middle(shop: Shop, monkeypatch: pytest.MonkeyPatch, *methods: str) -> Any:
    """Start a rebalance that dies where the methods of `Switching` are called."""
    moves = shop.moves()
    plan = moves.plan(remove=["s1"])
    with monkeypatch.context() as patch:
        for method in methods:
            patch.setattr(Switching, method, killed)
        with pytest.raises(Killed):
            moves.run(plan)
    return moves


def test_killed_after_the_target_has_committed_it_goes_on(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = leave_in_the_middle(full_shop, monkeypatch, "finish", "undo")
    state = full_shop.stored.refresh()
    assert state.batch is not None
    user = next(one for one in range(60) if full_shop.rule.unit_of(one) in state.batch["units"])
    for read in (
        lambda: full_shop.Order.get(full_shop.Order.user == user),
        lambda: full_shop.Order.select().count(),
    ):
        with pytest.raises(ShardMoved, match=r"wants resume\(\)"):
            read()
    moves.resume()
    assert set(full_shop.where(full_shop.Order)) == set(range(60))
    assert full_shop.Order.get(full_shop.Order.user == user).id == user


def test_killed_between_the_two_commits_the_source_deletes_once_more(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target has committed, and the source has not."""
    commit = type(full_shop.registry["s1"]).commit
    done = []

    def die_first(database: Any) -> Any:
        if database is full_shop.registry["s1"] and done:
            database.rollback()
            raise Killed
        result = commit(database)
        if database is full_shop.registry["s2"]:
            epoch = fences.look(database, "shop").epoch
            done.extend([1] if epoch else [])
        return result

    with monkeypatch.context() as patch:
        patch.setattr(type(full_shop.registry["s1"]), "commit", die_first)
        moves = leave_in_the_middle(full_shop, monkeypatch, "undo", "finish")
    assert fences.look(full_shop.registry["s1"], "shop").epoch == 0
    assert fences.look(full_shop.registry["s2"], "shop").epoch == 1
    moves.resume()
    assert set(full_shop.where(full_shop.Order)) == set(range(60))
    assert set(full_shop.where(full_shop.Line)) == set(range(60))


def test_killed_before_the_target_has_committed_it_is_taken_back_and_begun_anew(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = leave_in_the_middle(full_shop, monkeypatch, "_move", "undo")
    state = full_shop.stored.refresh()
    assert state.batch is not None
    assert fences.look(full_shop.registry["s1"], "shop").units == set(state.batch["units"])
    moves.resume()
    assert set(full_shop.where(full_shop.Order)) == set(range(60))


@pytest.mark.parametrize("methods", [("finish", "undo"), ("_move", "undo")])
def test_abandoned_in_the_middle_every_unit_is_open_and_somewhere(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...]
) -> None:
    moves = leave_in_the_middle(full_shop, monkeypatch, *methods)
    moves.abandon()
    assert set(full_shop.where(full_shop.Order)) == set(range(60))
    for name in ("s1", "s2"):
        assert not fences.look(full_shop.registry[name], "shop").units
    for user in range(60):
        query = full_shop.Order.update(text="x").where(full_shop.Order.user == user)
        assert query.execute() == 1
    assert not [name for name in full_shop.tables()["s1"] if name.startswith("mdb_")]


def test_interrupted_it_opens_the_units_again(full_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_in_the_middle(full_shop, monkeypatch, "_move")
    for name in ("s1", "s2"):
        assert not fences.look(full_shop.registry[name], "shop").units
    assert full_shop.Order.select().count() == 60
