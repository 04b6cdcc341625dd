"""What the settings of databases consist of: frozen dataclasses, with nothing that reads or connects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import peewee

from .urls import DatabaseURL, Secret

__all__ = [
    "FALLBACKS",
    "MIRROR",
    "POLICIES",
    "DatabaseSettings",
    "PoolSettings",
    "ReplicaSettings",
    "ReplicationSettings",
]

#: In the place of a replica's URL: the primary itself.
MIRROR = "mirror"

#: The policies that have a name.
POLICIES = ("round_robin", "random", "weighted", "least_in_use", "power_of_two", "nearest")

#: What a read does that finds no replica.
FALLBACKS = ("primary", "error")


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many connections a database keeps, as `playhouse.pool` understands it.

    Attributes:
        max_connections: the most connections open at once.
        stale_timeout: the age in seconds after which a connection is not used again; None is never.
        timeout: how many seconds to wait for a free connection; None fails at once, 0 waits for ever.
    """

    max_connections: int = 20
    stale_timeout: float | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """A server that repeats a primary. Without a `url` it is a mirror: the primary itself, for tests.

    Attributes:
        weight: its share of the reads under the policy ``"weighted"``, in proportion to the others'.
        zone: where it stands, for the policy ``"nearest"``.
    """

    url: DatabaseURL | None
    weight: float = 1
    zone: str | None = None

    @property
    def is_mirror(self) -> bool:
        """Whether the replica is the primary itself."""
        return self.url is None


@dataclass(frozen=True, slots=True)
class ReplicationSettings:
    """How the reads of a database are spread over its replicas.

    Attributes:
        policy: the name of a policy, or an object with its method ``choose``.
        zone: where this program runs, for the policy ``"nearest"``.
        max_lag: seconds; a replica that is further behind gets no reads until it caught up. None: any lag.
        wait_ms: milliseconds that a read may wait for a replica to replay what this thread or task wrote,
            before the primary answers instead.
        window: seconds after a write during which the primary answers, on engines without positions.
        fallback: ``"primary"`` or ``"error"``: what a read does that finds no replica.
        fallback_limit: the most reads in flight on the primary for want of a replica; None: any number.
        backoff: seconds that a replica rests after a connection error, before it is tried again.
        check_interval: seconds between two looks at a replica: its lag, and whether it still is one.
    """

    policy: Any = "round_robin"
    zone: str | None = None
    max_lag: float | None = None
    wait_ms: float = 50
    window: float = 2
    fallback: str = "primary"
    fallback_limit: int | None = None
    backoff: float = 5
    check_interval: float = 1


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """What the registry needs to know to open one named database.

    Exactly one of `url` and `database` is set; an existing peewee `database` is used as it is.

    Attributes:
        options: keyword arguments of the Peewee class and the driver, secrets sealed (see `unseal`).
        password: the password of every server of this database whose URL has none.
        server_version: the version to compile SQL for, for drivers that support several.
        schema: the PostgreSQL schema that its tables are in; None for that of the connection.
        tenant: it belongs to one tenant: code that is locked to another one may not use it.
    """

    name: str
    url: DatabaseURL | None = None
    database: peewee.Database | None = None
    replicas: tuple[ReplicaSettings, ...] = ()
    replication: ReplicationSettings = field(default_factory=ReplicationSettings, hash=False)
    read_only: bool = False
    pool: PoolSettings | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    password: Secret | None = None
    server_version: str | None = None
    schema: str | None = None
    tenant: bool = False

    def password_of(self, url: DatabaseURL) -> str | None:
        """Reveal the password for `url`, which is this database's own or that of a replica."""
        secret = url.password or self.password
        return None if secret is None else secret.reveal()
