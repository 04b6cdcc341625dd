"""`playhouse.migrate` for SQL Server: the same operations, by the statements that this server has for them.

Peewee picks the migrator by the class of the database and has no way to add one, so it is named:

    migrator = MSSQLMigrator(database)
    migrate(migrator.add_column("person", "city", CharField(null=True)))

What stands in the way of a change is taken away first and put back: the default of a column has a name of
its own here, and an index holds on to its columns. DDL is part of transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import peewee
from peewee import SQL, Entity
from playhouse import migrate  # type: ignore[import-untyped]

from .ddl import write_drop_index
from .introspection import IndexDefinition, object_name
from .literals import quoted, text
from .stock import stock

__all__ = ["MSSQLMigrator"]

F = TypeVar("F", bound=Callable[..., Any])


def operation(method: F) -> F:
    """Peewee's decorator of an operation, which `migrate` runs later."""
    deferred: F = migrate.operation(method)
    return deferred


class MSSQLMigrator(migrate.SchemaMigrator):  # type: ignore[misc]
    """The operations of `playhouse.migrate` on an SQL Server database.

    Args:
        database: an `MSSQLDatabase`.
        schema: of the tables; that of the user if None.
    """

    explicit_create_foreign_key = True
    explicit_delete_foreign_key = True

    @classmethod
    def from_database(cls, database: Any, schema: str | None = None) -> MSSQLMigrator:
        """Return the migrator of a database, or of the one behind a proxy."""
        if isinstance(database, peewee.Proxy):
            database = database.obj
        if not hasattr(database, "get_default_constraints"):
            raise ValueError(f"Unsupported database: {database!r}; MSSQLMigrator is for SQL Server")
        return cls(database, schema=schema)

    # -- what is in the catalog

    def _path(self, table: str, schema: str | None = None) -> str:
        return object_name(table, schema or self.schema)

    def _alter(self, table: str, *rest: str) -> Any:
        # In two words: the first tells the context that it is DDL.
        return self.make_context().literal("ALTER TABLE ").literal(" ".join((self._path(table), *rest)))

    def _column(self, table: str, column: str) -> Any:
        """Return what the catalog says of a column.

        Raises:
            ValueError: there is none.
        """
        for found in self.database.get_columns(table, self.schema):
            if found.name.lower() == column.lower():
                return found
        raise ValueError(f"table {table!r} has no column {column!r}")

    def _default_of(self, table: str, column: str) -> str | None:
        defaults = self.database.get_default_constraints(table, self.schema)
        return next((name for name, of in defaults.items() if of.lower() == column.lower()), None)

    def _drop_default(self, table: str, column: str) -> list[Any]:
        name = self._default_of(table, column)
        return [] if name is None else [self._alter(table, "DROP CONSTRAINT", quoted(name))]

    def _indexes_over(self, table: str, column: str) -> list[IndexDefinition]:
        return [
            index
            for index in self.database.get_index_definitions(table, self.schema)
            if column.lower() in (one.lower() for one in index.all_columns) and not index.primary
        ]

    def _drop(self, table: str, index: IndexDefinition) -> Any:
        if index.constraint:
            return self._alter(table, "DROP CONSTRAINT", quoted(index.name))
        entity = Entity(*filter(None, (self.schema, table)))
        return write_drop_index(self.make_context(), index.name, entity, False, self.database.version)

    def _around_indexes(self, table: str, column: str, change: Any) -> list[Any]:
        """Return the change with the indexes over the column dropped before it and made again after it."""
        indexes = self._indexes_over(table, column)
        before = [self._drop(table, index) for index in indexes]
        after = [SQL(index.create(self._path(table))) for index in indexes]
        return [*before, change, *after]

    # -- columns

    @operation
    def apply_default(self, table: str, column_name: str, field: Any) -> Any:
        default = field.default() if callable(field.default) else field.default
        ctx = self.make_context()
        ctx.literal(f"UPDATE {self._path(table)} SET {quoted(column_name)} = ")
        return ctx.value(default, field.db_value)

    @operation
    def alter_add_column(self, table: str, column_name: str, field: Any, allow_not_null: bool = False) -> Any:
        null = field.null
        field.null = null or not allow_not_null
        if field.column_name != column_name:
            field.name = field.column_name = column_name
        ctx = self._alter(table).literal(" ADD ")
        with ctx.scope_values():
            ctx.sql(field.ddl(ctx))
        if field.null:
            ctx.literal(" NULL")
        field.null = null
        return ctx

    def add_inline_fk_sql(self, ctx: Any, field: Any) -> None:
        """Write nothing: a foreign key is added by a statement of its own, so that it has a known name."""

    @operation
    def drop_column(self, table: str, column_name: str, cascade: bool = True) -> Any:
        """Drop a column, with its default.

        Args:
            table: its table.
            column_name: the column.
            cascade: whether to drop its foreign keys, its indexes and the checks that mention it, too.
        """
        steps = self._drop_default(table, column_name)
        if cascade:
            for key in self.database.get_foreign_keys(table, self.schema):
                if key.column.lower() == column_name.lower():
                    steps.append(self._alter(table, "DROP CONSTRAINT", quoted(key.name)))
            for name, condition in self.database.get_check_constraints(table, self.schema).items():
                if quoted(column_name).lower() in condition.lower():
                    steps.append(self._alter(table, "DROP CONSTRAINT", quoted(name)))
            steps += [self._drop(table, index) for index in self._indexes_over(table, column_name)]
        return [*steps, self._alter(table, "DROP COLUMN", quoted(column_name))]

    @operation
    def rename_column(self, table: str, old_name: str, new_name: str) -> Any:
        return self._rename(f"{self._path(table)}.{quoted(old_name)}", new_name, "COLUMN")

    @operation
    def rename_table(self, old_name: str, new_name: str) -> Any:
        return self._rename(self._path(old_name), new_name, "OBJECT")

    def _rename(self, path: str, new_name: str, kind: str) -> Any:
        # The new name is taken as it is: brackets would become part of it.
        return SQL(f"EXEC sp_rename {text(path)}, {text(new_name)}, {text(kind)}")

    def _alter_type(self, table: str, column: str, kind: str, null: bool) -> Any:
        found = self._column(table, column)
        # A column without a COLLATE gets that of the database.
        collation = self.database.get_collation(table, found.name, self.schema)
        words = [quoted(found.name), kind]
        if collation is not None and _is_text(kind):
            words += ["COLLATE", collation]
        words.append("NULL" if null else "NOT NULL")
        return self._alter(table, "ALTER COLUMN", *words)

    @operation
    def add_not_null(self, table: str, column: str) -> Any:
        change = self._alter_type(table, column, self._column(table, column).full_type, False)
        return self._around_indexes(table, column, change)

    @operation
    def drop_not_null(self, table: str, column: str) -> Any:
        found = self._column(table, column)
        if found.primary_key:
            raise ValueError("Primary keys can not be null")
        return self._around_indexes(table, column, self._alter_type(table, column, found.full_type, True))

    @operation
    def alter_column_type(self, table: str, column: str, field: Any, cast: Any = None) -> Any:
        """Change a column's type; whether it can be NULL stays, and so does its default."""
        if cast is not None:
            raise ValueError("alter_column_type() does not support cast with SQL Server.")
        ctx = self.make_context()
        kind = ctx.sql(field.ddl_datatype(ctx)).query()[0]
        change = self._alter_type(table, column, kind, self._column(table, column).null)
        again: list[Any] = []
        steps = self._drop_default(table, column)
        if steps:
            again = [self._default(table, column, SQL(self._column(table, column).default))]
        return [*steps, *self._around_indexes(table, column, change), *again]

    def _default(self, table: str, column: str, default: Any) -> Any:
        # By a name of ours: what the server makes up is another one on each server.
        name = quoted(migrate.make_index_name("df", (table, column)))
        ctx = self._alter(table, "ADD CONSTRAINT", name, "DEFAULT ")
        ctx.sql(stock.ValueLiterals(default if isinstance(default, peewee.Node) else peewee.Value(default)))
        return ctx.literal(f" FOR {quoted(column)}")

    @operation
    def add_column_default(self, table: str, column: str, default: Any) -> Any:
        """Give a column a default, in the place of the one that it may have."""
        if default is None:
            raise ValueError("`default` must be not None/NULL.")
        if callable(default):
            default = default()
        # As in Peewee: text that ends like a call or like a literal is SQL.
        if isinstance(default, str) and default.endswith((")", "'")):
            default = SQL(default)
        return [*self._drop_default(table, column), self._default(table, column, default)]

    @operation
    def drop_column_default(self, table: str, column: str) -> Any:
        return self._drop_default(table, column)

    # -- constraints, indexes, tables

    @operation
    def drop_foreign_key_constraint(self, table: str, column_name: str) -> Any:
        name = self.get_foreign_key_constraint(table, column_name)
        return self._alter(table, "DROP CONSTRAINT", quoted(name))

    @operation
    def add_index(
        self,
        table: str,
        columns: Any,
        unique: bool = False,
        using: Any = None,
        where: Any = None,
        nulls_distinct: bool | None = None,
        name: str | None = None,
    ) -> Any:
        """Add an index; a unique one over columns that can be NULL holds any number of NULLs."""
        source = stock.Table(table, schema=self.schema)
        if unique and nulls_distinct is not False:
            null = {one.name.lower() for one in self.database.get_columns(table, self.schema) if one.null}
            for column in columns:
                if column.lower() in null:
                    present = getattr(source.c, column).is_null(False)
                    where = present if where is None else where & present
        index = stock.Index(
            name or migrate.make_index_name(table, columns),
            source,
            [getattr(source.c, column) for column in columns],
            unique=unique,
            using=using,
            where=where,
            nulls_distinct=nulls_distinct,
        )
        return self.make_context().sql(index)

    @operation
    def drop_index(self, table: str, index_name: str) -> Any:
        for index in self.database.get_index_definitions(table, self.schema):
            if index.name.lower() == index_name.lower():
                return self._drop(table, index)
        entity = Entity(*filter(None, (self.schema, table)))
        return write_drop_index(self.make_context(), index_name, entity, False, self.database.version)


def _is_text(kind: str) -> bool:
    return kind.lower().startswith(("char", "varchar", "nchar", "nvarchar", "text", "ntext"))
