"""DDL goes where the model lives, and a foreign key to another database makes no constraint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import peewee

from .. import routing, scope
from ..errors import ConfigurationError, CrossDatabaseQuery
from ..home import Home
from .handle import ModelDatabase
from .stock import stock

__all__ = ["RoutedSchema", "bind_in_scope", "create_in", "ddl_targets", "has_constraint", "selected"]


def ddl_targets(model: Any) -> list[scope.Target]:
    """Return the databases that DDL of the model concerns.

    That is the one that a scope selects, or else every shard or copy, or else the model's home; none at all
    when the model is not managed.

    Raises:
        NoDatabaseSelected: the model has no home and no scope selects one.
        ReadOnlyDatabase: a database is configured as read-only, or the scope is `use_replica`.
    """
    home: Home = model._meta.home
    if not home.managed:
        return []
    around = scope.current()
    is_many = (home.rule is not None or home.reference) and home.database is None
    if is_many and scope.place(around, home) is None:
        targets: list[scope.Target] = [scope.renamed(around, name) for name in home.names or ()]
    else:
        targets = [routing.decide(home, around)]
    for target in targets:
        routing.refuse_write(home, around, routing.live(home, target), "DDL")
    return targets


def create_in(model: Any, name: str) -> None:
    """Create the table of a model in the database of that name, which its rule need not know yet."""
    with selected(model, name):
        stock.Model.create_table.__func__(model, safe=True)


class selected:
    """The scope of some models in one database, named or not; what a ``bind_ctx`` block becomes.

    Args:
        model: the model that is bound.
        target: where it goes.
        related: the models that go with it.
        before: what the model's database was when the block was entered.
    """

    role: str | None = None
    renames: Mapping[str, str] = {}
    final = True
    bounds_roles = False
    places = True

    def __init__(self, model: Any, target: scope.Target, related: Any = (), before: Any = None) -> None:
        self.home: Home = model._meta.home
        self.before = before
        self._homes = {self.home, *(one._meta.home for one in related)}
        self._target = target

    def place(self, home: Home) -> scope.Target | None:
        return self._target if home in self._homes else None

    def vouches(self, home: Home) -> bool:
        return True

    def mentions(self, home: Home) -> bool:
        return True

    def concerns(self, home: Home) -> bool:
        return False

    def __enter__(self) -> None:
        scope.push(self)

    def __exit__(self, *exc: object) -> None:
        scope.pop(self)

    def __repr__(self) -> str:
        return f"{self.home.model.__name__} bound to {routing.describe(self.home, self._target)}"


def bind_in_scope(model: Any, database: Any, refs: bool, backrefs: bool, exclude: Any) -> bool:
    """Do what a ``bind_ctx`` block asks: bind on entering, and on leaving bind what was there before.

    Peewee says only "bind this"; that it is leaving shows in what it asks for.
    """
    before = model._meta.database
    node = scope.current()
    while node is not None:
        entry = node.entry
        if isinstance(entry, selected) and entry.home is model._meta.home and entry.before is database:
            scope.pop(entry)
            return before is not database
        node = node.parent
    related = [m for _, m, _ in model._meta.model_graph(refs, backrefs)] if refs or backrefs else []
    along = [m for m in related if m not in exclude and isinstance(getattr(m._meta, "home", None), Home)]
    exclude.update(related)
    # A model's own handle would ask the model, and the model the handle.
    target = database.obj if isinstance(database, ModelDatabase) else database
    scope.push(selected(model, target, along, before))
    return before is not database


def has_constraint(field: Any) -> bool:
    """Whether both ends of a foreign key are in one database, so that the server can check it."""
    rel_meta = field.rel_model._meta
    other: Home | None = getattr(rel_meta, "home", None)
    home: Home = field.model._meta.home
    if other is None or (field.rel_model is field.model and home.rule is None):
        return True
    if home.rule is not None or other.rule is not None:
        # Whether the referenced row is in the same shard depends on the row.
        return False
    if other.database is None and other.name is None and scope.place(scope.current(), other) is None:
        return home.shares(other)
    around = scope.current()
    here, there = routing.decide(home, around), routing.decide(other, around)
    return routing.live(home, here) is routing.live(other, there)


class RoutedSchema(stock.SchemaManager):  # type: ignore[misc]
    """Peewee's schema manager, for models whose database is decided when the DDL is run."""

    @property
    def database(self) -> Any:
        # One decision for each statement, then the Database object itself, so that dialect flags agree.
        home: Home = self.model._meta.home
        if not home.managed:
            raise ConfigurationError(
                f"{home.model.__name__} has managed = False in its Meta: no DDL is ever run for it."
            )
        fixed: Any = self._database
        if fixed is not None:
            return fixed
        return routing.live(home, routing.decide(home, scope.current()))

    @database.setter
    def database(self, value: Any) -> None:
        self._database = value

    def _create_table(self, safe: bool = True, **options: Any) -> Any:
        meta = self.model._meta
        # By name: a field compared with another makes an expression, which is always true.
        apart = {field.name for field in meta.refs if not has_constraint(field)}
        sequence_of = getattr(self.database, "sequence_of", None)
        if not apart and (sequence_of is None or not any(field.sequence for field in meta.sorted_fields)):
            return super()._create_table(safe, **options)
        # Peewee makes no constraint for a deferred foreign key; a copy of the field says it is one.
        view = copy.copy(meta)
        view.sorted_fields = [_unconstrained(f) if f.name in apart else f for f in meta.sorted_fields]
        if sequence_of is not None:
            view.sorted_fields = [sequence_of(field, True) for field in view.sorted_fields]
        manager = copy.copy(self)
        manager.model = _TableView(view)
        return super(RoutedSchema, manager)._create_table(safe, **options)

    def _create_sequence(self, field: Any) -> Any:
        return super()._create_sequence(self._in_schema(field))

    def _drop_sequence(self, field: Any) -> Any:
        return super()._drop_sequence(self._in_schema(field))

    def _in_schema(self, field: Any) -> Any:
        sequence_of = getattr(self.database, "sequence_of", None)
        return field if sequence_of is None else sequence_of(field, False)

    def _drop_index(self, index: Any, safe: bool) -> Any:
        # An index has a name of its own on most engines; on others it is one of its table.
        write = getattr(self.database, "write_drop_index", None)
        if write is None:
            return super()._drop_index(index, safe)
        return write(self._create_context(), index, safe)

    def create_foreign_key(self, field: Any) -> None:
        """Add a constraint to an existing table.

        Raises:
            CrossDatabaseQuery: the referenced table is in another database.
        """
        if not has_constraint(field):
            raise CrossDatabaseQuery(
                f"{field.model.__name__}.{field.name} refers to {field.rel_model.__name__}, which lives in "
                "another database: no server can check such a constraint. The field works without one."
            )
        super().create_foreign_key(field)


def _unconstrained(field: Any) -> Any:
    plain = copy.copy(field)
    plain.deferred = True
    return plain


class _TableView(peewee.Node):
    """A model's table with another list of fields."""

    def __init__(self, meta: Any) -> None:
        self._meta = meta

    def __sql__(self, ctx: Any) -> Any:
        return ctx.sql(self._meta.table)


