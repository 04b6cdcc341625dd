"""Many-to-many fields: a through model that lives where its owner does, and queries that follow the row."""

from __future__ import annotations

from typing import Any

from peewee import ForeignKeyField, ManyToManyFieldAccessor

from .. import routing
from ..errors import CrossDatabaseQuery
from .reads import RoutedRead, RoutedSelect
from .rows import at_home, row_home, strangers_home
from .stock import stock

__all__ = ["RoutedManyToMany", "RoutedManyToManyAccessor", "create_through_model"]


class RoutedManyToMany(RoutedRead, stock.ManyToManyQuery):  # type: ignore[misc]
    """The rows at the other end of a many-to-many field; changes go where the row at this end lives."""

    _get_model_cursor_wrapper = RoutedSelect._get_model_cursor_wrapper

    def add(self, value: Any, clear_existing: bool = False) -> Any:
        self._refuse_strangers(value)
        with at_home(self._instance):
            return super().add(value, clear_existing)

    def remove(self, value: Any) -> Any:
        self._refuse_strangers(value)
        with at_home(self._instance):
            return super().remove(value)

    def clear(self) -> Any:
        with at_home(self._instance):
            return super().clear()

    def _refuse_strangers(self, value: Any) -> None:
        """Raise for a row of another database: its key may be somebody else's where this one lives."""
        row = self._instance
        if row._home is None:
            return
        here = row_home(row._home).target
        for other in value if isinstance(value, (list, tuple)) else [value]:
            stranger = strangers_home(row._meta.home, here, other)
            if stranger is not None:
                there = routing.describe(stranger.home, stranger.target)
                raise CrossDatabaseQuery(
                    f"{other!r} is from {there}, but {row!r} lives in "
                    f"{routing.describe(row._meta.home, here)}, where the same key may be another row. "
                    "Load it from there, or copy_to() it there, or give the key alone."
                )


class RoutedManyToManyAccessor(ManyToManyFieldAccessor):
    """The other end of a many-to-many field, read and changed where the row at this end lives."""

    def get_query(self, instance: Any) -> Any:
        source = getattr(instance, self.src_fk.rel_field.name)
        if source is None and self.field._prevent_unsaved:
            raise ValueError(f"Cannot access many-to-many {self.field!r} on unsaved instance {instance!r}.")
        with at_home(instance):
            return (
                RoutedManyToMany(instance, self, self.rel_model)
                .join(self.through_model)
                .join(self.model)
                .where(self.src_fk == source)
            )


def create_through_model(field: Any, owner: Any) -> Any:
    """Return the through model of a many-to-many field, with the options of the model that owns it."""
    # Peewee would derive it from its own Model, which no scope reaches.
    from .base import Model

    left, right = field.get_models()
    meta = owner._meta

    class Meta:
        schema = meta.schema
        table_name = f"{left._meta.table_name}_{right._meta.table_name}_through"
        indexes = (((left._meta.name, right._meta.name), True),)

    if meta.home.database is not None:
        Meta.database = meta.home.database  # type: ignore[attr-defined]
    options = ["db_pinned", "managed", "registry"]
    if meta.home.rule is None:
        options += ["db_name", "reference"]
    elif meta.home.database is None:
        # Each of its rows beside the row that owns it.
        Meta.colocate_with = owner  # type: ignore[attr-defined]
    for key in options:
        if key in meta.given and not (key == "db_name" and meta.home.database is not None):
            setattr(Meta, key, meta.given[key])
    params = {"on_delete": field._on_delete, "on_update": field._on_update}
    attributes = {
        left._meta.name: ForeignKeyField(left, **params),
        right._meta.name: ForeignKeyField(right, **params),
        "Meta": Meta,
    }
    metaclass: Any = type(Model)
    return metaclass(f"{left.__name__}{right.__name__}Through", (Model,), attributes)
