"""`all_shards`: a block in which a write to every shard is meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import peewee

from .. import scope
from ..errors import ConfigurationError
from ..home import Home

__all__ = ["all_shards"]

F = TypeVar("F", bound=Callable[..., Any])


class all_shards:
    """Say that an UPDATE or a DELETE of a sharded model without its key is meant for every shard.

    Outside of such a block it raises `MissingShardKey`. A statement that has its key goes where the key
    says, inside as well as outside; and so does an INSERT, which must have it. The shards commit one after
    the other, as in `atomic`.

    Args:
        models: only these sharded models; every one when none is given.

    Works as a context manager, and as a decorator of functions of every kind, as `use_db` does. It lifts
    the scopes around it from the models that it is for.

    Raises:
        ConfigurationError: something is not a sharded model.
    """

    __slots__ = ("models",)

    role: str | None = None
    renames: Mapping[str, str] = {}
    final = False
    bounds_roles = False
    places = True

    def __init__(self, *models: type[peewee.Model]) -> None:
        for model in models:
            home = getattr(getattr(model, "_meta", None), "home", None)
            if not isinstance(home, Home) or home.rule is None:
                raise ConfigurationError(f"all_shards() takes sharded models, not {model!r}.")
        self.models = models

    def place(self, home: Home) -> Any:
        """Return that a sharded model is meant everywhere; nothing for any other."""
        if home.rule is None or (self.models and home.model not in self.models):
            return None
        return scope.EVERYWHERE

    def vouches(self, home: Home) -> bool:
        """Whether a model of that home is in a database that it does not list: never."""
        return False

    def mentions(self, home: Home) -> bool:
        """Whether the block names the model of that home."""
        return home.model in self.models

    def concerns(self, home: Home) -> bool:
        """The block has no role."""
        return False

    def __enter__(self) -> None:
        scope.push(self)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope.pop(self)

    def __call__(self, function: F) -> F:
        return scope.decorated(function, lambda: scope.Scope(self, scope.current()))

    def __repr__(self) -> str:
        return f"all_shards({', '.join(model.__name__ for model in self.models)})"
