"""Peewee as it is, for the parts that its type stubs leave out."""

from __future__ import annotations

from typing import Any

import peewee

__all__ = ["COLUMN", "CTE_SCOPE", "NORMAL", "SOURCE", "VALUES", "stock"]

#: The module ``peewee``, without types.
stock: Any = peewee

NORMAL: int = stock.SCOPE_NORMAL
SOURCE: int = stock.SCOPE_SOURCE
VALUES: int = stock.SCOPE_VALUES
CTE_SCOPE: int = stock.SCOPE_CTE
COLUMN: int = stock.SCOPE_COLUMN
