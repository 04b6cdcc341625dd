"""Finding the shard key in a query.

So far the plain cases: the rows of an INSERT, and ``key == value`` or ``key.in_(...)`` joined by AND
in a WHERE clause. Whatever is not plainly one shard is refused; a guess would be a wrong answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import peewee
from peewee import OP

from ..errors import ConfigurationError, MissingShardKey, MultiDBError, ScatterNotSupported, WrongShard

if TYPE_CHECKING:
    from ..home import Home

__all__ = [
    "Footprint",
    "footprint",
    "joined_apart",
    "key_label",
    "key_value",
    "not_one",
    "refuse_wrong_shard",
    "shards_for",
    "shards_of",
]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a query touches of a sharded model.

    Attributes:
        shards: the shards that may have rows for it, in the order of the rule; none for a contradiction.
        narrowed: whether its own clauses say so; otherwise it is every shard for want of a key.
        apart: the clause that would bring rows of several shards together, or None when each of the
            shards can answer for itself.
    """

    shards: tuple[str, ...]
    narrowed: bool
    apart: str | None = None


def shards_for(home: Home, query: Any) -> tuple[str, ...]:
    """Return the shards that a query may touch, in the order of the rule.

    All of them when nothing in the query narrows them; none when its clauses contradict each other.
    """
    return footprint(home, query).shards


def footprint(home: Home, query: Any) -> Footprint:
    """Return what a query on a sharded model touches."""
    rule: Any = home.rule
    found = None if query is None else shards_of(home, query)
    apart = "a join of sharded models" if query is not None and _joins(query) else None
    if found is None:
        return Footprint(rule.names, False, apart)
    return Footprint(tuple(name for name in rule.names if name in found), True, apart)


def key_label(home: Home) -> str:
    """Return how messages name the shard key."""
    return f"shard key {', '.join(home.shard_key)}"


def key_value(home: Home, key: Any) -> Any:
    """Return a key that a caller gave as the rule should see it.

    Raises:
        ConfigurationError: another number of values than the key has fields.
    """
    values = key if len(home.shard_key) > 1 and isinstance(key, (tuple, list)) else (key,)
    if len(values) != len(home.shard_key):
        raise ConfigurationError(
            f"{key!r} is not a {key_label(home)} of {home.model.__name__}: "
            f"that has {len(home.shard_key)} value(s)."
        )
    return _complete_key(home, dict(zip(home.shard_key, values, strict=True)))


def shards_of(home: Home, query: Any) -> set[str] | None:
    """Return the shards that the query's own clauses leave, or None when they do not say."""
    keys = _keys(home, query)
    if keys is None or home.rule is None:
        return None
    return {home.rule.shard_of(key) for key in keys}


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
    if not isinstance(query, peewee.SelectQuery):
        what = "its rows belong to several shards" if shards else f"the {key_label(home)} is not in it"
        return MissingShardKey(f"A write on {name} was refused: {what}. {_ways_out(home)}")
    return ScatterNotSupported(
        f"A read of {name} would need the shards {', '.join(sorted(shards or home.names or ()))}; "
        f"its WHERE clause does not narrow the {key_label(home)} to one. {_ways_out(home)}"
    )


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


def refuse_wrong_shard(home: Home, query: Any, chosen: str) -> None:
    """Raise if a write names a key that belongs to another shard than the chosen one.

    Raises:
        WrongShard: it does.
    """
    if not isinstance(query, (peewee.Insert, peewee.Update, peewee.Delete)):
        return
    shards = shards_of(home, query)
    if shards is not None and not shards <= {chosen}:
        others = ", ".join(repr(s) for s in sorted(shards - {chosen}))
        raise WrongShard(
            f"A write on {home.model.__name__} goes to {chosen!r}, but its {key_label(home)} belongs to "
            f"{others}. Leave the scope, or use copy_to() or move_to() to give a row another home."
        )
    changes: Any = getattr(query, "_update", None)
    conflict: Any = getattr(query, "_on_conflict", None)
    if changes is not None:
        _refuse_moving(home, changes, chosen)
    elif conflict is not None:
        _refuse_moving(home, conflict._update, chosen)


