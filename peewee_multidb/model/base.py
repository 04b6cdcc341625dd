"""`Model`: a ``peewee.Model`` whose database is decided for each query."""

from __future__ import annotations

from typing import Any

import peewee

from .. import routing, scope
from ..errors import ConfigurationError
from ..home import Home
from ..scope import Scope
from ..shards import pruning
from . import creating, moving, placing, sharded_writes
from .aio import AsyncMethods
from .ddl import bind_in_scope, ddl_targets, selected
from .deleting import delete_dependents
from .fencing import patiently
from .metadata import OPTIONS, combined, combined_schema, own_options
from .reads import RoutedAlias, RoutedNoop, RoutedSelect
from .rows import at_home, at_node, refuse_strangers, rehome, row_home
from .stock import stock
from .writes import RoutedDelete, RoutedInsert, RoutedRaw, RoutedUpdate

__all__ = ["Model", "RoutedBase", "current_db", "database_of", "use_shard"]


PRIMARY = scope.use_primary()


class RoutedBase(stock.ModelBase):  # type: ignore[misc]
    """The metaclass: Peewee's, with our Meta options, our Metadata and our schema manager."""

    inheritable = stock.ModelBase.inheritable | set(OPTIONS)

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any], **kwargs: Any) -> Any:
        if not any(isinstance(base, RoutedBase) for base in bases):
            # Model itself is no table and has no fields; Peewee treats its own Model likewise.
            return type.__new__(cls, name, bases, attrs, **kwargs)
        meta = attrs.get("Meta")
        given = own_options(meta, bases, name)
        options: dict[str, Any] = {**(vars(meta) if meta is not None else {}), **given}
        if "db_name" in given:
            # A name of its own stands above a Database object that a base was bound to.
            options["database"] = None
            # And so above a model that a base was colocated with.
            options.setdefault("colocate_with", None)
        elif given.get("database") is not None:
            options["db_name"] = OPTIONS["db_name"]
        options["model_metadata_class"] = combined(
            _chosen(options, bases, "model_metadata_class", peewee.Metadata)
        )
        options["schema_manager_class"] = combined_schema(
            _chosen(options, bases, "schema_manager_class", peewee.SchemaManager)
        )
        attrs = {**attrs, "Meta": type("Meta", (), options)}
        return super().__new__(cls, name, bases, attrs, **kwargs)


def _chosen(options: dict[str, Any], bases: tuple[type, ...], key: str, plain: type) -> type:
    """Return the class that Peewee would take: the Meta's own, or the most particular of the bases'."""
    if key in options:
        return options[key]  # type: ignore[no-any-return]
    inherited = [getattr(getattr(base, "_meta", None), key, None) or plain for base in bases]
    return max(inherited, key=lambda one: len(one.mro()), default=plain)


