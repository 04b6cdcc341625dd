"""The SQL context of a MySQL database: what the server lacks is refused while a statement is written.

It also writes back what `zero_dates` took for None, and indexes a prefix where the server's keys are short.
"""

from __future__ import annotations

from typing import Any

import peewee

from .features import Gates

__all__ = ["MySQLContext", "ZeroDateContext"]

#: 767 bytes of key divided by the 4 that utf8mb4 may need for a character.
KEY_LENGTH = 191

ZERO_DATES: tuple[tuple[Any, str], ...] = (
    (peewee.DateTimeField, "0000-00-00 00:00:00"),
    (peewee.DateField, "0000-00-00"),
)


class MySQLContext(peewee.Context):
    """A context that knows its server.

    Args:
        gates: what the server lacks; None when the server is not known yet.
    """

    __slots__ = ("gates",)

    def __init__(self, *, gates: Gates | None = None, **settings: Any) -> None:
        super().__init__(gates=gates, **settings)
        self.gates = gates

    def as_new(self) -> MySQLContext:
        return type(self)(**self.state.settings)

    def sql(self, obj: Any) -> Any:
        gates = self.gates
        if gates is not None and gates[type(obj)]:
            gates.check(obj)
            if isinstance(obj, peewee.Index):
                obj = _with_short_keys(obj)
        if isinstance(obj, peewee.Node):
            return obj.__sql__(self)  # type: ignore[no-untyped-call]
        return super().sql(obj)  # type: ignore[no-untyped-call]


class ZeroDateContext(MySQLContext):
    """A context for a database where a None in a column that is not nullable was read from a zero date."""

    __slots__ = ()

    def value(self, value: Any, converter: Any = None, add_param: bool = True) -> Any:
        if value is None and self.scope == peewee.SCOPE_VALUES:
            # Only what is assigned: in a condition MySQL finds the zero dates by IS NULL by itself.
            field = getattr(converter, "__self__", None)
            for kind, zero in ZERO_DATES:
                if isinstance(field, kind) and not field.null:
                    return super().value(zero, None, add_param)
        return super().value(value, converter, add_param)


def _with_short_keys(index: Any) -> Any:
    if index._unique:
        return index  # a prefix would be unique instead of the whole: the server has the word
    shortened = index.clone()
    shortened._expressions = [
        peewee.NodeList((expression, peewee.SQL(f"({KEY_LENGTH})")), glue="")
        if isinstance(expression, peewee.CharField) and expression.max_length > KEY_LENGTH
        else expression
        for expression in index._expressions
    ]
    return shortened
