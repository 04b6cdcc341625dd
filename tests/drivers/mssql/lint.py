"""What SQL Server refuses and its parser does not see: names of columns, functions and types, and limits.

The rules are named by the number of the server's message where it has one. Those that need to know what is
inside what look at the tree that sqlglot makes of the statement, the others at its words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import sqlglot
from sqlglot import exp

from tests.drivers.mssql.vocabulary import FUNCTION_SINCE, TYPE_SINCE, WORDS, YEARS

# It says so when it reads a SET or an OPTION only as text, and for these rules that is enough.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

__all__ = ["RULES", "complaints", "parsed"]


_TOKEN = re.compile(
    r"(?P<text>N?'(?:[^']|'')*')|(?P<name>\[(?:[^\]]|\]\])*\])|(?P<param>@@?\w+)|(?P<word>[A-Za-z_#]\w*)"
    r"|(?P<number>0x[0-9A-Fa-f]*|\d[\w.]*)|(?P<blank>\s+)|(?P<sign>.)",
    re.DOTALL,
)

_RANKING = frozenset({"ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE"})
_ORDERED = _RANKING | {"LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE"}


Rule = Callable[[Any, str], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    def register(check: Rule) -> Rule:
        RULES[name] = check
        return check

    return register


def tokens(sql: str) -> list[tuple[str, str]]:
    """Return the words of a statement as (kind, text), without blanks."""
    found = ((match.lastgroup or "", match[0]) for match in _TOKEN.finditer(sql))
    return [token for token in found if token[0] != "blank"]


def parsed(sql: str) -> list[exp.Expression]:
    """Return the trees of the statements in a batch, as far as sqlglot knows them."""
    trees: list[exp.Expression] = []
    for statement in _statements(sql):
        try:
            trees += [tree for tree in sqlglot.parse(statement, read="tsql") if tree is not None]
        except sqlglot.errors.SqlglotError:
            continue
    return trees


def _statements(sql: str) -> list[str]:
    parts, current = [], []
    for kind, text in ((m.lastgroup, m[0]) for m in _TOKEN.finditer(sql)):
        if kind == "sign" and text == ";":
            parts.append("".join(current))
            current = []
        else:
            current.append(text)
    parts.append("".join(current))
    return [part for part in parts if part.strip()]


class _Subject:
    """A statement in the forms that the rules look at, each made when one asks for it."""

    def __init__(self, statement: Any) -> None:
        self.sql, self.params = statement.sql, statement.params
        self.tokens = tokens(statement.sql)
        self.words = [text.upper() if kind == "word" else text for kind, text in self.tokens]
        self.trees = parsed(statement.sql)

    def find(self, *kinds: Any) -> Iterator[Any]:
        for tree in self.trees:
            yield from tree.find_all(*kinds)


def complaints(statement: Any, version: str) -> list[str]:
    """Return what a version would say against a statement, as "rule: reason"."""
    subject = _Subject(statement)
    return [f"{name}: {said}" for name, check in RULES.items() for said in check(subject, version)]


def _old(version: str, than: str) -> bool:
    return YEARS.index(version) < YEARS.index(than)


def _derived(subject: Any) -> Iterator[Any]:
    """Yield the query of each derived table and table expression whose columns are not named outside."""
    for node in subject.find(exp.Subquery, exp.CTE, exp.Lateral):
        if isinstance(node, exp.Subquery) and not isinstance(node.parent, (exp.From, exp.Join, exp.Lateral)):
            continue
        alias = node.args.get("alias")
        if not (alias is not None and alias.args.get("columns")):
            query = node.this
            while isinstance(query, (exp.SetOperation, exp.Subquery)):
                query = query.this
            if isinstance(query, exp.Select):
                yield query


def _is_star(column: Any) -> bool:
    return isinstance(column, exp.Star) or (
        isinstance(column, exp.Column) and isinstance(column.this, exp.Star)
    )


def _name(column: Any) -> str:
    """Return the name of a selected column; sqlglot would take the 1 of SELECT 1 for one."""
    return str(column.alias_or_name) if isinstance(column, (exp.Alias, exp.Column)) else ""


@rule("8155 unnamed column of a derived table")
def _unnamed(subject: Any, version: str) -> Iterator[str]:
    for query in _derived(subject):
        for column in query.expressions:
            if not _name(column) and not _is_star(column):
                yield column.sql(dialect="tsql")


@rule("8156 column name twice in a derived table")
def _twice(subject: Any, version: str) -> Iterator[str]:
    for query in _derived(subject):
        names = [_name(column).lower() for column in query.expressions]
        yield from {name for name in names if name and names.count(name) > 1}


@rule("145 ORDER BY after DISTINCT of what is not selected")
def _distinct_order(subject: Any, version: str) -> Iterator[str]:
    for query in subject.find(exp.Select):
        order = query.args.get("order")
        if query.args.get("distinct") is None or order is None:
            continue
        known = {column.unalias().sql() for column in query.expressions}
        known |= {exp.column(column.alias, quoted=True).sql() for column in query.expressions if column.alias}
        for item in order.expressions:
            key = item.this if isinstance(item, exp.Ordered) else item
            if not isinstance(key, exp.Literal) and (key.sql() not in known or key.find(exp.Parameter)):
                yield key.sql(dialect="tsql")


@rule("164 GROUP BY of a constant")
def _group_constant(subject: Any, version: str) -> Iterator[str]:
    for group in subject.find(exp.Group):
        for item in group.expressions:
            if not item.find(exp.Column):
                yield item.sql(dialect="tsql")


@rule("144 GROUP BY of a subquery or an aggregate")
def _group_subquery(subject: Any, version: str) -> Iterator[str]:
    for group in subject.find(exp.Group):
        for item in group.expressions:
            if item.find(exp.Select, exp.AggFunc):
                yield item.sql(dialect="tsql")


@rule("8120 selected and neither grouped nor aggregated")
def _ungrouped(subject: Any, version: str) -> Iterator[str]:
    for query in subject.find(exp.Select):
        group = query.args.get("group")
        aggregated = any(_own(query, column) for column in query.expressions)
        if group is None and not (aggregated and query.args.get("from_") is not None):
            continue
        keys = [item.sql() for item in group.expressions] if group is not None else []
        for item in group.expressions if group is not None else ():
            if item.find(exp.Parameter):
                yield f"parameter in GROUP BY: {item.sql(dialect='tsql')}"
        parts = [column.unalias() for column in query.expressions]
        having, order = query.args.get("having"), query.args.get("order")
        parts += [having.this] if having is not None else []
        aliases = {column.alias for column in query.expressions if column.alias}
        if order is not None and query.args.get("distinct") is None:
            parts += [item.this if isinstance(item, exp.Ordered) else item for item in order.expressions]
        for part in parts:
            yield from _uncovered(part, keys, aliases)


def _own(query: Any, column: Any) -> bool:
    return any(
        node.find_ancestor(exp.Select) is query and node.find_ancestor(exp.Window) is None
        for node in column.find_all(exp.AggFunc)
        if not isinstance(node, (exp.RowNumber, exp.FirstValue, exp.LastValue, exp.Lag, exp.Lead))
        and not isinstance(node.parent, exp.Window)
    )


def _uncovered(node: Any, keys: list[str], aliases: set[str]) -> Iterator[str]:
    if node.sql() in keys or isinstance(node, (exp.AggFunc, exp.Subquery, exp.Exists, exp.Select)):
        return
    if isinstance(node, exp.Column):
        if node.table or node.name not in aliases:
            yield node.sql(dialect="tsql")
        return
    for child in node.iter_expressions():
        yield from _uncovered(child, keys, aliases)


@rule("1003 FOR UPDATE")
def _for_update(subject: Any, version: str) -> Iterator[str]:
    for first, second in zip(subject.words, subject.words[1:], strict=False):
        if first == "FOR" and second in ("UPDATE", "SHARE"):
            yield f"{first} {second}"


@rule("10744 FETCH of no rows")
def _fetch_nothing(subject: Any, version: str) -> Iterator[str]:
    words = subject.words
    for place, word in enumerate(words[:-2]):
        if word == "FETCH" and words[place + 2] == "0":
            yield "FETCH NEXT 0 ROWS"


@rule("10741 TOP and OFFSET in one query")
def _top_and_offset(subject: Any, version: str) -> Iterator[str]:
    tops: list[bool] = [False]
    for place, word in enumerate(subject.words):
        if word == "(":
            tops.append(False)
        elif word == ")" and len(tops) > 1:
            tops.pop()
        elif word == "TOP":
            tops[-1] = True
        elif word in ("UNION", "EXCEPT", "INTERSECT", ";"):
            tops[-1] = False
        elif word == "OFFSET" and tops[-1] and place:
            yield "TOP with OFFSET"


@rule("1033 ORDER BY in a derived table without TOP or OFFSET")
def _inner_order(subject: Any, version: str) -> Iterator[str]:
    for query in subject.find(exp.Select, exp.SetOperation):
        inside = query.find_ancestor(exp.Subquery, exp.CTE, exp.In, exp.Exists, exp.Paren, exp.SetOperation)
        if inside is None or query.args.get("order") is None:
            continue
        if not any(query.args.get(key) for key in ("limit", "offset", "for_")):
            yield query.sql(dialect="tsql")


@rule("169 column twice in ORDER BY")
def _order_twice(subject: Any, version: str) -> Iterator[str]:
    for order in subject.find(exp.Order):
        keys = [
            item.this.sql() if isinstance(item, exp.Ordered) else item.sql() for item in order.expressions
        ]
        yield from {key for key in keys if keys.count(key) > 1}


@rule("1008 ORDER BY of a parameter or constant")
def _order_constant(subject: Any, version: str) -> Iterator[str]:
    for order in subject.find(exp.Order):
        for item in order.expressions:
            key = item.this if isinstance(item, exp.Ordered) else item
            ordinal = (
                isinstance(key, exp.Literal)
                and not key.is_string
                and not isinstance(order.parent, exp.Window)
            )
            if isinstance(key, (exp.Literal, exp.Parameter, exp.Null)) and not ordinal:
                yield key.sql(dialect="tsql")


@rule("195 no such function")
def _functions(subject: Any, version: str) -> Iterator[str]:
    found = subject.tokens
    for place, (kind, text) in enumerate(found[:-1]):
        if kind != "word" or found[place + 1][1] != "(" or text.lower() in WORDS:
            continue
        if place and (found[place - 1][1] == "." or found[place - 1][1].upper() in ("AS", "INTO", "TABLE")):
            continue
        since = FUNCTION_SINCE.get(text.lower())
        if since is None or since > YEARS.index(version):
            yield text


@rule("243 no such type")
def _types(subject: Any, version: str) -> Iterator[str]:
    found = subject.tokens
    depths: list[bool] = []
    for place, (_, text) in enumerate(found):
        if text == "(":
            before = found[place - 1][1].upper() if place else ""
            depths.append(before in ("CAST", "TRY_CAST"))
            if before == "CONVERT":
                yield from _type(found, place + 1, version)
        elif text == ")" and depths:
            depths.pop()
        elif text.upper() == "AS" and depths and depths[-1]:
            yield from _type(found, place + 1, version)


def _type(found: list[tuple[str, str]], place: int, version: str) -> Iterator[str]:
    name = found[place][1]
    since = TYPE_SINCE.get(name.lower())
    if since is None or since > YEARS.index(version):
        yield name
    elif _old(version, "2005") and [text.upper() for _, text in found[place + 1 : place + 3]] == ["(", "MAX"]:
        yield f"{name}(MAX)"
    elif name.lower() == "nvarchar" and found[place + 1][1] == "(" and found[place + 2][1].isdigit():
        length = int(found[place + 2][1])
        yield from (f"{name}({length})" for _ in range(length > 4000))


@rule("102 aggregate over a window with an order before 2012")
def _window_order(subject: Any, version: str) -> Iterator[str]:
    if not _old(version, "2012"):
        return
    words = subject.words
    for place, word in enumerate(words[:-2]):
        if word == "OVER" and words[place + 1] == "(":
            inside, depth = [], 1
            for other in words[place + 2 :]:
                depth += (other == "(") - (other == ")")
                if not depth:
                    break
                inside.append(other)
            if "ORDER" in inside and _called(words, place) not in _RANKING:
                yield _called(words, place)


def _called(words: list[str], place: int) -> str:
    """Return the function before an OVER."""
    depth = 0
    for back in range(place - 1, -1, -1):
        depth += (words[back] == ")") - (words[back] == "(")
        if not depth:
            return words[back - 1]
    return ""


@rule("4112 ranking function without an order")
def _unordered_ranking(subject: Any, version: str) -> Iterator[str]:
    words = subject.words
    for place, word in enumerate(words[:-2]):
        sorts = "ORDER" in words[place : place + 60]
        if word == "OVER" and not sorts and _called(words, place) in _ORDERED:
            yield _called(words, place)


@rule("156 INTERSECT and EXCEPT before 2005")
def _intersect(subject: Any, version: str) -> Iterator[str]:
    if _old(version, "2005"):
        yield from (word for word in subject.words if word in ("INTERSECT", "EXCEPT"))


@rule("name of a savepoint over 32 characters")
def _savepoint(subject: Any, version: str) -> Iterator[str]:
    words = subject.words
    for place, word in enumerate(words[:-2]):
        if word in ("SAVE", "ROLLBACK") and words[place + 1] in ("TRANSACTION", "TRAN"):
            name = words[place + 2].strip("[]")
            if len(name) > 32:
                yield name


@rule("8003 more than 2100 parameters")
def _parameters(subject: Any, version: str) -> Iterator[str]:
    if len(subject.params) > 2100:
        yield str(len(subject.params))


@rule("10738 more than 1000 rows of VALUES")
def _values(subject: Any, version: str) -> Iterator[str]:
    words, place = subject.words, 0
    while "VALUES" in words[place:]:
        place = words.index("VALUES", place) + 1
        depth = rows = 0
        for word in words[place:]:
            if depth == 0 and word not in ("(", ","):
                break
            rows += depth == 0 and word == "("
            depth += (word == "(") - (word == ")")
        if rows > 1000:
            yield str(rows)


@rule("103 name over 128 characters")
def _long_names(subject: Any, version: str) -> Iterator[str]:
    yield from (text for kind, text in subject.tokens if kind == "name" and len(text) > 130)
