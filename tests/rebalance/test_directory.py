"""Keys of a directory move one by one, and the directory says where they are at every moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import BigIntegerField, CharField, ForeignKeyField

from peewee_multidb import LookupShards, Rebalance, StoredMap, retry_moved
from peewee_multidb.errors import ConfigurationError, InvalidShardKey, RebalanceError, ShardMoved
from peewee_multidb.rebalance.owners import DirectoryOwners
from peewee_multidb.rebalance.switching import Switching
from tests.rebalance import conftest
from tests.rebalance.conftest import Shop
from tests.rebalance.test_switching import Killed, killed

TENANTS = [f"t{number}" for number in range(12)]
EACH = 5


class Tenants:
    """Notes of tenants, the even ones in `s1` and the odd ones in `s2`."""

    def __init__(self, shop: Shop, **options: Any) -> None:
        self.registry = shop.registry
        self.stored = self.map()
        self.rule = LookupShards(key="tenant", map=self.stored, registry=shop.registry, **options)
        self.Kind = shop.model("Kind", rule=self.rule, reference=True, code=CharField(primary_key=True))
        self.Note = shop.model(
            "Note",
            rule=self.rule,
            id=BigIntegerField(primary_key=True),
            tenant=CharField(),
            kind=ForeignKeyField(self.Kind),
            text=CharField(default=""),
        )
        self.registry.create_tables([self.Kind, self.Note])
        self.Kind.create(code="plain")
        for number, tenant in enumerate(TENANTS):
            self.rule.assign(tenant, f"s{number % 2 + 1}")
        self.Note.insert_many(
            [{"id": n, "tenant": TENANTS[n // EACH], "kind": "plain"} for n in range(len(TENANTS) * EACH)]
        ).execute()

    @staticmethod
    def map() -> StoredMap:
        return StoredMap("tenants", "s1", "s2", units=0, lifetime=0.05, patience=5.0)

    def moves(self, **options: Any) -> Rebalance:
        return Rebalance(self.Note, **{"drain": 0.0, "patience": 2.0, "chunk": 7, **options})

    def where(self) -> dict[str, str]:
        """Return the shard of each tenant that has notes; each has all of them there, and nowhere else."""
        found: dict[str, list[str]] = {}
        for name in self.stored.refresh().names:
            for note in self.Note.select().using(name):
                found.setdefault(note.tenant, []).append(name)
        assert all(len(names) == EACH and len(set(names)) == 1 for names in found.values())
        assert {tenant: self.rule.shard_of(tenant) for tenant in found} == {t: n[0] for t, n in found.items()}
        return {tenant: names[0] for tenant, names in found.items()}


@pytest.fixture
def tenants(shop: Shop) -> Tenants:
    return Tenants(shop)


def test_a_key_moves_alone_and_a_dry_run_moves_nothing(tenants: Tenants) -> None:
    moves = tenants.moves()
    before, version = tenants.where(), tenants.stored.refresh().version
    plan = moves.plan(move={"t0": "s2", "t2": "s2"})
    assert str(plan) == (
        "Rebalance of tenants: 2 of 12 units, 10 of 60 rows.\n"
        "  s1 -> s2: 2 units, 10 Note\n"
        "  s1: 30 rows now, 20 afterwards\n"
        "  s2: 30 rows now, 40 afterwards"
    )
    assert moves.run(plan, dry_run=True).rows == 0
    assert (tenants.where(), tenants.stored.refresh().version) == (before, version)
    report = moves.run(plan)
    assert (report.rows, report.strays) == (10, 0)
    assert tenants.where() == {**before, "t0": "s2", "t2": "s2"}
    assert dict(tenants.rule.listed())["'t0'"] == "s2"
    assert not [table for table in tenants.registry["s1"].get_tables() if table.startswith("mdb_")]
    state = tenants.stored.refresh()
    assert (dict(state.moving), dict(state.keys), state.batch) == ({}, {}, None)


def test_a_key_that_is_there_already_is_nothing_to_do(tenants: Tenants) -> None:
    moves = tenants.moves()
    version = tenants.stored.refresh().version
    plan = moves.plan(move={"t1": "s2"})
    assert plan.moves == ()
    assert moves.run(plan).rows == 0
    assert tenants.stored.refresh().version == version


def test_a_new_shard_gets_its_share_of_the_keys_and_reference_rows(tenants: Tenants) -> None:
    moves = tenants.moves()
    plan = moves.plan(add=["s3"])
    assert 0 < plan.moving_rows <= 1.2 * 60 / 3
    moves.run(plan)
    assert list(tenants.where().values()).count("s3") == len(plan.moves)
    assert [kind.code for kind in tenants.Kind.select().using("s3")] == ["plain"]
    assert tenants.stored.refresh().fresh == ()
    tenants.rule.assign("new", "s3")
    assert tenants.Note.create(id=900, tenant="new", kind="plain").kind.code == "plain"


def test_a_shard_is_added_to_an_empty_directory_for_keys_to_come(tenants: Tenants) -> None:
    for tenant in TENANTS:
        tenants.rule.forget(tenant)
    moves = tenants.moves()
    plan = moves.plan(add=["s3"])
    assert moves.run(plan, dry_run=True).rows == 0
    assert "s3" not in tenants.stored.refresh().names
    assert moves.run(plan).rows == 0
    assert (tenants.stored.refresh().names, tenants.stored.refresh().fresh) == (("s1", "s2", "s3"), ())
    tenants.rule.assign("new", "s3")
    assert tenants.Note.create(id=900, tenant="new", kind="plain").kind.code == "plain"


def test_a_shard_that_gives_all_its_keys_away_can_still_be_given_new_ones(tenants: Tenants) -> None:
    moves = tenants.moves()
    moves.run(moves.plan(remove=["s1"]))
    assert set(tenants.where().values()) == {"s2"}
    tenants.rule.assign("new", "s1")
    tenants.Note.create(id=900, tenant="new", kind="plain")
    assert tenants.Note.select().count() == 61


def test_another_process_goes_by_what_it_kept_only_until_the_map_changes(
    tenants: Tenants, shop: Shop
) -> None:
    """Two rules of the same directory stand for two processes; what one has looked up it keeps for hours."""
    stored = Tenants.map()
    rule = LookupShards(key="tenant", map=stored, registry=tenants.registry, lifetime=3600)
    meta = type("Meta", (), {"registry": tenants.registry, "db_name": rule, "table_name": "note"})
    fields = {"id": BigIntegerField(primary_key=True), "tenant": CharField(), "text": CharField()}
    Other = type(tenants.Note)("Other", (tenants.Note.__mro__[1],), {**fields, "Meta": meta})
    assert rule.shard_of("t0") == "s1"
    moves = tenants.moves()
    moves.run(moves.plan(move={"t0": "s2"}))
    assert Other.update(text="x").where(Other.tenant == "t0").execute() == EACH
    assert Other.select().where(Other.tenant == "t0").count() == EACH
    assert rule.shard_of("t0") == "s2"


@pytest.mark.parametrize("options", [{}, {"unknown": "s1"}])
def test_keys_and_shards_that_make_no_sense_are_refused(shop: Shop, options: Any) -> None:
    tenants = Tenants(shop, **options)
    moves = tenants.moves()
    version = tenants.stored.refresh().version
    for move, error, message in (
        ({"nobody": "s2"}, ConfigurationError, r"'nobody' is not in the directory 'tenants'.*rule.assign"),
        ({"t0": "s9"}, ConfigurationError, "'s9' is no shard of 'tenants'; add= it first"),
        ({"t0": "s3"}, ConfigurationError, "add= it first"),
        ({1.5: "s2"}, (ConfigurationError, InvalidShardKey), "nobody|1.5"),
    ):
        with pytest.raises(error, match=message):
            moves.plan(move=move)
    for call, message in (
        (lambda: moves.plan(add=["s1"]), "is a shard already"),
        (lambda: moves.plan(remove=["s9"]), "is no shard"),
        (lambda: moves.plan(remove=["s1", "s2"]), "leaves no shard"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            call()
    assert tenants.stored.refresh().version == version


def test_a_directory_without_a_map_does_not_move_and_says_what_it_needs(shop: Shop) -> None:
    rule = LookupShards("s1", "s2", directory="default", key="tenant", registry=shop.registry)
    Fixed = shop.model("Fixed", rule=rule, id=BigIntegerField(primary_key=True), tenant=CharField())
    with pytest.raises(ConfigurationError, match="RangeShards or LookupShards a StoredMap"):
        Rebalance(Fixed)


def test_rows_where_unknown_keys_go_move_once_the_key_is_put_there(shop: Shop) -> None:
    tenants = Tenants(shop, unknown="s1")
    tenants.Note.insert_many([{"id": 900 + n, "tenant": "x", "kind": "plain"} for n in range(EACH)]).execute()
    tenants.rule.assign("x", "s1")
    moves = tenants.moves()
    assert moves.run(moves.plan(move={"x": "s2"})).rows == EACH
    assert tenants.where()["x"] == "s2"


def test_a_query_that_does_not_know_a_new_shard_yet_is_begun_anew(tenants: Tenants) -> None:
    """What another thread has looked up meanwhile is no way round the fence of the new shard."""
    old = tenants.stored.refresh()
    moves = tenants.moves()
    moves.run(moves.plan(add=["s3"], move={"t0": "s3"}))
    for look_up in (lambda: tenants.rule.shard_of("t0"), lambda: tenants.rule.find("t0")):
        assert look_up() == "s3"
        with tenants.stored.viewing(old), pytest.raises(ShardMoved, match="newer than the map"):
            look_up()


@pytest.fixture
def unfinished(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> Tenants:
    """A run that was killed before anything was switched."""
    moves = tenants.moves()
    plan = moves.plan(move={"t0": "s2"})
    with monkeypatch.context() as patch:
        patch.setattr(Switching, "switch", killed)
        with pytest.raises(Killed):
            moves.run(plan)
    return tenants


def test_the_entry_of_a_moving_key_is_left_alone(unfinished: Tenants) -> None:
    rule, moves = unfinished.rule, unfinished.moves()
    for change in (lambda: rule.assign("t0", "s2"), lambda: rule.forget("t0")):
        with pytest.raises(ConfigurationError, match=r"The rows of 't0' are moving.*resume\(\) or abandon"):
            change()
    assert list(moves.pending.values()) == [("s1", "s2")]
    rule.assign("new", "s2")
    assert moves.resume().rows == EACH
    rule.assign("new", "s1")
    rule.forget("new")
    assert unfinished.where()["t0"] == "s2"


def test_a_transaction_that_sees_an_older_directory_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a database in WAL mode a transaction goes on seeing what was when it began."""
    monkeypatch.setattr(conftest, "QUICK", "synchronous=0&journal_mode=wal")
    tenants = Tenants(Shop(tmp_path))
    tenants.stored.patience = 0.1
    with tenants.registry["default"].atomic():
        tenants.registry["default"].execute_sql("SELECT COUNT(*) FROM multidb_shard_directory").fetchone()
        done: list[Any] = []
        moves = tenants.moves()
        thread = threading.Thread(target=lambda: done.append(moves.run(moves.plan(move={"t0": "s2"}))))
        thread.start()
        thread.join()
        assert done
        with pytest.raises(ShardMoved, match="that began before rows were announced to move"):
            tenants.Note.update(text="x").where(tenants.Note.tenant == "t0").execute()
    assert tenants.Note.update(text="x").where(tenants.Note.tenant == "t0").execute() == EACH


