"""The decision for one query: which database, which role, and why.

One function decides, `decide`, in the order of the design's first rule; `explain_route` runs the same
function and keeps the reasons that it gives on its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import peewee

from . import scope as scopes
from .errors import NoDatabaseSelected, ReadOnlyDatabase, UnknownDatabase
from .home import Home
from .scope import Scope, Target
from .shards import pruning
from .statements import only_reads

__all__ = [
    "Route",
    "decide",
    "decide_many",
    "describe",
    "follow",
    "live",
    "refuse_locked",
    "refuse_write",
    "role_node",
    "statement_of",
]

#: Called with a sentence at each step of a decision.
Reasons = Callable[[str], None]


@dataclass(frozen=True)
class Route:
    """The decision for one query.

    Attributes:
        model: the name of the model that the query starts from.
        databases: names of the databases that it runs on.
        role: ``"primary"`` or ``"replica"``.
        reasons: why, in the order in which it was decided.
    """

    model: str
    databases: tuple[str, ...]
    role: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{self.model} -> {', '.join(self.databases)} ({self.role})"]
        lines += [f"  {number}. {reason}" for number, reason in enumerate(self.reasons, 1)]
        return "\n".join(lines)


def decide(
    home: Home,
    scope: Scope | None,
    *,
    using: Target | None = None,
    query: peewee.Query | None = None,
    reasons: Reasons | None = None,
) -> Target:
    """Return the database that a query on the model runs on.

    Args:
        home: where the model lives.
        scope: the scope that the query was built in, or the current one.
        using: what ``query.using()`` or ``query.bind()`` said, if anything.
        query: the query itself; a sharding rule looks for its key there.
        reasons: called with each reason, for `explain_route`.

    Raises:
        DatabaseNotAllowed: the model's ``db_name`` does not list the name.
        NoDatabaseSelected: the model has no home and nothing selects one.
        MissingShardKey: a write on a sharded model whose shard cannot be derived.
        WrongShard: a write whose key belongs to another shard than the scope's.
        ScatterNotSupported: a read that would need several shards.
    """
    targets = decide_many(home, scope, using=using, query=query, reasons=reasons)
    if len(targets) == 1:
        return targets[0]
    shards = None if targets == home.names else tuple(str(target) for target in targets)
    raise pruning.not_one(home, query, shards)


def decide_many(
    home: Home,
    scope: Scope | None,
    *,
    using: Target | None = None,
    query: peewee.Query | None = None,
    reasons: Reasons | None = None,
) -> tuple[Target, ...]:
    """Return the databases that a query on the model runs on: more than one only where it is sharded.

    Args:
        home: where the model lives.
        scope: the scope that the query was built in, or the current one.
        using: what ``query.using()`` or ``query.bind()`` said, if anything.
        query: the query itself; a sharding rule looks for its key there.
        reasons: called with each reason, for `explain_route`.

    Returns:
        The databases, in the order of the rule; none for a query whose clauses contradict each other.

    Raises:
        MultiDBError: as `decide` does.
        TenantLocked: the code here is locked to a tenant, and a database is another one's.
    """
    targets = _decided(home, scope, using, query, reasons)
    around = scopes.current()
    if around is not None and around.lock is not None:
        for target in targets:
            around.lock.check(home, target)
    return targets


def _decided(
    home: Home,
    scope: Scope | None,
    using: Target | None,
    query: peewee.Query | None,
    reasons: Reasons | None,
) -> tuple[Target, ...]:
    final = trusted = False
    if using is not None:
        chosen, why = using, "the query itself says so: using() or bind()"
        _refuse_unlisted(home, scope, using)
    else:
        placed = scopes.place(scope, home)
        if home.reference and home.database is None and (placed is None or not placed[1].mentions(home)):
            return _of_reference(home, scope, placed, query, reasons)
        if placed is not None:
            chosen, final = placed[0], placed[1].final
            trusted = placed[1].vouches(home)
            why = f"the innermost scope that applies is {placed[1]!r}" if reasons is not None else ""
        elif home.database is not None:
            chosen, why = home.database, f"{home.model.__name__} is bound to a Database object"
        elif home.rule is not None:
            return _by_rule(home, scope, query, reasons)
        elif home.name is not None:
            chosen, why = home.name, _home_reason(home)
        else:
            raise _no_home(home)
    if reasons is not None:
        if home.pinned:
            reasons(f"{home.model.__name__} is db_pinned: a blanket use_db() does not move it")
        reasons(f"{describe(home, chosen)}: {why}")
    if home.rule is not None and query is not None:
        shard = chosen if isinstance(chosen, str) else home.registry.name_of(chosen)
        # A database that is no shard of the model got here by a rename, or is nobody's but the user's.
        if shard is not None and home.allows(shard):
            pruning.refuse_wrong_shard(home, query, shard, trusted)
    if not isinstance(chosen, str):
        return (chosen,)
    name = chosen if final or scope is None else scopes.renamed(scope, chosen)
    if reasons is not None and name != chosen:
        reasons(f"{name!r}: a scope re-points {chosen!r} to it")
    return (name,)


def _by_rule(
    home: Home, scope: Scope | None, query: peewee.Query | None, reasons: Reasons | None
) -> tuple[Target, ...]:
    """Return the shards of a query that nothing but its own clauses sends anywhere."""
    if query is None:
        raise pruning.not_one(home, None)
    if isinstance(query, peewee.RawQuery):
        raise pruning.not_one(home, query)
    found = pruning.footprint(home, query)
    if found.apart is not None:
        raise pruning.joined_apart(home, found.apart)
    if isinstance(query, peewee._WriteQuery):
        if not found.narrowed and (isinstance(query, peewee.Insert) or not scopes.is_everywhere(scope, home)):
            raise pruning.not_one(home, query)
        for shard in found.shards:
            pruning.refuse_moving(home, query, shard)
    if reasons is not None:
        if found.narrowed:
            why = f"the sharding rule says so for {pruning.key_label(home)} of this query"
        else:
            why = f"every shard, for nothing in it narrows the {pruning.key_label(home)}"
        reasons(f"{', '.join(map(repr, found.shards)) or 'no shard'}: {why}")
    if scope is None:
        return found.shards
    return tuple(scopes.renamed(scope, name) for name in found.shards)


def _of_reference(
    home: Home,
    scope: Scope | None,
    placed: tuple[Target, Any] | None,
    query: peewee.Query | None,
    reasons: Reasons | None,
) -> tuple[Target, ...]:
    """Return every copy of a reference model for a write, and the one at hand for a read."""
    copies: tuple[str, ...] = tuple(scopes.renamed(scope, name) for name in home.names or ())
    name = home.model.__name__
    if isinstance(query, peewee._WriteQuery):
        if reasons is not None:
            reasons(f"{', '.join(map(repr, copies))}: {name} is a reference model, and each has a copy")
        return copies
    # A row beside which the query was built says nothing about sharded models that are in it as well.
    if hasattr(query, "_where") and (placed is None or placed[1].final):
        found = pruning.footprint(home, query)
        if found.apart is not None:
            raise pruning.joined_apart(home, found.apart)
        if found.shards or found.narrowed:
            if reasons is not None:
                names = ", ".join(map(repr, found.shards)) or "no shard"
                reasons(f"{names}: the sharded models in it say so")
            return tuple(scopes.renamed(scope, shard) for shard in found.shards)
    if placed is not None:
        chosen = placed[0]
        if isinstance(chosen, str) and not placed[1].final:
            chosen = scopes.renamed(scope, chosen)
        if reasons is not None:
            reasons(f"{describe(home, chosen)}: the innermost scope that applies is {placed[1]!r}")
        return (chosen,)
    sql: Any = getattr(query, "_sql", None)
    if isinstance(sql, str) and not only_reads(sql):
        raise pruning.not_one(home, query)
    live = home.registry.live
    at_hand = next((one for one in copies if one in live and live[one].in_transaction()), copies[0])
    if reasons is not None:
        reasons(f"{at_hand!r}: {name} is a reference model, and this copy is at hand")
    return (at_hand,)


def _refuse_unlisted(home: Home, scope: Scope | None, using: Target) -> None:
    """Raise if the model's ``db_name`` does not list a database, named or not, nor a rename leads there."""
    if home.names is None:
        return
    name = using if isinstance(using, str) else home.registry.name_of(using)
    if name is None or home.allows(name):
        return
    if isinstance(using, str) or name not in {scopes.renamed(scope, one) for one in home.names}:
        raise scopes.not_allowed(home, name)


