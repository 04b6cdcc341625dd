"""pyodbc, with FreeTDS's ODBC driver or one of Microsoft's.

FreeTDS reaches every version. Microsoft's drivers 17 and 18 serve SQL Server 2012 and later, 18 encrypts
unless told not to. Which one is used is the option ``driver``, or the newest that is installed.
"""

from __future__ import annotations

import datetime
import re
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import peewee

from ....errors import ConfigurationError
from ..version import ServerVersion
from .base import SQL2008, Adapter, as_number, as_uuid, checked_text, early_as_text, early_cast

__all__ = ["PyodbcAdapter", "connection_string"]

MICROSOFT = re.compile(r"ODBC Driver (\d+) for SQL Server\Z")
NUMBER = re.compile(r"\((-?\d+)\)(?: \(SQL\w+\))?(?:;|\Z)")
PREFIX = re.compile(r"\A(?:\[[^\]]*\]\s*)+")
#: After a timeout, too: what the server answers later would be taken for the next result.
DEAD_STATES = {"08S01", "08003", "08007", "01002", "HYT00", "HYT01"}
UNIQUEIDENTIFIER, DATETIMEOFFSET = -11, -155


class PyodbcAdapter(Adapter):
    """pyodbc 5 or newer."""

    module_name = "pyodbc"
    distribution = "pyodbc"
    extra = "mssql-pyodbc"

    def __init__(self, scheme: str) -> None:
        super().__init__(scheme)
        # The driver manager's pool hands out connections with the session of whoever had them before.
        self.module.pooling = False

    def open(self, database: str, settings: Mapping[str, Any], *, read_only: bool) -> Any:
        options = dict(settings)
        timeout = int(options.pop("query_timeout", 0) or 0)
        login_timeout = int(options.pop("login_timeout", 15))
        driver = self.driver(options.pop("driver", None))
        pairs = address_pairs(driver, database, options)
        if read_only:
            pairs["ApplicationIntent"] = "ReadOnly"
        raw = self.module.connect(connection_string(pairs), autocommit=True, timeout=login_timeout)
        raw.timeout = timeout
        raw.add_output_converter(UNIQUEIDENTIFIER, as_uuid)
        raw.add_output_converter(DATETIMEOFFSET, _with_offset)
        return raw

    def driver(self, wanted: str | None) -> str:
        """Return the name or the path of the ODBC driver to use.

        Args:
            wanted: what the settings say: a name, or the path of a shared library.

        Raises:
            ConfigurationError: it is not installed, or there is none for SQL Server; with those there are.
        """
        installed = [str(name) for name in self.module.drivers()]
        shown = (
            f"installed are: {', '.join(installed)}" if installed else "no ODBC driver is installed at all"
        )
        if wanted is not None:
            if wanted in installed or "/" in wanted or "\\" in wanted:
                return wanted
            raise ConfigurationError(f"{self.scheme}://: there is no ODBC driver {wanted!r}; {shown}")
        of_microsoft = {int(match[1]): name for name in installed if (match := MICROSOFT.match(name))}
        if of_microsoft:
            return of_microsoft[max(of_microsoft)]
        for name in installed:
            if "freetds" in name.lower() or name == "SQL Server":
                return name
        raise ConfigurationError(
            f"{self.scheme}:// needs an ODBC driver for SQL Server; {shown}. "
            "On Debian: apt-get install tdsodbc"
        )

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
        return _moment(value, version)

    def marked(self, value: Any, version: ServerVersion) -> str:
        kind = early_cast(value)
        if isinstance(value, datetime.datetime) and value.tzinfo is not None:
            kind = "DATETIMEOFFSET(6)"
        elif isinstance(value, datetime.time) and value.microsecond and version >= SQL2008:
            kind = "TIME(6)"
        return self.mark if kind is None else f"CAST({self.mark} AS {kind})"

    def number_and_text(self, error: BaseException) -> tuple[int | None, str]:
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        # One error may stand for several messages; the first is the cause.
        first = NUMBER.search(text)
        number = int(first[1]) if first and int(first[1]) > 0 else None
        shown = PREFIX.sub("", text[: first.start()] if first else text).strip()
        return number, shown or text

    def is_dead(self, error: BaseException) -> bool:
        state = str(error.args[0]) if error.args else ""
        text = str(error)
        if state in DEAD_STATES or "closed connection" in text or "Communication link failure" in text:
            return True
        # FreeTDS has no better word for a connection that was reset.
        return state == "HY000" and self.number_and_text(error)[0] is None


