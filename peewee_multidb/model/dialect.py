"""SQL that is written when the query is compiled, for the engine it is compiled for.

Peewee writes date parts, JSON expressions and binary values for the database that a model has when the
expression is *made*, and keeps the engine's helpers on the Field object, which all threads share. Here
they become nodes that ask the compiling context for its database, so one expression gives correct SQL on
every engine, in any number of threads at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import peewee

from .stock import stock

__all__ = [
    "EngineNode",
    "columns_of",
    "compiled_for",
    "compiling",
    "context_database",
    "reading",
    "reading_rows",
    "reads_as_text",
    "rows_of",
    "written",
]

#: The database for which an engine's part of a statement is being written in this thread or task.
_compiling: ContextVar[Any] = ContextVar("peewee_multidb_compiling", default=None)

#: The database whose rows are being read, for engines that do not hand JSON over as text.
_reading: ContextVar[Any] = ContextVar("peewee_multidb_reading", default=None)

#: Return the database that Peewee code called from an `EngineNode` should write for, or None.
compiling: Callable[[], Any] = _compiling.get

#: Return the database whose row is being converted, or None.
reading: Callable[[], Any] = _reading.get


def context_database(ctx: Any) -> Any:
    """Return the Database object that made a SQL context, or None for a bare Context.

    Peewee gives a context its database's methods, not the database; a bound method knows its owner.
    """
    settings = ctx.state.settings
    if "field_types" not in settings:
        return None
    return getattr(settings.get("conflict_statement"), "__self__", None)


class EngineNode(peewee.ColumnBase):
    """An expression that Peewee's own code writes at compile time, for the engine at hand.

    Args:
        write: returns the node or the value; `compiling` says for which database.
        converter: applied to values read from a result, on every engine.
    """

    #: What was compiled last in this thread or task, for `CastType`.
    latest: ContextVar[Any] = ContextVar("peewee_multidb_latest", default=None)

    def __init__(self, write: Callable[[], Any], converter: Callable[[Any], Any] | None = None) -> None:
        self._write = write
        self._converter = converter

    def unwrap(self) -> Any:
        """Return what was written for the engine, while the columns of its result are described."""
        written = self._write() if _compiling.get() is not None else self
        return written.unwrap() if written is not self and isinstance(written, peewee.Node) else self

    def __sql__(self, ctx: Any) -> Any:
        database = context_database(ctx)
        token = _compiling.set(database)
        try:
            written = self._write()
        finally:
            _compiling.reset(token)
        if isinstance(written, peewee.Node):
            ctx.sql(written)
        else:
            ctx.value(written, False)
        self.latest.set(database)
        return ctx


def written(node: EngineNode) -> Any:
    """Return what a node is written as for the engine of `compiled_for`, to look into it."""
    return node._write()


@contextmanager
def compiled_for(database: Any) -> Iterator[None]:
    """Have engine nodes write for a database inside, where no context is at hand."""
    token = _compiling.set(database)
    try:
        yield
    finally:
        _compiling.reset(token)


_text_readers: dict[type, bool] = {}


def reads_as_text(database: Any) -> bool:
    """Whether the engine's driver hands JSON over as text, as Peewee assumes by default."""
    kind = type(database)
    known = _text_readers.get(kind)
    if known is None:
        methods = getattr(database, "json_methods", stock.BaseJSONMethods)
        known = _text_readers[kind] = (
            methods.make_value_reader is stock.BaseJSONMethods.make_value_reader
        )
    return known


def columns_of(database: Any, initialize: Callable[[], None]) -> Callable[[], None]:
    """Return a cursor wrapper's initialize, which decides how each column is converted, for a database."""

    def describe() -> None:
        token = _compiling.set(database)
        try:
            initialize()
        finally:
            _compiling.reset(token)

    return describe


@contextmanager
def reading_rows(database: Any) -> Iterator[None]:
    """Tell the fields that convert values in this block which database these came from."""
    token = _reading.set(database)
    try:
        yield
    finally:
        _reading.reset(token)


def rows_of(database: Any, process_row: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return process_row with the database known to the fields that convert the row."""

    def process(row: Any) -> Any:
        token = _reading.set(database)
        try:
            return process_row(row)
        finally:
            _reading.reset(token)

    return process
