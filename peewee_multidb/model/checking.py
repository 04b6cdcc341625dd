"""`check_keys`: what is wrong with the primary keys of sharded models, before a row shows it."""

from __future__ import annotations

import warnings
from typing import Any

from ..errors import CollidingKeys, ConfigurationError
from ..home import Home
from .base import Model

__all__ = ["check_keys"]


def check_keys(*models: Any) -> list[str]:
    """Warn of sharded models whose shards each number their rows, so that two rows get one primary key.

    Args:
        models: the models to look at; every model of the program when none is given.

    Returns:
        What was warned of, a sentence for each model, as `CollidingKeys`.

    Raises:
        ConfigurationError: something is not a model of this package.
    """
    found = []
    for model in models or _every(Model):
        if not isinstance(getattr(getattr(model, "_meta", None), "home", None), Home):
            raise ConfigurationError(f"check_keys() takes models of peewee_multidb, not {model!r}.")
        text = _trouble(model)
        if text is not None:
            found.append(text)
            warnings.warn(text, CollidingKeys, stacklevel=2)
    return found


def _every(model: Any) -> list[Any]:
    found = []
    for one in model.__subclasses__():
        found += [one, *_every(one)]
    return list(dict.fromkeys(found))


def _trouble(model: Any) -> str | None:
    meta = model._meta
    home: Home = meta.home
    if home.rule is None or not meta.auto_increment or len(home.rule.names) < 2:
        return None
    key = meta.primary_key
    return (
        f"{model.__name__}.{key.name} is a {type(key).__name__}, which each of its {len(home.rule.names)} "
        "shards numbers on its own: two rows will have one key. Use SnowflakeField or UUID7Field, or a "
        "CompositeKey with the shard key in it."
    )
