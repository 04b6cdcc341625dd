"""What the replica tests share: a registry over a cluster, and what each server was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from peewee_multidb import Databases
from tests.replicas.watch import Watched

Open = Callable[..., Watched]


@pytest.fixture(params=["postgres", "mariadb"])
def cluster(request: pytest.FixtureRequest) -> Any:
    """The session's cluster of one engine after the other; a test may pause and delay its replicas."""
    return request.getfixturevalue(f"{request.param}_cluster")


@pytest.fixture
def cluster_settings(request: pytest.FixtureRequest, cluster: Any) -> Any:
    """What `configure` takes for an empty database on that cluster."""
    kind = "postgres" if cluster.primary.engine == "PostgreSQL" else "mariadb"
    return request.getfixturevalue(f"{kind}_cluster_settings")


@pytest.fixture
def watch() -> Iterator[Open]:
    """Call it with settings for a watched registry whose tables exist; closed after the test."""
    opened: list[Watched] = []

    def open_one(settings: dict[str, Any], **replication: Any) -> Watched:
        if replication:
            settings = {**settings, "replication": replication}
        opened.append(Watched(Databases({"default": settings})))
        return opened[-1]

    yield open_one
    for one in opened:
        one.registry.close_all()


@pytest.fixture
def replicated(cluster_settings: Any, watch: Open) -> Watched:
    """A watched registry over the cluster, whose replicas have the tables."""
    return watch(cluster_settings, check_interval=60)
