"""DDL in T-SQL.

Peewee's schema manager belongs to the model and knows no engine's hooks: it writes its own words, such as
``CREATE TABLE IF NOT EXISTS``, and hands the finished context to the database. It writes them one by one,
though, and so they still stand apart when the statement is complete. That is where they become T-SQL,
whether the model is one of this package, one of Peewee's own, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import peewee

from .introspection import object_name, quoted
from .version import ServerVersion

if TYPE_CHECKING:
    from .dialect import Dialect as Base
else:
    Base = object

__all__ = ["Definition", "is_ddl", "rewritten", "write_drop_index", "write_index"]

#: The longest NVARCHAR that is not (MAX).
LONGEST_NVARCHAR = 4000

_REFERENTIAL = re.compile(r"^( ?ON (?:DELETE|UPDATE)) (.+)$", re.IGNORECASE)
_NVARCHAR = re.compile(r"^NVARCHAR\((\d+)\)$")
_NEXTVAL = re.compile(r"^DEFAULT NEXTVAL\('(.+)'\)$")

#: "Introducing FOREIGN KEY constraint ... may cause cycles or multiple cascade paths."
_CASCADES = re.compile(r"\b1785\b|multiple cascade paths")

Tokens = list[str]


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
            return super().execute(query, **context_options)  # type: ignore[no-untyped-call]
        except peewee.DatabaseError as exc:  # type: ignore[attr-defined]
            is_statement = isinstance(query, peewee.Context) and is_ddl(query._sql)  # type: ignore[attr-defined]
            if not is_statement or not _CASCADES.search(str(exc)):
                raise
            raise type(exc)(
                "SQL Server refuses a table whose rows could be deleted or updated from two sides, or from "
                "the table itself (Msg 1785). Leave out on_delete= and on_update= of one foreign key, and "
                f"delete such rows with delete_instance(recursive=True). The server says: {exc}"
            ) from exc


def text(name: str) -> str:
    """Return a name as a literal."""
    return "N'" + name.replace("'", "''") + "'"


def refuse(version: ServerVersion, what: str, instead: str) -> peewee.NotSupportedError:
    """The error for what a version lacks."""
    return peewee.NotSupportedError(f"{version.name} has no {what}; {instead}")


def is_ddl(tokens: Sequence[str]) -> bool:
    """Whether the words of a statement are those of Peewee's schema manager or its migrations."""
    return bool(tokens) and tokens[0] in _WRITERS


def rewritten(tokens: Sequence[str], version: ServerVersion) -> str:
    """Return the T-SQL of a statement of which `is_ddl` is true.

    Args:
        tokens: the statement as Peewee wrote it, word by word.
        version: the server's.

    Raises:
        peewee.NotSupportedError: the version has no such thing.
    """
    return _WRITERS[tokens[0]](list(tokens), version)


def _create_table(tokens: Tokens, version: ServerVersion) -> str:
    temporary = tokens.pop(0) == "CREATE TEMPORARY TABLE "
    safe = _drop(tokens, "IF NOT EXISTS ")
    name, rest = _name(tokens)
    _check_temporary(name, temporary)
    if rest[0] == " AS ":
        statement = f"SELECT * INTO {name} FROM ({''.join(rest[1:])}) AS [_q]"
    else:
        statement = f"CREATE TABLE {name}" + "".join(_columns(rest, version))
    return f"IF {_object_id(name, 'U')} IS NULL {statement}" if safe else statement


def _check_temporary(name: str, temporary: bool) -> None:
    last = name.rpartition(".[")[2].lstrip("[")
    if temporary and not last.startswith("#"):
        raise peewee.NotSupportedError(
            f"SQL Server knows a temporary table by its name, which begins with #: {name} does not; "
            f"set table_name = '#{last.rstrip(']')}' in the model's Meta"
        )


def _drop_table(tokens: Tokens, version: ServerVersion) -> str:
    safe = tokens.pop(0) == "DROP TABLE IF EXISTS "
    name, rest = _name(tokens)
    if " CASCADE" in rest:
        raise refuse(
            version, "DROP TABLE ... CASCADE", f"drop the tables that refer to {name} first, or their constraints"
        )
    statement = f"DROP TABLE {name}"
    return f"IF {_object_id(name, 'U')} IS NOT NULL {statement}" if safe else statement


def _truncate(tokens: Tokens, version: ServerVersion) -> str:
    if " CASCADE" in tokens:
        raise refuse(version, "TRUNCATE TABLE ... CASCADE", "delete the rows of the tables, in order")
    # An identity restarts in any case.
    return "".join(token for token in tokens if token != " RESTART IDENTITY")


def _sequence(tokens: Tokens, version: ServerVersion) -> str:
    if version.major < 11:
        raise refuse(version, "sequences", "use an AutoField, which is an IDENTITY")
    # A sequence begins at its least number unless told where.
    start = " AS BIGINT START WITH 1" if tokens[0] == "CREATE SEQUENCE " else ""
    return "".join(tokens) + start


