"""python-tds: the protocol in Python alone, for SQL Server 2008 and later.

To an older server it sends every text as NTEXT, which cannot be compared (Msg 306), and every moment as a
DATETIME2, which there is none of; texts beyond the basic plane break its stream. So it is refused there.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import peewee

from ....errors import ConfigurationError
from ..version import ServerVersion
from .base import Adapter, as_number, checked_text

__all__ = ["PytdsAdapter"]

TDS_2008 = 0x730A0003
#: What it has numbers for, of the protocols that it is used with here.
PROTOCOLS = {"7.3": 0x730B0003, "7.4": 0x74000004}
#: It counts characters where the login wants UTF-16 units.
LAST_OF_BASIC_PLANE = 0xFFFF


class PytdsAdapter(Adapter):
    """python-tds 1.15 or newer."""

    module_name = "pytds"
    distribution = "python-tds"
    extra = "mssql-pytds"
    oldest = ServerVersion(10)
    oldest_reason = (
        "python-tds sends texts and moments to it as types that it cannot compare or does not have"
    )
    mark = "%s"

    def open(self, database: str, settings: Mapping[str, Any], *, read_only: bool) -> Any:
        options = dict(settings)
        for key, value in {**options, "database": database}.items():
            if any(ord(char) > LAST_OF_BASIC_PLANE for char in str(value)):
                raise ConfigurationError(
                    f"{self.scheme}://: python-tds cannot send the {key}, which has a character beyond "
                    "U+FFFF; use mssql+pymssql://"
                )
        if "tds_version" in options:
            wanted = str(options["tds_version"])
            if wanted not in PROTOCOLS:
                raise ConfigurationError(
                    f"{self.scheme}://: tds_version {wanted!r} is none of {', '.join(PROTOCOLS)}"
                )
            options["tds_version"] = PROTOCOLS[wanted]
        if "query_timeout" in options:
            options["timeout"] = float(options.pop("query_timeout"))
        options["dsn"] = options.pop("host", None) or "localhost"
        # It gives no answer a name of its own when it cannot read what an old server says.
        try:
            raw = self.module.connect(
                database=database,
                autocommit=True,
                bytes_to_unicode=True,
                disable_connect_retry=True,
                readonly=read_only,
                **options,
            )
        except self.module.tds_base.InterfaceError as error:
            if "Invalid TDS marker" in str(error):
                raise ConfigurationError(
                    f"{self.scheme}:// cannot read the server's answer to the login, as with a server before "
                    f"SQL Server 2005: {self.oldest_reason}. Use mssql+pymssql://."
                ) from error
            raise
        if raw.tds_version < TDS_2008:
            raw.close()
            self.check_version(ServerVersion(9))
        return raw

    def piece(self, sql: str) -> str:
        return sql.replace("%", "%%")

    def execute(self, cursor: Any, sql: str, parameters: Any) -> None:
        cursor.execute(sql, tuple(parameters) if parameters else None)

    def to_driver(self, value: Any, version: ServerVersion) -> Any:
        if isinstance(value, str):
            return checked_text(str(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self.module.Binary(bytes(value))
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return as_number(int(value))
        if (isinstance(value, float) and value in (float("inf"), float("-inf"))) or value != value:
            raise peewee.DataError(f"SQL Server has no value {value!r} of the type FLOAT")
        if isinstance(value, Decimal) and not value.is_finite():
            raise peewee.DataError(f"SQL Server has no value {value} of the type DECIMAL")
        if isinstance(value, datetime.time) and value.tzinfo is not None:
            raise peewee.DataError(
                "SQL Server has no type for a time with a time zone; take the zone off first"
            )
        return value

    def number_and_text(self, error: BaseException) -> tuple[int | None, str]:
        number = getattr(error, "number", 0) or getattr(error, "msg_no", 0)
        return number or None, str(getattr(error, "text", "") or error)

    def is_dead(self, error: BaseException) -> bool:
        if isinstance(error, (OSError, EOFError)):
            return True
        tds = self.module.tds_base
        if isinstance(error, (tds.ClosedConnectionError, tds.InterfaceError)):
            return True
        return isinstance(error, tds.OperationalError) and not getattr(error, "number", 0)
