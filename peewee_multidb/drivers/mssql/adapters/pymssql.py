"""pymssql, on FreeTDS's DB-Library: the default, and the one that reaches SQL Server 2000.

It has no parameters on the wire: it writes values into the statement itself, by a rule that replaces ``%s``
and ``%d`` inside of strings too, sends ASCII bytes as text, and cuts moments to milliseconds. So the
literals are written here, and it is handed finished statements.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .. import placeholders
from ..version import ServerVersion
from .base import Adapter
from .literals import literal

__all__ = ["PymssqlAdapter"]

#: DB-Library: connection dead, write failed, EOF, not connected, timed out.
DEAD = {20002, 20003, 20004, 20006, 20017, 20047, 20056}
LOGIN_FAILED = 18456
DB_LIB = re.compile(r"DB-Lib error message \d+, severity \d+:.*", re.DOTALL)


class PymssqlAdapter(Adapter):
    """pymssql 2.2 or newer."""

    module_name = "pymssql"
    distribution = "pymssql"
    extra = "mssql"
    max_params = None

    def open(self, database: str, settings: Mapping[str, Any], *, read_only: bool) -> Any:
        options = dict(settings)
        options["server"] = options.pop("host", None) or "localhost"
        if "port" in options:
            options["port"] = str(options["port"])
        if "tds_version" in options:
            options["tds_version"] = str(options["tds_version"])  # a URL gives a number
        if "query_timeout" in options:
            options["timeout"] = int(options.pop("query_timeout"))
        options.setdefault("login_timeout", 15)
        options.setdefault("charset", "UTF-8")
        if read_only:
            options.setdefault("read_only", True)
        return self.module.connect(database=database, autocommit=True, **options)

    def prepare(
        self, sql: str, parameters: Sequence[Any], version: ServerVersion
    ) -> tuple[str, Sequence[Any]]:
        if not parameters:
            return sql, ()
        pieces = placeholders.parts(sql, parameters)
        out = [pieces[0]]
        for value, piece in zip(parameters, pieces[1:], strict=True):
            out.append(literal(value, version))
            out.append(piece)
        return "".join(out), ()

    def execute(self, cursor: Any, sql: str, parameters: Sequence[Any]) -> None:
        cursor.execute(sql)

    def number_and_text(self, error: BaseException) -> tuple[int | None, str]:
        found: Any = error.args
        while len(found) == 1 and isinstance(found[0], tuple):
            found = found[0]
        if len(found) < 2 or not isinstance(found[0], int):
            return None, str(error)
        text = found[1].decode("utf-8", "replace") if isinstance(found[1], bytes) else str(found[1])
        shown = DB_LIB.sub("", text).strip()
        if not shown and found[0] == LOGIN_FAILED:
            shown = "Login failed: the user, the password or the database"  # all that FreeTDS lets through
        return found[0], shown or text.strip()

    def is_dead(self, error: BaseException) -> bool:
        number, text = self.number_and_text(error)
        if number in DEAD or "not connected" in text.lower() or "dbprocess is dead" in text.lower():
            return True
        return "Connection is closed" in text or "EOF from the server" in text
