"""``Model._meta`` of our models: Peewee's, with a home.

The options of the design are read here. Fields are dressed as they are added: foreign keys and
many-to-many fields get accessors that follow the row, and fields that Peewee would adapt to one
database are hooked to a stand-in that adapts to each.
"""

from __future__ import annotations

from typing import Any

import peewee
from peewee import ForeignKeyField, Metadata

from .. import routing, scope
from ..errors import ConfigurationError, MultiDBError, NoDatabaseSelected, nearest
from ..home import DEFAULT, BorrowedHome, Home
from ..registry import Databases, databases
from ..scope import Scope
from .ddl import RoutedSchema
from .dialect import compiling
from .fields import dress
from .handle import ModelDatabase
from .rows import RowHome, foreign_key_accessor, instance_query_accessor
from .stock import stock
from .tables import RoutedTable

__all__ = ["OPTIONS", "RoutedMetadata", "combined", "combined_schema", "home_of", "own_options"]

#: The Meta options that this package adds, with what they mean when absent.
OPTIONS: dict[str, Any] = {
    "db_name": DEFAULT,
    "db_pinned": False,
    "managed": True,
    "registry": None,
    "shard_key": None,
    "shards": None,
    "colocate_with": None,
    "reference": False,
}

# Attributes of our Metadata; Peewee would let an option of the same name overwrite them.
_TAKEN = ("given", "handle", "home", "plain_insert", "plain_select", "settle", "settled", "shard_nodes")


class RoutedMetadata(stock.Metadata):  # type: ignore[misc]
    """Metadata of a model whose database is decided for each query."""

    home: Home
    #: The node of a row that lives at home, when no scope had a say.
    settled: Scope
    #: The same of rows that live in a shard.
    shard_nodes: dict[str, Scope]
    plain_select: Any = None
    _table: Any
    plain_insert: Any = None

    def __init__(self, model: Any, database: Any = None, **options: Any) -> None:
        self._is_binding_field = False
        if isinstance(database, ModelDatabase):
            # Inherited: what the base was bound to, if it was.
            database = database._meta.home.database
        self.settle(model, {key: options[key] for key in OPTIONS if key in options})
        super().__init__(model, database, **options)

    def settle(self, model: Any, given: dict[str, Any]) -> None:
        """Read the options that this package adds to Meta."""
        self.model = model
        self.given = given
        self.handle = ModelDatabase(self)
        self.home = home_of(model, given)
        borrowed = _own_descriptor(type(self))
        if borrowed is not None:
            self.home = BorrowedHome(
                self.home, lambda: borrowed.fget(self), lambda value: borrowed.fset(self, value)
            )
        self.shard_nodes = {}
        self.settled = Scope(RowHome(self.home.name or "", self.home), None)

    @property
    def database(self) -> Any:
        if self._is_binding_field:
            # A field that asks while the model is being made; the registry may know nothing yet.
            return None
        home = self.home
        around = scope.current()
        if around is None and home.plain:
            return self.handle
        if compiling() is not None:
            return self.handle
        try:
            target = routing.decide(home, around)
        except NoDatabaseSelected:
            return None
        except MultiDBError:
            return self.handle
        # A model that is bound to a Database object answers with just that, as in Peewee.
        return self.handle if isinstance(target, str) else target

    @database.setter
    def database(self, database: Any) -> None:
        # Peewee's own code assigns here: its constructor and set_database().
        if isinstance(database, ModelDatabase):
            database = None if database._meta is self else database.obj
        elif isinstance(database, str):
            raise ConfigurationError(
                f"{self.model.__name__}: {database!r} is not a peewee Database; "
                "a database is named by Meta.db_name or use_db()."
            )
        self.home.bind(database)

    def set_database(self, database: Any) -> None:
        """Bind the model to a Database object for the whole process; None goes back to ``db_name``."""
        self.database = database
        del self.table
        self._call_hooks()

    def _call_hooks(self) -> None:
        database = self.get_database_instance()
        for hook in self._db_hooks:
            hook(database)

    def get_database_instance(self) -> Any:
        """Return the Database object that the model is bound to; None when it is named or not there yet."""
        database = self.home.database
        return database.obj if isinstance(database, peewee.Proxy) else database

    @property
    def table(self) -> Any:
        if self._table is None:
            self._table = RoutedTable(
                self.table_name,
                [field.column_name for field in self.sorted_fields],
                schema=self.schema,
                _model=self.model,
            )
        return self._table

    @table.deleter
    def table(self) -> None:
        # Whatever changes the fields or the binding comes by here.
        self._table = None
        self.plain_select = self.plain_insert = None

    def prepare(self, query: Any) -> Any:
        """Keep a query without clauses, of which ``select()`` and ``insert()`` give copies."""
        query._scope = None
        if isinstance(query, peewee.ModelSelect):
            self.plain_select = query
        else:
            self.plain_insert = query
        return query

    def add_field(self, field_name: str, field: Any, set_attribute: bool = True) -> None:
        self._dress(field)
        self._is_binding_field = True
        try:
            super().add_field(field_name, field, set_attribute)
        finally:
            self._is_binding_field = False
        if isinstance(field, stock.FieldDatabaseHook):
            # A hook that Peewee was given None for, if it is one of those that still listen.
            field._db_hook(self.get_database_instance())

    def _dress(self, field: Any) -> None:
        dress(field)
        if isinstance(field, ForeignKeyField):
            field.accessor_class = foreign_key_accessor(field.accessor_class)
            field.backref_accessor_class = instance_query_accessor(field.backref_accessor_class)
        elif isinstance(field, stock.ManyToManyField):
            from .many_to_many import RoutedManyToManyAccessor, create_through_model

            if field.accessor_class is peewee.ManyToManyFieldAccessor:
                field.accessor_class = RoutedManyToManyAccessor
            field._create_through_model = lambda: create_through_model(field, self.model)