def follow(
    home: Home, scope: Scope | None, root: Home, using: Target | None, query: peewee.Query | None = None
) -> Target:
    """Return where another model goes that appears in a query whose root model was told to use a database.

    It goes along, as under a blanket `use_db`, unless it is pinned or lists other names. The query is the
    one inside that it appears in, if there is one.
    """
    if using is None or using == home.name or home is root:
        return decide(home, scope, using=using, query=query)
    if home.pinned or (isinstance(using, str) and not home.allows(using)):
        return decide(home, scope, query=query)
    return using if not isinstance(using, str) else scopes.renamed(scope, using)


def live(home: Home, target: Target) -> peewee.Database:
    """Return the Database object of a decision.

    Raises:
        UnknownDatabase: the name is not in the model's registry.
    """
    if not isinstance(target, str):
        return target
    try:
        return home.registry[target]
    except UnknownDatabase as error:
        raise UnknownDatabase(f"{home.model.__name__}: {error}") from None


def describe(home: Home, target: Target) -> str:
    """Return how messages name a database: the quoted name, or its class when it has none."""
    if isinstance(target, str):
        return repr(target)
    name = home.registry.name_of(target)
    if name is not None:
        return repr(name)
    if isinstance(target, peewee.Proxy):
        return "an uninitialized proxy" if target.obj is None else describe(home, target.obj)
    database = getattr(target, "database", None)
    if isinstance(database, str) and ("=" in database or "://" in database):
        database = "a connection string"  # there may be a password in it
    return f"an unregistered {type(target).__name__} ({database!r})"


