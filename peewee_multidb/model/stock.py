"""Peewee as it is, for the parts that its type stubs leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee

__all__ = ["Mixin", "stock"]

#: The module ``peewee``, without types.
stock: Any = peewee

# A class that is put in front of one of Peewee's: whatever it does not have, that one has.
if TYPE_CHECKING:
    Mixin = Any
else:
    Mixin = object
