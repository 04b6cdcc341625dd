"""The part of the Database class that decides what SQL is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee

from .context import MSSQLContext
from .version import ServerVersion

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Dialect"]


class Dialect(Base):
    """Mixin of `MSSQLDatabase`: everything about its SQL, none of which needs a server."""

    context_class = MSSQLContext
    quote = "[]"
    param = "?"
    #: What becomes of a percent sign in SQL text: ``keep``, ``double`` (the module formats with %), or
    #: ``split`` (the module replaces %s and %d even inside literals, and knows no way to write them).
    quote_percent = "keep"
    for_update = True
    returning_clause = True
    safe_create_index = True
    #: The most parameters of one statement: the server's 2100 less what sp_executesql takes for itself.
    max_params = 2050
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
        super().__init__(database, *args, **kwargs)  # type: ignore[no-untyped-call]

    @property
    def version(self) -> ServerVersion:
        """The version that SQL is written for; the server is asked if nobody said."""
        if self.server_version is None:
            self.connect(reuse_if_open=True)  # type: ignore[no-untyped-call]
        version: ServerVersion = self.server_version
        return version
