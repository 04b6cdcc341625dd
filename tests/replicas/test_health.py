"""Replicas that die, lag, are cut off, promoted or were none in the first place, on clusters of their own."""

from __future__ import annotations

import contextvars
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, ReadOnlyDatabase, use_replica
from peewee_multidb.testing.servers import (
    MariaDBCluster,
    MariaDBServer,
    NetworkProxy,
    PostgresCluster,
    PostgresServer,
)
from tests.replicas.watch import PRIMARY, Watched
from tests.scale import scaled

Open = Callable[..., Watched]

#: Seconds; as long as a test may take until what must happen has happened.
PATIENCE = 30.0


def eventually(condition: Callable[[], Any]) -> Any:
    """Return what a condition becomes true with; it is asked again and again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found or time.monotonic() > deadline:
            return found
        threading.Event().wait(0.01)


@pytest.fixture(scope="module", params=["postgres", "mariadb"])
def own_cluster(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A cluster that the tests of this file kill and cut; each finds it whole."""
    # The session's own server says whether this machine can run one.
    request.getfixturevalue(f"{request.param}_server")
    with {"postgres": PostgresCluster, "mariadb": MariaDBCluster}[request.param](replicas=2) as cluster:
        cluster.create_database("app")
        yield cluster


@pytest.fixture
def whole(own_cluster: Any) -> Any:
    own_cluster.restore()
    return own_cluster


@pytest.fixture
def dying(whole: Any, watch: Open) -> Watched:
    watched = watch(whole.settings("app"), backoff=0.3, check_interval=0.3, wait_ms=10_000)
    watched.Note.delete().execute()
    whole.wait_in_step()
    watched.settle()
    return watched


def test_a_dead_replica_is_left_out_and_comes_back(dying: Watched, whole: Any) -> None:
    events: list[tuple[str, Any]] = []
    registry = dying.registry
    for name in ("on_eject", "on_failback", "on_fallback"):
        getattr(registry, name).append(lambda event, name=name: events.append((name, event)))
    dying.Note.create(number=1)
    whole.wait_in_step()
    whole.replicas[0].kill()
    for _ in range(6):
        assert dying.Note.select().count() == 1
    assert dying.selects()["replica 2"] >= 5
    assert [name for name, _ in events] == ["on_eject"]
    ejected = events[0][1]
    assert ejected.name == "default" and "***" in ejected.server and ejected.until > time.time() - 1
    whole.replicas[0].start()
    dying.clear()
    assert eventually(lambda: dying.Note.select().count() and dying.selects()["replica 1"])
    assert [name for name, _ in events] == ["on_eject", "on_failback"]


def test_with_all_replicas_dead_the_primary_answers(dying: Watched, whole: Any) -> None:
    for replica in whole.replicas:
        replica.kill()
    dying.clear()
    for _ in range(5):
        assert dying.Note.select().count() == 0
    assert dying.selects()[PRIMARY] == 5


