"""Reading the parts of a query: what is inside a node, whether two say the same, what kind a value is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .. import dialect
from ..stock import stock

__all__ = [
    "MERGED",
    "Kind",
    "aggregate_name",
    "base_field",
    "contains_aggregate",
    "fields_in",
    "identifier",
    "is_distinct",
    "is_row_local",
    "kind_of",
    "plain",
    "signature",
    "source_of",
    "subqueries",
    "walk",
]


class Kind:
    """What kind of values a node has, as far as comparing them goes."""

    INT, DECIMAL, FLOAT, BOOL = "int", "decimal", "float", "bool"
    TEXT, TIME, UUID, BYTES = "text", "time", "uuid", "bytes"
    JSON, UNKNOWN = "json", "unknown"

    NUMBERS = frozenset({INT, DECIMAL, FLOAT, BOOL})


_KINDS = {
    **dict.fromkeys(("AUTO", "BIGAUTO", "INT", "BIGINT", "SMALLINT", "TINYINT"), Kind.INT),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL"), Kind.FLOAT),
    **dict.fromkeys(("VARCHAR", "CHAR", "TEXT", "UUID_TEXT"), Kind.TEXT),
    **dict.fromkeys(("DATE", "DATETIME", "TIME", "TIMESTAMP"), Kind.TIME),
    **dict.fromkeys(("BLOB", "UUIDB"), Kind.BYTES),
    **dict.fromkeys(("JSON", "JSONB"), Kind.JSON),
    "DECIMAL": Kind.DECIMAL,
    "BOOL": Kind.BOOL,
    "UUID": Kind.UUID,
}

#: The aggregates that can be merged.
MERGED = frozenset({"count", "sum", "min", "max", "avg"})

# Functions that are known to look at one row at a time. Any other may be an aggregate.
_NAMES = """
abs acos asin atan atan2 ceil ceiling cos degrees exp floor ln log log10 log2 mod pi pow power radians
round sign sin sqrt tan trunc truncate greatest least coalesce ifnull nullif isnull iif if
lower upper length char_length character_length octet_length trim ltrim rtrim substr substring left right
replace reverse concat concat_ws instr strpos position lpad rpad repeat initcap ascii char chr hex unhex
unicode quote printf format md5 sha1 sha2 crc32 lcase ucase
date time datetime julianday strftime unixepoch date_part date_trunc extract year month day hour minute
second quarter week weekday dayofweek dayofyear to_char to_date to_timestamp date_format from_unixtime
unix_timestamp date_add date_sub datediff timestampdiff age make_date last_day
cast typeof json_extract json_type json_valid json_unquote json_array_length jsonb_array_length
peewee_date_part peewee_date_trunc
"""
_ROW_LOCAL = frozenset(_NAMES.split())

# Functions of each kind of result, where it does not depend on the arguments.
_INTS = """
count length char_length character_length octet_length instr strpos position ascii unicode crc32 sign
year month day hour minute second quarter week weekday dayofweek dayofyear date_part peewee_date_part extract
"""
_TEXTS = """
lower upper trim ltrim rtrim substr substring left right replace reverse concat concat_ws lpad rpad repeat
initcap chr hex md5 sha1 sha2 lcase ucase to_char
"""
_FUNCTION_KINDS = {
    **dict.fromkeys(_INTS.split(), Kind.INT),
    **dict.fromkeys(_TEXTS.split(), Kind.TEXT),
}
_SAME_KIND = frozenset(
    {"min", "max", "abs", "coalesce", "ifnull", "nullif", "greatest", "least", "round", "sum"}
)

#: A name of its own kind: no function call and no keyword with a meaning.
_IDENTIFIER = re.compile(r"""\s*["`\[]?([A-Za-z_]\w*)["`\]]?\s*""")
_OVER = re.compile(r"\bOVER\b", re.IGNORECASE)
_COMPARISONS = frozenset(
    {"=", "<", "<=", ">", ">=", "!=", "<>", "IN", "NOT IN", "IS", "IS NOT", "LIKE", "ILIKE", "BETWEEN"}
    | {"AND", "OR", "NOT"}
)


def plain(node: Any) -> Any:
    """Return the node without alias, BindTo and ORDER BY direction around it."""
    while isinstance(node, (stock.Alias, stock.BindTo, stock.Ordering)):
        node = node.node
    return node


def children(node: Any) -> tuple[Any, ...]:
    """Return what a node is made of; a query inside is not looked into."""
    if isinstance(node, (list, tuple, set, frozenset)):
        return tuple(node)
    if not isinstance(node, stock.Node) or isinstance(node, (stock.SelectBase, stock.Field)):
        return ()
    if isinstance(node, stock.Expression):
        return (node.lhs, node.rhs)
    if isinstance(node, dialect.EngineNode):
        return (dialect.written(node),)
    if isinstance(node, stock.WrappedNode):
        return (node.node,)
    if isinstance(node, stock.Function):
        return (*node.arguments, node._filter, *(node._order_by or ()))
    if isinstance(node, stock.NodeList):
        return tuple(node.nodes)
    if isinstance(node, stock.Case):
        return (node.predicate, *(part for pair in node.expression_tuples for part in pair), node.default)
    if isinstance(node, stock.Value):
        return tuple(node.values) if node.multi else ()
    if isinstance(node, stock.Window):
        return (*(node.partition_by or ()), *(node.order_by or ()))
    return ()


def walk(node: Any) -> Iterator[Any]:
    """Yield a node and all that is in it, without what is inside of queries."""
    yield node
    for child in children(node):
        yield from walk(child)


def subqueries(node: Any) -> list[Any]:
    """Return the queries in an expression."""
    return [one for one in walk(node) if isinstance(one, stock.SelectBase)]


def fields_in(node: Any) -> list[Any]:
    """Return the fields and columns in an expression."""
    return [one for one in walk(node) if isinstance(one, (stock.Field, stock.Column))]


def source_of(field: Any) -> Any:
    """Return the model or alias that a field or column belongs to."""
    if isinstance(field, stock.FieldAlias):
        return field.source
    return field.model if isinstance(field, stock.Field) else field.source


def base_field(field: Any) -> Any:
    """Return the Field of a field of an alias."""
    return field.field if isinstance(field, stock.FieldAlias) else field


def signature(node: Any) -> Any:
    """Return something hashable that is equal for two nodes that say the same, or differs where in doubt."""
    node = plain(node)
    if isinstance(node, (stock.Field, stock.Column)):
        return ("field", id(source_of(node)), base_field(node).name)
    if isinstance(node, stock.Function):
        if node._filter is not None or node._order_by:
            return ("node", id(node))
        return ("function", node.name.lower(), *map(signature, node.arguments))
    if isinstance(node, dialect.EngineNode):
        return signature(dialect.written(node))
    if isinstance(node, stock.Expression):
        return ("expression", node.op, signature(node.lhs), signature(node.rhs))
    if isinstance(node, stock.SQL):
        return ("sql", node.sql, repr(node.params))
    if isinstance(node, stock.NodeList):
        return ("list", node.glue, *map(signature, node.nodes))
    if isinstance(node, stock.Cast):
        return ("cast", repr(node._cast), signature(node.node))
    if isinstance(node, stock.Value):
        return ("value", repr(node.value))
    if isinstance(node, stock.Case):
        return ("case", *map(signature, children(node)))
    if isinstance(node, stock.Node):
        return ("node", id(node))
    return ("value", repr(node))


def identifier(node: Any) -> str | None:
    """Return the name that a piece of SQL consists of, if it is one."""
    if isinstance(node, stock.SQL) and not node.params:
        match = _IDENTIFIER.fullmatch(node.sql)
        return match.group(1) if match else None
    return None


def aggregate_name(node: Any) -> str | None:
    """Return the name of a mergeable aggregate, in lower case, if the node is one."""
    if isinstance(node, stock.Function) and node.name and node.name.lower() in MERGED:
        # MIN and MAX of two arguments are SQLite's names for LEAST and GREATEST.
        if node.name.lower() in ("min", "max") and len(node.arguments) != 1:
            return None
        return str(node.name.lower())
    return None


def is_distinct(node: Any) -> Any:
    """Return what an aggregate's DISTINCT argument is, or None when it has none."""
    if len(node.arguments) != 1:
        return None
    argument = node.arguments[0]
    if isinstance(argument, stock.Function) and (argument.name or "").lower() == "distinct":
        return argument.arguments[0] if len(argument.arguments) == 1 else None
    if isinstance(argument, stock.NodeList) and len(argument.nodes) == 2:
        first, second = argument.nodes
        if isinstance(first, stock.SQL) and first.sql.strip().upper() == "DISTINCT":
            return second
    return None


def contains_aggregate(node: Any) -> bool:
    """Whether one of the mergeable aggregates is in an expression."""
    return any(aggregate_name(one) is not None for one in walk(node))


def is_row_local(node: Any) -> str | None:
    """Return what in an expression may depend on other rows, or None when nothing can."""
    for one in walk(node):
        if isinstance(one, (stock.Window, stock.WindowAlias)):
            return "a window function (OVER)"
        if isinstance(one, stock.Function):
            name = (one.name or "").lower()
            if name not in _ROW_LOCAL and aggregate_name(one) is None:
                if name in ("min", "max"):
                    continue
                return f"the function {one.name}()"
        elif isinstance(one, stock.SQL) and not _is_harmless(one.sql):
            return f"the raw SQL {one.sql!r}"
    return None


def _is_harmless(text: str) -> bool:
    return "(" not in text and _OVER.search(text) is None and not re.search(r"\bselect\b", text, re.I)


def kind_of(node: Any) -> str:
    """Return the kind of a node's values; unknown where its parts do not tell."""
    node = plain(node)
    if isinstance(node, stock.ForeignKeyField) or (
        isinstance(node, stock.FieldAlias) and isinstance(node.field, stock.ForeignKeyField)
    ):
        return kind_of(base_field(node).rel_field)
    if isinstance(node, stock.Field):
        return _KINDS.get(str(base_field(node).field_type).partition("(")[0].upper(), Kind.UNKNOWN)
    if isinstance(node, dialect.EngineNode):
        return kind_of(dialect.written(node))
    if isinstance(node, stock.Function):
        name = (node.name or "").lower()
        if name in _FUNCTION_KINDS:
            return _FUNCTION_KINDS[name]
        if name == "avg" or name in ("sqrt", "exp", "ln", "log", "pow", "power"):
            inner = kind_of(node.arguments[0])
            return Kind.FLOAT if inner == Kind.FLOAT or name != "avg" else Kind.DECIMAL
        if name in _SAME_KIND:
            argument = is_distinct(node)
            kinds = {kind_of(one) for one in ((argument,) if argument is not None else node.arguments)}
            kinds -= {None}
            return kinds.pop() if len(kinds) == 1 else Kind.UNKNOWN
        return Kind.UNKNOWN
    if isinstance(node, stock.Expression):
        if str(node.op).upper() in _COMPARISONS:
            return Kind.BOOL
        kinds = {kind_of(node.lhs), kind_of(node.rhs)}
        if str(node.op) in ("+", "-", "*") and kinds <= Kind.NUMBERS:
            for kind in (Kind.FLOAT, Kind.DECIMAL):
                if kind in kinds:
                    return kind
            return Kind.INT
        return Kind.UNKNOWN
    if isinstance(node, stock.NodeList) and _collation(node) is not None:
        return Kind.TEXT
    if isinstance(node, stock.Value):
        return _kind_of_value(node.value)
    return _kind_of_value(node) if not isinstance(node, stock.Node) else Kind.UNKNOWN


def _collation(node: Any) -> tuple[Any, str] | None:
    """Return what ``field.collate(name)`` is made of."""
    if isinstance(node, stock.NodeList) and len(node.nodes) == 2 and isinstance(node.nodes[1], stock.SQL):
        match = re.fullmatch(r"COLLATE\s+(.+)", node.nodes[1].sql.strip(), re.IGNORECASE)
        if match is not None:
            return node.nodes[0], match.group(1)
    return None


#: The parts of ``field.collate(name)``, or None for anything else.
collation_in = _collation


def _kind_of_value(value: Any) -> str:
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        return Kind.INT
    if isinstance(value, float):
        return Kind.FLOAT
    if isinstance(value, str):
        return Kind.TEXT
    return Kind.UNKNOWN
