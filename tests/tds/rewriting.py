"""A tree of T-SQL made into one of SQLite, node by node, and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

from .dialects import Target
from .kinds import kind_of_number
from .messages import TsqlError

if TYPE_CHECKING:
    from .translate import Translator

    Base = Translator
else:
    Base = object

__all__ = ["Rewrites"]

#: SQLite's own functions; every other one is one of `functions`, with a prefix.
NATIVE = {
    *("COUNT", "SUM", "MIN", "MAX", "AVG", "ABS", "COALESCE", "NULLIF", "REPLACE", "ROUND"),
    *("ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"),
    *("PERCENT_RANK", "CUME_DIST", "GROUP_CONCAT", "JSON_EACH"),
}
RENAMED = {"COUNT_BIG": "COUNT", "STRING_AGG": "GROUP_CONCAT"}
#: Their first argument is a word, not a column.
DATE_PARTS = {"DATEPART", "DATENAME", "DATEADD", "DATEDIFF", "DATEDIFF_BIG", "DATETRUNC"}


class Rewrites(Base):
    """Mixin of `Translator`."""

    def write(self, tree: exp.Expression) -> str:
        """Return SQLite's text of a tree whose comparisons are mended."""
        ctes = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
        root = exp.Paren(this=tree)  # so that every node has a parent to be replaced in
        for node in reversed(list(tree.walk(bfs=True))):
            self._rewrite(node, ctes)
        return root.this.sql(dialect=Target, unsupported_level=sqlglot.ErrorLevel.IGNORE)  # type: ignore[no-any-return]

    def _rewrite(self, node: Any, ctes: set[str]) -> None:
        if isinstance(node, exp.National):
            node.replace(exp.Literal.string(node.name))
        elif isinstance(node, exp.Literal) and not node.is_string:
            if "e" in node.this.lower():
                # SQLite reads the last digit of some numbers wrongly.
                node.replace(exp.Anonymous(this="tds_float", expressions=[exp.Literal.string(node.this)]))
            elif len(node.this.replace(".", "").lstrip("0")) > 15:
                is_exact = kind_of_number(node.this).name == "decimal"
                node.replace(exp.Literal.string(node.this) if is_exact else node.copy())
        elif isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and node.this.is_string:
            node.replace(exp.Literal.string(f"-{node.this.this}"))
        elif isinstance(node, exp.Table):
            node.set("hints", None)
            if node.db or node.name.lower() not in ctes:
                name = self.table_name(node)
                if not node.alias and name != node.name:
                    node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name, quoted=True)))
                node.set("this", exp.to_identifier(name, quoted=True))
            node.set("db", None)
            node.set("catalog", None)
        elif isinstance(node, exp.Column):
            node.set("db", None)
            node.set("catalog", None)
            if (
                not node.table
                and not node.this.args.get("quoted")
                and node.name.upper() == "CURRENT_TIMESTAMP"
            ):
                node.replace(exp.Anonymous(this="tds_getdate"))
        elif isinstance(node, exp.Parameter) and isinstance(node.this, exp.Parameter):
            node.replace(
                exp.Anonymous(this="tds_global", expressions=[exp.Literal.string(node.this.name.upper())])
            )
        elif isinstance(node, exp.Parameter):
            if not isinstance(node.parent, (exp.Parameter, exp.Table)):
                node.set("this", exp.Var(this=node.name.lower()))
        elif isinstance(node, exp.Anonymous):
            _name_function(node)
        elif isinstance(node, exp.Add) and node.args.pop("tds_text", None):
            node.replace(exp.Anonymous(this="tds_add", expressions=[node.left, node.right]))
        elif isinstance(node, exp.BitwiseXor):
            node.replace(exp.Anonymous(this="tds_xor", expressions=[node.left, node.right]))
        elif isinstance(node, exp.Like):
            _like(node)
        elif isinstance(node, exp.Collate):
            binary = "BIN" in node.expression.name.upper() or "_CS_" in node.expression.name.upper()
            node.set("expression", exp.Var(this="BINARY" if binary else "NOCASE"))
        elif isinstance(node, (exp.Subquery, exp.Values)):
            _named_columns(node)
        elif isinstance(node, exp.Lateral):
            raise TsqlError(50000, "The test server knows no APPLY.")


def _name_function(node: exp.Anonymous) -> None:
    name = node.name.upper()
    if name in DATE_PARTS and isinstance(node.expressions[0], exp.Column):
        node.expressions[0].replace(exp.Literal.string(node.expressions[0].name.lower()))
    if name.startswith("TDS_") or name in NATIVE:
        return
    node.set("this", RENAMED.get(name) or f"tds_{name.lower()}")


def _like(node: exp.Like) -> None:
    pattern, this = node.expression, node.this
    exact = False
    sides = []
    for side in (this, pattern):
        while isinstance(side, (exp.Collate, exp.Paren)):
            if isinstance(side, exp.Collate):
                exact = exact or side.expression.name.upper() == "BINARY"
            side = side.this
        sides.append(side)
    escape = node.parent if isinstance(node.parent, exp.Escape) else None
    mark = escape.expression if escape is not None else exp.Literal.string("")
    call = exp.Anonymous(
        this="tds_like", expressions=[*sides, mark.copy(), exp.Literal.number(1 if exact else 0)]
    )
    (escape or node).replace(call)


def _named_columns(node: Any) -> None:
    """Names in front of a derived table's rows, which SQLite takes only from the rows themselves."""
    alias = node.args.get("alias")
    if alias is None or not alias.columns:
        return
    head = exp.Select(
        expressions=[exp.alias_(exp.Null(), column.name, quoted=True) for column in alias.columns]
    ).where(exp.false())
    inner = node.copy()
    inner.set("alias", None)
    body = exp.Select(expressions=[exp.Star()]).from_(
        inner if isinstance(inner, exp.Subquery) else exp.Subquery(this=inner)
    )
    union = exp.Union(this=head, expression=body, distinct=False)
    plain = exp.TableAlias(this=alias.this.copy())
    node.replace(exp.Subquery(this=union, alias=plain))
