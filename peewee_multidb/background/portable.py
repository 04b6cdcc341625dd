"""A stack of scopes as JSON can hold it, and back.

What travels is names: of databases, tenants and models. Whoever unpacks them enters them anew, in the order
in which they were entered, so that a name which is not known there, or a tenant who is none, is refused
there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

import peewee

from .. import scope
from ..errors import ConfigurationError, ScopeRefused
from ..scope import use_db
from ..shards.everywhere import all_shards
from ..stack import Confinement, Scope
from ..tenants.locks import TenantLock, use_tenant

__all__ = ["packed", "unpacked"]


def packed(node: Scope | None) -> list[dict[str, Any]]:
    """Return the scopes from the outermost to the innermost.

    Raises:
        ConfigurationError: one of them cannot be told in names.
    """
    found = []
    while node is not None:
        found.append(_packed(node))
        node = node.parent
    return found[::-1]


def _packed(node: Scope) -> dict[str, Any]:
    entry: Any = node.entry
    kind = type(entry)
    if kind is use_tenant:
        return {"kind": "tenant", **_tenant(entry)}
    if kind is use_db:
        models = [_path(model, entry) for model in entry.models]
        return {"kind": "db", **_selected(entry), "models": models, "role": entry.role}
    if kind is all_shards:
        return {"kind": "everywhere", "models": [_path(model, entry) for model in entry.models]}
    if kind is Confinement and isinstance(node.lock, TenantLock):
        return {"kind": "lock", **_tenant(node.lock.entry)}
    raise ConfigurationError(
        f"the scope {entry!r} cannot travel in the headers of a job: it is about more than names. Send "
        "what it was made of, a shard key for instance, as an argument, and enter it inside of the job."
    )


def _selected(entry: use_db) -> dict[str, Any]:
    return {"name": entry.name, "renames": dict(entry.renames), "unlock": entry.unlock}


def _tenant(entry: use_tenant) -> dict[str, Any]:
    return {**_selected(entry), "tenant": entry.tenant, "shared": sorted(entry.shared)}


def _path(model: type[peewee.Model], entry: object) -> str:
    """Return where a model can be imported from."""
    module, name = model.__module__, model.__qualname__
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is not model:
        raise ConfigurationError(
            f"the scope {entry!r} cannot travel in the headers of a job: {name} of {module} cannot be "
            "imported from there by another process. Define the model at the top of a module."
        )
    return f"{module}:{name}"


def unpacked(scopes: Iterable[dict[str, Any]]) -> list[AbstractContextManager[Any]]:
    """Return what to enter, from the outside in.

    Raises:
        ScopeRefused: this is not what `packed` returns, or a model cannot be imported here.
    """
    try:
        return [_unpacked(one) for one in scopes]
    except (AttributeError, KeyError, TypeError) as error:
        raise ScopeRefused(
            f"the scope of the job is of another version of this package ({error!r})."
        ) from error


def _unpacked(one: dict[str, Any]) -> AbstractContextManager[Any]:
    kind = one["kind"]
    if kind == "tenant":
        return _tenant_of(one)
    if kind == "lock":
        return _Locked(_tenant_of(one))
    models = [_imported(path) for path in one["models"]]
    if kind == "everywhere":
        return all_shards(*models)
    if kind == "db":
        return use_db(one["name"], *models, role=one["role"], unlock=one["unlock"], **one["renames"])
    raise ScopeRefused(f"the scope of the job is of another version of this package (kind {kind!r}).")


def _tenant_of(one: dict[str, Any]) -> use_tenant:
    options = {"tenant": one["tenant"], "shared": one["shared"], "unlock": one["unlock"]}
    return use_tenant(one["name"], **options, **one["renames"])


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ScopeRefused(
            f"the scope of the job is for the model {name} of {module}, which there is not here ({error})."
        ) from error
    return found


class _Locked:
    """The lock of a tenant, without its database being selected: what a bound function runs in."""

    def __init__(self, entry: use_tenant) -> None:
        self._entry = entry
        self._outside: Scope | None = None

    def __enter__(self) -> None:
        self._outside = around = scope.current()
        locked = self._entry._entered()
        scope.switch(scope.confined(around, locked))

    def __exit__(self, *_: object) -> None:
        scope.switch(self._outside)
