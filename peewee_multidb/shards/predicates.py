"""What a condition says of shard keys.

A condition is read into alternatives: one of them must hold for a row that the condition admits, and each
says which values some fields may have. What is not understood is left out, which admits more; so the
alternatives never admit less than the condition, and the shards that they leave have every row.

Texts are compared by equality alone: which of two comes first is for the database's collation to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from peewee import OP

from ..errors import InvalidShardKey
from .stock import stock
from .values import is_value, python_value

__all__ = ["ANYTHING", "Allowed", "Alternatives", "Reader", "both", "either"]

#: More alternatives than this are not kept apart.
MOST = 256


class Allowed(NamedTuple):
    """The values that a field may have.

    Attributes:
        values: exactly these, in no particular order; None when it is a range.
        low: the lowest, included, or None for an open end.
        high: the highest, included, or None for an open end.
    """

    values: tuple[Any, ...] | None
    low: Any = None
    high: Any = None


#: For each slot that something is known about, what it may hold.
Box = dict[Any, Allowed]
Alternatives = list[Box]

#: What a condition says that says nothing.
ANYTHING: Alternatives = [{}]


class Slot(NamedTuple):
    """What a resolver makes of a node: which slot it is, and what its values are read as."""

    slot: Any
    field: Any
    #: Instead of the field: returns what a value stands for, or None when that is not known.
    read: Callable[[Any], Any] | None = None


def both(left: Alternatives, right: Alternatives) -> Alternatives:
    """Return the alternatives that are left when two conditions hold."""
    if left == ANYTHING or left is right:
        return right
    if right == ANYTHING:
        return left
    if len(left) * len(right) > MOST:
        return min(left, right, key=len)
    found = []
    for one in left:
        for other in right:
            box = _meet(one, other)
            if box is not None:
                found.append(box)
    return found


def either(left: Alternatives, right: Alternatives) -> Alternatives:
    """Return the alternatives that there are when one of two conditions holds."""
    if left == ANYTHING or right == ANYTHING:
        return ANYTHING
    if len(left) == len(right) == 1 and left[0].keys() == right[0].keys() and len(left[0]) == 1:
        # A chain of key == a OR key == b OR ... stays one alternative.
        ((slot, one),) = left[0].items()
        other = right[0][slot]
        if one.values is not None and other.values is not None:
            return [{slot: Allowed((*one.values, *other.values))}]
    found = [*left, *right]
    return found if len(found) <= MOST else ANYTHING


def _meet(left: Box, right: Box) -> Box | None:
    box = dict(left)
    for slot, other in right.items():
        mine = box.get(slot)
        met = other if mine is None else _common(mine, other)
        if met is None:
            return None
        box[slot] = met
    return box


def _common(one: Allowed, other: Allowed) -> Allowed | None:
    if one.values is None and other.values is None:
        low, high = _later(one.low, other.low), _earlier(one.high, other.high)
        return None if _precedes(high, low) else Allowed(None, low, high)
    if one.values is None:
        one, other = other, one
    values = one.values or ()
    if other.values is not None:
        kept = [value for value in values if value in other.values]
    else:
        kept = [v for v in values if not _precedes(v, other.low) and not _precedes(other.high, v)]
    return Allowed(tuple(kept)) if kept else None


def _precedes(one: Any, other: Any) -> bool:
    """Whether one value certainly comes before another."""
    try:
        return one is not None and other is not None and bool(one < other)
    except TypeError:
        return False


def _later(one: Any, other: Any) -> Any:
    return other if one is None or _precedes(one, other) else one


def _earlier(one: Any, other: Any) -> Any:
    return other if one is None or _precedes(other, one) else one


_FLIPPED = {OP.LT: OP.GT, OP.LTE: OP.GTE, OP.GT: OP.LT, OP.GTE: OP.LTE, OP.EQ: OP.EQ, OP.IS: OP.IS}
_NEGATED = {
    OP.NE: OP.EQ,
    OP.IS_NOT: OP.IS,
    OP.NOT_IN: OP.IN,
    OP.LT: OP.GTE,
    OP.LTE: OP.GT,
    OP.GT: OP.LTE,
    OP.GTE: OP.LT,
}


class Reader:
    """Reads conditions.

    Args:
        resolve: returns the slot of a field or column, or None when it is of no interest.

    Attributes:
        is_plain: whether all that was read was plain: comparisons of fields with values, AND, OR, NOT. What
            is not plain may hold a query.
    """

    def __init__(self, resolve: Callable[[Any], Slot | None]) -> None:
        self._resolve = resolve
        self.is_plain = True

    def read(self, node: Any, holds: bool = True) -> Alternatives:
        """Return the alternatives that a condition leaves.

        Args:
            node: the condition.
            holds: False for its negation.
        """
        if isinstance(node, stock.Negated):
            return self.read(node.node, not holds)
        if not isinstance(node, stock.Expression):
            if isinstance(node, stock.Node) and not isinstance(node, stock.Value):
                self.is_plain = False
            return ANYTHING
        op = node.op
        if op == OP.AND or op == OP.OR:
            left, right = self.read(node.lhs, holds), self.read(node.rhs, holds)
            return both(left, right) if (op == OP.AND) == holds else either(left, right)
        return self._comparison(node.lhs, op, node.rhs, holds)

    def _comparison(self, left: Any, op: str, right: Any, holds: bool) -> Alternatives:
        slot = self._slot(left)
        if op == OP.BETWEEN:
            return self._between(slot, right, holds)
        if slot is None and is_value(left):
            # Nothing but a comparison of a field with a value can be turned round.
            other = self._slot(right)
            if other is not None and op in _FLIPPED:
                slot, right, op = other, left, _FLIPPED[op]
        if op == OP.IN or op == OP.NOT_IN:
            return self._member(slot, right) if (op == OP.IN) == holds else self._seen(right)
        if not holds:
            op = _NEGATED.get(op, "")
        if not is_value(right):
            self._slot(right)
            return ANYTHING
        if slot is None or right is None:
            return ANYTHING
        if op == OP.EQ or op == OP.IS:
            return self._equal(slot, [right])
        if op == OP.GT or op == OP.GTE:
            return self._range(slot, right, None)
        if op == OP.LT or op == OP.LTE:
            return self._range(slot, None, right)
        return ANYTHING

    def _slot(self, node: Any) -> Slot | None:
        if isinstance(node, (stock.Field, stock.Column)):
            return self._resolve(node)
        self._strange(node)
        return None

    def _strange(self, node: Any) -> None:
        if not is_value(node):
            self.is_plain = False

    def _seen(self, rows: Any) -> Alternatives:
        for one in rows if isinstance(rows, (list, tuple, set, frozenset)) else (rows,):
            self._strange(one)
        return ANYTHING

    def _member(self, slot: Slot | None, rows: Any) -> Alternatives:
        if isinstance(rows, stock.Value) and rows.multi:
            rows = rows.values
        if not isinstance(rows, (list, tuple, set, frozenset, range)):
            return self._seen(rows)
        if not all(map(is_value, rows)):
            return self._seen(rows)
        return ANYTHING if slot is None else self._equal(slot, rows)

    def _equal(self, slot: Slot, values: Iterable[Any]) -> Alternatives:
        read = slot.read
        found = []
        for value in values:
            if value is None:
                continue  # NULL equals nothing
            try:
                known = python_value(slot.field, value) if read is None else read(value)
            except InvalidShardKey:
                known = None
            if known is None:
                return ANYTHING
            found.append(known)
        return [{slot.slot: Allowed(tuple(found))}] if found else []

    def _between(self, slot: Slot | None, bounds: Any, holds: bool) -> Alternatives:
        nodes: Any = getattr(bounds, "nodes", ())
        if len(nodes) != 3 or not (is_value(nodes[0]) and is_value(nodes[2])):
            self.is_plain = False
            return ANYTHING
        low, high = nodes[0], nodes[2]
        if slot is None or low is None or high is None:
            return ANYTHING
        if holds:
            return self._range(slot, low, high)
        return either(self._range(slot, None, low), self._range(slot, high, None))

    def _range(self, slot: Slot, low: Any, high: Any) -> Alternatives:
        if slot.read is not None:
            return ANYTHING
        try:
            bounds = [None if one is None else python_value(slot.field, one) for one in (low, high)]
        except InvalidShardKey:
            return ANYTHING
        if any(isinstance(one, str) for one in bounds) or bounds == [None, None]:
            return ANYTHING
        if _precedes(bounds[1], bounds[0]):
            return []
        return [{slot.slot: Allowed(None, *bounds)}]
