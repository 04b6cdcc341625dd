"""Groups and aggregates over several shards: partial ones from each, put together here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ...shards.aggregates import Aggregate
from ...shards.merging import Tagged, Term, key_function
from ..stock import stock
from .comparing import Columns, Comparing, collation_of, comparable
from .evaluating import Evaluator, Values, calculation, is_true
from .locality import model_of, sharded_home
from .mixing import summing
from .nodes import (
    Kind,
    aggregate_name,
    base_field,
    contains_aggregate,
    fields_in,
    is_distinct,
    is_row_local,
    kind_of,
    plain,
    signature,
    source_of,
)
from .ordering import cut, limits, selected_position
from .refusals import refused

__all__ = ["GroupsPlan", "is_grouped"]


def is_grouped(query: Any) -> bool:
    """Whether a SELECT has groups, or one for all rows."""
    parts = [*query._returning, *(query._order_by or ()), query._having]
    return bool(query._group_by) or any(contains_aggregate(part) for part in parts)


class GroupsPlan:
    """Groups of which every shard may have a part.

    Attributes:
        columns: what each shard is asked for: group keys and partial aggregates.
        group_by: the groups of each shard, finer than those of the query where there is a DISTINCT aggregate.
        having: the part of HAVING that speaks of group keys alone.
    """

    by_shard = False
    order_by = None
    limit = None
    distinct = False

    def __init__(self, query: Any, shards: Any) -> None:
        self._query = query
        self._shards = shards
        self._comparing = Comparing(query, shards)
        self.columns = Columns(())
        self._keys: list[tuple[int, Callable[[Any], Any] | None]] = []
        self._positions: dict[Any, int] = {}
        self._key_nodes: list[Any] = []
        self._aggregates: list[tuple[Aggregate, Callable[[Any], Any] | None]] = []
        self._numbers: dict[Any, int] = {}
        self._extra: list[Any] = []
        self._limit, self._offset = limits(query)
        if query._simple_distinct or query._distinct is not None:
            raise refused(
                query, "DISTINCT with aggregates", "is not needed with the right GROUP BY", "Drop it."
            )
        for node in query._group_by or ():
            self._group_by(node)
        self._selected = [self._output(node, "SELECT") for node in query._returning]
        self.having, self._having = self._split_having()
        self._orders = [self._order(one) for one in query._order_by or ()]
        self.group_by = (*self._key_nodes, *self._extra) or None
        if not self.columns.nodes:
            # SELECT 1 ... GROUP BY nothing: only the number of groups counts.
            self.columns.add(stock.SQL("1"))

    # What each shard is asked

    def _group_by(self, node: Any) -> None:
        position = selected_position(self._query, node)
        node = plain(node if position is None else self._query._returning[position])
        if contains_aggregate(node) or is_row_local(node) is not None:
            raise refused(self._query, "GROUP BY", "has something that looks at several rows")
        at = self.columns.add(node)
        self._positions.setdefault(signature(node), at)
        self._keys.append(self._comparing.key(node, at, self.columns, "GROUP BY"))
        self._key_nodes.append(node)

    def _output(self, node: Any, clause: str) -> Evaluator:
        return calculation(node, self._inner, self._query, self._comparing.engine, clause)

    def _inner(self, node: Any) -> Evaluator | None:
        """Return what gives the value of a group key, of an aggregate, or of what a key determines."""
        wanted = signature(node)
        at = self._positions.get(wanted)
        if at is None and aggregate_name(node) is not None:
            number = self._numbers.get(wanted)
            if number is None:
                number = self._numbers[wanted] = self._aggregate(node)
            return lambda values: values[1][number]
        if at is None and self._is_determined(node):
            at = self._positions[wanted] = self.columns.add(node)
        if at is None:
            if isinstance(node, stock.Field):
                raise refused(
                    self._query,
                    f"{base_field(node).model.__name__}.{base_field(node).name}",
                    "is neither in GROUP BY nor in an aggregate",
                    "Add it to group_by(), or take its MIN or MAX.",
                )
            what = is_row_local(node) if isinstance(node, stock.Function) else None
            if what is not None:
                raise refused(
                    self._query, what, "cannot be put together from its parts", "Calculate it in Python."
                )
            return None
        position = at
        return lambda values: values[0][position]

    def _is_determined(self, node: Any) -> bool:
        """Whether a node has one value in a group: made of group keys, or of fields that hang on one."""
        if contains_aggregate(node) or is_row_local(node) is not None or isinstance(node, stock.SQL):
            return False
        fields = fields_in(node)
        return bool(fields) and all(
            signature(field) in self._positions or self._has_primary_key_of(field) for field in fields
        )

    def _has_primary_key_of(self, field: Any) -> bool:
        source = source_of(field)
        model = model_of(source)
        key = getattr(getattr(model, "_meta", None), "primary_key", None)
        if not key or not isinstance(field, stock.Field):
            return False
        if sharded_home(source) is not None and isinstance(key, stock.AutoField):
            # Each shard numbers its own: two rows may have one key.
            return False
        names = key.field_names if isinstance(key, stock.CompositeKey) else (key.name,)
        return all(("field", id(source), name) in self._positions for name in names)

    def _aggregate(self, node: Any) -> int:
        name = str(aggregate_name(node))
        engine, add = self._comparing.engine, self.columns.add
        argument = is_distinct(node)
        convert = summing(self._query, name, node, self._shards) if self._shards.mixed else None
        of = node.arguments[0] if node.arguments else None
        if contains_aggregate(list(node.arguments)) or any(is_row_local(one) for one in node.arguments):
            raise refused(self._query, f"{node.name}()", "has something in it that looks at several rows")
        if argument is not None and name not in ("min", "max"):
            found = self._distinct(node, name, argument, engine)
        elif name in ("min", "max"):
            of = of if argument is None else argument
            value = add(node)
            shown = of if self._shards.mixed else _kinded(node, of)
            key, prepare = self._comparing.key(shown, value, self.columns, f"{node.name}()")
            found = Aggregate(name, engine, value, prepare=prepare, key=key)
        elif name == "avg":
            total, count = add(_like(node, "SUM")), add(_like(node, "COUNT"))
            scale = self._shards.average_scale() if engine == "mysql" and self._shards.mixed else None
            sample = add(node) if engine == "mysql" and scale is None else -1
            found = Aggregate(name, engine, total, count=count, sample=sample, scale=scale)
        else:
            found = Aggregate(name, engine, add(node))
        self._aggregates.append((found, convert))
        return len(self._aggregates) - 1

    def _distinct(self, node: Any, name: str, argument: Any, engine: str) -> Aggregate:
        if node._filter is not None:
            raise refused(
                self._query,
                f"{node.name}(DISTINCT ...) with a filter",
                "cannot be put together",
                "Use where().",
            )
        value = self.columns.add(argument)
        self._extra.append(argument)
        key, prepare = self._comparing.key(argument, value, self.columns, f"{node.name}(DISTINCT ...)")
        sample = -1
        if name != "count":
            sample = self.columns.add(stock.Function(name.upper(), (argument,)))
        scale = self._shards.average_scale() if engine == "mysql" and self._shards.mixed else None
        return Aggregate(
            name, engine, value, sample=sample, scale=scale, distinct=value, prepare=prepare, key=key
        )

    def _split_having(self) -> tuple[Any, Evaluator | None]:
        """Return the condition that each shard checks, and the one that is checked here."""
        there: Any = None
        here: list[Evaluator] = []
        for node in _conjuncts(self._query._having):
            if self._is_determined(node) and not self._shards.mixed:
                there = node if there is None else stock.Expression(there, "AND", node)
            else:
                here.append(self._output(node, "HAVING"))
        if not here:
            return there, None
        return there, lambda values: all(is_true(one(values)) for one in here)

    def _order(self, ordering: Any) -> tuple[Evaluator, Term]:
        """Return what gives the value to order by, and the term, whose position is not known yet."""
        position = selected_position(self._query, ordering)
        node = plain(ordering if position is None else self._query._returning[position])
        wanted = signature(node)
        collation = collation_of(ordering)
        if collation is None and wanted in self._positions and node in _Same(self._key_nodes):
            # The group's own key, whose sort key the shards send along.
            number = [signature(one) for one in self._key_nodes].index(wanted)
            at, prepare = self._keys[number]
            descending, nulls_first = self._comparing.direction(ordering, node)
            return (lambda values: values[0][at]), Term(0, descending, nulls_first, prepare)
        value = self._output(node, "ORDER BY")
        before = len(self.columns.nodes)
        of = node.arguments[0] if aggregate_name(node) in ("min", "max") else node
        term = self._comparing.term(
            ordering, node if aggregate_name(node) is None else _kinded(node, of), 0, self.columns
        )
        if len(self.columns.nodes) != before:
            raise refused(
                self._query, "ORDER BY", "orders groups by text under the collation of one engine",
                "Order by a group key, or sort in Python.",
            )  # fmt: skip
        return value, term

    # What becomes of the answers

    def merge(self, streams: Sequence[Iterator[Any]]) -> Iterator[Sequence[Tagged]]:
        """Return the rows of the result."""
        error = refused(self._query, "GROUP BY", "has values of different types")
        return cut(comparable(self._rows(streams), error), self._limit, self._offset)

    def _rows(self, streams: Sequence[Iterator[Any]]) -> Iterator[list[Tagged]]:
        rows: list[Tagged] = []
        for values in self._groups(streams):
            if self._having is None or is_true(self._having(values)):
                row = tuple([output(values) for output in self._selected])
                rows.append((tuple([value(values) for value, _ in self._orders]), row, 0))
        if self._orders:
            terms = [
                Term(number, term.descending, term.nulls_first, term.prepare)
                for number, (_, term) in enumerate(self._orders)
            ]
            key, falling = key_function(terms)
            rows.sort(key=lambda tagged: key(tagged[0]), reverse=falling)
        yield rows

    def _groups(self, streams: Sequence[Iterator[Any]]) -> Iterator[Values]:
        found: dict[Any, list[Any]] = {}
        if not self._query._group_by:
            # One group of all rows, even if there are none.
            found[()] = []
        for chunks in streams:
            for chunk in chunks:
                for row in chunk:
                    found.setdefault(self._key(row), []).append(row)
        for rows in found.values():
            aggregates = [
                one.of(rows) if convert is None else convert(one.of(rows))
                for one, convert in self._aggregates
            ]
            yield (rows[0] if rows else ()), aggregates

    def _key(self, row: Any) -> Any:
        return tuple(
            [
                row[at] if prepare is None or row[at] is None else prepare(row[at])
                for at, prepare in self._keys
            ]
        )


class _Same:
    """Membership by what nodes say; Peewee's ``==`` makes an expression."""

    def __init__(self, nodes: Sequence[Any]) -> None:
        self._signatures = [signature(node) for node in nodes]

    def __contains__(self, node: Any) -> bool:
        return signature(node) in self._signatures


def _like(node: Any, name: str) -> Any:
    """Return another aggregate of the same argument, with the same filter."""
    other = stock.Function(name, node.arguments)
    other._filter = node._filter
    return other


def _kinded(node: Any, of: Any) -> Any:
    """Return what says best how MIN or MAX of something compares: itself for text, else its argument."""
    return node if kind_of(of) in (Kind.TEXT, Kind.UNKNOWN) else of


def _conjuncts(node: Any) -> list[Any]:
    if node is None:
        return []
    if isinstance(node, stock.Expression) and node.op == "AND":
        return [*_conjuncts(node.lhs), *_conjuncts(node.rhs)]
    return [node]