def test_a_hook_that_fails_breaks_no_query(
    dying: Watched, whole: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dying.registry.on_eject.append(lambda event: 1 / 0)
    whole.replicas[0].kill()
    for _ in range(3):
        assert dying.Note.select().count() == 0
    assert "ZeroDivisionError" in caplog.text


def test_a_query_that_is_wrong_ejects_nobody(dying: Watched) -> None:
    with pytest.raises(peewee.DatabaseError):
        list(dying.Note.raw("SELECT nothing FROM note"))
    assert [server.problem for server in dying.entry.replicas] == [None, None]


def test_a_write_is_never_sent_twice(whole: Any, watch: Open) -> None:
    with NetworkProxy(whole.primary) as proxy:
        watched = watch(whole.settings("app", via=[proxy]), backoff=0.3)
        watched.Note.delete().execute()
        watched.Note.create(number=1)
        proxy.cut()
        with pytest.raises((peewee.OperationalError, peewee.InterfaceError)):
            watched.Note.create(number=2)
        proxy.restore()
        watched.registry.close_all()
        assert [row.number for row in watched.Note.select().using(role="primary")] == [1]


def test_a_cut_replica_is_left_out_and_a_read_in_between_is_answered_elsewhere(
    whole: Any, watch: Open
) -> None:
    with NetworkProxy(whole.replicas[0]) as proxy:
        watched = watch(whole.settings("app", via=[proxy]), backoff=0.3)
        watched.settle()
        proxy.cut()
        for _ in range(4):
            assert watched.Note.select().count() is not None
        assert watched.entry.replicas[0].ejected_until is not None
        proxy.restore()
        watched.clear()
        assert eventually(lambda: watched.Note.select().count() + 1 and watched.selects()["replica 1"])


def test_a_replica_beyond_max_lag_is_left_out_until_it_caught_up(whole: Any, watch: Open) -> None:
    watched = watch(whole.settings("app"), max_lag=0.5, check_interval=0.1)
    watched.settle()
    late = whole.replicas[0]
    late.pause()

    def write_elsewhere() -> None:
        contextvars.Context().run(lambda: watched.Note.create(number=1))

    def is_left_out() -> bool:
        write_elsewhere()
        contextvars.Context().run(lambda: [watched.Note.select().count() for _ in range(2)])
        return watched.entry.replicas[0].problem is not None

    assert eventually(is_left_out)
    problem = watched.entry.replicas[0].problem
    assert problem is not None and ("seconds behind" in problem or "replication has stopped" in problem)
    watched.clear()
    contextvars.Context().run(lambda: [watched.Note.select().count() for _ in range(6)])
    assert watched.selects()["replica 1"] == 0
    late.resume()
    assert eventually(
        lambda: (
            contextvars.Context().run(lambda: watched.Note.select().count()) is not None
            and watched.selects()["replica 1"]
        )
    )


def test_a_promoted_replica_gets_no_reads(own_cluster: Any, watch: Open) -> None:
    own_cluster.restore()
    extra = own_cluster.primary.replica()
    try:
        settings = own_cluster.settings("app")
        watched = watch({**settings, "replicas": [extra.url("app")]}, check_interval=0.1)
        watched.settle()
        extra.promote()
        assert eventually(
            lambda: watched.Note.select().count() is not None and watched.entry.replicas[0].problem
        )
        assert "follows no other server" in watched.entry.replicas[0].problem
        watched.clear()
        watched.Note.select().count()
        assert watched.selects() == {PRIMARY: 1}
    finally:
        extra.close()


def test_a_primary_that_turned_read_only_says_so(whole: Any, watch: Open) -> None:
    watched = watch(whole.settings("app"))
    watched.settle()
    whole.primary.set_read_only()
    watched.registry.close_all()
    for write in (
        lambda: watched.Note.create(number=1),
        lambda: watched.Note.update(number=1).execute(),
        lambda: watched.Note.delete().execute(),
    ):
        with pytest.raises(ReadOnlyDatabase, match=r"the primary of .default.*takes no writes") as raised:
            write()
        assert "***" in str(raised.value)
    whole.primary.set_read_only(False)
    watched.Note.create(number=1)


def foreign(engine: str) -> Any:
    return PostgresServer() if engine == "PostgreSQL" else MariaDBServer()


def test_a_server_of_another_cluster_gets_no_reads(whole: Any, watch: Open) -> None:
    stranger = foreign(whole.primary.engine).start()
    try:
        stranger.create_database("app")
        follower = stranger.replica()
        try:
            settings = {**whole.settings("app"), "replicas": [follower.url("app")]}
            watched = watch(settings)
            watched.clear()
            assert watched.Note.select().count() is not None
            assert watched.selects() == {PRIMARY: 1}
            assert "another cluster" in str(watched.entry.replicas[0].problem)
        finally:
            follower.close()
    finally:
        stranger.close()


def test_a_primary_that_is_configured_as_a_replica_gets_no_reads(
    whole: Any, watch: Open, caplog: pytest.LogCaptureFixture
) -> None:
    watched = watch({**whole.settings("app"), "replicas": [whole.primary.url("app")]})
    watched.clear()
    with caplog.at_level(logging.WARNING, "peewee_multidb"):
        assert watched.Note.select().count() is not None
    assert watched.selects() == {PRIMARY: 1}
    assert "follows no other server" in caplog.text
    with use_replica():
        assert watched.Note.select().count() is not None


def test_a_replica_whose_password_is_wrong_is_left_out_with_the_reason(whole: Any, watch: Open) -> None:
    settings = whole.settings("app")
    wrong = settings["replicas"][0].replace(whole.primary.password, "wrong-password")
    watched = watch({**settings, "replicas": [wrong]})
    watched.clear()
    assert watched.Note.select().count() is not None
    assert watched.selects() == {PRIMARY: 1}
    assert "wrong-password" not in str(watched.registry.status())


def test_status_lists_every_server(whole: Any, watch: Open) -> None:
    watched = watch(whole.settings("app"))
    whole.wait_in_step()
    primary, *replicas = watched.registry.status()
    assert (primary.role, primary.reachable, primary.writable) == ("primary", True, True)
    assert [(one.role, one.reachable, one.writable, one.lag) for one in replicas] == [
        ("replica", True, False, 0)
    ] * 2
    assert {one.position for one in (primary, *replicas)} != {None}
    if whole.primary.engine == "PostgreSQL":
        assert [one.lag_bytes for one in replicas] == [0, 0]
    whole.replicas[1].kill()
    dead = watched.registry.status()[2]
    assert (dead.reachable, dead.writable, dead.position) == (False, None, None)
    assert dead.problem
    whole.replicas[1].start()
    assert watched.registry.status()[2].reachable


def test_a_forked_child_knows_nothing_of_its_parents_health(whole: Any, watch: Open) -> None:
    watched = watch(whole.settings("app"))
    watched.Note.create(number=3)
    watched.settle()
    count = watched.Note.select().count()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            fresh = [server.checked for server in watched.entry.replicas] == [None, None]
            code = 0 if fresh and watched.Note.select().count() == count else 2
        finally:
            os._exit(code)
    watched.Note.select().count()
    assert os.waitpid(pid, 0)[1] == 0


# Under load


class Load:
    """Threads that write and read back until they are told to stop."""

    def __init__(self, watched: Watched, threads: int) -> None:
        self._watched = watched
        self.stop = threading.Event()
        self.stale: list[int] = []
        self.failures: list[BaseException] = []
        self.pairs = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        note = self._watched.Note
        while not self.stop.is_set():
            try:
                row = note.create(text="load")
                if note.get_or_none(note.id == row.id) is None:
                    self.stale.append(row.id)
                list(note.select().order_by(note.id.desc()).limit(5))
            except BaseException as error:
                self.failures.append(error)
            self.pairs += 1
        self._watched.registry.close()


def test_replicas_killed_and_restarted_at_random_cost_no_read_and_no_write(whole: Any, watch: Open) -> None:
    watched = watch(whole.settings("app"), backoff=0.3, check_interval=0.2)
    watched.Note.delete().execute()
    watched.settle()
    chance = random.Random(4)
    rounds = scaled(3)
    with Load(watched, 4) as load:
        for _ in range(rounds):
            replica = chance.choice(whole.replicas)
            before = load.pairs
            replica.kill()
            assert eventually(lambda before=before: load.pairs > before + 40)
            replica.start()
            index = whole.replicas.index(replica) + 1
            watched.clear()
            assert eventually(lambda index=index: watched.selects()[f"replica {index}"])
    assert load.failures == [] and load.stale == []
    assert load.pairs > 0
    writes = {name for name, sql in watched.log if sql.startswith(("INSERT", "UPDATE", "DELETE"))}
    assert writes <= {PRIMARY}


def test_looking_at_a_replica_in_the_background_keeps_no_connection(whole: Any, watch: Open) -> None:
    with NetworkProxy(whole.replicas[0]) as proxy:
        settings = {**whole.settings("app", via=[proxy]), "pool": 2}
        watched = watch({**settings, "replicas": settings["replicas"][:1]}, backoff=0.05, check_interval=60)
        watched.settle()
        came_back: list[Any] = []
        watched.registry.on_failback.append(came_back.append)
        for number in range(1, 4):
            proxy.cut()
            assert watched.Note.select().count() is not None
            proxy.restore()
            assert eventually(lambda n=number: watched.Note.select().count() + 1 and len(came_back) == n)
        database: Any = watched.database
        # This thread's own is all that is in use.
        assert eventually(lambda: len(database._in_use) == 1), database._in_use


def test_only_settings_that_make_sense_are_taken(tmp_path: Any) -> None:
    registry = Databases(
        {
            "a": {
                "url": f"sqlite:///{tmp_path}/a.db",
                "replicas": [f"sqlite:///{tmp_path}/b.db"],
                "replication": {"max_lag": 3},
            }
        }
    )
    with pytest.raises(peewee.ImproperlyConfigured, match="cannot tell how far a replica is behind"):
        registry["a"]
