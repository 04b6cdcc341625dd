"""Where a read runs: on a replica when nothing speaks against it, else on the primary.

It is decided by what the statement is and where it runs, and each time anew; `_database` of a query stays
the primary's Database object, which stands for the name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import peewee

from .. import routing, scope, statements, transactions
from ..drivers import connections
from ..errors import ReadOnlyDatabase
from ..home import Home
from ..replicas import readers_of
from .fencing import guarded

__all__ = ["enlist", "primary_only", "read", "reading_role", "refuse_locking"]

R = TypeVar("R")

LOCKING = "SELECT ... FOR UPDATE"
ACTING = "a SELECT of a function with side effects"


def read(query: Any, database: Any, action: Callable[[Any], R]) -> R:
    """Run a read where it belongs.

    Args:
        query: the query that reads.
        database: where it goes: the primary, for a database with replicas.
        action: called with the Database object to read from; more than once if a replica fails.

    Raises:
        NoReplicaAvailable: there is no replica, and the primary is not to answer.
        ReadOnlyDatabase: it is told to run on a replica, and writes.
    """
    if query._for_update and reading_role(query)[0] == "replica":
        raise refuse_locking(query.model._meta.home, LOCKING)
    home: Home = query.model._meta.home
    if home.stored is not None:
        action = guarded(query, database, home.stored, action)
    enlist(query, database)
    registry = home.registry
    entry: Any = registry.entry_by_id.get(id(database))
    if entry is None or not entry.replicas or database is not entry.database:
        return action(database)
    node = role = None
    if query._role is not None or query._scope is not None or scope.current() is not None:
        role, node = reading_role(query)
    if role == "primary" or query.model._meta.temporary or database.in_transaction() or _writes(query, role):
        return action(database)
    pins = None
    if node is not None:
        pins = node.pins
        if pins is None:
            pins = node.pins = {}
    readers = entry.readers or readers_of(registry, entry)
    return readers.read(action, pins, query.model.__name__, role is not None)


def enlist(query: Any, database: Any) -> None:
    """Let a database join the open block that takes what comes, unless the read is meant for a replica.

    Args:
        query: the query that reads.
        database: where it goes: the primary.
    """
    if transactions.current() is not None and reading_role(query)[0] != "replica":
        transactions.enlist(query.model._meta.home, database)


def reading_role(query: Any) -> tuple[str | None, Any]:
    """Return the role that the query or the blocks around it ask for, and the block's scope."""
    if query._role is not None:
        return query._role, None
    node = routing.role_node(query.model._meta.home, query._around())
    return (None, None) if node is None else (node.entry.role, node)


def primary_only(query: Any, database: Any, role: str | None, sql: str) -> str | None:
    """Return why a read runs on the primary, or None when a replica may serve it.

    Args:
        query: the query that reads.
        database: the primary.
        role: what the query or the blocks around it ask for.
        sql: the query, compiled; a replica refuses what locks anywhere in it.

    Raises:
        ReadOnlyDatabase: it is told to run on a replica, and writes.
    """
    if role == "primary":
        return "the query or a block around it asks for the primary"
    if query.model._meta.temporary:
        return "its table is temporary, so only one connection has it"
    if connections.has_transaction(database):
        return "a transaction is open there, and reads belong to it"
    if _writes(query, role):
        return "it locks rows or changes something"
    if statements.for_primary(sql):
        if role == "replica":
            raise refuse_locking(query.model._meta.home, ACTING)
        return "it locks rows or changes something"
    return None


def _writes(query: Any, role: str | None) -> bool:
    """Whether a SELECT does what only the primary can do, as far as its parts tell.

    Raises:
        ReadOnlyDatabase: it does, and is told to run on a replica.
    """
    if query._for_update:
        what = LOCKING
    elif query._cte_list and _has_writing_cte(query):
        what = "a SELECT with a writing WITH clause"
    elif not query._is_default and any(map(_acts, getattr(query, "_returning", None) or ())):
        what = ACTING
    else:
        return False
    if role == "replica":
        raise refuse_locking(query.model._meta.home, what)
    return True


def refuse_locking(home: Home, what: str) -> ReadOnlyDatabase:
    """The error for a read that does more than reading where only replicas are to be used."""
    return ReadOnlyDatabase(
        f"{what} on {home.model.__name__} inside use_replica(): only a primary can do that. "
        "Leave the block, or wrap the query in use_primary()."
    )


def _has_writing_cte(query: Any) -> bool:
    for cte in query._cte_list or ():
        inner = cte._query
        if isinstance(inner, peewee._WriteQuery):
            return True
        if getattr(inner, "_cte_list", None) and _has_writing_cte(inner):
            return True
    return False


def _acts(node: Any) -> bool:
    if isinstance(node, peewee.Node):
        node = node.unwrap()
    return isinstance(node, peewee.Function) and statements.has_side_effects(node.name or "")
