"""OUTPUT, which is what T-SQL calls RETURNING, and what takes its place where it cannot be used.

A table with triggers takes no bare OUTPUT (Msg 334): its rows then go through a table variable. SQL Server
2000 has no OUTPUT, but the identity of the last row can be asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee

from .columns import name_of, names_of
from .context import MSSQLContext, quoted, unsupported
from .stock import stock

__all__ = ["Output", "identity_of", "model_of", "output_of", "table_of", "uses_output"]

_VARIABLE = "@multidb_rows"


def model_of(query: Any) -> Any:
    """Return the model of a query or None; a Table of Peewee's lower level has none."""
    return getattr(query, "model", None)


def table_of(query: Any) -> Any:
    """Return the Table that a query changes."""
    model = model_of(query)
    return query.table if model is None else model._meta.table


def uses_output(ctx: MSSQLContext, query: Any) -> bool:
    """Whether a query may say OUTPUT: the model's Meta says, or else the database."""
    meta = getattr(model_of(query), "_meta", None)
    said = getattr(meta, "use_output", None)
    return bool(ctx.database.use_output if said is None else said)


def identity_of(query: Any) -> Any:
    """Return the field of a query's model whose values the server makes, or None."""
    meta = getattr(model_of(query), "_meta", None)
    return meta.primary_key if meta is not None and meta.auto_increment else None


class Output:
    """The OUTPUT of one statement.

    Args:
        ctx: the context.
        query: the statement.
        columns: what it returns.
        prefix: ``INSERTED`` or ``DELETED``.

    Attributes:
        into: whether the rows go through a table variable.
        counts: whether the number of rows is asked for. What triggers change is counted too otherwise, by
            some modules at least.
    """

    def __init__(self, ctx: MSSQLContext, query: Any, columns: Sequence[Any], prefix: str) -> None:
        self.ctx, self.query, self.prefix = ctx, query, prefix
        self.columns = [column for item in columns for column in _several(item)]
        triggered = not uses_output(ctx, query)
        self.into = bool(columns) and triggered
        self.counts = not columns and triggered

    def place_of(self, field: Any) -> int | None:
        """Return where in the result a field of the table is, from 0; None if it is not."""
        return next((place for place, column in enumerate(self.columns) if column is field), None)

    def declare(self) -> None:
        """Write what comes before the statement."""
        if not self.into:
            return
        columns = []
        for node, name in zip(self.columns, names_of(self.columns), strict=True):
            columns.append(f"{quoted(name)} {self._type_of(node)}")
        self.ctx.literal(f"DECLARE {_VARIABLE} TABLE ({', '.join(columns)}); ")

    def _type_of(self, node: Any) -> str:
        plain = node.unwrap() if isinstance(node, peewee.Node) else node
        if isinstance(plain, stock.FieldAlias):
            plain = plain.field
        if not isinstance(plain, peewee.Field):
            raise unsupported(
                self.ctx, "OUTPUT of an expression for a table with triggers", "Return columns only."
            )
        if isinstance(plain, peewee.ForeignKeyField):
            plain = plain.rel_field
        if isinstance(plain, peewee.AutoField):
            return "BIGINT" if isinstance(plain, peewee.BigAutoField) else "INT"
        return str(plain.ddl_datatype(self.ctx).sql)

    def write(self) -> None:
        """Write the clause, with blanks around it."""
        ctx = self.ctx
        if not self.columns:
            return
        ctx.literal(" OUTPUT ")
        with ctx.aliased(table_of(self.query), self.prefix):
            with ctx.scope_source(in_projection=True):
                for number, node in enumerate(self.columns):
                    ctx.literal(", " if number else "").sql(node)
        if self.into:
            ctx.literal(f" INTO {_VARIABLE}")

    def select(self) -> None:
        """Write what comes after the statement."""
        if self.counts:
            self.ctx.counted = True
            self.ctx.literal("; SELECT @@ROWCOUNT AS [_count]")
        if not self.into:
            return
        names = names_of(self.columns)
        shown = [name_of(node) or name for node, name in zip(self.columns, names, strict=True)]
        columns = [
            quoted(name) + ("" if name == own else f" AS {quoted(own)}")
            for name, own in zip(names, shown, strict=True)
        ]
        self.ctx.literal(f"; SELECT {', '.join(columns)} FROM {_VARIABLE}")


def _several(node: Any) -> list[Any]:
    if isinstance(node, stock.CompositeKey):
        return [node.model._meta.fields[name] for name in node.field_names]
    if isinstance(node, stock.ModelBase):
        return list(node._meta.sorted_fields)
    return [node]


def output_of(ctx: MSSQLContext, query: Any, prefix: str) -> Output:
    """Return the OUTPUT of an UPDATE or DELETE.

    Raises:
        NotSupportedError: the version has none.
    """
    columns = query._returning or ()
    if columns:
        ctx.require(9, "RETURNING", "Select the rows before, in the same transaction.")
    return Output(ctx, query, columns, prefix)
