"""What is known of a name in all registries together: a scope is not one registry's alone."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import UnknownDatabase, nearest, shown
from ..registry import Databases, databases, registries

__all__ = ["any_tenants", "is_tenant", "require_known"]


def require_known(name: str, what: object, among: Collection[Databases] = ()) -> None:
    """Raise `UnknownDatabase` if none of some registries knows a name.

    Args:
        name: a database name.
        what: what names it, for the message.
        among: the registries; all that there are when none is given.
    """
    if not among and name in databases.entries:
        return
    every = list(among) or registries()
    if not any(registry.knows(name) for registry in every):
        known = [one for registry in every for one in registry.names]
        raise UnknownDatabase(f"{what!r}: no database is called {shown(name)}; {nearest(name, known)}.")


def any_tenants() -> bool:
    """Whether a registry has databases that are flagged as a tenant's, or may find some."""
    return databases.has_tenants or any(registry.has_tenants for registry in registries())


def is_tenant(name: str) -> bool:
    """Whether a name is a tenant's in one of the registries."""
    return databases.is_tenant(name) or any(registry.is_tenant(name) for registry in registries())
