"""Rows move, whole and once, or not at all with a sentence that says why."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from peewee import AutoField, BigIntegerField, CharField, CompositeKey, IntegerField

from peewee_multidb import HashShards, RangeShards, Rebalance, StoredMap
from peewee_multidb.errors import ConfigurationError, RebalanceError
from peewee_multidb.rebalance.sole import sole
from peewee_multidb.rebalance.switching import Switching
from tests.rebalance.conftest import BUCKETS, Shop


def test_a_new_shard_gets_tables_rows_and_reference_rows_and_nothing_else_stays(full_shop: Shop) -> None:
    before = full_shop.tables()
    moves = full_shop.moves()
    plan = moves.plan(add=["s3"])
    report = moves.run(plan)
    assert report.rows == plan.moving_rows > 0
    assert report.strays == 0
    assert set(full_shop.where(full_shop.Order)) == set(range(60)) == set(full_shop.where(full_shop.Line))
    assert "s3" in full_shop.where(full_shop.Order).values()
    assert [row.code for row in full_shop.Country.select().using("s3")] == ["ca", "de"]
    assert full_shop.tables() == {**before, "s3": before["s1"]}
    assert not full_shop.stored.refresh().moving
    assert full_shop.Order.select().count() == 60


def test_a_new_shard_gets_reference_rows_of_those_who_do_not_know_it_yet(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process writes reference models to the shards of its copy of the map, until that is read anew."""
    moves = full_shop.moves()
    compare = moves._copy

    def meanwhile(copying: Any) -> None:
        compare(copying)
        for name in ("s1", "s2"):
            full_shop.execute(name, "INSERT INTO country (code) VALUES ('fr')")

    monkeypatch.setattr(moves, "_copy", meanwhile)
    moves.run(moves.plan(add=["s3"]))
    assert [row.code for row in full_shop.Country.select().using("s3")] == ["ca", "de", "fr"]


def test_a_shard_that_is_removed_is_empty_and_no_longer_asked(full_shop: Shop) -> None:
    moves = full_shop.moves()
    moves.run(moves.plan(remove=["s1"]))
    assert full_shop.stored.refresh().names == ("s2",)
    assert full_shop.execute("s1", 'SELECT COUNT(*) FROM "order"').fetchone() == (0,)
    assert full_shop.Order.select().count() == 60


def test_one_key_takes_along_the_others_of_its_bucket_and_colocated_rows(full_shop: Shop) -> None:
    home = full_shop.rule.shard_of(7)
    there = "s2" if home == "s1" else "s1"
    together = {user for user in range(60) if full_shop.rule.unit_of(user) == full_shop.rule.unit_of(7)}
    moves = full_shop.moves()
    plan = moves.plan(move={7: there})
    assert [(move.source, move.target) for move in plan.moves] == [(home, there)]
    moves.run(plan)
    assert {user for user in together if full_shop.where(full_shop.Line)[user] == there} == together


def test_a_dry_run_changes_nothing(full_shop: Shop) -> None:
    moves = full_shop.moves()
    state, tables = full_shop.stored.refresh(), full_shop.tables()
    plan = moves.plan(add=["s3"])
    assert moves.run(plan, dry_run=True).rows == 0
    assert (full_shop.stored.refresh().version, full_shop.tables()) == (state.version, tables)


def test_ranges_move_as_buckets_do(shop: Shop) -> None:
    stored = StoredMap("ranges", "s1", "s2", units=4, lifetime=0.05)
    rule = RangeShards((None, 10), (10, 20), (20, 30), (30, None), key="id", map=stored)
    Part = shop.model("Part", rule=rule, id=IntegerField(primary_key=True), text=CharField(null=True))
    shop.registry.create_tables([Part])
    Part.insert_many([{"id": n} for n in range(40)]).execute()
    moves = Rebalance(Part, drain=0.0)
    plan = moves.plan(add=["s3"])
    assert plan.moving_rows == 10
    moves.run(plan)
    moved = sorted(row.id for row in Part.select().using("s3"))
    assert moved == list(range(moved[0], moved[0] + 10))
    assert Part.select().count() == 40


def test_progress_is_told_of_every_row(full_shop: Shop) -> None:
    seen: dict[str, tuple[int, int]] = {}

    @contextmanager
    def progress(what: str, total: int) -> Any:
        def advance(rows: int) -> None:
            seen[what] = (seen.get(what, (0, 0))[0] + rows, total)

        yield advance

    moves = full_shop.moves(progress=progress)
    moves.run(moves.plan(add=["s3"]))
    assert {"count Order in s1", "copy Order from s1", "compare Line from s2", "switch"} <= set(seen)
    assert all(done == total for done, total in seen.values())


