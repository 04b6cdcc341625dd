"""What a statement brings together: its tables, and which of them have their rows side by side.

A sharded table is a *source*. Two sources are *beside* each other where a condition equates what decides
the shard of both: their keys, or a foreign key of the one and the row of the other beside which it lives.
Sources that are beside each other can be joined shard by shard. Where a statement also brings others
together, it is right only where a single shard has all the rows.

`Block` is one SELECT, UPDATE or DELETE of a statement, `Statement` the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peewee import JOIN, OP

from . import pieces
from .predicates import ANYTHING, Alternatives, Reader, Slot, both
from .stock import stock
from .values import shard_of_instance

__all__ = ["Block", "Source", "Statement"]

_LEFT = (JOIN.LEFT_OUTER, JOIN.LEFT_LATERAL)
_FULL = (JOIN.FULL, JOIN.FULL_OUTER)
_INNER = (JOIN.INNER, JOIN.CROSS, JOIN.LATERAL)


class Source:
    """A sharded table in a FROM clause.

    Attributes:
        home: where its model lives.
        node: the model, alias or table, as the statement names it.
        beside: another source whose rows are beside the ones of this, or itself.
    """

    __slots__ = ("beside", "home", "node", "pairs")

    def __init__(self, home: Any, node: Any) -> None:
        self.home = home
        self.node = node
        self.beside = self
        #: For a key of several fields: which of them are equated with those of another source.
        self.pairs: dict[int, set[int]] = {}

    @property
    def group(self) -> Source:
        """One source that stands for all that are beside each other."""
        found = self
        while found.beside is not found:
            found = found.beside
        return found


class Block:
    """One SELECT, UPDATE or DELETE.

    Attributes:
        sources: the sharded tables in it.
        names: what fields and columns in it may refer to, by identity: a source or a derived table.
        alternatives: what its conditions leave.
        is_firm: whether every row that it makes has a row of a sharded table in it.
        follows: whether a condition puts it beside a block around it.
        partial: for sources that an outer join may leave out: what the condition of that join leaves.
        required: blocks inside, without whose rows it has none.
        derived: the blocks of queries in its FROM clause, without whose rows it has none.
        members: of a compound query in a subquery: its two sides.
    """

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.names: dict[int, Any] = {}
        self.alternatives: Alternatives = ANYTHING
        self.is_firm = False
        self.follows = False
        self.partial: list[tuple[list[Source], Alternatives]] = []
        self.required: list[Block] = []
        self.derived: list[Block] = []
        self.members: list[Block] = []


class _Derived:
    """A query in a FROM clause, or a CTE: its columns are those of the query."""

    def __init__(self, query: Any, block: Block, columns: Any, is_divisible: bool) -> None:
        self.query = query
        self.block = block
        self.columns = columns
        self.is_divisible = is_divisible


class Statement:
    """A whole statement.

    Args:
        query: the query.

    Attributes:
        roots: its blocks: one, or the members of a compound query.
        inside: every block that is not a root.
        trouble: what can be answered by a single shard only, in words.
    """

    def __init__(self, query: Any) -> None:
        self.inside: list[Block] = []
        self.trouble: list[str] = []
        self._derived: dict[int, _Derived | None] = {}
        self.roots = list(self._members(query))

    def _members(self, query: Any) -> Iterator[Block]:
        if isinstance(query, stock.CompoundSelectQuery):
            self._common_tables(query, ())
            yield from self._members(query.lhs)
            yield from self._members(query.rhs)
        else:
            yield self._block(query, ())

    # Blocks

    def _block(self, query: Any, around: tuple[Block, ...]) -> Block:
        block = Block()
        stack = (*around, block)
        self._common_tables(query, stack)
        conditions = []
        if isinstance(query, stock._WriteQuery):
            block.is_firm = self._table(query.model, block)
            for item in getattr(query, "_from", None) or ():
                conditions += self._item(item, block, stack)[1]
        else:
            for item in query._from_list:
                is_firm, found = self._item(item, block, stack)
                block.is_firm |= is_firm
                conditions += found
        if query._where is not None:
            conditions.append(query._where)
        for condition in conditions:
            self._condition(condition, block, stack)
        for name in ("_returning", "_having", "_group_by", "_order_by", "_distinct", "_windows", "_update"):
            self._queries_in(getattr(query, name, None), stack)
        return block

    def _common_tables(self, query: Any, stack: tuple[Block, ...]) -> None:
        for cte in getattr(query, "_cte_list", None) or ():
            self._derive(cte, stack)

    def _table(self, node: Any, block: Block) -> bool:
        """Take a model, an alias or a table into a block, and return whether it is sharded."""
        model = pieces.model_of(node)
        home = getattr(getattr(model, "_meta", None), "home", None)
        if home is None or home.rule is None or home.database is not None:
            return False
        source = Source(home, node)
        block.sources.append(source)
        block.names[id(node)] = source
        if node is model:
            # Peewee names a model by its table here and there.
            block.names[id(model._meta.table)] = source
        return True

    def _item(self, item: Any, block: Block, stack: tuple[Block, ...]) -> tuple[bool, list[Any]]:
        """Take an item of a FROM clause into a block.

        Returns:
            Whether every row of it has a row of a sharded table, and the conditions that hold for all.
        """
        if isinstance(item, stock.Join):
            return self._join(item, block, stack)
        if isinstance(item, (stock.CTE, stock.SelectQuery)):
            derived = self._derive(item, stack[:-1] if not getattr(item, "_lateral", False) else stack)
            if derived is None:
                return False, []
            block.names[id(item)] = derived
            block.derived.append(derived.block)
            return derived.block.is_firm, []
        if pieces.model_of(item) is not None:
            return self._table(item, block), []
        self._queries_in(item, stack)
        return False, []

    def _join(self, join: Any, block: Block, stack: tuple[Block, ...]) -> tuple[bool, list[Any]]:
        left, conditions = self._item(join.lhs, block, stack)
        middle, inner = len(block.sources), len(block.derived)
        right, others = self._item(join.rhs, block, stack)
        kind = join.join_type
        on = [] if join._on is None or join._on is True else [join._on]
        if kind in _INNER:
            return left or right, [*conditions, *others, *on]
        # Conditions of the side that may be missing do not hold for the rows that the other side keeps.
        optional = block.sources[middle:] if kind in _LEFT else []
        for condition in (*others, *on):
            self._condition(condition, block, stack, holds=False, optional=optional)
        kept_left = kind in _LEFT or kind in _FULL
        kept_right = kind == JOIN.RIGHT_OUTER or kind in _FULL
        if not (kept_left or kept_right):
            self.trouble.append(f"a {kind}")
            return left or right, []
        for is_kept, is_firm, side in ((kept_left, left, join.lhs), (kept_right, right, join.rhs)):
            if is_kept and not is_firm:
                self.trouble.append(f"a {kind} that keeps every row of {pieces.label(side)}")
        if not kept_right:
            del block.derived[inner:]
            return left, conditions
        for condition in conditions:
            self._condition(condition, block, stack, holds=False)
        block.derived.clear()
        return (left and right if kept_left else right), []

    def _derive(self, node: Any, stack: tuple[Block, ...]) -> _Derived | None:
        if id(node) in self._derived:
            found = self._derived[id(node)]
            if found is None:
                self.trouble.append("a recursive WITH clause")
            return found
        self._derived[id(node)] = None
        query = node._query if isinstance(node, stock.CTE) else node
        columns = node._columns if isinstance(node, stock.CTE) else None
        if isinstance(query, stock._WriteQuery):
            self.trouble.append("a WITH clause that writes")
        block = self._inner(query, stack)
        why = pieces.indivisible(query, lambda one: self.anchors(one, (block,)))
        if why is not None and block.sources and not block.follows:
            self.trouble.append(why)
        derived = self._derived[id(node)] = _Derived(query, block, columns, why is None)
        return derived

    def _inner(self, query: Any, stack: tuple[Block, ...]) -> Block:
        """Return the block of a query inside another; the members of a compound are taken as one."""
        if not isinstance(query, stock.CompoundSelectQuery):
            block = self._block(query, stack)
            self.inside.append(block)
            return block
        self._common_tables(query, stack)
        left, right = self._inner(query.lhs, stack), self._inner(query.rhs, stack)
        block = Block()
        block.sources = [*left.sources, *right.sources]
        block.is_firm = left.is_firm and right.is_firm
        block.members = [left, right]
        if query.op != "UNION ALL" and block.sources:
            self.trouble.append(f"{query.op} in a subquery")
        elif left.sources and right.sources:
            # Each of its rows is of one side, so the two need not be in one place.
            _unite(left.sources[0], right.sources[0])
        return block

    # Conditions

    def _condition(
        self,
        node: Any,
        block: Block,
        stack: tuple[Block, ...],
        holds: bool = True,
        optional: list[Source] | None = None,
    ) -> None:
        """Take a condition into a block.

        Args:
            node: the condition.
            block: the block whose rows it admits.
            stack: the block and the ones around it.
            holds: whether it holds for every row of the block; otherwise it only says what is beside what.
            optional: the sources for whose rows it holds nevertheless, where a row has them.
        """
        if isinstance(node, stock.Alias):
            node = node.node
        reader = Reader(lambda one: self._slot(one, stack))
        alternatives = reader.read(node)
        if holds:
            block.alternatives = both(block.alternatives, alternatives)
        elif optional:
            block.partial.append((optional, alternatives))
        for part in pieces.conjuncts(node):
            if isinstance(part, stock.Expression) and part.op == OP.EQ:
                self._equate(part.lhs, part.rhs, stack)
            self._queries_in(part, stack, block if holds else None)

    def _queries_in(self, node: Any, stack: tuple[Block, ...], required_by: Block | None = None) -> None:
        """Take the queries inside a node into the statement.

        Args:
            node: a condition, or anything else that is compiled.
            stack: the blocks around it.
            required_by: the block whose rows all meet the condition, if there is one.
        """
        query, field, is_required = pieces.membership(node)
        if query is not None:
            block = self._inner(query, stack)
            negated = isinstance(node, stock.Expression) and node.op == OP.NOT_IN
            if field is not None and not block.follows:
                self._semi_join(field, query, block, stack, negated)
            if is_required and required_by is not None:
                required_by.required.append(block)
            if field is not None:
                self._queries_in(field, stack)
            return
        for inner in pieces.queries(node):
            self._inner(inner, stack)

    def _semi_join(
        self, field: Any, query: Any, block: Block, stack: tuple[Block, ...], negated: bool
    ) -> None:
        """Put the rows of ``field IN (query)`` beside each other where the selected column says so."""
        selected = pieces.single_column(query)
        if selected is None:
            return
        if negated and getattr(selected, "null", True):
            # One NULL in any shard makes NOT IN untrue in all of them.
            return
        mine, theirs = self.anchors(field, stack), self.anchors(selected, (block,))
        for source, what in mine:
            for other, same in theirs:
                if what == same and _is_whole(what):
                    why = pieces.indivisible(query, lambda one: self.anchors(one, (block,)), rows=True)
                    if why is not None:
                        self.trouble.append(why)
                    _unite(source, other)

    def _equate(self, left: Any, right: Any, stack: tuple[Block, ...]) -> None:
        mine, theirs = self.anchors(left, stack), self.anchors(right, stack)
        for source, what in mine:
            for other, same in theirs:
                if what != same or source is other:
                    continue
                if not _is_whole(what):
                    # One field of a key of several.
                    position, width = what[2], what[3]
                    seen = source.pairs.setdefault(id(other), set())
                    seen.add(position)
                    other.pairs.setdefault(id(source), set()).add(position)
                    if len(seen) < width:
                        continue
                _unite(source, other)
                own = stack[-1]
                if (source in own.sources) != (other in own.sources):
                    own.follows = True

    # Fields

    def _find(self, node: Any, stack: tuple[Block, ...]) -> tuple[Source, Any] | None:
        """Return the source and the field that a field or column in a statement stands for."""
        if isinstance(node, stock.FieldAlias):
            owner, field = node.source, node.field
        elif isinstance(node, stock.Field):
            owner, field = node.model, node
        elif isinstance(node, stock.Column):
            owner, field = node.source, node.name
        else:
            return None
        for block in reversed(stack):
            found = block.names.get(id(owner))
            if isinstance(found, Source):
                if isinstance(field, str):
                    field = found.home.model._meta.columns.get(field)
                return None if field is None else (found, field)
            if isinstance(found, _Derived):
                inner = pieces.column_of(found.query, found.columns, field)
                return None if inner is None else self._find(inner, (found.block,))
        return None

    def _slot(self, node: Any, stack: tuple[Block, ...]) -> Slot | None:
        found = self._find(node, stack)
        if found is None:
            return None
        source, field = found
        if not self._may_narrow(source, stack):
            return None
        home = source.home
        if any(field is one for one in home.key_fields):
            return Slot((source, field.name), field)
        if home.link is not None and field is home.link:
            return Slot((source, None), field, lambda row: shard_of_instance(home.parent, row))
        return None

    def _may_narrow(self, source: Source, stack: tuple[Block, ...]) -> bool:
        """Whether a condition here holds for the rows of a source, and not only for what is made of them."""
        if any(source is one for one in stack[-1].sources):
            return True
        return any(
            isinstance(one, _Derived) and one.is_divisible and any(source is s for s in one.block.sources)
            for one in stack[-1].names.values()
        )

    def anchors(self, node: Any, stack: tuple[Block, ...]) -> list[tuple[Source, tuple[Any, ...]]]:
        """Return what a field's value decides: the shard of its row, by the key or by a row it is beside."""
        found = self._find(node, stack)
        if found is None:
            return []
        source, field = found
        home = source.home
        anchors: list[tuple[Any, ...]] = []
        for position, one in enumerate(home.key_fields):
            if field is one:
                anchors.append(("key", home.rule, position, len(home.key_fields)))
        if home.link is not None and field is home.link:
            anchors.append(("row", home.parent, field.rel_field.name))
        if field.primary_key or field.unique:
            anchors.append(("row", home, field.name))
        return [(source, what) for what in anchors]


def _is_whole(what: tuple[Any, ...]) -> bool:
    """Whether one equality of such fields is enough."""
    return what[0] == "row" or bool(what[3] == 1)


def _unite(one: Source, other: Source) -> None:
    one.group.beside = other.group
