"""The causal token: "I have seen this position", for the next request, another process or a job.

It is encrypted and signed by Fernet (https://github.com/fernet/spec), through the package ``cryptography``,
so a client can neither read nor change it, and it expires. It only ever makes reads wait, or go to the
primary: a token that is forged, expired, damaged or of other servers is as good as none.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from .. import causality
from ..causality import Seen
from ..drivers import connections, traits_of
from ..entry import Entry
from ..errors import ConfigurationError, UnknownDatabase
from ..registry import Databases, databases
from ..urls import Secret
from .readers import readers_of

__all__ = ["causal_token", "cipher_of", "secrets_of", "use_causal_token"]

logger = logging.getLogger("peewee_multidb")

#: Characters; a shorter key can be guessed.
SHORTEST_KEY = 16
#: Characters; no token of ours comes near it.
LONGEST_TOKEN = 16384
#: Seconds that a token is good for unless it is said otherwise.
MAX_AGE = 3600.0

INFO = b"peewee_multidb causal token 1"
CAUSAL = "causal tokens"


def causal_token(registry: Databases | None = None) -> str | None:
    """Return a token of all that this unit of work has written, to hand to whoever reads next.

    It takes one round trip to the primary of each database that was written to since the last read or
    token. Ask for it when the transactions are over: it does not cover a commit that is still to come.

    Args:
        registry: the databases that count; None for the process-wide registry.

    Returns:
        Text that fits into a cookie or a header, or None when there is nothing to carry.

    Raises:
        ConfigurationError: the registry has no ``secret_key``, or the package ``cryptography`` is missing.
        peewee.OperationalError: a primary does not answer.
    """
    registry = databases if registry is None else registry
    cipher = _cipher(registry)
    unit = causality.current_unit()
    if unit is None:
        return None
    carried = {}
    for entry in registry.every_entry():
        seen = unit.found(entry)
        one = None if seen is None else _carried(registry, entry, seen)
        if one is not None:
            carried[entry.name] = one
    if not carried:
        return None
    token: bytes = cipher.encrypt(json.dumps(carried, separators=(",", ":")).encode())
    return token.decode()


def _carried(registry: Databases, entry: Entry, seen: Seen) -> list[Any] | None:
    """Return the cluster, the positions, and the time of the last write for engines without any."""
    identity = readers_of(registry, entry).health.ask_identity()
    replication = traits_of(entry.database).replication if entry.database is not None else None
    mark = seen.mark
    positions = []
    if mark is not None and replication is not None:
        known, position = seen.position
        if known is not mark:
            position = replication.written(entry.database)
            if not connections.has_transaction(entry.database):
                seen.position = (mark, position)
        if position is not None:
            positions.append(str(position))
    if seen.floor is not None:
        positions.append(str(seen.floor[1]))
    at = None
    if not positions and seen.at is not None:
        at = time.time() + seen.at - time.monotonic()
    return [identity, positions, at] if positions or at is not None else None


class use_causal_token:
    """Run a block as a unit of work that has seen what a token says.

    Args:
        token: what `causal_token` returned, perhaps long ago and elsewhere; None and text that is no such
            token are as good as none.
        registry: the databases that it is for; None for the process-wide registry.
        max_age: seconds after which a token is ignored.

    Works as a context manager, in coroutines too. It is a `unit_of_work`, so each database is read from one
    replica inside.

    Raises:
        ConfigurationError: there is a token, but the registry has no ``secret_key``, or the package
            ``cryptography`` is missing.
    """

    __slots__ = ("_carried", "_registry", "_units")

    def __init__(
        self, token: str | None, registry: Databases | None = None, *, max_age: float = MAX_AGE
    ) -> None:
        self._registry = databases if registry is None else registry
        self._carried = {} if token is None else _opened(self._registry, token, max_age)
        self._units: list[causality.unit_of_work] = []

    def __enter__(self) -> None:
        unit = causality.unit_of_work()
        unit.__enter__()
        self._units.append(unit)
        for name, carried in self._carried.items():
            _take_up(self._registry, name, carried)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._units.pop().__exit__(exc_type, exc, traceback)


def _take_up(registry: Databases, name: str, carried: list[Any]) -> None:
    """Note for one database what a token says of it; of one that is unknown here it says nothing."""
    try:
        database = registry[name]
    except UnknownDatabase:
        return
    entry = registry.entry_of(database)
    if entry is None or not entry.replicas:
        return
    identity, positions, at = carried
    seen = causality.own_unit().of(entry)
    replication = traits_of(database).replication
    try:
        parsed = [replication.parse(text) for text in positions] if replication is not None else []
    except ValueError:
        _ignored("it holds a position of another engine")
        return
    if parsed:
        if seen.floor is not None and seen.floor[0] == identity:
            # What the block around this one has seen counts as well.
            parsed.append(seen.floor[1])
        seen.floor = (identity, functools.reduce(_joined, parsed))
    if at is not None:
        written = time.monotonic() - max(0.0, time.time() - at)
        seen.at = written if seen.at is None else max(seen.at, written)


def _joined(one: Any, other: Any) -> Any:
    """Return the position that covers both, of one cluster: neither need cover the other."""
    return one.joined(other)


def _opened(registry: Databases, token: str, max_age: float) -> dict[str, list[Any]]:
    cipher = _cipher(registry)
    from cryptography.fernet import InvalidToken

    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        _ignored("it is no token")
        return {}
    try:
        content = json.loads(cipher.decrypt(token.encode("ascii", "replace"), ttl=int(max_age)))
    except InvalidToken:
        _ignored("it is forged, damaged, expired or signed with another key")
        return {}
    return {name: carried for name, carried in content.items() if isinstance(name, str)}


def _ignored(why: str) -> None:
    # Without its content: what a client sends does not belong into a log.
    logger.warning("ignored a causal token: %s", why)


def cipher_of(registry: Databases, purpose: bytes, what: str) -> Any:
    """Return what encrypts with the first key of a registry and decrypts with any.

    Args:
        registry: whose ``secret_key`` it is.
        purpose: what is encrypted: what was made for one purpose is forged for every other.
        what: the same, for messages.

    Raises:
        ConfigurationError: there is no key, one is too short, or the package ``cryptography`` is missing.
    """
    try:
        from cryptography.fernet import Fernet, MultiFernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError:
        raise ConfigurationError(
            f'{what} need the package cryptography: pip install "peewee-multidb[tokens]"'
        ) from None
    keys = [
        HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
        for secret in secrets_of(registry.secret_key, what)
    ]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])


def _cipher(registry: Databases) -> Any:
    return cipher_of(registry, INFO, CAUSAL)


def secrets_of(given: str | Secret | Iterable[str | Secret] | None, what: str = CAUSAL) -> list[str]:
    """Return the texts of a registry's ``secret_key``, of which the first one signs.

    Raises:
        ConfigurationError: there is none, or one is too short.
    """
    if given is None or isinstance(given, (str, Secret)):
        given = [] if given is None else [given]
    secrets = [one.reveal() if isinstance(one, Secret) else one for one in given]
    if not secrets:
        raise ConfigurationError(
            f"{what} are signed, and there is no key: set databases.secret_key to a random text of "
            f"at least {SHORTEST_KEY} characters, the same in every process."
        )
    for secret in secrets:
        if not isinstance(secret, str) or len(secret) < SHORTEST_KEY:
            raise ConfigurationError(
                f"databases.secret_key must be a random text of at least {SHORTEST_KEY} characters."
            )
    return secrets
