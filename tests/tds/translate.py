"""T-SQL queries and expressions in SQLite's words: sqlglot parses (`dialects`), `rewriting` writes.

Here, the T-SQL type of each expression is worked out, which SQLite does not tell: the wire needs that of each
column of a result, and what is compared with a column is first read as one of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp

from .catalog import Catalog, physical
from .dialects import parse
from .kinds import kind_of_arithmetic, kind_of_number
from .messages import TsqlError
from .rewriting import Rewrites
from .types import Type
from .values import BLOBS, MOMENTS, MONEY, RANGES, TEXTS, parse_type

__all__ = ["Query", "Translator", "parse"]

SYSTEM = {"information_schema", "sys"}
OLD_SYSTEM = {
    "sysobjects",
    "syscolumns",
    "sysindexes",
    "sysindexkeys",
    "systypes",
    "sysusers",
    "sysforeignkeys",
}
OLD_SYSTEM |= {"sysdatabases", "syscomments", "sysreferences", "sysconstraints"}
RETURNS = {
    **dict.fromkeys(["COUNT", "LEN", "DATEPART", "DATEDIFF", "CHARINDEX", "DATALENGTH", "OBJECT_ID"], "int"),
    **dict.fromkeys(["YEAR", "MONTH", "DAY", "COLUMNPROPERTY", "OBJECTPROPERTY", "INDEXPROPERTY"], "int"),
    **dict.fromkeys(["COUNT_BIG", "ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "DATEDIFF_BIG"], "bigint"),
    **dict.fromkeys(["GETDATE", "GETUTCDATE"], "datetime"),
    **dict.fromkeys(["SYSDATETIME", "SYSUTCDATETIME"], "datetime2(7)"),
    "NEWID": "uniqueidentifier",
    "TDS_EMPTY": "varbinary(1)",
    "SCOPE_IDENTITY": "decimal(38,0)",
    **dict.fromkeys(["PERCENT_RANK", "CUME_DIST"], "float"),
}
SAME_AS_FIRST = {
    "MIN",
    "MAX",
    "COALESCE",
    "ISNULL",
    "NULLIF",
    "LAG",
    "LEAD",
    "FIRST_VALUE",
    "LAST_VALUE",
    "ABS",
    "ROUND",
}
#: A literal or a parameter beside a column of these is read as one of them first.
STRICT = {*MOMENTS, *MONEY, "decimal", "uniqueidentifier", "bit", "float", "real"}
COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


@dataclass
class Query:
    """A query for SQLite.

    Attributes:
        names: of its columns; None where a star stands and SQLite knows better.
        kinds: by position, as far as the tree tells.
        system: the catalog views that it reads.
    """

    sql: str
    names: list[str] | None
    kinds: list[Type | None]
    system: set[str] = field(default_factory=set)


Columns = list[tuple[str, "Type | None"]]


@dataclass
class _Scope:
    sources: dict[str, Columns]
    outer: _Scope | None = None

    def find(self, column: exp.Column) -> Type | None:
        name, table = column.name.lower(), column.table.lower()
        for alias, columns in self.sources.items():
            if table in ("", alias):
                for known, kind in columns:
                    if known.lower() == name:
                        return kind
        return self.outer.find(column) if self.outer is not None else None


class Translator(Rewrites):
    """Translates for one session.

    Args:
        catalog: of its database.
        database: whose name a table may carry.
        parameter: returns the type of a variable or parameter.
    """

    def __init__(self, catalog: Catalog, database: str, parameter: Callable[[str], Type | None]) -> None:
        self.catalog = catalog
        self.database = database
        self.parameter = parameter
        self.system: set[str] = set()

    # What the session asks for

    def query(self, sql: str | exp.Expression) -> Query:
        """Translate a SELECT, a VALUES or a statement that WITH begins."""
        tree = parse(sql) if isinstance(sql, str) else sql
        self.system = set()
        found = self.columns(tree, None, {})
        names = None if any(name == "*" for name, _ in found) else [name for name, _ in found]
        kinds = [kind for _, kind in found]
        return Query(self.write(tree), names, kinds, self.system)

    def expression(self, sql: str, scope: dict[str, Columns] | None = None) -> str:
        """Translate an expression; `scope` gives the columns of each source by its alias."""
        if sql.lstrip()[:6].upper() in ("SELECT", "WITH ["):
            return self.query(sql).sql
        tree = parse(f"SELECT {sql}")
        self.columns(tree, _Scope(scope) if scope else None, {})
        return self.write(tree).removeprefix("SELECT ")

    def condition(self, sql: str, scope: dict[str, Columns] | None = None) -> str:
        """Translate a predicate."""
        tree = parse(f"SELECT 1 WHERE {sql}")
        self.columns(tree, _Scope(scope) if scope else None, {})
        return self.write(tree).removeprefix("SELECT 1 WHERE ")

    def sources(self, sql: str) -> dict[str, Columns]:
        """Return the columns of each source in the FROM clause of a SELECT."""
        tree = parse(sql)
        scope = _Scope({})
        from_ = tree.args.get("from_") or tree.args.get("from")
        for source in [from_.this, *(join.this for join in tree.args.get("joins") or [])]:
            alias, found = self._source(source, scope, {})
            scope.sources[alias.lower()] = found
        return scope.sources

    def rowids(self, head: str, alias: str) -> tuple[str, str] | None:
        """For a write through a CTE: the physical table, and a query of the rowids that the CTE means.

        Args:
            head: the WITH clause.
            alias: the name of the CTE that is written, or of a table, for which None is returned.
        """
        tree = parse(f"{head} SELECT 1 AS [x]")
        with_ = tree.args.get("with_") or tree.args["with"]
        for cte in with_.expressions:
            if cte.alias.lower() == alias.lower() and isinstance(cte.this, exp.Select):
                select = cte.this.copy()
                from_ = select.args.get("from_") or select.args["from"]
                name = self.table_name(from_.this)
                self.columns(select, None, {})
                column = exp.Column(
                    this=exp.to_identifier("rowid"),
                    table=exp.to_identifier(from_.this.alias_or_name, quoted=True),
                )
                select.set("expressions", [column])
                return name, self.write(select)
        return None

    def table_name(self, table: exp.Table) -> str:
        """Return the name in SQLite of a table in a tree."""
        schema, catalog, name = table.db.lower(), table.catalog.lower(), table.name
        if isinstance(table.this, exp.Parameter):
            return f"@{table.this.name}"
        if schema in SYSTEM or name.lower() in OLD_SYSTEM:
            full = name.lower() if name.lower() in OLD_SYSTEM else f"{schema}.{name.lower()}"
            self.system.add(full)
            return full
        identifier = table.this
        if isinstance(identifier, exp.Identifier) and identifier.args.get("temporary"):
            name = f"#{name}"
        if name[:1] == "#":
            return name
        if catalog and catalog != self.database.lower():
            raise TsqlError(
                50000, f"The test server cannot read another database ({table.catalog}) in a query."
            )
        return physical(table.db, name)

    # Types

    def columns(self, tree: Any, outer: _Scope | None, ctes: dict[str, Columns]) -> Columns:
        """Return the columns of a query, and mend its comparisons on the way."""
        ctes = dict(ctes)
        with_ = tree.args.get("with_") or tree.args.get("with")
        for cte in with_.expressions if with_ else []:
            own = [(column.name, None) for column in cte.args["alias"].columns]
            if own:
                ctes[cte.alias.lower()] = own
            elif isinstance(cte.this, exp.SetOperation):
                ctes[cte.alias.lower()] = self.columns(cte.this.left, outer, ctes)
            found = self.columns(cte.this, outer, ctes)
            names = [name for name, _ in own] or [name for name, _ in found]
            ctes[cte.alias.lower()] = [(name, kind) for name, (_, kind) in zip(names, found, strict=False)]
        if isinstance(tree, exp.Subquery):
            return self.columns(tree.this, outer, ctes)
        if isinstance(tree, exp.SetOperation):
            left = self.columns(tree.left, outer, ctes)
            right = self.columns(tree.right, outer, ctes)
            return [(name, a or b) for (name, a), (_, b) in zip(left, right, strict=False)]
        if isinstance(tree, exp.Values):
            rows = [self._mended(row, _Scope({}, outer), ctes) for row in tree.expressions]
            first = rows[0].expressions if rows and isinstance(rows[0], exp.Tuple) else rows
            return [
                (f"column{n}", self.infer(item, _Scope({}, outer), ctes)) for n, item in enumerate(first, 1)
            ]
        if not isinstance(tree, exp.Select):
            return []
        scope = _Scope({}, outer)
        sources = [join.this for join in tree.args.get("joins") or []]
        if from_ := tree.args.get("from_") or tree.args.get("from"):
            sources.insert(0, from_.this)
        for source in sources:
            alias, found = self._source(source, scope, ctes)
            scope.sources[alias.lower()] = found
        for key, value in tree.args.items():
            if key not in ("from_", "from", "with_", "with", "expressions"):
                for part in value if isinstance(value, list) else [value]:
                    if isinstance(part, exp.Join):
                        part = part.args.get("on")
                    if isinstance(part, exp.Expression):
                        self._mended(part, scope, ctes)
        result: Columns = []
        for item in tree.expressions:
            self._mended(item, scope, ctes)
            result.extend(self._projection(item, scope, ctes))
        return result

    def _projection(self, item: Any, scope: _Scope, ctes: dict[str, Columns]) -> Columns:
        if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
            table = item.table.lower() if isinstance(item, exp.Column) else ""
            found = [
                column
                for alias, columns in scope.sources.items()
                if table in ("", alias)
                for column in columns
            ]
            return found or [("*", None)]
        name = (
            item.alias if isinstance(item, exp.Alias) else item.name if isinstance(item, exp.Column) else ""
        )
        return [(name, self.infer(item, scope, ctes))]

    def _source(self, source: Any, scope: _Scope, ctes: dict[str, Columns]) -> tuple[str, Columns]:
        alias = source.alias_or_name
        if isinstance(source, exp.Lateral):
            raise TsqlError(50000, "The test server knows no APPLY.")
        if isinstance(source, exp.Table):
            if source.name.lower() in ctes and not source.db:
                return alias, ctes[source.name.lower()]
            name = self.table_name(source)
            table = self.catalog.table(name)
            if table is None:
                return alias, []
            return alias, [(c.name, None if c.computed or not c.type else c.kind) for c in table.columns]
        found = self.columns(source, scope.outer, ctes)
        alias_node = source.args.get("alias")
        given = [column.name for column in alias_node.columns] if alias_node else []
        return alias, [
            (name, kind) for name, (_, kind) in zip(given, found, strict=False)
        ] if given else found

    def infer(self, node: Any, scope: _Scope, ctes: dict[str, Columns]) -> Type | None:
        """Return the type of an expression, or None where only its values can tell."""
        if isinstance(node, (exp.Alias, exp.Paren, exp.Neg, exp.Window, exp.Distinct, exp.Collate)):
            this = node.expressions[0] if isinstance(node, exp.Distinct) else node.this
            return self.infer(this, scope, ctes)
        if isinstance(node, exp.Column):
            return scope.find(node)
        if isinstance(node, exp.Parameter):
            return self.parameter(node.name)
        if isinstance(node, exp.Subquery):
            found = self.columns(node.copy(), scope, ctes)
            return found[0][1] if found else None
        if isinstance(node, exp.Case):
            branches = [branch.args["true"] for branch in node.args["ifs"]]
            return self._first([*branches, node.args.get("default")], scope, ctes)
        if isinstance(node, exp.Literal) and not node.is_string:
            return kind_of_number(node.this)
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)):
            return kind_of_arithmetic(self.infer(node.left, scope, ctes), self.infer(node.right, scope, ctes))
        if isinstance(node, (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor)):
            return kind_of_arithmetic(self.infer(node.left, scope, ctes), self.infer(node.right, scope, ctes))
        if isinstance(node, exp.Anonymous):
            return self._function(node, scope, ctes)
        return None

    def _function(self, node: exp.Anonymous, scope: _Scope, ctes: dict[str, Columns]) -> Type | None:
        name, arguments = node.name.upper(), node.expressions
        if name in ("TDS_CAST", "TDS_CONVERT"):
            return parse_type(arguments[1].name)
        if name in RETURNS:
            return parse_type(RETURNS[name])
        if name in SAME_AS_FIRST:
            return self._first(arguments, scope, ctes)
        if name == "DATEADD":
            kind = self.infer(arguments[2], scope, ctes)
            return kind if kind is not None and kind.name in MOMENTS else Type("datetime")
        if name in ("SUM", "AVG"):
            kind = self.infer(arguments[0], scope, ctes)
            if kind is None:
                return None
            if kind.name in ("tinyint", "smallint", "int", "bit"):
                return Type("int")
            if kind.name == "decimal":
                return Type("decimal", 38, kind.scale if name == "SUM" else max(kind.scale, 6))
            return Type("money") if kind.name in MONEY else kind
        return None

    def _first(self, nodes: Iterable[Any], scope: _Scope, ctes: dict[str, Columns]) -> Type | None:
        kinds = [
            self.infer(node, scope, ctes)
            for node in nodes
            if node is not None and not isinstance(node, exp.Null)
        ]
        if any(kind is None for kind in kinds):
            return None
        known = [kind for kind in kinds if kind is not None]
        if len({kind.name for kind in known}) > 1 and all(kind.name in RANGES for kind in known):
            return max(known, key=lambda kind: RANGES[kind.name][1])
        if known and known[0].name in TEXTS | BLOBS:
            return max(known, key=lambda kind: kind.length if kind.length >= 0 else 10**9)
        return known[0] if known else None

    def _mended(self, node: Any, scope: _Scope, ctes: dict[str, Columns]) -> Any:
        """Turn what stands beside a column of a strict type into that type; look into subqueries."""
        for part in list(node.walk(prune=lambda n: isinstance(n, (exp.Query, exp.Subquery)))):
            if isinstance(part, (exp.Select, exp.SetOperation, exp.Subquery)):
                if part is not node or isinstance(part, exp.Subquery):
                    self.columns(part, scope, ctes)
            elif isinstance(part, COMPARISONS):
                self._alike(part.left, [part.right], scope, ctes)
                self._alike(part.right, [part.left], scope, ctes)
            elif isinstance(part, exp.In):
                self._alike(part.this, part.expressions, scope, ctes)
            elif isinstance(part, exp.Between):
                self._alike(part.this, [part.args["low"], part.args["high"]], scope, ctes)
            elif isinstance(part, exp.Anonymous) and part.name.upper() == "AVG":
                kind = self.infer(part.expressions[0], scope, ctes)
                if kind is not None and kind.name in RANGES:
                    part.set("this", "TDS_AVG")
            elif isinstance(part, exp.Add):
                kinds = [self.infer(side, scope, ctes) for side in (part.left, part.right)]
                if not all(kind is not None and kind.name not in TEXTS for kind in kinds):
                    part.args["tds_text"] = True
        return node

    def _alike(self, column: Any, others: Iterable[Any], scope: _Scope, ctes: dict[str, Columns]) -> None:
        if isinstance(column, (exp.Literal, exp.National, exp.Parameter)):
            return
        kind = self.infer(column, scope, ctes)
        if kind is None or kind.name not in STRICT:
            return
        for other in others:
            if isinstance(other, (exp.Literal, exp.National, exp.Parameter)):
                wider = Type("decimal", 38, 18) if kind.name == "decimal" else kind
                wider = (
                    Type("datetime2", 0, 7)
                    if kind.name == "datetime" and isinstance(other, exp.Parameter)
                    else wider
                )
                other.replace(
                    exp.Anonymous(this="TDS_CAST", expressions=[other.copy(), exp.Literal.string(str(wider))])
                )
