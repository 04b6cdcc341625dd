"""What a session answers when a statement asks about it: @@ variables and functions that know the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import properties
from .catalog import Column, physical
from .messages import TsqlError
from .types import Type

if TYPE_CHECKING:
    from .execute import Session

    Base = Session
else:
    Base = object

__all__ = ["Answers"]


class Answers(Base):
    """Mixin of `Session`."""

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return the functions that know the session, by SQLite's names for them."""
        return {
            "tds_global": self._global,
            "tds_scope_identity": lambda: self.identity,
            "tds_xact_state": lambda: -1 if self.server.doomed else int(self.transactions > 0),
            "tds_object_id": self._object_id,
            "tds_serverproperty": self._server_property,
            "tds_columnproperty": self._column_property,
            "tds_indexproperty": lambda *given: properties.index_property(self, *given),
            "tds_indexkey_property": lambda *given: properties.index_key_property(self, *given),
            "tds_objectproperty": lambda *given: properties.object_property(self, *given),
            "tds_schema_name": lambda *_: "dbo",
            "tds_db_name": lambda *_: self.database,
            "tds_db_id": lambda *_: 5,
            "tds_suser_sname": lambda *_: self.user,
            "tds_user_name": lambda *_: "dbo",
            "tds_ident_current": self._ident_current,
            "tds_isnumeric": lambda value: int(str(value).replace(".", "", 1).lstrip("-").isdigit()),
            "tds_rowversion": self.next_rowversion,
            "tds_object_name": lambda number: properties.name_of_object(self, number),
            "tds_col_name": lambda number, column: properties.name_of_column(self, number, column),
            "tds_databasepropertyex": lambda name, what: "SQL_Latin1_General_CP1_CI_AS",
            "tds_error_number": lambda: self.last_error,
        }

    def _parameter_kind(self, name: str) -> Type | None:
        found = self.parameters.get("@" + name.lower())
        return found[0] if found else None

    def _global(self, name: str) -> Any:
        version = ".".join(map(str, self.server.version))
        found: dict[str, Callable[[], Any]] = {
            "TRANCOUNT": lambda: self.transactions,
            "ROWCOUNT": lambda: self.rowcount,
            "ERROR": lambda: self.last_error,
            "IDENTITY": lambda: self.identity,
            "VERSION": lambda: (
                f"Microsoft SQL Server {self.server.product} - {version}.0 (X64) a test server"
            ),
            "SPID": lambda: 51,
            "SERVERNAME": lambda: "test",
            "DATEFIRST": lambda: int(self.options.get("DATEFIRST", 7)),
            "LANGUAGE": lambda: "us_english",
            "OPTIONS": lambda: 5496,
            "MAX_PRECISION": lambda: 38,
            "DBTS": lambda: self.store.rowversion.to_bytes(8, "big"),
        }
        if name not in found:
            raise TsqlError(137, f'Must declare the scalar variable "@@{name}".')
        return found[name]()

    def _object_id(self, name: str, kind: str | None = None) -> int | None:
        return properties.object_id(self, name, kind)

    def _server_property(self, name: str) -> Any:
        major, minor, build = self.server.version
        return {
            "productversion": f"{major}.{minor:02}.{build}.0"
            if major >= 10 and minor
            else f"{major}.{minor}.{build}.0",
            "engineedition": 3,
            "edition": "Developer Edition (64-bit)",
            "productlevel": "RTM",
            "collation": "SQL_Latin1_General_CP1_CI_AS",
        }.get(str(name).lower())

    def _column_property(self, table: int, column: str, name: str) -> int | None:
        return properties.column_property(self, table, column, name)

    def _ident_current(self, name: str) -> int | None:
        return self.store.current_identity(physical("dbo", str(name).strip("[]").split(".")[-1].strip("[]")))

    def _view_columns(self, sql: str, names: list[str]) -> list[Column]:
        query = self.translator.query(sql)
        cursor = self.execute(f"SELECT * FROM ({query.sql}) LIMIT 0")
        own = names or query.names or [item[0] for item in cursor.description]
        kinds = query.kinds if len(query.kinds) == len(own) else [None] * len(own)
        return [Column(name, str(kind or "nvarchar(4000)")) for name, kind in zip(own, kinds, strict=True)]
