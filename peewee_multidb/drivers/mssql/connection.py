"""What happens on a connection: opening it, its session settings, transactions, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import peewee

if TYPE_CHECKING:
    Base = peewee.Database
else:
    Base = object

__all__ = ["Connection"]


class Connection(Base):
    """Mixin of `MSSQLDatabase`: all that needs a server."""