class Model(AsyncMethods, stock.Model, metaclass=RoutedBase):  # type: ignore[misc]
    """Base class for models that live in named databases.

    Everything a ``peewee.Model`` does, and these options of ``class Meta``:

    * ``db_name``: a database name (the default is ``"default"``); a tuple of names, of which the first is
      home and the others are where a scope may take it; a sharding rule or a function of the shard key;
      or None for no home at all;
    * ``db_pinned``: a blanket `use_db` never moves it;
    * ``managed``: False means that no DDL is ever run for it;
    * ``registry``: another `Databases` than the process-wide one;
    * ``shard_key``: the field, or tuple of fields, that the sharding rule reads;
    * ``shards``: every name that a sharding function can return;
    * ``colocate_with``: the sharded model beside whose rows the rows of this one live;
    * ``reference``: True means that every database of ``db_name`` has all the rows.
    """

    #: Where the row was loaded from or saved to: a node that keeps its database. None for a new row.
    _home: Scope | None = None

    # Queries

    @classmethod
    def select(cls, *fields: Any) -> Any:
        if fields:
            return RoutedSelect(cls, fields)
        meta: Any = cls._meta
        # Peewee's constructors cost more than a copy of what they made.
        plain = meta.plain_select
        if plain is None:
            plain = meta.prepare(RoutedSelect(cls, meta.sorted_fields, is_default=True))
        query = plain.clone()
        if scope.current() is not None:
            query._capture()
        return query

    @classmethod
    def update(cls, __data: Any = None, **update: Any) -> Any:
        return RoutedUpdate(cls, cls._normalize_data(__data, update))

    @classmethod
    def insert(cls, __data: Any = None, **insert: Any) -> Any:
        data = cls._normalize_data(__data, insert)
        meta: Any = cls._meta
        if not meta.home.plain:
            return RoutedInsert(cls, data)
        plain = meta.plain_insert
        if plain is None:
            plain = meta.prepare(RoutedInsert(cls, {}))
        query = plain.with_rows(data)
        if scope.current() is not None:
            query._capture()
        return query

    @classmethod
    def insert_many(cls, rows: Any, fields: Any = None) -> Any:
        return RoutedInsert(cls, insert=rows, columns=fields)

    @classmethod
    def insert_from(cls, query: Any, fields: Any) -> Any:
        columns = [getattr(cls, field) if isinstance(field, str) else field for field in fields]
        return RoutedInsert(cls, insert=query, columns=columns)

    @classmethod
    def raw(cls, sql: str, *params: Any) -> Any:
        return RoutedRaw(cls, sql, params)

    @stock.classmethod_only  # type: ignore[untyped-decorator]
    def delete(cls) -> Any:
        return RoutedDelete(cls)

    @classmethod
    def noop(cls) -> Any:
        return RoutedNoop(cls, ())

    @classmethod
    def alias(cls, alias: str | None = None) -> Any:
        return RoutedAlias(cls, alias)

    # Rows

    def save(self, force_insert: bool = False, only: Any = None) -> Any:
        """Save the row where it lives; a new row where the model resolves to now.

        Raises:
            CrossDatabaseQuery: a foreign key holds a row of another database, although both models live
                side by side: its key may belong to somebody else here.
        """
        meta: Any = self._meta
        home: Home = meta.home
        if home.stored is not None:
            return patiently(home.stored, lambda: self._save(force_insert, only))
        return self._save(force_insert, only)

    def _save(self, force_insert: bool, only: Any) -> Any:
        meta: Any = self._meta
        home: Home = meta.home
        if home.stored is not None:
            rehome(self)
        around = scope.current()
        node = self._home
        if around is None and home.plain and (node is None or node is meta.settled):
            # The common case: no scope has a say, and the row lives at home.
            if self.__rel__:
                refuse_strangers(self, home.name)
            saved = super().save(force_insert, only)
            self._home = meta.settled
            return saved
        placing.refuse_under_replica(home, around, "save()")
        if node is None:
            node = placing.new_home(type(self), placing.values_of(self), around)
        if self.__rel__:
            refuse_strangers(self, row_home(node).target)
        # A row of a reference model has no home of its own: it is saved in every one of them.
        scope.switch(around if home.reference else scope.confined(node, around))
        try:
            saved = super().save(force_insert, only)
        finally:
            scope.switch(around)
        self._home = node
        return saved

    def delete_instance(self, recursive: bool = False, delete_nullable: bool = False) -> Any:
        """Delete the row where it lives; with recursive, its dependents where they live."""
        home: Home = self._meta.home
        placing.refuse_under_replica(home, scope.current(), "delete_instance()")
        if home.stored is not None:
            return patiently(home.stored, lambda: self._delete_instance(recursive, delete_nullable))
        return self._delete_instance(recursive, delete_nullable)

    def _delete_instance(self, recursive: bool, delete_nullable: bool) -> Any:
        with at_home(self):
            if not recursive:
                return super().delete_instance(recursive, delete_nullable)
            # A dependent that a replica does not know yet would be left behind.
            with scope.use_primary():
                done = delete_dependents(self, delete_nullable)
                return super().delete_instance(not done, delete_nullable)

    def refresh(self, *fields: Any) -> Any:
        """Load the row again from where it lives.

        Args:
            fields: only these fields; all of them when none is given.

        Raises:
            Model.DoesNotExist: the row is gone.
        """
        meta: Any = self._meta
        chosen = [meta.combined[f] if isinstance(f, str) else f for f in fields] or meta.sorted_fields
        with at_home(self):
            fresh = type(self).select(*chosen).where(self._pk_expr()).get()
        for field in chosen:
            self.__data__[field.name] = fresh.__data__.get(field.name)
            self.__rel__.pop(field.name, None)
            self._dirty.discard(field.name)
        return self

    def copy_to(self, name: str) -> Any:
        """Insert a copy of the row, with the same primary key, into another database.

        Args:
            name: the name of that database.

        Returns:
            The copy. This row stays where it is.

        Raises:
            peewee.IntegrityError: that database has a row with this key already; it is left as it is.
            ConfigurationError: the row lives there already, or was never saved.
        """
        return moving.copy_to(self, name)

    def move_to(self, name: str) -> None:
        """Move the row to another database: insert it there, delete it here.

        The copy is committed before the deletion, so a crash in between leaves the row twice, never
        nowhere. Rows that refer to it do not move along.

        Args:
            name: the name of that database.

        Raises:
            peewee.IntegrityError: that database has a row with this key already; nothing is changed.
        """
        moving.move_to(self, name)

    @classmethod
    def bulk_create(cls, model_list: Any, batch_size: int | None = None) -> None:
        rows = list(model_list)
        if not rows:
            return
        around = scope.current()
        home: Home = cls._meta.home
        placing.refuse_under_replica(home, around, "bulk_create()")
        groups = placing.place_new(cls, rows, around, "bulk_create()")
        try:
            with sharded_writes.together(home, [row_home(node).target for node, _ in groups]):
                for node, group in groups:
                    scope.switch(around if home.reference else scope.confined(node, around))
                    there = routing.live(home, row_home(node).target)
                    pieces = [group]
                    if home.rule is not None and batch_size is None:
                        pieces = placing.in_batches(group, there, len(cls._meta.sorted_fields))
                    for piece in pieces:
                        super().bulk_create(piece, batch_size)
        finally:
            scope.switch(around)
        for node, group in groups:
            for row in group:
                row._home = node

    @classmethod
    def bulk_update(cls, model_list: Any, fields: Any, batch_size: int | None = None) -> Any:
        """Update fields of many rows, each where it lives, and return how many rows were changed."""
        changed = 0
        around = scope.current()
        home: Home = cls._meta.home
        for node, rows in placing.by_place(cls, model_list, around):
            pieces = [rows]
            if home.rule is not None and node is not None and batch_size is None:
                there = routing.live(home, row_home(node).target)
                pieces = placing.in_batches(rows, there, 2 * len(fields) + 1)
            with at_node(node, home):
                for piece in pieces:
                    changed += super().bulk_update(piece, fields, batch_size)
        return changed

    @classmethod
    def get_or_create(cls, **kwargs: Any) -> Any:
        around = scope.current()
        home: Home = cls._meta.home
        placing.refuse_under_replica(home, around, "get_or_create()")
        # On a replica that lags the row may seem to be missing, before and after it could not be created.
        scope.switch(Scope(PRIMARY, around))
        try:
            if home.rule is None and not home.reference:
                return super().get_or_create(**kwargs)
            return creating.get_or_create(cls, **kwargs)
        finally:
            scope.switch(around)

    # Binding

    @classmethod
    def bind(
        cls, database: Any, bind_refs: bool = True, bind_backrefs: bool = True, _exclude: Any = None
    ) -> bool:
        """Bind the model, and the models it is related to, to a Database object for the whole process.

        A block, ``bind_ctx`` of a model or of a Database, binds in this thread or task only.
        """
        if _exclude is None:
            return bool(super().bind(database, bind_refs, bind_backrefs))
        return bind_in_scope(cls, database, bind_refs, bind_backrefs, _exclude)

    # Tables

    @classmethod
    def create_table(cls, safe: bool = True, **options: Any) -> None:
        """Create the table in every database where the model lives, and what its sharding rule keeps."""
        prepare = getattr(cls._meta.home.rule, "prepare", None)
        if prepare is not None and cls._meta.home.managed:
            prepare()
        for target in ddl_targets(cls):
            with selected(cls, target):
                super().create_table(safe, **options)

    @classmethod
    def drop_table(cls, safe: bool = True, drop_sequences: bool = True, **options: Any) -> None:
        """Drop the table in every database where the model lives."""
        for target in ddl_targets(cls):
            with selected(cls, target):
                super().drop_table(safe, drop_sequences, **options)

    @classmethod
    def truncate_table(cls, **options: Any) -> None:
        """Empty the table in every database where the model lives.

        Raises:
            ConfigurationError: the model has ``managed = False``.
        """
        if not cls._meta.home.managed:
            raise ConfigurationError(
                f"{cls.__name__} has managed = False in its Meta: its table is not ours to truncate."
            )
        for target in ddl_targets(cls):
            with selected(cls, target):
                super().truncate_table(**options)


