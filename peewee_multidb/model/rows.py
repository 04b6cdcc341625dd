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
from ..shards import pruning
from .stock import Mixin, stock

__all__ = [
    "HomedModelCursor",
    "HomedObjectCursor",
    "RowHome",
    "at_home",
    "at_node",
    "binds",
    "by_home",
    "entry_of",
    "home_node",
    "refuse_strangers",
    "rehome",
    "routed_accessor",
    "row_home",
    "strangers_home",
]


class RowHome:
    """The scope entry of a row: its own model goes to its database, and so does what lives beside it."""

    __slots__ = ("epoch", "home", "target")

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
        #: Of its shard, when the row was there; None where rows do not move.
        self.epoch: int | None = None

    def place(self, home: Home) -> Target | None:
        """Return the row's database for a model that lives beside the row's own."""
        if home is not self.home and home.rule is not None and home.database is None:
            # Its own key says where a row of it is; or a row of the two is beside the other by its link.
            return self.target if _is_linked(home, self.home) or _is_linked(self.home, home) else None
        if home is self.home or (not home.pinned and home.shares(self.home)):
            return self.target
        if isinstance(self.target, str) and home.lists(self.target):
            return self.target
        return None

    def vouches(self, home: Home) -> bool:
        """Whether a model is where the row is: its own is, and of others that says nothing."""
        return home is self.home

    def mentions(self, home: Home) -> bool:
        """A row of a reference model is in all of its databases."""
        return False

    def concerns(self, home: Home) -> bool:
        """A row has no role."""
        return False

    def __repr__(self) -> str:
        return f"the {self.home.model.__name__} row from {routing.describe(self.home, self.target)}"

    def __reduce__(self) -> Any:
        # A pickled row keeps the name; a Database object is a live resource of its process.
        return _unpickled, (self.target if isinstance(self.target, str) else None, self.home.model)


def _is_linked(child: Home, parent: Home) -> bool:
    return child.parent is parent and child.link is not None


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
    if around is not None or target.__class__ is not str or home.stored is not None:
        return Scope(entry_of(target, home), around)
    if target == home.name:
        return meta.settled  # type: ignore[no-any-return]
    node = meta.shard_nodes.get(target)
    if node is None:
        node = meta.shard_nodes[target] = Scope(RowHome(target, home), None)
    return node  # type: ignore[no-any-return]


def entry_of(target: Target, home: Home) -> RowHome:
    """Return the entry of a row that is somewhere now."""
    entry = RowHome(target, home)
    if home.stored is not None and isinstance(target, str):
        entry.epoch = home.stored.current().epochs.get(target)
    return entry


def rehome(row: Any) -> None:
    """Let a row that was loaded follow its unit, if that has moved to another shard since."""
    home: Home = row._meta.home
    node, stored = row._home, home.stored
    if stored is None or node is None or home.rule is None:
        return
    entry, state = row_home(node), stored.current()
    if entry.target not in state.names or entry.epoch == state.epochs.get(entry.target):
        return
    names = home.shard_key
    if not names or any(name in row._dirty or name not in row.__data__ for name in names):
        return
    key = tuple(row.__data__[name] for name in names)
    name = home.rule.shard_of(pruning.key_value(home, key if len(key) > 1 else key[0]))
    row._home = Scope(entry_of(name, home), node.parent)


def inside(node: Scope, home: Home) -> Scope:
    """Return the row's node with the role, and the lock, of the scope that the caller is in."""
    around = scope.current()
    node = scope.confined(node, around) or node
    giver = scope.role_node(around, home) if around is not None else None
    if giver is None:
        return node
    under_role = Scope(scope.use_db(role=giver.entry.role), node)
    under_role.pins = giver.pins
    return under_role


@contextmanager
def at_home(instance: Any) -> Iterator[None]:
    """Do something in the scope of the row's own database; a row that has none yet is in the current one."""
    home = instance._meta.home
    if home.stored is not None:
        rehome(instance)
    with at_node(getattr(instance, "_home", None), home):
        yield


@contextmanager
def at_node(node: Scope | None, home: Home) -> Iterator[None]:
    """Do something in the scope of a row's node, or of the caller for None and for a reference model."""
    if node is None or home.reference:
        yield
        return
    outside = scope.current()
    scope.switch(inside(node, home))
    try:
        yield
    finally:
        scope.switch(outside)


def _beside(instance: Any, model: Any) -> Any:
    """Return the block in which related rows of a model are looked for: at the row's own home, as a rule.

    A sharded model that refers to itself refers to rows of any shard.
    """
    if model is type(instance) and instance._meta.home.rule is not None:
        return at_node(instance._home.parent, instance._meta.home)
    return at_home(instance)


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


def binds(home: Home, field: Any) -> bool:
    """Whether what a foreign key refers to is in the database of the row that has it, if both live alike."""
    if home.rule is None:
        return True
    return field is home.link or any(field is one for one in home.key_fields)


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
        if not binds(meta.home, field):
            continue
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
        with _beside(instance, self.rel_model):
            return load(instance)


class _InstanceQueryMixin(Mixin):  # type: ignore[misc]
    """A back-reference or a many-to-many query is built where its row lives, and so runs there."""

    def __get__(self, instance: Any, instance_type: Any = None) -> Any:
        get: Any = super().__get__
        if instance is None or getattr(instance, "_home", None) is None:
            return get(instance, instance_type)
        with _beside(instance, self.rel_model):
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
