"""What ``Model._meta.database`` is: a proxy for whichever database the model resolves to now.

Peewee asks a model for its database in seventeen places and recognises a Proxy in all of them.
"""

from __future__ import annotations

import functools
from typing import Any

import peewee

from .. import routing, scope
from ..errors import ConfigurationError, MultiDBError
from .dialect import compiling

__all__ = ["ModelDatabase"]


class ModelDatabase(peewee.DatabaseProxy):
    """The database of one model, decided anew at each access; queries decide once and do not come here."""

    __slots__ = ("_meta",)

    def __init__(self, meta: Any) -> None:
        # Proxy refuses attributes that are not its slots, and its own __init__ would set obj.
        object.__setattr__(self, "_meta", meta)
        object.__setattr__(self, "_callbacks", [])

    @property
    def obj(self) -> Any:
        """The Database object that the model resolves to now."""
        database = compiling()
        if database is not None:
            return database
        home = self._meta.home
        return routing.live(home, routing.decide(home, scope.current()))

    def initialize(self, obj: Any) -> None:
        """Refused: the registry says which database this is."""
        raise ConfigurationError(
            f"The database of {self._meta.model.__name__} cannot be initialized; its Meta.db_name names it. "
            "Use databases.configure(), Model.bind() or use_db()."
        )

    def atomic(self, *args: Any, **kwargs: Any) -> Any:
        return _Entered(self, "atomic", args, kwargs)

    def transaction(self, *args: Any, **kwargs: Any) -> Any:
        return _Entered(self, "transaction", args, kwargs)

    def savepoint(self) -> Any:
        return _Entered(self, "savepoint", (), {})

    def manual_commit(self) -> Any:
        return _Entered(self, "manual_commit", (), {})

    def connection_context(self) -> Any:
        return _Entered(self, "connection_context", (), {})

    def __repr__(self) -> str:
        try:
            now = routing.describe(self._meta.home, routing.decide(self._meta.home, scope.current()))
        except MultiDBError as error:
            now = type(error).__name__
        return f"<database of {self._meta.model.__name__}: now {now}>"


class _Entered:
    """A block of the model's database, which is decided when the block is entered and kept until its end."""

    def __init__(
        self, handle: ModelDatabase, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._handle = handle
        self._call = (method, args, kwargs)
        self._open: list[Any] = []

    def _block(self) -> Any:
        method, args, kwargs = self._call
        return getattr(self._handle.obj, method)(*args, **kwargs)

    def __enter__(self) -> Any:
        block = self._block()
        entered = block.__enter__()
        self._open.append(block)
        return entered

    def __exit__(self, *exc: Any) -> Any:
        return self._open.pop().__exit__(*exc)

    async def __aenter__(self) -> Any:
        block = self._block()
        entered = await block.__aenter__()
        self._open.append(block)
        return entered

    async def __aexit__(self, *exc: Any) -> Any:
        return await self._open.pop().__aexit__(*exc)

    def __call__(self, function: Any) -> Any:

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with self._block():
                return function(*args, **kwargs)

        return inner
