"""The plan of a query over several shards: what each is asked, and how the answers become one.

Either the plan is known to give what one database with all of the rows would give, or there is none and
`ScatterNotSupported` names the clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...shards.merging import Tagged, Term, concatenated, merged
from .. import dialect
from ..stock import stock
from .comparing import Columns, Comparing, comparable
from .grouping import GroupsPlan, is_grouped
from .locality import check_sources, conditions_of, nullable_sources, sharded_home, sources_of
from .mixing import check_mixed
from .nodes import Kind, base_field, is_row_local, kind_of, plain, source_of, walk
from .ordering import cut, limits, selected_position, window_of
from .refusals import refused

__all__ = ["Plan", "RowsPlan", "check", "plan_for"]

_SELECT = re.compile(r"\bselect\b", re.IGNORECASE)
#: Functions that give another value each time.
_VOLATILE = frozenset({"random", "rand", "uuid", "gen_random_uuid", "randomblob", "newid", "clock_timestamp"})


class RowsPlan:
    """Rows that each shard can tell by itself: they are merged, rid of duplicates and cut.

    Attributes:
        columns: what each shard is asked for.
        order_by: the order of each shard's rows.
        limit: the most rows that each shard is asked for.
    """

    #: Whether a row of the result is one shard's.
    by_shard = True
    group_by: Any = None

    def __init__(self, query: Any, shards: Any) -> None:
        comparing = Comparing(query, shards)
        self._query = query
        self.columns = Columns(query._returning)
        self.having = getattr(query, "_having", None)
        self.group_by = getattr(query, "_group_by", None)
        self._limit, self._offset = limits(query)
        self.limit = None if self._limit is None else self._limit + self._offset
        self.distinct = _is_distinct(query)
        self.terms = [self._term(comparing, one) for one in query._order_by or ()]
        self.order_by = self._orders(query, shards)
        self._keys = [
            comparing.key(node, position, self.columns, "DISTINCT")
            for position, node in enumerate(query._returning)
            if self.distinct
        ]

    def _term(self, comparing: Comparing, ordering: Any) -> Term:
        position = selected_position(self._query, ordering)
        if position is not None:
            return comparing.term(ordering, plain(self._query._returning[position]), position, self.columns)
        node = plain(ordering)
        if isinstance(self._query, stock.CompoundSelectQuery) or self.distinct:
            raise refused(
                self._query, "ORDER BY", "speaks of something that is not selected", "Select it as well."
            )
        return comparing.term(ordering, node, self.columns.add(node), self.columns)

    def _orders(self, query: Any, shards: Any) -> Any:
        """Return the ORDER BY of each shard; where engines differ, with the place of NULL spelled out."""
        if not shards.mixed or not query._order_by:
            return query._order_by
        orders = []
        for ordering, term in zip(query._order_by, self.terms, strict=True):
            if not isinstance(ordering, stock.Ordering):
                ordering = stock.Asc(ordering)
            if term.nulls_first is not None:
                ordering = stock.Ordering(
                    ordering.node,
                    ordering.direction,
                    ordering.collation,
                    "first" if term.nulls_first else "last",
                )
            orders.append(ordering)
        return tuple(orders)

    def merge(self, streams: Sequence[Iterator[Any]]) -> Iterator[Sequence[Tagged]]:
        """Return the rows of the result, in lists, each row with the number of its shard."""
        rows = merged(streams, self.terms) if self.terms else concatenated(streams)
        error = refused(self._query, "ORDER BY", "compares values of different types")
        rows = comparable(rows, error)
        if self.distinct:
            rows = self._unique(rows)
        return cut(rows, self._limit, self._offset)

    def _unique(self, batches: Iterator[list[Tagged]]) -> Iterator[list[Tagged]]:
        seen: set[Any] = set()
        for batch in batches:
            kept = []
            for tagged in batch:
                row = tagged[1]
                key = tuple(
                    [
                        row[at] if prepare is None or row[at] is None else prepare(row[at])
                        for at, prepare in self._keys
                    ]
                )
                if key not in seen:
                    seen.add(key)
                    kept.append(tagged)
            yield kept


Plan = RowsPlan | GroupsPlan


def plan_for(query: Any, shards: Any) -> Plan:
    """Return the plan of a query.

    Args:
        query: a SELECT or a compound query.
        shards: the shards that it may touch.

    Raises:
        ScatterNotSupported: its answer would not be that of one database.
    """
    with dialect.compiled_for(shards.databases[0]):
        check(query, shards)
        if isinstance(query, stock.CompoundSelectQuery):
            return _compound(query, shards)
        return _select(query, shards)


def check(query: Any, shards: Any) -> None:
    """Refuse what no server need be asked about to know that its answer would be wrong.

    Args:
        query: a SELECT or a compound query.
        shards: the shards that it may touch.

    Raises:
        CrossDatabaseQuery: a model in it lives elsewhere.
        ScatterNotSupported: its answer would not be that of one database.
    """
    if query._cte_list:
        raise refused(query, "a WITH clause", "sees the rows of one shard only")
    if isinstance(query, stock.CompoundSelectQuery):
        _check_sides(query)
        for side in (query.lhs, query.rhs):
            check(side, shards)
        return
    if getattr(query, "_lateral", None):
        raise refused(query, "LATERAL", "may need rows of other shards")
    if query._distinct:
        raise refused(
            query,
            "DISTINCT ON",
            "keeps one row of each shard",
            "Use distinct(), or group_by() with MIN or MAX.",
        )
    window = window_of(query)
    if window is not None:
        raise refused(
            query, window, "looks at rows of several shards", "Number or add up the rows in Python."
        )
    check_sources(query, shards)
    _check_raw(query)
    if query._for_update and query._limit is not None:
        raise refused(query, "FOR UPDATE with LIMIT", "would lock rows that it does not return")


def _select(query: Any, shards: Any) -> Plan:
    comparing = Comparing(query, shards)
    if shards.mixed:
        check_mixed(query, comparing)
    local = _groups_are_local(query, shards, comparing)
    if is_grouped(query) and not local:
        return GroupsPlan(query, shards)
    if not local:
        _check_row_local(query)
        if query._having is not None:
            raise refused(query, "HAVING", "stands without a GROUP BY or an aggregate", "Use where().")
    return RowsPlan(query, shards)


def _check_row_local(query: Any) -> None:
    for node in [*query._returning, *(query._order_by or ())]:
        what = is_row_local(node)
        if what is not None:
            raise refused(query, what, "may look at other rows than its own", "Calculate it in Python.")
    for node in query._order_by or ():
        if any(
            isinstance(one, stock.Function) and (one.name or "").lower() in _VOLATILE for one in walk(node)
        ):
            raise refused(
                query, "ORDER BY a random value", "is another one in each part", "Shuffle in Python."
            )


def _check_raw(query: Any) -> None:
    """Refuse raw SQL in which a table of another shard could be."""
    for part in (query._where, *conditions_of(query)):
        for node in walk(part):
            if isinstance(node, stock.SQL) and _SELECT.search(node.sql):
                raise refused(query, f"the raw SQL {node.sql!r}", "cannot be looked into")


def _groups_are_local(query: Any, shards: Any, comparing: Comparing) -> bool:
    """Whether GROUP BY has the shard key, so that no group has rows of two shards."""
    if not query._group_by or shards.mixed:
        return False
    nullable = nullable_sources(query)
    grouped: dict[int, set[str]] = {}
    for node in query._group_by:
        position = selected_position(query, node)
        node = plain(node if position is None else query._returning[position])
        if not isinstance(node, stock.Field) or id(source_of(node)) in nullable:
            continue
        if kind_of(node) in (Kind.TEXT, Kind.UUID) and not comparing.is_exact(node):
            continue
        grouped.setdefault(id(source_of(node)), set()).add(base_field(node).name)
    for item in query._from_list:
        for source in sources_of(item):
            home = sharded_home(source)
            if home is not None and home.shard_key and set(home.shard_key) <= grouped.get(id(source), set()):
                return True
    return False


def _is_distinct(query: Any) -> bool:
    if isinstance(query, stock.CompoundSelectQuery):
        return bool(query.op == "UNION")
    # distinct() without columns leaves an empty tuple of them.
    return bool(query._simple_distinct) or query._distinct is not None


def _check_sides(query: Any) -> None:
    if query.op not in ("UNION", "UNION ALL"):
        raise refused(
            query,
            query.op,
            "needs the rows of all shards on both sides",
            "Fetch both and compare sets in Python.",
        )
    for side in (query.lhs, query.rhs):
        if getattr(side, "_limit", None) is not None or getattr(side, "_offset", None) is not None:
            raise refused(query, f"LIMIT inside of {query.op}", "is one for each shard", "Put it at the end.")


def _compound(query: Any, shards: Any) -> RowsPlan:
    for side in (query.lhs, query.rhs):
        inner = plan_for(side, shards)
        if not isinstance(inner, RowsPlan) or inner.group_by:
            raise refused(query, f"GROUP BY or an aggregate inside of {query.op}", "is one for each shard")
        if inner.distinct and query.op == "UNION ALL":
            raise refused(query, "DISTINCT inside of UNION ALL", "is one for each shard", "Use UNION.")
    plan = RowsPlan(query, shards)
    if plan.distinct or plan.terms:
        _check_alike(query, shards)
    if len(plan.columns.nodes) > plan.columns.visible:
        raise refused(
            query, query.op, "compares text by the collation of one engine", "Use UNION ALL unordered."
        )
    return plan


def _check_alike(query: Any, shards: Any) -> None:
    """Refuse columns that are not of one kind on both sides: the engine converts them by rules of its own."""
    comparing = Comparing(query, shards)
    first, *others = _members(query)
    for other in others:
        for one, two in zip(first._returning, other._returning, strict=False):
            if kind_of(one) != kind_of(two):
                raise refused(query, query.op, "brings columns of different types together", "Cast them.")
            if kind_of(one) == Kind.TEXT and not comparing.rule_of(two, query.op).exact:
                raise refused(query, query.op, "compares text by the collation of one engine")


def _members(query: Any) -> list[Any]:
    if isinstance(query, stock.CompoundSelectQuery):
        return [*_members(query.lhs), *_members(query.rhs)]
    return [query]
