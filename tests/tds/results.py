"""What running a batch gives, one after the other; `server` puts each on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .messages import TsqlError
from .types import Type

__all__ = ["Count", "DatabaseChanged", "Failed", "Result", "Rows", "TransactionChanged"]


@dataclass
class Rows:
    """A result set; `values` are what `types.encode` takes."""

    names: Sequence[str]
    kinds: Sequence[Type]
    values: Sequence[Sequence[Any]]


@dataclass
class Count:
    """How many rows a statement changed; None where it is not told (SET NOCOUNT ON, DDL).

    Attributes:
        command: what the wire calls the kind of statement; some drivers look at it.
    """

    count: int | None
    command: int = 0xC1


@dataclass
class Failed:
    """An error; the batch may go on after it."""

    error: TsqlError


@dataclass
class TransactionChanged:
    """A transaction began, was committed or rolled back."""

    kind: str


@dataclass
class DatabaseChanged:
    """USE."""

    new: str
    old: str


Result = Rows | Count | Failed | TransactionChanged | DatabaseChanged
