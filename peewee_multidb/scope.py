"""What the current thread or task has selected.

Entering is one allocation, whatever the number of models, because nothing is bound: the next query asks.
The nodes and their order are the business of `stack`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import peewee

from .errors import ConfigurationError, DatabaseNotAllowed, shown
from .home import Home
from .registry import databases
from .stack import Boundary, Entry, Scope, Target, confined, current, pop, push, switch
from .stepping import decorated
from .tenants.known import require_known

__all__ = [
    "EVERYWHERE",
    "ROLES",
    "Entry",
    "Scope",
    "Target",
    "confined",
    "current",
    "decorated",
    "is_everywhere",
    "not_allowed",
    "place",
    "placing",
    "pop",
    "propagate",
    "push",
    "renamed",
    "role_node",
    "role_of",
    "switch",
    "use_db",
    "use_primary",
    "use_replica",
]

ROLES = ("primary", "replica")

#: In place of a database: each of those that the model has.
EVERYWHERE: Any = object()

F = TypeVar("F", bound=Callable[..., Any])

_NO_RENAMES: Mapping[str, str] = {}


def placing(scope: Scope | None) -> Scope | None:
    """Return the innermost scope that can have a say in where queries go."""
    while scope is not None and not scope.entry.places:
        scope = scope.parent
    return scope


def place(scope: Scope | None, home: Home) -> tuple[Target, Entry] | None:
    """Return where the innermost scope that applies to the model sends it, and that scope's entry.

    Raises:
        DatabaseNotAllowed: the scope names a database that the model's ``db_name`` does not list.
    """
    node = scope
    while node is not None:
        target = node.entry.place(home)
        if target is not None:
            if target is EVERYWHERE:
                return None
            if isinstance(target, str) and not home.allows(target) and not _may_follow(node, home, target):
                raise not_allowed(home, target)
            return target, node.entry
        node = node.parent
    return None


def is_everywhere(scope: Scope | None, home: Home) -> bool:
    """Whether the innermost scope that applies to the model says that every shard is meant."""
    while scope is not None:
        target = scope.entry.place(home)
        if target is not None:
            return target is EVERYWHERE
        scope = scope.parent
    return False


def _may_follow(node: Scope, home: Home, target: str) -> bool:
    """Whether a name that the model does not list is one that it lists, re-pointed."""
    meant = {renamed(node.parent, name) for name in home.names or ()}
    return node.entry.vouches(home) or (node.entry.final and target in meant)


def renamed(scope: Scope | None, name: str) -> str:
    """Return what a chosen name means here: every rename is applied once, from the inside out."""
    node = scope
    while node is not None:
        name = node.entry.renames.get(name, name)
        node = node.parent
    return name


def role_of(scope: Scope | None, home: Home) -> str | None:
    """Return the role that the innermost scope with a role gives the model, or None."""
    node = role_node(scope, home)
    return None if node is None else node.entry.role


def role_node(scope: Scope | None, home: Home) -> Scope | None:
    """Return the innermost scope that gives the model a role, or None."""
    node = scope
    while node is not None:
        entry = node.entry
        if entry.role is not None and entry.concerns(home):
            return node
        if entry.bounds_roles:
            return None
        node = node.parent
    return None


def not_allowed(home: Home, name: str) -> DatabaseNotAllowed:
    """The error for a name that the model does not list."""
    return DatabaseNotAllowed(
        f"{home.model.__name__} may not be sent to database {name!r}: its Meta.db_name allows only "
        f"{', '.join(repr(n) for n in home.names or ())}. Leave the scope, name one of these, "
        f"or add {name!r} to db_name."
    )


class use_db:
    """Select databases for a block, a function or a generator, in this thread or task only.

    Args:
        name: where queries go. Without models it moves every model that is not ``db_pinned``.
        models: only these models move, pinned ones too.
        role: ``"primary"`` or ``"replica"``.
        unlock: leave the lock of `use_tenant`: inside the block any database may be used.
        renames: re-point a name, as in ``use_db(default="archive")``: what would have gone to the
            one goes to the other.

    Works as a context manager and as a decorator of functions, coroutine functions, generator
    functions and asynchronous generator functions. One object may be entered many times, nested and
    in many threads at once.

    Raises:
        ConfigurationError: no name, role or rename; something that is not a model; an unknown role.
        UnknownDatabase: on entering, when no registry knows a name.
        TenantLocked: on entering, when the code is locked to a tenant and a name is of another one.
    """

    __slots__ = ("models", "name", "renames", "role", "unlock")

    final = False
    bounds_roles = False

    def __init__(
        self,
        name: str | None = None,
        *models: type[peewee.Model],
        role: str | None = None,
        unlock: bool = False,
        **renames: str,
    ) -> None:
        self.name = name
        self.models = models
        self.role = role
        self.unlock = unlock
        self.renames: Mapping[str, str] = renames or _NO_RENAMES
        if models or renames or role is not None or name.__class__ is not str:
            self._check()

    def _check(self) -> None:
        name: object = self.name
        if name is not None and not isinstance(name, str):
            hint = ' To move only some models, name the database first: use_db("shard2", Order).'
            raise ConfigurationError(f"use_db() takes a database name, not {name!r}.{hint}")
        if self.role is not None and self.role not in ROLES:
            raise ConfigurationError(f"use_db(role={self.role!r}): a role is 'primary' or 'replica'.")
        if self.name is None and not self.renames and self.role is None and not self.unlock:
            raise ConfigurationError("use_db() selects nothing; give a database name, a rename or a role.")
        if self.models and self.name is None and self.role is None:
            raise ConfigurationError("use_db() with models needs the name of the database they move to.")
        for model in self.models:
            if not isinstance(model, type) or not issubclass(model, peewee.Model):
                raise ConfigurationError(f"use_db({self.name!r}, ...): {model!r} is not a model class.")
            if not isinstance(getattr(getattr(model, "_meta", None), "home", None), Home):
                raise ConfigurationError(
                    f"use_db({self.name!r}, {model.__name__}): {model.__name__} is a plain peewee model; "
                    "derive it from peewee_multidb.Model or call adopt() on it."
                )
        if self.models and self.renames:
            raise ConfigurationError(
                f"{self!r}: a rename is for every model; give the models and the rename a block each."
            )
        for old, new in self.renames.items():
            if not isinstance(new, str):
                raise ConfigurationError(f"use_db({old}={new!r}): a name is re-pointed to another name.")

    def place(self, home: Home) -> str | None:
        """Return the name this scope gives the model of that home, or None when it does not apply to it."""
        if self.models:
            return self.name if home.model in self.models else None
        if self.renames:
            name = home.lives_under()
            if name is not None and name in self.renames:
                return name
        return None if home.pinned else self.name

    @property
    def places(self) -> bool:
        """Whether this scope names a database, and not only a role."""
        return self.name is not None or bool(self.renames)

    def vouches(self, home: Home) -> bool:
        """Whether a model of that home is in this scope's database anyway: never."""
        return False

    def mentions(self, home: Home) -> bool:
        """Whether the scope names the model of that home."""
        return home.model in self.models

    def concerns(self, home: Home) -> bool:
        """Whether the role of this scope applies to the model of that home."""
        return not self.models or home.model in self.models

    def __enter__(self) -> None:
        around = current()
        name = self.name
        is_known = (name is None or name in databases.entries) and not self.renames
        if is_known and not self.unlock and (around is None or around.lock is None):
            switch(Scope(self, around))
        else:
            switch(self._node(around))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pop(self)

    def __call__(self, function: F) -> F:
        return decorated(function, self._entered)

    def _entered(self) -> Scope:
        return self._node(current())

    def _node(self, around: Scope | None) -> Scope:
        """Return the scope of this block inside another one."""
        self._check_known()
        if self.unlock:
            return Boundary(self, around, None)
        node = Scope(self, around)
        if node.lock is not None:
            node.lock.check_names(self._meant(node), repr(self))
        return node

    def _meant(self, node: Scope) -> tuple[str, ...]:
        """Return the names that are entered, as they are understood where this block is."""
        own = () if self.name is None else (renamed(node, self.name),)
        return (*own, *(renamed(node.parent, name) for name in self.renames.values()))

    def _check_known(self) -> None:
        among: Any = ()
        if self.models:
            among = {model._meta.home.registry for model in self.models}  # type: ignore[attr-defined]
        for name in (self.name, *self.renames.values()):
            if name is not None:
                require_known(name, self, among)

    def __repr__(self) -> str:
        parts = [shown(self.name)] if self.name is not None else []
        parts += [model.__name__ for model in self.models]
        parts += [f"role={self.role!r}"] if self.role else []
        parts += ["unlock=True"] if self.unlock else []
        parts += [f"{old}={shown(new)}" for old, new in self.renames.items()]
        return f"use_db({', '.join(parts)})"


def use_primary() -> use_db:
    """Return a scope in which every query, reads too, runs on a primary."""
    return use_db(role="primary")


def use_replica() -> use_db:
    """Return a scope in which reads run on replicas, and a write raises `ReadOnlyDatabase`.

    Each database is read from one replica as long as the block lasts, so that two answers agree.
    """
    return use_db(role="replica")


def propagate(function: F) -> F:
    """Return the function bound to the scope of this moment.

    Threads and executors start with no scope; hand them ``propagate(fn)`` instead of ``fn``.
    Coroutine functions, generator functions and asynchronous generator functions may be bound too.
    Called where a tenant is locked, the function is locked to that tenant as well.
    """
    captured = current()
    return decorated(function, lambda: confined(captured, current()))
