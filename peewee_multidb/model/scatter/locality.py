"""Whether rows that a query brings together are always on one shard.

A join is answered shard by shard if rows that match each other live together: rows of colocated models
whose shard keys are equal, and any row with the copy of a reference model. The same goes for what is
in a subquery.
"""

from __future__ import annotations

from typing import Any

import peewee

from ...home import Home
from ..stock import stock
from .nodes import base_field, children, kind_of, source_of
from .refusals import refused

__all__ = ["check_sources", "nullable_sources", "sharded_home", "sources_of"]

_PRESERVES_LEFT = ("LEFT", "FULL")
_PRESERVES_RIGHT = ("RIGHT", "FULL")


def model_of(source: Any) -> Any:
    """Return the model of a source of a query, or None."""
    if isinstance(source, peewee.ModelAlias):
        return source.model
    if stock.is_model(source):
        return source
    return getattr(source, "_model", None) if isinstance(source, peewee.Table) else None


def sharded_home(source: Any) -> Home | None:
    """Return the home of a source whose rows are spread over shards, or None."""
    home = getattr(getattr(model_of(source), "_meta", None), "home", None)
    return home if isinstance(home, Home) and home.rule is not None and not home.reference else None


def sources_of(item: Any) -> list[Any]:
    """Return the sources that a FROM item is made of."""
    if isinstance(item, peewee.Join):
        return [*sources_of(item.lhs), *sources_of(item.rhs)]
    return [item]


def nullable_sources(query: Any) -> set[int]:
    """Return the ids of sources whose columns may be NULL because an outer join found no row."""
    found: set[int] = set()
    for item in query._from_list:
        _nullable(item, found)
    return found


def _nullable(item: Any, found: set[int]) -> None:
    if not isinstance(item, peewee.Join):
        return
    kind = _kind(item)
    if any(word in kind for word in _PRESERVES_LEFT):
        found.update(map(id, sources_of(item.rhs)))
    if any(word in kind for word in _PRESERVES_RIGHT):
        found.update(map(id, sources_of(item.lhs)))
    _nullable(item.lhs, found)
    _nullable(item.rhs, found)


def _kind(join: Any) -> str:
    return str(join.join_type or "INNER").upper()


class _Equal:
    """Columns that are equal to each other in every row of a result."""

    def __init__(self) -> None:
        self._above: dict[Any, Any] = {}

    def root(self, item: Any) -> Any:
        while (above := self._above.get(item, item)) != item:
            item = above
        return item

    def join(self, one: Any, two: Any) -> None:
        self._above[self.root(one)] = self.root(two)

    def add(self, pairs: list[tuple[Any, Any]]) -> _Equal:
        for one, two in pairs:
            self.join(_column(one), _column(two))
        return self

    def __call__(self, one: Any, two: Any) -> bool:
        return bool(self.root(one) == self.root(two))


def _column(field: Any) -> tuple[int, str]:
    return (_source_id(source_of(field)), base_field(field).name)


def _source_id(source: Any) -> int:
    # A model and its Table are one source.
    model = getattr(source, "_model", None) if isinstance(source, peewee.Table) else None
    return id(model if model is not None else source)


