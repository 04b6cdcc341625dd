"""The source of models for a database that is there, SQL Server's included, on top of `playhouse.reflection`.

Peewee finds the tables, the fields and the names. What is written here says where the models live, and says
types exactly: a column whose type Peewee's field would not make again gets a field of its own, so that
`compare` finds no difference between the models and the database that they were read from.
"""

from __future__ import annotations

import inspect as python
import keyword
import re
from collections.abc import Iterable, Sequence
from typing import Any

import peewee
from playhouse import reflection  # type: ignore[import-untyped]

from ..drivers import traits_of
from ..errors import ConfigurationError, nearest
from ..model import Model
from ..registry import Databases, databases
from .comparing import is_own_table
from .placing import connected
from .shapes import Catalog
from .types import canonical_type, declared_type

__all__ = ["inspect"]

#: Names that a class in the generated source must not take.
TAKEN = {"Model", "SQL", "CompositeKey", "DeferredForeignKey", "ForeignKeyField", "Base"}


def inspect(
    name: str,
    *,
    registry: Databases = databases,
    tables: Iterable[str] | None = None,
    schema: str | None = None,
    managed: bool = True,
    views: bool = False,
) -> str:
    """Return the source of a module with a model for each table of a database.

    Args:
        name: of the database, which becomes the models' ``db_name``.
        registry: of the databases.
        tables: only these, and those that their foreign keys refer to; None for all but this package's own.
        schema: whose tables; those that need no schema to be named, if None.
        managed: False writes ``managed = False``, so that no DDL is ever run for them.
        views: whether views become models too.

    Raises:
        UnknownDatabase: the name is not in the registry.
        ConfigurationError: there is no such table; or the database is asynchronous.
    """
    database: Any = registry[name]
    if traits_of(database).is_async:
        raise ConfigurationError(
            f"database {name!r} is asynchronous, and inspect() is not: configure it with a synchronous URL"
        )
    wanted = None if tables is None else list(tables)
    with connected(database):
        known = [*database.get_tables(schema), *(view.name for view in database.get_views(schema))]
        for table in wanted or ():
            if table not in known:
                raise ConfigurationError(f"database {name!r} has no table {table!r}; {nearest(table, known)}")
        if wanted is None and any(map(is_own_table, known)):
            wanted = [table for table in known if not is_own_table(table)]
        introspector = _introspector(database, schema)
        _name_safely(introspector)
        found = introspector.introspect(table_names=wanted, include_views=views)
        return _Writer(name, database, introspector, found, schema, managed).source()


def _introspector(database: Any, schema: str | None) -> Any:
    if traits_of(database).engine == "mysql":
        from ..drivers.mysql.reflection import introspector

        return introspector(database, schema)
    from ..drivers.mssql.reflection import Introspector

    return Introspector.from_database(database, schema)


def _is_of_models(name: str) -> bool:
    return hasattr(Model, name) or name in ("_meta", "_schema") or keyword.iskeyword(name)


def _name_safely(introspector: Any) -> None:
    """Have names made of tables and columns that have no letter and no digit; Peewee makes none."""
    for method, name in (("make_model_name", "Table"), ("make_column_name", "column")):
        made = getattr(introspector, method)

        def make(text: str, *options: Any, made: Any = made, name: str = name, **more: Any) -> Any:
            return made(text if re.search(r"[^\W_]", text) else name, *options, **more)

        setattr(introspector, method, make)


