"""DDL: indexes, and what Peewee's schema managers ask the database; `definitions` has the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import peewee

from .context import MSSQLContext, writes
from .definitions import UNSORTABLE, as_column, is_ddl, refuse
from .introspection import object_name
from .literals import quoted, text
from .stock import stock
from .version import ServerVersion

if TYPE_CHECKING:
    from .dialect import Dialect as Base
else:
    Base = object

__all__ = ["Definition", "write_drop_index", "write_index"]

#: "Introducing FOREIGN KEY constraint ... may cause cycles or multiple cascade paths."
_CASCADES = re.compile(r"\b1785\b|multiple cascade paths")


class Definition(Base):
    """Mixin of `MSSQLDatabase`: what Peewee's schema managers ask the database."""

    safe_create_index = True
    safe_drop_index = True
    truncate_table = True
    #: Whether there are any is said when one is made.
    sequences = True

    def write_drop_index(self, ctx: Any, index: Any, safe: bool) -> Any:
        """Write a DROP INDEX, which names the table here; see `write_drop_index` of this module.

        Args:
            ctx: where to.
            index: a `peewee.Index`.
            safe: whether it is no error that there is no such index.
        """
        return write_drop_index(ctx, index._name, index._table, safe, self.version)

    def execute(self, query: Any, **context_options: Any) -> Any:
        """Execute a query or a statement that a schema manager wrote.

        Raises:
            peewee.DatabaseError: as the server says, with what to do about cascades that meet.
        """
        try:
            return super().execute(query, **context_options)
        except peewee.DatabaseError as exc:
            is_statement = isinstance(query, stock.Context) and is_ddl(query._sql)
            if not is_statement or not _CASCADES.search(str(exc)):
                raise
            *number, said = exc.args
            raise type(exc)(
                *number,
                "SQL Server refuses a table whose rows could be deleted or updated from two sides, or from "
                "the table itself (Msg 1785). Leave out on_delete= and on_update= of one foreign key, and "
                f"delete such rows with delete_instance(recursive=True). The server says: {said}",
            ) from exc


@writes(stock.Index)
def write_index(ctx: MSSQLContext, index: Any) -> Any:
    """Write a CREATE INDEX.

    A unique index of Peewee holds any number of NULLs, and one of SQL Server only one: so NULLs are
    filtered out, if the fields can be NULL.

    Args:
        ctx: where to.
        index: a `peewee.Index`.

    Raises:
        peewee.NotSupportedError: the version has no filtered indexes and the index needs one, or it is of
            a kind or over an expression that no version has.
    """
    version = ctx.version
    where = index._where
    nullable = [] if index._nulls_distinct is False or not index._unique else _nullable(index._expressions)
    if (where is not None or nullable) and version.major < 10:
        why = "needs a WHERE" if where is not None else "is unique over fields that can be NULL"
        raise refuse(
            version,
            "filtered indexes",
            f"the index {index._name!r} {why}: make it plain, or the fields null=False",
        )
    with ctx.scope_values(subquery=True):
        if index._safe:
            ctx.literal(f"IF {_index_id(index._name, _table_name(index._table))} IS NULL ")
        kind = _kind(index._using, version)
        ctx.literal(f"CREATE {'UNIQUE ' if index._unique else ''}{kind}INDEX {quoted(index._name)} ON ")
        ctx.sql(index._table).literal(" (")
        for number, one in enumerate(index._expressions):
            if number:
                ctx.literal(", ")
            _write_key(ctx, index, one, version)
        ctx.literal(")")
        if where is not None or nullable:
            ctx.literal(" WHERE ")
            ctx.literal(" AND ".join(f"{quoted(field.column_name)} IS NOT NULL" for field in nullable))
            if where is not None:
                ctx.literal(" AND " if nullable else "")
                with ctx(value_literals=True):
                    ctx.condition(where)
    return ctx


def _kind(using: str | None, version: ServerVersion) -> str:
    known = {"": "", "BTREE": "", "CLUSTERED": "CLUSTERED ", "NONCLUSTERED": "NONCLUSTERED "}
    kind = known.get((using or "").upper())
    if kind is None:
        raise refuse(version, f"{using} indexes", "leave out index_type= or using=")
    return kind


def _nullable(expressions: Sequence[Any]) -> list[Any]:
    fields = (_field(one) for one in expressions)
    return [field for field in fields if field is not None and field.null]


def _field(expression: Any) -> Any:
    """Return the field that a key of an index is, whichever way it is sorted."""
    node = expression.node if isinstance(expression, stock.Ordering) else expression
    return node if isinstance(node, peewee.Field) else None


def _write_key(ctx: Any, index: Any, key: Any, version: ServerVersion) -> None:
    if isinstance(key, str):
        ctx.literal(key)
        return
    column = key.node if isinstance(key, stock.Ordering) else key
    if isinstance(column, peewee.Field):
        kind = as_column(column.ddl_datatype(ctx).sql, version)
        if kind in UNSORTABLE:
            raise refuse(
                version,
                f"indexes over {kind}",
                f"make {column.name!r}, of the index {index._name!r}, a CharField of at most 450 characters",
            )
    if not isinstance(column, (peewee.Field, stock.Column, peewee.Entity, peewee.SQL)):
        raise refuse(
            version,
            "indexes over expressions",
            f"give the table of {index._name!r} a computed column and make the index over that",
        )
    ctx.sql(key)


def _index_id(name: str, table: str) -> str:
    """Return the look-up of an index; every version has it, and in each it is NULL if there is none."""
    return f"INDEXPROPERTY(OBJECT_ID({text(table)}), {text(name)}, 'IndexID')"


def _table_name(table: Any) -> str:
    """Return the name of an index's table as OBJECT_ID reads it."""
    if isinstance(table, stock.Table):
        return object_name(table.__name__, table._schema)
    path = [part for part in table._path if part]
    return object_name(path[-1], path[-2] if len(path) > 1 else None)


def write_drop_index(ctx: Any, name: str, table: Any, safe: bool, version: ServerVersion) -> Any:
    """Write a DROP INDEX.

    Args:
        ctx: where to.
        name: the index.
        table: its `peewee.Table` or `peewee.Entity`.
        safe: whether it is no error that there is no such index.
        version: the server's.
    """
    path = _table_name(table)
    if safe:
        ctx.literal(f"IF {_index_id(name, path)} IS NOT NULL ")
    if version.major < 9:
        return ctx.literal(f"DROP INDEX {path}.{quoted(name)}")
    return ctx.literal(f"DROP INDEX {quoted(name)} ON {path}")