def _refuse_moving(home: Home, update: Any, chosen: str) -> None:
    changed = {_field_name(home, field): value for field, value in (update or {}).items()}
    if not set(home.shard_key) & set(changed):
        return
    key = _complete_key(home, changed)
    if key is None or home.rule is None or home.rule.shard_of(key) != chosen:
        raise WrongShard(
            f"An UPDATE of {home.model.__name__} would change the {key_label(home)} of rows in {chosen!r} "
            "so that they belong elsewhere. Use move_to() on each row."
        )


def _ways_out(home: Home) -> str:
    example = home.shard_key[0] if home.shard_key else "key"
    name = home.model.__name__
    return (
        f"Add {name}.{example} == value, run it inside `with use_shard({name}, key):`, "
        f'or say .using("name of a shard").'
    )


def _keys(home: Home, query: Any) -> list[Any] | None:
    if isinstance(query, peewee.Insert):
        return _inserted_keys(home, query)
    where = getattr(query, "_where", None)
    if where is None:
        return None
    values: dict[str, list[Any]] = {}
    _collect(home, query, where, values)
    if not all(field in values for field in home.shard_key):
        return None
    if len(home.shard_key) == 1:
        return values[home.shard_key[0]]
    return list(itertools.product(*(values[field] for field in home.shard_key)))


def _collect(home: Home, query: Any, node: Any, values: dict[str, list[Any]]) -> None:
    """Gather the values that an AND of equalities allows for each field of the key."""
    if not isinstance(node, peewee.Expression):
        return
    if node.op == OP.AND:
        _collect(home, query, node.lhs, values)
        _collect(home, query, node.rhs, values)
        return
    field = node.lhs
    # A field of an alias belongs to another row than the query's own.
    if not isinstance(field, peewee.Field) or field.model is not query.model:
        return
    if field.name not in home.shard_key:
        return
    if node.op == OP.EQ and _is_value(node.rhs):
        found = [_python_value(field, node.rhs)]
    elif node.op == OP.IN and isinstance(node.rhs, (list, tuple, set, frozenset)):
        if not all(_is_value(value) for value in node.rhs):
            return
        found = [_python_value(field, value) for value in node.rhs]
    else:
        return
    known = values.get(field.name)
    values[field.name] = found if known is None else [value for value in known if value in found]


def _inserted_keys(home: Home, query: Any) -> list[Any] | None:
    rows = query._insert
    if isinstance(rows, (peewee.SelectQuery, peewee.SQL)):
        return None
    if isinstance(rows, Mapping):
        rows = [rows]
    elif not isinstance(rows, (list, tuple)):
        # A generator can be read once; Peewee reads it again when it compiles.
        rows = query._insert = list(rows)
    keys = []
    for row in rows:
        key = _complete_key(home, _named(home, query, row))
        if key is None:
            return None
        keys.append(key)
    return keys or None


def _named(home: Home, query: Any, row: Any) -> dict[str, Any]:
    meta: Any = home.model._meta
    if isinstance(row, Mapping):
        items: Iterable[tuple[Any, Any]] = row.items()
    else:
        items = zip(query._columns or query.get_default_columns(), row, strict=False)
    named = {field.name: default for field, default in meta.defaults.items() if not callable(default)}
    named.update((_field_name(home, key), value) for key, value in items)
    return named


def _complete_key(home: Home, named: Mapping[str, Any]) -> Any | None:
    key = []
    for name in home.shard_key:
        if name not in named or not _is_value(named[name]):
            return None
        key.append(_python_value(home.model._meta.fields[name], named[name]))
    return key[0] if len(key) == 1 else tuple(key)


def _field_name(home: Home, field: Any) -> Any:
    if isinstance(field, str):
        field = home.model._meta.combined.get(field, field)
    return field.name if isinstance(field, peewee.Field) else field


def _is_value(value: Any) -> bool:
    return isinstance(value, (peewee.Model, peewee.Value)) or not isinstance(value, peewee.Node)


def _python_value(field: Any, value: Any) -> Any:
    """Return the value as a loaded row would have it, so that "5" and 5 are one key to every rule."""
    if isinstance(value, peewee.Value):
        value = value.value
    while isinstance(field, peewee.ForeignKeyField):
        field = field.rel_field
        if isinstance(value, peewee.Model):
            value = getattr(value, field.name)
    stored = field.db_value(value)
    # What only the database can make of the value is left as it was given.
    return value if isinstance(stored, peewee.Node) else field.python_value(stored)


def _joins(query: Any) -> bool:
    return bool(getattr(query, "_joins", None)) or len(getattr(query, "_from_list", None) or ()) > 1