def _alter_table(tokens: Tokens, version: ServerVersion) -> str:
    return "".join(_columns(tokens, version))


def _drop_index(tokens: Tokens, version: ServerVersion) -> str:
    raise peewee.NotSupportedError(
        f"DROP INDEX {''.join(tokens[1:])}: SQL Server needs the table's name too, which Peewee does not give "
        "for a plain peewee.Model; derive the model from peewee_multidb.Model, or use the drop_index() of "
        "peewee_multidb.drivers.mssql.migrate.MSSQLMigrator"
    )


_WRITERS: dict[str, Callable[[Tokens, ServerVersion], str]] = {
    "CREATE TABLE ": _create_table,
    "CREATE TEMPORARY TABLE ": _create_table,
    "DROP TABLE ": _drop_table,
    "DROP TABLE IF EXISTS ": _drop_table,
    "TRUNCATE TABLE ": _truncate,
    "CREATE SEQUENCE ": _sequence,
    "DROP SEQUENCE ": _sequence,
    "ALTER TABLE ": _alter_table,
    "DROP INDEX ": _drop_index,
    "DROP INDEX IF EXISTS ": _drop_index,
}


def _drop(tokens: Tokens, word: str) -> bool:
    """Take a word off the front, if it is there."""
    found = bool(tokens) and tokens[0] == word
    if found:
        del tokens[0]
    return found


def _name(tokens: Tokens) -> tuple[str, Tokens]:
    """Split off the table's name, which ends where its brackets do."""
    for end, token in enumerate(tokens):
        if token.startswith(" "):
            return "".join(tokens[:end]), tokens[end:]
    return "".join(tokens), []


def _object_id(name: str, kind: str) -> str:
    """Return the look-up of a table by its name in brackets; a temporary one is in tempdb."""
    place = f"tempdb..{name}" if name.startswith("[#") else name
    return f"OBJECT_ID({text(place)}, {text(kind)})"


def _columns(tokens: Tokens, version: ServerVersion) -> Tokens:
    """Return the words of column definitions and constraints as T-SQL has them."""
    written: Tokens = []
    for token in tokens:
        if token.startswith("COLLATE "):
            _collate(written, token)
        else:
            written.append(_word(token, version))
    return written


def _word(token: str, version: ServerVersion) -> str:
    if token.startswith("DEFERRABLE"):
        raise refuse(version, "deferrable constraints", "leave out deferrable=")
    if found := _NVARCHAR.match(token):
        if int(found[1]) > LONGEST_NVARCHAR:
            return "NTEXT" if version.major < 9 else "NVARCHAR(MAX)"
    elif found := _REFERENTIAL.match(token):
        return f"{found[1]} {_action(found[2], version)}"
    elif found := _NEXTVAL.match(token):
        if version.major < 11:
            raise refuse(version, "sequences", "use an AutoField, which is an IDENTITY")
        return f"DEFAULT (NEXT VALUE FOR {'.'.join(map(quoted, found[1].rsplit('.', 1)))})"
    return token


def _action(action: str, version: ServerVersion) -> str:
    if action.upper() == "RESTRICT":
        return "NO ACTION"  # which the server checks at once
    if action.upper().startswith("SET ") and version.major < 9:
        raise refuse(version, f"ON DELETE or ON UPDATE {action.upper()}", "use CASCADE or NO ACTION, or a trigger")
    return action


def _collate(written: Tokens, clause: str) -> None:
    """Put a COLLATE where T-SQL wants it: right behind the type, and not at the end of the column."""
    separator = written.pop()
    for at in range(len(written) - 1, 2, -1):
        name, space = written[at - 2], written[at - 1]
        if space == " " and name.startswith("[") and written[at - 3] in ("(", ", ", " ADD "):
            written[at + 1 : at + 1] = [separator, clause]
            return
    written += [separator, clause]


def write_index(ctx: Any, index: Any, version: ServerVersion) -> Any:
    """Write a CREATE INDEX.

    A unique index of Peewee holds any number of NULLs, and one of SQL Server only one: so NULLs are
    filtered out, if the fields can be NULL.

    Args:
        ctx: where to.
        index: a `peewee.Index`.
        version: the server's.

    Raises:
        peewee.NotSupportedError: the version has no filtered indexes and the index needs one, or it is of
            a kind or over an expression that no version has.
    """
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
                ctx.literal(" AND " if nullable else "").sql(peewee.ValueLiterals(where))
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
    node = expression.node if isinstance(expression, peewee.Ordering) else expression
    return node if isinstance(node, peewee.Field) else None


def _write_key(ctx: Any, index: Any, key: Any, version: ServerVersion) -> None:
    if isinstance(key, str):
        ctx.literal(key)
        return
    column = key.node if isinstance(key, peewee.Ordering) else key
    if not isinstance(column, (peewee.Field, peewee.Column, peewee.Entity, peewee.SQL)):
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
    if isinstance(table, peewee.Table):
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
