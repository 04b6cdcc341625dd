"""From what a query or a row holds to the value that a sharding rule reads.

A rule sees a key as a loaded row would have it: 5 for an IntegerField whether "5" or 5 was written, the key
of a row where the row itself was given, and of an alias what its field says.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InvalidShardKey
from .stock import stock

if TYPE_CHECKING:
    from ..home import Home

__all__ = ["is_value", "key_of", "python_value", "shard_of_instance", "shard_of_row", "target_field"]


#: Fields whose loaded values are never text.
_NO_TEXT = (
    stock.IntegerField,
    stock.FloatField,
    stock.DecimalField,
    stock.DateField,
    stock.DateTimeField,
    stock.TimeField,
)


#: Fields that leave values of a type as they are; not their subclasses, which may do anything.
_AS_THEY_ARE: dict[type, frozenset[Any]] = {
    int: frozenset((stock.IntegerField, stock.BigIntegerField, stock.SmallIntegerField)),
    str: frozenset((stock.CharField, stock.TextField)),
}


def is_value(value: Any) -> bool:
    """Whether something in a query is a value that is known here."""
    if isinstance(value, stock.Value):
        return not value.multi
    return isinstance(value, stock.Model) or not isinstance(value, stock.Node)


def target_field(field: Any) -> Any:
    """Return the field whose values a field has: for a foreign key, the one that it refers to."""
    while isinstance(field, stock.ForeignKeyField):
        field = field.rel_field
    return field


def python_value(field: Any, value: Any) -> Any:
    """Return the value as a loaded row would have it, so that "5" and 5 are one key to every rule.

    Raises:
        InvalidShardKey: the value is a text that only the database could make a value of the field of.
    """
    if type(field) in _AS_THEY_ARE.get(type(value), ()):
        return value
    if isinstance(value, stock.Value):
        value = value.value
    while isinstance(field, stock.ForeignKeyField):
        field = field.rel_field
        if isinstance(value, stock.Model):
            value = getattr(value, field.name)
    if isinstance(field, stock.BlobField):
        return _bytes(field, value)
    try:
        stored = field.db_value(value)
        if isinstance(stored, stock.Node):
            # What only the database can make of the value is left as it was given.
            return value
        value = field.python_value(stored)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InvalidShardKey(
            f"{field.model.__name__}.{field.name}: {value!r} is no value of a {type(field).__name__} "
            f"({error})."
        ) from None
    kind = type(value)
    if kind is str and isinstance(field, _NO_TEXT) and not isinstance(field, stock.IPField):
        raise InvalidShardKey(
            f"{field.model.__name__}.{field.name}: {value!r} is no value of a {type(field).__name__}; "
            "what the database would make of it is not known here."
        )
    if kind is datetime.date and isinstance(field, stock.DateTimeField):
        return datetime.datetime(value.year, value.month, value.day)
    return value


def _bytes(field: Any, value: Any) -> Any:
    """Return a value of a field of bytes. Which class carries them to the database depends on the engine."""
    if isinstance(value, str):
        value = bytes.fromhex(value) if isinstance(field, stock.BinaryUUIDField) else value.encode()
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    if isinstance(field, stock.BinaryUUIDField) and isinstance(value, bytes):
        return uuid.UUID(bytes=value)
    return value


def key_of(home: Home, named: Mapping[str, Any]) -> Any | None:
    """Return the key of a row, or None when it is not complete.

    Args:
        home: where the row's model lives.
        named: the row's values by the names of their fields.
    """
    fields = home.key_fields
    if len(fields) == 1:
        field = fields[0]
        value = named.get(field.name)
        return python_value(field, value) if value is not None and is_value(value) else None
    key = []
    for field in fields:
        value = named.get(field.name)
        if value is None or not is_value(value):
            return None
        key.append(python_value(field, value))
    return tuple(key) if key and None not in key else None


def shard_of_row(home: Home, named: Mapping[str, Any]) -> str | None:
    """Return the shard that takes a row of these values, or None when they do not say.

    Raises:
        InvalidShardKey: no shard takes it.
    """
    rule: Any = home.rule
    key = key_of(home, named)
    if key is not None:
        return rule.shard_of(key)  # type: ignore[no-any-return]
    if not home.shard_key and home.link is not None:
        return shard_of_instance(home.parent, named.get(home.link.name))
    return None


def shard_of_instance(of: Any, row: Any) -> str | None:
    """Return the shard of an instance of a sharded model, or None when neither it nor its past says.

    Raises:
        InvalidShardKey: no shard takes its key.
    """
    home: Any = getattr(getattr(type(row), "_meta", None), "home", None)
    if home is None or home is not of:
        return None
    data: dict[str, Any] = row.__data__
    key = key_of(home, data)
    if key is not None:
        return home.rule.shard_of(key)  # type: ignore[no-any-return]
    if not home.shard_key and home.link is not None:
        found = shard_of_instance(home.parent, row.__rel__.get(home.link.name))
        if found is not None:
            return found
    node = getattr(row, "_home", None)
    name = None if node is None else node.entry.target
    return name if isinstance(name, str) and name in home.rule.names else None
