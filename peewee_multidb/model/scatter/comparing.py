"""How values of a node compare on the shards, and what a merge needs to compare them likewise."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ScatterNotSupported
from ...shards.collations import BINARY, OPAQUE, TextRule, named
from ...shards.merging import Term
from ..stock import stock
from .locality import nullable_sources
from .nodes import Kind, base_field, collation_in, fields_in, kind_of, plain, source_of
from .refusals import refused

__all__ = ["Columns", "Comparing", "collation_of"]

Prepare = Callable[[Any], Any]

#: What MySQL stores in a FLOAT has more digits than it shows.
_UNROUNDED = stock.SQL("+ 0e0")


class Columns:
    """The columns that the shards are asked for: those of the query, and hidden ones behind them."""

    def __init__(self, visible: Sequence[Any]) -> None:
        self.nodes = list(visible)
        self.visible = len(self.nodes)

    def add(self, node: Any) -> int:
        """Ask for one more, and return its position."""
        self.nodes.append(node)
        return len(self.nodes) - 1


class Comparing:
    """Knows the shards of a query and says how values compare there.

    Args:
        query: the query; for the message of a refusal.
        shards: the shards of the query.
    """

    def __init__(self, query: Any, shards: Any) -> None:
        self._query = query
        self._shards = shards
        self.engine: str = shards.engine
        self._is_compound = not hasattr(query, "_from_list")
        self._nullable = set() if self._is_compound else nullable_sources(query)

    def term(self, ordering: Any, node: Any, position: int, columns: Columns) -> Term:
        """Return the term of an ORDER BY.

        Args:
            ordering: the term as the query has it.
            node: what it orders by.
            position: of its value among the columns.
            columns: where a sort key of the server's can be added.
        """
        at, prepare = self.key(node, position, columns, "ORDER BY", collation_of(ordering))
        descending, nulls_first = self.direction(ordering, node)
        return Term(at, descending, nulls_first, prepare)

    def direction(self, ordering: Any, node: Any) -> tuple[bool, bool | None]:
        """Return whether a term of an ORDER BY falls, and whether NULL comes first; None if there is none."""
        descending = isinstance(ordering, stock.Ordering) and ordering.direction == "DESC"
        # A Function makes up every attribute that it is asked for.
        nulls = ordering.nulls if isinstance(ordering, stock.Ordering) else None
        if not self.may_be_null(node):
            return descending, None
        if nulls:
            return descending, nulls.lower() == "first"
        # NULL is the least of values for SQLite, MySQL and MariaDB, the greatest for PostgreSQL.
        return descending, descending if self.engine == "postgresql" else not descending

    def key(
        self, node: Any, position: int, columns: Columns, clause: str, collation: str | None = None
    ) -> tuple[int, Prepare | None]:
        """Return where a row has what compares as the node's value does, and what makes it comparable.

        Raises:
            ScatterNotSupported: nothing does.
        """
        node = plain(node)
        kind = kind_of(node)
        if kind == Kind.JSON:
            raise refused(
                self._query, clause, f"compares JSON ({_label(node)}), which every engine does its own way"
            )
        if kind == Kind.TEXT or collation or (kind == Kind.UUID and self.engine == "mysql"):
            return self._text(node, position, columns, clause, collation)
        if self.engine == "mysql" and _is_single(node):
            return columns.add(stock.NodeList((node, _UNROUNDED))), None
        if self._shards.mixed:
            return position, self._mixed(node, kind, clause)
        if kind in (Kind.FLOAT, Kind.DECIMAL) and self.engine == "postgresql":
            return position, _with_nan
        if kind == Kind.BYTES:
            return position, bytes
        if kind == Kind.UNKNOWN:
            return position, self._dynamic(node, clause)
        return position, None

    def may_be_null(self, node: Any) -> bool:
        """Whether a node can be NULL, as far as is known."""
        node = plain(node)
        if isinstance(node, stock.Field) and not self._is_compound:
            source = source_of(node)
            return bool(base_field(node).null) or id(source) in self._nullable
        return not (isinstance(node, stock.Function) and (node.name or "").lower() == "count")

    def rule_of(self, node: Any, clause: str, collation: str | None = None) -> TextRule:
        """Return how text of a node compares on every shard.

        Raises:
            ScatterNotSupported: the shards disagree.
        """
        given = collation_in(node)
        if given is not None:
            collation = given[1]
        if collation:
            rules = {named(engine, collation) for engine in self._shards.engines}
        else:
            fields = [field for field in fields_in(node) if kind_of(field) in (Kind.TEXT, Kind.UUID)]
            rules = {rule for field in fields for rule in self._shards.text_rules(field)}
            if not fields:
                rules = set(self._shards.text_rules(None)) if self.engine != "mysql" else {OPAQUE}
        if all(rule.exact and not rule.weight for rule in rules):
            return BINARY
        names = {rule.name for rule in rules}
        if len(names) > 1:
            raise refused(
                self._query,
                clause,
                f"compares text ({_label(node)}) by different collations: {', '.join(sorted(names))}",
                "Give the columns one binary collation.",
            )
        return next(iter(rules))

    def is_exact(self, field: Any) -> bool:
        """Whether text of a field is equal on every shard only where it is the same."""
        return all(rule.exact for rule in self._shards.text_rules(field))

    def _text(
        self, node: Any, position: int, columns: Columns, clause: str, collation: str | None
    ) -> tuple[int, Prepare | None]:
        rule = self.rule_of(node, clause, collation)
        if rule.prepare is None:
            name = "'\"C\"'" if self.engine == "postgresql" else "'BINARY'"
            raise refused(
                self._query,
                clause,
                f"compares text ({_label(node)}) under the collation {rule.name}, as only the engine can",
                f"Name a binary collation, as in field.collate({name}).",
            )
        if rule.weight:
            if self._shards.mixed:
                raise refused(
                    self._query, clause, f"compares text ({_label(node)}) by the rules of two engines"
                )
            return columns.add(stock.fn.WEIGHT_STRING(node)), rule.prepare
        return position, None if rule.exact and not self._shards.mixed else rule.prepare

    def _mixed(self, node: Any, kind: str, clause: str) -> Prepare:
        if isinstance(node, stock.Field):
            convert = node.python_value
            if kind in (Kind.FLOAT, Kind.DECIMAL):
                return lambda value: _with_nan(convert(value))
            if kind == Kind.BYTES:
                return lambda value: bytes(convert(value))
            return convert  # type: ignore[no-any-return]
        return _with_nan if kind in Kind.NUMBERS else self._no_text(node, clause)

    def _dynamic(self, node: Any, clause: str) -> Prepare:
        """Compare by what kind of value turns up."""
        if self.engine in ("sqlite", "postgresql") and self.rule_of(node, clause) is BINARY:
            return _by_storage_class if self.engine == "sqlite" else _with_nan
        return self._no_text(node, clause)

    def _no_text(self, node: Any, clause: str) -> Prepare:
        error = refused(
            self._query, clause, f"compares text ({_label(node)}), and how the engine does that is not known"
        )

        def no_text(value: Any) -> Any:
            if isinstance(value, (str, bytes)):
                raise error
            return _with_nan(value)

        return no_text


def collation_of(ordering: Any) -> str | None:
    """Return the collation that a term of an ORDER BY names, if it does."""
    return ordering.collation if isinstance(ordering, stock.Ordering) else None


def _is_single(node: Any) -> bool:
    return isinstance(node, stock.FloatField) and not isinstance(node, stock.DoubleField)


def _with_nan(value: Any) -> Any:
    # Greater than every number, and equal to itself.
    return (1,) if value != value else (0, value)


def _by_storage_class(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return (1, value)
    return (2, value) if isinstance(value, str) else (3, bytes(value))


def _label(node: Any) -> str:
    if isinstance(node, stock.Field):
        return f"{base_field(node).model.__name__}.{base_field(node).name}"
    if isinstance(node, stock.Function):
        return f"{node.name}()"
    return "an expression"


def comparable(rows: Any, error: ScatterNotSupported) -> Any:
    """Pass on what is yielded; a comparison that Python refuses becomes a refusal of ours."""
    try:
        yield from rows
    except (TypeError, decimal.InvalidOperation) as cause:
        raise error from cause
