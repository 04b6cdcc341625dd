"""The databases that a resolver found: asked for once, kept for a while, and never more than so many."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from ..config import settings_from
from ..entry import Entry
from ..errors import MultiDBError, ResolverFailed, shown
from ..settings import DatabaseSettings
from ..stack import current, switch
from .names import check_tenant_name
from .resolvers import Resolver

__all__ = ["Resolving"]

logger = logging.getLogger("peewee_multidb")

#: The most names that are known to be no tenant's.
MOST_UNKNOWN = 1000


class Resolving:
    """What the resolver of one registry said.

    Args:
        make: makes an entry of settings.
        drop: lets go of an entry, told whether in any case; False if it is in use, and stays.

    Attributes:
        resolver: what is asked; None for nobody.
        entries: what it found, the longest ago first.
        ttl: seconds for which a database is known before its settings are asked for again.
        unknown_ttl: seconds for which a name is known to be no tenant's.
        most: the most databases that are known at a time.
    """

    def __init__(
        self, make: Callable[[DatabaseSettings], Entry], drop: Callable[[Entry, bool], bool]
    ) -> None:
        self.resolver: Resolver | None = None
        self.entries: dict[str, Entry] = {}
        self.ttl = 300.0
        self.unknown_ttl = 5.0
        self.most = 10_000
        self._make = make
        self._drop = drop
        self._expires: dict[str, float] = {}
        self._unknown: dict[str, float] = {}
        self.start_afresh()

    def start_afresh(self) -> None:
        """Forget who is asking right now: after a fork."""
        self._lock = threading.Lock()
        self._asking: dict[str, tuple[int, Future[Entry | None]]] = {}

    def forget(self, name: str) -> None:
        """Forget what was said of one name; the next who needs it asks again.

        Args:
            name: the tenant.
        """
        self._unknown.pop(name, None)
        self._expires.pop(name, None)

    def forget_all(self) -> None:
        """Forget what was said of every name, and keep the databases that are in use until they are not."""
        self._unknown.clear()
        self._expires.clear()

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tenant, or None if there is no such tenant.

        Args:
            name: the tenant.

        Raises:
            InvalidTenant: the name is none that a tenant can have; nobody is asked.
            ResolverFailed: the resolver raised something.
            ConfigurationError: the settings that it returned make no sense.
        """
        if self.resolver is None:
            return None
        name = check_tenant_name(name)
        now = time.monotonic()
        entry = self.entries.get(name)
        if entry is not None and self._expires.get(name, 0) > now:
            return entry
        if entry is None and self._unknown.get(name, 0) > now:
            return None
        return self._ask_once(name)

    def is_recent(self, name: str) -> bool:
        """Whether `find` answers without asking the resolver.

        Args:
            name: the tenant.
        """
        expires = self._expires if name in self.entries else self._unknown
        return expires.get(name, 0) > time.monotonic()

    def _ask_once(self, name: str) -> Entry | None:
        """Ask, or wait for the answer of whoever is asking."""
        me = threading.get_ident()
        with self._lock:
            asking = self._asking.get(name)
            if asking is None:
                answer: Future[Entry | None] = Future()
                self._asking[name] = me, answer
        if asking is not None:
            # A task of this very thread cannot be waited for: it would not get on meanwhile.
            return self._asked(name) if asking[0] == me else asking[1].result()
        try:
            entry = self._asked(name)
        except BaseException as error:
            answer.set_exception(error)
            raise
        else:
            answer.set_result(entry)
            return entry
        finally:
            self._asking.pop(name, None)

    def _asked(self, name: str) -> Entry | None:
        known = self.entries.get(name)
        try:
            value = self._answer(name)
        except Exception as error:
            if known is not None:
                # What lists the tenants being down need not stop those that are known.
                logger.warning(
                    "the resolver failed for the tenant %s, which stays as it was: %r", name, error
                )
                self._expires[name] = time.monotonic() + self.unknown_ttl
                return known
            if isinstance(error, MultiDBError):
                raise
            raise ResolverFailed(
                f"The resolver {self.resolver!r} could not look up the tenant {shown(name)}: "
                f"{type(error).__name__}. Nothing is known of the tenant; try again."
            ) from error
        if value is None:
            self._note_unknown(name)
            return None
        settings = self._checked(name, value)
        if known is None or known.settings != settings:
            entry = self._make(settings)
            self._make_room()
            if known is not None:
                self._drop(known, True)
        else:
            entry = known
            self.entries.pop(name, None)
        self.entries[name] = entry
        self._expires[name] = time.monotonic() + self.ttl
        self._unknown.pop(name, None)
        return entry

    def _answer(self, name: str) -> Any:
        """Ask outside of every scope: where the tenants are does not depend on who asks."""
        assert self.resolver is not None
        around = current()
        switch(None)
        try:
            return self.resolver(name)
        finally:
            switch(around)

    @staticmethod
    def _checked(name: str, value: Any) -> DatabaseSettings:
        if isinstance(value, DatabaseSettings):
            settings = value if value.name == name else replace(value, name=name)
        else:
            settings = settings_from({name: value})[name]
        return settings if settings.tenant else replace(settings, tenant=True)

    def _note_unknown(self, name: str) -> None:
        known = self.entries.get(name)
        if known is not None:
            self._drop(known, True)
            self.entries.pop(name, None)
            self._expires.pop(name, None)
        while len(self._unknown) >= MOST_UNKNOWN:
            self._unknown.pop(next(iter(self._unknown)), None)
        self._unknown.pop(name, None)
        self._unknown[name] = time.monotonic() + self.unknown_ttl

    def _make_room(self) -> None:
        if len(self.entries) < self.most:
            return
        for name, entry in list(self.entries.items()):
            if self._drop(entry, False):
                self.entries.pop(name, None)
                self._expires.pop(name, None)
                if len(self.entries) < self.most:
                    return
