"""The SQL context: writes each node of a query in T-SQL, for the version of its database."""

from __future__ import annotations

import peewee

__all__ = ["MSSQLContext"]


class MSSQLContext(peewee.Context):
    """Writes T-SQL."""
