"""Runs T-SQL on SQLite, translated by sqlglot, to compare its rows with those of Peewee's own SQLite SQL.

What sqlglot leaves to the reader is done here: which ``+`` joins texts, MERGE and OUTPUT, dates as SQLite
keeps them, and LIKE with the rules of T-SQL. It proves that paging, conditions, NULLs and names are right,
not that a server would behave like this in everything else.
"""

from __future__ import annotations

import datetime
import re
import sqlite3
from typing import Any

import sqlglot
from sqlglot import exp

from tests.drivers.mssql.grammar import Statement
from tests.drivers.mssql.lint import _statements

_DATE_CALL = re.compile(r"\b(DATEPART|DATEADD|DATEDIFF|DATEDIFF_BIG)\((\w+), ")
_CONVERT = re.compile(r"\bCONVERT\(NVARCHAR\((?:\d+|MAX)\), (.*?), 121\)")
#: What of a batch says nothing about rows: settings, variables, and the transaction around an upsert.
_IGNORED = re.compile(
    r"\s*(SET |DECLARE |BEGIN TRANSACTION|SAVE TRANSACTION|COMMIT TRANSACTION|IF @\w+ <> 0 |"
    r"SELECT @multidb|END$)"
)
_UPSERT = re.compile(
    r"UPDATE \[_t\] SET (?P<sets>.*) FROM (?P<table>\S+) AS \[_t\]\s*, (?P<source>.*) WHERE "
    r"(?P<on>\(\[_t\].*)$"
)
_TEXT_TYPES = {exp.DataType.Type.NVARCHAR, exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT}
_TEXT_CALLS = (exp.Upper, exp.Lower, exp.Substring, exp.Trim, exp.DPipe)
_ZERO = datetime.datetime(1900, 1, 1)


class Engine:
    """A SQLite connection that takes T-SQL.

    Args:
        connection: with the tables.
        texts: the names of the columns that hold text, by which ``+`` is understood.
    """

    def __init__(self, connection: sqlite3.Connection, texts: set[str]) -> None:
        self.connection, self._texts = connection, texts
        self._params: dict[str, Any] = {}
        connection.create_function("like", 2, _like, deterministic=True)
        connection.create_function("like", 3, _like, deterministic=True)
        connection.create_function("_DATEPART", 2, _datepart)
        connection.create_function("_DATEADD", 3, _dateadd)
        connection.create_function("_DATEDIFF", 3, _datediff)
        connection.create_function("_TEXT", 1, lambda value: value)

    def run(self, statement: Statement) -> list[Any]:
        """Run a batch and return the rows that the client would see."""
        rows: list[Any] = []
        params = {f"p{number}": _adapted(value) for number, value in enumerate(statement.params)}
        self._params = params
        for text in _statements(statement.sql):
            if _IGNORED.match(text):
                continue
            for sql in self.translated(text):
                used = {name: params[name] for name in re.findall(r"@(p\d+)\b", sql)}
                rows += self.connection.execute(sql, used).fetchall()
        return rows[statement.skip :]

    def translated(self, text: str) -> list[str]:
        """Return the SQLite statements of one T-SQL statement."""
        text = _DATE_CALL.sub(lambda m: f"_{m[1].removesuffix('_BIG')}('{m[2]}', ", text)
        text = _CONVERT.sub(r"_TEXT(\1)", text)
        text = re.sub(r" WITH \((?:UPDLOCK|HOLDLOCK|ROWLOCK|NOWAIT|READPAST|, )+\)", "", text)
        text = re.sub(r"^\s*(IF @\w+ = 0 BEGIN|END)\s", "", text)
        text = re.sub(r"\bN('(?:[^']|'')*')", r"\1", text)
        text = re.sub(r"\bNVARCHAR\((MAX|4000)\)", "TEXT", text)
        text = text.replace("@@ROWCOUNT", "CHANGES()")
        text = _UPSERT.sub(_as_update_from, text)
        text, returning = _without_output(text)
        text = re.sub(r" OPTION \(MAXRECURSION 0\)", "", text)
        text = re.sub(r"CAST\(SCOPE_IDENTITY\(\) AS BIGINT\)", "LAST_INSERT_ROWID()", text)
        tree = sqlglot.parse_one(text, read="tsql")
        trees = _merged(tree) if isinstance(tree, exp.Merge) else [tree]
        return [self._sqlite(one) + returning for one in trees]

    def _sqlite(self, tree: Any) -> str:
        for alias in list(tree.find_all(exp.TableAlias)):
            _name_columns(alias)
        for returning in list(tree.find_all(exp.Returning)):
            for column in returning.find_all(exp.Column):
                column.set("table", None)
        for addition in reversed(list(tree.find_all(exp.Add))):
            if self._is_text(addition.this) or self._is_text(addition.expression):
                addition.replace(exp.DPipe(this=addition.this, expression=addition.expression))
        return str(tree.sql(dialect="sqlite"))

    def _is_text(self, node: Any) -> bool:
        node = node.unnest()
        if isinstance(node, exp.Column):
            return node.name in self._texts
        if isinstance(node, exp.Parameter):
            return isinstance(self._params.get(node.name), str)
        if isinstance(node, exp.Cast):
            return node.to.this in _TEXT_TYPES
        if isinstance(node, exp.Add):
            return self._is_text(node.this) or self._is_text(node.expression)
        if isinstance(node, exp.Coalesce):
            return self._is_text(node.this)
        return isinstance(node, (exp.National, *_TEXT_CALLS)) or (
            isinstance(node, exp.Literal) and node.is_string
        )


