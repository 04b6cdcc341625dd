"""Rows remember where they live.

A loaded or saved row keeps a scope node: the database it came from, above the scope it was loaded in.
Whatever is then done with the row, saving it, deleting it, following a foreign key or a back-reference,
is done in that scope, so related models resolve as they did when the row was loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .. import routing, scope
from ..errors import CrossDatabaseQuery
from ..home import Home
from ..scope import Scope, Target
from .stock import Mixin, stock

__all__ = [
    "HomedModelCursor",
    "HomedObjectCursor",
    "RowHome",
    "at_home",
    "by_home",
    "home_node",
    "refuse_strangers",
    "routed_accessor",
    "row_home",
    "strangers_home",
]


class RowHome:
    """The scope entry of a row: its own model goes to its database, and so does what lives beside it."""

    __slots__ = ("home", "target")

    role: str | None = None
    renames: Mapping[str, str] = {}
    #: The name is where the row is, whatever names mean in the scope around it.
    final = True
    #: A row that was loaded in a block with a role is not bound to that role later.
    bounds_roles = True
    places = True

    def __init__(self, target: Target, home: Home) -> None:
        self.target = target
        self.home = home

    def place(self, home: Home) -> Target | None:
        """Return the row's database for a model that lives beside the row's own."""
        if home is self.home or (not home.pinned and home.shares(self.home)):
            return self.target
        if isinstance(self.target, str) and home.lists(self.target):
            return self.target
        return None

    def vouches(self, home: Home) -> bool:
        """Whether a model is where the row is: its own is, and of others that says nothing."""
        return home is self.home

    def concerns(self, home: Home) -> bool:
        """A row has no role."""
        return False

    def __repr__(self) -> str:
        return f"the {self.home.model.__name__} row from {routing.describe(self.home, self.target)}"

    def __reduce__(self) -> Any:
        # A pickled row keeps the name; a Database object is a live resource of its process.
        return _unpickled, (self.target if isinstance(self.target, str) else None, self.home.model)


def _unpickled(target: str | None, model: Any) -> RowHome | None:
    return None if target is None else RowHome(target, model._meta.home)


def home_node(meta: Any, database: Any, around: Scope | None) -> Scope:
    """Return the node for rows of a model that came from a Database object.

    Args:
        meta: the model's Metadata.
        database: where the query ran.
        around: the scope that the query was decided in.
    """
    home: Home = meta.home
    target = home.registry.name_of(database) or database
    around = scope.placing(around)
    if around is None and target == home.name:
        return meta.settled  # type: ignore[no-any-return]
    return Scope(RowHome(target, home), around)


def inside(node: Scope, home: Home) -> Scope:
    """Return the row's node with the role of the scope that the caller is in."""
    around = scope.current()
    giver = scope.role_node(around, home) if around is not None else None
    if giver is None:
        return node
    under_role = Scope(scope.use_db(role=giver.entry.role), node)
    under_role.pins = giver.pins
    return under_role


@contextmanager
def at_home(instance: Any) -> Iterator[None]:
    """Do something in the scope of the row's own database; a row that has none yet is in the current one."""
    node = getattr(instance, "_home", None)
    if node is None:
        yield
        return
    outside = scope.current()
    scope.switch(inside(node, instance._meta.home))
    try:
        yield
    finally:
        scope.switch(outside)


def by_home(rows: Iterable[Any]) -> list[list[Any]]:
    """Return the rows in groups of one database each; those that have none yet are a group too."""
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        target = row._home and row._home.entry.target
        # Database objects need not be hashable.
        groups.setdefault(target if isinstance(target, str) else id(target), []).append(row)
    return list(groups.values())


def strangers_home(home: Home, target: Any, other: Any) -> RowHome | None:
    """Return where another row lives, if that is not the target although both models live side by side."""
    node = getattr(other, "_home", None)
    if node is None:
        return None
    there = row_home(node)
    return there if there.target != target and home.shares(there.home) else None


def refuse_strangers(row: Any, target: Any) -> None:
    """Raise if a foreign key of a row holds a row of the same household from another database.

    Args:
        row: the row that is about to be saved.
        target: where it is saved.

    Raises:
        CrossDatabaseQuery: it does.
    """
    meta = row._meta
    for field in meta.refs:
        other = row.__rel__.get(field.name)
        stranger = strangers_home(meta.home, target, other)
        if stranger is None:
            continue
        here = routing.describe(meta.home, target)
        there = routing.describe(stranger.home, stranger.target)
        raise CrossDatabaseQuery(
            f"{type(row).__name__}.{field.name} is a {type(other).__name__} from {there}, but the row is "
            f"saved to {here}, where the same key may be another row. Load it from {here}, or copy_to() it "
            f"there, or assign the key alone ({field.object_id_name}=...) if that is what you mean."
        )


def row_home(node: Scope) -> RowHome:
    """Return the entry of a row's node."""
    entry: Any = node.entry
    return entry  # type: ignore[no-any-return]


class HomedObjectCursor(stock.ModelObjectCursorWrapper):  # type: ignore[misc]
    """Rows of one model, each told where it came from."""

    node: Scope

    def process_row(self, row: Any) -> Any:
        # As Peewee's, which is a call deeper.
        obj = self.constructor(__no_default__=1, **self._row_to_data(row))
        obj._dirty.clear()
        obj._home = self.node
        return obj

    _row_to_data = stock.ModelDictCursorWrapper.process_row


class HomedModelCursor(stock.ModelCursorWrapper):  # type: ignore[misc]
    """Rows of a join, every model instance in them told where it came from."""

    database: Any
    around: Scope | None
    _constructor_list: Any

    def initialize(self) -> None:
        super().initialize()
        self._constructor_list = [
            (key, self._homed(constructor) if is_model else constructor, is_model)
            for key, constructor, is_model in self._constructor_list
        ]

    def _homed(self, constructor: Any) -> Any:
        if not isinstance(getattr(constructor._meta, "home", None), Home):
            return constructor
        node = home_node(constructor._meta, self.database, self.around)

        def construct(**kwargs: Any) -> Any:
            obj = constructor(**kwargs)
            obj._home = node
            return obj

        return construct


class _ForeignKeyMixin(Mixin):  # type: ignore[misc]
    """A foreign key is looked up where its row lives."""

    def get_rel_instance(self, instance: Any) -> Any:
        load: Any = super().get_rel_instance
        if self.name in instance.__rel__ or instance._home is None:
            return load(instance)
        with at_home(instance):
            return load(instance)


class _InstanceQueryMixin(Mixin):  # type: ignore[misc]
    """A back-reference or a many-to-many query is built where its row lives, and so runs there."""

    def __get__(self, instance: Any, instance_type: Any = None) -> Any:
        get: Any = super().__get__
        if instance is None or getattr(instance, "_home", None) is None:
            return get(instance, instance_type)
        with at_home(instance):
            return get(instance, instance_type)


_routed: dict[tuple[type, type], type] = {}


def routed_accessor(mixin: type, accessor: type) -> type:
    """Return the accessor class with the mixin in front; the same one each time."""
    if issubclass(accessor, mixin):
        return accessor
    key = (mixin, accessor)
    if key not in _routed:
        _routed[key] = type(f"Routed{accessor.__name__}", (mixin, accessor), {})
    return _routed[key]


def foreign_key_accessor(accessor: type) -> type:
    """Return a foreign-key accessor class that follows the row."""
    return routed_accessor(_ForeignKeyMixin, accessor)


def instance_query_accessor(accessor: type) -> type:
    """Return a back-reference accessor class that follows the row."""
    return routed_accessor(_InstanceQueryMixin, accessor)
