"""Functions that T-SQL calls by another name, or writes in another way, or has only since some version."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import peewee

from . import dates, kinds
from .context import MSSQLContext, conditions, unsupported, writes
from .kinds import comparable
from .stock import stock

__all__ = ["writes_function"]

Writer = Callable[[MSSQLContext, Any, list[Any]], Any]

_writers: dict[str, Writer] = {}

_RENAMED = {
    "ceil": "CEILING",
    "pow": "POWER",
    "ln": "LOG",
    "ifnull": "COALESCE",
    "nvl": "COALESCE",
    "stddev": "STDEV",
    "stddev_samp": "STDEV",
    "stddev_pop": "STDEVP",
    "variance": "VAR",
    "var_samp": "VAR",
    "var_pop": "VARP",
    "lcase": "LOWER",
    "ucase": "UPPER",
    "repeat": "REPLICATE",
    "chr": "NCHAR",
    "ord": "UNICODE",
}
#: Functions of T-SQL itself that not every version has: the first that has them, and what else to do.
_SINCE = {
    "iif": (11, "Use Case()."),
    "choose": (11, "Use Case()."),
    "format": (11, "Format the value in Python."),
    "try_cast": (11, "Use cast()."),
    "try_convert": (11, "Use cast()."),
    "eomonth": (11, "Truncate to the month and add one."),
    "datefromparts": (11, "Compute the date in Python."),
    "percentile_cont": (11, "Compute it in Python."),
    "percentile_disc": (11, "Compute it in Python."),
    "json_value": (13, "Read the whole document and take it apart in Python."),
    "json_query": (13, "Read the whole document and take it apart in Python."),
    "json_modify": (13, "Read the whole document, change it in Python and save it."),
    "isjson": (13, "Read the whole document and look at it in Python."),
    "string_escape": (13, "Escape the text in Python."),
    "string_split": (13, "Split the text in Python."),
    "datediff_big": (13, "Use DATEDIFF."),
    "translate": (14, "Use REPLACE."),
    "concat_ws": (14, "Use concat()."),
    "approx_count_distinct": (15, "Use COUNT(DISTINCT)."),
    "json_object": (16, "Build the document in Python."),
    "json_array": (16, "Build the document in Python."),
    "datetrunc": (16, "Use truncate()."),
    "date_bucket": (16, "Use truncate()."),
    "generate_series": (16, "Use a recursive common table expression, or ValuesList."),
    "regexp_like": (17, "Use LIKE, or filter in Python."),
    "regexp_replace": (17, "Use REPLACE, or change the text in Python."),
    "regexp_substr": (17, "Use SUBSTRING, or take the text apart in Python."),
    "regexp_count": (17, "Count in Python."),
    "regexp_instr": (17, "Use CHARINDEX or PATINDEX."),
}
#: Aggregates that can be told in which order they take the rows.
_ORDERED = frozenset({"group_concat", "string_agg", "listagg"})
#: Functions of other engines that no version has.
_NEVER = {
    "array_agg": "Select the rows and collect them in Python, or use GROUP_CONCAT.",
    "json_agg": "Select the rows and collect them in Python.",
    "json_group_array": "Select the rows and collect them in Python.",
    "json_extract": "Use a JSONField and its paths.",
    "nth_value": "Number the rows with ROW_NUMBER() in a subquery and pick one.",
    "strftime": "Use the date parts of the field, or format in Python.",
    "date_format": "Use the date parts of the field, or format in Python.",
    "to_char": "Use the date parts of the field, or format in Python.",
    "julianday": "Use to_timestamp().",
    "unnest": "Use ValuesList.",
    "any_value": "Use MIN or MAX.",
    "substring_index": "Take the text apart in Python.",
    "printf": "Format in Python.",
    "regexp_match": "Use LIKE, or match in Python.",
    "group_concat_distinct": "Use GROUP_CONCAT over a subquery with DISTINCT.",
}


def writes_function(*names: str) -> Callable[[Writer], Writer]:
    """Decorator: this function writes calls of these functions; it gets their arguments as well."""

    def register(writer: Writer) -> Writer:
        _writers.update(dict.fromkeys(names, writer))
        return writer

    return register


@writes(peewee.Function)
def function(ctx: MSSQLContext, node: Any) -> Any:
    name = node.name or ""
    key = name.lower()
    if key in ("exists", "regexp_like") and not ctx.expects_condition():
        part = ctx.captured(lambda: ctx.condition(node))
        return ctx.literal("CASE WHEN ").put(part).literal(" THEN 1 ELSE 0 END")
    return _call(ctx, node, name, key)


@conditions(peewee.Function)
def function_condition(ctx: MSSQLContext, node: Any) -> Any:
    name = node.name or ""
    key = name.lower()
    if key in ("exists", "regexp_like", "contains", "freetext"):
        return _call(ctx, node, name, key)
    ctx.literal("(")
    _call(ctx, node, name, key)
    return ctx.literal(" <> 0)")


def _call(ctx: MSSQLContext, node: Any, name: str, key: str) -> Any:
    arguments = list(node.arguments)
    if node._filter is not None:
        arguments = _filtered(ctx, key, arguments, node._filter)
    with ctx(in_function=True, in_expr=False, bare_subquery=False, converter=None):
        writer = _writers.get(key)
        if node._order_by and key not in _ORDERED:
            raise unsupported(
                ctx, f"ORDER BY inside {name.upper()}()", "Sort the rows of a subquery, or collect in Python."
            )
        if writer is not None:
            return writer(ctx, node, arguments)
        if key in _NEVER:
            raise unsupported(ctx, f"{name.upper()}()", _NEVER[key])
        since = _SINCE.get(key)
        if since is not None:
            ctx.require(since[0], f"{name.upper()}()", since[1])
        ctx.literal(_RENAMED.get(key, name))
        return in_parentheses(ctx, arguments, bare=key in node.subquery_functions)


def in_parentheses(ctx: MSSQLContext, arguments: list[Any], *, bare: bool = False) -> Any:
    """Write arguments; a lone subquery of EXISTS and its kin needs no parentheses of its own."""
    ctx.literal("(")
    if bare and len(arguments) == 1 and isinstance(arguments[0], stock.SelectBase):
        with ctx(bare_subquery=True, in_function=True):
            ctx.sql(arguments[0])
        return ctx.literal(")")
    for number, argument in enumerate(arguments):
        if number:
            ctx.literal(", ")
        write_argument(ctx, argument)
    return ctx.literal(")")


def write_argument(ctx: MSSQLContext, argument: Any) -> Any:
    """Write one argument: a value is a parameter, and a long text is one that can be worked with."""
    if not isinstance(argument, peewee.Node) and not isinstance(argument, type):
        return ctx.value(argument, False)
    if isinstance(argument, stock.NodeList) and not argument.parens:
        for number, part in enumerate(argument.nodes):
            ctx.literal(argument.glue if number else "")
            comparable(ctx, part)
        return ctx
    return comparable(ctx, argument)


def _filtered(ctx: MSSQLContext, key: str, arguments: list[Any], where: Any) -> list[Any]:
    """Return the arguments with FILTER in them: what it leaves out becomes NULL, which does not count."""
    if not arguments or _is_star(arguments[0]):
        if key != "count":
            raise unsupported(ctx, f"FILTER on {key}(*)", "Name the column.")
        return [peewee.Case(None, ((where, peewee.SQL("1")),))]
    first, rest = arguments[0], arguments[1:]
    if isinstance(first, stock.NodeList) and not first.parens and len(first.nodes) == 2:
        word, inner = first.nodes
        chosen = peewee.Case(None, ((where, inner),))
        return [stock.NodeList((word, chosen)), *rest]
    return [peewee.Case(None, ((where, first),)), *rest]


def _is_star(node: Any) -> bool:
    return isinstance(node, peewee.SQL) and node.sql == "*"


def _plain(node: Any) -> Any:
    """Return what is aggregated, without DISTINCT."""
    if isinstance(node, stock.NodeList) and node.nodes:
        return node.nodes[-1]
    return node


@writes_function("count")
def _count(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    ctx.literal("COUNT")
    return in_parentheses(ctx, arguments or [peewee.SQL("*")])


@writes_function("sum", "avg", "min", "max")
def _aggregate(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    """Write an aggregate over a type that keeps the answer: AVG of integers is an integer, SUM overflows."""
    name = node.name.upper()
    if len(arguments) > 1:
        return _extreme(ctx, "MAX" if name == "MAX" else "MIN", arguments)
    argument = arguments[0] if arguments else peewee.SQL("*")
    kind = kinds.kind_of(_plain(argument))
    wanted = _WIDER.get((name, kind))
    ctx.literal(f"{name}(")
    if wanted is None:
        write_argument(ctx, argument)
    else:
        inner = _plain(argument)
        ctx.literal("DISTINCT " if inner is not argument else "").literal("CAST(")
        ctx.sql(inner).literal(f" AS {wanted})")
    return ctx.literal(")")


_WIDER = {
    ("SUM", kinds.INT): "BIGINT",
    ("AVG", kinds.INT): "FLOAT",
    ("SUM", kinds.BOOL): "INT",
    ("AVG", kinds.BOOL): "FLOAT",
    ("MIN", kinds.BOOL): "INT",
    ("MAX", kinds.BOOL): "INT",
}


@writes_function("greatest", "least")
def _greatest(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return _extreme(ctx, "MAX" if node.name.lower() == "greatest" else "MIN", arguments)


def _extreme(ctx: MSSQLContext, aggregate: str, arguments: list[Any]) -> Any:
    if ctx.version.major >= 16:
        ctx.literal("GREATEST" if aggregate == "MAX" else "LEAST")
        return in_parentheses(ctx, arguments)
    ctx.literal(f"(SELECT {aggregate}([_v].[v]) FROM (")
    for number, argument in enumerate(arguments):
        ctx.literal(" UNION ALL SELECT " if number else "SELECT ")
        write_argument(ctx, argument)
        ctx.literal("" if number else " AS [v]")
    return ctx.literal(") AS [_v])")


@writes_function("length", "char_length", "character_length")
def _length(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    # LEN does not count spaces at the end, so something is put behind them.
    ctx.literal("(LEN(")
    kinds.as_text(ctx, arguments[0])
    return ctx.literal(" + ").literal("N'.'").literal(") - 1)")


@writes_function("substr", "substring", "mid")
def _substring(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    text, start, *length = arguments
    if isinstance(start, int) and start < 0 and not length:
        ctx.literal("RIGHT(")
        return write_argument(ctx, text).literal(f", {-start})")
    if isinstance(start, int) and start < 1:
        raise unsupported(ctx, "SUBSTR from the end with a length", "Use RIGHT and LEFT.")
    ctx.literal("SUBSTRING(")
    write_argument(ctx, text).literal(", ")
    write_argument(ctx, start).literal(", ")
    return (write_argument(ctx, length[0]) if length else ctx.literal("2147483647")).literal(")")


@writes_function("trim")
def _trim(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    if len(arguments) > 1:
        raise unsupported(ctx, "TRIM of given characters", "Strip the text in Python.")
    if ctx.version.major >= 14:
        ctx.literal("TRIM")
        return in_parentheses(ctx, arguments)
    ctx.literal("LTRIM(RTRIM")
    return in_parentheses(ctx, arguments).literal(")")


@writes_function("concat")
def _concat(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    if ctx.version.major >= 11 and len(arguments) > 1:
        ctx.literal("CONCAT")
        return in_parentheses(ctx, arguments)
    ctx.literal("(")
    for number, argument in enumerate(arguments):
        ctx.literal(" + " if number else "").literal("COALESCE(")
        kinds.as_text(ctx, argument)
        ctx.literal(", ").literal("N''").literal(")")
    return ctx.literal(")")


@writes_function("instr", "strpos")
def _instr(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    ctx.literal("CHARINDEX")
    return in_parentheses(ctx, [arguments[1], arguments[0]])


@writes_function("mod")
def _mod(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return ctx.sql(peewee.Expression(arguments[0], "%", arguments[1]))


@writes_function("round")
def _round(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    ctx.literal("ROUND")
    return in_parentheses(ctx, arguments if len(arguments) > 1 else [*arguments, peewee.SQL("0")])


@writes_function("trunc", "truncate")
def _trunc(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    places = arguments[1] if len(arguments) > 1 else peewee.SQL("0")
    ctx.literal("ROUND")
    return in_parentheses(ctx, [arguments[0], places, peewee.SQL("1")])


@writes_function("random", "rand")
def _random(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    # RAND() gives every row of a statement the same number.
    return ctx.literal("CHECKSUM(NEWID())")


@writes_function("now", "current_timestamp")
def _now(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return ctx.literal("GETDATE()" if ctx.version.major < 10 else "SYSDATETIME()")


@writes_function("if", "iif")
def _if(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    default = arguments[2] if len(arguments) > 2 else None
    return ctx.sql(peewee.Case(None, ((arguments[0], arguments[1]),), default))


@writes_function("date")
def _date(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return dates.write_date(ctx, arguments[0])


@writes_function("date_part")
def _date_part(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return dates.write_part(ctx, _word(ctx, arguments[0], "DATE_PART"), arguments[1])


@writes_function("date_trunc")
def _date_trunc(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return dates.write_truncated(ctx, _word(ctx, arguments[0], "DATE_TRUNC"), arguments[1])


def _word(ctx: MSSQLContext, node: Any, what: str) -> str:
    """Return the name of a date part, which in T-SQL is a word and no value."""
    if isinstance(node, peewee.Value):
        node = node.value
    if isinstance(node, str) and re.fullmatch(r"[A-Za-z]+", node):
        return node.lower()
    raise unsupported(ctx, f"{what}() of a part that is computed", "Name the part.")


@writes_function("year", "month", "day", "hour", "minute", "second")
def _part_by_name(ctx: MSSQLContext, node: Any, arguments: list[Any]) -> Any:
    return dates.write_part(ctx, node.name.lower(), arguments[0])
