"""Peewee as it is, for the parts that its type stubs leave out."""

from __future__ import annotations

from typing import Any

import peewee

__all__ = ["stock"]

#: The module ``peewee``, without types.
stock: Any = peewee
