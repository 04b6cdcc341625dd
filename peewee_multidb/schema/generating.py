"""Migrations written from what models lack in their databases, on top of the template of Peewee's own runner.

The template knows tables, columns and indexes. Types and NULL are added here; what nobody can write without
knowing the data stands at the top as something to be done by hand.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Sequence
from typing import Any

import peewee
from playhouse import migrations as stock  # type: ignore[import-untyped]
from playhouse.schema_diff import SchemaDiff, diff_models  # type: ignore[import-untyped]

from ..model.ddl import has_constraint, selected
from ..registry import Databases
from .comparing import differences_in
from .differences import Difference
from .placing import living_in, sorted_models
from .shapes import Catalog

__all__ = ["generated"]

#: What the template covers already.
COVERED = ("missing table", "missing column", "extra column", "missing index", "extra index")


def generated(models: Sequence[Any], names: Sequence[str], registry: Databases) -> list[str]:
    """Return the texts of migration files, one for each group of databases that need the same; perhaps none.

    Args:
        models: those that are compared; unmanaged ones are left out.
        names: of the databases, none of which is read-only.
        registry: of the databases.
    """
    managed = [model for model in sorted_models(models) if model._meta.home.managed]
    found, _ = living_in(managed, names, registry)
    bodies: dict[str, list[str]] = {}
    for name, inside in found.items():
        if inside:
            with registry[name].connection_context():
                body = _body(name, registry[name], inside)
            if body is not None:
                bodies.setdefault(body, []).append(name)
    return [_addressed(body, where, registry.names) for body, where in bodies.items()]


def _body(name: str, database: Any, models: list[Any]) -> str | None:
    catalog = Catalog(database, models)
    diff = diff_models(catalog, models)
    differences, _ = differences_in(name, database, models)
    rest = [one for one in differences if one.kind not in COVERED]
    if not diff and not rest:
        return None
    up: list[str] = []
    down: list[str] = []
    by_hand: list[str] = []
    imports: set[str] = set()
    for one in rest:
        _add(one, up, down, by_hand, imports)
    text = stock.template(_here(name, diff))
    # The first line has the time, by which the same would not be the same.
    _, _, text = text.partition("\n")
    return _with(text, up, down, by_hand, imports)


def _add(one: Difference, up: list[str], down: list[str], by_hand: list[str], imports: set[str]) -> None:
    table, column = one.table, one.column
    if one.kind == "type":
        source = stock._build_field(_column_of(one.field), imports, by_hand, unbound=True)
        up.append(f"migrator.migrate(migrator.alter_column_type({table!r}, {column!r}, {source}))")
        by_hand.append(f"{table}.{column}: it was {one.found}, which down() does not bring back")
    elif one.kind == "null":
        ways = ("add_not_null", "drop_not_null")
        there, back = ways if one.expected == "NOT NULL" else ways[::-1]
        up.append(f"migrator.migrate(migrator.{there}({table!r}, {column!r}))")
        down.append(f"migrator.migrate(migrator.{back}({table!r}, {column!r}))")
    else:
        by_hand.append(one.message.partition(": ")[2])


def _with(text: str, up: list[str], down: list[str], by_hand: list[str], imports: set[str]) -> str:
    """Return the text of a migration with more in its functions and above them."""
    head, _, rest = text.partition("def up(migrator, db):\n")
    first, _, second = rest.partition("\n\n\ndef down(migrator, db):\n")
    new = sorted(line for line in imports if line not in head)
    head = head.replace("from peewee import *\n", "\n".join(["from peewee import *", *new, ""]), 1)
    head = head.replace("# TODO: ", "# By hand: ")
    notes = "".join(f"# By hand: {note}\n" for note in by_hand)
    if notes:
        head = f"{head.rstrip()}\n\n{notes}\n"
    return (
        f"{head}\ndef up(migrator, db):\n{_block(first, up)}\n\n\n"
        f"def down(migrator, db):\n{_block(second, down[::-1])}\n"
    )


def _block(body: str, more: list[str]) -> str:
    lines = [line for line in body.rstrip().split("\n") if line.strip() != "pass"]
    lines += [f"    {line}" for line in more]
    return "\n".join(lines).strip("\n") or "    pass"


def _addressed(body: str, where: list[str], everywhere: Sequence[str]) -> str:
    head, imported, rest = body.partition("from peewee import *\n")
    if set(where) != set(everywhere):
        lines = rest.split("\n")
        at = next((n for n, line in enumerate(lines) if not line.startswith(("import ", "from "))), 0)
        rest = "\n".join([*lines[:at], "", f"databases = {tuple(where)!r}", *lines[at:]])
    made = f'"""Written by comparing the models with {", ".join(where)}."""\n\n{head.lstrip()}{imported}{rest}'
    compile(made, "<migration>", "exec")
    return made


# Foreign keys to other databases


def _here(name: str, diff: Any) -> Any:
    """Return a diff in which a foreign key to another database is the plain column that it is."""
    created = []
    for model in diff.create_tables:
        with selected(model, name):
            apart = {field.name for field in model._meta.refs if not has_constraint(field)}
        created.append(_view(model, apart) if apart else model)
    added = []
    for field in diff.add_columns:
        with selected(field.model, name):
            plain = isinstance(field, peewee.ForeignKeyField) and not has_constraint(field)
        added.append(_column_of(field) if plain else field)
    return SchemaDiff(created, added, diff.drop_columns, diff.add_indexes, diff.drop_indexes)


def _view(model: Any, apart: set[str]) -> Any:
    meta = model._meta
    fields = [_column_of(field) if field.name in apart else field for field in meta.sorted_fields]
    seen = types.SimpleNamespace(
        sorted_fields=fields,
        table_name=meta.table_name,
        schema=meta.schema,
        primary_key=meta.primary_key,
        indexes=meta.indexes,
    )
    return type(model.__name__, (), {"_meta": seen})


def _column_of(field: Any) -> Any:
    """Return a field with the column of a foreign key, and none of what makes it one."""
    target = field
    while isinstance(target, peewee.ForeignKeyField):
        target = target.rel_field
    if target is field:
        return field
    numbered = {peewee.AutoField: peewee.IntegerField, peewee.BigAutoField: peewee.BigIntegerField}
    kind = next((plain for auto, plain in numbered.items() if type(target) is auto), None)
    plain: Any = copy.copy(target) if kind is None else kind()
    for attribute in ("name", "column_name", "model", "null", "index", "unique", "primary_key", "default"):
        setattr(plain, attribute, getattr(field, attribute))
    return plain
