"""sp_getapplock and sp_releaseapplock, for locks that a session owns and that end with it."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["AppLocks"]

#: What sp_getapplock returns.
GRANTED, TIMED_OUT, WRONG = 0, -1, -999


class AppLocks:
    """The application locks of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[tuple[str, str], Any] = {}

    def get(self, session: Any, named: dict[str, Any]) -> int:
        """Give a session an exclusive lock at once, or say that it is taken."""
        if str(named.get("@lockowner")).lower() != "session" or named.get("@lockmode") != "Exclusive":
            return WRONG
        key = (session.database.lower(), str(named["@resource"]))
        with self._lock:
            owner = self._owners.setdefault(key, session)
        return GRANTED if owner is session else TIMED_OUT

    def release(self, session: Any, named: dict[str, Any]) -> int:
        """Take a lock back."""
        key = (session.database.lower(), str(named["@resource"]))
        with self._lock:
            if self._owners.get(key) is not session:
                return WRONG
            del self._owners[key]
        return GRANTED

    def forget(self, session: Any) -> None:
        """Take back all that a session has: it ends."""
        with self._lock:
            self._owners = {key: owner for key, owner in self._owners.items() if owner is not session}
