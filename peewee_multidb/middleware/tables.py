"""A selector that looks a tenant up, and remembers what it found for a while."""

from __future__ import annotations

import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import ConfigurationError, UnknownDatabase, shown
from .request import Request
from .rules import Chosen, Selector

__all__ = ["lookup"]

_MISSING: Any = object()


class _Cache:
    """Values that are forgotten after some seconds, and the oldest of which go when there are too many."""

    def __init__(self, ttl: float, most: int) -> None:
        self._ttl = ttl
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[str, tuple[float, Any]] = OrderedDict()

    def get(self, key: str) -> Any:
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return _MISSING
            if found[0] <= time.monotonic():
                del self._values[key]
                return _MISSING
            self._values.move_to_end(key)
            return found[1]

    def put(self, key: str, value: Any) -> None:
        with self._lock:
            self._values[key] = (time.monotonic() + self._ttl, value)
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)

    def drop(self, key: str) -> None:
        with self._lock:
            self._values.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._values.clear()


class lookup:
    """Select by what a table says of what another selector found: a customer's number, a host of his own.

    Args:
        key: a selector, `by_header` for instance, that finds what to look up. Its text is checked by that.
        fetch: called with that text; returns the name of a tenant, a scope to enter, or None when there is
            no such tenant. It may be a coroutine function, over ASGI.
        ttl: seconds that an answer is good for.
        negative_ttl: seconds that "there is none" is good for.
        max_entries: the most answers to remember, of each of the two kinds.

    Raises:
        ConfigurationError: a number makes no sense.
    """

    def __init__(
        self,
        key: Selector,
        fetch: Callable[[str], Chosen | Awaitable[Chosen]],
        *,
        ttl: float = 60.0,
        negative_ttl: float = 5.0,
        max_entries: int = 10_000,
    ) -> None:
        if not ttl >= 0 or not negative_ttl >= 0 or max_entries < 1:
            raise ConfigurationError("lookup(): ttl and negative_ttl are at least 0, max_entries at least 1")
        self._key = key
        self._fetch = fetch
        # Apart, so that a flood of names that are not there drives out nobody who is.
        self._found = _Cache(ttl, max_entries)
        self._absent = _Cache(negative_ttl, max_entries)

    def __call__(self, request: Request) -> Chosen | Awaitable[Chosen]:
        """Return what the table says of a request.

        Raises:
            UnknownDatabase: it has no such tenant.
        """
        key = self._key(request)
        if inspect.isawaitable(key):
            return self._after(key)
        return self._of(key)

    def forget(self, key: str | None = None) -> None:
        """Forget what is known of one key, or of all: a tenant has moved, or is new.

        Args:
            key: what is looked up; None for all.
        """
        for cache in (self._found, self._absent):
            if key is None:
                cache.clear()
            else:
                cache.drop(key)

    async def _after(self, key: Awaitable[Any]) -> Chosen:
        found: Any = self._of(await key)
        if inspect.isawaitable(found):
            found = await found
        return found  # type: ignore[no-any-return]

    def _of(self, key: Any) -> Chosen | Awaitable[Chosen]:
        if key is None:
            return None
        if not isinstance(key, str):
            raise ConfigurationError(f"lookup(): its key selects a {type(key).__name__}; expected text")
        found = self._found.get(key)
        if found is not _MISSING:
            return found  # type: ignore[no-any-return]
        if self._absent.get(key) is not _MISSING:
            raise self._unknown(key)
        fetched = self._fetch(key)
        if inspect.isawaitable(fetched):
            return self._when(key, fetched)
        return self._noted(key, fetched)

    async def _when(self, key: str, fetched: Awaitable[Chosen]) -> Chosen:
        return self._noted(key, await fetched)

    def _noted(self, key: str, fetched: Any) -> Chosen:
        if fetched is None:
            self._absent.put(key, None)
            raise self._unknown(key)
        self._found.put(key, fetched)
        return fetched  # type: ignore[no-any-return]

    @staticmethod
    def _unknown(key: str) -> UnknownDatabase:
        return UnknownDatabase(f"The table of tenants has no {shown(key)}.")
