"""Models compared with the databases that they live in, and the databases of one model with each other.

Tables, columns and indexes are compared by `playhouse.schema_diff`. What it leaves out is compared here:
types, NULL, defaults, primary keys and foreign keys. A comparison only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import peewee
from playhouse.schema_diff import diff_models  # type: ignore[import-untyped]

from .. import scope
from ..drivers import traits_of
from ..errors import ConfigurationError
from ..foreach import for_each_database
from ..model.ddl import has_constraint, selected
from ..registry import Databases, databases
from .differences import Difference, Differences
from .drift import drifts
from .placing import Names, living_in, scope_of, sorted_models
from .shapes import Catalog, ForeignKey, Shape, rule_of
from .types import declared_default, declared_type

__all__ = ["compare", "differences_in", "is_own_table"]

#: Tables of this package and of Peewee, which no model covers: how they begin, and those of migrations.
OWN_TABLES = ("multidb_", "mdb_", "sqlite_")
HISTORY = ("schema_migration", "schema_migration_mark")


def compare(
    models: Iterable[Any],
    names: Names = None,
    *,
    registry: Databases = databases,
    extra_tables: bool = False,
    workers: int = 8,
) -> Differences:
    """Compare models with the tables that they have in each database, and those tables with one another.

    Args:
        models: model classes. Of those with ``managed = False`` only what the model itself needs is compared:
            its table, its columns and their types.
        names: only these databases; None for all. A model without a home is compared in each that is named.
        registry: of the databases.
        extra_tables: whether a table that no model covers is a difference.
        workers: how many databases are asked at the same time.

    Returns:
        Every difference, with what to do about it; false if there is none.

    Raises:
        UnknownDatabase: a name is not in the registry.
        ConfigurationError: something is no model of this package.
    """
    ordered = sorted_models(models)
    found, left = living_in(ordered, names, registry)
    if not extra_tables:
        found = {name: inside for name, inside in found.items() if inside}
    around = scope.current()

    def look(name: str) -> tuple[list[Difference], dict[Any, Shape]]:
        database = registry[name]
        if traits_of(database).is_async:
            raise ConfigurationError(
                f"database {name!r} is asynchronous, and compare() is not: "
                "configure it with a synchronous URL"
            )
        with scope_of(around):
            return differences_in(name, database, found[name], extra_tables)

    outcome = for_each_database(look, list(found), registry=registry, workers=workers)
    engines = {name: traits_of(registry[name]).engine for name in outcome.results}
    result = Differences(passed_over=left, failed=dict(outcome.failed), compared={})
    shapes: dict[Any, dict[str, Shape]] = {}
    for name in found:
        if name in outcome.results:
            differences, tables = outcome.results[name]
            result.found += differences
            result.compared[name] = [model._meta.table_name for model in found[name]]
            for model, shape in tables.items():
                shapes.setdefault(model, {})[name] = shape
    for model in ordered:
        result.drift += drifts(model, shapes.get(model, {}), engines)
    return result


def differences_in(
    name: str, database: Any, models: list[Any], extra_tables: bool = False
) -> tuple[list[Difference], dict[Any, Shape]]:
    """Compare models with one database.

    Args:
        name: of the database.
        database: its Database object.
        models: those that live there.
        extra_tables: whether a table that no model covers is a difference.

    Returns:
        The differences, and what each table is like.
    """
    models = [model for model in models if not getattr(model._meta, "temporary", False)]
    catalog = Catalog(database, models)
    diff = diff_models(catalog, models)
    found = [*_of_schema_diff(name, diff, models)]
    shapes = {}
    missing = set(diff.create_tables)
    for model in models:
        if model in missing or getattr(model._meta, "extension_module", None):
            continue
        shape = catalog.shape(model._meta.table_name, model._meta.schema)
        shapes[model] = shape
        with selected(model, name):
            found += _of_columns(name, database, model, shape)
            if model._meta.home.managed:
                found += _of_keys(name, database, model, shape)
    if extra_tables:
        found += _of_tables(name, catalog, models)
    return found, shapes


def _of_schema_diff(name: str, diff: Any, models: list[Any]) -> Iterator[Difference]:
    by_table = {model._meta.table_name: model for model in models}
    for model in diff.create_tables:
        yield Difference("missing table", name, model)
    for field in diff.add_columns:
        yield Difference("missing column", name, field.model, field.column_name, field=field)
    for table, column in diff.drop_columns:
        if by_table[table]._meta.home.managed:
            yield Difference("extra column", name, by_table[table], column)
    for kind, indexes in (("missing index", diff.add_indexes), ("extra index", diff.drop_indexes)):
        for index in indexes:
            model = by_table[index.table]
            if model._meta.home.managed:
                text = index.name if index.columns is None else ", ".join(index.columns)
                unique = "unique" if index.unique else ""
                yield Difference(kind, name, model, text, found=unique, name=index.name)


def _of_columns(name: str, database: Any, model: Any, shape: Shape) -> Iterator[Difference]:
    managed = model._meta.home.managed
    keys = {field.column_name for field in model._meta.get_primary_keys()}
    for field in model._meta.sorted_fields:
        column = shape.columns.get(field.column_name)
        if column is None:
            continue
        kind = declared_type(field, database)
        if kind != column.kind and kind:
            yield Difference("type", name, model, field.column_name, kind, column.kind, field)
        if not managed:
            continue
        if field.column_name not in keys and bool(field.null) is not column.null:
            said = {True: "NULL", False: "NOT NULL"}
            yield Difference(
                "null", name, model, field.column_name, said[bool(field.null)], said[column.null], field
            )
        sure, default = declared_default(field)
        known, there = column.default
        if sure and known and default != there:
            yield Difference("default", name, model, field.column_name, _said(default), _said(there), field)
        elif (sure and default is None and not known) or (
            _has_expression(field) and column.default == (True, None)
        ):
            expected = "none" if sure else "an expression"
            yield Difference("default", name, model, field.column_name, expected, _said(there), field)
        if _is_numbered(field) and not column.identity:
            yield Difference("auto increment", name, model, field.column_name, "numbered", "plain", field)


def _has_expression(field: Any) -> bool:
    """Whether a field writes a default into the table that is more than a literal."""
    return (
        not declared_default(field)[0]
        and not getattr(field, "sequence", None)
        and any(
            str(getattr(one, "sql", "")).strip().upper().startswith("DEFAULT")
            for one in field.constraints or ()
        )
    )


def _is_numbered(field: Any) -> bool:
    """Whether the server is to number a column."""
    return isinstance(field, peewee.AutoField) and not getattr(field, "sequence", None)


def _said(default: str | None) -> str:
    return "none" if default is None else repr(default)


def _of_keys(name: str, database: Any, model: Any, shape: Shape) -> Iterator[Difference]:
    key = tuple(field.column_name for field in model._meta.get_primary_keys())
    if key != shape.primary_key:
        texts = [", ".join(one) or "none" for one in (key, shape.primary_key)]
        yield Difference("primary key", name, model, None, *texts)
    declared, optional = set(), set()
    for field in model._meta.refs:
        if field.column_name not in shape.columns:
            continue
        wanted = ForeignKey(
            field.column_name,
            field.rel_model._meta.table_name,
            field.rel_field.column_name,
            rule_of(field.on_delete),
            rule_of(field.on_update),
        )
        if has_constraint(field) and not getattr(field, "deferred", None):
            declared.add(wanted)
        elif has_constraint(field):
            optional.add(wanted)
    same = traits_of(database).engine in ("sqlite", "mssql", "mysql")
    there = {_plain(one, same): one for one in shape.foreign_keys}
    here = {_plain(one, same): one for one in declared}
    may = {_plain(one, same) for one in optional}
    for plain in here.keys() - there.keys():
        rival = next((one for one in there if one[:3] == plain[:3]), None)
        yield Difference(
            "foreign key" if rival is None else "foreign key rule",
            name,
            model,
            plain[0] if rival else here[plain].column,
            _refers(here[plain]),
            "none" if rival is None else _refers(there[rival]),
        )
    rivals = {plain[:3] for plain in here}
    for plain in there.keys() - here.keys() - may:
        if plain[:3] not in rivals:
            key_there = there[plain]
            yield Difference("extra foreign key", name, model, key_there.column, "none", _refers(key_there))


def _plain(key: ForeignKey, any_case: bool) -> tuple[str, ...]:
    names = (key.column, key.table, key.key)
    return (*(name.lower() if any_case else name for name in names), key.on_delete, key.on_update)


def _refers(key: ForeignKey) -> str:
    rules = [f" on delete {key.on_delete.lower()}"] if key.on_delete else []
    rules += [f" on update {key.on_update.lower()}"] if key.on_update else []
    return f"{key.table}({key.key}){''.join(rules)}"


def is_own_table(table: str) -> bool:
    """Whether a table is kept by this package or by Peewee, for itself."""
    return table in HISTORY or table.startswith(OWN_TABLES)


def _of_tables(name: str, catalog: Catalog, models: list[Any]) -> Iterator[Difference]:
    schemas = {model._meta.schema for model in models} or {None}
    for schema in sorted(schemas, key=str):
        covered = {model._meta.table_name for model in models if model._meta.schema == schema}
        for table in catalog.tables(schema):
            if table not in covered and not is_own_table(table):
                yield Difference("extra table", name, None, table)