def _own_descriptor(metadata: type) -> Any:
    """Return the ``database`` property of a user's metadata class, as ThreadSafeDatabaseMetadata has one."""
    for base in metadata.mro():
        found = vars(base).get("database")
        if found is not None and not issubclass(base, RoutedMetadata):
            return found
    return None


def combined(metadata: type) -> type:
    """Return the class to use in place of a user's ``model_metadata_class``."""
    if issubclass(metadata, RoutedMetadata):
        return metadata
    if metadata is Metadata:
        return RoutedMetadata
    return type(f"Routed{metadata.__name__}", (RoutedMetadata, metadata), {})


def combined_schema(manager: type) -> type:
    """Return the class to use in place of a user's ``schema_manager_class``."""
    if issubclass(manager, RoutedSchema):
        return manager
    if manager is peewee.SchemaManager:
        return RoutedSchema
    return type(f"Routed{manager.__name__}", (RoutedSchema, manager), {})


def own_options(meta: Any, bases: tuple[type, ...], name: str) -> dict[str, Any]:
    """Return the options of ours that a class statement gives: its own Meta's, then plain mixins'.

    Peewee passes over a ``Meta`` in a base that is no model. For these options that would put rows
    into another database than the mixin says, so they count.

    Raises:
        ConfigurationError: a misspelt option, or two that exclude each other.
    """
    given = {k: v for k, v in vars(meta).items() if not k.startswith("_")} if meta is not None else {}
    if meta is not None:
        for base in type.mro(meta)[1:-1]:
            given = {**{k: v for k, v in vars(base).items() if k in OPTIONS}, **given}
    for key in given:
        if key in _TAKEN:
            raise ConfigurationError(f"{name}.Meta.{key} is a name that peewee_multidb uses; choose another.")
        if key not in OPTIONS and key.startswith(("db_", "shard")) and key != "db_table":
            raise ConfigurationError(f"{name}.Meta.{key} is not an option; {nearest(key, OPTIONS)}.")
    if given.get("database") is not None and "db_name" in given:
        raise ConfigurationError(f"{name}.Meta has both database and db_name; keep one of them.")
    if given.get("colocate_with") is not None and "db_name" in given:
        raise ConfigurationError(
            f"{name}.Meta has both colocate_with and db_name; a colocated model lives where the other does."
        )
    for base in bases:
        mixin = getattr(base, "Meta", None)
        if mixin is not None and not isinstance(base, peewee.ModelBase):
            for key in OPTIONS:
                if hasattr(mixin, key):
                    given.setdefault(key, getattr(mixin, key))
    return {key: value for key, value in given.items() if key in OPTIONS or key == "database"}


def home_of(model: Any, given: dict[str, Any]) -> Home:
    """Return what the options of ours say about where a model lives.

    Raises:
        ConfigurationError: they make no sense.
    """
    registry = given.get("registry")
    if registry is None:
        registry = databases
    elif not isinstance(registry, Databases):
        raise ConfigurationError(
            f"{model.__name__}.Meta.registry is {registry!r}; it takes a peewee_multidb.Databases object."
        )
    for key in ("db_pinned", "managed", "reference"):
        if not isinstance(given.get(key, False), bool):
            raise ConfigurationError(
                f"{model.__name__}.Meta.{key} is {given[key]!r}; it takes True or False."
            )
    db_name = given.get("db_name", OPTIONS["db_name"])
    if isinstance(db_name, (staticmethod, classmethod)):
        db_name = db_name.__func__
    return Home(
        model,
        registry,
        db_name,
        pinned=given.get("db_pinned", False),
        managed=given.get("managed", True),
        shard_key=given.get("shard_key"),
        shards=given.get("shards"),
        colocate_with=given.get("colocate_with"),
        reference=given.get("reference", False),
    )
