"""Fields for what MySQL has and the other engines do not: unsigned integers, ENUM and SET.

Each checks its values in Python: a server that is not strict would store the nearest number or an empty
text without a word. On other engines they become the smallest type that holds every value.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

import peewee

__all__ = [
    "EnumField",
    "SetField",
    "UnsignedBigIntegerField",
    "UnsignedIntegerField",
    "UnsignedSmallIntegerField",
    "UnsignedTinyIntegerField",
]


class UnsignedIntegerField(peewee.IntegerField):
    """INTEGER UNSIGNED: 0 to 4294967295; BIGINT on other engines."""

    field_type = "UINT"
    elsewhere = "BIGINT"
    bits = 32

    def ddl_datatype(self, ctx: Any) -> Any:
        known = ctx.state.field_types or {}
        return peewee.SQL(known.get(self.field_type, self.elsewhere))

    def db_value(self, value: Any) -> Any:
        value = super().db_value(value)  # type: ignore[no-untyped-call]
        if isinstance(value, int) and not 0 <= value < 1 << self.bits:
            raise peewee.DataError(
                f"{self}: {value} is out of the range of {type(self).__name__}, 0 to {(1 << self.bits) - 1}"
            )
        return value

    def __str__(self) -> str:
        return f"{self.model.__name__}.{self.name}"


class UnsignedTinyIntegerField(UnsignedIntegerField):
    """TINYINT UNSIGNED: 0 to 255; SMALLINT on other engines."""

    field_type = "UTINYINT"
    elsewhere = "SMALLINT"
    bits = 8


class UnsignedSmallIntegerField(UnsignedIntegerField):
    """SMALLINT UNSIGNED: 0 to 65535; INTEGER on other engines."""

    field_type = "USMALLINT"
    elsewhere = "INTEGER"
    bits = 16


class UnsignedBigIntegerField(UnsignedIntegerField):
    """BIGINT UNSIGNED: 0 to 18446744073709551615; NUMERIC(20) on other engines."""

    field_type = "UBIGINT"
    elsewhere = "NUMERIC(20)"
    bits = 64

    def python_value(self, value: Any) -> Any:
        value = super().python_value(value)  # type: ignore[no-untyped-call]
        return value if value is None else int(value)


def _texts(values: Any) -> tuple[str, ...]:
    if isinstance(values, type) and issubclass(values, enum.Enum):
        return tuple(str(member.value) for member in values)
    return tuple(str(value) for value in values)


def _literals(values: Iterable[str]) -> str:
    # A backslash escapes or does not, as the sql_mode says; no column needs one in its type.
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


class EnumField(peewee.Field):
    """ENUM: one of a few texts; VARCHAR on other engines.

    Args:
        values: the texts in the order that the column sorts by, or an `enum.Enum` whose values they are;
            then the members come back.
        kwargs: those of every field.
    """

    field_type = "ENUM"

    def __init__(self, values: Iterable[str] | type[enum.Enum], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.values = _texts(values)
        self.enum = values if isinstance(values, type) and issubclass(values, enum.Enum) else None
        _check_members(type(self).__name__, self.values, self.forbidden)

    forbidden = "\\"

    def ddl_datatype(self, ctx: Any) -> Any:
        if "UINT" in (ctx.state.field_types or {}):
            return peewee.SQL(f"{self.field_type}({_literals(self.values)})".replace("%", "%%"))
        return peewee.SQL(f"VARCHAR({self.width()})")

    def width(self) -> int:
        """The number of characters of the longest value."""
        return max(map(len, self.values))

    def db_value(self, value: Any) -> Any:
        if value is None:
            return None
        text = str(value.value if isinstance(value, enum.Enum) else value)
        if text not in self.values:
            raise peewee.DataError(
                f"{self.model.__name__}.{self.name}: {text!r} is none of {', '.join(map(repr, self.values))}"
            )
        return text

    def python_value(self, value: Any) -> Any:
        # '' is what a server that is not strict stored in the place of a wrong value.
        return self.enum(value) if self.enum is not None and value in self.values else value


class SetField(EnumField):
    """SET: any number of a few texts, a frozenset in Python; VARCHAR with commas on other engines.

    Args:
        values: up to 64 texts without commas, or an `enum.Enum` whose values they are.
        kwargs: those of every field.
    """

    field_type = "SET"
    forbidden = "\\,"

    # A set is one value, and not a list of values.
    def __eq__(self, other: Any) -> Any:
        return super().__eq__(self._whole(other))

    def __ne__(self, other: Any) -> Any:
        return super().__ne__(self._whole(other))

    __hash__ = peewee.Field.__hash__

    def _whole(self, other: Any) -> Any:
        return self.to_value(other) if isinstance(other, (set, frozenset, list, tuple)) else other

    def width(self) -> int:
        return len(",".join(self.values))

    def db_value(self, value: Any) -> Any:
        if value is None:
            return None
        members = value.split(",") if isinstance(value, str) else value
        texts = {super(SetField, self).db_value(member) for member in members if member != ""}
        return ",".join(text for text in self.values if text in texts)

    def python_value(self, value: Any) -> Any:
        if value is None:
            return None
        # PyMySQL gives text, mysqlclient a set.
        members = value.split(",") if isinstance(value, str) else value
        return frozenset(super(SetField, self).python_value(member) for member in members if member)


def _check_members(kind: str, values: tuple[str, ...], forbidden: str) -> None:
    if not values:
        raise ValueError(f"{kind} needs at least one value")
    for value in values:
        if any(character in value for character in forbidden):
            raise ValueError(f"{kind}: {value!r} may not hold any of {' '.join(forbidden)}")
    if kind == "SetField" and len(values) > 64:
        raise ValueError(f"SetField: MySQL has room for 64 values, not {len(values)}")
