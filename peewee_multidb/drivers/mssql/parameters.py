"""Parameters that SQL Server is told the type of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee

from .context import MSSQLContext

__all__ = ["Parameter"]


class Parameter(peewee.Node):
    """A value that is cast on SQL Server, and that other engines get as it is.

    Args:
        value: what the driver is given.
        type_of: gives the name of the type, for the context of the statement and the value.
    """

    def __init__(self, value: Any, type_of: Callable[[MSSQLContext, Any], str]) -> None:
        self.value = value
        self._type_of = type_of

    def holding(self, value: Any) -> Parameter:
        """Return such a parameter with another value."""
        return Parameter(value, self._type_of)

    def __sql__(self, ctx: Any) -> Any:
        if not isinstance(ctx, MSSQLContext):
            return ctx.value(self.value, False)
        kind = self._type_of(ctx, self.value)
        ctx.literal("CAST(")
        ctx.value(self.value, False)
        return ctx.literal(f" AS {kind})")
