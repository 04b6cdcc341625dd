"""The stack of scopes of this thread or task: immutable nodes in one context variable.

The node at the head is the innermost scope. Leaving looks for the entry it made and takes out just that
node, so that scopes which cross, or which are left in another context than the one they were entered in,
neither raise nor disturb anybody else's (``ContextVar.reset`` would raise there).

A node also carries the lock that is in force in it, see `peewee_multidb.tenants`: to ask for it costs one
attribute, and outside of every scope there is nothing to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import peewee

if TYPE_CHECKING:
    # A model's home may hold a sharding rule that is kept in a registry, which switches scopes.
    from .home import Home

__all__ = [
    "Boundary",
    "Confinement",
    "Entry",
    "Lock",
    "Scope",
    "Target",
    "confined",
    "current",
    "pop",
    "push",
    "switch",
]

#: A database: the name of a registered one, or a Database object that no registry knows.
Target = str | peewee.Database


class Lock(Protocol):
    """What keeps a scope, and whatever is entered in it, to one tenant."""

    tenant: str

    def check(self, home: Home, target: Target) -> None:
        """Raise `TenantLocked` if a query on the model may not go to that database."""
        ...

    def check_names(self, names: tuple[str, ...], what: str) -> None:
        """Raise `TenantLocked` if one of these names may not be entered."""
        ...


class Entry(Protocol):
    """What can be entered: something that has a say in where a model's queries go."""

    role: str | None
    renames: Mapping[str, str]
    #: The name it gives is meant literally: no rename applies to it.
    final: bool
    #: The roles of the scopes around it are of no concern inside.
    bounds_roles: bool

    @property
    def places(self) -> bool:
        """Whether it can have a say in where queries go, and not only in their role."""
        ...

    def vouches(self, home: Home) -> bool:
        """Whether the model is where this entry says, although its ``db_name`` may not list that."""
        ...

    def mentions(self, home: Home) -> bool:
        """Whether it speaks of just this model, and not of whatever is inside it."""
        ...

    def place(self, home: Home) -> Target | None:
        """Return where the model goes, None when this entry does not apply to it, or `EVERYWHERE`."""
        ...

    def concerns(self, home: Home) -> bool:
        """Whether the entry's role applies to the model."""
        ...


class Scope:
    """One entered scope and the ones around it.

    Attributes:
        entry: what was entered.
        parent: the scope around it.
        lock: what keeps this scope to one tenant; None outside of `use_tenant`.
    """

    __slots__ = ("entry", "lock", "parent", "pins")

    def __init__(self, entry: Entry, parent: Scope | None) -> None:
        self.entry = entry
        self.parent = parent
        self.lock: Lock | None = None if parent is None else parent.lock
        #: The replicas that a block with the role of one keeps; made by the first read in it.
        self.pins: dict[Any, Any] | None = None

    def over(self, parent: Scope | None) -> Scope:
        """Return the same scope above others."""
        return Scope(self.entry, parent)

    def __deepcopy__(self, memo: Any) -> Scope:
        # It never changes; and what it names, a Database object perhaps, is not the copy's to have anew.
        return self

    def __reduce__(self) -> Any:
        # What a pickled row keeps of its scope is its own database, not the block it was loaded in.
        return _unpickled, (self.entry,)


def _unpickled(entry: Entry | None) -> Scope | None:
    return None if entry is None else Scope(entry, None)


class Boundary(Scope):
    """A scope at which a lock begins, or ends."""

    __slots__ = ()

    def __init__(self, entry: Entry, parent: Scope | None, lock: Lock | None) -> None:
        super().__init__(entry, parent)
        self.lock = lock

    def over(self, parent: Scope | None) -> Scope:
        """Return the same scope above others."""
        return Boundary(self.entry, parent, self.lock)


class Confinement:
    """The entry of a scope that was entered without the lock, and is run within it."""

    __slots__ = ()

    role: str | None = None
    renames: Mapping[str, str] = {}
    final = False
    bounds_roles = False
    places = False

    def vouches(self, home: Home) -> bool:
        return False

    def mentions(self, home: Home) -> bool:
        return False

    def place(self, home: Home) -> Target | None:
        return None

    def concerns(self, home: Home) -> bool:
        return False


def confined(scope: Scope | None, around: Scope | None) -> Scope | None:
    """Return a scope that was entered elsewhere, with the lock that is in force around its use.

    Args:
        scope: that of a row, of a bound function or of a generator.
        around: where it is used.
    """
    if around is None or around.lock is None or (scope is not None and scope.lock is around.lock):
        return scope
    return Boundary(Confinement(), scope, around.lock)


_current: ContextVar[Scope | None] = ContextVar("peewee_multidb_scope", default=None)

#: Return the innermost scope of this thread or task, or None.
current: Callable[[], Scope | None] = _current.get

#: Make a scope the current one, without regard to the one before.
switch: Callable[[Scope | None], Any] = _current.set


def push(entry: Entry) -> None:
    """Enter: make the entry the innermost scope."""
    _current.set(Scope(entry, _current.get()))


def pop(entry: Entry) -> None:
    """Leave: take the innermost scope of that entry out of this context, if it is there."""
    top = _current.get()
    if top is None:
        return
    if top.entry is entry:
        _current.set(top.parent)
        return
    above = []
    node: Scope | None = top
    while node is not None and node.entry is not entry:
        above.append(node)
        node = node.parent
    if node is not None:
        rest = node.parent
        for other in reversed(above):
            rest = other.over(rest)
        _current.set(rest)