def equalities(node: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of fields that a condition demands to be equal."""
    if not isinstance(node, peewee.Expression):
        return []
    if node.op == "AND":
        return [*equalities(node.lhs), *equalities(node.rhs)]
    if node.op == "=" and isinstance(node.lhs, peewee.Field) and isinstance(node.rhs, peewee.Field):
        return [(node.lhs, node.rhs)]
    return []


def check_sources(query: Any, is_exact: Any) -> None:
    """Refuse a SELECT that brings rows of different shards together.

    Args:
        query: the SELECT.
        is_exact: says of a field of text whether values are equal there only if they are the same.

    Raises:
        ScatterNotSupported: it does.
    """
    _Checker(query, is_exact).check(query, outer=[], around=[])


class _Checker:
    def __init__(self, query: Any, is_exact: Any) -> None:
        self._root = query
        self._is_exact = is_exact

    def check(self, query: Any, outer: list[Any], around: list[tuple[Any, Any]]) -> None:
        """Check one SELECT; `outer` are the sharded sources around it, `around` what is equal there."""
        if isinstance(query, stock.CompoundSelectQuery):
            raise refused(self._root, "a compound query inside of another", "may need rows of other shards")
        where = [*around, *equalities(query._where)]
        sharded: list[Any] = []
        for item in query._from_list:
            found, pairs = self._item(item, where)
            if sharded and found:
                self._link(sharded, found, [*pairs, *where], "the list of tables in FROM")
            sharded += found
        if outer and sharded:
            self._link(outer, sharded, where, "a subquery")
        inside = [*outer, *sharded]
        for part in (query._where, query._having, query._returning, query._order_by, query._group_by):
            self._inside(part, inside, where, query)

    def _item(self, item: Any, where: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return the sharded sources of a FROM item, and which of their columns are equal."""
        if not isinstance(item, peewee.Join):
            return self._source(item), []
        left, left_pairs = self._item(item.lhs, where)
        right, right_pairs = self._item(item.rhs, where)
        kind, pairs = _kind(item), equalities(item._on)
        if "LATERAL" in kind and (left or right):
            raise refused(self._root, f"{kind} JOIN", "may need rows of other shards")
        keeps_left = any(word in kind for word in _PRESERVES_LEFT)
        keeps_right = any(word in kind for word in _PRESERVES_RIGHT)
        if (keeps_left and right and not left) or (keeps_right and left and not right):
            raise refused(
                self._root,
                f"{kind} JOIN",
                "keeps rows of a model that every shard has a copy of, where one shard cannot know whether "
                "another has a match",
                "Begin with the sharded model, or use an INNER JOIN.",
            )
        pairs = [*left_pairs, *right_pairs, *pairs]
        if left and right:
            self._link(left, right, [*pairs, *where], f"the join with {_name(right[0])}")
        if item._on is not None:
            self._inside(item._on, [*left, *right], [*pairs, *where], None)
        return [*left, *right], pairs

    def _source(self, source: Any) -> list[Any]:
        if isinstance(source, stock.SelectBase):
            if _touches_shards(source):
                raise refused(
                    self._root, "a subquery in FROM", "sees the rows of one shard only",
                    "Filter, group and order in the query itself.",
                )  # fmt: skip
            return []
        if isinstance(source, stock.CTE):
            raise refused(self._root, "a WITH clause", "sees the rows of one shard only")
        home = sharded_home(source)
        if home is None:
            return []
        root: Home = self._root.model._meta.home
        if home is not root and root.rule is not None and home.rule is not root.rule:
            raise refused(
                self._root,
                f"the join with {_name(source)}",
                "joins models that are sharded differently",
                f"Load them apart: .prefetch({_name(source)}).",
            )
        return [source]

    def _link(self, left: list[Any], right: list[Any], pairs: list[Any], clause: str) -> None:
        """Refuse unless every sharded source on the right lives with one on the left, row by row."""
        equal = _Equal().add(pairs)
        linked = list(left)
        waiting = list(right)
        while waiting:
            near = next((s for s in waiting if any(self._together(s, o, equal) for o in linked)), None)
            if near is None:
                name = _name(waiting[0])
                home: Any = sharded_home(waiting[0])
                keys = ", ".join(home.shard_key) or "the key of its parent"
                raise refused(
                    self._root,
                    clause,
                    f"may need rows of other shards: the shard key of {name} ({keys}) is not equal to that "
                    f"of {_name(linked[0])} in it",
                    f"Join on the shard keys, or load them apart: .prefetch({name}).",
                )
            waiting.remove(near)
            linked.append(near)

    def _together(self, one: Any, two: Any, equal: _Equal) -> bool:
        first: Any = sharded_home(one)
        second: Any = sharded_home(two)
        # One model twice without an alias is one name for two sets of rows.
        if first.rule is not second.rule or _source_id(one) == _source_id(two):
            return False
        if first.shard_key and len(first.shard_key) == len(second.shard_key):
            keys = zip(first.shard_key, second.shard_key, strict=True)
            if all(
                equal((_source_id(one), a), (_source_id(two), b)) and self._comparable(first, a, second, b)
                for a, b in keys
            ):
                return True
        return self._beside(first, one, second, two, equal) or self._beside(second, two, first, one, equal)

    def _beside(self, child: Any, source: Any, parent: Any, other: Any, equal: _Equal) -> bool:
        """Whether rows are joined by the foreign key that says beside which row one lives."""
        if child.parent is None or child.link is None or child.link.rel_model is not parent.model:
            return False
        link = child.link
        return equal((_source_id(source), link.name), (_source_id(other), link.rel_field.name))

    def _comparable(self, first: Any, a: str, second: Any, b: str) -> bool:
        one, two = first.model._meta.fields[a], second.model._meta.fields[b]
        if isinstance(one, peewee.ForeignKeyField) or isinstance(two, peewee.ForeignKeyField):
            return True
        return kind_of(one) != "text" or (self._is_exact(one) and self._is_exact(two))

    def _inside(self, node: Any, outer: list[Any], where: list[Any], query: Any) -> None:
        """Check the subqueries in an expression."""
        if isinstance(node, stock.SelectBase):
            if _touches_shards(node) and not self._is_key_lookup(None, node, outer):
                self.check(node, outer, where)
            return
        if (
            isinstance(node, peewee.Expression)
            and str(node.op) in ("IN", "NOT IN")
            and isinstance(node.rhs, stock.SelectBase)
            and self._is_key_lookup(node.lhs, node.rhs, outer)
        ):
            return
        for child in children(node):
            self._inside(child, outer, where, query)

    def _is_key_lookup(self, field: Any, query: Any, outer: list[Any]) -> bool:
        """Whether ``field IN (query)`` looks for shard keys among shard keys."""
        if field is None or not isinstance(field, peewee.Field) or not isinstance(query, stock.Select):
            return False
        selected = [base for base in query._returning if isinstance(base, peewee.Field)]
        if len(query._returning) != 1 or len(selected) != 1 or query._limit is not None:
            return False
        if query._offset is not None or query._group_by or query._having is not None:
            return False
        around = [source for source in outer if _source_id(source) == _source_id(source_of(field))]
        inside = [
            source
            for item in query._from_list
            for source in sources_of(item)
            if sharded_home(source) is not None and _source_id(source) == _source_id(source_of(selected[0]))
        ]
        if not around or not inside or base_field(selected[0]).null:
            return False
        first: Any = sharded_home(around[0])
        second: Any = sharded_home(inside[0])
        names = (base_field(field).name,), (base_field(selected[0]).name,)
        if first.rule is not second.rule or names != (first.shard_key, second.shard_key):
            return False
        if not self._comparable(first, names[0][0], second, names[1][0]):
            return False
        self.check(query, [], [])
        return True


def _touches_shards(query: Any) -> bool:
    """Whether a sharded model is anywhere in a query."""
    if isinstance(query, stock.CompoundSelectQuery):
        return _touches_shards(query.lhs) or _touches_shards(query.rhs)
    for item in getattr(query, "_from_list", ()):
        for source in sources_of(item):
            if isinstance(source, stock.SelectBase):
                if _touches_shards(source):
                    return True
            elif sharded_home(source) is not None:
                return True
    parts = (query._where, getattr(query, "_having", None), getattr(query, "_returning", None))
    return any(_touches_shards(one) for part in parts for one in _queries(part))


def _queries(node: Any) -> list[Any]:
    if isinstance(node, stock.SelectBase):
        return [node]
    return [found for child in children(node) for found in _queries(child)]


def _name(source: Any) -> str:
    model = model_of(source)
    return model.__name__ if model is not None else str(source)


