"""The part of the Database class that decides what SQL is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee

# Each of these registers what it writes.
from . import (  # noqa: F401
    casts,
    changes,
    compounds,
    functions,
    inserts,
    json,
    lists,
    names,
    selects,
    sources,
    texts,
)
from .batches import run
from .context import MSSQLContext, write_query
from .dates import DatePart, FromTimestamp, ToTimestamp, Truncated
from .stock import stock
from .version import ServerVersion

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Dialect", "types_for"]

_TYPES = {
    "AUTO": "INT IDENTITY(1,1)",
    "BIGAUTO": "BIGINT IDENTITY(1,1)",
    "BIGINT": "BIGINT",
    "BLOB": "VARBINARY(MAX)",
    "BOOL": "BIT",
    "CHAR": "NCHAR",
    "DATE": "DATE",
    "DATETIME": "DATETIME2",
    "DECIMAL": "DECIMAL",
    "DOUBLE": "FLOAT(53)",
    "FLOAT": "FLOAT(53)",
    "INT": "INT",
    "JSON": "NVARCHAR(MAX)",
    "SMALLINT": "SMALLINT",
    "TEXT": "NVARCHAR(MAX)",
    "TIME": "TIME",
    "UUID": "UNIQUEIDENTIFIER",
    "UUIDB": "VARBINARY(16)",
    "VARCHAR": "NVARCHAR",
}
_BEFORE_2008 = {"DATE": "DATETIME", "DATETIME": "DATETIME", "TIME": "DATETIME"}
_IN_2000 = {"BLOB": "IMAGE", "TEXT": "NTEXT", "JSON": "NTEXT"}
#: Types of columns that cannot be compared, sorted by or grouped by.
_LARGE = frozenset({"NTEXT", "IMAGE", "XML", "LEGACYTEXT"})


def types_for(version: ServerVersion) -> dict[str, str]:
    """Return the column types of a version, by Peewee's names for them."""
    types = dict(_TYPES)
    if version.major < 10:
        types.update(_BEFORE_2008)
    if version.major < 9:
        types.update(_IN_2000)
    return types


class Dialect(Base):
    """Mixin of `MSSQLDatabase`: everything about its SQL, none of which needs a server."""

    context_class = MSSQLContext
    quote = "[]"
    param = "?"
    json_methods = json.MSSQLJSONMethods
    compound_select_parentheses = stock.CSQ_PARENTHESES_GROUPED
    for_update = True
    returning_clause = True
    safe_create_index = True
    #: The most parameters of one statement: the server's 2100 less what sp_executesql takes for itself.
    max_params: int | None = 2050
    #: The most rows of one VALUES clause.
    max_rows = 1000
    server_version: Any

    def __init__(
        self,
        database: Any,
        *args: Any,
        server_version: Any = None,
        use_output: bool = True,
        like_collation: str = "Latin1_General_BIN",
        **kwargs: Any,
    ) -> None:
        self.server_version = None if server_version is None else ServerVersion.parse(server_version)
        self.use_output = use_output
        self.like_collation = like_collation
        self._own_types = dict(kwargs.get("field_types") or {})
        self._typed_for: ServerVersion | None = None
        self._large: frozenset[str] = frozenset()
        super().__init__(database, *args, **kwargs)
        if self.server_version is not None:
            self._learn_types(self.server_version)

    @property
    def version(self) -> ServerVersion:
        """The version that SQL is written for; the server is asked if nobody said."""
        if self.server_version is None:
            self.connect(reuse_if_open=True)
        version: ServerVersion = self.server_version
        return version

    def _learn_types(self, version: ServerVersion) -> None:
        types = {**stock.FIELD, **types_for(version), **self._own_types}
        self._field_types = stock.attrdict(types)
        large = {name for name, kind in types.items() if kind.upper() in _LARGE}
        self._large = frozenset(large | _LARGE)
        self._typed_for = version

    def get_context_options(self) -> dict[str, Any]:
        version = self.version
        if self._typed_for != version:
            self._learn_types(version)
        return {
            "field_types": self._field_types,
            "operations": self._operations,  # type: ignore[attr-defined]
            "param": self.param,
            "quote": self.quote,
            "compound_select_parentheses": self.compound_select_parentheses,
            "conflict_statement": self.conflict_statement,
            "conflict_update": self.conflict_update,
            "for_update": self.for_update,
            "dialect": self,
            "version": version,
            "large": self._large,
            "write_query": write_query,
        }

    def get_sql_context(self, **context_options: Any) -> MSSQLContext:
        options = self.get_context_options()
        if context_options:
            options.update(context_options)
        return self.context_class(**options)

    def execute(self, query: Any, **context_options: Any) -> Any:
        """Compile and run a query; a bulk insert in as many statements as it needs, all or none."""
        return run(self, query, context_options)

    def last_insert_id(self, cursor: Any, query_type: Any = None) -> Any:
        """Return the key of the new row; of several, SQL Server 2000 knows the last, and later ones all."""
        if query_type != stock.Insert.SIMPLE and self.version.major < 9:
            query_type = stock.Insert.SIMPLE
        return super().last_insert_id(cursor, query_type)  # type: ignore[no-untyped-call]

    # The context writes ON CONFLICT itself; what is left of these two is that they tell whose context it is.

    def conflict_statement(self, on_conflict: Any, query: Any) -> Any:
        return None

    def conflict_update(self, on_conflict: Any, query: Any) -> Any:
        return None

    def extract_date(self, date_part: str, date_field: Any) -> Any:
        return DatePart(date_part, date_field)

    def truncate_date(self, date_part: str, date_field: Any) -> Any:
        return Truncated(date_part, date_field)

    def to_timestamp(self, date_field: Any) -> Any:
        return ToTimestamp(date_field)

    def from_timestamp(self, date_field: Any) -> Any:
        return FromTimestamp(date_field)

    def get_binary_type(self) -> type[bytes]:
        """What a `BlobField` hands over; the adapters take it from there."""
        return bytes

    def random(self) -> Any:
        return stock.fn.NEWID()

    def get_noop_select(self, ctx: Any) -> Any:
        return ctx.literal("SELECT 0 AS [_c1] WHERE 1 = 0")

    def default_values_insert(self, ctx: Any) -> Any:
        return ctx.literal("DEFAULT VALUES")
