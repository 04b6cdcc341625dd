"""JSON documents in NVARCHAR columns, with the functions that came in 2016."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import peewee

from .context import MSSQLContext, unsupported, writes
from .kinds import comparable
from .stock import stock

__all__ = ["MSSQLJSONMethods"]

_WITHOUT = "Read the whole document and work with it in Python."


class _Node(stock.ColumnBase):  # type: ignore[misc]
    """A call of a JSON function, checked against the version when it is written."""

    def __init__(self, write: Callable[[MSSQLContext], Any], what: str, coerce: bool = False) -> None:
        self.write, self.what, self._coerce = write, what, coerce


@writes(_Node)
def _write(ctx: MSSQLContext, node: _Node) -> Any:
    ctx.require(13, node.what, _WITHOUT)
    with ctx(converter=None, in_function=True):
        return node.write(ctx)


class MSSQLJSONMethods(stock.BaseJSONMethods):  # type: ignore[misc]
    """What Peewee's JSONField asks its database for."""

    def make_value_wrapper(self, dumps: Callable[[Any], str]) -> Callable[[Any], Any]:
        def wrap(value: Any) -> Any:
            return stock.Value(dumps(value), converter=False)

        return wrap

    @staticmethod
    def _path_index(index: int) -> str:
        if index < 0:
            raise peewee.NotSupportedError(
                f"SQL Server counts the items of a JSON array from the front only, not {index}. {_WITHOUT}"
            )
        return f"[{index}]"

    def _text(self, keys: Any) -> str:
        return str(self._path(keys).value)

    def extract(self, field: Any, keys: Any) -> Any:
        """The part of a document at a path, as JSON."""
        if not keys:
            return field
        parent, last = self._text(tuple(keys)[:-1]), str(tuple(keys)[-1])
        self._text(keys)

        def write(ctx: MSSQLContext) -> Any:
            # OPENJSON alone tells the text "1" from the number 1.
            ctx.literal("(SELECT CASE [_j].[type] WHEN 0 THEN N'null' WHEN 1 THEN N'\"' + ")
            ctx.literal("REPLACE(STRING_ESCAPE([_j].[value], 'json'), N'\\/', N'/') + N'\"'")
            ctx.literal(" ELSE [_j].[value] END FROM OPENJSON(")
            comparable(ctx, field)
            ctx.literal(", ")
            ctx.value(parent, False).literal(") AS [_j] WHERE [_j].[key] = ")
            return ctx.value(last, False).literal(")")

        return _Node(write, "a path into a JSON document")

    def extract_text(self, field: Any, keys: Any) -> Any:
        """The value at a path, as text."""
        if not keys:
            return field
        path = self._text(keys)

        def write(ctx: MSSQLContext) -> Any:
            ctx.literal("COALESCE(JSON_VALUE(")
            comparable(ctx, field)
            ctx.literal(", ").value(path, False)
            ctx.literal("), JSON_QUERY(")
            comparable(ctx, field)
            return ctx.literal(", ").value(path, False).literal("))")

        return _Node(write, "a path into a JSON document")

    def cast_type(self, t: str) -> str:
        return {"int": "BIGINT", "float": "FLOAT"}[t]

    def compare_value(self, field: Any, value: Any) -> Any:
        if value is None or isinstance(value, peewee.Node):
            return value
        return stock.Value(json.dumps(value, ensure_ascii=False, separators=(",", ":")), converter=False)

    def set(self, field: Any, keys: Any, value: Any) -> Any:
        return self._modify(field, self._text(keys), value)

    def replace(self, field: Any, keys: Any, value: Any) -> Any:
        found = self.extract_text(field, keys)
        return peewee.Case(None, ((found.is_null(), field),), self.set(field, keys, value))

    def insert(self, field: Any, keys: Any, value: Any) -> Any:
        found = self.extract_text(field, keys)
        return peewee.Case(None, ((found.is_null(), self.set(field, keys, value)),), field)

    def append(self, field: Any, keys: Any, value: Any) -> Any:
        return self._modify(field, "append " + self._text(keys), value)

    def remove(self, field: Any, keys: Any) -> Any:
        return self._modify(field, self._text(keys), None, removes=True)

    def _modify(self, field: Any, path: str, value: Any, *, removes: bool = False) -> Any:
        def write(ctx: MSSQLContext) -> Any:
            ctx.literal("JSON_MODIFY(")
            if value is None and not removes:
                # NULL takes a key away, unless the path is strict; then the key must be there.
                ctx.literal("JSON_MODIFY(")
                comparable(ctx, field)
                ctx.literal(", ").value(path, False).literal(", N''), ")
                return ctx.value(f"strict {path}", False).literal(", NULL)")
            comparable(ctx, field)
            ctx.literal(", ").value(path, False).literal(", ")
            if removes:
                return ctx.literal("NULL)")
            if isinstance(value, bool):
                return ctx.literal(f"CAST({int(value)} AS BIT))")
            if isinstance(value, (dict, list)):
                # What JSON_QUERY gives is not quoted as if it were a text.
                ctx.literal("JSON_QUERY(").value(json.dumps(value), False)
                return ctx.literal("))")
            ctx.sql(value) if isinstance(value, peewee.Node) else ctx.value(value, False)
            return ctx.literal(")")

        return _Node(write, "a change inside a JSON document")

    def length(self, field: Any, keys: Any) -> Any:
        path = self._text(keys)

        def write(ctx: MSSQLContext) -> Any:
            ctx.literal("(SELECT COUNT(*) FROM OPENJSON(")
            comparable(ctx, field)
            return ctx.literal(", ").value(path, False).literal("))")

        return _Node(write, "the length of a JSON array")

    def has_key(self, field: Any, keys: Any, key: Any) -> Any:
        path = self._text(keys)

        def write(ctx: MSSQLContext) -> Any:
            ctx.literal("(SELECT COUNT(*) FROM OPENJSON(")
            comparable(ctx, field)
            ctx.literal(", ").value(path, False).literal(") WHERE [key] = ")
            return ctx.value(str(key), False).literal(")")

        return peewee.Expression(_Node(write, "the keys of a JSON object"), ">", 0)

    def has_keys(self, field: Any, keys: Any, key_list: Any) -> Any:
        return _joined([self.has_key(field, keys, key) for key in key_list], "AND")

    def has_any_keys(self, field: Any, keys: Any, key_list: Any) -> Any:
        return _joined([self.has_key(field, keys, key) for key in key_list], "OR")

    def update(self, field: Any, value: Any) -> Any:
        return _refused("a merge into a JSON document")

    def contains(self, field: Any, keys: Any, value: Any) -> Any:
        return _refused("the question whether a JSON document contains another")

    contained_by = contains


def _joined(conditions: list[Any], op: str) -> Any:
    whole = conditions[0]
    for condition in conditions[1:]:
        whole = peewee.Expression(whole, op, condition)
    return whole


def _refused(what: str) -> _Node:
    def write(ctx: MSSQLContext) -> Any:
        raise unsupported(ctx, what, _WITHOUT)

    return _Node(write, what)
