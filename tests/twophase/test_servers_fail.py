"""A server dies, or the network to it, at each step; then everything is on all databases or on none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import InDoubt, PartialCommit, TwoPhaseError, databases
from peewee_multidb.testing.servers import MariaDBServer, NetworkProxy, PostgresServer
from tests.twophase import crashing

KIND = "two and a file"


@pytest.fixture
def proxies(
    tmp_path: Path,
    postgres_url: str,
    mariadb_url: str,
    postgres_server: PostgresServer,
    mariadb_server: MariaDBServer,
) -> Iterator[dict[str, NetworkProxy]]:
    """The databases of `crashing`, two of them behind networks that can be cut."""
    with NetworkProxy(postgres_server) as post, NetworkProxy(mariadb_server) as maria:
        crashing.prepare(
            post.url(postgres_url.rpartition("/")[2]), maria.url(mariadb_url.rpartition("/")[2]), tmp_path
        )
        yield {"post": post, "maria": maria}
        databases.close_all()
        databases.configure({})


def outcome(kind: str, folder: Path, n: int, at: int, action: Callable[[], None]) -> str:
    """Run the block, and return what it says became of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", InDoubt)
        try:
            crashing.write(kind, folder, n, at, action)
        except InDoubt:
            return "committed"
        except PartialCommit:
            return "unknown"
        except TwoPhaseError as error:
            return "rolled back" if not error.in_doubt else "to be rolled back"
        except peewee.PeeweeException:
            return "failed"
    return "committed"


def check(kind: str, folder: Path, n: int, said: str) -> None:
    """Recover, and see that all databases agree with one another and with what the block said."""
    crashing.drop_lost()
    crashing.recovered(kind, folder, grace=0)
    found = crashing.where_is(kind, n)
    assert len(set(found)) == 1, found
    assert said == "unknown" or found[0] is (said == "committed"), said


@pytest.mark.parametrize("victim", ["post", "maria"])
@pytest.mark.parametrize("kind", [KIND, "one and the log, which prepares nothing"])
def test_a_network_that_is_cut_at_any_step(
    proxies: dict[str, NetworkProxy], tmp_path: Path, kind: str, victim: str
) -> None:
    steps = crashing.steps_of(kind, tmp_path)
    said = []
    for n, at in crashing.chosen(steps, 4 if kind == KIND else 2):
        said.append(outcome(kind, tmp_path, n, at, proxies[victim].cut))
        proxies[victim].restore()
        check(kind, tmp_path, n, said[-1])
    assert {"committed"} < set(said), "it was cut before the decision and after it"


@pytest.mark.parametrize("victim", ["post", "maria"])
def test_connections_that_are_reset_at_any_step(
    proxies: dict[str, NetworkProxy], tmp_path: Path, victim: str
) -> None:
    """The server is there, and takes new connections: who had promised is told on one of those at once."""
    steps = crashing.steps_of(KIND, tmp_path)
    said = []
    for n, at in crashing.chosen(steps, 4):
        said.append(outcome(KIND, tmp_path, n, at, proxies[victim].reset))
        check(KIND, tmp_path, n, said[-1])
    assert {"committed"} < set(said)
    assert "unknown" not in said, "the log is a file, and never in doubt"


@pytest.mark.parametrize("server", [PostgresServer, MariaDBServer])
def test_a_server_that_is_killed_at_some_steps(
    tmp_path: Path, postgres_url: str, mariadb_url: str, server: Any
) -> None:
    """SIGKILL, and a start again: what it has promised it still knows."""
    with server(durable=True) as victim:
        victim.create_database("own")
        is_post = isinstance(victim, PostgresServer)
        post, maria = (victim.url("own"), mariadb_url) if is_post else (postgres_url, victim.url("own"))
        crashing.prepare(post, maria, tmp_path)
        steps = crashing.steps_of(KIND, tmp_path)
        said = []
        for n, at in crashing.chosen(steps, 12):
            said.append(outcome(KIND, tmp_path, n, at, victim.kill))
            victim.start()
            check(KIND, tmp_path, n, said[-1])
        assert said
        databases.close_all()
        databases.configure({})