def test_a_plan_is_worth_nothing_once_the_directory_has_changed(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants.rule.assign("empty", "s1")
    moves = tenants.moves()
    plan = moves.plan(move={"empty": "s2"})
    tenants.rule.assign("empty", "s2")
    with pytest.raises(RebalanceError, match="make a new one"):
        moves.run(plan)
    # Also when it changes at the last moment.
    entries = DirectoryOwners._entries
    for change in (
        lambda: tenants.rule.assign("empty", "s2"),
        lambda: tenants.rule.forget("empty"),
    ):
        tenants.rule.assign("empty", "s1")

        def late(self: Any, announced: Any, change: Any = change) -> Any:
            found = entries(self, announced)
            if not tenants.registry["default"].in_transaction():
                change()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(DirectoryOwners, "_entries", late)
            with pytest.raises(RebalanceError, match="make a new one"):
                moves.run(plan)
    assert not tenants.stored.refresh().moving


@pytest.mark.parametrize(
    "methods", [("finish", "undo"), ("_move", "undo"), ("settle", "undo"), ("_open",)], ids=repr
)
@pytest.mark.parametrize("end", ["resume", "abandon"])
def test_killed_in_the_middle_of_a_switch_every_note_is_somewhere_once(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...], end: str
) -> None:
    moves = tenants.moves()
    plan = moves.plan(move={"t0": "s2"}, add=["s3"])
    with monkeypatch.context() as patch:
        for method in methods:
            where = "peewee_multidb.rebalance.copying.Copying" if method == "settle" else None
            patch.setattr(f"{where}.settle", killed) if where else patch.setattr(Switching, method, killed)
        with pytest.raises(Killed):
            moves.run(plan)
    getattr(tenants.moves(), end)()
    found = tenants.where()
    assert set(found) == set(TENANTS)
    if end == "resume":
        assert found["t0"] == "s2"
    for tenant in TENANTS:
        assert tenants.Note.update(text="y").where(tenants.Note.tenant == tenant).execute() == EACH
    assert [kind.code for kind in tenants.Kind.select().using("s3")] == ["plain"]


