"""Fields that ask for the engine instead of remembering one.

A field of ours is Peewee's field with one of these classes in front of its own: it looks the same from
outside, and whatever depends on the engine is looked up when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peewee
from peewee import Node

from ..errors import MultiDBError
from .dialect import EngineNode, compiling, reading
from .stock import Mixin, stock

__all__ = ["dress"]


def _database_of(field: Any) -> Any:
    """Return the Database object that a field writes for, or None when nothing decides it."""
    database = compiling()
    if database is None:
        try:
            database = field.model._meta.database
            while isinstance(database, peewee.Proxy):
                database = database.obj
        except MultiDBError:
            return None
    return database


class _AtCompileTime(Mixin):  # type: ignore[misc]
    """A field whose parameters depend on the driver: they are made when the statement is."""

    def db_value(self, value: Any) -> Any:
        adapt: Any = super().db_value
        if value is None or isinstance(value, Node) or compiling() is not None:
            return adapt(value)
        return EngineNode(lambda: adapt(value))

    def _db_hook(self, database: Any) -> None:
        """Peewee says which database the model is bound to; nothing of it is kept."""


class _Binary(_AtCompileTime):
    """`BlobField` and its kin."""

    @property
    def _constructor(self) -> Any:
        database = _database_of(self)
        return bytearray if database is None else database.get_binary_type()


class _Json(_AtCompileTime):
    """`JSONField`."""

    _dumps: Callable[[Any], str]
    _loads: Callable[[str], Any]
    model: Any

    @property
    def _helper(self) -> Any:
        database = compiling()
        if database is not None:
            return database.json_methods(database)
        home = getattr(self.model._meta, "home", None)
        if home is not None and home.database is None:
            return _LaterJSON(self)
        # Bound to a Database object: Peewee's users expect no helper as long as that is not there.
        return None if _database_of(self) is None else _LaterJSON(self)

    @_helper.setter
    def _helper(self, value: Any) -> None:
        """Peewee's constructor clears it."""

    @property
    def _wrap(self) -> Any:
        database = _database_of(self)
        return None if database is None else database.json_methods(database).make_value_wrapper(self._dumps)

    @_wrap.setter
    def _wrap(self, value: Any) -> None:
        """Peewee's constructor clears it."""

    @property
    def _read(self) -> Any:
        database = reading()
        methods = stock.BaseJSONMethods(None) if database is None else database.json_methods(database)
        return methods.make_value_reader(self._loads)

    @_read.setter
    def _read(self, value: Any) -> None:
        """Peewee's constructor clears it."""


def _later(name: str) -> Any:
    def method(self: _LaterJSON, *args: Any) -> EngineNode:
        return EngineNode(lambda: getattr(self.now(), name)(*args))

    method.__name__ = name
    return method


class _LaterJSON(stock.BaseJSONMethods):  # type: ignore[misc]
    """Peewee's JSON methods, each put off until the engine is known."""

    def __init__(self, field: Any) -> None:
        super().__init__(None)
        self._field = field

    def now(self) -> Any:
        """Return the methods of the engine at hand."""
        database = _database_of(self._field)
        return self if database is None else database.json_methods(database)

    def cast_type(self, t: str) -> Any:
        return _CastType(t)

    def cast_for_case(self, field: Any, value: Any) -> EngineNode:
        def write() -> Any:
            cast = self.now().cast_for_case(field, value)
            return field.to_value(value) if cast is None else cast

        return EngineNode(write)

    compare_value = _later("compare_value")
    extract = _later("extract")
    extract_text = _later("extract_text")
    set = _later("set")
    insert = _later("insert")
    replace = _later("replace")
    append = _later("append")
    remove = _later("remove")
    update = _later("update")
    length = _later("length")
    contains = _later("contains")
    contained_by = _later("contained_by")
    has_key = _later("has_key")
    has_keys = _later("has_keys")
    has_any_keys = _later("has_any_keys")


class _CastType:
    """The name of a type in CAST, which Peewee formats into the SQL right after the operand.

    The operand is one of our nodes, compiled a moment before in the same thread, so what it was
    compiled for is what the name is for.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __str__(self) -> str:
        database = EngineNode.latest.get()
        return str(database.json_methods(database).cast_type(self._kind))


def _part(name: str) -> Any:
    """A property of a date field whose expression is written at compile time."""

    def write(self: Any) -> EngineNode:
        plain = super(_Dates, self)
        return EngineNode(lambda: getattr(plain, name))

    return property(write)


class _Dates(Mixin):  # type: ignore[misc]
    """Date, time and timestamp fields."""

    year = _part("year")
    month = _part("month")
    day = _part("day")
    hour = _part("hour")
    minute = _part("minute")
    second = _part("second")

    def to_timestamp(self) -> EngineNode:
        plain: Any = super()
        return EngineNode(lambda: plain.to_timestamp())

    def from_timestamp(self) -> EngineNode:
        plain: Any = super()
        return EngineNode(lambda: plain.from_timestamp())

    def truncate(self, part: str) -> EngineNode:
        plain: Any = super()
        # SQLite and MySQL give text, PostgreSQL a datetime, which the converter leaves alone.
        return EngineNode(lambda: plain.truncate(part), converter=stock.simple_date_time)


_MIXINS: tuple[tuple[type, type], ...] = (
    (peewee.JSONField, _Json),
    (peewee.BlobField, _Binary),
    (peewee.DateTimeField, _Dates),
    (peewee.DateField, _Dates),
    (peewee.TimeField, _Dates),
    (peewee.TimestampField, _Dates),
)

_dressed: dict[type, type] = {}


def dress(field: Any) -> None:
    """Give a field of a stock kind the class that asks for the engine; leave any other as it is.

    A subclass with a database hook of its own, as postgres_ext has, serves one engine and says how.
    """
    kind = type(field)
    for kin, mixin in _MIXINS:
        if not isinstance(field, kin) or issubclass(kind, mixin):
            continue
        hook = getattr(kin, "_db_hook", None)
        if hook is not None and kind._db_hook is not hook:
            continue
        if kind not in _dressed:
            _dressed[kind] = type(kind.__name__, (mixin, kind), {"__module__": kind.__module__})
        # What Peewee stored for the database of the moment would hide the look-up.
        for name in ("_constructor", "_helper", "_wrap", "_read"):
            field.__dict__.pop(name, None)
        field.__class__ = _dressed[kind]
        return
