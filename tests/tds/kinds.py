"""The types of numbers, and of what becomes of two of them."""

from __future__ import annotations

from .types import Type
from .values import MONEY, RANGES

__all__ = ["kind_of_arithmetic", "kind_of_number"]


def kind_of_number(text: str) -> Type:
    """The type of a number by the way it is written."""
    if "e" in text.lower():
        return Type("float")
    if text.isdigit() and int(text) < 2**63:
        return Type("int") if int(text) < 2**31 else Type("bigint")
    whole, _, fraction = text.partition(".")
    return Type("decimal", max(len(whole.lstrip("0")) + len(fraction), 1), len(fraction))


def kind_of_arithmetic(left: Type | None, right: Type | None) -> Type | None:
    if left is None or right is None:
        return None
    names = {left.name, right.name}
    if names <= RANGES.keys() | {"bit"}:
        return max((left, right), key=lambda kind: RANGES.get(kind.name, (0, 0))[1])
    if names & {"float", "real"} and names <= RANGES.keys() | {"float", "real", "decimal", *MONEY}:
        return Type("float")
    if names <= RANGES.keys() | {"decimal"}:
        return Type("decimal", 38, max(left.scale, right.scale))
    if names <= RANGES.keys() | MONEY.keys():
        return Type("money")
    return None
