"""Expressions over aggregates, calculated here after the merge.

Only what every engine agrees on, or what is done here as the engine does it, is calculated; the rest is
refused.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from ...shards.division import EXACT, divide_postgresql
from ..stock import stock
from .nodes import plain
from .refusals import refused

__all__ = ["Evaluator", "Values", "calculation", "is_true"]

#: The first row of a group, and the group's aggregates.
Values = tuple[Sequence[Any], Sequence[Any]]
Evaluator = Callable[[Values], Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Decimal, Decimal], Decimal]]] = {
    "+": (operator.add, EXACT.add),
    "-": (operator.sub, EXACT.subtract),
    "*": (operator.mul, EXACT.multiply),
}


def is_true(value: Any) -> bool:
    """Whether a condition holds; NULL does not."""
    return value is not None and bool(value)


def calculation(
    node: Any, inner: Callable[[Any], Evaluator | None], query: Any, engine: str, clause: str
) -> Evaluator:
    """Return what calculates an expression.

    Args:
        node: the expression.
        inner: returns what gives the value of a group key or an aggregate, None for anything else.
        query: for the message of a refusal.
        engine: of the shards.
        clause: where the expression stands.

    Raises:
        ScatterNotSupported: something in it cannot be calculated here.
    """
    return _Compiler(inner, query, engine, clause).compile(node)


class _Compiler:
    def __init__(
        self, inner: Callable[[Any], Evaluator | None], query: Any, engine: str, clause: str
    ) -> None:
        self._inner = inner
        self._query = query
        self._engine = engine
        self._clause = clause

    def compile(self, node: Any) -> Evaluator:
        node = plain(node)
        found = self._inner(node) if isinstance(node, stock.Node) else None
        if found is not None:
            return found
        if isinstance(node, stock.Expression):
            return self._expression(node)
        if isinstance(node, stock.Negated):
            operand = self.compile(node.node)
            return lambda values: _not(operand(values))
        if isinstance(node, stock.Value):
            node = node.value
        if isinstance(node, stock.SQL) and node.sql.strip().isdecimal():
            node = int(node.sql)
        if node is None or isinstance(node, (bool, int, float, Decimal)):
            if isinstance(node, Decimal) and self._engine == "sqlite":
                raise self._refused("a Decimal", "is text for SQLite", "Use a float or an int.")
            return lambda values: node
        raise self._refused(_label(node), "cannot be calculated from the parts of a group")

    def _refused(self, what: str, why: str, instead: str = "Calculate it in Python.") -> Exception:
        return refused(self._query, f"{what} in {self._clause}", why, instead)

    def _expression(self, node: Any) -> Evaluator:
        name = str(node.op)
        if name in ("AND", "OR"):
            one, two = self.compile(node.lhs), self.compile(node.rhs)
            return _and(one, two) if name == "AND" else _or(one, two)
        if name in ("IS", "IS NOT") and node.rhs is None:
            operand = self.compile(node.lhs)
            return lambda values: (operand(values) is None) == (name == "IS")
        if name in ("IN", "NOT IN") and isinstance(node.rhs, (list, tuple, set, frozenset)):
            tests = [self._compare("=", node.lhs, item) for item in node.rhs]
            found: Evaluator = lambda values: False  # noqa: E731 - the beginning of a chain
            for test in tests:
                found = _or(found, test)
            return found if name == "IN" else (lambda values: _not(found(values)))
        if name == "BETWEEN" and isinstance(node.rhs, stock.NodeList):
            low, _, high = node.rhs.nodes
            return _and(self._compare(">=", node.lhs, low), self._compare("<=", node.lhs, high))
        if name in _COMPARE:
            return self._compare(name, node.lhs, node.rhs)
        if name in _ARITHMETIC or (name == "/" and self._engine != "mysql"):
            return self._arithmetic(name, node)
        raise self._refused(f"the operator {name}", "is not calculated here")

    def _compare(self, name: str, left: Any, right: Any) -> Evaluator:
        one, two, compare = self.compile(left), self.compile(right), _COMPARE[name]

        def evaluate(values: Values) -> Any:
            a, b = one(values), two(values)
            if a is None or b is None:
                return None
            return compare(*self._numbers(a, b))

        return evaluate

    def _arithmetic(self, name: str, node: Any) -> Evaluator:
        one, two = self.compile(node.lhs), self.compile(node.rhs)
        plain_operator, exact = _ARITHMETIC.get(name, (None, None))

        def evaluate(values: Values) -> Any:
            a, b = one(values), two(values)
            if a is None or b is None:
                return None
            a, b = self._numbers(a, b)
            if plain_operator is None:
                return self._divide(a, b)
            if isinstance(a, Decimal) or isinstance(b, Decimal):
                return exact(Decimal(a), Decimal(b))  # type: ignore[misc]
            return plain_operator(a, b)

        return evaluate

    def _divide(self, a: Any, b: Any) -> Any:
        if not b:
            if self._engine == "sqlite":
                return None
            raise stock.DataError("division by zero")
        if isinstance(a, int) and isinstance(b, int):
            whole = abs(a) // abs(b)
            return whole if (a < 0) == (b < 0) else -whole
        if isinstance(a, float) or isinstance(b, float):
            return a / b
        return divide_postgresql(Decimal(a), Decimal(b))

    def _numbers(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Return two numbers as the engine compares them with each other."""
        for value in (a, b):
            if not isinstance(value, (int, float, Decimal)):
                raise self._refused(f"a {type(value).__name__}", "is compared by rules of the engine's own")
        if isinstance(a, float) != isinstance(b, float) and (
            self._engine != "sqlite" or isinstance(a, Decimal) or isinstance(b, Decimal)
        ):
            return float(a), float(b)
        return a, b


def _not(value: Any) -> Any:
    return None if value is None else not value


def _and(one: Evaluator, two: Evaluator) -> Evaluator:
    def evaluate(values: Values) -> Any:
        a = one(values)
        if a is not None and not a:
            return False
        b = two(values)
        if b is not None and not b:
            return False
        return None if a is None or b is None else True

    return evaluate


def _or(one: Evaluator, two: Evaluator) -> Evaluator:
    def evaluate(values: Values) -> Any:
        a = one(values)
        if a:
            return True
        b = two(values)
        if b:
            return True
        return None if a is None or b is None else False

    return evaluate


def _label(node: Any) -> str:
    if isinstance(node, stock.Field):
        return f"{node.model.__name__}.{node.name}"
    if isinstance(node, stock.Function):
        return f"{node.name}()"
    return f"a {type(node).__name__}" if isinstance(node, stock.Node) else repr(node)
