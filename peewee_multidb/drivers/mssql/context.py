"""The SQL context: writes each node of a query in T-SQL, for the version of its database.

Peewee lets every node write itself, and asks the context for whatever is inside it. This context looks at
what it is asked for first: a node that T-SQL says differently goes to the writer that a module of this
package registered for its class, any other writes itself as ever. So nothing of Peewee is replaced, and
nodes that others define work too.

T-SQL keeps conditions and values apart: no condition can be selected, and no value can stand in WHERE.
`sql` writes a node where a value is expected and `condition` where a condition is, and each turns the one
into the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import peewee
from peewee import Node

from . import literals
from .definitions import is_ddl, rewritten, table_source
from .literals import quoted
from .sending import sent
from .version import ServerVersion

if TYPE_CHECKING:
    from .dialect import Dialect

__all__ = ["MSSQLContext", "conditions", "quoted", "unsupported", "write_query", "writes"]

Writer = Callable[["MSSQLContext", Any], Any]

_writers: dict[type, Writer] = {}
_conditions: dict[type, Writer] = {}
# What was found for each class. Aliases of fields each have a class of their own, so it is emptied at times.
_found: dict[type, Writer] = {}
_found_conditions: dict[type, Writer] = {}
_MOST_FOUND = 4096

#: After these words a condition is expected, whoever wrote them.
_BEFORE_CONDITION = frozenset({" WHERE ", " ON ", " HAVING ", "WHERE", "ON", "HAVING", "WHEN"})


def writes(*kinds: type) -> Callable[[Writer], Writer]:
    """Decorator: this function writes nodes of these classes where a value is expected."""

    def register(writer: Writer) -> Writer:
        _writers.update(dict.fromkeys(kinds, writer))
        return writer

    return register


def conditions(*kinds: type) -> Callable[[Writer], Writer]:
    """Decorator: this function writes nodes of these classes where a condition is expected."""

    def register(writer: Writer) -> Writer:
        _conditions.update(dict.fromkeys(kinds, writer))
        return writer

    return register


class MSSQLContext(peewee.Context):
    """Writes T-SQL.

    Attributes:
        database: whose SQL it is.
        version: for which it is written.
        inner: how many queries inside the statement have been written.
        skip: how many rows of the result the client has to drop, for versions without an offset.
        counted: whether the statement's only result is the number of rows that it changed.
        numbered: where in the result the number is that the server gave each of many new rows, or None.
        current: the Select that is being written, or None.
        whole: the Select whose rows are one group, although no aggregate and no GROUP BY says so; or None.
        on_error: what to send if the statement fails, or None.
    """

    __slots__ = (
        "_wanted",
        "counted",
        "cte_names",
        "ctes",
        "current",
        "database",
        "depth",
        "end",
        "first",
        "inner",
        "large",
        "lock",
        "numbered",
        "on_error",
        "param",
        "recursive",
        "renames",
        "skip",
        "start",
        "version",
        "whole",
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._sql: list[str]
        self._values: list[Any]
        self.database: Dialect = settings["dialect"]
        self.version: ServerVersion = settings["version"]
        self.large: frozenset[str] = settings["large"]
        self.param: str = settings["param"]
        self.inner = self.depth = self.skip = self.start = self.first = 0
        self.end: int | None = None
        self.counted = self.recursive = False
        self.numbered: int | None = None
        self.on_error: str | None = None
        self.lock: Any = None
        self.current: Any = None
        self.whole: Any = None
        self.renames: dict[str, str] | None = None
        self.ctes: list[tuple[list[str], list[Any]]] = []
        self.cte_names: dict[str, int] = {}
        self._wanted: int | None = None

    def as_new(self) -> MSSQLContext:
        return type(self)(**self.state.settings)

    # What peewee.Context does, for T-SQL

    def sql(self, obj: Any) -> Any:
        """Write a node or a value where a value is expected."""
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            if wanted == len(self._sql):
                return self.condition(obj)
        kind = type(obj)
        writer = _found.get(kind)
        if writer is None:
            writer = _find(kind)
        return writer(self, obj)

    def condition(self, obj: Any) -> Any:
        """Write a node or a value where a condition is expected."""
        kind = type(obj)
        writer = _found_conditions.get(kind)
        if writer is None:
            writer = _find_condition(kind)
        return writer(self, obj)

    def value(self, value: Any, converter: Any = None, add_param: bool = True) -> Any:
        """Write a value as a parameter, or as a literal where parameters cannot stand."""
        if converter is None:
            converter = self.state.settings.get("converter")
        if converter:
            value = sent(converter(value), converter)
        if isinstance(value, Node):
            with self(converter=None):
                return self.sql(value)
        if isinstance(value, peewee.ModelBase):
            with self.scope_column():
                return self.sql(value)
        if self.state.settings.get("value_literals"):
            self._sql.append(literals.literal(value, self.version))
            return self
        self._values.append(value)
        if add_param:
            self._sql.append(self.param)
        return self

    def query(self) -> tuple[str, list[Any]]:
        """Return the statement and its parameters.

        Raises:
            NotSupportedError: it has more parameters than a statement can have.
        """
        most = self.database.max_params
        if most is not None and len(self._values) > most:
            raise peewee.NotSupportedError(
                f"The statement has {len(self._values)} parameters, and SQL Server takes at most {most}. "
                "Split it, or put the values into a (temporary) table and join that."
            )
        if is_ddl(self._sql):
            self._sql = [rewritten(self._sql, self.version)]
        return "".join(self._sql), self._values

    # What the writers share

    def captured(self, write: Callable[[], Any]) -> tuple[list[str], list[Any]]:
        """Return what a function writes, instead of writing it."""
        sql, values = self._sql, self._values
        # Not empty, because whoever asks whether a query is inside another looks whether anything is written.
        self._sql, self._values = [""], []
        try:
            write()
            return self._sql, self._values
        finally:
            self._sql, self._values = sql, values

    def put(self, part: tuple[list[str], list[Any]]) -> MSSQLContext:
        """Write what was captured."""
        self._sql.extend(part[0])
        self._values.extend(part[1])
        return self

    @contextmanager
    def fresh_aliases(self) -> Iterator[None]:
        """In this block, sources without an alias of their own get new ones."""
        self.alias_manager.push()
        try:
            yield
        finally:
            self.alias_manager.pop()

    @contextmanager
    def aliased(self, source: Any, alias: str) -> Iterator[None]:
        """In this block, the columns of a source are written with this alias."""
        mapping = self.alias_manager.mapping
        before = dict(mapping)
        mapping[source] = alias
        try:
            yield
        finally:
            mapping.clear()
            mapping.update(before)

    def expects_condition(self) -> bool:
        """Whether what was written last is a word that a condition follows."""
        sql = self._sql
        last = sql[-1] if sql else ""
        if last == " " and len(sql) > 1:
            last = sql[-2]
        return last in _BEFORE_CONDITION

    def require(self, version: int, what: str, instead: str) -> None:
        """Raise unless the version can do something.

        Args:
            version: the major version that was the first that could.
            what: "the thing", as in "the thing needs SQL Server 2012".
            instead: what to do without it, a sentence.

        Raises:
            NotSupportedError: it cannot.
        """
        if self.version.major < version:
            since = ServerVersion(version).name
            raise unsupported(self, f"{what}, which needs {since}", instead)


def unsupported(ctx: MSSQLContext, what: str, instead: str) -> peewee.NotSupportedError:
    """Return the error for what a version cannot do.

    Args:
        ctx: for its version.
        what: "the thing", as in "SQL Server 2008 has no such thing".
        instead: what to do without it, a sentence.
    """
    return peewee.NotSupportedError(f"{ctx.version.name} cannot do {what}. {instead}")


def write_query(ctx: MSSQLContext, query: Any) -> Any:
    """Write a query, past whatever `__sql__` its class has; the seam for query classes of our own models."""
    kind: Any = type(query)
    writer = _query_writer(kind)
    if ctx.depth:
        ctx.depth += 1
        ctx.inner += 1
        try:
            return writer(ctx, query)
        finally:
            ctx.depth -= 1
    ctx.start, ctx.first, ctx.depth = len(ctx._sql), len(ctx._values), 1
    try:
        made_of = table_source(ctx._sql, query)
        if made_of is None:
            writer(ctx, query)
        else:
            _writers[peewee.Select](ctx, made_of)
    finally:
        ctx.depth = 0
    return _hoisted(ctx)


@functools.lru_cache(maxsize=512)
def _query_writer(kind: type) -> Writer:
    for base in kind.__mro__:
        if base in _writers:
            return _writers[base]
    return _raw_query


def _raw_query(ctx: MSSQLContext, query: Any) -> Any:
    ctx.literal(query._sql)
    for param in query._params or ():
        ctx.value(param, add_param=False)
    return ctx


def _hoisted(ctx: MSSQLContext) -> MSSQLContext:
    """Put the common table expressions, wherever they were met, in front of the statement."""
    if ctx.ctes:
        if ctx.recursive:
            # Without it the server gives up after 100 rounds, as no other engine does.
            end = len(ctx._sql) if ctx.end is None else ctx.end
            ctx._sql.insert(end, " OPTION (MAXRECURSION 0)")
        sql: list[str] = ["WITH "]
        values: list[Any] = []
        for number, part in enumerate(ctx.ctes):
            if number:
                sql.append(", ")
            sql += part[0]
            values += part[1]
        sql.append(" ")
        ctx._sql[ctx.start : ctx.start] = sql
        ctx._values[ctx.first : ctx.first] = values
        ctx.ctes = []
    return ctx


def _find(kind: type) -> Writer:
    writer: Writer = _plain
    for base in kind.__mro__:
        if base in _writers:
            writer = _as_query if issubclass(base, peewee.Query) else _writers[base]
            break
        if "__sql__" in base.__dict__:
            writer = _by_itself
            break
    if len(_found) >= _MOST_FOUND:
        _found.clear()
    _found[kind] = writer
    return writer


def _find_condition(kind: type) -> Writer:
    writer: Writer = _plain_condition
    for base in kind.__mro__:
        if base in _conditions:
            writer = _conditions[base]
            break
        if base in _writers:
            writer = _is_true
            break
        if "__sql__" in base.__dict__:
            writer = _condition_by_itself
            break
    if len(_found_conditions) >= _MOST_FOUND:
        _found_conditions.clear()
    _found_conditions[kind] = writer
    return writer


def _by_itself(ctx: MSSQLContext, node: Any) -> Any:
    return node.__sql__(ctx)


def _as_query(ctx: MSSQLContext, query: Any) -> Any:
    return write_query(ctx, query)


def _plain(ctx: MSSQLContext, value: Any) -> Any:
    if isinstance(value, peewee.multi_types):
        return ctx.sql(peewee.Value(value))
    return ctx.value(value)


def _plain_condition(ctx: MSSQLContext, value: Any) -> Any:
    if value is None:
        return ctx.literal("NULL = 1")
    if isinstance(value, int):
        return ctx.literal("1 = 1" if value else "1 = 0")
    return _is_true(ctx, value)


def _is_true(ctx: MSSQLContext, node: Any) -> Any:
    """Write a value as the condition that it is true, as SQLite and MySQL understand truth."""
    ctx.literal("(")
    ctx.sql(node)
    return ctx.literal(" <> 0)")


def _condition_by_itself(ctx: MSSQLContext, node: Any) -> Any:
    """Write a node of which nobody knows what it is: whatever it asks for first is the condition."""
    if isinstance(node, (peewee.Query, peewee.Model)):
        return _is_true(ctx, node)
    ctx._wanted = len(ctx._sql)
    try:
        return node.__sql__(ctx)
    finally:
        ctx._wanted = None


@writes(peewee.ModelBase)
def _model(ctx: MSSQLContext, model: Any) -> Any:
    return ctx.sql(model._meta.table)
