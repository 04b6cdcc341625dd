"""The scope in the headers of a job: signed, and readable to nobody but the programs of one registry's key.

The text is encrypted and signed by Fernet (https://github.com/fernet/spec), as a causal token is, with a key
derived for this purpose alone: neither passes for the other. Whoever can write to the queue can send a job a
second time, though, headers and all; `max_age` bounds for how long.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from .. import causality, scope
from ..drivers import connections
from ..errors import ConfigurationError, ScopeRefused, UnknownDatabase
from ..registry import Databases, databases
from ..replicas import causal_token, use_causal_token
from ..replicas.tokens import cipher_of
from ..transactions import block
from .portable import packed, unpacked

__all__ = ["HEADER", "ascope_headers", "scope_from_headers", "scope_headers"]

#: The name of the header.
HEADER = "x-multidb-scope"
VERSION = 1
#: Characters; brokers have limits of their own, and no scope of a real program comes near this one.
LONGEST = 65536

PURPOSE = b"peewee_multidb scope of a job 1"
WHAT = "scope headers"
#: Seconds. What a causal token of a job says stays true however long the job waits.
NO_LIMIT = 10 * 365 * 86400


def scope_headers(registry: Databases | None = None, *, causal: bool = True) -> dict[str, str]:
    """Return what a job has to carry to run in the scope of this moment, and to see what was written so far.

    Call it when the transaction is over: a job may begin before a commit that is still to come.

    Args:
        registry: whose ``secret_key`` signs; None for the process-wide registry.
        causal: carry a `causal_token` too, if anything was written to a database with replicas.

    Returns:
        One header, with text that is safe in HTTP, AMQP and Redis; for code outside every scope too, so that
        a job without the header is known not to come from here.

    Raises:
        ConfigurationError: the registry has no ``secret_key``, the package ``cryptography`` is missing, or a
            scope cannot travel: that of `use_shard`, one with a Database object, or one for a model that no
            other process could import.
        peewee.OperationalError: a primary does not answer when it is asked for its position.
    """
    registry = databases if registry is None else registry
    return _sealed(registry, causal_token(registry) if causal and _has_written() else None)


async def ascope_headers(registry: Databases | None = None, *, causal: bool = True) -> dict[str, str]:
    """Return what `scope_headers` returns, where databases that were written to are asynchronous.

    Args:
        registry: see there.
        causal: see there.
    """
    registry = databases if registry is None else registry
    token = None
    if causal and _has_written():
        if _is_async():
            from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

            token = await greenlet_spawn(causal_token, registry)
        else:
            token = causal_token(registry)
    return _sealed(registry, token)


def _has_written() -> bool:
    unit = causality.current_unit()
    return unit is not None and bool(unit.seen)


def _is_async() -> bool:
    unit = causality.current_unit()
    seen = [] if unit is None else list(unit.seen)
    return any(entry.database is not None and connections.is_async(entry.database) for entry in seen)


def _sealed(registry: Databases, token: str | None) -> dict[str, str]:
    content = {"version": VERSION, "scopes": packed(scope.current()), "causal": token}
    text: bytes = cipher_of(registry, PURPOSE, WHAT).encrypt(
        json.dumps(content, separators=(",", ":")).encode()
    )
    if len(text) > LONGEST:
        raise ConfigurationError(
            f"the scope here takes {len(text)} characters, and the headers of a job at most {LONGEST}: "
            "leave some of its blocks before the job is sent."
        )
    return {HEADER: text.decode()}


class scope_from_headers:
    """Run a block in the scope that a job's headers carry, and in no other.

    It is a `unit_of_work`. What the thread or task has selected is of no concern inside, and is back when the
    block is left.

    Args:
        headers: those of the job; names are compared without regard to case.
        registry: whose ``secret_key`` it was signed with; None for the process-wide registry.
        max_age: seconds after which the headers are refused; None for no limit.
        required: refuse a job without the header. Else it runs outside of every scope.

    Works as a context manager, in coroutines too.

    Raises:
        ScopeRefused: on entering: the header is missing, forged, damaged, expired or of another key, or it
            names a database, a tenant or a model that there is not here. The block does not run.
        ConfigurationError: the registry has no ``secret_key``, or the package ``cryptography`` is missing.
    """

    __slots__ = ("_content", "_outside", "_registry", "_stack")

    def __init__(
        self,
        headers: Mapping[str, Any] | None,
        registry: Databases | None = None,
        *,
        max_age: float | None = None,
        required: bool = True,
    ) -> None:
        self._registry = databases if registry is None else registry
        self._content = _opened(self._registry, _found(headers), max_age, required)
        self._stack = ExitStack()
        self._outside: Any = None

    def __enter__(self) -> None:
        self._outside = outside = scope.current(), causality.current_unit(), block.current()
        scope.switch(None)
        causality.replace_unit(None)
        try:
            token = self._content["causal"]
            self._stack.enter_context(use_causal_token(token, self._registry, max_age=NO_LIMIT))
            for one in unpacked(self._content["scopes"]):
                self._stack.enter_context(one)
        except BaseException as error:
            self._leave(outside)
            if isinstance(error, UnknownDatabase):
                raise ScopeRefused(
                    f"the job is refused, for its database is unknown here: {error}"
                ) from error
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave(self._outside)

    def _leave(self, outside: Any) -> None:
        try:
            self._stack.close()
        finally:
            # Whatever the job entered and did not leave goes with it.
            scope.switch(outside[0])
            causality.replace_unit(outside[1])
            block.switch(outside[2])


def _found(headers: Mapping[str, Any] | None) -> Any:
    for name, value in (headers or {}).items():
        if isinstance(name, str) and name.lower() == HEADER:
            return value
    return None


def _opened(registry: Databases, text: Any, max_age: float | None, required: bool) -> dict[str, Any]:
    cipher = cipher_of(registry, PURPOSE, WHAT)
    if text is None:
        if required:
            raise ScopeRefused(
                f"the job carries no header {HEADER!r}, so that nobody knows which databases it is for. "
                "Send it from a program that adds scope_headers(), or allow for jobs without: required=False."
            )
        return {"scopes": [], "causal": None}
    from cryptography.fernet import InvalidToken

    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ScopeRefused(f"the header {HEADER!r} of the job is not what scope_headers() makes.")
    token = text.encode("ascii", "replace")
    try:
        content = json.loads(cipher.decrypt(token))
    except InvalidToken:
        raise ScopeRefused(
            f"the header {HEADER!r} of the job is forged, damaged, or signed with another secret_key."
        ) from None
    if max_age is not None and time.time() - cipher.extract_timestamp(token) > max_age:
        raise ScopeRefused(f"the header {HEADER!r} of the job is older than {max_age:g} seconds.")
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ScopeRefused("the scope of the job is of another version of this package.")
    return content
