"""Replicas under hostile circumstances: wrong passwords, forks, the end of the program, eager threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from peewee_multidb import Databases
from peewee_multidb.testing.servers import NetworkProxy
from tests.replicas.test_waiting import latest, pairs
from tests.replicas.watch import PRIMARY, Watched
from tests.scale import scaled
from tests.test_passwords import PASSWORD, has_password, shown

Open = Callable[..., Watched]


@pytest.fixture
def eager() -> Iterator[None]:
    """Threads take turns after a microsecond."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_a_replica_that_refuses_the_password_is_left_out_and_nothing_shows_it(
    cluster_settings: dict[str, Any], watch: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    first, second = cluster_settings["replicas"]
    scheme, _, rest = first.partition("://")
    wrong = f"{scheme}://app:{quote(PASSWORD, safe='')}@{rest.rpartition('@')[2]}"
    watched = watch({**cluster_settings, "replicas": [wrong, second]})
    events: list[Any] = []
    watched.registry.on_eject.append(events.append)
    for number in range(4):
        watched.Note.create(number=number)
        assert latest(watched) == number
    assert len(events) == 1 and events[0].until is not None
    found = watched.registry.status()
    assert [one.reachable for one in found] == [True, False, True]
    texts = shown(*events, *found, *watched.entry.servers(), watched.entry, watched.registry)
    assert not has_password(texts + caplog.text + str(found[1].problem))


def test_threads_that_switch_at_every_chance_never_read_too_old(
    cluster_settings: dict[str, Any], watch: Open, eager: None
) -> None:
    watched = watch(cluster_settings, check_interval=0.01)
    watched.settle()
    stale: list[Any] = []
    threads = [
        threading.Thread(target=pairs, args=(watched, number, scaled(25), stale)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stale == []
    assert [server.problem for server in watched.entry.replicas] == [None, None]


def test_who_has_looked_before_an_ejection_does_not_have_the_last_word(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    watched = Watched(Databases({"default": {"url": url, "replicas": [url]}}))
    watched.Note.select().count()
    health = watched.entry.readers.health
    [server] = watched.entry.replicas
    decide = health._is_ready
    has_decided, go_on = threading.Event(), threading.Event()

    def decide_slowly(one: Any) -> bool:
        is_ready = decide(one)
        if not has_decided.is_set():
            has_decided.set()
            go_on.wait(20)
        return is_ready

    health._is_ready = decide_slowly
    slow = threading.Thread(target=health._renew)
    slow.start()
    assert has_decided.wait(20)
    ejecting = threading.Thread(target=health.eject, args=(server, OSError("gone")))
    ejecting.start()
    # It waits for the slow one, or else is over long before.
    ejecting.join(0.5)
    go_on.set()
    slow.join()
    ejecting.join()
    assert health.ready == () and health.due < float("inf")
    watched.registry.close_all()


def test_a_forked_child_reads_its_own_writes_and_what_its_parent_had_written(
    replicated: Watched, cluster: Any
) -> None:
    replicated.settle()
    replicated.Note.create(number=1)
    cluster.wait_in_step()
    for replica in cluster.replicas:
        replica.pause()
    replicated.Note.create(number=2)
    child = os.fork()
    if not child:
        status = 1
        try:
            inherited = latest(replicated)
            replicated.Note.create(number=3)
            status = 0 if (inherited, latest(replicated)) == (2, 3) else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with replicated.database.atomic():
        assert latest(replicated) == 3
    assert replicated.entry.replicas[0].problem is None


PROGRAM = """
import sys
from peewee import CharField
from peewee_multidb import Databases, Model

registry = Databases({"default": {"url": sys.argv[1], "replicas": sys.argv[2:],
    "replication": {"backoff": 0.001, "check_interval": 0}}})

class Note(Model):
    text = CharField()
    class Meta:
        registry = registry

Note.create_table()
Note.create(text="x")
for _ in range(20):
    assert Note.select().count() == 1
print("done")
"""


def test_a_program_ends_although_a_replica_that_never_answers_is_being_probed(
    cluster_settings: dict[str, Any], cluster: Any
) -> None:
    with NetworkProxy(cluster.replicas[0]) as proxy:
        name = cluster_settings["url"].rpartition("/")[2]
        settings = cluster.settings(name, via=[proxy])
        proxy.cut()
        command = [sys.executable, "-W", "error", "-c", PROGRAM, settings["url"], *settings["replicas"]]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "done\n", ended.stderr
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr and "Fatal" not in ended.stderr, ended.stderr
    assert cluster.primary.password not in ended.stderr


def test_closing_leaves_no_connection_on_any_server(
    cluster_settings: dict[str, Any], cluster: Any, watch: Open
) -> None:
    watched = watch({**cluster_settings, "pool": 4}, check_interval=0)
    name = cluster_settings["url"].rpartition("/")[2]

    def work() -> None:
        watched.Note.create(number=1)
        latest(watched)
        watched.registry.status()
        watched.registry.close()

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for server in watched.servers().values():
        database: Any = server.database
        # The main thread made the tables on the primary.
        assert len(database._in_use) <= (1 if server is watched.servers()[PRIMARY] else 0)
    watched.registry.close_all()
    question = (
        f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND backend_type = 'client backend'"
        if cluster.primary.engine == "PostgreSQL"
        else f"SELECT count(*) FROM information_schema.processlist WHERE db = '{name}'"
    )
    for server in (cluster.primary, *cluster.replicas):
        server.wait_until(lambda server=server: server.execute(question)[0][0] == 0, "end of connections")
