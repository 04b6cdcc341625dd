"""What a database contains: tables, views, columns, keys and indexes, from the catalog of its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import peewee

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Introspection"]


class Introspection(Base):
    """Mixin of `MSSQLDatabase`: reads the catalog."""
