"""Which shards a query can touch, from its own clauses.

`footprint` answers for every kind of query: the rows of an INSERT, and for the others what their conditions
say of the shard keys of the tables that they bring together (`peewee_multidb.shards.sources`). Where a clause
is not understood it narrows nothing. A guess would be a wrong answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from peewee import OP

from ..errors import (
    ConfigurationError,
    InvalidShardKey,
    MissingShardKey,
    MultiDBError,
    ScatterNotSupported,
    WrongShard,
)
from . import pieces
from .inserted import field_name, shards_of_rows
from .predicates import ANYTHING, Alternatives, Box
from .sources import Block, Source, Statement
from .stock import stock
from .values import is_value, key_of, python_value, shard_of_row

if TYPE_CHECKING:
    from ..home import Home

__all__ = [
    "Footprint",
    "footprint",
    "joined_apart",
    "key_label",
    "key_value",
    "not_one",
    "only_shard",
    "refuse_moving",
    "refuse_wrong_shard",
    "shards_for",
    "without_key",
]

Shards = set[str] | None


class Footprint(NamedTuple):
    """What a query touches of sharded models.

    Attributes:
        shards: the shards that may have rows for it, in the order of the rule; none for a contradiction.
        narrowed: whether its own clauses say so; otherwise it is every shard for want of a key.
        apart: the clause that would bring rows of several shards together, or None when each of the
            shards can answer for itself.
    """

    shards: tuple[str, ...]
    narrowed: bool
    apart: str | None = None


def key_label(home: Home) -> str:
    """Return how messages name the shard key."""
    if home.shard_key:
        return f"shard key {', '.join(home.shard_key)}"
    return f"shard key (that of {home.parent.model.__name__})" if home.parent is not None else "shard key"


def key_value(home: Home, key: Any) -> Any:
    """Return a key that a caller gave as the rule should see it.

    Raises:
        ConfigurationError: another number of values than the key has fields.
        InvalidShardKey: one of them is None, or no value of its field.
    """
    if not home.shard_key and home.parent is not None:
        return key_value(home.parent, key)
    fields = home.key_fields
    values = key if len(fields) > 1 and isinstance(key, (tuple, list)) else (key,)
    if len(values) != len(fields):
        raise ConfigurationError(
            f"{key!r} is not a {key_label(home)} of {home.model.__name__}: that has {len(fields)} value(s)."
        )
    found = key_of(home, {field.name: value for field, value in zip(fields, values, strict=True)})
    if found is None:
        raise InvalidShardKey(f"{key!r} is not a {key_label(home)} of {home.model.__name__}.")
    return found


def shards_for(home: Home, query: Any) -> tuple[str, ...]:
    """Return the shards that a query may touch, in the order of the rule.

    All of them when nothing in the query narrows them; none when its clauses contradict each other.
    """
    return footprint(home, query).shards


def footprint(home: Home, query: Any) -> Footprint:
    """Return what a query touches of sharded models.

    Args:
        home: where the query's own model lives: sharded, or a reference model.
        query: the query; None for one that nothing is known of.

    Raises:
        InvalidShardKey: an INSERT has a row that no shard takes.
    """
    rule: Any = home.rule
    if rule is not None:
        # The first to ask for them hears of a key that cannot be one, whatever the query.
        _ = home.key_fields
    if isinstance(query, stock.Insert):
        return _ordered(home, shards_of_rows(home, query))
    if query is None or not hasattr(query, "_where"):
        return Footprint(rule.names if rule is not None else (), False)
    shard = None if rule is None else only_shard(home, query)
    if shard is not None:
        return Footprint((shard,), True)
    return _examined(home, Statement(query))


def only_shard(home: Home, query: Any) -> str | None:
    """Return the shard of a SELECT of nothing but one row's or key's worth, or None for any other query.

    The commonest of all queries, which need not be looked at any longer.
    """
    return _by_one_equality(home, query._where) if _is_alone(query) else None


def _is_alone(query: Any) -> bool:
    """Whether a SELECT is of one model and of nothing else."""
    if not isinstance(query, stock.Select) or query._cte_list or query._windows:
        return False
    items = query._from_list
    if len(items) != 1 or items[0] is not query.model or not isinstance(items[0], type):
        return False
    for one in (query._having, query._group_by, query._order_by, query._distinct):
        if one and next(pieces.queries(one), None) is not None:
            return False
    return query._is_default or next(pieces.queries(query._returning), None) is None


def _by_one_equality(home: Home, where: Any) -> str | None:
    """Return the shard of ``key == value``, the commonest condition of all."""
    if type(where) is not stock.Expression or where.op != OP.EQ:
        return None
    fields = home.key_fields
    value = where.rhs
    if len(fields) != 1 or where.lhs is not fields[0] or value is None or not is_value(value):
        return None
    rule: Any = home.rule
    try:
        return _find(rule, python_value(fields[0], value))
    except InvalidShardKey:
        return None


def _find(rule: Any, key: Any) -> str | None:
    find = getattr(rule, "find", rule.shard_of)
    return find(key)  # type: ignore[no-any-return]


# What the parts of a statement leave


def _examined(home: Home, statement: Statement) -> Footprint:
    total: Shards = set()
    apart: str | None = None
    is_firm = True
    groups: set[Source] = set()
    first: Source | None = None
    for root in statement.roots:
        found = _shards_of(root)
        groups |= found.keys()
        is_firm = is_firm and root.is_firm
        first = first or next(iter(found), None)
        shards = _joined(list(found.values()))
        if len(found) > 1 and (shards is None or len(shards) > 1):
            apart = statement.trouble[0] if statement.trouble else f"a join of {_names(found)}"
        total = _united(total, shards)
    for block in statement.inside:
        for group, shards in _shards_of(block).items():
            first = first or group
            if group in groups or shards == set() or (groups and total == set()):
                continue
            if not groups:
                total = _united(total, shards)
            if shards is None or len(shards) > 1 or shards != total:
                apart = apart or f"a subquery of {group.home.model.__name__}"
    if first is None:
        return Footprint((), False)
    many = total is None or len(total) > 1
    if many and apart is None:
        if statement.trouble:
            apart = statement.trouble[0]
        elif not is_firm:
            apart = f"rows of {home.model.__name__}, which every shard has,"
    return _ordered(home if home.rule is not None else first.home, total, apart)


def _ordered(home: Home, shards: Shards, apart: str | None = None) -> Footprint:
    names: tuple[str, ...] = home.rule.names  # type: ignore[union-attr]
    if shards is None:
        return Footprint(names, False, apart)
    if len(shards) > 1:
        listed = [name for name in names if name in shards]
        # Those of another rule, of a model that is joined: there is an error to come that names them.
        return Footprint((*listed, *sorted(shards.difference(listed))), True, apart)
    return Footprint(tuple(shards), True, apart)


def _joined(found: list[Shards]) -> Shards:
    """Return where a block is answered whose groups of sources have these shards."""
    if any(shards == set() for shards in found):
        return set()
    total: Shards = set()
    for shards in found:
        total = _united(total, shards)
    return total


def _names(groups: Iterable[Source]) -> str:
    return " and ".join(dict.fromkeys(group.home.model.__name__ for group in groups))


def _shards_of(block: Block) -> dict[Source, Shards]:
    """Return for each group of sources in a block the shards whose rows its conditions admit."""
    if block.members:
        return _of_members(block)
    sources = [*block.sources, *(source for inner in block.derived for source in inner.sources)]
    found = _admitted(dict.fromkeys(source.group for source in sources), block.alternatives)
    for optional, alternatives in block.partial:
        inside = {source.group for source in optional}
        inside -= {source.group for source in sources if not any(source is one for one in optional)}
        for group, shards in _admitted(dict.fromkeys(inside), alternatives).items():
            found[group] = _common(found.get(group), shards)
    for inner in block.derived:
        for group, shards in _shards_of(inner).items():
            found[group] = _common(found.get(group), shards)
    for inner in block.required:
        for group, shards in _shards_of(inner).items():
            if group in found:
                found[group] = _common(found[group], shards)
    return found


def _of_members(block: Block) -> dict[Source, Shards]:
    found: dict[Source, Shards] = {}
    for member in block.members:
        for group, shards in _shards_of(member).items():
            found[group] = _united(found[group], shards) if group in found else shards
    return found


def _admitted(groups: dict[Source, Shards], alternatives: Alternatives) -> dict[Source, Shards]:
    if alternatives == ANYTHING:
        return groups
    found: dict[Source, Shards] = {group: set() for group in groups}
    for box in alternatives:
        mine: dict[Source, Shards] = dict.fromkeys(groups)
        for source in {slot[0] for slot in box}:
            if source.group in mine:
                mine[source.group] = _common(mine[source.group], _in_box(source, box))
        if any(shards == set() for shards in mine.values()):
            continue
        for group, shards in mine.items():
            found[group] = _united(found[group], shards)
    return found


#: More keys than this are not asked for one by one.
MOST_KEYS = 100_000


def _in_box(source: Source, box: Box) -> Shards:
    rule: Any = source.home.rule
    beside = box.get((source, None))
    shards: Shards = None if beside is None else set(beside.values or ())
    fields = source.home.key_fields
    allowed = [box.get((source, field.name)) for field in fields]
    if not allowed or any(one is None for one in allowed):
        return shards
    values = [one.values for one in allowed if one is not None and one.values is not None]
    if len(values) == len(allowed):
        count = 1
        for some in values:
            count *= len(some)
        if count > MOST_KEYS:
            return shards
        keys = values[0] if len(values) == 1 else itertools.product(*values)
        try:
            found = {_find(rule, key) for key in keys}
        except InvalidShardKey:
            return shards
        return _common(shards, {name for name in found if name is not None})
    between = getattr(rule, "shards_between", None)
    if len(allowed) == 1 and between is not None:
        try:
            return _common(shards, between(allowed[0].low, allowed[0].high))  # type: ignore[union-attr]
        except InvalidShardKey:
            return shards
    return shards


def _common(one: Shards, other: Shards) -> Shards:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _united(one: Shards, other: Shards) -> Shards:
    return None if one is None or other is None else one | other


# What is refused


def not_one(home: Home, query: Any, shards: Sequence[str] | None = None) -> MultiDBError:
    """Return the error for a query that has to run on one shard, and does not.

    Args:
        home: the sharded model.
        query: the query, if there is one.
        shards: the shards that it would need.
    """
    name = home.model.__name__
    if query is None:
        return MissingShardKey(f"Nothing here says which shard of {name} is meant. {_ways_out(home)}")
    if isinstance(query, stock.RawQuery):
        return MissingShardKey(
            f"Raw SQL on {name} is not looked into for its shard. Run it inside `with use_db(name):` or "
            f'`with use_shard({name}, key):`, or say .using("name of a database").'
        )
    if not isinstance(query, stock.SelectQuery):
        if shards:
            return MissingShardKey(
                f"A write on {name} was refused: its rows belong to several shards. {_ways_out(home)}"
            )
        every = isinstance(query, (stock.Update, stock.Delete))
        more = " If every row of every shard is meant, say so with all_shards()." if every else ""
        return MissingShardKey(without_key(home, "it") + more)
    return ScatterNotSupported(
        f"A read of {name} would need the shards {', '.join(sorted(shards or home.names or ()))}; "
        f"its WHERE clause does not narrow the {key_label(home)} to one. {_ways_out(home)}"
    )


def without_key(home: Home, what: str) -> str:
    """Return the message for a write that has no shard key.

    Args:
        home: the sharded model.
        what: the part of the write that has none, such as ``"row 3 of 5"``.
    """
    name = home.model.__name__
    return f"A write on {name} was refused: the {key_label(home)} is not in {what}. {_ways_out(home)}"


def joined_apart(home: Home, clause: str) -> ScatterNotSupported:
    """Return the error for a query that would bring rows of several shards together.

    Args:
        home: the sharded model.
        clause: where it would.
    """
    return ScatterNotSupported(
        f"{home.model.__name__} is sharded, and {clause} may need rows of other shards than the one of "
        f"its key. {_ways_out(home)}"
    )


def refuse_wrong_shard(home: Home, query: Any, chosen: str, trusted: bool = False) -> None:
    """Raise if a write names a key that belongs to another shard than the chosen one.

    Args:
        home: the sharded model.
        query: the write; anything else is passed over.
        chosen: the shard that it is about to be sent to.
        trusted: whether it saves a row that lives there.

    Raises:
        WrongShard: it does.
    """
    if not isinstance(query, (stock.Insert, stock.Update, stock.Delete)):
        return
    found = footprint(home, query)
    shards = set(found.shards)
    if found.narrowed and not shards <= {chosen}:
        others = ", ".join(repr(s) for s in sorted(shards - {chosen}))
        raise WrongShard(
            f"A write on {home.model.__name__} goes to {chosen!r}, but its {key_label(home)} belongs to "
            f"{others}. Leave the scope, or use copy_to() or move_to() to give a row another home."
        )
    refuse_moving(home, query, chosen, trusted)


def refuse_moving(home: Home, query: Any, chosen: str, trusted: bool = False) -> None:
    """Raise if a write changes the shard key of rows in a shard so that they may belong to another.

    Args:
        home: the sharded model.
        query: an UPDATE, an INSERT or a DELETE.
        chosen: the shard.
        trusted: whether it saves a row that lives there.

    Raises:
        WrongShard: it does.
    """
    conflict: Any = getattr(query, "_on_conflict", None)
    update = getattr(query, "_update", None) if conflict is None else conflict._update
    if not update:
        return
    changed = {field_name(home, field): value for field, value in update.items()}
    moved = set(home.shard_key)
    if not moved and home.link is not None and not trusted:
        moved = {home.link.name}
    if not moved & set(changed):
        return
    if shard_of_row(home, changed) != chosen:
        raise WrongShard(
            f"An UPDATE of {home.model.__name__} would change the {key_label(home)} of rows in {chosen!r} "
            "so that they belong elsewhere. Use move_to() on each row."
        )


def _ways_out(home: Home) -> str:
    name = home.model.__name__
    if not home.shard_key and home.link is not None:
        return (
            f"Give the {home.link.rel_model.__name__} itself ({name}.{home.link.name} == row), run it inside "
            f'`with use_shard({name}, key):`, or say .using("name of a shard").'
        )
    example = home.shard_key[0] if home.shard_key else "key"
    return (
        f"Add {name}.{example} == value, run it inside `with use_shard({name}, key):`, "
        f'or say .using("name of a shard").'
    )