def role_node(home: Home, scope: Scope | None) -> Scope | None:
    """Return the scope that gives a query its role: around where it runs, or else where it was built."""
    around = scopes.current()
    node = None if around is None else scopes.role_node(around, home)
    return node if node is not None or scope is around else scopes.role_node(scope, home)


def refuse_write(
    home: Home, scope: Scope | None, database: peewee.Database, what: str, role: str | None = None
) -> None:
    """Raise if the query, the scope or the database admits only reads.

    Args:
        what: the statement, for the message, such as ``"INSERT"``.
        role: what the query itself says, if it does.

    Raises:
        ReadOnlyDatabase: the role is replica, or the database is configured as read-only.
    """
    if role == "replica":
        raise ReadOnlyDatabase(
            f"{what} on {home.model.__name__} says role='replica': a replica takes no writes. "
            "Leave the role out."
        )
    node = None if role is not None else role_node(home, scope)
    if node is not None and node.entry.role == "replica":
        raise ReadOnlyDatabase(
            f"{what} on {home.model.__name__} inside use_replica(): a replica takes no writes. "
            "Leave the block, or wrap the write in use_primary()."
        )
    entry = home.registry.entry_of(database)
    if entry is not None and entry.read_only:
        raise ReadOnlyDatabase(
            f"{what} on {home.model.__name__} refused: database {entry.name!r} is configured read_only. "
            "Send the write elsewhere, or take read_only out of its settings."
        )


def refuse_locked(home: Home, target: Target) -> None:
    """Raise if the code here is locked to a tenant, and a database is not for it.

    Raises:
        TenantLocked: it is not.
    """
    around = scopes.current()
    if around is not None and around.lock is not None:
        around.lock.check(home, target)


def _no_home(home: Home) -> NoDatabaseSelected:
    """The error for a model without a home that is used outside every scope."""
    name = home.model.__name__
    return NoDatabaseSelected(
        f"{name} has no home (Meta.db_name is None) and no scope selects a database for it. "
        f'Run the query inside `with use_db("name"):`, or say {name}.select().using("name").'
    )


def _home_reason(home: Home) -> str:
    if home.names is not None:
        return f"no scope applies, and it is the first name of {home.model.__name__}.Meta.db_name"
    if home.name == "default":
        return f"no scope applies, and {home.model.__name__} lives in the default database"
    return f"no scope applies, and it is {home.model.__name__}.Meta.db_name"


def statement_of(query: Any) -> str:
    """Return the verb of a query, for messages."""
    for kind, verb in ((peewee.Insert, "INSERT"), (peewee.Update, "UPDATE"), (peewee.Delete, "DELETE")):
        if isinstance(query, kind):
            return verb
    return "SELECT" if isinstance(query, peewee.SelectQuery) else "raw SQL"