def test_the_directory_and_its_map_change_together(
    tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, neither has changed."""
    tenants.stored.patience = 0.1
    moves = tenants.moves()
    plan = moves.plan(move={"t0": "s2"})
    with monkeypatch.context() as patch:
        patch.setattr(LookupShards, "point", killed)
        patch.setattr(Switching, "undo", killed)
        with pytest.raises(Killed):
            moves.run(plan)
    state = tenants.stored.refresh()
    assert state.batch is not None
    assert dict(tenants.rule.listed())["'t0'"] == "s1"
    with pytest.raises(ShardMoved):
        tenants.Note.update(text="x").where(tenants.Note.tenant == "t0").execute()
    tenants.moves().resume()
    assert tenants.where()["t0"] == "s2"


@pytest.fixture
def writing(tenants: Tenants) -> Iterator[tuple[Tenants, dict[str, int]]]:
    """Threads that count up the notes of a tenant each, in and out of transactions; in the dict, how far."""
    done = dict.fromkeys(TENANTS[:4], 0)
    failed: list[BaseException] = []
    stop = threading.Event()
    Note = tenants.Note

    def write(tenant: str) -> None:
        @retry_moved
        def transact(text: str) -> int:
            with tenants.registry[tenants.rule.shard_of(tenant)].atomic():
                return int(Note.update(text=text).where(Note.tenant == tenant).execute())

        try:
            while not stop.is_set() or done[tenant] < 2:
                text = str(done[tenant] + 1)
                if done[tenant] % 2:
                    assert transact(text) == EACH
                else:
                    assert Note.update(text=text).where(Note.tenant == tenant).execute() == EACH
                done[tenant] += 1
                assert {n.text for n in Note.select().where(Note.tenant == tenant)} == {text}
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(tenant,)) for tenant in done]
    for thread in threads:
        thread.start()
    yield tenants, done
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(done.values())


def test_threads_write_what_moves_to_and_fro(writing: tuple[Tenants, dict[str, int]]) -> None:
    tenants, done = writing
    moves = tenants.moves(patience=30.0, chunk=1000)
    moved = 0
    for target in ("s2", "s1", "s2"):
        moved += moves.run(moves.plan(move=dict.fromkeys(done, target))).rows
        assert set(tenants.where()) == set(TENANTS)
    # Two of the four were in s2 to begin with.
    assert moved == EACH * (2 + 4 + 4)


def test_the_directory_may_be_in_one_of_the_shards(shop: Shop) -> None:
    stored = StoredMap("near", "s1", "s2", units=0, db="s1", lifetime=0.05)
    rule = LookupShards(key="tenant", map=stored, registry=shop.registry)
    Near = shop.model("Near", rule=rule, id=BigIntegerField(primary_key=True), tenant=CharField())
    shop.registry.create_tables([Near])
    rule.assign("a", "s1")
    Near.create(id=1, tenant="a")
    moves = Rebalance(Near, drain=0.0)
    moves.run(moves.plan(move={"a": "s2"}))
    assert rule.shard_of("a") == "s2"
    with shop.registry["s2"].atomic(), shop.registry["s1"].atomic():
        assert Near.delete().where(Near.tenant == "a").execute() == 1