def test_the_bar_prints_a_line_for_each_stage(full_shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    full_shop.moves(progress=True).plan(add=["s3"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    rows = full_shop.Line.select().using("s1").count()
    assert lines[0].split() == ["count", "Line", "in", "s1", str(rows), "rows"]


def test_changes_of_a_stranger_are_followed(full_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw SQL that knows nothing of this package writes between the copying and the switching."""
    moves = full_shop.moves()
    plan = moves.plan(remove=["s1"])
    mine = sorted(full_shop.Order.select().using("s1"), key=lambda row: row.id)
    compare = moves._copy

    def meddle(copying: Any) -> None:
        compare(copying)
        full_shop.execute("s1", 'UPDATE "order" SET text = ? WHERE id = ?', "changed", mine[0].id)
        full_shop.execute("s1", 'DELETE FROM "order" WHERE id = ?', mine[1].id)
        full_shop.execute(
            "s1", 'INSERT INTO "order" (id, user, text) VALUES (900, ?, ?)', mine[0].user, "new"
        )

    monkeypatch.setattr(moves, "_copy", meddle)
    moves.run(plan)
    found = {row.id: row.text for row in full_shop.Order.select()}
    assert found[mine[0].id] == "changed"
    assert mine[1].id not in found
    assert found[900] == "new"
    assert len(found) == 60


def test_what_changes_without_a_trigger_is_found_behind_the_fence(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = full_shop.moves()
    plan = moves.plan(remove=["s1"])
    (first, second, *_) = sorted(full_shop.Order.select().using("s1"), key=lambda row: row.id)
    compare = moves._copy

    def meddle(copying: Any) -> None:
        compare(copying)
        log = copying.log["s1", full_shop.Order]
        full_shop.execute("s1", 'UPDATE "order" SET text = ? WHERE id = ?', "changed", first.id)
        full_shop.execute("s1", 'DELETE FROM "order" WHERE id = ?', second.id)
        full_shop.execute("s1", f"DELETE FROM {log.name}")  # as if nobody had noted it

    monkeypatch.setattr(moves, "_copy", meddle)
    moves.run(plan)
    found = {row.id: row.text for row in full_shop.Order.select()}
    assert found[first.id] == "changed"
    assert second.id not in found


def test_a_row_without_a_copy_stops_it_before_anything_is_switched(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = full_shop.moves()
    plan = moves.plan(remove=["s1"])
    monkeypatch.setattr("peewee_multidb.rebalance.copying.Copying.copy", lambda *_: None)
    with pytest.raises(RebalanceError, match=r"Line in 's1': .* row\(s\) have no copy"):
        moves.run(plan)
    monkeypatch.undo()
    assert len(moves.pending) == len(plan.moves)
    assert full_shop.moves().resume().rows == plan.moving_rows
    assert len(full_shop.where(full_shop.Order)) == 60


def test_rows_that_two_shards_numbered_alike_stop_it(shop: Shop) -> None:
    Note = shop.model("Note", id=AutoField(), user=IntegerField())
    shop.registry.create_tables([Note])
    Note.insert_many([{"user": user} for user in range(20)]).execute()
    moves = Rebalance(Note, drain=0.0)
    plan = moves.plan(remove=["s1"])
    with pytest.raises(RebalanceError, match=r"Note: rows with the primary keys .* Two shards gave"):
        moves.run(plan)
    moves.abandon()
    assert not shop.stored.refresh().moving
    assert Note.select().count() == 20


def test_an_unfinished_run_is_resumed_or_abandoned_before_another(
    full_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = full_shop.moves(batch=1)
    plan = moves.plan(add=["s3"])
    calls: list[Any] = []
    real = Switching.switch

    def twice(self: Any, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(Switching, "switch", twice)
    with pytest.raises(KeyboardInterrupt):
        moves.run(plan)
    monkeypatch.undo()
    with pytest.raises(RebalanceError, match=r"resume\(\) or abandon\(\) it first"):
        moves.run(plan)
    switched = len(plan.moves) - len(moves.pending)
    assert 0 < switched < len(plan.moves)
    moves.abandon()
    assert not moves.pending
    assert full_shop.stored.refresh().owners.count("s3") == switched
    assert len(full_shop.where(full_shop.Order)) == 60
    with pytest.raises(RebalanceError, match="make a new one"):
        moves.run(plan)


def test_one_at_a_time(full_shop: Shop) -> None:
    moves = full_shop.moves()
    plan = moves.plan(add=["s3"])
    with sole(full_shop.stored), pytest.raises(RebalanceError, match="Another process is rebalancing"):
        moves.run(plan)


def test_a_transaction_that_does_not_end_stops_it_and_leaves_the_units_open(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.registry.configure(
        {name: f"sqlite:///{tmp_path}/{name}.db?synchronous=0&timeout=0.05" for name in shop.registry}
    )
    shop.fill()
    moves = shop.moves(patience=0.3)
    plan = moves.plan(remove=["s1"])
    blocker = sqlite3.connect(tmp_path / "s1.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(RebalanceError, match=r"Could not .* for 0.3 seconds"):
        moves.run(plan)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert moves.resume().rows == plan.moving_rows
    assert len(shop.where(shop.Order)) == 60
    shop.registry.close_all()


def test_what_cannot_be_moved_is_said_before_anything_is_changed(full_shop: Shop) -> None:
    shop = full_shop
    plan = shop.moves().plan(add=["s3"])
    with pytest.raises(RebalanceError, match="Line is sharded by the same rule"):
        Rebalance(shop.Order).run(plan)
    shop.execute("s1", 'ALTER TABLE "order" ADD COLUMN extra INTEGER')
    with pytest.raises(RebalanceError, match="has the column\\(s\\) extra, which Order does not know"):
        shop.moves().run(plan)
    shop.execute("s1", 'ALTER TABLE "order" DROP COLUMN extra')
    shop.execute("s1", 'CREATE TABLE child (id INTEGER, o INTEGER REFERENCES "order" (id))')
    with pytest.raises(RebalanceError, match="The table 'child' in 's1' refers to 'order'"):
        shop.moves().run(plan)
    with shop.registry["s1"].atomic(), pytest.raises(RebalanceError, match="A transaction is open in 's1'"):
        shop.moves().plan(add=["s3"])
    assert not shop.stored.refresh().moving


def test_models_and_shards_that_make_no_sense_are_refused(full_shop: Shop) -> None:
    shop, moves = full_shop, full_shop.moves()
    Fixed = shop.model("Fixed", rule=HashShards("s1", "s2", key="id"), id=IntegerField(primary_key=True))
    Keyless = type(shop.Order)(
        "Keyless",
        (shop.Order.__mro__[1],),
        {
            "user": IntegerField(),
            "Meta": type("M", (), {"registry": shop.registry, "db_name": shop.rule, "primary_key": False}),
            "__module__": __name__,
        },
    )
    for call, message in (
        (lambda: Rebalance(), "takes the models"),
        (lambda: Rebalance(shop.Country), "takes sharded models"),
        (lambda: Rebalance(Fixed), "whose map is fixed"),
        (lambda: Rebalance(shop.Order, Fixed), "sharded by another rule"),
        (lambda: Rebalance(Keyless), "has no primary key"),
        (lambda: moves.plan(add=["s1"]), "is a shard already"),
        (lambda: moves.plan(remove=["s9"]), "is no shard"),
        (lambda: moves.plan(remove=["s1", "s2"]), "leaves no shard"),
        (lambda: moves.plan(move={1: "s3"}), "add= it first"),
        (lambda: StoredMap("", "s1"), "name of 1 to 64 characters"),
        (lambda: StoredMap("x", "s1", lifetime=0), "are seconds"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            call()


def test_composite_keys_and_many_units_move(shop: Shop) -> None:
    Pair = type(shop.Order)(
        "Pair",
        (shop.Order.__mro__[1],),
        {
            "user": IntegerField(),
            "number": BigIntegerField(),
            "text": CharField(null=True),
            "Meta": type(
                "M",
                (),
                {
                    "registry": shop.registry,
                    "db_name": shop.rule,
                    "primary_key": CompositeKey("user", "number"),
                },
            ),
            "__module__": __name__,
        },
    )
    shop.registry.create_tables([Pair])
    Pair.insert_many([{"user": n % 9, "number": n} for n in range(50)]).execute()
    moves = Rebalance(Pair, drain=0.0, chunk=4, batch=5)
    moves.run(moves.plan(remove=["s2"]))
    assert sorted(row.number for row in Pair.select().using("s1")) == list(range(50))
    assert len(shop.stored.owners) == BUCKETS