def _as_update_from(found: re.Match[str]) -> str:
    return f"UPDATE {found['table']} AS [_t] SET {found['sets']} FROM {found['source']} WHERE {found['on']}"


def _without_output(text: str) -> tuple[str, str]:
    """Return a DELETE without its OUTPUT, which sqlglot cannot read, and the RETURNING in its place."""
    found = re.match(r"\s*(DELETE FROM \S+) OUTPUT (.*?)( WHERE .*)?$", text, re.DOTALL)
    if found is None:
        return text, ""
    return found[1] + (found[3] or ""), " RETURNING " + re.sub(r"DELETED\.\[(\w+)\]", r'"\1"', found[2])


def _name_columns(alias: Any) -> None:
    """Name the columns of a derived table inside it: SQLite takes no names behind the alias."""
    columns = [column.copy() for column in alias.args.get("columns") or ()]
    source = alias.parent
    if not columns or isinstance(source, exp.CTE):
        return
    alias.set("columns", None)
    if isinstance(source, exp.Values):
        picked = [exp.alias_(exp.column(f"column{n}"), one, quoted=True) for n, one in enumerate(columns, 1)]
        values = exp.Values(expressions=[row.copy() for row in source.expressions])
        inner = exp.select(*picked).from_(exp.Subquery(this=values))
        source.replace(exp.Subquery(this=inner, alias=alias.copy()))
        return
    query = source.this
    while isinstance(query, exp.SetOperation):
        query = query.this
    query.set(
        "expressions",
        [
            exp.alias_(one.unalias(), name, quoted=True)
            for one, name in zip(query.expressions, columns, strict=True)
        ],
    )


def _merged(tree: Any) -> list[Any]:
    """Return MERGE as the UPDATE of what matches and the INSERT of what does not."""
    target, source, on = tree.this, tree.args["using"], tree.args["on"]
    name = target.copy()
    alias = name.args.pop("alias")
    statements: list[Any] = []
    for when in tree.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Update):
            condition = on.copy()
            if when.args.get("condition") is not None:
                condition = exp.and_(condition, when.args["condition"].copy())
            sets = [
                exp.EQ(this=exp.column(one.this.name, quoted=True), expression=one.expression.copy())
                for one in then.expressions
            ]
            update = exp.Update(
                this=exp.alias_(name.copy(), alias.name, table=True, quoted=True), expressions=sets
            )
            update.set("from_", exp.From(this=source.copy()))
            update.set("where", exp.Where(this=condition))
            statements.append(update)
        else:
            there = (
                exp.select("1")
                .from_(exp.alias_(name.copy(), alias.name, table=True, quoted=True))
                .where(on.copy())
            )
            values = exp.select(*[value.copy() for value in then.expression.expressions]).from_(source.copy())
            values = values.where(exp.not_(exp.Exists(this=there)))
            insert = exp.Insert(
                this=exp.Schema(this=name.copy(), expressions=[c.copy() for c in then.this.expressions]),
                expression=values,
            )
            if tree.args.get("returning") is not None:
                insert.set("returning", tree.args["returning"].copy())
            statements.append(insert)
    return statements


def _adapted(value: Any) -> Any:
    """Return a parameter as Peewee hands it to SQLite."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return str(value)
    return value if value is None or isinstance(value, (int, float, str, bytes)) else str(value)


def _like(pattern: str, text: Any, escape: str | None = None) -> bool | None:
    """LIKE of T-SQL: % and _, and a class of characters in brackets."""
    if text is None or pattern is None:
        return None
    out, place = [], 0
    while place < len(pattern):
        sign = pattern[place]
        if escape and sign == escape:
            place += 1
            out.append(re.escape(pattern[place]))
        elif sign == "%":
            out.append(".*")
        elif sign == "_":
            out.append(".")
        elif sign == "[":
            end = pattern.index("]", place)
            out.append("[" + pattern[place + 1 : end].replace("[", "\\[") + "]")
            place = end
        else:
            out.append(re.escape(sign))
        place += 1
    return re.fullmatch("".join(out), str(text), re.DOTALL | re.IGNORECASE) is not None


def _moment(value: Any) -> datetime.datetime | None:
    if value is None:
        return None
    if isinstance(value, (int, float)):
        return _ZERO + datetime.timedelta(days=value)
    if re.fullmatch(r"\d{8}", value):
        return datetime.datetime.strptime(value, "%Y%m%d")
    return datetime.datetime.fromisoformat(value)


def _datepart(part: str, value: Any) -> Any:
    moment = _moment(value)
    return None if moment is None else getattr(moment, part)


def _dateadd(part: str, count: Any, value: Any) -> Any:
    moment = _moment(value)
    if moment is None or count is None:
        return None
    if part in ("year", "month"):
        months = moment.year * 12 + moment.month - 1 + int(count) * (12 if part == "year" else 1)
        moment = moment.replace(year=months // 12, month=months % 12 + 1)
    else:
        moment += datetime.timedelta(**{f"{part}s": int(count)})
    return str(moment)


def _datediff(part: str, start: Any, end: Any) -> Any:
    first, last = _moment(start), _moment(end)
    if first is None or last is None:
        return None
    if part == "year":
        return last.year - first.year
    if part == "month":
        return (last.year - first.year) * 12 + last.month - first.month
    size = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}[part]
    return int((last - _ZERO).total_seconds() // size - (first - _ZERO).total_seconds() // size)
