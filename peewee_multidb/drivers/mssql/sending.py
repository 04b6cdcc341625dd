"""Values that Peewee's own fields write in a form that SQL Server does not read."""

from __future__ import annotations

import uuid
from typing import Any

import peewee

__all__ = ["sent"]

HEX_DIGITS = 32


def sent(value: Any, converter: Any) -> Any:
    """Return what is sent for a value that a field has converted.

    A UUIDField gives 32 digits without dashes, which SQL Server does not take for a UNIQUEIDENTIFIER
    (Msg 8169).

    Args:
        value: what came out of the converter.
        converter: the field's ``db_value``, most of the time.
    """
    if not isinstance(value, str) or len(value) != HEX_DIGITS:
        return value
    field = getattr(converter, "__self__", None)
    return uuid.UUID(value) if isinstance(field, peewee.UUIDField) else value
