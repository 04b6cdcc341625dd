"""mssql-python, Microsoft's own module; it brings its ODBC driver 18 with it.

The driver refuses SQL Server 2000 itself, and Microsoft supports it from 2012 on. Errors come without their
numbers, so their class is all that is known.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import peewee

from ..version import ServerVersion
from .base import Adapter, as_number, checked_text, early_as_text, early_cast
from .pyodbc import connection_string

__all__ = ["MssqlPythonAdapter"]

DEAD = (
    "Timeout expired",
    "Query timeout",
    "Communication link failure",
    "Connection not open",
    "connection is closed",
    "Cannot execute query on a closed",
)
PREFIX = re.compile(r"\A(?:\[[^\]]*\]\s*)+")


class MssqlPythonAdapter(Adapter):
    """mssql-python 1.0 or newer."""

    module_name = "mssql_python"
    distribution = "mssql-python"
    extra = "mssql-python"
    oldest = ServerVersion(11)
    oldest_reason = (
        "Microsoft's ODBC driver 18, which is part of mssql-python, serves SQL Server 2012 and later"
    )

    def __init__(self, scheme: str) -> None:
        super().__init__(scheme)
        # Its pool hands out connections with the session of whoever had them before.
        self.module.pooling(enabled=False)

    def open(self, database: str, settings: Mapping[str, Any], *, read_only: bool) -> Any:
        rest = dict(settings)
        login_timeout = int(rest.pop("login_timeout", 15))
        timeout = int(rest.pop("query_timeout", 0) or 0)
        host, port = rest.pop("host", None) or "localhost", rest.pop("port", None)
        pairs = {"SERVER": f"{host},{port}" if port else host, "DATABASE": database}
        for key, name in (("user", "UID"), ("password", "PWD")):
            if (value := rest.pop(key, None)) is not None:
                pairs[name] = str(value)
        for key, value in rest.items():
            pairs[key] = ("yes" if value else "no") if isinstance(value, bool) else str(value)
        if read_only:
            pairs["ApplicationIntent"] = "ReadOnly"
        raw = self.module.connect(connection_string(pairs), autocommit=True, timeout=login_timeout)
        raw.timeout = timeout
        return raw

    def to_driver(self, value: Any, version: ServerVersion) -> Any:
        if isinstance(value, str):
            return checked_text(str(value))
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return as_number(int(value))
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            raise peewee.DataError(f"SQL Server has no value {value!r} of the type FLOAT")
        if isinstance(value, Decimal) and not value.is_finite():
            raise peewee.DataError(f"SQL Server has no value {value} of the type DECIMAL")
        if isinstance(value, datetime.time) and value.tzinfo is not None:
            raise peewee.DataError(
                "SQL Server has no type for a time with a time zone; take the zone off first"
            )
        return early_as_text(value, version)

    def marked(self, value: Any, version: ServerVersion) -> str:
        kind = early_cast(value)
        return self.mark if kind is None else f"CAST({self.mark} AS {kind})"

    def number_and_text(self, error: BaseException) -> tuple[int | None, str]:
        text = str(getattr(error, "ddbc_error", "") or error)
        return None, PREFIX.sub("", text.rpartition("DDBC Error: ")[2]).strip() or str(error)

    def is_dead(self, error: BaseException) -> bool:
        return any(words.lower() in str(error).lower() for words in DEAD)
