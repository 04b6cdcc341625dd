"""What is known of a name in all registries together: a scope is not one registry's alone."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import UnknownDatabase, nearest, shown
from ..registry import Databases, databases, registries

__all__ = ["require_known", "tenancy_of"]


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
        known = dict.fromkeys(one for registry in every for one in registry.names)
        raise UnknownDatabase(f"{what!r}: no database is called {shown(name)}; {nearest(name, known)}.")


def tenancy_of(name: str) -> bool | None:
    """Return whether a database is a tenant's.

    None where a registry that has it knows nothing of tenants: each of its databases may be one's. What
    other registries say of theirs does not count.
    """
    if databases.has_tenants and databases.has(name):
        return databases.is_tenant(name)  # whatever a library calls its own databases
    said = [
        registry.is_tenant(name) if registry.has_tenants else None
        for registry in registries()
        if registry.has(name)
    ]
    if True in said:
        return True
    return None if None in said or not said else False
