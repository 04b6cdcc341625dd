"""Which of several replicas that are as good as each other gets the next read."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from ..server import Server

__all__ = [
    "POLICIES",
    "LeastInUse",
    "Nearest",
    "Policy",
    "PowerOfTwo",
    "Random",
    "RoundRobin",
    "Weighted",
]


class Policy(Protocol):
    """Chooses a server; called from many threads at once."""

    def choose(self, servers: Sequence[Server]) -> Server:
        """Return one of the servers, of which there is at least one."""
        ...


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._turn = itertools.count()

    def choose(self, servers: Sequence[Server]) -> Server:
        return servers[next(self._turn) % len(servers)]


class Random:
    """Any, with equal chances."""

    def choose(self, servers: Sequence[Server]) -> Server:
        return random.choice(servers)


class Weighted:
    """Any, with chances in proportion to the weights."""

    def choose(self, servers: Sequence[Server]) -> Server:
        return random.choices(servers, [server.weight for server in servers])[0]


class LeastInUse:
    """The one with the fewest queries of this process in flight; in turn among equals."""

    def __init__(self) -> None:
        self._turn = itertools.count()

    def choose(self, servers: Sequence[Server]) -> Server:
        start = next(self._turn) % len(servers)
        return min((*servers[start:], *servers[:start]), key=_in_use)


class PowerOfTwo:
    """The less used one of two at random.

    Nearly as even as `LeastInUse` without everybody running to the same server; see M. Mitzenmacher,
    "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12 (2001).
    """

    def choose(self, servers: Sequence[Server]) -> Server:
        if len(servers) == 1:
            return servers[0]
        return min(random.sample(servers, 2), key=_in_use)


class Nearest:
    """One of the program's own zone, in turn; one of any zone when that has none left.

    Args:
        zone: where this program runs.
    """

    def __init__(self, zone: str | None) -> None:
        self._zone = zone
        self._rest = RoundRobin()

    def choose(self, servers: Sequence[Server]) -> Server:
        near = [server for server in servers if server.zone == self._zone]
        return self._rest.choose(near or servers)


def _in_use(server: Server) -> int:
    return server.in_use


#: The policies by the names that settings give them; called with the zone of the program.
POLICIES: dict[str, Callable[[str | None], Policy]] = {
    "round_robin": lambda zone: RoundRobin(),
    "random": lambda zone: Random(),
    "weighted": lambda zone: Weighted(),
    "least_in_use": lambda zone: LeastInUse(),
    "power_of_two": lambda zone: PowerOfTwo(),
    "nearest": Nearest,
}
