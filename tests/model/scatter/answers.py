"""Answers to questions, and whether two of them are the same as far as SQL says what they are."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from decimal import Decimal
from typing import Any

from tests.model.scatter.questions import Built, Question


def answer(question: Question, built: Built) -> Any:
    """Run a query in the form that the question asks for."""
    query, form = built.query, question.form
    if form == "count":
        return query.count()
    if form == "exists":
        return query.exists()
    if form == "first":
        found = query.limit(1).tuples().first()
        return [] if found is None else [found]
    if form == "dicts":
        # Peewee fills a row's dict in an order of its own; c0, c1, ... and x0, x1, ... is that of the query.
        return [tuple(row[name] for name in sorted(row)) for row in query.dicts()]
    if form == "namedtuples":
        return [tuple(row) for row in query.namedtuples()]
    if form == "iterator":
        return list(query.tuples().iterator())
    if form == "models":
        return [_values(row, question) for row in query]
    return list(query.tuples())


def _values(row: Any, question: Question) -> tuple[Any, ...]:
    found = []
    root = question.shape[0]
    for name in question.columns:
        source, field = name.split(".")
        chain = {"O": {"A": "account"}, "A": {"C": "country", "O": "order"}, "C": {"A": "account"}}
        item = row
        if source != root:
            steps = {"O-A-C": {"A": ["account"], "C": ["account", "country"]}}.get(question.shape)
            for step in steps[source] if steps else [chain[root][source]]:
                # Not by its attribute: what was not selected would be loaded.
                item = None if item is None else item.__rel__.get(step, vars(item).get(step))
        found.append(None if item is None else item.__data__.get(field))
    return tuple(found)


def same(question: Question, built: Built, one: Any, two: Any, folds: bool, digits: bool) -> bool:
    """Whether two answers are the same; with `digits`, to the last zero of every decimal number.

    What SQL leaves open may differ: the order of rows that the query leaves open, which rows a LIMIT leaves
    then, the last digits of a sum of floating-point numbers, and, where a collation takes several texts for
    equal, which of them stands for a group.
    """
    if not isinstance(one, list):
        return type(one) is type(two) and one == two
    loose = folds and question.kind != "rows"
    one, two = (
        [_comparable(row, loose, digits) for row in one],
        [_comparable(row, loose, digits) for row in two],
    )
    if len(one) != len(two):
        return False
    if built.is_total:
        return all(_rows_equal(a, b) for a, b in zip(one, two, strict=True))
    # Only how the rows are ordered is certain, and, without a LIMIT, which they are.
    if built.order is not None and not all(
        _rows_equal(_places(a, built.order, folds), _places(b, built.order, folds))
        for a, b in zip(one, two, strict=True)
    ):
        return False
    if question.limit is not None or question.form == "first":
        return True
    key = lambda row: repr([_rounded(value) for value in row])  # noqa: E731
    return Counter(map(key, one)) == Counter(map(key, two)) or all(
        _rows_equal(a, b) for a, b in zip(sorted(one, key=key), sorted(two, key=key), strict=True)
    )


def _places(row: tuple[Any, ...], positions: list[int], folds: bool) -> tuple[Any, ...]:
    return _comparable([row[position] for position in positions], folds, False)


def _comparable(row: Any, loose: bool, digits: bool) -> tuple[Any, ...]:
    found = [_folded(value) if loose and isinstance(value, str) else value for value in row]
    if digits:
        found = [value.as_tuple() if isinstance(value, Decimal) else value for value in found]
    return tuple(found)


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.rstrip(" ")).lower()
    return "".join(c for c in plain if not unicodedata.combining(c)).replace("ß", "s")


def _rounded(value: Any) -> Any:
    return f"{value:.9g}" if isinstance(value, float) else value


def _rows_equal(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    return len(one) == len(two) and all(map(_equal, one, two))


def _equal(one: Any, two: Any) -> bool:
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return math.isclose(one, two, rel_tol=1e-9, abs_tol=1e-6)
    return bool(one == two)
