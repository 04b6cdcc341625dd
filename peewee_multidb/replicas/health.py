"""Which replicas may be asked: the ones that were looked at, are replicas indeed, in step, and reachable.

A replica is looked at before its first read, and then about once in a `check_interval` by one of the reads
that it gets anyway, on that read's own connection: a process keeps no connections for watching, and one that
reads nothing asks nothing. A replica that gets no reads is looked at in the background, by one thread or task
at a time, when its rest is over (the "half-open" state of a circuit breaker) or its next look is due.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
import time

from ..drivers import connections, failures, traits_of
from ..drivers.replication import ServerState
from ..entry import Entry
from ..registry import Databases, Hook
from ..server import Server, ServerEvent

__all__ = ["Health"]

logger = logging.getLogger("peewee_multidb")


class Health:
    """What is known of the replicas of one database.

    Attributes:
        ready: the replicas that get reads. Replaced as a whole: read it without a lock.
        due: the moment, by `time.monotonic`, when a replica that gets no reads should be looked at.
        identity: what the engine calls the cluster of the primary, once that was asked for; or None.
    """

    def __init__(self, registry: Databases, entry: Entry) -> None:
        self._registry = registry
        self._entry = entry
        self._settings = entry.settings.replication
        self._verified: set[int] = set()
        self.identity: str | None = None
        self.ready: tuple[Server, ...] = ()
        self.due = -math.inf
        self._lock = threading.Lock()
        self._renew()

    def _renew(self) -> None:
        # One at a time: who comes from before an ejection must not have the last word after it.
        with self._lock:
            replicas = self._entry.replicas
            self.ready = tuple(filter(self._is_ready, replicas))
            left_out = [one for one in replicas if one not in self.ready]
            looks = (_next_look(one, self._settings.check_interval) for one in left_out)
            self.due = min(looks, default=math.inf)

    def _is_ready(self, server: Server) -> bool:
        return server.problem is None and (server.checked is not None or self._mirrors(server))

    def _mirrors(self, server: Server) -> bool:
        return server.database is self._entry.database

    def attend(self, now: float) -> None:
        """Look at the replicas that get no reads and whose moment has come.

        Those that were never looked at are looked at before this returns.
        """
        for server in self._entry.replicas:
            if server in self.ready or _next_look(server, self._settings.check_interval) > now:
                continue
            if server.checked is None and server.problem is None:
                self.look(server)
                continue
            # Whoever comes by meanwhile finds it looked at.
            if server.resting_until is None:
                server.checked = now
            else:
                # Half of it, so that a server that is back gets reads within the whole of it.
                server.resting_until = now + self._settings.backoff / 2
            with server.lock:
                alone, server.is_probed = not server.is_probed, True
            if alone:
                # The primary may have to be asked whether they are of one cluster.
                connections.in_background(
                    (server.database, self._entry.database),
                    functools.partial(self._probe, server),
                    functools.partial(setattr, server, "is_probed", False),
                )
        self._renew()

    def _probe(self, server: Server) -> None:
        was_ejected = server.resting_until is not None
        if self.look(server) and was_ejected:
            self._tell(self._registry.on_failback, server, "it answers again")

    def look_if_due(self, server: Server, now: float) -> bool:
        """Look at a replica that is about to be read, if its last look is too old; whether it may be read."""
        checked = server.checked
        if checked is not None and now - checked < self._settings.check_interval:
            return True
        server.checked = now
        return self.look(server)

    def look(self, server: Server) -> bool:
        """Look at a replica, and return whether it may be read."""
        connected = False
        state: ServerState | None = None
        life: object = None
        try:
            server.connect()
            connected = True
            life = server.life
            state = server.look()
            problem = None if state is None else self._problem(server, state)
        except Exception as error:
            if not failures.is_from_server(error) or failures.is_exhausted(error):
                raise
            if not connected or failures.is_disconnect(server.database, error):
                self.eject(server, error)
                return False
            problem = f"it cannot be asked how it is: {type(error).__name__}: {error}"
        server.checked = time.monotonic()
        server.resting_until = None
        if state is not None:
            server.lag = state.lag
            if state.position is not None and state.replicating:
                # A pooler may hide from us that the server was restarted.
                server.is_at(state.position, life)
        if problem != server.problem:
            if problem is not None:
                logger.warning("%r gets no reads: %s", server, problem)
            server.problem = problem
        self._renew()
        return problem is None

    def _problem(self, server: Server, state: ServerState) -> str | None:
        """Return why a replica that answers may not be read, or None."""
        if not state.replicating:
            return "it follows no other server: it was promoted, or never was a replica"
        problem = self._lag_problem(state)
        if problem is None and id(server) not in self._verified:
            problem = self._kinship_problem(server, state)
        return problem

    def _lag_problem(self, state: ServerState) -> str | None:
        most = self._settings.max_lag
        if most is None or (state.lag is not None and state.lag <= most):
            return None
        if state.lag is None:
            return (
                "its account may not see how far it is behind, which 'max_lag' needs: on MariaDB, "
                "GRANT SLAVE MONITOR ON *.*; on MySQL, GRANT REPLICATION CLIENT ON *.*"
            )
        if state.lag == math.inf:
            return "replication has stopped"
        return f"it is {state.lag:.1f} seconds behind, and 'max_lag' is {most:g}"

    def _kinship_problem(self, server: Server, state: ServerState) -> str | None:
        primary = self._entry.primary
        assert primary is not None
        try:
            ours = primary.look()
        except Exception as error:
            if not failures.is_from_server(error):
                raise
            # Reads should go on while the primary is away; the next look asks again.
            connections.drop(primary.database)
            return None
        replication = traits_of(server.database).replication
        if ours is not None and replication is not None and not replication.is_replica_of(state, ours):
            return f"its data belong to another cluster than those of {primary.label}"
        self._verified.add(id(server))
        self._remember(ours)
        return None

    def _remember(self, ours: ServerState | None) -> None:
        if ours is not None and isinstance(ours.identity, str):
            self.identity = ours.identity

    def ask_identity(self) -> str | None:
        """Return what the engine calls the cluster of the primary, or None where it has no name for it.

        Raises:
            peewee.DatabaseError: the primary has to be asked, and does not answer.
        """
        if self.identity is None and self._entry.primary is not None:
            self._remember(self._entry.primary.look())
        return self.identity

    def eject(self, server: Server, error: BaseException) -> None:
        """Let a replica rest after a connection error; its connections are not used again."""
        connections.drop(server.database)
        connections.close_idle(server.database)
        now = time.monotonic()
        with server.lock:
            again = server.resting_until is not None
            if server.resting_until is None or server.resting_until <= now:
                # Those that fail a little later do not make the rest longer.
                server.resting_until = now + self._settings.backoff
            server.problem = f"{type(error).__name__}: {error}"
            server.generation += 1
        self._verified.discard(id(server))
        self._renew()
        if not again:
            logger.warning("%r is ejected for %g s: %s", server, self._settings.backoff, server.problem)
            self._tell(self._registry.on_eject, server, server.problem)

    def tell_fallback(self, reason: str) -> None:
        """Tell the hooks that a read goes to the primary for want of a replica."""
        if self._registry.on_fallback:
            assert self._entry.primary is not None
            self._tell(self._registry.on_fallback, self._entry.primary, reason)

    def _tell(self, hooks: list[Hook], server: Server, reason: str) -> None:
        event = ServerEvent(self._entry.name, server.label, reason, server.ejected_until)
        for hook in hooks:
            try:
                hook(event)
            except Exception:
                logger.exception("a hook of %r failed", hook)

    def problems(self) -> str:
        """Return a sentence for each replica that gets no reads."""
        return "; ".join(f"{one.label}: {one.problem}" for one in self._entry.replicas if one.problem)


def _next_look(server: Server, interval: float) -> float:
    if server.resting_until is not None:
        return server.resting_until
    return -math.inf if server.checked is None else server.checked + interval