def current_db(model: Any) -> str | None:
    """Return the name of the database that a model resolves to now, or None when it has no name.

    Raises:
        NoDatabaseSelected: the model has no home, and no scope selects one.
        MissingShardKey: the model is sharded, and no scope selects a shard.
    """
    home = _home(model, "current_db")
    target = routing.decide(home, scope.current())
    if isinstance(target, str):
        return target
    return home.registry.name_of(target)


def database_of(instance: Any) -> str | None:
    """Return the name of the database that a row was loaded from or saved to, or None.

    Args:
        instance: the row, an instance of a model of this package; of anything else the answer is None.
    """
    node = None if isinstance(instance, type) else getattr(instance, "_home", None)
    if node is None:
        return None
    target = node.entry.target
    return target if isinstance(target, str) else node.entry.home.registry.name_of(target)


def use_shard(model: Any, key: Any) -> scope.use_db:
    """Return the scope of the shard that holds a key: for the model, for what lives by the same rule, and for
    reads of reference models that have a copy there.

    Args:
        model: a sharded model.
        key: a value of its shard key; a tuple when the key has several fields.

    Raises:
        ConfigurationError: the model is not sharded, or the key has another number of fields.
        InvalidShardKey: the key cannot be one.
    """
    home = _home(model, "use_shard")
    if home.rule is None:
        raise ConfigurationError(f"use_shard({model.__name__}): its Meta.db_name is not a sharding rule.")
    shard = home.rule.shard_of(pruning.key_value(home, key))
    return _OneShard(home, shard)


class _OneShard(scope.use_db):
    """The scope of one shard: of a model, of those that are colocated with it, and of reference models."""

    __slots__ = ("_home",)

    def __init__(self, home: Home, shard: str) -> None:
        super().__init__(shard, home.model)
        self._home = home

    def place(self, home: Home) -> str | None:
        """Return the shard, for a model whose rows of that key are in it."""
        beside = home is self._home or (home.rule is self._home.rule and home.database is None)
        if beside or (home.reference and self.name is not None and home.lists(self.name)):
            return self.name
        return None

    def mentions(self, home: Home) -> bool:
        """Whether the model is sharded: a reference model is in every other shard as well."""
        return not home.reference

    def concerns(self, home: Home) -> bool:
        """Whether the role of this scope applies: it has none."""
        return False


def _home(model: Any, caller: str) -> Home:
    home = getattr(getattr(model, "_meta", None), "home", None)
    if not isinstance(home, Home):
        raise ConfigurationError(f"{caller}() takes a model of peewee_multidb, not {model!r}.")
    return home
