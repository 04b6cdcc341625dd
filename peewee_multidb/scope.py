"""What the current thread or task has selected.

A scope is a node of an immutable linked list, kept in one context variable; the node at the head is
the innermost scope. Entering is one allocation, whatever the number of models, because nothing is
bound: the next query asks. Leaving looks for the entry it made and takes out just that node, so that
scopes which cross, or which are left in another context than the one they were entered in, neither
raise nor disturb anybody else's (``ContextVar.reset`` would raise there).
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, TypeVar

import peewee

from .errors import ConfigurationError, DatabaseNotAllowed, UnknownDatabase, nearest
from .home import Home
from .registry import databases, known_names

__all__ = ["Scope", "current", "propagate", "use_db", "use_primary", "use_replica"]

ROLES = ("primary", "replica")

#: A database: the name of a registered one, or a Database object that no registry knows.
Target = str | peewee.Database

F = TypeVar("F", bound=Callable[..., Any])

_NO_RENAMES: Mapping[str, str] = {}


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

    def place(self, home: Home) -> Target | None:
        """Return where the model goes, or None when this entry does not apply to it."""
        ...

    def concerns(self, home: Home) -> bool:
        """Whether the entry's role applies to the model."""
        ...


class Scope:
    """One entered scope and the ones around it."""

    __slots__ = ("entry", "parent", "pins")

    def __init__(self, entry: Entry, parent: Scope | None) -> None:
        self.entry = entry
        self.parent = parent
        #: The replicas that a block with the role of one keeps; made by the first read in it.
        self.pins: dict[Any, Any] | None = None

    def __deepcopy__(self, memo: Any) -> Scope:
        # It never changes; and what it names, a Database object perhaps, is not the copy's to have anew.
        return self

    def __reduce__(self) -> Any:
        # What a pickled row keeps of its scope is its own database, not the block it was loaded in.
        return _unpickled, (self.entry,)


def _unpickled(entry: Entry | None) -> Scope | None:
    return None if entry is None else Scope(entry, None)


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
        above.append(node.entry)
        node = node.parent
    if node is not None:
        rest = node.parent
        for other in reversed(above):
            rest = Scope(other, rest)
        _current.set(rest)


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
            if isinstance(target, str) and not home.allows(target) and not _may_follow(node, home, target):
                raise not_allowed(home, target)
            return target, node.entry
        node = node.parent
    return None


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
        renames: re-point a name, as in ``use_db(default="archive")``: what would have gone to the
            one goes to the other.

    Works as a context manager and as a decorator of functions, coroutine functions, generator
    functions and asynchronous generator functions. One object may be entered many times, nested and
    in many threads at once.

    Raises:
        ConfigurationError: no name, role or rename; something that is not a model; an unknown role.
        UnknownDatabase: on entering, when no registry knows a name.
    """

    __slots__ = ("models", "name", "renames", "role")

    final = False
    bounds_roles = False

    def __init__(
        self,
        name: str | None = None,
        *models: type[peewee.Model],
        role: str | None = None,
        **renames: str,
    ) -> None:
        self.name = name
        self.models = models
        self.role = role
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
        if self.name is None and not self.renames and self.role is None:
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

    def concerns(self, home: Home) -> bool:
        """Whether the role of this scope applies to the model of that home."""
        return not self.models or home.model in self.models

    def __enter__(self) -> None:
        name = self.name
        if (name is not None and name not in databases.entries) or self.renames:
            self._check_known()
        _current.set(Scope(self, _current.get()))

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pop(self)

    def __call__(self, function: F) -> F:
        return _in_scope(function, self._entered)

    def _entered(self) -> Scope:
        self._check_known()
        return Scope(self, _current.get())

    def _check_known(self) -> None:
        known = known_names({model._meta.home.registry for model in self.models})  # type: ignore[attr-defined]
        for name in (self.name, *self.renames.values()):
            if name is not None and name not in known:
                raise UnknownDatabase(f"{self!r}: no database is called {name!r}; {nearest(name, known)}.")

    def __repr__(self) -> str:
        parts = [repr(self.name)] if self.name is not None else []
        parts += [model.__name__ for model in self.models]
        parts += [f"role={self.role!r}"] if self.role else []
        parts += [f"{old}={new!r}" for old, new in self.renames.items()]
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
    """
    captured = _current.get()
    return _in_scope(function, lambda: captured)


def _in_scope(function: F, enter: Callable[[], Scope | None]) -> F:
    """Wrap a function of any kind so that its body runs in the scope that `enter` returns."""
    if inspect.isclass(function) or not callable(function):
        raise ConfigurationError(f"a scope decorates a function, not {function!r}.")
    wrap: Callable[..., Any]
    if inspect.isasyncgenfunction(function):
        wrap = _async_generator
    elif inspect.isgeneratorfunction(function):
        wrap = _generator
    elif inspect.iscoroutinefunction(function):
        wrap = _coroutine
    else:
        wrap = _function
    return functools.wraps(function)(wrap(function, enter))  # type: ignore[return-value]


def _function(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        outside = _current.get()
        _current.set(enter())
        try:
            return function(*args, **kwargs)
        finally:
            _current.set(outside)

    return wrapper


def _coroutine(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await _each_step(function(*args, **kwargs), _Held(enter()))

    return wrapper


def _generator(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    # A generator function itself, because frameworks ask inspect what they were given.
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        return (yield from _each_step(function(*args, **kwargs), _Held(enter())))

    return wrapper


def _async_generator(function: Callable[..., Any], enter: Callable[[], Scope | None]) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        held = _Held(enter())
        generator = function(*args, **kwargs)
        step: Callable[..., Any] = generator.asend
        argument: Any = None
        while True:
            try:
                value = await _each_step(step(argument), held)
            except StopAsyncIteration:
                return
            try:
                argument = yield value
                step = generator.asend
            except BaseException as error:
                step, argument = generator.athrow, error

    return wrapper


class _Held:
    """The scope of a body that is suspended: what it entered and has not left waits for its next step."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope


@types.coroutine
def _each_step(body: Any, held: _Held) -> Generator[Any, Any, Any]:
    """Run a generator or a coroutine, every step of it inside, and nothing between its steps.

    A plain ``with`` around a ``yield`` would leave the caller in the scope. And a body that is closed
    in another context than it began in, by the garbage collector for instance, would put its own
    caller's scope in place of that of whoever happens to be there.
    """
    step: Callable[..., Any] = body.send
    argument: Any = None
    while True:
        outside = _current.get()
        _current.set(held.scope)
        try:
            value = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            held.scope = _current.get()
            _current.set(outside)
        try:
            argument = yield value
            step = body.send
        except BaseException as error:
            step, argument = body.throw, error
