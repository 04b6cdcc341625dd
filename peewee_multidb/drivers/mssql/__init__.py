"""SQL Server 2000 to 2025, by `MSSQLDatabase`: Peewee has no backend for it, so this package is one.

The version decides what SQL is written; see `version`. Nothing of Peewee is replaced: a query is written
by the context class of its own database, and every other database in the process goes on as before.
"""

from __future__ import annotations

from .database import MSSQLDatabase
from .driver import MSSQLDriver, PooledMSSQLDatabase
from .fields import (
    CharField,
    FixedCharField,
    LegacyDateTimeField,
    MoneyField,
    RowVersionField,
    SmallMoneyField,
    TextField,
    VarBinaryField,
    VarCharField,
    XMLField,
)
from .version import ServerVersion

__all__ = [
    "CharField",
    "FixedCharField",
    "LegacyDateTimeField",
    "MSSQLDatabase",
    "MSSQLDriver",
    "MoneyField",
    "PooledMSSQLDatabase",
    "RowVersionField",
    "ServerVersion",
    "SmallMoneyField",
    "TextField",
    "VarBinaryField",
    "VarCharField",
    "XMLField",
]