def address_pairs(driver: str, database: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return the keywords of an ODBC connection string.

    Args:
        driver: a name or a path.
        database: its name.
        options: user, password, host, port, and any keywords of the driver's own.
    """
    rest = dict(options)
    host, port = rest.pop("host", None) or "localhost", rest.pop("port", None)
    pairs = {"DRIVER": driver}
    if "freetds" in driver.lower() or "tdsodbc" in driver.lower():
        pairs |= {"SERVER": host, "PORT": str(port or 1433), "ClientCharset": "UTF-8"}
        pairs["TDS_Version"] = str(rest.pop("tds_version", "auto"))
    else:
        pairs["SERVER"] = f"{host},{port}" if port else host
    pairs["DATABASE"] = database
    for key, name in (("user", "UID"), ("password", "PWD")):
        if (value := rest.pop(key, None)) is not None:
            pairs[name] = str(value)
    for key, value in rest.items():
        pairs[key] = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    return pairs


def connection_string(pairs: Mapping[str, str]) -> str:
    """Return an ODBC connection string; values with special characters are put in braces.

    FreeTDS takes a brace that is followed by a semicolon for the end, and knows no way to write these two;
    the others want a closing brace to be doubled.

    Raises:
        ConfigurationError: a keyword or a value cannot be written.
    """
    is_freetds = "PORT" in pairs
    out = []
    for key, value in pairs.items():
        is_written = "\0" not in value and not (is_freetds and "};" in value)
        if not is_written or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ ]*", key):
            raise ConfigurationError(f"the ODBC option {key!r} cannot be written into a connection string")
        if re.search(r"[\[\]{}(),;?*=!@\s]", value) or key == "DRIVER":
            value = "{" + (value if is_freetds else value.replace("}", "}}")) + "}"
        out.append(f"{key}={value};")
    return "".join(out)


def _moment(value: Any, version: ServerVersion) -> Any:
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            if version < SQL2008:
                raise peewee.DataError(
                    f"{version.name} has no type for a datetime with a time zone; "
                    "convert it to one zone first"
                )
            return value.isoformat(" ", "microseconds")  # a text that DATETIMEOFFSET reads
        if version < SQL2008:
            value = value.replace(microsecond=value.microsecond // 1000 * 1000)
        return early_as_text(value, version)
    if isinstance(value, datetime.date):
        if version < SQL2008:
            return _moment(datetime.datetime(value.year, value.month, value.day), version)
        return early_as_text(value, version)
    if isinstance(value, datetime.time):
        if value.tzinfo is not None:
            raise peewee.DataError(
                "SQL Server has no type for a time with a time zone; take the zone off first"
            )
        if version < SQL2008:
            # Sent as a time, it would arrive with the date of today.
            return datetime.datetime.combine(datetime.date(1900, 1, 1), value).replace(
                microsecond=value.microsecond // 1000 * 1000
            )
        # pyodbc binds a time without its fraction.
        return value.isoformat("microseconds") if value.microsecond else value
    return value


def _with_offset(raw: bytes) -> datetime.datetime:
    """Read SQL_SS_TIMESTAMPOFFSET_STRUCT, for which pyodbc has no type."""
    year, month, day, hour, minute, second, nano, offset_hour, offset_minute = struct.unpack("<6hI2h", raw)
    zone = datetime.timezone(datetime.timedelta(hours=offset_hour, minutes=offset_minute))
    return datetime.datetime(year, month, day, hour, minute, second, nano // 1000, zone)
