"""A server that accepts a connection and then is silent: the time-out for connecting covers the greeting too.

PyMySQL counts ``connect_timeout`` until the socket is open, and would wait for the greeting for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Handshake"]

#: Seconds; PyMySQL's own default.
CONNECT_TIMEOUT = 10


class Handshake(Base):
    """Mixin right in front of a synchronous Database class."""

    def _connect(self) -> Any:
        connect = super()._connect  # type: ignore[misc]
        module = getattr(getattr(peewee, "mysql"), "__name__", None)  # noqa: B009
        params: dict[str, Any] = self.connect_params
        if module != "pymysql" or "read_timeout" in params:
            return connect()
        # Whoever connects holds the lock of the database.
        self.connect_params = {**params, "read_timeout": params.get("connect_timeout") or CONNECT_TIMEOUT}
        try:
            connection = connect()
        finally:
            self.connect_params = params
        # The queries of the connection may take as long as they take.
        connection._read_timeout = None
        return connection
