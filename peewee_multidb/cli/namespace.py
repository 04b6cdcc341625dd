"""The names that an expression of the command line, and the shell, can use."""

from __future__ import annotations

from typing import Any

import peewee

import peewee_multidb

from ..errors import ConfigurationError, MultiDBError
from .context import App

__all__ = ["evaluated", "namespace_of"]


def namespace_of(app: App) -> dict[str, Any]:
    """Return the public names of Peewee and of this package, the registry, and the models over them."""
    names = {name: getattr(peewee, name) for name in peewee.__all__}
    names |= {name: getattr(peewee_multidb, name) for name in peewee_multidb.__all__}
    registry = app.registry
    return {
        **names,
        "peewee": peewee,
        "databases": registry,
        **{model.__name__: model for model in app.models},
    }


def evaluated(text: str, names: dict[str, Any]) -> Any:
    """Evaluate an expression of the user.

    Raises:
        ConfigurationError: it is no expression, or it fails.
    """
    try:
        return eval(compile(text, "<query>", "eval"), names)
    except MultiDBError:
        raise
    except SyntaxError as error:
        raise ConfigurationError(f"{text!r} is no Python expression: {error.msg}") from error
    except Exception as error:
        raise ConfigurationError(f"{text!r} cannot be evaluated: {type(error).__name__}: {error}") from error
