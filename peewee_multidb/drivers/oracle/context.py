"""Oracle's SQL, written by dispatching on the nodes of a query; nothing of Peewee is changed.

What is different in Oracle, in the order of a statement: no AS in front of the alias of a table, FROM DUAL,
no value where a condition belongs and no condition where a value belongs, FETCH NEXT (ROWNUM before 12c),
RETURNING INTO, one row a VALUES, numbered parameters.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import peewee
from peewee import OP

from . import expressions
from .names import quoted, shortened
from .paging import with_rownum
from .version import Version

__all__ = ["PARAM", "OracleContext"]

# Its stubs leave out what is used here.
stock: Any = peewee

#: A piece of SQL that becomes ``:1``, ``:2``, ... when the statement is complete.
PARAM = "\0param"

DROPPED = frozenset({"IF NOT EXISTS ", "MATERIALIZED ", "NOT MATERIALIZED "})
REWRITTEN = {
    "WITH RECURSIVE ": "WITH ",
    " EXCEPT ": " MINUS ",
    " EXCEPT ALL ": " MINUS ALL ",
    " CASCADE": " CASCADE CONSTRAINTS",
    "DROP TABLE IF EXISTS ": "DROP TABLE ",
}
REFUSED = {
    " FILTER (WHERE ": ("FILTER", "Aggregate over a CASE expression."),
    "ON ": ("DISTINCT ON", "Use ROW_NUMBER() in a subquery."),
    "LATERAL ": ("LATERAL", "Join to a grouped subquery."),
}
VARCHAR = re.compile(r"(VARCHAR2|CHAR)\((\d+)\)")
ON_DELETE = re.compile(r"ON (DELETE|UPDATE) (.*)", re.IGNORECASE)
MARK = re.compile(r"\?|%s")
#: Where a condition is expected next.
BEFORE_CONDITION = frozenset({" WHERE ", " HAVING ", " ON ", " AND ", " OR ", "NOT "})


class OracleContext(stock.Context):  # type: ignore[misc]
    """A context for one version of Oracle.

    Args:
        version: what SQL is written for.
        fold_names: whether lower case stands for upper case.
        where: the database, for messages.

    Attributes:
        rows: the parameters of each row, when an INSERT of several rows was written for one.
        tolerates: whether the statement was made "safe": what is there already, or is not, is no error.
        returned: what ``RETURNING`` returns.
    """

    __slots__ = (
        "fold_names",
        "insert",
        "pending_values",
        "returned",
        "rows",
        "tolerates",
        "version",
        "where",
    )

    def __init__(self, *, version: Version, fold_names: bool, where: str, **settings: Any) -> None:
        super().__init__(version=version, fold_names=fold_names, where=where, **settings)
        self.version = version
        self.fold_names = fold_names
        self.where = where
        self.rows: list[Sequence[Any]] = []
        self.tolerates = False
        self.returned: tuple[Any, ...] = ()
        self.insert: Any = None
        self.pending_values = False

    def as_new(self) -> OracleContext:
        return OracleContext(**self.state.settings)

    def unsupported(self, what: str, instead: str) -> peewee.NotSupportedError:
        """The error for what this version does not have."""
        return peewee.NotSupportedError(f"{what} is not in {self.version}, {self.where}. {instead}")

    # What is written

    def literal(self, keyword: str) -> Any:
        if keyword in DROPPED or keyword == "DROP TABLE IF EXISTS ":
            self.tolerates = self.tolerates or "EXISTS" in keyword
            if keyword in DROPPED:
                return self
        if keyword in REFUSED:
            raise self.unsupported(*REFUSED[keyword])
        if keyword == " AS " and self.scope != stock.SCOPE_CTE:
            keyword = " "
        if keyword == " VALUES " and self.insert is not None:
            self.pending_values = True
            return self
        return super().literal(REWRITTEN.get(keyword, keyword))

    def value(self, value: Any, converter: Any = None, add_param: bool = True) -> Any:
        before = len(self._values)
        super().value(value, converter, add_param)
        if len(self._values) > before and isinstance(self._values[-1], bool):
            self._values[-1] = int(self._values[-1])
        return self

    def query(self) -> tuple[str, Any]:
        pieces, number = [], 0
        for piece in self._sql:
            if piece == PARAM:
                number += 1
                piece = f":{number}"
            pieces.append(piece)
        return "".join(pieces), self.rows or self._values

    # Dispatch

    def sql(self, obj: Any) -> Any:
        if isinstance(obj, stock.Entity):
            names = [quoted(part, fold_names=self.fold_names) for part in obj._path if part]
            return super().literal(".".join(names))
        if isinstance(obj, stock.Expression):
            return self._expression(obj)
        if isinstance(obj, stock.Query):
            return self._query(obj)
        if isinstance(obj, stock.NodeList):
            return self._list(obj)
        if isinstance(obj, stock.SQL):
            return self._text(obj)
        if isinstance(obj, stock.CTE) and obj._recursive and not obj._columns:
            raise self.unsupported("A recursive CTE without names of its columns", "Give it columns=(...).")
        if isinstance(obj, stock.ForUpdate) and obj._of is not None:
            raise self.unsupported("FOR UPDATE OF a table", "Lock the rows of all tables of the query.")
        if isinstance(obj, stock.ValuesList):
            raise self.unsupported("A VALUES list as a table", "Use a UNION ALL of SELECTs.")
        if isinstance(obj, stock.Index):
            obj = self._index(obj)
        if self._expects_condition() and expressions.is_boolean(obj):
            obj = stock.Expression(obj, OP.EQ, 1)
        return super().sql(obj)

    def _expects_condition(self) -> bool:
        return bool(self._sql) and (self._sql[-1] in BEFORE_CONDITION or self._sql[-2:] == ["WHEN", " "])

    def _expression(self, node: Any) -> Any:
        is_value = self.state.in_projection or (self.state.in_function and not self.state.in_expr)
        if is_value and expressions.is_condition(node):
            with self(in_projection=False, in_function=False):
                wanted = node if self._expects_condition() else expressions.as_value(node)
                return self._expression(node) if wanted is node else self.sql(wanted)
        rewritten = expressions.rewritten(node, self.unsupported)
        if rewritten is not node:
            return self.sql(rewritten)
        return node.__sql__(self)

    def _query(self, node: Any) -> Any:
        if isinstance(node, stock.SelectBase) and self.scope != stock.SCOPE_COLUMN:
            return self._select(node)
        if isinstance(node, stock._WriteQuery):
            if node._order_by or node._limit is not None or node._offset is not None:
                raise self.unsupported("A write with ORDER BY or LIMIT", "Select the keys first.")
            if getattr(node, "_from", None):
                raise self.unsupported("UPDATE with FROM", "Use a subquery as the value.")
            if getattr(node, "_on_conflict", None) is not None:
                raise self.unsupported("ON CONFLICT", "Use get_or_create(), or MERGE in a string of SQL.")
        if not isinstance(node, stock._WriteQuery):
            return node.__sql__(self)
        outer, self.insert = self.insert, node if isinstance(node, stock.Insert) else None
        clone = copy.copy(with_sequence(node))
        clone._returning = None
        if isinstance(node, stock.Update):
            clone._update = {key: expressions.as_value(value) for key, value in node._update.items()}
        clone.__sql__(self)
        self.insert = outer
        if node._returning:
            self._returning(node._returning)
        return self

    def _returning(self, nodes: Sequence[Any]) -> None:
        """Write RETURNING INTO; the values of its parameters are variables that are made to run it."""
        if self.rows:
            raise self.unsupported("RETURNING for several rows", "Insert them one at a time.")
        self.returned = tuple(nodes)
        super().literal(" RETURNING ")
        with self.scope_values(subquery=True):
            bare = [node.unalias() if isinstance(node, stock.Alias) else node for node in nodes]
            self.sql(stock.CommaNodeList(bare))
        super().literal(" INTO ")
        for number in range(len(nodes)):
            self._sql.extend([", ", PARAM] if number else [PARAM])

    def _select(self, node: Any) -> Any:
        paged = node._limit is not None or node._offset is not None
        is_plain = isinstance(node, stock.Select)
        has_source = not is_plain or bool(node._from_list)
        order_by = [expressions.as_value(one) for one in node._order_by or ()]
        is_ordered_by_fields = all(
            new is old for new, old in zip(order_by, node._order_by or (), strict=True)
        )
        if not paged and has_source and is_ordered_by_fields:
            return node.__sql__(self)
        clone = copy.copy(node)
        clone._limit = clone._offset = None
        clone._order_by = order_by or None
        if not has_source:
            clone._from_list = [stock.SQL("DUAL")]
        if not paged:
            return clone.__sql__(self)
        if is_plain and node._for_update is not None:
            raise self.unsupported("FOR UPDATE with LIMIT", "Select the keys first, then the rows by key.")
        if self.version < (12, 1):
            return with_rownum(self, clone, node._limit, node._offset).__sql__(self)
        order = clone._apply_ordering

        def apply_ordering(ctx: Any) -> Any:
            order(ctx)
            if node._offset is not None:
                ctx.literal(" OFFSET ").sql(node._offset).literal(" ROWS")
            if node._limit is not None:
                ctx.literal(" FETCH NEXT ").sql(node._limit).literal(" ROWS ONLY")
            return ctx

        clone._apply_ordering = apply_ordering
        return clone.__sql__(self)

    def _list(self, node: Any) -> Any:
        if self.pending_values:
            self.pending_values = False
            return self._rows(node.nodes)
        if expressions.is_column_definition(node):
            node = expressions.in_order(node)
        return node.__sql__(self)

    def _rows(self, rows: Sequence[Any]) -> Any:
        """Write the first row, and keep the parameters of all of them for one round trip."""
        super().literal(" VALUES ")
        if len(rows) == 1:
            return super().sql(rows[0])
        pieces: list[str] | None = None
        for row in rows:
            context = self.as_new()
            with context.scope_values(subquery=True):
                context.sql(row)
            if pieces is not None and context._sql != pieces:
                raise self.unsupported(
                    "An INSERT of several rows with expressions that differ", "Insert them one at a time."
                )
            pieces = context._sql
            self.rows.append(context._values)
        self._sql.extend(pieces or ())
        return self

    def _text(self, node: Any) -> Any:
        text = str(node.sql)
        rule = ON_DELETE.fullmatch(text)
        if rule is not None:
            if rule[1].upper() == "UPDATE":
                raise self.unsupported(
                    f"A foreign key with {text}", "Update the rows that refer to it yourself."
                )
            if rule[2].upper() in ("RESTRICT", "NO ACTION"):
                return self  # what Oracle does without being told
        string = VARCHAR.fullmatch(text)
        if string is not None:
            text = f"{string[1]}({string[2]} CHAR)"  # else it would count bytes
        if not node.params:
            return super().literal(text)
        # Numbers would have to fit those of the whole statement, so the marks are those of other engines.
        pieces = MARK.split(text)
        if len(pieces) != len(node.params) + 1:
            raise ValueError(
                f"SQL({text!r}) has {len(pieces) - 1} placeholders for {len(node.params)} parameters; "
                "write each as ? or %s"
            )
        super().literal(pieces[0])
        for param, piece in zip(node.params, pieces[1:], strict=True):
            self.value(param, False)
            super().literal(piece)
        return self

    def _index(self, node: Any) -> Any:
        if node._where is not None:
            raise self.unsupported("A partial index", "Index an expression that is NULL for the other rows.")
        longest = 30 if self.version < (12, 2) else 128
        name = shortened(node._name, longest)
        if name == node._name:
            return node
        clone = copy.copy(node)
        clone._name = name
        return clone


def with_sequence(query: Any) -> Any:
    """Return an INSERT that takes its key from the sequence of the primary key, or the query itself."""
    meta = getattr(query.table, "_meta", None)
    field: Any = getattr(meta, "primary_key", None)
    sequence = getattr(field, "sequence", None)
    rows = getattr(query, "_insert", None)
    if not sequence or not rows or query._columns:
        return query
    many = not isinstance(rows, Mapping)
    found = list(rows) if many else [rows]
    if not all(isinstance(row, Mapping) for row in found):
        return query
    key = stock.NodeList((stock.Entity(*sequence.split(".")), stock.SQL(".NEXTVAL")), glue="")
    filled = [row if field in row or field.name in row else {**row, field: key} for row in found]
    clone = copy.copy(query)
    clone._insert = filled if many else filled[0]
    return clone