class _Writer:
    """The source of a module.

    Args:
        name: of the database.
        database: its Database object.
        introspector: of Peewee.
        found: what it found.
        schema: of the tables.
        managed: whether DDL is ours to run.
    """

    def __init__(
        self, name: str, database: Any, introspector: Any, found: Any, schema: str | None, managed: bool
    ) -> None:
        self.name = name
        self.database = database
        self.introspector = introspector
        self.found = found
        self.schema = schema
        self.managed = managed
        self.catalog = Catalog(database, [])
        self.imports: dict[str, set[str]] = {"peewee_multidb": {"Model"}}
        self.own: dict[str, str] = {}
        self.classes = self._classes()
        self._rename_fields()

    def _rename_fields(self) -> None:
        """Give each column a name of its own, which hides nothing that a model has."""
        columns: Any = self.found.columns
        for table in columns.values():
            taken: set[str] = set()
            for column in table.values():
                if column.name.startswith("__"):  # another name inside of a class
                    column.name = f"column{column.name}"
                while column.name in taken or _is_of_models(column.name):
                    column.name += "_"
                taken.add(column.name)
        for table in columns.values():
            for column in table.values():
                key = column.foreign_key if column.is_foreign_key() else None
                if key is not None and column.to_field and key.dest_table in columns:
                    column.to_field = columns[key.dest_table][key.dest_column].name

    def _classes(self) -> dict[str, str]:
        taken, names = {one.lower() for one in TAKEN}, {}
        for table in sorted(self.found.model_names):
            base = plain = re.sub(r"\W", "", self.found.model_names[table]) or "Table"
            number = 2
            # A field class of the same name would be hidden, or hide the model.
            while plain.lower() in taken or keyword.iskeyword(plain) or hasattr(peewee, plain):
                plain, number = (f"{base}Table" if number == 2 else f"{base}{number}"), number + 1
            taken.add(plain.lower())
            names[table] = plain
        return names

    def source(self) -> str:
        """Return it all."""
        blocks = [self._model(table) for table in self._ordered()]
        fields = [self.own[key] for key in sorted(self.own)]
        imports = [
            f"from {module} import {', '.join(sorted(names))}"
            for module, names in sorted(self.imports.items())
            if names
        ]
        meta = [f"        db_name = {self.name!r}"] + ([] if self.managed else ["        managed = False"])
        base = "\n".join(["class Base(Model):", "    class Meta:", *meta])
        head = f'"""The tables of the database {self.name!r}, as they were found there."""'
        return "\n\n\n".join([f"{head}\n\n" + "\n".join(imports), *fields, base, *blocks]) + "\n"

    def _ordered(self) -> list[str]:
        """Return the tables, each after those that it refers to as far as there is such an order."""
        ordered: list[str] = []
        under_way: set[str] = set()

        def visit(table: str) -> None:
            if table in ordered or table in under_way or table not in self.classes:
                return
            under_way.add(table)
            for key in self.found.foreign_keys[table]:
                visit(key.dest_table)
            ordered.append(table)

        for table in sorted(self.classes):
            visit(table)
        self.position = {table: number for number, table in enumerate(ordered)}
        return ordered

    def _model(self, table: str) -> str:
        columns = self.found.columns[table]
        keys = self.found.primary_keys[table]
        lines = [f"class {self.classes[table]}(Base):"]
        described = {one.name: one for one in self.catalog.get_columns(table, self.schema)}
        single = self.found.column_indexes(table)
        for column_name, column in columns.items():
            text = self._field(table, column_name, column, described[column_name], keys, single)
            if text is not None:
                lines.append(f"    {column.name} = {text}")
        if len(lines) > 1:
            lines.append("")
        lines += ["    class Meta:", f"        table_name = {table!r}"]
        if self.schema:
            lines.append(f"        schema = {self.schema!r}")
        if len(keys) > 1:
            self._import(peewee.CompositeKey)
            names = ", ".join(repr(columns[key].name) for key in keys)
            lines.append(f"        primary_key = CompositeKey({names})")
        elif not keys:
            lines.append("        primary_key = False")
        lines += self._indexes(table)
        return "\n".join(lines)

    def _indexes(self, table: str) -> list[str]:
        lines = []
        columns = self.found.columns[table]
        for index in self.catalog.get_indexes(table, self.schema):
            usable = reflection._is_index_usable(index, set(columns))
            if usable and len(index.columns) > 1:
                names = tuple(columns[column].name for column in index.columns)
                lines.append(f"            ({names!r}, {bool(index.unique)}),")
            elif not usable and index.sql:
                self._import(peewee.SQL)
                lines.append(f"            SQL({index.sql!r}),")
        return ["        indexes = (", *lines, "        )"] if lines else []

    # Fields

    def _field(
        self, table: str, column_name: str, column: Any, described: Any, keys: Sequence[str], single: Any
    ) -> str | None:
        is_key = column_name in keys
        parameters: dict[str, str] = {}
        if column.is_foreign_key():
            kind = self._foreign_key(table, column, parameters)
        else:
            kind = self._kind(column, described, parameters)
            if column_name == "id" and kind == "AutoField" and len(keys) == 1:
                self.imports["peewee"].discard("AutoField")
                return None
        if is_key and len(keys) == 1 and not kind.endswith("AutoField"):
            parameters["primary_key"] = "True"
        if column.nullable and not is_key:
            parameters["null"] = "True"
        if column.name != column_name or column.is_foreign_key():
            parameters["column_name"] = repr(column_name)
        if column_name in single and not (is_key and len(keys) == 1):
            if single[column_name]:
                parameters["unique"] = "True"
            elif not column.is_foreign_key():
                parameters["index"] = "True"
        elif column.is_foreign_key():
            parameters["index"] = "False"
        if column.default is not None and not described.identity:
            self._import(peewee.SQL)
            parameters["constraints"] = f"[SQL({f'DEFAULT {column.default}'!r})]"
        first = parameters.pop("", None)
        rest = [f"{key}={value}" for key, value in parameters.items()]
        return f"{kind}({', '.join([*([first] if first else []), *rest])})"

    def _foreign_key(self, table: str, column: Any, parameters: dict[str, str]) -> str:
        key = column.foreign_key
        target = key.dest_table
        is_later = self.position[target] > self.position[table]
        kind = "DeferredForeignKey" if is_later else "ForeignKeyField"
        self.imports.setdefault("peewee", set()).add(kind)
        parameters[""] = (
            "'self'" if target == table else repr(self.classes[target]) if is_later else self.classes[target]
        )
        if column.to_field and (
            len(self.found.primary_keys[target]) != 1 or key.dest_column != self.found.primary_keys[target][0]
        ):
            parameters["field"] = repr(column.to_field)
        # The default name would be taken twice, where a table refers to another more than once.
        parameters["backref"] = repr(f"{re.sub(r'[^0-9A-Za-z_]', '_', table)}_by_{column.name}")
        for rule in ("on_delete", "on_update"):
            said = (getattr(key, rule) or "").upper()
            if said not in ("", "NO ACTION", "RESTRICT"):
                parameters[rule] = repr(said)
        return kind

    def _kind(self, column: Any, described: Any, parameters: dict[str, str]) -> str:
        kind = column.field_class
        if kind.__name__ == "BinaryJSONField":
            kind = peewee.JSONField  # the same on PostgreSQL, and known to the other engines
        extra = dict(column.extra_parameters or {})
        if kind is reflection.UnknownField or not self._says(kind, extra, described):
            return self._own_field(kind, described, parameters)
        self._import(kind)
        for key, value in extra.items():
            is_field = python.isclass(value) and issubclass(value, peewee.Field)
            parameters[key] = value.__name__ if is_field else repr(value)
            if is_field:
                self._import(value)
        if kind(**extra).index:
            parameters["index"] = "False"  # unless there is one: some fields have one by themselves
        return str(kind.__name__)

    def _import(self, kind: Any) -> None:
        self.imports.setdefault(kind.__module__, set()).add(kind.__name__)

    def _says(self, kind: Any, extra: dict[str, Any], described: Any) -> bool:
        """Whether a field would make the column's type again."""
        field = kind(**extra)
        field.column_name = described.name
        said = declared_type(field, self.database)
        return not said or said == canonical_type(described.full_type or described.data_type, self.database)

    def _own_field(self, kind: Any, described: Any, parameters: dict[str, str]) -> str:
        """Return the class of a field for a type that no field of Peewee has, and write the class."""
        full = str(described.full_type or described.data_type)
        foreign = kind is reflection.UnknownField or not kind.__module__.startswith("peewee")
        base = peewee.Field if foreign else kind
        name = "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", full)) + "Column"
        if not name[0].isalpha():
            name = f"T{name}"
        self._import(base)
        self._import(peewee.SQL)
        if issubclass(base, peewee.AutoField):
            full += {"mysql": " AUTO_INCREMENT", "mssql": " IDENTITY(1,1)"}.get(self.catalog.engine, "")
        if self.database.param == "%s":
            full = full.replace("%", "%%")
        self.own[name] = "\n".join(
            [
                f"class {name}({base.__name__}):",
                "    def ddl_datatype(self, ctx):",
                f"        return SQL({full!r})",
            ]
        )
        return name
